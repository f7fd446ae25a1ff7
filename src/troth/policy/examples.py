"""``yaml example`` blocks: a situation, a question and the expected answer, put to ``decide`` while compiling.

The sentences are few and fixed, so that anybody can write them::

    given:   nothing · agreed to PURPOSE [by CHANNEL] · refused PURPOSE · withdrew PURPOSE · objected to PURPOSE
             restricted · known to be a child · being erased · with GUARD · phase N · on SURFACE
    ask:     use FIELDS [of POINT] for PURPOSE [by CHANNEL] [as FORM]
             share FIELDS [of POINT] with RECIPIENTS for PURPOSE [as FORM] · store POINT
    expect:  allowed [by CLAUSE] · denied [by CLAUSE] [for lack of GAP]

Several facts stand in a list, or are joined by commas or ``and``. FIELDS are names, or ``all``.
"""

from __future__ import annotations

import re

import msgspec

from troth.policy.bodies import Body, Word
from troth.policy.decide import decide, uses
from troth.policy.diagnostics import Report, did_you_mean
from troth.policy.document import Document, MappingNode, SequenceNode
from troth.policy.model import (
    CompiledPolicy,
    Decision,
    Example,
    Form,
    Grant,
    History,
    Mode,
    Point,
    Question,
    State,
    Stop,
    Terms,
)
from troth.policy.reading import Context, read

_MODES: dict[str, Mode] = {
    "restricted": "restricted",
    "known to be a child": "child",
    "being erased": "erasing",
}
_ASK = re.compile(
    r"(?P<verb>use|share|store) (?P<what>.+?)(?: of (?P<point>\S+))?(?: with (?P<recipient>\S+))?"
    r"(?: for (?P<purpose>\S+))?(?: by (?P<channel>\S+))?(?: as (?P<form>.+))?"
)
_EXPECT = re.compile(r"(?P<word>allowed|denied)(?: by (?P<clause>\S+))?(?: for lack of (?P<gap>\S+))?")


class ExampleBody(Body, frozen=True, kw_only=True):
    """One example."""

    given: tuple[Word, ...] = ()
    ask: Word
    expect: Word


