"""Diagnostics: rendered as compilers do, complete, in the order of the file, each once."""

from __future__ import annotations

from tests.policies import MINIMAL
from troth.policy import compile
from troth.policy.diagnostics import Diagnostic, Report, did_you_mean, render_all
from troth.policy.model import Position

SOURCE = MINIMAL.replace("purpose: account", "purpose: acount")


def test_a_finding_reads_like_a_compilers() -> None:
    (finding,) = compile(SOURCE, filename="policy.md").diagnostics
    line = next(i for i, text in enumerate(SOURCE.split("\n"), 1) if "acount" in text)
    first, shown, caret, hint = finding.render().split("\n")
    assert first == f'policy.md:{line}:19: error[UNKNOWN_PURPOSE] no clause defines the purpose "acount"'
    assert shown == f" {line} | {SOURCE.split(chr(10))[line - 1]}"
    assert shown[caret.index("^") :].startswith("acount")
    assert hint == '   = did you mean "account"?'


def test_what_is_missing_comes_with_a_block_to_paste() -> None:
    source = MINIMAL.replace("purpose: account", "purpose: horoscopes")
    (finding,) = compile(source).diagnostics
    assert "purposes:\n    horoscopes:" in finding.paste
    assert "   = to paste:\n     define:" in finding.render()


def test_a_finding_is_an_object_for_tools() -> None:
    (finding,) = compile(SOURCE).diagnostics
    assert finding.as_json() == {
        "file": "policy.md",
        "line": finding.line,
        "column": 19,
        "severity": "error",
        "code": "UNKNOWN_PURPOSE",
        "message": 'no clause defines the purpose "acount"',
        "source_line": finding.source_line,
        "hint": 'did you mean "account"?',
    }


def test_all_findings_are_counted_at_the_end() -> None:
    assert render_all(()) == "nothing to report"
    report = Report({"f": "one\ntwo\n"})
    report.warning("W", "f", Position(2, 1), "w")
    report.error("E", "f", Position(2, 1), "e")
    report.error("E", "f", Position(1, 2), "e")
    report.error("E", "f", Position(1, 2), "e")
    assert [(d.line, d.code) for d in report.found()] == [(1, "E"), (2, "E"), (2, "W")]
    assert render_all(report.found()).endswith("2 errors, 1 warning")
    assert report.failed


def test_findings_have_a_limit_and_errors_beyond_it_still_fail() -> None:
    report = Report({}, limit=1)
    report.warning("W", "f", Position(1, 1), "w")
    report.error("E", "f", Position(1, 1), "e")
    assert len(report.found()) == 1
    assert report.failed


def test_a_long_line_is_shown_around_the_place_and_without_control_characters() -> None:
    finding = Diagnostic("f", 1, 500, "error", "E", "m", "\x1b[31m" + "x" * 494 + "HERE" + "y" * 500)
    shown = finding.render()
    assert "HERE" in shown
    assert "\x1b" not in shown
    assert max(len(line) for line in shown.split("\n")) < 200


def test_only_near_words_are_meant() -> None:
    assert did_you_mean("comunication", ["communication", "account"]) == 'did you mean "communication"?'
    assert did_you_mean("zebra", ["communication", "account"]) == ""
    assert did_you_mean("", ["a"]) == did_you_mean("x" * 100, ["x" * 99]) == ""
