"""Checks of what people do to their accounts: corrections that hold, closing that binds, use that somebody signed."""

from __future__ import annotations

from sqlalchemy import func, select

from troth.evidence.checks import Check, Verdict, failed, passed, unless, unseen
from troth.evidence.checks.rights import OPEN_REQUESTS, handed_over
from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say
from troth.policy.model import CompiledClause
from troth.store.tables import activity, corrections, guards, ledger, subject_states, subjects, tags
from troth.use.activity import reportable
from troth.use.closing import ended_by_closing
from troth.vault.states import CLOSED

C, S, A = corrections.c, subject_states.c, activity.c
CORRECTED = select(C.tenant, C.sid, C.eid, C.rid, C.fields)
UNRECORDED = (
    select(func.count())
    .select_from(corrections.outerjoin(ledger, C.eid == ledger.c.eid))
    .where(ledger.c.kind.is_(None) | (ledger.c.kind != "data.rectified"))
)
GUARDED = select(guards.c.eid, guards.c.rid).where(guards.c.kind == "rectified")
FOUND_BY = (
    select(tags.c.tenant, tags.c.sid, func.count())
    .where(tags.c.kind == "email", tags.c.state == "live")
    .group_by(tags.c.tenant, tags.c.sid)
)
SHUT = select(S.tenant, S.sid).where(S.state == CLOSED, S.until_ms.is_(None))
OPEN_STATES = select(S.tenant, S.sid, S.state).where(S.until_ms.is_(None), S.state != CLOSED)
CLOSINGS = select(func.count()).select_from(ledger).where(ledger.c.kind == "account.closed")
UNSIGNED = (
    select(func.count())
    .select_from(activity.outerjoin(ledger, A.eid == ledger.c.eid))
    .where(ledger.c.kind.is_(None) | (ledger.c.kind != "activity.reported"))
)
KINDS = select(A.event).distinct()
RUNS = select(A.tenant, A.sid, func.max(A.until_ms).label("until_ms")).group_by(A.tenant, A.sid).subquery()
AHEAD = (
    select(func.count())
    .select_from(
        subjects.outerjoin(RUNS, (RUNS.c.tenant == subjects.c.tenant) & (RUNS.c.sid == subjects.c.sid)),
    )
    .where(subjects.c.last_use_ms > func.coalesce(RUNS.c.until_ms, 0))
)
MINUTE_MS = 60_000


def correcting(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each correction has its entry and its guard, who changed the address is found by one, and no request is late."""
    rows = inspection.rows(CORRECTED)
    faults: list[Said] = []
    late = [r for r in inspection.rows(OPEN_REQUESTS) if r.kind == "rectification" and r.due_ms < inspection.now]
    if late:
        faults.append(say("right.rectify.late", requests=len(late)))
    guarded = {(bytes(row.eid), bytes(row.rid or b"")) for row in inspection.key_rows(GUARDED)}
    bare = sum((bytes(row.eid), bytes(row.rid)) not in guarded for row in rows)
    if bare:
        faults.append(say("right.rectify.guards", corrections=bare))
    unrecorded = inspection.rows(UNRECORDED)[0][0]
    if unrecorded:
        faults.append(say("right.rectify.no-entry", corrections=unrecorded))
    found_by = {(row[0], bytes(row[1])): row[2] for row in inspection.key_rows(FOUND_BY)}
    moved = {(row.tenant, bytes(row.sid)) for row in rows if '"email"' in row.fields}
    twice = sum(found_by.get(person, 0) != 1 for person in moved)
    if twice:
        faults.append(say("right.rectify.addresses", persons=twice))
    entries = inspection.entries("data.rectified")
    if not entries:
        return failed(*faults) if faults else unseen(say("right.rectify.unseen"))
    return unless(faults, say("right.rectify.good", corrections=len(entries)))


def closing(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The page is behind a proof; whoever closed an account has none of the states that this ends, and an entry."""
    faults = [say("account.control.open")] if inspection.get("/account/close").status == 200 else []
    ending = {rule.name for version in inspection.versions.history.versions for rule in ended_by_closing(version)}
    shut = {(row.tenant, bytes(row.sid)) for row in inspection.rows(SHUT)}
    in_use = {(row.tenant, bytes(row.sid)) for row in inspection.rows(OPEN_STATES) if row.state in ending}
    if shut & in_use:
        faults.append(say("account.control.goes-on", accounts=len(shut & in_use)))
    closings = inspection.rows(CLOSINGS)[0][0]
    if len(shut) > closings:
        faults.append(say("account.control.no-entry", accounts=len(shut) - closings))
    return unless(faults, say("account.control.good", closings=closings, closed=len(shut)))


def reporting(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each use that a product told of has its entry and a declared kind, the product had a key; none is made up."""
    faults: list[Said] = []
    unsigned = inspection.rows(UNSIGNED)[0][0]
    if unsigned:
        faults.append(say("activity.signed.no-entry", uses=unsigned))
    declared = {kind for version in inspection.versions.history.versions for kind in reportable(version)}
    other = sum(row.event not in declared for row in inspection.rows(KINDS))
    if other:
        faults.append(say("activity.signed.undeclared", kinds=other))
    entries = inspection.entries("activity.reported")
    keyed = handed_over(inspection)
    unfounded = sum(not keyed(str(e.body.get("actor", "")).partition(":")[2], e.at_ms) for e in entries)
    if unfounded:
        faults.append(say("activity.signed.unfounded", uses=unfounded))
    ahead = inspection.rows(AHEAD.where(subjects.c.last_use_ms > inspection.now + MINUTE_MS))[0][0]
    if ahead:
        faults.append(say("activity.signed.ahead", persons=ahead))
    if faults:
        return failed(*faults)
    return passed(say("activity.signed.good", uses=len(entries)) if entries else say("activity.signed.none"))


CHECKS: dict[str, Check] = {
    "right.rectify": correcting,
    "account.control": closing,
    "activity.signed": reporting,
}
