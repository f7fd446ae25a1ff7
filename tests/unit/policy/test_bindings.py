"""Declarations laid on somebody else's prose: what happened to the text is told once, at its place."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.policy.bindings import bind, numbered, pin
from troth.policy.diagnostics import Diagnostic
from troth.policy.document import Document

TEXT = """# Our policy

We collect your name. We keep it for a year, and you can see it at any time.

## More

We never sell it. Ask [our office](https://example.com/office) about it.

- The first point of the list.
- The second point of it.

Goodbye.
"""
DECLARED = """# somebody's bindings
front: {policy: theirs, language: en}
ignored: [s7]
clauses:
- id: collect.name
  binds: [s1]
  informs: {}
- id: retain.year
  binds: [s2/1-6]
  informs: {}
- id: rights.access
  binds: [s2/7-14]
  informs: {}
- id: share.never
  binds: [s3]
  informs: {}
- id: contact.office
  binds: [s4]
  informs: {}
- id: the.list
  binds: [s5, s6]
  informs: {}
- id: extra.thing
  supplement: nobody says it
  informs: {}
"""
PINNED, NOTES = pin(TEXT, DECLARED)


def laid(text: str, bindings: str = PINNED) -> Document:
    return bind(text, "theirs.md", bindings, "ours.yaml")


def codes(text: str, bindings: str = PINNED) -> list[tuple[str, int]]:
    return [(d.code, d.line) for d in laid(text, bindings).diagnostics]


def test_the_pins_hold_no_words_of_the_text() -> None:
    assert NOTES == ()
    pins = PINNED.split("text:\n")[1].splitlines()
    assert len(pins) == 9
    assert all(re.fullmatch(r"  s\d+(/\d+-\d+)?: \d+ [0-9a-f]{64}", line) for line in pins)


def test_an_unchanged_text_is_bound_without_a_word() -> None:
    document = laid(TEXT)
    assert document.diagnostics == ()
    assert {c.node.text("id"): document.prose(c) for c in document.clauses} == {
        "collect.name": "We collect your name.",
        "retain.year": "We keep it for a year,",
        "rights.access": "and you can see it at any time.",
        "share.never": "We never sell it.",
        "contact.office": "Ask our office about it.",
        "the.list": "The first point of the list. The second point of it.",
        "extra.thing": "",
    }
    assert [document.words(span) for span in document.ignored] == ["Goodbye."]
    assert document.front is not None
    assert document.front.text("policy") == "theirs"
    assert document.bindings == PINNED
    assert all(c.file == "ours.yaml" and c.node.get("binds") is None for c in document.clauses)


def test_other_line_breaks_and_composed_letters_change_nothing() -> None:
    assert codes(TEXT.replace("\n", "\r\n").replace("for a year", "for\n   a year")) == []
    accented, pins = TEXT.replace("Goodbye", "Grüße"), pin(TEXT.replace("Goodbye", "Grüße"), DECLARED)[0]
    assert codes(accented.replace("ü", "u\u0308"), pins) == []


PROSE = [m.start() for m in re.finditer(r"\w", TEXT) if not TEXT[TEXT.rfind("\n", 0, m.start()) + 1 :].startswith("#")]


@pytest.mark.parametrize("at", [i for i in PROSE if TEXT[i : i + 1].isalpha()])
def test_a_changed_letter_anywhere_is_told_once_in_its_line(at: int) -> None:
    changed = TEXT[:at] + ("z" if TEXT[at] != "z" else "y") + TEXT[at + 1 :]
    ((code, line),) = codes(changed)
    assert (code, line) == ("TEXT_CHANGED", TEXT[:at].count("\n") + 1)


def test_only_the_part_that_changed_is_named_and_its_neighbour_stays_bound() -> None:
    (finding,) = laid(TEXT.replace("any time", "any hour")).diagnostics
    assert (finding.code, finding.severity) == ("TEXT_CHANGED", "error")
    assert TEXT.split("\n")[finding.line - 1][finding.column - 1 :].startswith("and you can see")
    assert finding.file == "theirs.md"


def test_a_changed_link_target_is_a_changed_text() -> None:
    assert codes(TEXT.replace("example.com/office", "example.com/attic")) == [("TEXT_CHANGED", 7)]


@pytest.mark.parametrize(
    ("before", "line"),
    [("We keep it", 3), ("We collect", 3), ("Ask [our", 7), ("We never", 7), ("Goodbye", 12), ("- The second", 10)],
)
def test_an_inserted_sentence_is_unbound_and_nothing_else_happens(before: str, line: int) -> None:
    inserted = TEXT.replace(before, f"We also sell pears. {before}".replace("pears. - ", "pears.\n- "), 1)
    found = laid(inserted).diagnostics
    assert [d.code for d in found] in (["UNBOUND"], ["TEXT_CHANGED"])
    if not before.startswith("-"):
        assert [(d.code, d.line) for d in found] == [("UNBOUND", line)]
        assert "informs: {}" in found[0].paste


def test_an_inserted_paragraph_is_unbound() -> None:
    assert codes(TEXT.replace("## More", "We sell pears.\n\n## More")) == [("UNBOUND", 5)]


def test_inserted_sentences_next_to_a_changed_one_are_three_findings_not_more() -> None:
    changed = TEXT.replace("We never sell it.", "We sell pears. We never lend it. We have a great many apples here.")
    assert sorted(code for code, _ in codes(changed)) == ["TEXT_CHANGED", "UNBOUND", "UNBOUND"]


def test_a_moved_sentence_is_told_and_still_bound() -> None:
    moved = TEXT.replace("We never sell it. ", "").replace("Goodbye.", "Goodbye. We never sell it.")
    document = laid(moved)
    ((code, severity, line),) = [(d.code, d.severity, d.line) for d in document.diagnostics]
    assert (code, severity, line) == ("TEXT_MOVED", "warning", 12)
    assert [document.prose(c) for c in document.clauses if c.node.text("id") == "share.never"] == ["We never sell it."]


def test_a_sentence_taken_out_is_told_where_it_stood() -> None:
    (finding,) = laid(TEXT.replace("We never sell it. ", "")).diagnostics
    assert (finding.code, finding.line) == ("TEXT_CHANGED", 7)
    assert "gone" in finding.message


def test_a_text_of_which_nothing_is_left_is_told_sentence_by_sentence() -> None:
    assert [code for code, _ in codes("")] == ["TEXT_CHANGED"] * 7
    assert len(laid("# Only a heading\n").diagnostics) >= 1


def test_words_put_into_a_sentence_leave_its_other_part_bound() -> None:
    document = laid(TEXT.replace("for a year,", "for a whole long year,"))
    assert [d.code for d in document.diagnostics] == ["TEXT_CHANGED"]
    assert [document.prose(c) for c in document.clauses if c.node.text("id") == "rights.access"] == [
        "and you can see it at any time."
    ]


def test_a_sentence_that_nobody_binds_is_unbound() -> None:
    dropped = re.sub(r"- id: share.never\n  binds: \[s3\]\n  informs: \{\}\n", "", PINNED)
    assert codes(TEXT, dropped) == [("UNBOUND", 7)]


def test_the_same_sentence_twice_is_two_sentences() -> None:
    twice = TEXT + "\nWe never sell it.\n"
    assert codes(twice) == [("UNBOUND", 14)]


@pytest.mark.parametrize(
    ("bindings", "code"),
    [
        ("- a list", "BAD_BINDINGS"),
        ("front: {}\nclauses: 3\n", "BAD_BINDINGS"),
        ("text: [a]\n", "BAD_BINDINGS"),
        ("text: {s1: nonsense}\n", "BAD_PIN"),
        ("text: {sentence: 3 aa}\n", "BAD_PIN"),
        ("clauses: [x]\n", "BAD_CLAUSE"),
        ("examples: [x]\n", "BAD_EXAMPLE"),
        ("clause: []\n", "UNKNOWN_KEY"),
        ("clauses: [{id: a.b, binds: [s99], informs: {}}]\n", "UNKNOWN_SPAN"),
        ("clauses: [{id: a.b, binds: everything, informs: {}}]\n", "UNKNOWN_SPAN"),
        ("a: [\n", "YAML"),
        ("text: {s1: &x 3, s2: *x}\n", "ANCHOR"),
    ],
)
def test_a_bad_bindings_file_is_a_diagnostic_in_that_file(bindings: str, code: str) -> None:
    found = [d for d in laid("Hello.", bindings).diagnostics if d.file == "ours.yaml"]
    assert code in [d.code for d in found]
    assert all(isinstance(d, Diagnostic) and d.line >= 1 and d.column >= 1 for d in found)


PIECES = st.sampled_from(
    [
        *["s1", "s2/1-3", "s2/9-2", "s1/0-0", ": ", "\n", "- id: a.b\n", "  binds: [s1]\n", "clauses:\n", "text:\n"],
        *["  s1: 3 " + "a" * 64 + "\n", "  s2/1-3: 3 " + "b" * 64 + "\n", "ignored: [s1]\n", "front: {}\n"],
        *["# ", "…", "\u0000", "{", "]"],
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join), st.lists(PIECES, max_size=6).map("".join))
@settings(max_examples=300, deadline=None)
def test_no_file_and_no_text_breaks_it(bindings: str, text: str) -> None:
    document = bind(text, "t", bindings)
    for clause in document.clauses:
        assert document.prose(clause) is not None
    assert all(d.line >= 1 and d.column >= 1 and d.render() for d in document.diagnostics)
    pin(text, bindings)
    numbered(text, bindings)


def test_a_line_without_words_is_no_sentence() -> None:
    assert codes(TEXT + "\n…\n") == []


def test_pinning_again_changes_nothing() -> None:
    assert pin(TEXT, PINNED) == (PINNED, ())


def test_pinning_a_changed_text_keeps_the_names_and_says_what_to_read() -> None:
    changed = TEXT.replace("any time", "any hour").replace("Goodbye.", "We sell pears. Goodbye.")
    again, notes = pin(changed, PINNED)
    assert codes(changed, again) == [("UNBOUND", 12)]
    assert any(note.startswith("s2 reads otherwise") for note in notes)
    assert any(note.startswith("s2/7-14 reads otherwise") for note in notes)
    assert "s8 is new" in notes
    document = laid(changed, again)
    assert [document.words(span) for span in document.ignored] == ["Goodbye."]


def test_pinning_a_part_that_is_not_there_says_so() -> None:
    _, notes = pin("Two words.", "clauses:\n- id: a.b\n  binds: [s1/1-9]\n  informs: {}\n")
    assert notes == ("s1/1-9 does not exist: the sentence has 2 words",)


def test_whoever_writes_bindings_can_see_every_name_and_number() -> None:
    listing = numbered(TEXT, PINNED)
    assert "s3 (line 7) 1·We 2·never 3·sell 4·it." in listing
    assert "(new)" in numbered(TEXT + "\nNew words.\n", PINNED)
