"""Markdown -> document: blocks with their lines, and what each declaration binds."""

from __future__ import annotations

import pytest

from troth.policy.document import Document
from troth.policy.parse import LONGEST, LONGEST_BLOCK, fold, parse


def bound(document: Document) -> dict[str | None, list[str]]:
    return {c.node.text("id"): [document.words(s) for s in c.spans] for c in document.clauses}


def block(name: str, indent: str = "", words: str = "") -> str:
    more = f"{indent}words: {words}\n" if words else ""
    return f"\n{indent}```yaml clause\n{indent}id: {name}\n{more}{indent}informs: {{}}\n{indent}```\n"


def test_a_clause_binds_the_paragraph_above_it() -> None:
    document = parse("One.\n\nTwo *is* [more](https://x.y).\n" + block("a"))
    assert bound(document) == {"a": ["Two is more."]}
    assert document.blocks[1].targets == ("https://x.y",)
    assert document.blocks[1].source == "Two *is* [more](https://x.y)."


def test_several_clauses_may_bind_one_paragraph() -> None:
    document = parse("We keep it, and we share it.\n" + block("a", words="we keep it") + block("b", words="share it"))
    assert bound(document) == {"a": ["We keep it"], "b": ["share it"]}
    assert document.diagnostics == ()


def test_words_may_be_several_and_are_folded() -> None:
    text = "We keep\nyour   name, we say,\nfor ever.\n" + block("a", words='["keep your name", "for  ever"]')
    assert bound(parse(text)) == {"a": ["keep your name", "for ever"]}


def test_a_clause_in_a_list_item_binds_that_item() -> None:
    text = "- one\n" + block("a", "  ") + "- two\n  more\n" + block("b", "  ")
    document = parse(text)
    assert bound(document) == {"a": ["one"], "b": ["two more"]}
    assert document.clauses[0].node.entries[0][0].at.column == 3


def test_a_clause_under_a_list_binds_its_items_and_the_introduction() -> None:
    document = parse("We ask for:\n\n- a name\n- an address\n" + block("a"))
    assert bound(document) == {"a": ["We ask for:", "a name", "an address"]}
    document = parse("We ask.\n\n- a name\n- an address\n" + block("a"))
    assert bound(document) == {"a": ["a name", "an address"]}


def test_a_clause_under_a_table_binds_its_rows_and_words_choose_one() -> None:
    table = "| what | how long |\n|---|---|\n| calls | 14 days |\n| chats | 7 days |\n"
    assert bound(parse(table + block("a"))) == {"a": ["what | how long", "calls | 14 days", "chats | 7 days"]}
    assert bound(parse(table + block("a", words="14 days"))) == {"a": ["14 days"]}


def test_a_clause_in_a_quotation_binds_it() -> None:
    document = parse("> They said so.\n>\n> ```yaml clause\n> id: a\n> informs: {}\n> ```\n")
    assert bound(document) == {"a": ["They said so."]}
    assert document.clauses[0].node.entries[0][0].at == document.clauses[0].node.at
    assert document.clauses[0].node.at.column == 3


def test_a_heading_is_bound_only_by_its_words() -> None:
    assert bound(parse("Text.\n\n## Valid from 1 May\n" + block("a"))) == {"a": []}
    assert bound(parse("Text.\n\n## Valid from 1 May\n" + block("a", words="from 1 May"))) == {"a": ["from 1 May"]}


def test_words_that_are_not_there_are_told_with_the_prose() -> None:
    (fault,) = parse("We keep it.\n" + block("a", words="we sell it")).diagnostics
    assert (fault.code, fault.line, fault.column) == ("WORDS_NOT_FOUND", 5, 8)
    assert "We keep it." in fault.hint


def test_what_html_says_is_what_readers_see() -> None:
    document = parse("We <b>never</b> sell it. <!-- we do -->\n\n<p hidden>Secret.</p>\n")
    assert [b.text for b in document.blocks] == ["We <b>never</b> sell it. <!-- we do -->", "<p hidden>Secret.</p>"]


def test_lines_are_those_of_the_file_whatever_ends_them() -> None:
    text = "---\npolicy: a\n---\n# Title\n\nSubtitle\n--------\n\nOne\nparagraph.\n" + block("x") + "\n    code\n"
    for ending in ("\n", "\r\n", "\r"):
        document = parse(text.replace("\n", ending))
        places = [(b.kind, b.line, b.end, b.level) for b in document.blocks]
        assert places == [("heading", 4, 5, 1), ("heading", 6, 8, 2), ("paragraph", 9, 11, 0), ("code", 17, 18, 0)]
        assert (document.clauses[0].line, document.clauses[0].end) == (12, 16)
        assert document.front is not None
        assert document.front.keys() == ("policy",)


def test_examples_know_the_clause_above_them() -> None:
    text = "One.\n" + block("a") + "\n```yaml example\nask: x\nexpect: denied\n```\n"
    assert [example.after for example in parse(text).examples] == ["a"]


def test_other_code_is_left_alone() -> None:
    document = parse("```yaml\nid: x\n```\n\n```python\nclause\n```\n\n```\nyaml clause\n```\n")
    assert document.clauses == ()
    assert document.diagnostics == ()
    assert [b.kind for b in document.blocks] == ["code"] * 3


@pytest.mark.parametrize("info", ["yaml clauses", "yml clause", "yaml exampel", "yaml clause more", "YAML clause"])
def test_a_block_that_was_nearly_one_is_told(info: str) -> None:
    (fault,) = parse(f"One.\n\n```{info}\nid: a\n```\n").diagnostics
    assert fault.code == "UNKNOWN_BLOCK"


def test_what_stands_under_an_unreadable_block_is_not_told_as_unbound_too() -> None:
    document = parse("We keep it.\n\n```yaml clause\nid: [\n```\n")
    assert [d.code for d in document.diagnostics] == ["YAML"]
    assert [document.words(span) for span in document.ignored] == ["We keep it."]


def test_too_much_is_told_and_a_long_paragraph_is_taken_as_it_is() -> None:
    assert [d.code for d in parse("x" * (LONGEST + 1)).diagnostics] == ["TOO_LONG"]
    document = parse("*x* " * (LONGEST_BLOCK // 4 + 1))
    assert [d.code for d in document.diagnostics] == ["LONG_PARAGRAPH"]
    assert document.blocks[0].text.startswith("*x* *x*")


def test_folding_is_what_bindings_hash() -> None:
    assert fold("  a\u0301 \n\t b  ") == "á b"
