"""What checks find of legal holds: none is eternal, none keeps past its end, and nothing is used or erased under one.

Part of the check of ``retain.due``: a hold is the one thing that may keep what is due.
"""

from __future__ import annotations

from sqlalchemy import select

from troth.evidence.checks.restriction import MODES, letters_within
from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say
from troth.rights.hold import MOST_DAYS, REASONS, SOON_MS
from troth.rights.holding import END_EVERY_MS, GUARD
from troth.store.tables import erasures, guards, holds
from troth.world import DAY_MS

LATE_MS = 2 * END_EVERY_MS  # the run that ends them is given one turn
ALL = select(holds)
WAITING = select(erasures.c.tenant, erasures.c.sid, erasures.c.ordered_ms).where(erasures.c.state == "held")
GUARDED = select(guards.c.eid).where(guards.c.kind == GUARD)


def held_wrongly(inspection: Inspection) -> list[Said]:
    """What is not as it must be with the holds that there are, and with those that the ledger says there were."""
    rows, now = inspection.rows(ALL), inspection.now
    standing = {(row.tenant, bytes(row.sid)): row for row in rows if row.ended_ms is None}
    modes = {(row.tenant, bytes(row.sid)): row.mode for row in inspection.rows(MODES)}
    here = {bytes(row.eid).hex() for row in rows}
    begun = {entry.eid.hex() for entry in inspection.entries("hold.set")}
    ended = {str(entry.body.get("refers")) for entry in inspection.entries("hold.ended")}
    guarded = {bytes(row.eid).hex() for row in inspection.key_rows(GUARDED)}
    past = sum(row.until_ms < now - LATE_MS for row in standing.values())
    eternal = sum(
        row.reason not in REASONS or row.until_ms > row.set_ms + MOST_DAYS * DAY_MS for row in standing.values()
    )
    open_ = sum(modes.get(person) != "restricted" for person in standing)
    broken = len(begun - here - ended)
    unsaid = sum(row.ended_ms is not None and bytes(row.eid).hex() not in ended for row in rows)
    unguarded = len(begun - ended - guarded)
    stuck = sum(
        (order.tenant, bytes(order.sid)) not in standing and order.ordered_ms < now - LATE_MS
        for order in inspection.rows(WAITING)
    )
    sent = letters_within(inspection, rows, holds)
    counted = (
        (past, say("retain.hold.past", holds=past)),
        (eternal, say("retain.hold.eternal", holds=eternal)),
        (open_, say("retain.hold.open", persons=open_)),
        (broken, say("retain.hold.broken", holds=broken)),
        (unsaid, say("retain.hold.unsaid", holds=unsaid)),
        (unguarded, say("retain.hold.unguarded", holds=unguarded)),
        (stuck, say("retain.hold.stuck", erasures=stuck)),
        (sent, say("retain.hold.sent", letters=sent)),
    )
    return [said for number, said in counted if number]


def held_now(inspection: Inspection) -> list[Said]:
    """How many holds stand, and how many of them end within 30 days."""
    ends = [row.until_ms for row in inspection.rows(ALL) if row.ended_ms is None]
    soon = sum(end < inspection.now + SOON_MS for end in ends)
    return [say("retain.hold.good", holds=len(ends), soon=soon)] if ends else []
