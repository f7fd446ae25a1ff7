"""Reading bodies: every kind of value, its faults, and that each body of the vocabulary can be read at all."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin

import pytest

from troth.policy.bodies import (
    VERBS,
    Between,
    Bits,
    Body,
    ClauseEnvelope,
    FrontMatter,
    Name,
    Pattern,
    Word,
)
from troth.policy.diagnostics import Report
from troth.policy.model import Duration, Position
from troth.policy.reading import Context, members, options, read
from troth.policy.schema import json_schema
from troth.policy.yaml_nodes import compose


class Inner(Body, frozen=True, kw_only=True):
    """A part."""

    depth: Annotated[int, Between(1, 9), "how deep"]


class Sample(Body, frozen=True, kw_only=True):
    """Every kind of value."""

    name: Annotated[Name, "a name"]
    flag: Annotated[bool, "a flag"] = False
    number: Annotated[int, Between(1, 9), "a number"] = 1
    choice: Annotated[Literal["red", "green"] | None, "a choice"] = None
    words: Annotated[tuple[Word, ...], "words"] = ()
    period: Annotated[Duration | None, "a period"] = None
    bits: Annotated[Bits | None, "bits"] = None
    code: Annotated[Word | None, Pattern("[A-Z]{2}", "two capitals"), "a code"] = None
    inner: Annotated[tuple[Inner, ...], "parts"] = ()
    named: Annotated[dict[Name, Inner | Duration], "parts by name"] = {}  # noqa: RUF012  # msgspec copies an empty default
    either: Annotated[Literal["none"] | Inner, "a word or a part"] = "none"
    as_: Annotated[Word | None, "a name that Python has"] = None


def reading(text: str) -> tuple[Sample | None, list[str]]:
    report = Report({"f": text})
    node = compose(text, report, "f")
    assert node is not None
    return read(node, Sample, Context(report, "f")), [f"{d.line}:{d.column} {d.code}" for d in report.found()]


def test_every_kind_of_value_is_read() -> None:
    made, faults = reading(
        "name: a.b-c_d:e\nflag: true\nnumber: 9\nchoice: red\nwords: [one, 'two']\nperiod: 1 month\nbits: 128 bits\n"
        "code: IE\ninner: [{depth: 1}, {depth: 2}]\nnamed: {a: {depth: 3}, b: 2 days}\neither: {depth: 4}\nas: text\n"
    )
    assert faults == []
    assert made is not None
    assert (made.name, made.flag, made.number, made.choice, made.words) == ("a.b-c_d:e", True, 9, "red", ("one", "two"))
    assert made.period == Duration("1 month", months=1)
    assert (made.bits, made.code, made.as_) == (Bits(128), "IE", "text")
    assert [inner.depth for inner in made.inner] == [1, 2]
    assert isinstance(made.either, Inner)
    assert list(made.named) == ["a", "b"]
    assert made.words[1].at == Position(5, 14)
    assert made.name.at == Position(1, 7)


def test_one_value_stands_for_a_list_of_one() -> None:
    made, faults = reading("name: a\nwords: one\ninner: {depth: 1}\n")
    assert faults == []
    assert made is not None
    assert made.words == ("one",)
    assert len(made.inner) == 1


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("flag: yes", "2:7 NOT_A_CHOICE"),
        ("flag: TRUE", "2:7 NOT_A_CHOICE"),
        ("flag: [true]", "2:7 WRONG_SHAPE"),
        ("flag:", "2:6 EMPTY"),
        ("number: 0", "2:9 NOT_A_NUMBER"),
        ("number: 10", "2:9 NOT_A_NUMBER"),
        ("number: 07", "2:9 NOT_A_NUMBER"),
        ("number: 1.0", "2:9 NOT_A_NUMBER"),
        ("number: ٣", "2:9 NOT_A_NUMBER"),
        ("choice: rde", "2:9 NOT_A_CHOICE"),
        ("choice: ~", "2:9 EMPTY"),
        ("words: {a: b}", "2:8 WRONG_SHAPE"),
        ("words: [a, [b]]", "2:12 WRONG_SHAPE"),
        ("period: soon", "2:9 BAD_PERIOD"),
        ("bits: 128", "2:7 BAD_BITS"),
        ("code: ie", "2:7 BAD_TEXT"),
        ("inner: [{}]", "2:9 MISSING_KEY"),
        ("inner: [{depth: 1, width: 2}]", "2:20 UNKNOWN_KEY"),
        ("named: [a]", "2:8 WRONG_SHAPE"),
        ("named:", "2:7 EMPTY"),
        ("named: {A: 1 day}", "2:9 BAD_NAME"),
        ("named: {a: soon}", "2:12 BAD_PERIOD"),
        ("named: {a: [1]}", "2:12 WRONG_SHAPE"),
        ("either: some", "2:9 NOT_A_CHOICE"),
        ("either: [none]", "2:9 WRONG_SHAPE"),
        ("as_: text", "2:1 UNKNOWN_KEY"),
        ("at: {line: 1}", "2:1 UNKNOWN_KEY"),
    ],
)
def test_a_fault_is_told_at_its_place_and_reading_goes_on(line: str, fault: str) -> None:
    made, faults = reading(f"name: a\n{line}\n")
    assert faults == [fault]
    assert made is not None
    assert made.name == "a"


def test_without_what_it_needs_nothing_is_read() -> None:
    assert reading("flag: true") == (None, ["1:1 MISSING_KEY"])
    assert reading("name: A") == (None, ["1:7 BAD_NAME"])
    assert reading("[a]") == (None, ["1:1 WRONG_SHAPE"])


def all_bodies() -> list[type[Body]]:
    found: list[type[Body]] = []

    def look(kind: Any) -> None:
        for choice in options(kind):
            if isinstance(choice, type) and issubclass(choice, Body):
                if choice not in found:
                    found.append(choice)
                    for member in members(choice):
                        look(member.kind)
            elif get_origin(choice) in (tuple, dict):
                for part in get_args(choice):
                    look(part)

    for kind in (ClauseEnvelope, FrontMatter, *VERBS.values()):
        look(kind)
    return found


@pytest.mark.parametrize("kind", all_bodies(), ids=lambda kind: kind.__name__)
def test_every_body_and_member_is_described(kind: type[Body]) -> None:
    assert kind.__doc__
    for member in members(kind):
        assert member.says, f"{kind.__name__}.{member.name} has no words about it"


def test_every_body_is_in_the_schema() -> None:
    defined = set(json_schema()["$defs"])
    assert {kind.__name__ for kind in all_bodies()} - {"ClauseEnvelope"} == defined
