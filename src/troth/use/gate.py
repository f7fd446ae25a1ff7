"""The one way to read. Default deny; every answer leaves after its entry is durable; every refusal names its clauses.

One read: the person's state and records in one snapshot of D; the decision and the end of keeping before anything
is decrypted; then a block of the ledger is written for all reads of this moment, in whose transaction the person's
generation is looked at again; then the answer is released (STORAGE B(a), B(b)). If the ledger cannot be written,
nothing is read. Clauses: ``purpose.*``, ``share.nothing-else``. Mechanisms: ``gate.purpose``, ``gate.never``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from troth.errors import Conflict, Denied, NotFound, TrothError
from troth.notice.versions import Versions
from troth.policy.ask import UNDECLARED, explain
from troth.policy.model import CompiledPolicy, Decision, Form, History, State
from troth.store import Lane, Store, Write
from troth.store.reads import Read, Reads
from troth.use.denials import Denials, Due, Refusal
from troth.use.interned import InternedStates, InternedTerms
from troth.use.rows import one_person, spans_of
from troth.use.scan import Scan, declared, scan
from troth.use.verdicts import (
    NOT_CONCERNED,
    Ask,
    Refused,
    Taken,
    Verdict,
    declared_only,
    judge,
    nearest,
    restricted,
    without_records,
)
from troth.vault import Vault
from troth.vault.retention import phase_until

T = TypeVar("T")

OPEN_MODES = frozenset({"live", "restricted"})
DUE = -1  # the phase of a record that is past its keeping
FOR_GOOD = 1 << 62  # a time that never comes
READERS = 4  # threads that wait for PostgreSQL, so that the event loop does not
REMEMBERED = 50_000  # phases computed; cleared when full

IDENTIFIED = Form()

Case = tuple[int, str, int, int, str]
Keeping = tuple[int, str, int, int, str | None]  # terms, class, anchor, last use, spans
Plan = dict[Case, Verdict]


@dataclass(frozen=True, slots=True)
class Answer:
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


class Gate:
    """Opens personal data for a purpose, or refuses. One for all tenants; safe from any thread and event loop."""

    def __init__(self, store: Store, vault: Vault, versions: Versions) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.denials = Denials()
        self.reads = Reads(store, vault.seal_block)
        self.terms = InternedTerms(store.data)
        self.states = InternedStates(store.data)
        self.history = History(())
        self._policy: CompiledPolicy | None = None
        self._until = 0
        self._plans: dict[Ask, Plan] = {}
        self._phases: dict[Keeping, tuple[int, int, int]] = {}
        self._one = one_person(store.data)
        self.inline = store.data.dialect == "sqlite"
        self._pool = None if self.inline else ThreadPoolExecutor(READERS, thread_name_prefix="gate")

    def open(
        self,
        purpose: str,
        *,
        channel: str | None = None,
        recipient: str | None = None,
        form: Form = IDENTIFIED,
        actor: str = "system",
        evidence: Collection[str] = (),
        proving: bool = False,
    ) -> Opening:
        """An opening for one purpose. ``evidence`` names the guards that are met (``ticket``, ``operators:2``).

        ``proving``: this use asks an unproven person for their proof, the only use that may read of one.
        """
        asked = Ask(purpose, frozenset(), recipient, channel, form, frozenset(evidence))
        return Opening(self, asked, actor, proving)

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Do reading work where it does not hold up the event loop: inline on SQLite, which answers in microseconds."""
        if self._pool is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Write the refusals that are counted and not written yet."""
        self._write_ended(self.denials.flush())
        if self._pool is not None:
            self._pool.shutdown()

    # --- what all openings share ---

    def policy(self, now: int) -> CompiledPolicy:
        """The version in force; what was remembered under another one is dropped."""
        policy = self._policy
        if policy is None or now >= self._until or self.versions.history is not self.history:
            current = self.versions.current()
            if current is not policy or self.versions.history is not self.history:
                self._plans, self._phases = {}, {}
            self.history = self.versions.history
            coming = [version.effective_ms for version in self.history.versions if version.effective_ms > now]
            self._policy, self._until = current, min(coming, default=FOR_GOOD)
            policy = current
        return policy

    def plan(self, ask: Ask) -> Plan:
        """What was decided about this question so far."""
        plan = self._plans.get(ask)
        if plan is None:
            if len(self._plans) >= 10_000:  # questions come from outside: they must not fill the memory
                self._plans = {}
            plan = self._plans[ask] = {}
        return plan

    def fetch(self, tenant: str, sid: bytes) -> Sequence[Sequence[Any]]:
        """The person's rows, see ``rows.Held``; empty where there is none."""
        found: Sequence[Sequence[Any]] = self.store.data.raw_reader().execute(self._one, (tenant, sid)).fetchall()
        return found

    def phase(self, row: Sequence[Any], now: int) -> int:
        """The phase of keeping that a record is in, ``DUE`` when it is past the last one."""
        key = (row[7], row[8], row[10], row[4], row[5])
        known = self._phases.get(key)
        if known is not None and known[1] <= now < known[2]:
            return known[0]
        return self._compute_phase(key, now)

    def _compute_phase(self, key: Keeping, now: int) -> int:
        terms_id, class_, anchor, last_use, spans = key
        terms = self.terms[terms_id]
        version = self.history.version(terms.version)
        keep = version.keeps.get(class_)
        phase: int | str = 0
        until: int | None = None
        if keep is not None and keep.phases:
            phase, until = phase_until(keep, version.states, anchor, spans_of(spans), last_use, now)
        number = phase if isinstance(phase, int) else DUE
        if len(self._phases) >= REMEMBERED:
            self._phases = {}
        self._phases[key] = (number, now, FOR_GOOD if until is None else until)
        return number

    def verdict(self, ask: Ask, plan: Plan, case: Case) -> Verdict:
        """The decision on one case, asked of the policy and remembered."""
        terms_id, class_, phase, state_id, mode = case
        policy = self._policy
        assert policy is not None
        if phase == DUE:
            verdict: Verdict = Refused((), (f"keep:{class_}",))
        else:
            terms = replace(self.terms[terms_id], phase=phase, keep=class_)
            verdict = judge(self.history, policy.version, terms, restricted(self.states[state_id], mode), ask)
        plan[case] = verdict
        return verdict

    def open_row(self, tenant: str, row: Sequence[Any]) -> dict[str, Any]:
        """The content of a row's record."""
        return self.vault.open_row(tenant, row[0], row[8], row[6], row[9], row[11], row[3])

    # --- refusals ---

    def refusal(self, opening: Opening, tenant: str, sid: bytes | None, refused: Refused) -> tuple[Denied, Refusal]:
        """The exception and what is counted, both without any name from outside."""
        told = self.told(refused)
        purpose = self.purpose_told(opening.ask.purpose)
        clause = told.clauses[0]
        detail = explain(Decision(False, told.clauses, told.gaps), self.policy(self.store.clock.now()))
        denied = Denied(detail, clause=clause, gaps=told.gaps)
        return denied, Refusal(tenant, sid, purpose, clause, told.gaps, opening.actor)

    def told(self, refused: Refused) -> Refused:
        """A refusal as it may be told and recorded: with a clause, and without any name from outside."""
        return declared_only(self.policy(self.store.clock.now()), refused)

    def purpose_told(self, purpose: str) -> str:
        """The purpose's name if the policy declares it; what else came from outside is not repeated."""
        return purpose if purpose in self.policy(self.store.clock.now()).purposes else UNDECLARED

    def note(self, refusal: Refusal) -> Write[None] | None:
        """Count a refusal; the write that must be durable before it is answered, or None."""
        due, ended = self.denials.note(refusal, self.store.clock.now())
        self._write_ended(ended)
        return self._entries([due]) if due is not None else None

    def _write_ended(self, ended: list[Due]) -> None:
        for start in range(0, len(ended), 50):
            try:
                self.store.submit(self._entries(ended[start : start + 50], lane=Lane.JOB))
            except TrothError:  # the store is full or gone: these counts are lost, as a log line would be
                return

    def _entries(self, due: list[Due], lane: Lane = Lane.READ) -> Write[None]:
        openings = [self._opening_of(each) for each in due]

        def body(tx: Any) -> None:
            for each, opening in zip(due, openings, strict=True):
                tx.append(each.draft, opening)

        return Write(body=body, lane=lane)

    def _opening_of(self, due: Due) -> bytes | None:
        if due.sid is None:
            return None
        try:
            return self.vault.opening(due.tenant, due.sid)
        except NotFound:  # erased: nothing may be linked to this person any more (invariant 4)
            return None


