"""Faults planted in the decision, one at a time: the property that guards it must find each of them.

A fault is a piece of source and what a hand could have written instead. The mutated modules run beside the real ones,
under the same property as the engine, so that this measures the property and not the faults.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.property.agreement import Decide, assert_agreement
from troth.policy import decide, narrow

HISTORIES, QUESTIONS = 300, 60


class Fault(NamedTuple):
    """``was`` stands once in the module; ``becomes`` is the fault."""

    name: str
    module: str
    was: str
    becomes: str


FAULTS = (
    Fault("consent is not asked for", "narrow", "frozenset({use.channel} if use.basis == \"consent\" else ())", "frozenset()"),
    Fault("a consent counts for any channel", "decide", "    if not asks <= given:", "    if asks and not given:"),
    Fault(
        "a consent outlives the meaning it was given for",
        "decide",
        "if (grant.purpose, grant.meaning) == (use.purpose, use.meaning)}",
        "if grant.purpose == use.purpose}",
    ),
    Fault("an objection holds only for the purpose itself", "decide", "stop.purpose in nodes", "stop.purpose == use.purpose"),
    Fault(
        "an objection on every channel is overlooked",
        "decide",
        "stop.channel in (None, channel)",
        "stop.channel == channel",
    ),
    Fault("an objection ends contracts too", "decide", "if use.direct or \"stop\" in POWERS[use.basis]:", "if True:"),
    Fault("direct marketing on contract cannot be objected to", "decide", "if use.direct or \"stop\"", "if \"stop\""),
    Fault("a direct purpose does not make its uses direct", "narrow", "direct = use.direct or any(", "direct = use.direct or not any("),
    Fault("a restriction is not looked at", "decide", "state.mode != \"normal\" and", "state.mode == \"child\" and"),
    Fault("what survives anything survives everything", "decide", "state.mode not in use.survives", "not use.survives"),
    Fault("one met guard is enough", "decide", "part.use.guards.difference(evidence)", "part.use.guards if part.use.guards.isdisjoint(evidence) else ()"),
    Fault("one permitted field opens the others", "decide", "sorted(question.fields - use.fields)", "sorted(question.fields) if question.fields.isdisjoint(use.fields) else []"),
    Fault("a question about nothing is allowed", "decide", "    if not question.fields:", "    if question.fields is None:"),
    Fault("what is for a recipient is for the house too", "decide", "if use.recipient != question.recipient and", "if question.recipient not in (None, use.recipient) and"),
    Fault("a use over one channel answers for any", "decide", "if use.channel is not None and use.channel != question.channel:", "if question.channel is None and use.channel:"),
    Fault("a summary may be of fewer persons", "narrow", "-form.at_least if form.kind == \"summary\" else 0", "0"),
    Fault("forms are compared the wrong way round", "decide", "if revelation(question.form) > revelation(use.form):", "if revelation(question.form) < revelation(use.form):"),
    Fault("a purpose covers those above it", "decide", "if part.use.purpose != question.purpose:", "if question.purpose not in history.versions[0].ancestors(part.use.purpose):"),
    Fault("only the first guard's version counts", "narrow", "guards=a.guards | b.guards,", "guards=a.guards & b.guards,"),
    Fault("a later version widens the fields", "narrow", "fields=a.fields & b.fields,", "fields=b.fields,"),
    Fault("a later version cannot narrow the fields", "narrow", "fields=a.fields & b.fields,", "fields=a.fields,"),
    Fault("a later version widens the form", "narrow", "form=min(a.form, b.form, key=revelation),", "form=b.form,"),
    Fault("the weaker basis wins", "narrow", "    if POWERS[new] >= POWERS[old]:\n        return new", "    if POWERS[new] <= POWERS[old]:\n        return new"),
    Fault("a basis that takes a power away is taken", "narrow", "faults |= {f\"basis:{b.purpose}\"}", "pass"),
    Fault("a purpose redefined keeps its data", "narrow", "if a.meaning != b.meaning and basis != \"consent\":", "if False:"),
    Fault("what survives a mode in one version survives in all", "narrow", "survives=a.survives & b.survives,", "survives=a.survives | b.survives,"),
    Fault("additions reach everybody's old data", "narrow", "        if bound >= names.index(policy.version):", "        if True:"),
    Fault("additions need not say that they carry over", "narrow", "for part in own if part.use.carries_over)", "for part in own)"),
    Fault("whoever is bound to the version before is bound", "narrow", "if bound >= names.index(policy.version):", "if bound + 1 >= names.index(policy.version):"),
    Fault("a prohibition covers only the purpose it names", "narrow", "never.purposes.isdisjoint(policy.ancestors(use.purpose))", "use.purpose not in never.purposes"),
    Fault("a prohibition spares the category above", "narrow", "_under(category, root) or _under(root, category)", "_under(category, root)"),
    Fault("a prohibition spares the categories below", "narrow", "_under(category, root) or _under(root, category)", "_under(root, category)"),
    Fault("a prohibition spares what nobody labelled", "narrow", "if not never.categories or category is None:", "if category is None:\n        return not never.categories\n    if not never.categories:"),
    Fault("an exception excepts everybody", "narrow", "if use.clause in never.except_:", "if never.except_:"),
    Fault("exceptions are not heard", "narrow", "if use.clause in never.except_:", "if False:"),
    Fault("a prohibition of sharing is one of use", "narrow", "(never.act == \"share\" and use.recipient is None)", "False"),
    Fault("a prohibition is lifted without its guard", "narrow", "guards=old.use.guards | {never.unless})", "guards=old.use.guards)"),
    Fault("the phase of keeping is not looked at", "narrow", "if _in_phase(policy.keeps.get(use.keep), phase, use.purpose)", "if True"),
    Fault("a phase before the first is the last", "narrow", "if not 0 <= phase < len(phases):", "if not phase < len(phases):"),
    Fault("a phase narrows nothing", "narrow", "return only is None or purpose in only", "return True"),
    Fault("any class of keeping answers", "narrow", "if terms.keep is not None:", "if False:"),
    Fault("a recipient needs no declaration of its own", "narrow", "    if recipient is None or recipient.purpose not in policy.ancestors(use.purpose):\n        return _faulty(part, f\"recipient:{use.recipient}\")", "    if recipient is None:\n        return part"),
    Fault("a recipient gets every category", "narrow", "    if recipient.categories:", "    if False:"),
    Fault("a recipient's own guards are forgotten", "narrow", "guards=use.guards | recipient.guards", "guards=use.guards"),
    Fault("a surface that was not declared is as good", "narrow", "if point is None or (point.surfaces and terms.surface not in point.surfaces):", "if point is None:"),
    Fault("the version in force does not count", "narrow", "names.index(terms.version) : names.index(version) + 1]", "names.index(terms.version) : names.index(terms.version) + 1]"),
    Fault("the version of collection does not count", "narrow", "names.index(terms.version) : names.index(version) + 1]", "names.index(version) : names.index(version) + 1]"),
    Fault("objections forget how the tree was", "narrow", "for known in reversed(history.versions[:last]):", "for known in history.versions[last - 1 : last]:"),
    Fault("a wider use hides one with fewer guards", "narrow", "        and b.guards <= a.guards\n", ""),
    Fault("a wider use hides one that asks for no consent", "narrow", "        and other.asks <= part.asks\n", ""),
    Fault("a wider use hides one that carries over", "narrow", "        and a.carries_over <= b.carries_over\n", ""),
    Fault("lost uses are permitted", "decide", "    gaps = sorted(part.faults)\n", "    gaps: list[str] = []\n"),
)  # fmt: skip

_serial = itertools.count()


def _load(fault: Fault | None) -> Decide:
    """``decide``, with the fault in it, from modules of its own."""
    number = next(_serial)
    names = {"narrow": f"planted_narrow_{number}", "decide": f"planted_decide_{number}"}
    loaded = {}
    for module in (narrow, decide):
        short = module.__name__.rpartition(".")[2]
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        if fault is not None and fault.module == short:
            assert source.count(fault.was) == 1, f"{fault.name}: the place must be there once"
            source = source.replace(fault.was, fault.becomes)
        source = source.replace("from troth.policy.narrow import", f"from {names['narrow']} import")
        planted = types.ModuleType(names[short])
        sys.modules[names[short]] = planted
        exec(compile(source, names[short], "exec"), planted.__dict__)  # our own source, with one change
        loaded[short] = planted
    made: Decide = loaded["decide"].decide
    return made


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("planted_")]:
        del sys.modules[name]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_the_property_finds(fault: Fault) -> None:
    planted = _load(fault)
    with pytest.raises(AssertionError):
        assert_agreement(planted, histories=HISTORIES, questions=QUESTIONS)


def test_without_a_fault_it_finds_nothing() -> None:
    assert_agreement(_load(None), histories=HISTORIES // 10, questions=QUESTIONS)


def test_there_are_at_least_twenty_different_faults() -> None:
    assert len({(fault.module, fault.was, fault.becomes) for fault in FAULTS}) == len(FAULTS) >= 20
