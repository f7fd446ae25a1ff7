"""Staff look at one person's data: found by an exact identifier, for a purpose that their role has, with a reason.

Nobody browses: there is no list, and no search by part of a name. The values come through the gate under the purpose
that was chosen, so that a look that the policy does not permit shows nothing and names its clauses. Every look is an
entry committed to the person and a line that they see themselves: when, which role, why. The reason is sealed under
the person's own key and goes with them. Clauses: those that carry the purpose, ``protect.storage``. Mechanisms:
``gate.purpose``, ``operator.sign-in``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select

from troth.errors import Damaged, Forbidden, Invalid, NotFound
from troth.notice.consents import Consents
from troth.notice.versions import Versions
from troth.policy.model import Stop
from troth.store import DataTx, Lane, Store, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import looks, rights_requests, subject_states
from troth.use import person_sessions
from troth.use.devices import Device
from troth.use.gate import Gate
from troth.use.operators import SIGN_IN, STORAGE, Operator
from troth.use.person_sessions import Session
from troth.use.roles import ROLES, may, purposes_of
from troth.vault import Vault
from troth.world import DAY_MS

KINDS: Final = ("email", "reference")  # the identifiers that a person is found by
SCOPE: Final = "subjects.find"
LEAST_REASON, MOST_REASON = 10, 300  # characters
TABLE, SCHEMA = "looks", 1

OF_PERSON = (looks.c.tenant == bindparam("of_tenant"), looks.c.sid == bindparam("of_sid"))
INSERT = insert(looks)
ALL = select(looks).where(*OF_PERSON).order_by(looks.c.at_ms, looks.c.lid)
SINCE = (
    select(func.count())
    .select_from(looks)
    .where(looks.c.tenant == bindparam("of_tenant"), looks.c.at_ms > bindparam("at"), looks.c.role.in_(ROLES))
)
STATES = (
    select(subject_states)
    .where(subject_states.c.tenant == bindparam("of_tenant"), subject_states.c.sid == bindparam("of_sid"))
    .order_by(subject_states.c.since_ms)
)
REQUESTS = (
    select(rights_requests)
    .where(
        rights_requests.c.tenant == bindparam("of_tenant"),
        rights_requests.c.sid == bindparam("of_sid"),
        rights_requests.c.ended_ms.is_(None),
    )
    .order_by(rights_requests.c.received_ms)
)


@dataclass(frozen=True)
class Look:
    """One look, as its person sees it. ``reason`` is None once the key that sealed it has ended.

    Where ``role`` is none of staff's, somebody looked or corrected whom the person gave access; ``reason`` is the name
    that they gave them.
    """

    at_ms: int
    role: str
    purpose: str
    reason: str | None


@dataclass(frozen=True)
class Seen:
    """What a look shows: the values that the purpose may have, and how things stand with the person."""

    values: dict[str, Any]
    clauses: tuple[str, ...]
    states: tuple[tuple[str, int, int | None], ...]  # state, since, until
    consents: tuple[tuple[str, str, int | None], ...]  # consent, state, given
    objections: tuple[str, ...]
    sessions: tuple[tuple[Session, Device | None], ...]
    requests: tuple[tuple[str, str, int, int], ...]  # kind, state, received, due
    at_ms: int


class Looks:
    """Looking, and who looked. Methods block: call them from a thread."""

    def __init__(self, store: Store, vault: Vault, versions: Versions, consents: Consents, gate: Gate) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.consents = consents
        self.gate = gate

    def find(self, tenant: str, kind: str, value: str, by: Operator) -> bytes:
        """Whose identifier this is, exactly. ``NotFound``, with an entry of the attempt, where it is nobody's here.

        ``Forbidden`` for a role that finds nobody, ``Invalid`` for what is no identifier.
        """
        if not may(by.role, SCOPE) or by.state != "active":
            raise Forbidden("your role does not look at people's data", clause=STORAGE)
        if kind not in KINDS:
            raise Invalid("a person is found by an address or a reference", gaps=("kind: choice",))
        try:
            sid = self.vault.find(tenant, kind, value)
        except Invalid as fault:
            raise Invalid("this is no such identifier", gaps=(f"value: {kind}",)) from fault
        if sid is None or not self.store.read(lambda connection: self.vault.exists(connection, tenant, sid)):
            draft = EntryDraft("subject.sought", STORAGE, SIGN_IN, by.actor, facts={"kind": kind, "found": False})
            self.store.write(Write(lambda tx: tx.append(draft)))
            raise NotFound("nobody here has this identifier", clause=STORAGE)
        return sid

    def look(self, tenant: str, sid: bytes, by: Operator, purpose: str, reason: str) -> Seen:
        """Look, for this purpose and reason; it is recorded before anything is shown.

        ``Forbidden`` for a purpose that the role does not have, ``Invalid`` for a reason that says nothing, ``Denied``
        (with its entry) where the policy does not permit it; then nothing is shown.
        """
        reason = " ".join(reason.split())
        if purpose not in purposes_of(by.role):
            raise Forbidden("your role does not look for this purpose", clause=STORAGE)
        if not LEAST_REASON <= len(reason) <= MOST_REASON or not reason.isprintable():
            raise Invalid("say why, in a few words", gaps=("reason: reason",))
        answer = self.gate.open(purpose, actor=by.actor).read(tenant, sid, self._fields(tenant, sid, purpose))
        found = self.store.read(lambda connection: self._standing(connection, tenant, sid))
        at = self._record(tenant, sid, by, purpose, reason, answer.clauses, answer.eid)
        states, consents, stops, sessions, requests = found
        return Seen(
            dict(answer.values),
            answer.clauses,
            tuple((row["state"], row["since_ms"], row["until_ms"]) for row in states),
            tuple((consent.consent, consent.state, consent.given_ms) for consent in consents),
            tuple(sorted(stop.purpose for stop in stops)),
            tuple((session, person_sessions.open_device(self.vault, session)) for session in sessions),
            tuple((row["kind"], row["state"], row["received_ms"], row["due_ms"]) for row in requests),
            at,
        )

    def _fields(self, tenant: str, sid: bytes, purpose: str) -> frozenset[str]:
        """What the person's own records may be read for this purpose; all that they have, where nothing may."""
        may_be: set[str] = set()
        held: set[str] = set()
        for row in self.gate.fetch(tenant, sid):
            if row[6] is None:
                continue
            terms = self.gate.terms[row[7]]
            point = self.versions.history.version(terms.version).points.get(terms.point)
            for use in point.uses if point else ():
                held |= use.fields
                if use.purpose == purpose and use.recipient is None and use.form.kind == "identified":
                    may_be |= use.fields
        return frozenset(may_be or held or {"email"})

    def _standing(
        self, connection: Connection, tenant: str, sid: bytes
    ) -> tuple[list[RowMapping], list[Any], frozenset[Stop], list[Session], list[RowMapping]]:
        of = {"of_tenant": tenant, "of_sid": sid}
        return (
            list(connection.execute(STATES, of).mappings()),
            self.consents.of(connection, tenant, sid),
            self.vault.state_of(connection, tenant, sid)[0].stops,
            person_sessions.of_person(connection, tenant, sid, self.store.now()),
            list(connection.execute(REQUESTS, of).mappings()),
        )

    def _record(
        self, tenant: str, sid: bytes, by: Operator, purpose: str, reason: str, clauses: tuple[str, ...], read: bytes
    ) -> int:
        """The entry, which refers to that of the reading, and the person's own line, in one transaction."""
        opening, lid = self.vault.opening(tenant, sid), self.store.randomness.bytes(16)
        class_ = self.gate.fetch(tenant, sid)[0][8]
        ct = self.vault.seal(tenant, sid, class_, lid, TABLE, SCHEMA, {"reason": reason})
        facts = {"role": by.role, "clauses": list(clauses)}
        draft = EntryDraft("subject.looked", clauses[0], "gate.purpose", by.actor, purpose, refers=read, facts=facts)

        def body(tx: DataTx) -> int:
            if not self.vault.exists(tx.connection, tenant, sid):
                raise NotFound("nobody here has this identifier", clause=STORAGE)  # an erasure was ordered meanwhile
            entry = tx.append(draft, opening)
            row = {"tenant": tenant, "sid": sid, "lid": lid, "at_ms": tx.now, "role": by.role, "purpose": purpose}
            tx.execute(INSERT, {**row, "class_": class_, "ct": ct, "eid": entry.eid})
            return tx.now

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def end_session(self, tenant: str, sid: bytes, place: str, by: Operator) -> bool:
        """End one session for a person who asked for it; False where there is none of this name."""
        opening = self.vault.opening(tenant, sid)

        def body(tx: DataTx) -> bool:
            ended = person_sessions.end_at(tx, tenant, sid, place)
            if ended:
                facts = {"sessions_ended": ended}
                tx.append(EntryDraft("account.signed-out", "protect.password", SIGN_IN, by.actor, facts=facts), opening)
            return bool(ended)

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    # --- who looked ---

    def of_person(self, tenant: str, sid: bytes) -> list[Look]:
        """Every look at this person's data, oldest first."""
        of = {"of_tenant": tenant, "of_sid": sid}
        rows = self.store.read(lambda connection: list(connection.execute(ALL, of).mappings()))
        return opened(self.vault, rows)

    def last_day(self, tenant: str) -> int:
        """How many looks of staff there were in the last 24 hours."""
        of = {"of_tenant": tenant, "at": self.store.now() - DAY_MS}
        return int(self.store.read(lambda connection: connection.execute(SINCE, of).scalar_one()))


def opened(vault: Vault, rows: list[RowMapping]) -> list[Look]:
    """Rows of the table, with their reasons opened."""
    return [Look(row["at_ms"], row["role"], row["purpose"], reason_of(vault, row)) for row in rows]


def reason_of(vault: Vault, row: RowMapping) -> str | None:
    """The reason of one look, None where its key has ended."""
    place = (row["tenant"], bytes(row["sid"]), row[looks.c.class_], bytes(row["lid"]))
    try:
        return str(vault.unseal(*place, TABLE, SCHEMA, bytes(row["ct"]))["reason"])
    except (NotFound, Damaged):
        return None
