"""What one question may take from records of one kind: the decision, asked once and remembered.

A record's terms, its retention class, the phase of its keeping and its person's interned state are all that a
decision depends on, and there are few of each. The memo is dropped when another version comes into force.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from troth.policy.ask import UNDECLARED
from troth.policy.decide import decide
from troth.policy.model import CompiledPolicy, Form, History, Question, State, Terms


class Ask(NamedTuple):
    """A question, as far as it is the same for all persons. ``evidence`` names the guards that are met."""

    purpose: str
    fields: frozenset[str]
    recipient: str | None = None
    channel: str | None = None
    form: Form = Form()
    evidence: frozenset[str] = frozenset()

    def question(self, fields: frozenset[str]) -> Question:
        """The question about some of the fields."""
        return Question(self.purpose, fields, self.recipient, self.channel, self.form)


@dataclass(frozen=True, slots=True)
class Taken:
    """The fields that may be taken from such a record, and the clauses that carry it."""

    fields: frozenset[str]
    clauses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing may be taken: the clauses that came closest, and what is missing. No clauses: not concerned."""

    clauses: tuple[str, ...]
    gaps: tuple[str, ...]


Verdict = Taken | Refused
NOT_CONCERNED = Refused((), ())


def judge(history: History, version: str, terms: Terms, state: State, ask: Ask) -> Verdict:
    """What ``ask`` may take from a record under ``terms`` (with its ``keep`` and ``phase``), while ``version`` binds.

    A record answers for the fields that its class was to hold when it was collected; one use must cover them all.
    """
    try:
        point = history.version(terms.version).points[terms.point]
    except KeyError:
        return Refused((), (f"version:{terms.version}",))
    held = point.classes().get(terms.keep or "", frozenset())
    fields = ask.fields & held
    if not fields:
        return NOT_CONCERNED
    decision = decide(history, terms, state, ask.question(fields), ask.evidence, version)
    return Taken(fields, decision.clauses) if decision.allowed else Refused(decision.clauses, decision.gaps)


def nearest(refusals: list[Refused]) -> Refused | None:
    """Of several refusals the one with the fewest gaps, in an order that depends on nothing else."""
    told = [refusal for refusal in refusals if refusal.gaps]
    return min(told, key=lambda refusal: (len(refusal.gaps), refusal.gaps, refusal.clauses), default=None)


def without_records(history: History, policy: CompiledPolicy, state: State, ask: Ask) -> Refused:
    """The refusal where nothing was collected that the question could be about: what the policy would say if it were.

    Never carries a name that the policy does not declare: questions come from outside.
    """
    told: list[Refused] = []
    for point in policy.points.values():
        for surface in point.surfaces or ("",):
            terms = Terms(policy.controller.name, surface, point.id, policy.version)
            decision = decide(history, terms, state, ask.question(ask.fields), ask.evidence, policy.version)
            if decision.allowed:
                return Refused(decision.clauses, (f"record:{point.id}",))
            told.append(Refused(decision.clauses, decision.gaps))
    return nearest(told) or Refused((), ("record",))


def declared_only(policy: CompiledPolicy, refusal: Refused) -> Refused:
    """The refusal without names from outside: an undeclared field or purpose may be anybody's personal value."""
    known = {field.name for point in policy.points.values() for field in point.fields}
    known |= policy.purposes.keys() | policy.recipients.keys()
    known |= {use.channel for use in policy.uses if use.channel} | {use.purpose for use in policy.uses}
    gaps = []
    for gap in refusal.gaps:
        kind, colon, name = gap.partition(":")
        if kind in ("field", "purpose", "recipient", "channel") and colon and name not in known:
            gap = f"{kind}:{UNDECLARED}"
        if gap not in gaps:
            gaps.append(gap)
    clauses = refusal.clauses or tuple(c.id for c in policy.clauses.values() if "scope.closed" in c.mechanisms)
    return Refused(clauses or ("scope.closed-list",), tuple(gaps))


def restricted(state: State, mode: str) -> State:
    """The state with the mode of the person's row, should the two ever differ: the narrower one counts."""
    return replace(state, mode="restricted") if mode == "restricted" and state.mode == "normal" else state
