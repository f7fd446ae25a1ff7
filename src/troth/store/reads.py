"""Reads are evidence too: who was read for what is recorded, durably, before the answer leaves.

All reads of one tick of the event loop become one block, one write and one ledger entry ``read.block``. The entry
holds how many reads there were, for which purposes, and a hash; who was read stands beside it in ``read_blocks``,
sealed under the key of a day, so that it can be erased. In the block's own transaction the writer looks at each
person again: who was erased, restricted or changed since the read is refused, and no answer leaves (STORAGE, A9).

The order for a reader: ``admit`` (refuses before anything is read), read and open, ``await note(…)``, answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

import msgspec

from troth.errors import Conflict
from troth.store.engine import Database, driver
from troth.store.item import Item
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
_SUBJECT = "SELECT generation, mode FROM subjects WHERE tenant = ? AND sid = ?"
_MANY = (
    "SELECT s.tenant, s.sid, s.generation, s.mode FROM subjects s "
    "JOIN unnest(%s::text[], %s::bytea[]) AS read(tenant, sid) ON read.tenant = s.tenant AND read.sid = s.sid"
)
READABLE = frozenset(("live", "pending"))


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


Check: TypeAlias = Callable[[DataTx, Sequence[Read]], frozenset[int]]
"""Which of the reads (by index) are no longer as they were read; asked in the block's own transaction."""


def as_read(database: Database) -> Check:
    """The check that compares each read with the subject's row: same generation, same mode, still there."""
    if database.dialect == "sqlite":
        return _as_read_sqlite

    def at_once(tx: DataTx, reads: Sequence[Read]) -> frozenset[int]:
        # One process writes, so nobody can change a subject between this and the commit; with several, FOR SHARE.
        people = list({(read.tenant, read.sid) for read in reads})
        rows = driver(tx.connection).execute(_MANY, ([t for t, _ in people], [sid for _, sid in people]))
        now = {(tenant, bytes(sid)): (generation, mode) for tenant, sid, generation, mode in rows}
        return frozenset(
            at for at, read in enumerate(reads) if now.get((read.tenant, read.sid)) != (read.generation, read.mode)
        )

    return at_once


CHUNK = 64
MOST = 256
"""How many reads a block holds: its transaction looks each of them up, and others wait for it."""


@lru_cache(maxsize=CHUNK)
def _unchanged(count: int) -> str:
    """How many of ``count`` reads find the subject as it was read: one statement, one step of the driver."""
    reads = ", ".join(["(?, ?, ?, ?)"] * count)
    return (
        f"SELECT count(*) FROM (VALUES {reads}) r CROSS JOIN subjects s ON s.tenant = r.column1"  # noqa: S608 - marks only
        " AND s.sid = r.column2 AND s.generation = r.column3 AND s.mode = r.column4"
    )


def _as_read_sqlite(tx: DataTx, reads: Sequence[Read]) -> frozenset[int]:
    """By the chunk, since each statement costs two hand-overs of the interpreter; one by one where a chunk differs."""
    execute = driver(tx.connection).execute
    gone: list[int] = []
    for first in range(0, len(reads), CHUNK):
        chunk = reads[first : first + CHUNK]
        values: list[Any] = []
        for read in chunk:
            values += (read[0], read[1], read[2], read[5])
        if execute(_unchanged(len(chunk)), values).fetchone()[0] == len(chunk):
            continue
        for at, read in enumerate(chunk, first):
            if execute(_SUBJECT, (read[0], read[1])).fetchone() != (read[2], read[5]):
                gone.append(at)
    return frozenset(gone)


class Recorded(NamedTuple):
    """What became of some reads: why they could not be recorded, or the entry they stand in and who is refused."""

    fault: BaseException | None
    eid: bytes
    refused: frozenset[int]  # places of the reads whose persons changed since


Settle: TypeAlias = Callable[[Recorded], None]
NOBODY: frozenset[int] = frozenset()


