"""YAML as a tree: raw text, places, and nothing that surprises."""

from __future__ import annotations

import pytest

from troth.policy.diagnostics import Report
from troth.policy.document import MappingNode, Node, ScalarNode, SequenceNode
from troth.policy.model import Position
from troth.policy.yaml_nodes import DEEPEST, LONGEST, compose


def read(text: str, **places: int) -> tuple[Node | None, list[tuple[str, int, int]]]:
    report = Report({"f": text})
    node = compose(text, report, "f", **places)
    return node, [(d.code, d.line, d.column) for d in report.found()]


def mapping(text: str) -> MappingNode:
    node, faults = read(text)
    assert faults == []
    assert isinstance(node, MappingNode)
    return node


def test_scalars_stay_as_they_are_written() -> None:
    text = "a: NO\nb: 010\nc: 1_000\nd: 2026-01-15\ne: 'true'\nf: ~\ng: 0x1F\nh:\n"
    node = mapping(text)
    assert [(k.text, v.text) for k, v in node.entries if isinstance(v, ScalarNode)] == [
        ("a", "NO"),
        ("b", "010"),
        ("c", "1_000"),
        ("d", "2026-01-15"),
        ("e", "true"),
        ("f", "~"),
        ("g", "0x1F"),
        ("h", ""),
    ]
    assert [k.text for k, v in node.entries if isinstance(v, ScalarNode) and v.empty] == ["f", "h"]
    assert [k.text for k, v in node.entries if isinstance(v, ScalarNode) and v.quoted] == ["e"]


def test_every_key_and_value_knows_its_place() -> None:
    node = mapping("ä: {ö: [1, 'ü', 🙂]}\nb:\n  c: d\n")
    inner = node.get("ä")
    assert isinstance(inner, MappingNode)
    items = inner.get("ö")
    assert isinstance(items, SequenceNode)
    assert [item.at for item in items.items] == [Position(1, 9), Position(1, 12), Position(1, 17)]
    outer = node.get("b")
    assert isinstance(outer, MappingNode)
    assert outer.entries[0][0].at == Position(3, 3)
    assert node.key("b") == ScalarNode("b", Position(2, 1))


def test_places_are_counted_from_where_the_text_stands() -> None:
    node, _ = read("a:\n  b: c", first_line=41, first_column=9)
    assert isinstance(node, MappingNode)
    inner = node.get("a")
    assert isinstance(inner, MappingNode)
    assert inner.entries[0][1].at == Position(42, 14)


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3", "DUPLICATE_KEY", 3, 1),
        ("{a: 1, a: 2}", "DUPLICATE_KEY", 1, 8),
        ("a: &x 1\nb: 2", "ANCHOR", 1, 4),
        ("a: !!int 1", "TAG", 1, 4),
        ("a: ! b", "TAG", 1, 4),
        ("[a]: 1", "BAD_KEY", 1, 1),
        ("? {a: 1}\n: b", "BAD_KEY", 1, 3),
        ("a: [1", "YAML", 2, 1),
        ("a: 'x", "YAML", 1, 6),
        ("a: b: c", "YAML", 1, 5),
        ("\ta: b", "YAML", 1, 1),
        ("a\n---\nb", "YAML", 2, 1),
        ("a: \x07", "BAD_CHARACTER", 1, 4),
        ("a: b\nc: \x00d", "BAD_CHARACTER", 2, 4),
        ("a: \ud800", "BAD_CHARACTER", 1, 4),
    ],
)
def test_what_surprises_is_refused_at_its_place(text: str, code: str, line: int, column: int) -> None:
    _, faults = read(text)
    assert (code, line, column) in faults


def test_an_alias_is_refused_before_it_could_expand() -> None:
    laughs = "a: &a [x, x]\n" + "\n".join(f"b{i}: &b{i} [*{'b' + str(i - 1) if i else 'a'}, *a]" for i in range(60))
    node, faults = read(laughs)
    assert node is None
    assert {code for code, _, _ in faults} == {"ANCHOR"}


@pytest.mark.parametrize("text", ["[" * 5_000, "{a: " * 5_000, "- " * 5_000, "? " * 500, "[" * 30 + "]" * 30])
def test_deep_nesting_is_refused(text: str) -> None:
    node, faults = read(text)
    assert node is None or len(faults) > 0
    assert {code for code, _, _ in faults} <= {"TOO_DEEP", "YAML"}


def test_nesting_up_to_the_limit_is_read() -> None:
    assert read("[" * DEEPEST + "]" * DEEPEST)[1] == []
    assert read("\n".join(" " * i + "a:" for i in range(DEEPEST)))[1] == []
    assert [code for code, _, _ in read("\n".join(" " * i + "a:" for i in range(DEEPEST + 2)))[1]] == ["TOO_DEEP"]


def test_too_much_text_is_refused() -> None:
    assert read("a" * (LONGEST + 1)) == (None, [("TOO_LONG", 1, 1)])


def test_nothing_is_nothing() -> None:
    assert read("") == (None, [])
    assert read("# a comment\n") == (None, [])
