"""The generated reference is current, and what it describes is what the compiler takes."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from tests.language.regenerate import files
from tests.language.test_language import VALID
from troth.policy.document import MappingNode, Node, ScalarNode
from troth.policy.parse import parse
from troth.policy.schema import json_schema


@pytest.mark.parametrize("path", list(files()), ids=lambda path: path.name)
def test_the_committed_reference_is_current(path: Any) -> None:
    assert path.read_text("utf-8") == files()[path], "run: python -m tests.language.regenerate"


def plain(node: Node) -> Any:
    if isinstance(node, ScalarNode):
        typed = {"true": True, "false": False}
        if not node.quoted and node.text in typed:
            return typed[node.text]
        return int(node.text) if node.text.isdigit() and not node.quoted else None if node.empty else node.text
    if isinstance(node, MappingNode):
        return {key.text: plain(value) for key, value in node.entries}
    return [plain(item) for item in node.items]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_every_clause_of_a_valid_policy_fits_the_schema(path: Any) -> None:
    validator = jsonschema_rs.Draft202012Validator(json_schema())
    for block in parse(path.read_text("utf-8")).clauses:
        clause = plain(block.node)
        if "every" not in clause and "when" not in clause:  # obligations without their verb are the reader's courtesy
            assert [e.message for e in validator.iter_errors(clause)] == []


def test_the_schema_refuses_what_the_compiler_refuses() -> None:
    validator = jsonschema_rs.Draft202012Validator(json_schema())
    for wrong in (
        {"id": "a.b"},
        {"id": "a.b", "informs": {}, "never": {}},
        {"id": "A B", "informs": {}},
        {"id": "a.b", "requires": {"keep": {"account": "a while"}}},
        {"id": "a.b", "permits": {"collect": {"point": "x", "fields": {}, "usage": []}}},
    ):
        assert not validator.is_valid(wrong), wrong
