"""The decision's meaning, written a second time: slowly, in sets and loops, and knowing nothing of the engine.

It imports nothing from ``troth`` and reads only the attributes of the values it is given. In one sentence: a question
is allowed if there is a line of permits, one from each version from a start to the version in force, and each of them
permits the question by its own version's words; the start is the version of collection, or a later version whose
permit carries over to a person who is bound by that version.
"""

from __future__ import annotations

import itertools
from typing import Any

A_PERSON_CAN = {
    "consent": {"refuse beforehand", "object", "take along"},
    "legitimate_interest": {"object"},
    "public_interest": {"object"},
    "contract": {"take along"},
    "legal_obligation": set(),
    "vital_interest": set(),
}


def above(policy: Any, purpose: str) -> set[str]:
    """The purpose and all nodes over it, as this version draws the tree."""
    nodes = {purpose}
    while True:
        more = {policy.purposes[node].parent for node in nodes if node in policy.purposes} - {None} - nodes
        if not more:
            return nodes
        nodes |= more


def overlaps(one: str, other: str) -> bool:
    """Whether one category is the other or contains it."""
    a, b = one.split("."), other.split(".")
    return a[: len(b)] == b[: len(a)]


def contains(root: str, category: str | None) -> bool:
    return category is not None and category.split(".")[: len(root.split("."))] == root.split(".")


def shows_no_more(asked: Any, permitted: Any) -> bool:
    if permitted.kind == "identified":
        return True
    if permitted.kind == "pseudonymous":
        return bool(asked.kind != "identified")
    return bool(asked.kind == "summary" and asked.at_least >= permitted.at_least)


def forbidden(policy: Any, permit: Any, question: Any, evidence: Any, category_of: dict[str, str]) -> bool:
    """Whether a prohibition of this version speaks against answering the question by this permit."""
    for never in policy.nevers:
        applies = never.act == "use" or (never.act == "share" and permit.recipient is not None)
        excepted = permit.clause in never.except_ or (never.unless is not None and never.unless in evidence)
        right_purpose = not never.purposes or bool(never.purposes & above(policy, permit.purpose))
        right_recipient = not never.recipients or permit.recipient in never.recipients
        right_data = not never.categories or any(
            field not in category_of or overlaps(category_of[field], root)
            for field in question.fields
            for root in never.categories
        )
        if applies and not excepted and right_purpose and right_recipient and right_data:
            return True
    return False


def kept(policy: Any, permit: Any, phase: int) -> bool:
    """Whether this version's phases of keeping still leave the permit its purpose."""
    if permit.keep not in policy.keeps or not policy.keeps[permit.keep].phases:
        return phase == 0
    found = [p for number, p in enumerate(policy.keeps[permit.keep].phases) if number == phase]
    return any(p.only is None or permit.purpose in p.only for p in found)


def received(policy: Any, permit: Any, question: Any, evidence: Any, category_of: dict[str, str]) -> bool:
    """Whether the recipient is declared for this, and its own guards are met."""
    if permit.recipient is None:
        return True
    if permit.recipient not in policy.recipients:
        return False
    declared = policy.recipients[permit.recipient]
    return (
        declared.purpose in above(policy, permit.purpose)
        and set(declared.guards) <= set(evidence)
        and all(
            not declared.categories or any(contains(root, category_of.get(field)) for root in declared.categories)
            for field in question.fields
        )
    )


def permits_in(policy: Any, terms: Any, question: Any, evidence: Any) -> list[Any]:
    """The permits of one version that, by this version alone, answer the question."""
    if terms.point not in policy.points:
        return []
    point = policy.points[terms.point]
    if point.surfaces and terms.surface not in point.surfaces:
        return []
    category_of = {field.name: field.category for field in point.fields}
    return [
        permit
        for permit in policy.uses
        if permit.point == terms.point
        and permit.purpose == question.purpose
        and permit.recipient == question.recipient
        and permit.channel in (None, question.channel)
        and question.fields
        and set(question.fields) <= set(permit.fields)
        and shows_no_more(question.form, permit.form)
        and set(permit.guards) <= set(evidence)
        and kept(policy, permit, terms.phase)
        and received(policy, permit, question, evidence, category_of)
        and not forbidden(policy, permit, question, evidence, category_of)
    ]


def chosen(line: tuple[Any, ...], versions: list[Any], state: Any, question: Any, nodes: set[str]) -> bool:
    """Whether the person's choices, and the changes on the way, leave this line of permits open."""
    for length in range(1, len(line) + 1):  # at every version so far, one basis had all the powers of the others
        bases = [permit.basis for permit in line[:length]]
        if not any(all(A_PERSON_CAN[b] <= A_PERSON_CAN[a] for b in bases) for a in bases):
            return False
        changed = length > 1 and line[length - 1].meaning != line[length - 2].meaning
        if changed and "consent" not in bases:
            return False
    if state.mode != "normal" and not all(state.mode in permit.survives for permit in line):
        return False
    direct = any(
        permit.direct
        or any(policy.purposes[node].direct for node in above(policy, permit.purpose) if node in policy.purposes)
        for permit, policy in zip(line, versions, strict=True)
    )
    if direct or any("object" in A_PERSON_CAN[permit.basis] for permit in line):
        for stop in state.stops:
            if stop.purpose in nodes and (stop.channel is None or stop.channel == question.channel):
                return False
    grants = {(grant.purpose, grant.channel, grant.meaning) for grant in state.grants}
    return all(
        permit.basis != "consent" or (permit.purpose, permit.channel, line[-1].meaning) in grants for permit in line
    )


def allowed(history: Any, terms: Any, state: Any, question: Any, evidence: Any, version: str) -> bool:
    """The answer."""
    names = [policy.version for policy in history.versions]
    if terms.version not in names or version not in names:
        return False
    first, last = names.index(terms.version), names.index(version)
    nodes = set().union(*(above(policy, question.purpose) for policy in history.versions[: last + 1]))
    for start in range(first, last + 1):
        versions = list(history.versions[start : last + 1])
        choices = [permits_in(policy, terms, question, evidence) for policy in versions]
        for line in itertools.product(*choices):
            in_class = terms.keep is None or line[0].keep == terms.keep
            reached = start == first or (
                line[0].carries_over and state.bound in names and names.index(state.bound) >= start
            )
            if in_class and reached and chosen(line, versions, state, question, nodes):
                return True
    return False
