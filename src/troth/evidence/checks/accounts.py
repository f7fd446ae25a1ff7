"""Checks of accounts: what people sign in with is sealed and set by themselves; passwords are Argon2id values."""

from __future__ import annotations

from typing import Any, get_args

from sqlalchemy import func, select

from troth.evidence.checks import Check, Verdict, unless, unseen
from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say
from troth.policy.model import CompiledClause, Duration
from troth.rights.delegation import GIVEN
from troth.store.tables import credentials, ledger, operators, sessions
from troth.use.arrivals import TOTP
from troth.use.compromise import Evidence
from troth.use.credentials import PASSWORD, Stored, unseal
from troth.use.passwords import MEMORY_KIB, PASSES
from troth.use.person_passkeys import KIND
from troth.use.person_sessions import KIND as KIND_OF_PEOPLE
from troth.use.second_factor import RECOVERY, recovery_after

SET = ("account.password-set", "account.password-changed")
SAMPLE = 20  # people's passwords that are opened, the newest
OF_STAFF = select(operators.c.password).where(operators.c.password.is_not(None))
PEOPLES = credentials.c.kind == PASSWORD
OF_PEOPLE = select(credentials).where(PEOPLES).order_by(credentials.c.since_ms.desc()).limit(SAMPLE)
HOW_MANY = select(func.count()).select_from(credentials).where(PEOPLES)
UNOWNED = (
    select(func.count())
    .select_from(credentials.outerjoin(ledger, credentials.c.eid == ledger.c.eid))
    .where(PEOPLES)
    .where(ledger.c.kind.is_(None) | ledger.c.kind.not_in(SET))
)
PASSKEYS = select(credentials).where(credentials.c.kind.startswith(KIND, autoescape=True))
UNOWNED_PASSKEYS = (
    select(credentials.c.kind)
    .select_from(credentials.outerjoin(ledger, credentials.c.eid == ledger.c.eid))
    .where(credentials.c.kind.startswith(KIND, autoescape=True))
    .where(ledger.c.kind.is_(None) | (ledger.c.kind != "account.passkey-added"))
)
FACTORS = select(credentials.c.kind).where(credentials.c.kind == TOTP)
UNOWNED_FACTORS = (
    select(credentials.c.kind)
    .select_from(credentials.outerjoin(ledger, credentials.c.eid == ledger.c.eid))
    .where(credentials.c.kind.in_((TOTP, RECOVERY)))
    .where(ledger.c.kind.is_(None) | ledger.c.kind.not_in(("account.second-factor-set", "account.recovery-codes")))
)
ACTS = ("delegation.looked", "delegation.changed")
GIVEN_ACCESS = select(credentials.c.eid).where(credentials.c.kind.startswith(GIVEN, autoescape=True))
SAME_PERSON = (sessions.c.tenant == credentials.c.tenant) & (sessions.c.sid == credentials.c.sid)
ROUND_FACTORS = (
    select(func.count())
    .select_from(sessions.join(credentials, SAME_PERSON))
    .where(credentials.c.kind == TOTP, sessions.c.method == "password", sessions.c.kind == KIND_OF_PEOPLE)
)


