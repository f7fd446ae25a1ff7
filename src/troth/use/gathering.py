"""All reads of one turn of the event loop, done together: one statement, one block of the ledger, one wait.

A statement costs the driver more than a row does, so 64 reads that meet in a turn cost a third each of what they cost
alone. Who decides, opens and refuses is still the opening, read by read.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from troth.errors import Unavailable
from troth.store.reads import MOST, Recorded
from troth.use.opening import Answer, Prepared, changed
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
        waiter: asyncio.Future[Answer | Refused],
    ) -> None:
        self.opening = opening
        self.tenant = tenant
        self.sid = sid
        self.fields = fields
        self.waiter = waiter
        self.found: Prepared | Refused | Exception | None = None


class _Turn:
    """The reads of one turn of one loop."""

    __slots__ = ("loop", "wanted")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.wanted: list[_Wanted] = []


class _Here(threading.local):
    """The turn that gathers on this thread."""

    turn: _Turn | None = None


class Gathering:
    """Gathers the reads of each turn. ``join`` is called on an event loop; several loops do not disturb each other."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._here = _Here()
        self._under_way: set[asyncio.Task[None]] = set()

    def join(
        self, opening: Opening, tenant: str, sid: bytes, fields: frozenset[str]
    ) -> asyncio.Future[Answer | Refused]:
        """Read with the others of this turn. The future has the answer once its entry is durable, or the refusal."""
        turn = self._here.turn
        loop = asyncio.get_running_loop()
        if turn is None or turn.loop is not loop:  # a loop that ended may have left its last turn behind
            turn = self._here.turn = _Turn(loop)
            loop.call_soon(self._close, turn)
        waiter: asyncio.Future[Answer | Refused] = loop.create_future()
        turn.wanted.append(_Wanted(opening, tenant, sid, fields, waiter))
        return waiter

    def _close(self, turn: _Turn) -> None:
        self._here.turn = None
        for first in range(0, len(turn.wanted), MOST):
            wanted = turn.wanted[first : first + MOST]
            if self._gate.inline:
                self._prepare(wanted)
                self._record(turn.loop, wanted)
            else:
                task = turn.loop.create_task(self._off_loop(turn.loop, wanted))
                self._under_way.add(task)  # the loop itself holds tasks weakly
                task.add_done_callback(self._under_way.discard)

    async def _off_loop(self, loop: asyncio.AbstractEventLoop, wanted: list[_Wanted]) -> None:
        """PostgreSQL answers over a socket: the loop does not wait for it."""
        try:
            await self._gate.off_loop(lambda: self._prepare(wanted))
        except RuntimeError:  # the gate was closed meanwhile
            for each in wanted:
                each.found = Unavailable("the store is closing: nothing was read or written")
        self._record(loop, wanted)

    def _prepare(self, wanted: list[_Wanted]) -> None:
        """Read everybody in one snapshot a chunk, decide and open. A fault of one is that one's alone."""
        gate = self._gate
        try:
            now = gate.clock.now()
            rows: dict[tuple[str, bytes], Rows] = {}
            for tenant in {each.tenant for each in wanted}:
                self._fetch(tenant, list({each.sid for each in wanted if each.tenant == tenant}), rows)
        except Exception as fault:
            for each in wanted:
                each.found = fault
            return
        for each in wanted:
            try:
                each.found = each.opening.open_rows(
                    each.tenant, each.sid, each.fields, rows.get((each.tenant, each.sid), ()), now
                )
            except Exception as fault:
                each.found = fault

    def _fetch(self, tenant: str, sids: list[bytes], rows: dict[tuple[str, bytes], Rows]) -> None:
        database = self._gate.store.data
        for first in range(0, len(sids), CHUNK):
            statement, values = many_persons(database, tenant, sids[first : first + CHUNK])
            for row in database.raw_reader().execute(statement, values).fetchall():
                rows.setdefault((tenant, row[0]), []).append(row)

    def _record(self, loop: asyncio.AbstractEventLoop, wanted: list[_Wanted]) -> None:
        """Hand what was opened to the ledger; what was refused or failed is told at once."""
        opened: list[tuple[Prepared, asyncio.Future[Answer | Refused]]] = []
        for each in wanted:
            found = each.found
            if found.__class__ is Prepared:
                opened.append((found, each.waiter))
            elif each.waiter.done():
                continue
            elif isinstance(found, Refused):
                each.waiter.set_result(found)
            else:
                each.waiter.set_exception(found if isinstance(found, Exception) else RuntimeError("nothing was found"))
        if not opened:
            return

        def settle(recorded: Recorded) -> None:
            """On the loop: the block is durable, or it was refused."""
            fault, eid, refused = recorded
            for at, (prepared, waiter) in enumerate(opened):
                if waiter.done():
                    continue  # its client went away; the entry stands ("prepared")
                if fault is not None:
                    waiter.set_exception(fault)
                elif at in refused:
                    waiter.set_exception(changed())
                else:
                    values, clauses, read = prepared
                    waiter.set_result(Answer(values, clauses, eid, read[2]))

        self._gate.reads.block([prepared[2] for prepared, _ in opened], loop, settle)
