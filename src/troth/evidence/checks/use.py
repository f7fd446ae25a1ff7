"""Checks of how data is used: for declared purposes, within prohibitions, in declared messages, and not given out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from sqlalchemy import bindparam, func, select

from troth.evidence.checks import Check, Verdict, failed, passed, unless, unseen
from troth.evidence.checks.pages import probe
from troth.evidence.inspection import Cited, Inspection
from troth.evidence.said import say
from troth.policy.model import CompiledClause
from troth.store.tables import approvals, links, messages
from troth.use.messages import UNSUBSCRIBE_MS

READS = ("read.block", "read.scan", "read.check")
DISCLOSED = ("disclosure.made", "disclosure.unknown")
SENT = select(messages.c.template, func.count()).where(messages.c.state == "sent").group_by(messages.c.template)
STANDING_LINKS = select(func.count()).where(links.c.kind == "unsubscribe", links.c.expires_ms > bindparam("now"))
NOBODYS_LINK = f"/unsubscribe/{'0' * 43}"
SENDS = re.compile(rf'<form[^>]*method="post"[^>]*action="[^"]*{NOBODYS_LINK}')
USED_APPROVALS = select(approvals).where(approvals.c.state.in_(("approved", "used")))


def purposes(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every read names purposes that its version declares; a purpose that none declares is refused (it is tried)."""
    entries = inspection.entries(*READS, "access.prepared", "decision.made")
    if not entries:
        return unseen(say("gate.purpose.unseen"))
    versions = {v.version: set(v.purposes) | {"rights"} for v in inspection.versions.history.versions}
    faults = [
        say("gate.purpose.undeclared")
        for entry in entries
        if not set(named(entry)) <= versions.get(str(entry.body.get("policy")), set())
    ]
    told = probe(inspection, "gate.purpose")
    return unless(faults + ([told] if told else []), say("gate.purpose.good", reads=len(entries)))


def named(entry: Cited) -> Iterable[str]:
    """The purposes that an entry of a read names."""
    found = entry.facts.get("purposes", [])
    yield from (pair[0] for pair in found if isinstance(found, list))  # pairs of purpose and count
    if entry.body.get("purpose") and entry.facts.get("allowed") is not False:  # what was denied was not used
        yield str(entry.body["purpose"])


def prohibitions(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What is forbidden or undeclared is refused (it is tried; the policy's own examples run when it compiles)."""
    told = probe(inspection, "gate.never")
    return unless([told] if told else [], say("gate.never.good", prohibitions=len(inspection.policy.nevers)))


def sharing(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Nothing has left but under a clause that permits it; an egress without one is refused (it is tried)."""
    faults = []
    known = set(inspection.policy.recipients)
    for version in inspection.versions.history.versions:
        known |= set(version.recipients)
    known |= {f"product:{entry.facts['product']}" for entry in inspection.entries("product.created")}
    for entry in inspection.entries(*DISCLOSED):
        if entry.facts.get("recipient") not in known:
            faults.append(say("share.deny.recipient"))
        elif not entry.body.get("refers"):
            faults.append(say("share.deny.intent"))
    told = probe(inspection, "share.deny")
    count = len(inspection.entries(*DISCLOSED))
    return unless(faults + ([told] if told else []), say("share.deny.good", disclosures=count))


def declared_messages(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every message that went out is by a declared template and refers to its intent."""
    sent = inspection.entries("message.sent")
    if not sent:
        return unseen(say("message.declared.unseen"))
    declared = {t for v in inspection.versions.history.versions for t in v.templates}
    faults = [
        say("message.declared.undeclared", template=name) for name, _ in inspection.rows(SENT) if name not in declared
    ]
    intents = inspection.entries_of(entry.refers for entry in sent)
    begun = {eid for eid, entry in intents.items() if entry.kind in ("message.queued", "message.sending")}
    faults += [say("message.declared.intent") for entry in sent if entry.refers not in begun]
    faults += [
        say("message.declared.undeclared", template=str(e.facts.get("template")))
        for e in inspection.entries("message.queued")
        if e.facts.get("template") not in declared
    ]
    return unless(faults, say("message.declared.good", messages=len(sent)))


def unsubscribing(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Each marketing message that was begun carried its link, which still stands; where it leads, a button waits."""
    since = inspection.now - UNSUBSCRIBE_MS
    begun = [e for e in inspection.entries("message.sending") if e.facts.get("class") == "marketing"]
    out = [entry for entry in begun if entry.at_ms > since]  # a link was made with each, for so long
    if not begun:
        return unseen(say("message.unsubscribe.unseen"))
    faults = [say("message.unsubscribe.lacks") for e in begun if not e.facts.get("unsubscribe")]
    standing = inspection.rows(STANDING_LINKS, {"now": inspection.now})[0][0]
    if standing < len(out):
        faults.append(say("message.unsubscribe.gone", messages=len(out), links=standing))
    shown = inspection.get(NOBODYS_LINK)  # the page is the same for every token: it tells nobody which are ours
    if shown.status != 200 or not SENDS.search(shown.text) or shown.header("set-cookie"):
        faults.append(say("message.unsubscribe.shut"))
    return unless(faults, say("message.unsubscribe.good", messages=len(begun)))


def second_operator(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What needed a second operator was approved by somebody other than who asked."""
    rows = inspection.rows(USED_APPROVALS)
    if not rows:
        return unseen(say("operator.second.unseen"))
    alone = [row for row in rows if len(set(json.loads(row.given_by)) - {bytes(row.asked_by).hex()}) < row.needed]
    faults = [say("operator.second.alone", acts=len(alone))] if alone else []
    return unless(faults, say("operator.second.good", acts=len(rows)))


def asking(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Products have asked before they used their own tables, and got an answer with its entry."""
    entries = inspection.entries("decision.made")
    if not entries:
        return unseen(say("product.ask.unseen"))
    return passed(say("product.ask.good", questions=len(entries)))


def approvals_of_persons(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What was given out beyond the declared ways stands on an approval of the person's own."""
    faults = [
        say("share.approval.unrecorded")
        for e in inspection.entries(*DISCLOSED)
        if e.facts.get("approval") and not inspection.entries("approval.given")
    ]
    return failed(*faults) if faults else unseen(say("share.approval.unseen"))


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
