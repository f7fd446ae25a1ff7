"""Reads in the writer's transaction: who was read, what was decided and the entry that says so are of one moment.

All reads that wait together are done together there: one statement, one block of the ledger, one sync. Nobody can be
erased, restricted or changed between a read and its entry, since nobody else writes in between, and no page that the
reader knows was forgotten, since the writer knows its own. Who decides, opens and refuses is the opening, read by read
(LANGUAGE 3, STORAGE B(b); ADR 0013 says what this costs beside reading on the event loop).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from troth.store.engine import driver
from troth.store.item import Item
from troth.store.transaction import DataTx, Lane, Write
from troth.use.opening import Answer, Prepared
from troth.use.pacing import Pace
from troth.use.rows import CHUNK, many_persons
from troth.use.verdicts import Refused

if TYPE_CHECKING:
    from troth.use.gate import Gate
    from troth.use.opening import Opening

Rows = list[Sequence[Any]]


class _Wanted:
    """One read that waits: by which opening, of whom, which fields; then what was found."""

    __slots__ = ("fields", "found", "opening", "sid", "tenant", "waiter")

    def __init__(
        self,
        opening: Opening,
        tenant: str,
        sid: bytes,
        fields: frozenset[str],
        waiter: asyncio.Future[Answer | Refused] | None = None,
    ) -> None:
        self.opening = opening
        self.tenant = tenant
        self.sid = sid
        self.fields = fields
        self.waiter = waiter
        self.found: Prepared | Refused | Exception | None = None

    def answer(self, eid: bytes) -> Answer | Refused:
        """What may be told once the entry is durable; raises what kept this one from being read."""
        found = self.found
        if found.__class__ is Prepared:
            values, clauses, read = found
            return Answer(values, clauses, eid, read[2])
        if isinstance(found, Refused):
            return found
        raise found if isinstance(found, Exception) else RuntimeError("nothing was found")


def _told(wanted: _Wanted, eid: bytes) -> Answer | Refused | Exception:
    try:
        return wanted.answer(eid)
    except Exception as own:
        return own


class _NobodyWasRead(Exception):
    """All were refused: there is nothing to record."""


class _Here(threading.local):
    """The pace of the loop that runs on this thread."""

    pace: Pace[_Wanted] | None = None


class Gathering:
    """Gathers the reads of each loop. ``join`` is called on an event loop; several loops do not disturb each other."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._here = _Here()

    def alone(self, opening: Opening, tenant: str, sid: bytes, fields: frozenset[str]) -> Answer | Refused:
        """Do one read and wait for its entry. Not to be called on the writer's thread or on an event loop."""
        wanted = _Wanted(opening, tenant, sid, fields)
        try:
            eid = self._gate.store.write(Write(lambda tx: self._read(tx, (wanted,)), lane=Lane.READ))
        except _NobodyWasRead:
            eid = b""
        return wanted.answer(eid)

    def together(
        self, wanted: Sequence[tuple[Opening, str, bytes, frozenset[str]]]
    ) -> list[Answer | Refused | Exception]:
        """Do several reads in one transaction and wait for their one entry; where each may be of another opening."""
        group = [_Wanted(opening, tenant, sid, fields) for opening, tenant, sid, fields in wanted]
        if not group:
            return []
        try:
            eid = self._gate.store.write(Write(lambda tx: self._read(tx, group), lane=Lane.READ))
        except _NobodyWasRead:
            eid = b""
        return [_told(each, eid) for each in group]

    def join(
        self, opening: Opening, tenant: str, sid: bytes, fields: frozenset[str]
    ) -> asyncio.Future[Answer | Refused]:
        """Read with the others. The future has the answer once its entry is durable, or the refusal."""
        pace = self._here.pace
        if pace is None or not pace.loop.is_running():  # a loop that ended may have left its own behind
            pace = self._here.pace = Pace(asyncio.get_running_loop(), self._leave)  # a system call: not once a read
        waiter: asyncio.Future[Answer | Refused] = pace.loop.create_future()
        pace.add(_Wanted(opening, tenant, sid, fields, waiter))
        return waiter

    def _leave(self, pace: Pace[_Wanted], group: list[_Wanted]) -> None:
        def settle(item: Item) -> None:
            """On the loop: the block is durable, or it was refused."""
            pace.back(len(group))
            fault = None if isinstance(item.fault, _NobodyWasRead) else item.fault
            for wanted in group:
                waiter = wanted.waiter
                if waiter is None or waiter.done():
                    continue  # its client went away; the entry stands
                if fault is not None:
                    waiter.set_exception(fault)
                    continue
                try:
                    waiter.set_result(wanted.answer(item.value))
                except Exception as own:
                    waiter.set_exception(own)

        item = Item(Write(lambda tx: self._read(tx, group), lane=Lane.READ))
        item.loop, item.settle = pace.loop, settle
        try:
            self._gate.store.writer.put(item)
        except Exception as refusal:
            item.fault = refusal
            settle(item)

    # --- on the writer's thread ---

    def _read(self, tx: DataTx, group: Sequence[_Wanted]) -> bytes:
        """Read everybody, decide, open, and append the block: its entry's id. A fault of one is that one's alone."""
        gate = self._gate
        now = gate.clock.now()
        rows: dict[tuple[str, bytes], Rows] = {}
        for tenant in {wanted.tenant for wanted in group}:
            self._fetch(tx, tenant, list({wanted.sid for wanted in group if wanted.tenant == tenant}), rows)
        reads = []
        for wanted in group:
            try:
                found: Prepared | Refused | Exception = wanted.opening.open_rows(
                    wanted.tenant, wanted.sid, wanted.fields, rows.get((wanted.tenant, wanted.sid), ()), now
                )
            except Exception as fault:
                found = fault
            wanted.found = found
            if found.__class__ is Prepared:
                reads.append(found[2])
        if not reads:
            raise _NobodyWasRead
        return gate.reads.append(tx, reads)

    def _fetch(self, tx: DataTx, tenant: str, sids: list[bytes], rows: dict[tuple[str, bytes], Rows]) -> None:
        execute = driver(tx.connection).execute
        for first in range(0, len(sids), CHUNK):
            statement, values = many_persons(self._gate.store.data, tenant, sids[first : first + CHUNK])
            for row in execute(statement, values).fetchall():
                rows.setdefault((tenant, row[0]), []).append(row)