class _Tick:
    """The reads of one tick of one loop, and who waits for each."""

    __slots__ = ("loop", "reads", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.reads: list[Read] = []
        self.waiters: list[asyncio.Future[bytes]] = []

    def settle(self, recorded: Recorded) -> None:
        """On the loop: the block is durable, or was refused."""
        for at, waiter in enumerate(self.waiters):
            if waiter.done():
                continue  # its client went away; the entry stands ("prepared")
            if recorded.fault is not None:
                waiter.set_exception(recorded.fault)
            elif at in recorded.refused:
                waiter.set_exception(changed())
            else:
                waiter.set_result(recorded.eid)


class _Block:
    """A block on its way to the writer. Until the writer takes it, the loop's next ticks may still join."""

    __slots__ = ("_closed", "_lock", "loop", "parts", "reads")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.reads: list[Read] = []
        self.parts: list[tuple[int, int, Settle]] = []  # first read, how many, and who is told
        self._closed = False
        self._lock = threading.Lock()

    def join(self, reads: Sequence[Read], settle: Settle) -> bool:
        """Add the reads of a tick; False if the block is under way or full."""
        with self._lock:
            if self._closed or (self.reads and len(self.reads) + len(reads) > MOST):
                return False
            self.parts.append((len(self.reads), len(reads), settle))
            self.reads += reads
            return True

    def close(self) -> Sequence[Read]:
        """On the writer's thread: nobody joins from here on."""
        with self._lock:
            self._closed = True
        return self.reads

    def settle(self, item: Item) -> None:
        """On the loop: tell each part what became of its own reads."""
        self.close()
        eid, refused = (b"", NOBODY) if item.fault is not None else item.value
        for first, count, settle in self.parts:
            mine = frozenset(at - first for at in refused if first <= at < first + count) if refused else NOBODY
            settle(Recorded(item.fault, eid, mine))


class _Here(threading.local):
    """The tick that gathers on this thread, and the block that the writer has not taken yet."""

    tick: _Tick | None = None
    block: _Block | None = None


class Reads:
    """Records reads in blocks: ``note`` on an event loop, ``record`` anywhere else. Safe from any thread."""

    def __init__(self, store: Store, seal: Seal, check: Check | None = None) -> None:
        self._store = store
        self._seal = seal
        self._check = check or as_read(store.data)
        self._insert = store.data.sql(_BLOCK)
        self._here = _Here()

    def admit(self) -> None:
        """To be called before anything is read: ``Busy`` or ``Unavailable`` if a read could not be recorded now."""
        self._store.require_available(Lane.READ)

    def note(self, read: Read) -> asyncio.Future[bytes]:
        """Add a read to this tick's block; the answer may leave when the future has the id of the block's entry.

        It raises ``Conflict`` if the person was erased, restricted or changed since the read (no answer may leave),
        ``Busy`` or ``Unavailable`` if the read could not be recorded.
        """
        here = self._here
        tick = here.tick
        loop = asyncio.get_running_loop()
        if tick is None or tick.loop is not loop:  # a loop that ended may have left its last tick behind
            tick = here.tick = _Tick(loop)
            loop.call_soon(self._close, tick)
        waiter: asyncio.Future[bytes] = loop.create_future()
        tick.reads.append(read)
        tick.waiters.append(waiter)
        return waiter

    def block(self, reads: Sequence[Read], loop: asyncio.AbstractEventLoop, settle: Settle) -> None:
        """Record reads that were gathered on ``loop``, on its thread; ``settle`` is called there when that is durable.

        They join the block that still waits for the writer, if there is one: while one is being synced, the next
        gathers. Whoever joins late waits no longer than alone.
        """
        block = self._here.block
        if block is not None and block.loop is loop and block.join(reads, settle):
            return
        block = self._here.block = _Block(loop)
        block.join(reads, settle)
        body = self._body(block.close, "read.block")
        item = Item(Write(body, lane=Lane.READ))
        item.loop, item.settle = loop, block.settle
        try:
            self._store.writer.put(item)
        except Exception as refusal:
            self._here.block = None
            item.fault = refusal
            block.settle(item)

    def record(self, reads: Sequence[Read], *, scan: bool = False) -> bytes:
        """Record reads of a job or a procedure, and wait: the entry's id. ``scan``: as one entry ``read.scan``.

        Raises as ``note``'s future does, if any of the reads is refused.
        """
        body = self._body(lambda: reads, "read.scan" if scan else "read.block")
        eid, refused = self._store.write(Write(body, lane=Lane.READ))
        if refused:
            raise changed()
        return eid

    def _close(self, tick: _Tick) -> None:
        self._here.tick = None
        self.block(tick.reads, tick.loop, tick.settle)

    def _body(self, close: Callable[[], Sequence[Read]], kind: str) -> Callable[[DataTx], tuple[bytes, frozenset[int]]]:
        def body(tx: DataTx) -> tuple[bytes, frozenset[int]]:
            reads = close()
            refused = self._check(tx, reads)
            kept = [read for at, read in enumerate(reads) if at not in refused] if refused else reads
            if refused and not kept:
                return b"", refused
            eid, day = self._store.randomness.bytes(16), tx.now // DAY_MS
            sealed = self._seal(eid, day, _ENCODE([(r[0], r[1], r[3], r[4]) for r in kept]))
            purposes: dict[str, int] = {}
            clauses: dict[str, int] = {}
            for read in kept:
                purposes[read[3]] = purposes.get(read[3], 0) + 1
                clauses[read[4]] = clauses.get(read[4], 0) + 1
            facts: dict[str, Any] = {
                "n": len(kept),
                "purposes": sorted(purposes.items()),
                "clauses": sorted(clauses.items()),
                "aux": sha256(sealed).hexdigest(),
            }
            first = max(clauses, key=lambda clause: clauses[clause], default="scope.closed-list")  # an empty scan
            tx.append(EntryDraft(kind, first, MECHANISM, facts=facts), eid=eid)
            driver(tx.connection).execute(self._insert, (eid, day, sealed))
            return eid, refused

        return body


def changed() -> Conflict:
    """The refusal of a read whose person is no longer as they were read."""
    return Conflict("this person's data or choices changed while they were read: no answer leaves; ask again")


def opened(block: bytes) -> list[tuple[str, bytes, str, str]]:
    """Who stands in an opened block: tenant, sid, purpose and clause of each read."""
    return _DECODE(block)
