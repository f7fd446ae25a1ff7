"""Checks of rights: proven before they are exercised, fulfilled in time, and complete when they say so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
from sqlalchemy import select

from troth.evidence.checks import Check, Verdict, failed, passed, unless, unseen
from troth.evidence.checks.hooks import telling
from troth.evidence.inspection import Cited, Inspection
from troth.evidence.said import say
from troth.policy.model import CompiledClause
from troth.rights import plan as plans
from troth.rights.register import REASONS, case
from troth.rights.removal import remaining
from troth.rights.requests import LINK_MS
from troth.store.tables import (
    consent_records,
    epochs,
    erasures,
    guards,
    messages,
    rights_requests,
    states,
    subjects,
    tags,
)
from troth.use.person_sessions import LINK_LIFE_MS, PASSWORD_LIFE_MS
from troth.vault.epochs import LATEST_MS

HOUR_MS = 3_600_000
LOOKS = ("access.prepared", "data.shown", "account.returned")  # what a session of a password is enough for
ACTS = ("erase.ordered", "address.asked", "account.closed")  # what asks for a fresh proof
ERASURES = select(erasures)
DESTROYED = select(epochs.c.epoch).where(epochs.c.state == "destroyed")
OPEN_REQUESTS = select(rights_requests).where(rights_requests.c.ended_ms.is_(None))
ALL_REQUESTS = select(rights_requests)
ASKED = ("rights.received", "access.prepared", "erase.ordered", "restriction.begun")
OBJECTED = select(guards.c.tenant, guards.c.sid, guards.c.stops, guards.c.at_ms).where(guards.c.kind == "objected")
SUPPRESSED = select(tags.c.scope).where(tags.c.state == "suppressed").distinct()
M = messages.c
SENT_TO = select(M.tenant, M.sid, M.purpose, M.ended_ms, M.eid).where(M.state == "sent")
STATE_OF = select(subjects.c.tenant, subjects.c.sid, states.c.canonical).join(
    states, subjects.c.state_id == states.c.id
)
WITHDRAWN = select(consent_records).where(consent_records.c.state == "Withdrawn")


def access(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Copies were made, and no request for one is past its deadline."""
    entries = inspection.entries("access.prepared")
    late = [row for row in inspection.rows(OPEN_REQUESTS) if row.kind == "access" and row.due_ms < inspection.now]
    if late:
        return failed(say("right.access.late", requests=len(late)))
    return passed(say("right.access.good", copies=len(entries))) if entries else unseen(say("right.access.unseen"))


