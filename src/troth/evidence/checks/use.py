"""Checks of how data is used: for declared purposes, within prohibitions, in declared messages, and not given out."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import func, select

from troth.evidence.checks import Check, Verdict, unless, unseen
from troth.evidence.checks.pages import probe
from troth.evidence.inspection import Cited, Inspection
from troth.policy.model import CompiledClause
from troth.store.tables import approvals, links, messages

READS = ("read.block", "read.scan")
DISCLOSED = ("disclosure.made", "disclosure.unknown")
SENT = select(messages.c.template, func.count()).where(messages.c.state == "sent").group_by(messages.c.template)
STANDING_LINKS = select(func.count()).where(links.c.kind == "unsubscribe")
USED_APPROVALS = select(approvals).where(approvals.c.state.in_(("approved", "used")))


def purposes(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every read names purposes that its version declares; a purpose that none declares is refused (it is tried)."""
    entries = inspection.entries(*READS, "access.prepared", "decision.made")
    if not entries:
        return unseen("nothing has been read yet")
    versions = {v.version: set(v.purposes) | {"rights"} for v in inspection.versions.history.versions}
    faults = [
        "a read names a purpose that no clause declares"
        for entry in entries
        if not set(named(entry)) <= versions.get(str(entry.body.get("policy")), set())
    ]
    told = probe(inspection, "gate.purpose")
    return unless(faults + ([told] if told else []), f"{len(entries)} reads, each for a declared purpose")


def named(entry: Cited) -> Iterable[str]:
    """The purposes that an entry of a read names."""
    found = entry.facts.get("purposes", [])
    yield from (pair[0] for pair in found if isinstance(found, list))  # pairs of purpose and count
    if entry.body.get("purpose") and entry.facts.get("allowed") is not False:  # what was denied was not used
        yield str(entry.body["purpose"])


def prohibitions(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What is forbidden or undeclared is refused (it is tried; the policy's own examples run when it compiles)."""
    told = probe(inspection, "gate.never")
    return unless([told] if told else [], f"{len(inspection.policy.nevers)} prohibitions stand")


def sharing(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Nothing has left but under a clause that permits it; an egress without one is refused (it is tried)."""
    faults = []
    known = set(inspection.policy.recipients)
    for version in inspection.versions.history.versions:
        known |= set(version.recipients)
    for entry in inspection.entries(*DISCLOSED):
        if entry.facts.get("recipient") not in known:
            faults.append("something was given to a recipient that no clause declares")
        elif not entry.body.get("refers"):
            faults.append("something was given out without an intent before it")
    told = probe(inspection, "share.deny")
    count = len(inspection.entries(*DISCLOSED))
    return unless(faults + ([told] if told else []), f"{count} disclosures; one without a permit is refused")


def declared_messages(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every message that went out is by a declared template and refers to its intent."""
    sent = inspection.entries("message.sent")
    if not sent:
        return unseen("no message has been sent yet")
    declared = {t for v in inspection.versions.history.versions for t in v.templates}
    faults = [f"messages {name} are not declared" for name, _ in inspection.rows(SENT) if name not in declared]
    intents = {entry.eid.hex() for entry in inspection.entries("message.queued", "message.sending")}
    faults += ["a message was sent without an intent" for e in sent if e.body.get("refers") not in intents]
    faults += [
        "a message was sent by an undeclared template"
        for e in inspection.entries("message.queued")
        if e.facts.get("template") not in declared
    ]
    return unless(faults, f"{len(sent)} messages sent, all by declared templates")


def unsubscribing(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each marketing message that went out carried its link, and the link still stands, even after an erasure."""
    sending = [e for e in inspection.entries("message.sending") if e.facts.get("class") == "marketing"]
    went = {str(e.facts.get("message")) for e in inspection.entries("message.sent")}
    out = [e for e in sending if str(e.facts.get("message")) in went]
    if not out:
        return unseen("no marketing message has been sent yet")
    faults = ["a marketing message went out without an unsubscribe link" for e in out if not e.facts.get("unsubscribe")]
    standing = inspection.rows(STANDING_LINKS)[0][0]
    if standing < len(out):
        faults.append(f"{len(out)} marketing messages were sent and {standing} unsubscribe links stand")
    return unless(faults, f"{len(out)} marketing messages, each with a link that stops them")


def second_operator(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What needed a second operator was approved by somebody other than who asked."""
    rows = inspection.rows(USED_APPROVALS)
    if not rows:
        return unseen("nothing has needed a second operator yet")
    alone = [row for row in rows if len(set(json.loads(row.given_by)) - {bytes(row.asked_by).hex()}) < row.needed]
    faults = [f"{len(alone)} acts were approved by nobody else"] if alone else []
    return unless(faults, f"{len(rows)} acts approved by a second operator")


def asking(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Products have asked before they used their own tables, and got an answer with its entry."""
    entries = inspection.entries("decision.made")
    return unless([], f"{len(entries)} questions of products answered") if entries else unseen("no product asked yet")


def approvals_of_persons(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What was given out beyond the declared ways stands on an approval of the person's own."""
    faults = [
        "something was given out on an approval that is not recorded"
        for e in inspection.entries(*DISCLOSED)
        if e.facts.get("approval") and not inspection.entries("approval.given")
    ]
    return unless(faults, "") if faults else unseen("no disclosure has rested on a person's approval yet")


CHECKS: dict[str, Check] = {
    "gate.purpose": purposes,
    "gate.never": prohibitions,
    "share.deny": sharing,
    "share.approval": approvals_of_persons,
    "message.declared": declared_messages,
    "message.unsubscribe": unsubscribing,
    "operator.second": second_operator,
    "product.ask": asking,
}
