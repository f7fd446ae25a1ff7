"""Coverage of words: a promise with words outside every declaration is told, with the words."""

from __future__ import annotations

from troth.policy.coverage import check, coverage
from troth.policy.diagnostics import Report
from troth.policy.parse import parse

HEAD = "---\nlanguage: en\n---\n"


def clause(words: str = "", id_: str = "a.b") -> str:
    narrowed = f'words: "{words}"\n' if words else ""
    return f"\n\n```yaml clause\nid: {id_}\n{narrowed}informs: {{}}\n```\n\n"


def told(text: str) -> list[tuple[str, int, int, str]]:
    document = parse(HEAD + text)
    assert document.diagnostics == ()
    report = Report(document.files)
    check(document, report)
    return [(d.severity, d.line, d.column, d.message) for d in report.found()]


def test_a_bound_paragraph_is_covered_to_the_last_word() -> None:
    text = "We keep it for 30 days. Then we erase it." + clause()
    counted = coverage(parse(HEAD + text))
    assert (counted.words, counted.bound, counted.complete) == (10, 10, True)
    assert told(text) == []


def test_words_outside_the_narrowed_part_are_named_at_their_place() -> None:
    text = "We never sell your data. You can object, and we stop within one day." + clause("We never sell your data.")
    ((severity, line, column, message),) = told(text)
    assert (severity, line, column) == ("warning", 4, 26)
    assert '0 of 9 words are bound; no clause binds "You can object, and we stop within one day."' in message


def test_two_clauses_share_a_sentence_and_the_joining_words_count_as_bound() -> None:
    text = (
        "You can ask us to set data aside, and also to object to advertising."
        + clause("You can ask us to set data aside", "a.one")
        + clause("object to advertising.", "a.two")
    )
    assert told(text) == []


def test_a_joining_word_alone_binds_nothing() -> None:
    text = "We sell nothing. And so on." + clause("We sell nothing.")
    assert [(severity, line) for severity, line, *_ in told(text)] == [("info", 4)]


def test_every_run_of_unbound_words_is_quoted() -> None:
    text = "We must tell you first, then wait, and never act before." + clause("then wait")
    ((_, _, column, message),) = told(text)
    assert column == 1
    assert 'no clause binds "We must tell you first, … and never act before."' in message


def test_a_sentence_that_promises_nothing_is_only_an_information() -> None:
    assert [severity for severity, *_ in told("Welcome.")] == ["info"]
    assert [severity for severity, *_ in told("We will call.")] == ["warning"]


def test_in_a_language_we_cannot_read_every_sentence_counts_as_a_promise() -> None:
    document = parse("---\nlanguage: ar\n---\nمرحبا بكم.")
    assert [s.promise for s in coverage(document).sentences] == [True]


def test_headings_and_code_are_no_promises() -> None:
    assert told("# We will never sell\n\n```\nwe must keep\n```\n") == []


def test_list_items_and_table_rows_are_counted() -> None:
    text = "- We keep your name.\n- We erase it.\n\n| what | how long |\n|---|---|\n| we keep mail | never |\n"
    assert [line for _, line, _, _ in told(text)] == [4, 5, 7, 9]


def test_the_place_is_found_behind_markup_and_after_the_same_word() -> None:
    text = "We keep *it*. We keep it\nnever [longer](/x)." + clause("We keep it.")
    ((_, line, column, _),) = told(text)
    assert (line, column) == (4, 15)


def test_a_long_rest_is_cut_short() -> None:
    (finding,) = told("We will " + "go " * 200 + "on.")
    assert len(finding[3]) < 200
