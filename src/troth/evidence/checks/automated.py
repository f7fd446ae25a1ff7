"""Checks of what runs by itself: each automatic message stands in the list that everybody can read."""

from __future__ import annotations

from sqlalchemy import select

from troth.evidence.checks import Check, Verdict, unless
from troth.evidence.inspection import Inspection
from troth.evidence.said import say
from troth.policy.model import CompiledClause
from troth.store.tables import messages
from troth.use.automations import automations

PAGE = "/policy/automated"
USED = select(messages.c.template).distinct()


def registered(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The page lists every message of the policy, and nothing was queued that no version of it declared."""
    answer = inspection.get(PAGE)
    listed = automations(inspection.policy)
    faults = []
    if answer.status != 200:
        faults.append(say("message.registered.no-page", status=answer.status))
    else:
        page = answer.body.decode("utf-8", "replace")
        missing = [one.id for one in listed if f'id="{one.id}"' not in page]
        faults += [say("message.registered.missing", template=name) for name in missing]
    known = {name for version in inspection.versions.history.versions for name in version.templates}
    strange = [row.template for row in inspection.rows(USED) if row.template not in known]
    if strange:
        faults.append(say("message.registered.strange", messages=len(strange)))
    return unless(faults, say("message.registered.good", messages=len(listed)))


CHECKS: dict[str, Check] = {"message.registered": registered}
