"""Whoever keeps data of somebody elsewhere is told in time: part of the right that they are told of (GDPR Art. 19)."""

from __future__ import annotations

from functools import wraps

from troth.evidence.checks import Check, Verdict, failed
from troth.evidence.inspection import Inspection
from troth.evidence.said import say
from troth.policy.model import CompiledClause
from troth.use.hooks import waiting

HOUR_MS = 3_600_000


def telling(event: str, check: Check) -> Check:
    """The check, and that no hook of this event is past its deadline without an acknowledgement."""

    @wraps(check)
    def whole(inspection: Inspection, clause: CompiledClause) -> Verdict:
        found = check(inspection, clause)
        due = [one for one in inspection.store.read(waiting) if one.event == event and one.overdue(inspection.now)]
        if not due:
            return found
        hours = (inspection.now - min(one.since_ms for one in due)) // HOUR_MS
        faults = found.said if found.status == "FAIL" else ()
        return failed(say("hook.late", hooks=len(due), hours=hours), *faults)

    return whole