class Opening:
    """The right to ask for one purpose. ``read`` waits, ``aread`` is for event loops, ``scan`` is for many persons."""

    def __init__(self, gate: Gate, ask: Ask, actor: str, proving: bool) -> None:
        self.gate = gate
        self.ask = ask
        self.actor = actor
        self.modes = OPEN_MODES | {"pending"} if proving else OPEN_MODES
        self._asks: dict[frozenset[str], Ask] = {}

    def read(self, tenant: str, sid: bytes, fields: Collection[str]) -> Answer:
        """These fields of one person. Raises ``Denied``; ``Busy`` or ``Unavailable`` before anything was read."""
        self.gate.reads.admit()
        prepared = self._prepare(tenant, sid, frozenset(fields))
        if isinstance(prepared, Refused):
            denied, write = self._deny(tenant, sid, prepared)
            if write is not None:
                self.gate.store.write(write)
            raise denied
        try:
            eid = self.gate.reads.record((prepared.read,))
        except Conflict as changed:
            raise self._changed() from changed
        return Answer(prepared.values, prepared.clauses, eid, prepared.read.generation)

    async def aread(self, tenant: str, sid: bytes, fields: frozenset[str]) -> Answer:
        """As ``read``, on an event loop."""
        gate = self.gate
        gate.reads.admit()
        if gate.inline:
            prepared = self._prepare(tenant, sid, fields)
        else:
            prepared = await gate.off_loop(lambda: self._prepare(tenant, sid, fields))
        if isinstance(prepared, Refused):
            denied, write = self._deny(tenant, sid, prepared)
            if write is not None:
                await gate.store.awrite(write)
            raise denied
        try:
            eid = await gate.reads.note(prepared.read)
        except Conflict as changed:
            raise self._changed() from changed
        return Answer(prepared.values, prepared.clauses, eid, prepared.read.generation)

    def scan(self, tenant: str, fields: Collection[str]) -> Scan:
        """These fields of everybody of whom they may all be taken: one entry, durable when this returns.

        Persons of whom they may not are left out. Raises ``Denied`` where the policy has no such use at all, ``Busy``
        or ``Unavailable`` before anything was read.
        """
        self.gate.reads.admit()
        ask = self.ask._replace(fields=frozenset(fields))
        refused = declared(self, ask)
        if refused is not None:
            denied, refusal = self.gate.refusal(self, tenant, None, refused)
            write = self.gate.note(refusal)
            if write is not None:
                self.gate.store.write(write)
            raise denied
        return scan(self, tenant, ask)

    def weigh(self, tenant: str, sid: bytes, fields: frozenset[str]) -> Weighed | Refused:
        """Decide about this person's records, each by its terms, state and phase of keeping; nothing is opened."""
        gate = self.gate
        now = gate.store.clock.now()
        policy = gate.policy(now)
        ask = self._asks.get(fields)
        if ask is None:
            ask = self._asks[fields] = self.ask._replace(fields=fields)
        plan = gate.plan(ask)
        rows = gate.fetch(tenant, sid)
        if not rows:
            return without_records(gate.history, policy, State(), ask)
        _, state_id, mode, generation, *_ = rows[0]
        if mode not in self.modes:
            return Refused((), (f"mode:{mode}",))
        taking: list[tuple[Sequence[Any], Taken]] = []
        refused: list[Refused] = []
        for row in rows:
            if row[6] is None:
                break
            case = (row[7], row[8], gate.phase(row, now), state_id, mode)
            verdict = plan.get(case) or gate.verdict(ask, plan, case)
            if isinstance(verdict, Taken):
                taking.append((row, verdict))
            elif verdict is not NOT_CONCERNED:
                refused.append(verdict)
        if not taking:
            return nearest(refused) or without_records(gate.history, policy, gate.states[state_id], ask)
        taken = taking[0][1]
        if len(taking) > 1 or taken.fields != fields:
            missing = fields.difference(*(each.fields for _, each in taking))
            if missing:
                return nearest(refused) or Refused((), tuple(f"field:{name}" for name in sorted(missing)))
        return Weighed(taking, Read(tenant, sid, generation, ask.purpose, taken.clauses[0], mode))

    def _prepare(self, tenant: str, sid: bytes, fields: frozenset[str]) -> Prepared | Refused:
        """Decide, and open what the decision permits. Nothing of it may leave before its entry is durable."""
        weighed = self.weigh(tenant, sid, fields)
        if isinstance(weighed, Refused):
            return weighed
        taking, read = weighed
        try:
            if len(taking) == 1:
                row, taken = taking[0]
                values = self.gate.open_row(tenant, row)
                return Prepared({name: values[name] for name in fields if name in values}, taken.clauses, read)
            return self._together(tenant, taking, read)
        except NotFound:  # an erasure destroyed the key after the snapshot
            return Refused(taking[0][1].clauses, ("generation",))

    def _together(self, tenant: str, taking: list[tuple[Sequence[Any], Taken]], read: Read) -> Prepared:
        """Values of several records: of a field that several hold, the newest one's counts."""
        values: dict[str, Any] = {}
        clauses: dict[str, None] = {}
        for row, taken in sorted(taking, key=lambda each: (each[0][10], each[0][6])):
            opened = self.gate.open_row(tenant, row)
            values |= {name: opened[name] for name in taken.fields if name in opened}
            clauses |= dict.fromkeys(taken.clauses)
        return Prepared(values, tuple(clauses), read)

    def _deny(self, tenant: str, sid: bytes, refused: Refused) -> tuple[Denied, Write[None] | None]:
        denied, refusal = self.gate.refusal(self, tenant, sid, refused)
        return denied, self.gate.note(refusal)

    def _changed(self) -> Denied:
        """The person's state changed between the decision and the entry: what was opened is dropped."""
        return Denied("this changed while it was being read: ask again", clause=None, gaps=("generation",))
