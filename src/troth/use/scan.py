"""Reading many persons for one purpose: one entry for the whole scan, durable before the first value is opened.

Who may be read is decided from terms, states and keeping alone, page by page, before anything is decrypted; the entry
holds the count and, sealed beside it, who was in it. Then each page is read again and opened: whoever changed since
the entry is left out (STORAGE B(e), A9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from troth.errors import Busy, Conflict
from troth.store.engine import driver
from troth.store.reads import Check, Read, Reads, as_read
from troth.store.transaction import DataTx
from troth.use.rows import page_of_persons
from troth.use.verdicts import Ask, Refused, Taken, Verdict

if TYPE_CHECKING:
    from troth.use.gate import Gate
    from troth.use.in_force import InForce
    from troth.use.opening import Opening

PAGE = 500  # persons a page: a page is one short snapshot, so that the write-ahead log can be reset between two
TRIES = 3
# Entries whose effects touch no person's row: since then nobody can have changed. Every other kind is taken for a
# change, so that a kind added later is looked into, not overlooked.
HARMLESS = ("read.block", "read.scan", "read.denied", "decision.made", "check.run", "started")
NEWEST = "SELECT COALESCE(MAX(seq), -1) FROM ledger"
SINCE = "SELECT 1 FROM ledger WHERE seq > ? AND kind NOT IN (?, ?, ?, ?, ?, ?) LIMIT 1"


class Scan:
    """A scan whose entry is durable. Iterate over it once or more: ``(sid, values)``, ordered by sid.

    ``count`` is how many persons stand in the entry; who changed since is not in the values any more.
    """

    def __init__(self, opening: Opening, tenant: str, ask: Ask, members: dict[bytes, int], eid: bytes) -> None:
        self.eid = eid
        self.count = len(members)
        self._opening = opening
        self._tenant = tenant
        self._ask = ask
        self._members = members

    @property
    def sids(self) -> list[bytes]:
        """Who stands in the entry, ordered: for whoever opens nothing now and asks for each again later."""
        return sorted(self._members)

    def __iter__(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        gate = self._opening.gate
        for sid, rows, taking in _persons(gate, self._opening, self._tenant, self._ask, sealed=True):
            if self._members.get(sid) != rows[0][3]:
                continue
            values: dict[str, Any] = {}
            for row, taken in sorted(taking, key=lambda each: (each[0][10], each[0][6])):
                opened = gate.open_row(self._tenant, row)
                values |= {name: opened[name] for name in taken.fields if name in opened}
            yield sid, values


def scan(opening: Opening, tenant: str, ask: Ask) -> Scan:
    """Decide about everybody, record the scan, and give the values; see ``Opening.scan``."""
    gate = opening.gate
    for _ in range(TRIES):
        newest = gate.store.data.raw_reader().execute(NEWEST).fetchone()[0]
        reads = []
        for sid, rows, taking in _persons(gate, opening, tenant, ask, sealed=False):
            reads.append(Read(tenant, sid, rows[0][3], ask.purpose, taking[0][1].clauses[0], rows[0][2]))
        check = unchanged_since(gate, newest)
        try:
            eid = Reads(gate.store, gate.vault.seal_block, check).record(reads)
        except Conflict:
            continue
        return Scan(opening, tenant, ask, {read.sid: read.generation for read in reads}, eid)
    raise Busy("the persons of this scan keep changing: ask again")


def unchanged_since(gate: Gate, newest: int) -> Check:
    """A check that looks each person up only if the ledger says that anybody can have changed since ``newest``."""
    each = as_read(gate.store.data)
    since = gate.store.data.sql(SINCE)

    def check(tx: DataTx, reads: Sequence[Read]) -> bool:
        return driver(tx.connection).execute(since, (newest, *HARMLESS)).fetchone() is None or each(tx, reads)

    return check


Person = tuple[bytes, list[Sequence[Any]], list[tuple[Sequence[Any], Taken]]]


def _persons(gate: Gate, opening: Opening, tenant: str, ask: Ask, *, sealed: bool) -> Iterator[Person]:
    """Everybody of whom every field may be taken, with the rows to take them from; a snapshot a page."""
    statement = page_of_persons(gate.store.data, sealed=sealed)
    after = b""
    while True:
        now = gate.clock.now()
        verdict = _deciding(gate.in_force(now), ask)
        rows = gate.store.data.raw_reader().execute(statement, (tenant, after, PAGE)).fetchall()
        at = 0
        while at < len(rows):
            end = at + 1
            while end < len(rows) and rows[end][0] == rows[at][0]:
                end += 1
            person = rows[at:end]
            at = end
            taking = [
                (row, taken) for row in person if row[6] is not None and isinstance(taken := verdict(row, now), Taken)
            ]
            if taking and not ask.fields.difference(*(taken.fields for _, taken in taking)):
                yield person[0][0], person, taking
        if not rows:
            return
        after = rows[-1][0]


def _deciding(force: InForce, ask: Ask) -> Callable[[Sequence[Any], int], Verdict]:
    plan = force.plan(ask)

    def verdict(row: Sequence[Any], now: int) -> Verdict:
        case = (row[7], row[8], force.phase(row, now), row[1], row[2])
        return plan.get(case) or force.verdict(ask, plan, case)

    return verdict


def declared(opening: Opening, ask: Ask) -> Refused | None:
    """None where the policy in force has uses for this purpose that cover the fields together; else the refusal."""
    gate = opening.gate
    policy = gate.in_force(gate.clock.now()).policy
    uses = [use for use in policy.uses if use.purpose == ask.purpose and use.recipient == ask.recipient]
    if not uses:
        return Refused((), (f"purpose:{ask.purpose}",))
    missing = ask.fields.difference(*(use.fields for use in uses))
    if missing or not ask.fields:
        return Refused((uses[0].clause,), tuple(f"field:{name}" for name in sorted(missing)) or ("fields",))
    return None
