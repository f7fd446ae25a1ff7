"""What the policy in force says about visits: which points there are, what they may hold, from which hosts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from troth.policy.model import CompiledPolicy, ConsentAsk, Point, Use

COUNT = "site.count"
VIEW = "site.view"
VISITS = (COUNT, VIEW)  # the points that pages fill by being visited; nobody submits anything at them
AT_LEAST = 20  # persons behind a figure, where the policy names no number
SAID = ("page", "referrer", "campaign", "event")
"""What a browser may say; everything else that is counted is made here."""


@dataclass(frozen=True)
class Rules:
    """One version's rules. ``count`` and ``view`` are None where the policy does not permit that tier."""

    policy: CompiledPolicy
    count: Point | None
    view: Point | None
    ask: ConsentAsk | None
    counted: frozenset[str]
    viewed: frozenset[str]
    at_least: int
    surfaces: dict[str, str]

    @cached_property
    def said(self) -> frozenset[str]:
        """The members that a message may have."""
        return (self.counted | self.viewed) & frozenset(SAID)

    @property
    def clause(self) -> str:
        """The clause that declares what a message may hold."""
        point = self.count or self.view
        return point.clause if point else "collect.navigation"


def rules_of(policy: CompiledPolicy) -> Rules:
    """The rules of a version."""
    count, view = policy.points.get(COUNT), policy.points.get(VIEW)
    summed = [use for use in count.uses if sums(use)] if count else []
    if not summed:
        count = None
    if view is None or view.consent is None:
        view = None
    hosts: dict[str, list[str]] = {}
    for surface, named in policy.surfaces.items():
        for host in named:
            hosts.setdefault(host, []).append(surface)
    return Rules(
        policy,
        count,
        view,
        view.consent if view else None,
        frozenset().union(*(use.fields for use in summed)),
        frozenset(f.name for f in view.fields) if view else frozenset(),
        max((use.form.at_least for use in summed), default=AT_LEAST),
        {host: found[0] for host, found in hosts.items() if len(found) == 1},
    )


def sums(use: Use) -> bool:
    """Whether a use needs nobody's consent because it shows sums over enough persons and nothing else."""
    return use.basis != "consent" and use.form.kind == "summary" and use.form.at_least > 1
