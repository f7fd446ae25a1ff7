"""Which mechanisms keep a clause: derived from its bodies, or named by its ``by``."""

from __future__ import annotations

from collections.abc import Iterator

from troth.policy.bodies import (
    Asserts,
    ChangesBody,
    CollectBody,
    Defines,
    Forbids,
    Has,
    Permits,
    ProtectBody,
    Requires,
    RightBody,
    Summary,
    TellBody,
)
from troth.policy.clauses import ReadClause
from troth.policy.diagnostics import did_you_mean
from troth.policy.vocabulary import MECHANISMS, PLANNED, REPORTED

_RIGHTS = {
    "access": ("right.access",),
    "portability": ("right.portability",),
    "rectification": ("right.rectify",),
    "erasure": ("right.erase",),
    "restriction": ("right.restrict",),
    "objection": ("right.object", "suppress.keyed"),
    "withdrawal": ("consent.withdraw",),
    "information": ("message.registered",),
    "complaint": ("page.readable",),
    "any": ("right.proof", "right.deadline"),
}


def mechanisms(clause: ReadClause) -> tuple[str, ...]:
    """The mechanisms of a clause, each once; unknown ones and clauses that nothing keeps are told."""
    if clause.envelope.by:
        found = []
        for name in clause.envelope.by:
            if name in MECHANISMS:
                found.append(str(name))
            else:
                message = f'there is no mechanism "{name}"'
                clause.error("UNKNOWN_MECHANISM", name.at, message, hint=did_you_mean(name, MECHANISMS))
    else:
        found = list(dict.fromkeys(_derived(clause)))
    if clause.verb == "informs" or not clause.sound:
        return tuple(found)
    if not found:
        message = "no mechanism keeps this clause: say which (by), why none does (not_enforced), or that it informs"
        clause.error("NO_MECHANISM", clause.at, message, paste="not_enforced: reason")
    elif found[0] in PLANNED and clause.open:
        message = f"nothing keeps this clause yet: {found[0]} is still to be built"
        clause.error("NOT_BUILT", clause.at, message, paste="not_enforced: comes with …")
    return tuple(found)


def _derived(clause: ReadClause) -> Iterator[str]:
    body = clause.body
    if isinstance(body, Permits):
        yield from _permits(body)
    elif isinstance(body, Requires):
        yield from _requires(body)
    elif isinstance(body, Forbids):
        yield from _forbids(body)
    elif isinstance(body, Asserts):
        yield from _asserts(body)
    elif isinstance(body, Defines):
        yield from _defines(body)


def _permits(body: Permits) -> Iterator[str]:
    if body.collect:
        yield from _collect(body.collect)
    if body.use:
        yield "gate.purpose"
    for share in body.share:
        yield "share.release" if isinstance(share.as_, Summary) else "share.register"
    if body.cookie:
        yield "cookie.declared"
        if not all(cookie.essential for cookie in body.cookie.values()):
            yield "cookie.consent"
    if body.embed:
        yield "embed.registered"
        if not all(embed.essential for embed in body.embed.values()):
            yield "cookie.consent"
    if body.consent:
        yield "consent.choice" if body.consent.asked == "site" else "consent.record"


def _collect(body: CollectBody) -> Iterator[str]:
    yield "intake.declared"
    if body.confirm == "double" or (body.consent and body.consent.confirm == "double"):
        yield "intake.double-opt-in"
    if body.consent:
        yield "consent.choice" if body.consent.asked == "site" else "consent.record"
    if any(use.basis == "contract" for use in body.uses) and any(f.identifier for f in body.fields.values()):
        yield "intake.registration"


def _requires(body: Requires) -> Iterator[str]:
    if body.tell:
        yield from _tell(body.tell)
    if body.changes:
        yield from _changes(body.changes)
    if body.protect:
        yield from _protect(body.protect)
    for right in body.right:
        yield from _right(right)
    if body.keep or body.states:
        yield from ("retain.due", "retain.heartbeat")
    if any(event.startswith(REPORTED) for state in body.states.values() for event in state.from_):
        yield "activity.signed"
    if body.hold:
        yield "retain.hold"
    if body.has:
        yield from _has(body.has)
    if body.message:
        yield "message.declared"
    if body.age:
        yield "intake.age"
    if body.consent:
        yield "consent.signal" if body.consent.signal else "consent.choice"
    if body.automation:
        yield "message.registered"
    if body.when or body.then:
        yield "child.reply" if body.when and body.when.event.startswith("child.") else "retain.due"


