"""The example policy and the bindings of the real one declare every clause of the table, each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clauses.ids import ENFORCED, IDS, LAW, ROWS
from tests.seed import BINDINGS, ROOT
from troth.policy.bindings import bind
from troth.policy.document import Document
from troth.policy.parse import parse

EXAMPLE = ROOT / "policies" / "example" / "policy.md"


def declared(path: Path) -> Document:
    text = path.read_text(encoding="utf-8")
    return parse(text) if path.suffix == ".md" else bind("", "text", text)


def test_the_table_has_70_clauses_in_66_rows_and_13_that_the_law_adds() -> None:
    assert (len(ROWS), sum(len(names) for names in ROWS.values()), len(LAW)) == (66, 70, 13)
    assert len(set(IDS)) == len(IDS)
    assert set(IDS) >= ENFORCED


@pytest.mark.parametrize("path", [EXAMPLE, BINDINGS], ids=lambda p: p.name)
def test_every_clause_of_the_table_is_declared_exactly_once(path: Path) -> None:
    found = [block.node.text("id") for block in declared(path).clauses]
    assert sorted(str(name) for name in found) == sorted(IDS)


@pytest.mark.parametrize("path", [EXAMPLE, BINDINGS], ids=lambda p: p.name)
def test_what_a_machine_must_keep_by_now_is_not_put_off(path: Path) -> None:
    off = {
        str(block.node.text("id")): block.node.text("not_enforced")
        for block in declared(path).clauses
        if block.node.get("not_enforced") is not None
    }
    assert set(off) & ENFORCED == set()
    assert all(reason and len(reason) > 20 for reason in off.values())


def test_every_clause_of_the_example_has_words_of_its_own() -> None:
    document = declared(EXAMPLE)
    without = [block.node.text("id") for block in document.clauses if not document.prose(block)]
    assert without == []


def test_a_clause_of_the_bindings_has_words_or_says_why_not() -> None:
    for block in declared(BINDINGS).clauses:
        name = block.node.text("id")
        assert (block.node.text("supplement") is None) == (name in {i for names in ROWS.values() for i in names}), name
