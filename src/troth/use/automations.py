"""The register of what runs by itself: each automatic message, what sets it off, on what data, how to stop it (L18).

It is made from the compiled policy, so that nothing can be missing from it: what no clause declares cannot be sent.
Automatic decisions about a person stand in it too, once a policy permits one; none of ours does. Clauses:
``rights.automated``, ``rights.decisions``. Mechanism: ``message.registered``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, func, select

from troth.policy.model import CompiledPolicy, Template
from troth.store.tables import messages

Stop = Literal["unsubscribe", "object", "withdraw", "close", "none"]
"""How a person stops it: a link in the letter itself, an objection, a withdrawal, ending what it serves, or not at all
(it answers something they did, or the law asks for it)."""

DECIDING = "automated_decision"  # the purpose under which a machine would decide about a person (GDPR Art. 22)

SENT = (
    select(messages.c.template, func.count().label("times"), func.max(messages.c.ended_ms).label("last_ms"))
    .where(
        messages.c.tenant == bindparam("of_tenant"),
        messages.c.sid == bindparam("of_sid"),
        messages.c.state == "sent",
    )
    .group_by(messages.c.template)
)


@dataclass(frozen=True)
class Automation:
    """One message that the system sends by itself, as the policy declares it."""

    id: str
    kind: str
    trigger: str
    purpose: str
    fields: tuple[str, ...]
    stop: Stop
    clause: str


@dataclass(frozen=True)
class Told:
    """What a person was sent of one kind: how often, and when last (UTC milliseconds)."""

    count: int
    last_ms: int


def automations(policy: CompiledPolicy) -> tuple[Automation, ...]:
    """Every automatic message of this policy, in its own order."""
    return tuple(
        Automation(one.id, one.kind, one.trigger, one.purpose, one.fields, stop_of(policy, one), one.clause)
        for one in policy.templates.values()
    )


def decisions(policy: CompiledPolicy) -> tuple[str, ...]:
    """The clauses that permit a machine to decide about a person: each is to be told, explained and contestable."""
    return tuple(sorted({use.clause for use in policy.uses if DECIDING in policy.ancestors(use.purpose)}))


def stop_of(policy: CompiledPolicy, template: Template) -> Stop:
    """How this message is stopped, by the basis that its purpose rests on."""
    if template.kind == "marketing":
        return "unsubscribe"
    bases = {use.basis for use in policy.uses if use.purpose == template.purpose}
    if "consent" in bases:
        return "withdraw"
    if template.kind == "notice" and template.purpose == "account":
        return "close"
    if bases & {"legitimate_interest", "public_interest"} and not bases & {"contract", "legal_obligation"}:
        return "object"
    return "none"


def sent_to(connection: Connection, tenant: str, sid: bytes) -> dict[str, Told]:
    """What this person was sent so far, by template."""
    found: list[Row[Any]] = list(connection.execute(SENT, {"of_tenant": tenant, "of_sid": sid}))
    return {row.template: Told(row.times, row.last_ms or 0) for row in found}
