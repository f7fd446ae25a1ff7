"""What a person sees beside a form: the notice, and the hash that binds a submission to it.

The hash covers everything that the notice says, in the version it says it (L10); a form sends it back, so that
a submission under words that have changed meanwhile is not taken for consent to the new ones.
Clause: ``consent.at-submission``. Mechanism: ``notice.bind``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from troth.policy.model import CompiledPolicy, Point


class NoticeLine(msgspec.Struct, frozen=True):
    """One use as told to the person: what, what for, on which basis, how long, to whom."""

    fields: tuple[str, ...]
    purpose: str
    basis: str
    kept: tuple[str, ...]
    recipient: str | None
    form: str


@dataclass(frozen=True)
class PointNotice:
    """The notice of one collection point in one version."""

    policy: str
    version: str
    controller: str
    contact: str
    point: str
    clause: str
    prose: str
    lines: tuple[NoticeLine, ...]
    ask: str | None
    sha256: str


def periods(policy: CompiledPolicy, class_: str) -> tuple[str, ...]:
    """How long a retention class is kept, as the policy's figures say it: the class's own line, and its states'."""
    keep = policy.keeps.get(class_)
    if keep is None or keep.clause not in policy.clauses:
        return ()
    told = {class_, *(phase.while_ for phase in keep.phases if phase.while_)}
    return tuple(line for line in policy.clauses[keep.clause].figures if line.partition(":")[0] in told)


def notice_for(policy: CompiledPolicy, point: Point) -> PointNotice:
    """The notice for this point: the clause's own words, its uses line by line, and the consent asked if any."""
    lines = tuple(
        NoticeLine(
            fields=tuple(sorted(use.fields)),
            purpose=use.purpose,
            basis=use.basis,
            kept=periods(policy, use.keep),
            recipient=use.recipient,
            form=use.form.kind,
        )
        for use in point.uses
    )
    ask = point.consent.ask if point.consent else None
    prose = policy.clauses[point.clause].prose
    content = [policy.policy, policy.version, policy.sha256, point.id, prose, lines, ask]
    return PointNotice(
        policy=policy.policy,
        version=policy.version,
        controller=policy.controller.name,
        contact=policy.controller.contact,
        point=point.id,
        clause=point.clause,
        prose=prose,
        lines=lines,
        ask=ask,
        sha256=hashlib.sha256(msgspec.json.encode(content)).hexdigest(),
    )
