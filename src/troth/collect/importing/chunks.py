"""A chunk of rows as one write: keys and suppressions first, then everybody with their entries, and how far it got.

Each person has the entry of their collection, which names the notice in force, and the entry of their consent; both
are theirs to open, like those of anybody who filled in a form (promise 3). Mechanisms: ``intake.declared``,
``notice.bind``, ``consent.record``, ``suppress.keyed``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from troth.collect.confirm import with_grant
from troth.collect.importing import runs
from troth.collect.importing.planning import Take
from troth.collect.importing.runs import Order, Run
from troth.errors import Conflict
from troth.notice.brought import MEMBER, Brought, row_of, store
from troth.notice.consents import CLASS, SCHEMA, TABLE, Shown
from troth.notice.shown import notice_for
from troth.policy.model import UNKNOWN, CompiledPolicy, Grant, Point, State, Stop, Terms
from troth.store import Idempotency, Write
from troth.store.ledger import EntryDraft
from troth.store.writer import DataTx, KeyTx
from troth.vault import NewRecord, Staged

if TYPE_CHECKING:
    from troth.collect.importing.carrying import Importing

CONTROL = "import"  # what stands in a record where a form has its button


@dataclass(frozen=True)
class Newcomer:
    """Somebody to take in, or (with ``sid``) somebody here whose consent is brought; what they are spared stays."""

    plan: Take
    sid: bytes | None
    stops: frozenset[Stop]


@dataclass
class Chunk:
    """What is written together."""

    run: Run | None
    policy: CompiledPolicy
    point: Point
    surface: str
    newcomers: list[Newcomer] = field(default_factory=list)
    spared: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    upto: int = 0
    counts: bytes = b"{}"

    @property
    def addresses(self) -> list[str]:
        """Whom it is about: part of its key, which is hashed."""
        return [*(one.plan.address for one in self.newcomers), *(address for address, _ in self.spared)]


def carry(importing: Importing, chunk: Chunk, order: Order, key: Idempotency) -> Write[bytes]:
    """The write that carries a chunk in. It happens once, whatever becomes of the process (``key``)."""
    run, point, policy = chunk.run, chunk.point, chunk.policy
    assert run is not None
    vault, tenant = importing.vault, order.tenant
    notice = notice_for(policy, point).sha256
    staged = [(one, _staged(importing, chunk, tenant, one)) for one in chunk.newcomers]

    def before(ktx: KeyTx) -> None:
        for _, person in staged:
            person.before(ktx)
        for address, purposes in chunk.spared:  # first, and safe to repeat: an address spared too soon harms nobody
            for purpose in purposes:
                vault.suppress_value(ktx, tenant, "email", address, purpose)

    def body(tx: DataTx) -> bytes:
        facts = {"run": run.id.hex(), "people": len(staged), "spared": len(chunk.spared), "upto": chunk.upto}
        tx.append(EntryDraft("import.rows", point.clause, runs.MECHANISMS[order.kind], refers=run.eid, facts=facts))
        rows = [_take_in(importing, tx, chunk, tenant, one, person, notice) for one, person in staged]
        store(tx, [row for row in rows if row is not None])
        event = f"{point.id}.confirmed"
        vault.begin(tx, tenant, [person.sid for one, person in staged if one.sid is None], event, policy)
        for one, person in staged:
            if one.sid is not None:
                vault.happen(tx, tenant, person.sid, event, policy)
        runs.go_on(tx, run, chunk.upto, chunk.counts)
        return b"{}"

    return Write(before=before, body=body, key=key)


def _staged(importing: Importing, chunk: Chunk, tenant: str, one: Newcomer) -> Staged:
    """Their records, each with its source and its evidence under the same seal; a state that begins as it is to be."""
    point, policy, plan = chunk.point, chunk.policy, one.plan
    classes = (CLASS,) if point.consent else ()
    if one.sid is not None:
        return importing.vault.stage(tenant, sid=one.sid, identifiers={}, records=[], pending=False, classes=classes)
    terms = Terms(policy.controller.name, chunk.surface, point.id, policy.version)
    told = Brought(plan.source, plan.agreed_ms, plan.how).as_member(importing.store.now())
    records = [
        NewRecord(class_, terms, {n: plan.values[n] for n in sorted(fields) if n in plan.values} | {MEMBER: told})
        for class_, fields in sorted(point.classes().items())
    ]
    return importing.vault.stage(
        tenant,
        identifiers={"email": plan.address},
        records=records,
        pending=False,
        classes=classes,
        state=state_of(policy, point, one.stops),
    )


def state_of(policy: CompiledPolicy, point: Point, stops: frozenset[Stop]) -> State:
    """The state of somebody who comes in: the grant that was brought, under the version in force, and old stops."""
    ask = point.consent
    state = State(bound=policy.version) if ask is None else with_grant(policy, _grant(point))(UNKNOWN)
    return State(state.mode, state.bound, state.grants, state.stops | stops)


def _grant(point: Point) -> Grant:
    ask = point.consent
    assert ask is not None
    return Grant(ask.purpose, ask.channel, ask.meaning)


def _take_in(
    importing: Importing, tx: DataTx, chunk: Chunk, tenant: str, one: Newcomer, person: Staged, notice: str
) -> dict[str, Any] | None:
    """The entries of one person, and their records; the row of their consent, where the point asks for one."""
    run, point, policy, ask = chunk.run, chunk.point, chunk.policy, chunk.point.consent
    assert run is not None
    if person.adopted and importing.vault.exists(tx.connection, tenant, person.sid):
        raise Conflict("somebody else came in under one of these addresses just now: start the command again")
    entry = tx.append(
        EntryDraft(
            kind="intake.imported",
            clause=point.clause,
            mechanism="intake.declared",
            refers=run.eid,
            facts={
                "point": point.id,
                "surface": chunk.surface,
                "control": CONTROL,
                "notice": notice,
                "fields": sorted(one.plan.values) if one.sid is None else [],
                "consents": [ask.id] if ask else [],
            },
        ),
        person.opening,
    )
    person.insert(tx, entry.eid)
    if ask is None:
        return None
    cid = importing.chance.bytes(16)
    agreed = tx.append(
        EntryDraft(
            kind="consent.imported",
            clause=ask.clause,
            mechanism="consent.record",
            purpose=ask.purpose,
            refers=entry.eid,
            facts={"consent": ask.id, "record": cid.hex()},
        ),
        person.opening,
    )
    if one.sid is not None:
        importing.vault.change_state(tx, tenant, person.sid, with_grant(policy, _grant(point)))
    return row_of(
        tx.now,
        policy,
        ask,
        Shown(chunk.surface, point.id, policy.language, CONTROL, notice),
        Brought(one.plan.source, one.plan.agreed_ms, one.plan.how),
        tenant=tenant,
        sid=person.sid,
        cid=cid,
        eid=agreed.eid,
        seal=lambda cid, value: person.seal(CLASS, cid, TABLE, SCHEMA, value),
    )
