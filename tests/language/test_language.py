"""The language, held to files that anybody can add to. See README.md beside this file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from troth.policy import compile
from troth.policy.diagnostics import render_all
from troth.policy.examples import check
from troth.policy.lints import LINTS

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "src" / "troth" / "policy"
RULE = "===== expected ====="

VALID = sorted((HERE / "valid").glob("*.md"))
INVALID = sorted((HERE / "invalid").glob("*.md"))
CASES = sorted((HERE / "cases").glob("*.yaml"))

# Codes that no file of text can show; each has a test of its own in tests/unit/policy.
ELSEWHERE = {
    "BAD_BINDINGS",
    "BAD_PIN",
    "BAD_CHARACTER",
    "ENCODING",
    "LONG_PARAGRAPH",
    "TEXT_CHANGED",
    "TEXT_MOVED",
    "TOO_DEEP",
    "TOO_LONG",
    "UNBOUND",
    "UNKNOWN_SPAN",
}


def split(path: Path) -> tuple[str, list[str]]:
    policy, _, expected = path.read_text("utf-8").partition(RULE)
    return policy, [line.strip() for line in expected.splitlines() if line.strip()]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_policy_compiles_with_nothing_to_report(path: Path) -> None:
    compilation = compile(path.read_text("utf-8"), filename=path.name)
    assert compilation.diagnostics == (), render_all(compilation.diagnostics)
    assert compilation.policy is not None


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_what_is_wrong_is_said_at_its_place_and_all_at_once(path: Path) -> None:
    policy, expected = split(path)
    compilation = compile(policy, filename=path.name)
    found = [f"{d.line}:{d.column} {d.severity} {d.code}" for d in compilation.diagnostics]
    hints = [line.partition(" | ")[2] for line in expected]
    assert found == [line.partition(" | ")[0].strip() for line in expected], render_all(compilation.diagnostics)
    for diagnostic, said in zip(compilation.diagnostics, hints, strict=True):
        assert said in f"{diagnostic.message} {diagnostic.hint} {diagnostic.paste}", diagnostic.render()
    assert (compilation.policy is None) == any(d.severity == "error" for d in compilation.diagnostics)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_policy_answers_as_expected(path: Path) -> None:
    data = yaml.safe_load(path.read_text("utf-8"))
    compilation = compile((HERE / "valid" / data["policy"]).read_text("utf-8"))
    assert compilation.policy is not None, render_all(compilation.diagnostics)
    assert data["cases"], "a file of cases holds at least one"
    wrong = [check(compilation.policy, case.get("given", ""), case["ask"], case["expect"]) for case in data["cases"]]
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_every_code_that_the_compiler_knows_has_a_file_that_shows_it() -> None:
    known: set[str] = set(LINTS) - {"UNBOUND_WORDS"}
    for path in SOURCE.glob("*.py"):
        said = re.findall(
            r"\b(?:error|warning|add|tell|historical)\(\s*(?:\"\w+\",\s*)?\"([A-Z][A-Z_]{2,})\"",
            path.read_text("utf-8"),
        )
        known.update(said)
    shown = {line.split()[2] for path in INVALID for line in split(path)[1]}
    assert known - shown - ELSEWHERE == set()
    assert not shown - known - {"UNBOUND_WORDS"}, "a file expects a code that the compiler does not have"
