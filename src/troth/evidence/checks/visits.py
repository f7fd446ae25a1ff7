"""Checks of visits: histories rest on a consent, figures on enough persons, and no day's key outlives its day."""

from __future__ import annotations

import ipaddress

from sqlalchemy import and_, func, select

from troth.collect.visits.rules import VIEW, rules_of
from troth.evidence.checks import Check, Verdict, unless, unseen
from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say
from troth.policy.choices import VISITOR
from troth.policy.model import CompiledClause
from troth.store.tables import (
    consent_records,
    day_keys,
    ledger,
    personal_records,
    terms,
    visit_cells,
    visit_counts,
    visit_seen,
)
from troth.world import DAY_MS

LATE_MS = 2 * 60 * 60_000  # two rounds of the job that closes days
COUNTED = ("visits.counted", "visits.viewed")
HISTORIES = personal_records.join(terms, (terms.c.id == personal_records.c.terms_id) & (terms.c.point == VIEW))
AGREED = and_(
    consent_records.c.tenant == personal_records.c.tenant,
    consent_records.c.sid == personal_records.c.sid,
    consent_records.c.state == "Given",
    consent_records.c.given_ms <= personal_records.c.anchor_ms,
)
NOT_AGREED = (
    select(func.count())
    .select_from(HISTORIES.outerjoin(consent_records, AGREED))
    .where(consent_records.c.cid.is_(None))
)
NOT_RECORDED = (
    select(func.count())
    .select_from(HISTORIES.outerjoin(ledger, ledger.c.eid == personal_records.c.eid))
    .where(ledger.c.kind.is_(None) | (ledger.c.kind != "visits.viewed"))
)
OPEN_DAYS = select(visit_seen.c.day).distinct()
SMALLEST = select(visit_counts.c.day, func.min(visit_counts.c.visitors).label("least")).group_by(visit_counts.c.day)
KEYS = select(day_keys.c.day).where(day_keys.c.kind == "visits")
VALUES = select(visit_cells.c.dimension, visit_cells.c.value).where(
    visit_cells.c.dimension.in_(("country", "referrer"))
)


def counting(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each history stands on a consent given before it, and no figure of a past day on too few persons."""
    if not any(inspection.entries(kind) for kind in COUNTED):
        return unseen(say("count.visits.unseen"))
    faults: list[Said] = []
    if found := inspection.rows(NOT_AGREED)[0][0]:
        faults.append(say("count.visits.not-agreed", records=found))
    if found := inspection.rows(NOT_RECORDED)[0][0]:
        faults.append(say("count.visits.no-entry", records=found))
    at_least = rules_of(inspection.policy).at_least
    late = (inspection.now - LATE_MS) // DAY_MS
    open_days = {row.day for row in inspection.rows(OPEN_DAYS)}
    past = [row for row in inspection.rows(SMALLEST) if row.day < late]
    small = sum(row.day not in open_days and row.least < at_least for row in past)
    if small:
        faults.append(say("count.visits.few", days=small, least=at_least))
    if unclosed := sum(day < late for day in open_days):
        faults.append(say("count.visits.open", days=unclosed))
    blocks = sum(len(inspection.entries(kind)) for kind in COUNTED)
    return unless(faults, say("count.visits.good", blocks=blocks, least=at_least))


def addresses(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """No key of a past day is left, and nothing that was counted is an address."""
    if not any(inspection.entries(kind) for kind in COUNTED):
        return unseen(say("count.visits.unseen"))
    faults: list[Said] = []
    late = (inspection.now - LATE_MS) // DAY_MS
    if old := sum(row.day < late for row in inspection.key_rows(KEYS)):
        faults.append(say("count.address.keys", keys=old))
    for row in inspection.rows(VALUES):
        if (row.dimension == "country" and row.value and len(row.value) != 2) or is_address(row.value):
            faults.append(say("count.address.kept"))
    return unless(faults, say("count.address.good"))


def is_address(text: str) -> bool:
    """Whether this is an address in a network."""
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def returning(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """A page alone recognises nobody; whoever is recognised has said yes, and nobody who took it back is."""
    faults = [
        say("count.returning.cookie", path=path)
        for path in inspection.public_pages()
        if any(cookie.removeprefix("__Host-").startswith(VISITOR) for cookie in inspection.get(path).cookies)
    ]
    if found := inspection.rows(NOT_AGREED)[0][0]:
        faults.append(say("count.visits.not-agreed", records=found))
    if not inspection.entries("visits.viewed") and not faults:
        return unseen(say("count.returning.unseen"))
    return unless(faults, say("count.returning.good"))


CHECKS: dict[str, Check] = {
    "count.visits": counting,
    "count.address": addresses,
    "count.returning": returning,
}