def _right(right: RightBody) -> Iterator[str]:
    yield from _RIGHTS[str(right.kind)]
    if right.kind not in ("any", "withdrawal", "information", "complaint") and right.proof == "link":
        yield "right.proof"
    if right.approvals:
        yield "operator.second"


def _tell(tell: TellBody) -> Iterator[str]:
    what, where = set(tell.what), set(tell.where)
    if what & {"policy.version", "policy.sha256"} and "submissions" in where:
        yield "notice.bind"
    if what & {"controller.name", "controller.address", "controller.contact"}:
        yield "controller.shown"
    if "board" in what:
        yield "evidence.board"
    if tell.meets:
        yield "page.accessible"
    if "pages" in what and "cookies" in tell.without:
        yield "site.cookieless"
    if "recipients" in what or "recipients" in where:
        yield "share.register"
    if "automation" in what:
        yield "message.registered"
    if "cookies" in what:
        yield "cookie.declared"
    if "link.policy" in what:
        yield "link.registered"
    if "policy" in what and not tell.meets:
        yield "page.readable"


def _changes(changes: ChangesBody) -> Iterator[str]:
    if changes.takes_effect:
        yield "policy.effective"
    if changes.date_first:
        yield "page.date-first"
    if changes.published or changes.archive:
        yield "policy.publish"
    if changes.advance_notice:
        yield "policy.notice"
    if changes.linked_documents:
        yield "policy.linked"


def _protect(protect: ProtectBody) -> Iterator[str]:
    if protect.transit:
        yield "transit.tls"
    if protect.storage:
        yield "vault.sealed"
    if protect.password:
        yield "password.hashed"
    if protect.passkey:
        yield "account.passkey"
    if protect.second_factor:
        yield "account.second-factor"
    if protect.password_change:
        yield "password.change"
    if protect.password_sharing:
        yield "access.delegation"
    if protect.breach:
        yield "breach.register"
    if protect.embeds:
        yield "embed.registered"
    if protect.links:
        yield "link.registered"


def _has(has: Has) -> Iterator[str]:
    if has.value:
        yield "cookie.random"
    if has.link or has.header:
        yield "message.unsubscribe"
    if has.basis:
        yield "basis.declared"
    if has.keep:
        yield "retain.declared"
    if has.countries:
        yield "share.register"
    if has.purpose or has.lasts:
        yield "cookie.declared"


def _forbids(body: Forbids) -> Iterator[str]:
    if body.share:
        yield "share.deny"
        if body.share.unless:
            yield "share.approval"
    if body.use:
        yield "gate.never"
    if body.join:
        yield "join.never"
    if body.collect:
        if body.collect.before or body.collect.after:
            yield "refusal.nothing"
        if body.collect.source:
            yield "intake.source"
        if body.collect.categories:
            yield "intake.declared"
    if body.keep:
        yield "scope.closed"


_CLOSED = {
    "share": "share.deny",
    "collect": "scope.closed",
    "use": "gate.purpose",
    "cookie": "cookie.declared",
    "message": "message.declared",
}


def _asserts(body: Asserts) -> Iterator[str]:
    for what in body.closed:
        yield _CLOSED[str(what)]
    if body.uses:
        yield "gate.purpose"
    if body.has:
        yield from _has(body.has)
    if body.precedence:
        yield "policy.precedence"


def _defines(body: Defines) -> Iterator[str]:
    if "personal_data" in body.terms or body.categories:
        yield "category.personal"
    if "cookie" in body.terms:
        yield "cookie.declared"
    if body.surfaces:
        yield "scope.surface"
    if body.roles:
        yield "role.processor"
    if body.purposes:
        yield "gate.purpose"
    if body.states:
        yield "retain.due"
    if body.terms or body.events:
        yield "policy.compile"