class Misread(Exception):
    """A sentence that is not one of the known ones; ``hint`` says which are."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class _Situation(msgspec.Struct):
    """What ``given`` says."""

    mode: Mode = "normal"
    grants: tuple[Grant, ...] = ()
    stops: tuple[Stop, ...] = ()
    evidence: frozenset[str] = frozenset()
    phase: int = 0
    surface: str = ""


def read_examples(document: Document, report: Report) -> tuple[Example, ...]:
    """The examples of a document as written; faults of their shape are told."""
    found = []
    for block in document.examples:
        nodes = block.node.items if isinstance(block.node, SequenceNode) else (block.node,)
        for node in nodes:
            if not isinstance(node, MappingNode):
                report.error("BAD_EXAMPLE", block.file, node.at, "an example has the keys given, ask and expect")
                continue
            body = read(node, ExampleBody, Context(report, block.file))
            if body is not None:
                given = ", ".join(" ".join(fact.split()) for fact in body.given) or "nothing"
                found.append(Example(given, " ".join(body.ask.split()), " ".join(body.expect.split()), body.at))
    return tuple(found)


def run_examples(policy: CompiledPolicy, report: Report, file: str) -> None:
    """Put each example of the policy to ``decide``; what does not come out as expected is an error."""
    for example in policy.examples:
        try:
            wrong = check(policy, example.given, example.ask, example.expect)
        except Misread as fault:
            report.error("BAD_EXAMPLE", file, example.position, str(fault), hint=fault.hint)
            continue
        if wrong:
            report.error("EXAMPLE_FAILED", file, example.position, wrong)


def check(policy: CompiledPolicy, given: str, ask: str, expect: str) -> str:
    """The empty string where the policy answers as expected, else what it answered. Raises ``Misread``."""
    expected = _EXPECT.fullmatch(expect.strip())
    if expected is None:
        hint = "allowed [by CLAUSE] · denied [by CLAUSE] [for lack of GAP]"
        raise Misread(f'"{expect[:80]}" is no expectation', hint)
    clause = expected["clause"]
    if clause and clause not in policy.clauses:
        raise Misread(f'there is no clause "{clause}"', did_you_mean(clause, policy.clauses))
    answer = answer_to(policy, given, ask)
    said = f"{'allowed' if answer.allowed else 'denied'} by {', '.join(answer.clauses) or 'silence'}"
    if answer.gaps:
        said += f" for lack of {', '.join(answer.gaps)}"
    fits = answer.allowed == (expected["word"] == "allowed")
    fits = fits and (not clause or clause in answer.clauses)
    fits = fits and (not expected["gap"] or expected["gap"] in answer.gaps)
    return "" if fits else f'"{ask}" (given: {given}) is {said}; expected: {expect.strip()}'


def answer_to(policy: CompiledPolicy, given: str, ask: str) -> Decision:
    """What ``decide`` says to a question in words about a person in a situation in words. Raises ``Misread``."""
    situation = _situation(policy, given)
    asked = _ASK.fullmatch(" ".join(ask.split()))
    if asked is None:
        hint = "use FIELDS [of POINT] for PURPOSE · share FIELDS with RECIPIENTS for PURPOSE · store POINT"
        raise Misread(f'"{ask[:80]}" is no question', hint)
    state = State(situation.mode, policy.version, frozenset(situation.grants), frozenset(situation.stops))
    history = History((policy,))
    if asked["verb"] == "store":
        point = _stored(policy, asked["what"])
        terms = _terms(policy, point, situation)
        live = uses(history, terms, state, policy.version)
        if live:
            return Decision(True, tuple(sorted({use.clause for use in live})))
        gaps = tuple(sorted({f"grant:{use.purpose}" for use in point.uses if use.basis == "consent"}))
        return Decision(False, tuple(dict.fromkeys([point.clause, *(use.clause for use in point.uses)])), gaps)
    purpose = asked["purpose"]
    if not purpose:
        raise Misread(f'"{ask[:80]}" names no purpose', "for PURPOSE")
    if purpose not in policy.purposes:
        raise Misread(f'the purpose "{purpose}" is not known', did_you_mean(purpose, policy.purposes))
    recipient = asked["recipient"]
    if asked["verb"] == "share" and not recipient:
        raise Misread(f'"{ask[:80]}" names no recipients', "with RECIPIENTS")
    point, fields = _fields(policy, asked["what"], asked["point"], purpose)
    question = Question(purpose, fields, recipient, asked["channel"], _form(asked["form"]))
    return decide(history, _terms(policy, point, situation), state, question, situation.evidence, policy.version)


def _terms(policy: CompiledPolicy, point: Point, situation: _Situation) -> Terms:
    surface = situation.surface or next(iter(point.surfaces), "")
    return Terms(policy.policy, surface, point.id, policy.version, situation.phase)


def _situation(policy: CompiledPolicy, given: str) -> _Situation:
    found = _Situation()
    for fact in re.split(r",\s*|\s+and\s+", given.strip()):
        fact = fact.strip()
        if fact in ("", "nothing"):
            continue
        if fact in _MODES:
            found.mode = _MODES[fact]
        elif match := re.fullmatch(r"(?:agreed|consented) to (\S+)(?: by (\S+))?", fact):
            found.grants += _granted(policy, match[1], match[2])
        elif match := re.fullmatch(r"(?:refused|withdrew|objected to) (\S+)(?: by (\S+))?", fact):
            found.stops += (Stop(_purpose(policy, match[1]), match[2]),)
        elif match := re.fullmatch(r"with (\S+)", fact):
            found.evidence |= {match[1]}
        elif match := re.fullmatch(r"phase (\d{1,2})", fact):
            found.phase = int(match[1])
        elif match := re.fullmatch(r"on (\S+)", fact):
            if match[1] not in policy.surfaces:
                raise Misread(f'the surface "{match[1]}" is not known', did_you_mean(match[1], policy.surfaces))
            found.surface = match[1]
        else:
            known = (
                "nothing · agreed to … · refused … · withdrew … · objected to … · restricted · with … · phase … · on …"
            )
            raise Misread(f'"{fact[:80]}" is no fact', known)
    return found


def _purpose(policy: CompiledPolicy, name: str) -> str:
    if name not in policy.purposes:
        raise Misread(f'the purpose "{name}" is not known', did_you_mean(name, policy.purposes))
    return name


def _granted(policy: CompiledPolicy, name: str, channel: str | None) -> tuple[Grant, ...]:
    """The grants that a yes to the declared questions for this purpose gives."""
    meaning = policy.purposes[_purpose(policy, name)].meaning
    channels = {ask.channel for ask in policy.consents.values() if ask.purpose == name} or {channel}
    return tuple(Grant(name, c, meaning) for c in sorted(channels, key=str) if channel is None or c == channel)


def _stored(policy: CompiledPolicy, words: str) -> Point:
    wanted = re.sub(r"[\s._-]+", " ", words.lower()).strip()
    for point in policy.points.values():
        if re.sub(r"[._-]+", " ", point.id) == wanted:
            return point
    raise Misread(f'no clause collects at a point "{words}"', did_you_mean(words.replace(" ", "."), policy.points))


def _fields(policy: CompiledPolicy, what: str, of: str | None, purpose: str) -> tuple[Point, frozenset[str]]:
    names = [name for name in re.split(r",\s*|\s+and\s+", what.strip()) if name]
    if of is not None and of not in policy.points:
        raise Misread(f'no clause collects at a point "{of}"', did_you_mean(of, policy.points))
    points = [policy.points[of]] if of is not None else list(policy.points.values())
    if names == ["all"]:
        if of is None:
            raise Misread('"all" needs its point', "use all of POINT for …")
        return points[0], frozenset(field.name for field in points[0].fields)
    holding = [point for point in points if all(point.field(name) for name in names)]
    if not holding:
        known = {field.name for point in points for field in point.fields}
        unknown = next((name for name in names if name not in known), names[0] if names else "")
        raise Misread(f'no point has the field "{unknown}"', did_you_mean(unknown, known))
    used = [point for point in holding if any(use.purpose == purpose for use in point.uses)] or holding
    if len(used) > 1:
        raise Misread("several points have these fields", f"of {' or '.join(p.id for p in used[:5])}")
    return used[0], frozenset(names)


def _form(text: str | None) -> Form:
    if text is None or text == "identified":
        return Form()
    if text == "pseudonymous":
        return Form("pseudonymous")
    match = re.fullmatch(r"(?:a )?summary over (\d{1,7})", text)
    if match is None:
        raise Misread(f'"{text[:60]}" is no form', "identified · pseudonymous · summary over N")
    return Form("summary", int(match[1]))
