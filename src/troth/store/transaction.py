"""What a write is: its steps over the two stores, and the transactions those steps are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, CursorResult
from sqlalchemy.sql import Executable

from troth.store import tables
from troth.store.ledger import Entry, EntryDraft, make_entry
from troth.store.once import insert_once

T = TypeVar("T")


class Lane(StrEnum):
    """Who goes first when writes wait: rights before writes before blocks of reads before jobs."""

    RIGHTS = "rights"
    WRITE = "write"
    READ = "read"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Makes a write happen once: the same ``key`` (32 bytes) and ``request`` (its hash, 32 bytes) give the stored
    result again; another request under the key is refused with ``Conflict``.
    """

    scope: str
    key: bytes
    request: bytes

    def __post_init__(self) -> None:
        if len(self.key) != 32 or len(self.request) != 32:
            raise ValueError("an idempotency key and a request's hash have 32 bytes each")


class KeyTx:
    """A transaction of K, valid only inside the step it is given to. ``now`` is the ledger's time."""

    __slots__ = ("connection", "now")

    def __init__(self, connection: Connection, now: int) -> None:
        self.connection = connection
        self.now = now

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement (prebuilt, of SQLAlchemy Core) in this transaction."""
        return self.connection.execute(statement, parameters)


_ENQUEUE = insert_once(tables.jobs)


class DataTx:
    """A transaction of D, valid only inside the step it is given to.

    ``now`` is the ledger's time (milliseconds UTC, never before an earlier entry's). What ``append`` returns is in
    the ledger if and only if the step's effects are in D: one transaction holds both.
    """

    __slots__ = ("_policy", "_random", "connection", "enqueued", "entries", "now", "over")

    def __init__(self, connection: Connection, now: int, policy: str, random: Callable[[int], bytes]) -> None:
        self.connection = connection
        self.now = now
        self.entries: list[Entry] = []
        self.enqueued = 0
        self.over = False
        self._policy = policy
        self._random = random

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement (prebuilt, of SQLAlchemy Core) in this transaction."""
        return self.connection.execute(statement, parameters)

    def append(self, draft: EntryDraft, opening: bytes | None = None, *, eid: bytes | None = None) -> Entry:
        """Add an entry to the ledger. ``opening`` is the secret of the subject it concerns (32 bytes).

        ``eid`` is given where something was sealed for this very entry before (16 random bytes, never used twice).
        """
        if self.over:
            raise RuntimeError("this transaction is over: the entry would be lost")
        entry = make_entry(draft, eid or self._random(16), self.now, self._policy, opening)
        self.entries.append(entry)
        return entry

    def enqueue(
        self, kind: str, ref: str, *, run_ms: int | None = None, dedup: str | None = None, payload: bytes | None = None
    ) -> None:
        """A durable job in this transaction, due at ``run_ms`` (at once if None).

        ``ref`` names ids only, ``payload`` is sealed: a job holds no personal value. A second job with the same
        ``dedup`` is not added.
        """
        due = self.now if run_ms is None else run_ms
        values = {"kind": kind, "ref": ref, "payload": payload, "dedup": dedup, "run_ms": due}
        self.enqueued += self.connection.execute(_ENQUEUE, values).rowcount


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """One write over both stores: K first (``before``), then D (``body``), then K again (``after``).

    Each step is one savepoint in the batch's transaction: a step that raises undoes itself and its later steps,
    and nobody else's. ``before`` is for what makes readable (a key, a grant's guard row): if D fails after it, the
    repair sweeps it. ``after`` is for what makes unreadable: if it fails, the effect in D stands, the caller
    gets ``Unknown``, and a job that ``body`` enqueued must do it again. ``body`` does database work only, a few
    milliseconds of it. With a ``key`` the result is ``bytes``. ``deadline_ms``: not begun after that time.
    """

    body: Callable[[DataTx], T]
    before: Callable[[KeyTx], None] | None = None
    after: Callable[[KeyTx, T], None] | None = None
    lane: Lane = Lane.WRITE
    key: Idempotency | None = None
    deadline_ms: int | None = None