def passwords(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every stored password is Argon2id of the present cost, people's are sealed, and an entry says who set each."""
    staff = [row.password for row in inspection.rows(OF_STAFF)]
    people = inspection.rows(HOW_MANY)[0][0]
    if not staff and not people:
        return unseen(say("password.hashed.unseen"))
    faults: list[Said] = []
    weak = sum(not hashed_well(value) for value in staff)
    for row in inspection.rows(OF_PEOPLE):
        stored = Stored(row.since_ms, bytes(row.eid), bytes(row.ct))
        value = unseal(inspection.vault, row.tenant, bytes(row.sid), PASSWORD, stored).get("hash")
        if value is None:
            faults.append(say("password.hashed.unsealed"))
        else:
            weak += not hashed_well(value)
    if weak:
        faults.append(say("password.hashed.weak", passwords=weak))
    unowned = inspection.rows(UNOWNED)[0][0]
    if unowned:
        faults.append(say("password.hashed.unowned", passwords=unowned))
    return unless(faults, say("password.hashed.good", people=people, staff=len(staff)))


def passkeys(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each passkey of a person opens under their own key, and an entry says that they added it."""
    faults: list[Said] = []
    unsealed = sum(
        not unseal(inspection.vault, row.tenant, bytes(row.sid), row.kind, Stored(row.since_ms, row.eid, bytes(row.ct)))
        for row in inspection.rows(PASSKEYS.order_by(credentials.c.since_ms.desc()).limit(SAMPLE))
    )
    if unsealed:
        faults.append(say("account.passkey.unsealed", passkeys=unsealed))
    unowned = len(inspection.rows(UNOWNED_PASSKEYS))
    if unowned:
        faults.append(say("account.passkey.unowned", passkeys=unowned))
    return unless(faults, say("account.passkey.good", passkeys=len(inspection.rows(PASSKEYS))))


def second_factors(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each second factor was set by its owner, no session goes round one, and none was lost before its time."""
    faults: list[Said] = []
    unowned = len(inspection.rows(UNOWNED_FACTORS))
    if unowned:
        faults.append(say("account.second-factor.unowned", factors=unowned))
    round_it = inspection.rows(ROUND_FACTORS)[0][0]
    if round_it:
        faults.append(say("account.second-factor.round", sessions=round_it))
    after = recovery_after(inspection.policy)
    asked = {entry.eid.hex(): entry.at_ms for entry in inspection.entries("account.recovery-asked")}
    done = inspection.entries("account.recovery-done")
    early = sum(after is None or entry.at_ms < due(after, asked.get(entry.body.get("refers", ""))) for entry in done)
    if early:
        faults.append(say("account.second-factor.early", factors=early))
    return unless(faults, say("account.second-factor.good", factors=len(inspection.rows(FACTORS)), lost=len(done)))


def delegations(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each access was given by the account's holder; who has it acts while it lasts, within its scope, and is named."""
    given = {entry.eid.hex(): entry for entry in inspection.entries("delegation.invited")}
    faults: list[Said] = []
    unowned = sum(bytes(row.eid).hex() not in given for row in inspection.rows(GIVEN_ACCESS))
    if unowned:
        faults.append(say("access.delegation.unowned", given=unowned))
    if not given:
        return unless(faults, say("access.delegation.unseen")) if faults else unseen(say("access.delegation.unseen"))
    taken = {entry.body["facts"]["delegation"]: entry.at_ms for entry in inspection.entries("delegation.accepted")}
    ended = {entry.body["facts"]["delegation"]: entry.at_ms for entry in inspection.entries("delegation.ended")}
    acts = inspection.entries(*ACTS)
    beyond = 0
    for act in acts:
        id_ = str(act.body["actor"]).removeprefix("delegate:")
        terms: dict[str, Any] = given[id_].body["facts"] if id_ in given else {"until": 0, "scope": ""}
        begins, ends = taken.get(id_, float("inf")), min(terms["until"], ended.get(id_, float("inf")))
        beyond += not begins <= act.at_ms <= ends or (act.kind == ACTS[1] and terms["scope"] != "act")
    if beyond:
        faults.append(say("access.delegation.beyond", acts=beyond))
    said = {(act.eid.hex(), act.body["actor"]) for act in acts}
    theirs = [e.body for e in inspection.entries("data.rectified") if str(e.body["actor"]).startswith("delegate:")]
    unsaid = sum((body.get("refers"), body["actor"]) not in said for body in theirs)
    if unsaid:
        faults.append(say("access.delegation.unsaid", acts=unsaid))
    return unless(faults, say("access.delegation.good", given=len(given), acts=len(acts)))


def changes(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Passwords end on evidence only, and one that ended opens nothing any more."""
    ended = inspection.entries("account.password-known")
    own = inspection.entries(*SET)
    if not own:
        return unseen(say("password.change.unseen"))
    faults: list[Said] = []
    baseless = sum(entry.body.get("facts", {}).get("by") not in get_args(Evidence) for entry in ended)
    if baseless:
        faults.append(say("password.change.baseless", passwords=baseless))
    over = {entry.body.get("refers") for entry in ended}
    alive = sum(bytes(row.eid).hex() in over for row in inspection.rows(select(credentials.c.eid).where(PEOPLES)))
    if alive:
        faults.append(say("password.change.alive", passwords=alive))
    return unless(faults, say("password.change.good", own=len(own), ended=len(ended)))


def due(after: Duration, asked_ms: int | None) -> float:
    """When a loss that was told then may take effect: never, where it was not told."""
    return float("inf") if asked_ms is None else after.after(asked_ms)


def hashed_well(value: str) -> bool:
    """Whether this is an Argon2id value of at least the cost that new ones have."""
    from argon2 import Type, extract_parameters
    from argon2.exceptions import InvalidHashError

    try:
        found = extract_parameters(value)
    except InvalidHashError:
        return False
    return found.type is Type.ID and found.memory_cost >= MEMORY_KIB and found.time_cost >= PASSES


CHECKS: dict[str, Check] = {
    "password.hashed": passwords,
    "password.change": changes,
    "account.passkey": passkeys,
    "account.second-factor": second_factors,
    "access.delegation": delegations,
}
