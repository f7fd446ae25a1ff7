"""How much comes in, point by point: figures for whoever runs the forms, from the ledger's kinds and from states.

No personal data: an entry says which point, and when. Clause: ``scope.closed-list``. Mechanism: ``intake.declared``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, bindparam, case, func, select

from troth.collect.intake import CONFIRM_DAYS
from troth.collect.refusals import HOUR_MS, HOURS, Refusals, Refused
from troth.collect.visits.rules import VISITS
from troth.notice.versions import Versions
from troth.store import Store
from troth.store.tables import ledger, personal_records, subjects, terms
from troth.world import DAY_MS

ACCEPTED, CONFIRMED = "intake.accepted", "intake.confirmed"
PAGE = 1000
BACK = (
    select(ledger.c.seq, ledger.c.at_ms, ledger.c.body)
    .where(ledger.c.kind == bindparam("of_kind"), ledger.c.seq < bindparam("below"))
    .order_by(ledger.c.seq.desc())
    .limit(PAGE)
)
OVER = case((subjects.c.created_ms <= bindparam("over"), subjects.c.sid))
PENDING = (
    select(terms.c.point, func.count(func.distinct(subjects.c.sid)), func.count(func.distinct(OVER)))
    .select_from(
        subjects.join(
            personal_records,
            (personal_records.c.tenant == subjects.c.tenant) & (personal_records.c.sid == subjects.c.sid),
        ).join(terms, terms.c.id == personal_records.c.terms_id)
    )
    .where(subjects.c.tenant == bindparam("of_tenant"), subjects.c.mode == "pending")
    .group_by(terms.c.point)
)


@dataclass
class PointTraffic:
    """One collection point in the last day: what was taken by the hour (oldest first), confirmed and refused."""

    point: str
    hours: list[int] = field(default_factory=lambda: [0] * HOURS)
    confirmed: list[int] = field(default_factory=lambda: [0] * HOURS)
    refused: list[tuple[Refused, int, int]] = field(default_factory=list)
    unconfirmed: int = 0  # waiting for the person's yes, whose link still works
    expired: int = 0  # nobody said yes in time; retention erases them

    @property
    def last_hour(self) -> int:
        """Taken in the last 60 minutes."""
        return self.hours[-1]

    @property
    def last_day(self) -> int:
        """Taken in the last 24 hours."""
        return sum(self.hours)


class Traffic:
    """Counts what comes in. Methods block: call them from a thread."""

    def __init__(self, store: Store, versions: Versions, refusals: Refusals) -> None:
        self.store = store
        self.versions = versions
        self.refusals = refusals

    def of(self, tenant: str) -> list[PointTraffic]:
        """Every point where somebody submits something, in the policy's order, for this tenant's people.

        Visits come in at points of their own, and are counted elsewhere (``collect.visits``).
        """
        policy = self.versions.current()
        found = {point: PointTraffic(point) for point in policy.points if point not in VISITS}
        now = self.store.now()
        named = tenant if tenant in self.versions.controllers else None

        def fn(connection: Connection) -> None:
            for kind in (ACCEPTED, CONFIRMED):
                for at_ms, facts in since(connection, kind, now - DAY_MS):
                    traffic = found.get(str(facts.get("point", "")))
                    ago = (now - at_ms) // HOUR_MS
                    if traffic is not None and facts.get("tenant") == named and 0 <= ago < HOURS:
                        counted = traffic.hours if kind == ACCEPTED else traffic.confirmed
                        counted[HOURS - 1 - ago] += 1
            of = {"of_tenant": tenant, "over": now - CONFIRM_DAYS * DAY_MS}
            for point, pending, expired in connection.execute(PENDING, of):
                if point in found:
                    found[point].unconfirmed, found[point].expired = pending - expired, expired

        self.store.read(fn)
        for traffic in found.values():
            traffic.refused = self.refusals.of(tenant, traffic.point)
        return list(found.values())


def since(connection: Connection, kind: str, since_ms: int) -> list[tuple[int, dict[str, object]]]:
    """The entries of one kind from this time on, as (time, facts): read backwards, as far as needed."""
    found: list[tuple[int, dict[str, object]]] = []
    below = 1 << 62
    while True:
        rows = connection.execute(BACK, {"of_kind": kind, "below": below}).all()
        found += [(row.at_ms, msgspec.json.decode(row.body).get("facts", {})) for row in rows if row.at_ms > since_ms]
        if len(rows) < PAGE or rows[-1].at_ms <= since_ms:
            return found
        below = rows[-1].seq
