"""An opening: the right to ask the gate for one purpose. What it may take is decided anew for every person and read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from troth.errors import Denied, NotFound
from troth.policy.model import State
from troth.store.reads import Read
from troth.use.in_force import InForce, Plan
from troth.use.scan import Scan, declared, scan
from troth.use.verdicts import NOT_CONCERNED, Ask, Refused, Taken, nearest, without_records

if TYPE_CHECKING:
    from troth.store import Write
    from troth.use.gate import Gate

OPEN_MODES = frozenset({"live", "restricted"})
KEPT = 1000  # sets of fields an opening remembers its question for


class Answer(NamedTuple):
    """Values by field name (an optional field that was never given is absent), and what carries them.

    ``eid`` is the ledger entry that this read stands in; ``generation`` the person's, for whoever acts on the values.
    """

    values: dict[str, Any]
    clauses: tuple[str, ...]
    eid: bytes
    generation: int


class Prepared(NamedTuple):
    """Opened, but not to be released before its entry is durable."""

    values: dict[str, Any]
    clauses: tuple[str, ...]
    read: Read


class Weighed(NamedTuple):
    """What may be taken: the rows with the fields of each, and the read as it will be recorded."""

    taking: list[tuple[Sequence[Any], Taken]]
    read: Read

    @property
    def clauses(self) -> tuple[str, ...]:
        """The clauses that carry it."""
        return tuple(dict.fromkeys(clause for _, taken in self.taking for clause in taken.clauses))


class Opening:
    """The right to ask for one purpose. ``read`` waits, ``aread`` is for event loops, ``scan`` is for many persons."""

    def __init__(self, gate: Gate, ask: Ask, actor: str, proving: bool) -> None:
        self.gate = gate
        self.ask = ask
        self.actor = actor
        self.modes = OPEN_MODES | {"pending"} if proving else OPEN_MODES
        self._known: dict[frozenset[str], tuple[InForce, Ask, Plan]] = {}

    def read(self, tenant: str, sid: bytes, fields: Collection[str]) -> Answer:
        """These fields of one person. Raises ``Denied``; ``Busy`` or ``Unavailable`` before anything was read."""
        gate = self.gate
        gate.reads.admit()
        found = gate.gathering.alone(self, tenant, sid, frozenset(fields))
        if isinstance(found, Refused):
            denied, write = self._deny(tenant, sid, found)
            if write is not None:
                gate.store.write(write)
            raise denied
        return found

    async def aread(self, tenant: str, sid: bytes, fields: frozenset[str]) -> Answer:
        """As ``read``, on an event loop."""
        gate = self.gate
        gate.reads.admit()
        found = await gate.gathering.join(self, tenant, sid, fields)
        if isinstance(found, Refused):
            denied, write = self._deny(tenant, sid, found)
            if write is not None:
                await gate.store.awrite(write)
            raise denied
        return found

    def scan(self, tenant: str, fields: Collection[str]) -> Scan:
        """These fields of everybody of whom they may all be taken: one entry, durable when this returns.

        Persons of whom they may not are left out. Raises ``Denied`` where the policy has no such use at all, ``Busy``
        or ``Unavailable`` before anything was read.
        """
        self.gate.reads.admit()
        ask = self.ask._replace(fields=frozenset(fields))
        refused = declared(self, ask)
        if refused is not None:
            denied, write = self._deny(tenant, None, refused)
            if write is not None:
                self.gate.store.write(write)
            raise denied
        return scan(self, tenant, ask)

    def weigh(self, tenant: str, sid: bytes, fields: frozenset[str]) -> Weighed | Refused:
        """Decide about this person's records, each by its terms, state and phase of keeping; nothing is opened."""
        now = self.gate.clock.now()
        force, ask, plan = self._question(fields, now)
        return self._weigh(tenant, sid, self.gate.fetch(tenant, sid), now, force, ask, plan)

    def _question(self, fields: frozenset[str], now: int) -> tuple[InForce, Ask, Plan]:
        """The question about these fields, and what was decided about it under the version in force."""
        force = self.gate.in_force(now)
        known = self._known.get(fields)
        if known is None or known[0] is not force:
            if len(self._known) >= KEPT:
                self._known = {}
            ask = self.ask._replace(fields=fields)
            known = self._known[fields] = (force, ask, force.plan(ask))
        return known

    def _weigh(
        self,
        tenant: str,
        sid: bytes,
        rows: Sequence[Sequence[Any]],
        now: int,
        force: InForce,
        ask: Ask,
        plan: Plan,
    ) -> Weighed | Refused:
        if not rows:
            return without_records(force.history, force.policy, State(), ask)
        _, state_id, mode, generation, *_ = rows[0]
        if mode not in self.modes:
            return Refused((), (f"mode:{mode}",))
        taking: list[tuple[Sequence[Any], Taken]] = []
        refused: list[Refused] = []
        for row in rows:
            if row[6] is None:
                break
            case = (row[7], row[8], force.phase(row, now), state_id, mode)
            verdict = plan.get(case) or force.verdict(ask, plan, case)
            if isinstance(verdict, Taken):
                taking.append((row, verdict))
            elif verdict is not NOT_CONCERNED:
                refused.append(verdict)
        if not taking:
            return nearest(refused) or without_records(force.history, force.policy, force.states[state_id], ask)
        missing = ask.fields.difference(*(taken.fields for _, taken in taking))
        if missing:
            return nearest(refused) or Refused((), tuple(f"field:{name}" for name in sorted(missing)))
        return Weighed(taking, Read(tenant, sid, generation, ask.purpose, taking[0][1].clauses[0], mode))

    def open_rows(
        self, tenant: str, sid: bytes, fields: frozenset[str], rows: Sequence[Sequence[Any]], now: int
    ) -> Prepared | Refused:
        """Decide, and open what the decision permits, of rows of one snapshot, at ``now``.

        Nothing of it may leave before its entry is durable.
        """
        gate = self.gate
        force, ask, plan = self._question(fields, now)
        try:
            if len(rows) == 1:  # most people have one record, and most cases were decided before: no detours
                row = rows[0]
                if row[6] is not None and row[2] in self.modes:
                    taken = plan.get((row[7], row[8], force.phase(row, now), row[1], row[2]))
                    if taken.__class__ is Taken and taken.fields == fields:
                        found = gate.open_row(tenant, row)
                        values = {name: found[name] for name in fields if name in found}
                        clauses = taken.clauses
                        return Prepared(values, clauses, Read(tenant, sid, row[3], ask.purpose, clauses[0], row[2]))
            weighed = self._weigh(tenant, sid, rows, now, force, ask, plan)
            return weighed if isinstance(weighed, Refused) else self._together(tenant, weighed)
        except NotFound:  # an erasure destroyed the key after the snapshot
            return Refused((), ("generation",))

    def _together(self, tenant: str, weighed: Weighed) -> Prepared:
        """Values of several records: of a field that several hold, the newest one's counts."""
        values: dict[str, Any] = {}
        clauses: dict[str, None] = {}
        for row, taken in sorted(weighed.taking, key=lambda each: (each[0][10], each[0][6])):
            opened = self.gate.open_row(tenant, row)
            values |= {name: opened[name] for name in taken.fields if name in opened}
            clauses |= dict.fromkeys(taken.clauses)
        return Prepared(values, tuple(clauses), weighed.read)

    def _deny(self, tenant: str, sid: bytes | None, refused: Refused) -> tuple[Denied, Write[None] | None]:
        denied, refusal = self.gate.refusal(self, tenant, sid, refused)
        return denied, self.gate.note(refusal)