def erasing(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """What is said to be erased is looked for again, in rows and in keys, and the ledger says the same."""
    rows = inspection.rows(ERASURES)
    if not rows and not inspection.entries("erase.ordered"):
        return unseen(say("right.erase.unseen"))
    faults = []
    ordered = inspection.entries_of(bytes(row.ordered) for row in rows)
    ends = inspection.entries_of(bytes(row.done) for row in rows if row.done)
    done = {str(e.body.get("refers")): e for e in inspection.entries("erase.done")}
    ended = {row.epoch for row in inspection.key_rows(DESTROYED)}
    for row in rows:
        sid, order = bytes(row.sid), bytes(row.ordered)
        if row.plan is not None and not as_signed(row.plan, ordered.get(order), inspection.store.signer.public):
            faults.append(say("right.erase.plan"))
        if row.state != "gone":  # what waits for a hold is the check of retention's to count
            if row.state != "held" and row.ordered_ms < inspection.now - HOUR_MS:
                faults.append(say("right.erase.slow"))
            continue
        look = inspection.vault.look(row.tenant, sid)
        if look.keys or look.tags:
            faults.append(say("right.erase.keys", keys=look.keys, tags=look.tags))
        left = inspection.store.read(partial(remaining, tenant=row.tenant, sid=sid))
        if left:
            faults.append(say("right.erase.rows", tables=", ".join(left)))
        end = ends.get(bytes(row.done or b""))
        if end is None or end.refers != order:
            faults.append(say("right.erase.no-entry"))
        if row.destruction is None and row.gone_ms < inspection.now - LATEST_MS - HOUR_MS:
            faults.append(say("right.erase.old-copies"))  # the roll is given an hour to finish
        if row.destroyed_ms is not None and row.epoch not in ended:
            faults.append(say("right.erase.no-end"))
    faults += [say("right.erase.forgotten")] * len(set(done) - {bytes(row.ordered).hex() for row in rows})
    gone = [row for row in rows if row.state == "gone"]
    final = sum(1 for row in gone if row.destroyed_ms is not None)
    return unless(faults, say("right.erase.good", erasures=len(gone)), say("right.erase.final", erasures=final))


def as_signed(plan: str, entry: Cited | None, public: bytes) -> bool:
    """Whether a plan is the one that was signed before, and that the entry of its order names."""
    named = entry is not None and entry.facts.get("plan") == plans.digest(plan)
    return named and plans.verify(plan, public)


def objecting(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """After an objection nothing was sent for what it stops, and the suppression outlives the person's data."""
    rows = inspection.key_rows(OBJECTED)
    entries = inspection.entries("objection.made")
    if not entries:
        return unseen(say("right.object.unseen"))
    faults = []
    if len(rows) < len(entries):
        faults.append(say("right.object.guards", objections=len(entries), guards=len(rows)))
    stops = {
        (row.tenant, bytes(row.sid), stop["purpose"]): row.at_ms
        for row in rows
        for stop in msgspec.json.decode(row.stops or "[]")
    }
    lifted = {(t, s) for t, s, _ in stops} - set(stopped_now(inspection))
    late = []
    for row in inspection.rows(SENT_TO):
        for node in inspection.policy.ancestors(row.purpose):
            at = stops.get((row.tenant, bytes(row.sid or b""), node))
            if at is not None and (row.ended_ms or 0) > at and (row.tenant, bytes(row.sid)) not in lifted:
                late.append((bytes(row.eid or b""), at))
    begun = inspection.begun(eid for eid, _ in late)
    faults += [say("right.object.sent") for eid, at in late if begun.get(eid, inspection.now) > at]
    return unless(faults, say("right.object.good", objections=len(entries)))


def stopped_now(inspection: Inspection) -> set[tuple[str, bytes]]:
    """Who has a stop in their state now (others lifted theirs by asking again)."""
    rows = inspection.rows(STATE_OF)
    return {(row.tenant, bytes(row.sid)) for row in rows if msgspec.json.decode(row.canonical).get("stops")}


def suppressing(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Every purpose that somebody objected to has suppressions in the key store; they hold no address."""
    entries = inspection.entries("objection.made")
    if not entries:
        return unseen(say("right.object.unseen"))
    scopes = {row.scope for row in inspection.key_rows(SUPPRESSED)}
    again = [(str(e.body.get("purpose")), e.at_ms) for e in inspection.entries("consent.given")]
    missing = {
        purpose
        for purpose, at in ((str(e.body.get("purpose")), e.at_ms) for e in entries)
        if purpose not in scopes
        and not any(purpose in inspection.policy.ancestors(given) and later > at for given, later in again)
    }
    return unless(
        [say("suppress.keyed.missing", purpose=purpose) for purpose in sorted(missing)],
        say("suppress.keyed.good", purposes=", ".join(sorted(scopes)) or "–"),
    )


def withdrawing(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """A consent that was withdrawn grants nothing any more."""
    rows = inspection.rows(WITHDRAWN)
    if not rows and not inspection.entries("consent.withdrawn"):
        return unseen(say("consent.withdraw.unseen"))
    grants = {
        (row.tenant, bytes(row.sid), grant["purpose"])
        for row in inspection.rows(STATE_OF)
        for grant in msgspec.json.decode(row.canonical).get("grants", [])
    }
    given = inspection.rows(
        select(consent_records.c.tenant, consent_records.c.sid, consent_records.c.consent).where(
            consent_records.c.state == "Given"
        )
    )
    again = {(row.tenant, bytes(row.sid), row.consent) for row in given}
    faults = []
    for row in rows:
        ask = inspection.versions.history.version(row.version).consents.get(row.consent)
        person = (row.tenant, bytes(row.sid))
        if ask and (*person, ask.purpose) in grants and (*person, row.consent) not in again:
            faults.append(say("consent.withdraw.grants"))
    return unless(faults, say("consent.withdraw.good", withdrawals=len(inspection.entries("consent.withdrawn"))))


def proof(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Before each act of a person stands a proof, and without one the centre shows nothing.

    A link proves for a while. What rests on a password names the sign-in, which proves for a while too, and for as long
    as its session may last where the person only looked.
    """
    proven = sorted(e.at_ms for e in inspection.entries("rights.proven"))
    signed_in = {e.eid.hex(): e.at_ms for e in inspection.entries("account.signed-in")}
    acts = [e for e in inspection.entries(*LOOKS, *ACTS) if e.body.get("actor") == "subject"]
    faults = []
    for path in ("/privacy/data", "/privacy/copy.json", "/privacy/receipts", "/privacy/correct", "/account/address"):
        answer = inspection.get(path)
        if answer.status == 200:
            faults.append(say("right.proof.open", path=path))
    unproven = [
        e
        for e in acts
        if not any(0 <= e.at_ms - at <= LINK_LIFE_MS + LINK_MS for at in proven) and not rests_on(e, signed_in)
    ]
    if unproven:
        faults.append(say("right.proof.unproven", acts=len(unproven)))
    unfounded = unfounded_handovers(inspection)
    if unfounded:
        faults.append(say("right.proof.unfounded", proofs=unfounded))
    if not acts:
        return failed(*faults) if faults else unseen(say("right.proof.unseen"))
    return unless(faults, say("right.proof.good", acts=len(acts)))


def rests_on(act: Cited, signed_in: dict[str, int]) -> bool:
    """Whether an act names a sign-in that proves it still."""
    at = signed_in.get(str(act.body.get("refers")))
    lasts = PASSWORD_LIFE_MS if act.body.get("kind") in LOOKS else LINK_LIFE_MS
    return at is not None and 0 <= act.at_ms - at <= lasts


def handed_over(inspection: Inspection) -> Callable[[str, int], bool]:
    """Whether a product (hex), by the ledger, had a key of its own at a time, and was not stopped before."""
    keys = inspection.entries("product.handover")
    given = [(e.facts["product"], e.at_ms) for e in keys if e.facts["key"]]
    taken = [(e.facts["product"], e.at_ms) for e in keys if not e.facts["key"]]
    taken += [(e.facts["product"], e.at_ms) for e in inspection.entries("product.ended")]

    def founded(product: str, at_ms: int) -> bool:
        return any(
            of == product and since <= at_ms and not any(of == p and since < end < at_ms for p, end in taken)
            for of, since in given
        )

    return founded


def unfounded_handovers(inspection: Inspection) -> int:
    """How many proofs name a product that, by the ledger, was not one that hands people over at that time."""
    founded = handed_over(inspection)
    proofs = [e for e in inspection.entries("rights.proven") if e.facts.get("by") == "handover"]
    return sum(not founded(e.facts["product"], e.at_ms) for e in proofs)


def deadlines(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """No request is past its deadline, none was put off too late, none refused without a reason."""
    rows = [case(row) for row in inspection.rows(ALL_REQUESTS)]
    if not rows and not inspection.entries(*ASKED):  # an erasure takes the requests of the person along
        return unseen(say("right.deadline.unseen"))
    faults, zone = [], inspection.config.zone_of
    late = sum(one.late(inspection.now) for one in rows)
    if late:
        faults.append(say("right.deadline.late", requests=late))
    slow = sum(
        one.extended_ms is not None and one.extended_ms >= one.extensible_until(zone(one.tenant)) for one in rows
    )
    if slow:
        faults.append(say("right.deadline.put-off", requests=slow))
    mute = sum(one.state == "refused" and one.reason not in REASONS for one in rows)
    if mute:
        faults.append(say("right.deadline.no-reason", requests=mute))
    longest = sum(one.due_ms > one.latest(zone(one.tenant)) for one in rows)
    if longest:
        faults.append(say("right.deadline.moved", requests=longest))
    return unless(faults, say("right.deadline.good", requests=len(rows), open=sum(one.open for one in rows)))


CHECKS: dict[str, Check] = {
    "right.access": access,
    "right.portability": access,
    "right.erase": telling("erasure.ordered", erasing),
    "right.object": telling("objection.made", objecting),
    "suppress.keyed": suppressing,
    "consent.withdraw": telling("consent.changed", withdrawing),
    "right.proof": proof,
    "right.deadline": deadlines,
}
