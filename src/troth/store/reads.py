"""Reads are evidence too: who was read for what is recorded, durably, before the answer leaves.

Reads that wait together become one block and one ledger entry ``read.block``. The entry holds how many reads there
were, for which purposes, and a hash; who was read stands beside it in ``read_blocks``, sealed under the key of a day,
so that it can be erased. A block is appended in the transaction that read; where the reading is too long for one (a
scan), the writer looks at each person again, and whoever changed since the read is refused (STORAGE, A9).

The order for a reader: ``admit`` (refuses before anything is read), read, open and ``append``, answer once durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec

from troth.errors import Conflict
from troth.store.engine import Database, driver
from troth.store.ledger import EntryDraft
from troth.store.open import Store
from troth.store.transaction import DataTx, Lane, Write
from troth.world import DAY_MS

Seal: TypeAlias = Callable[[bytes, int, bytes], bytes]
"""Seals a block: the entry's id, the day (days since 1970) under whose key it goes, and the bytes."""

MECHANISM = "gate.purpose"
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(list[tuple[str, bytes, str, str]]).decode
_BLOCK = "INSERT INTO read_blocks (eid, day, ct) VALUES (?, ?, ?)"
_MANY = (
    "SELECT s.tenant, s.sid, s.generation, s.mode FROM subjects s "
    "JOIN unnest(%s::text[], %s::bytea[]) AS read(tenant, sid) ON read.tenant = s.tenant AND read.sid = s.sid"
)
_PURPOSE = itemgetter(3)
_CLAUSE = itemgetter(4)


class Read(NamedTuple):
    """One read: of whom, as of which generation of the subject's row, for which purpose, under which clause.

    ``mode`` is the mode in which the reader saw the person; a rights procedure reads a restricted one.
    """

    tenant: str
    sid: bytes
    generation: int
    purpose: str
    clause: str
    mode: str = "live"


Check: TypeAlias = Callable[[DataTx, Sequence[Read]], bool]
"""Whether all the reads are still as they were read; asked in the entry's own transaction."""


def as_read(database: Database) -> Check:
    """The check that compares each read with the subject's row: same generation, same mode, still there."""
    if database.dialect == "sqlite":
        return _as_read_sqlite

    def at_once(tx: DataTx, reads: Sequence[Read]) -> bool:
        # One process writes, so nobody can change a subject between this and the commit; with several, FOR SHARE.
        people = list({(read.tenant, read.sid) for read in reads})
        rows = driver(tx.connection).execute(_MANY, ([t for t, _ in people], [sid for _, sid in people]))
        now = {(tenant, bytes(sid)): (generation, mode) for tenant, sid, generation, mode in rows}
        return all(now.get((read.tenant, read.sid)) == (read.generation, read.mode) for read in reads)

    return at_once


CHUNK = 64


@lru_cache(maxsize=CHUNK)
def _unchanged(count: int) -> str:
    """How many of ``count`` reads find the subject as it was read: one statement, one step of the driver."""
    reads = ", ".join(["(?, ?, ?, ?)"] * count)
    return (
        f"SELECT count(*) FROM (VALUES {reads}) r CROSS JOIN subjects s ON s.tenant = r.column1"  # noqa: S608 - marks only
        " AND s.sid = r.column2 AND s.generation = r.column3 AND s.mode = r.column4"
    )


def _as_read_sqlite(tx: DataTx, reads: Sequence[Read]) -> bool:
    """By the chunk, since each statement costs two hand-overs of the interpreter."""
    execute = driver(tx.connection).execute
    for first in range(0, len(reads), CHUNK):
        chunk = reads[first : first + CHUNK]
        values: list[Any] = []
        for read in chunk:
            values += (read[0], read[1], read[2], read[5])
        if execute(_unchanged(len(chunk)), values).fetchone()[0] != len(chunk):
            return False
    return True


class Reads:
    """Records reads: ``append`` in the transaction that read, ``record`` for a scan. For any thread."""

    def __init__(self, store: Store, seal: Seal, check: Check | None = None) -> None:
        self._store = store
        self._seal = seal
        self._check = check or as_read(store.data)
        self._insert = store.data.sql(_BLOCK)

    def admit(self) -> None:
        """To be called before anything is read: ``Busy`` or ``Unavailable`` if a read could not be recorded now."""
        self._store.require_available(Lane.READ)

    def record(self, reads: Sequence[Read]) -> bytes:
        """Record a scan, which read outside of the writer's transaction, and wait: the id of its entry ``read.scan``.

        Raises ``Conflict`` if anybody was erased, restricted or changed since (no answer may leave, and nothing is
        recorded), ``Busy`` or ``Unavailable`` if it could not be recorded.
        """

        def body(tx: DataTx) -> bytes:
            if not self._check(tx, reads):
                raise changed()
            return self.append(tx, reads, "read.scan")

        return self._store.write(Write(body, lane=Lane.READ))

    def append(self, tx: DataTx, reads: Sequence[Read], kind: str = "read.block") -> bytes:
        """Append the entry of reads that were done in this very transaction, and who was read beside it: its id."""
        eid, day = self._store.randomness.bytes(16), tx.now // DAY_MS
        sealed = self._seal(eid, day, _ENCODE([(r[0], r[1], r[3], r[4]) for r in reads]))
        clauses = Counter(map(_CLAUSE, reads))
        facts: dict[str, Any] = {
            "n": len(reads),
            "purposes": sorted(Counter(map(_PURPOSE, reads)).items()),
            "clauses": sorted(clauses.items()),
            "aux": sha256(sealed).hexdigest(),
        }
        first = max(clauses, key=lambda clause: clauses[clause], default="scope.closed-list")  # an empty scan
        tx.append(EntryDraft(kind, first, MECHANISM, facts=facts), eid=eid)
        driver(tx.connection).execute(self._insert, (eid, day, sealed))
        return eid


def changed() -> Conflict:
    """The refusal of a read whose person is no longer as they were read."""
    return Conflict("this person's data or choices changed while they were read: no answer leaves; ask again")


def opened(block: bytes) -> list[tuple[str, bytes, str, str]]:
    """Who stands in an opened block: tenant, sid, purpose and clause of each read."""
    return _DECODE(block)
