"""Whatever a file contains, the compiler answers with a policy or with diagnostics, and soon."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.policies import FRONT, FULL, MINIMAL, ROOT, clause, example_source
from troth.policy import Compilation, compile, compile_bytes
from troth.policy.diagnostics import render_all

#: Seconds of processor time for one hostile text of up to 100 kB; a valid policy of that size takes a tenth.
PATIENCE = 4.0

DEEP = 3_000
HOSTILE = {
    "billion laughs": clause(
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(f"{chr(b)}: &{chr(b)} [{', '.join(['*' + chr(b - 1)] * 9)}]" for b in range(98, 110))
    ),
    "deep lists": clause("id: a.b\nrequires: " + "[" * DEEP + "]" * DEEP),
    "deep mappings": clause("id: a.b\nrequires: " + "{a: " * DEEP + "}" * DEEP),
    "deep blocks": clause("id: a.b\nrequires:\n" + "\n".join("  " * (i + 1) + "a:" for i in range(400))),
    "deep dashes": clause("- " * DEEP),
    "deep questions": clause("? " * DEEP),
    "deep front matter": "---\n" + "{a: " * DEEP + "\n---\n",
    "deep quotes": ">" * DEEP + " x",
    "deep list items": "".join("  " * i + "- x\n" for i in range(500)),
    "brackets": "[" * 20_000,
    "links": "[a](" * 10_000,
    "stars": "*a **b " * 10_000,
    "ticks": "`" * 20_001 + " `" * 10_000,
    "one long line": "x" * 100_000,
    "one long key": clause("x" * 50_000 + ": y"),
    "many keys": clause("id: a.b\ninforms:\n" + "\n".join(f"  k{i}: v" for i in range(5_000))),
    "many blocks": FRONT + clause("id: a.b") * 1_000,
    "many fences": "```yaml clause\n" * 3_000,
    "a table": "|" + "a|" * 2_000 + "\n|" + "-|" * 2_000 + "\n" + "|x" * 2_000,
    "many rows": "|a|b|\n|-|-|\n" + "|x|y|\n" * 4_000,
    "nul": MINIMAL.replace("user.name", "user\x00name"),
    "nul in prose": MINIMAL.replace("your name", "your \x00name"),
    "bell": MINIMAL.replace("user.name", "user\x07name"),
    "surrogate": MINIMAL.replace("user.name", "user\ud800name"),
    "surrogate in prose": MINIMAL.replace("your name", "your \udfff name"),
    "byte order mark": "\ufeff" + MINIMAL,
    "line separators": MINIMAL.replace("\n", "\u2028"),
    "carriage returns": MINIMAL.replace("\n", "\r"),
    "tabs": MINIMAL.replace("  ", "\t"),
    "form feeds": MINIMAL.replace("\n\n", "\n\f\n"),
    "unterminated string": clause('id: "a.b'),
    "a python tag": clause("id: !!python/object/apply:os.system [true]"),
    "a merge": clause("id: a.b\n<<: {informs: {}}"),
    "a directive": clause("%YAML 9.9\n---\nid: a.b"),
    "two documents": clause("id: a.b\ninforms: {}\n---\nid: a.c"),
    "a huge number": MINIMAL.replace("30 days", "9" * 5_000 + " days"),
    "a huge age": FRONT + clause("id: a.b\nrequires: {age: {at_least: " + "9" * 5_000 + "}}"),
    "the year 9999": MINIMAL.replace("2026-02-15", "9999-12-31"),
    "the year 0": MINIMAL.replace("2026-02-15", "0000-01-01"),
    "a chain of purposes": FRONT
    + clause("id: a.b\ndefine:\n  purposes:\n" + "\n".join(f"    p{i}: {{parent: p{i + 1}}}" for i in range(3_000)))
    + MINIMAL.removeprefix(FRONT).replace("purpose: account", "purpose: p0"),
    "a circle of purposes": FRONT
    + clause(
        "id: a.b\ndefine:\n  purposes:\n" + "\n".join(f"    p{i}: {{parent: p{(i + 1) % 500}}}" for i in range(500))
    )
    + MINIMAL.removeprefix(FRONT).replace("purpose: account", "purpose: p0"),
    "a category of many parts": MINIMAL.replace("user.name", "user" + ".a" * 5_000),
    "many words": FRONT + clause("id: a.b\nwords: [" + "x, " * 5_000 + "]\ninforms: {}", "x " * 5_000),
    "many misspellings": FRONT + "".join(clause(f"id: a.b{i}\npermitz: {{}}") for i in range(500)),
}


def answered(compilation: Compilation) -> None:
    """What every compilation keeps: no policy where there is an error, and only then; findings can be shown."""
    failed = any(d.severity == "error" for d in compilation.diagnostics)
    assert (compilation.policy is None) == failed
    assert render_all(compilation.diagnostics)
    for diagnostic in compilation.diagnostics:
        assert diagnostic.line >= 1
        assert diagnostic.column >= 1
        assert len(diagnostic.render()) < 25_000
        assert diagnostic.as_json()["code"]


def soon(source: str, bindings: str | None = None) -> None:
    began = time.process_time()
    answered(compile(source, bindings=bindings))
    assert time.process_time() - began < PATIENCE


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_text_is_answered_soon(name: str) -> None:
    soon(HOSTILE[name])


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_bindings_are_answered_soon(name: str) -> None:
    soon("A sentence.\n", HOSTILE[name])


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_text_under_bindings_is_answered_soon(name: str) -> None:
    soon(HOSTILE[name], "clauses: []\ntext: []\n")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_answered(text: str) -> None:
    answered(compile(text))
    answered(compile(FRONT + text))
    answered(compile(FULL + clause(text)))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_answered(data: bytes) -> None:
    answered(compile_bytes(data))
    answered(compile_bytes(FRONT.encode() + data, bindings=data))


@functools.cache
def lines() -> tuple[str, ...]:
    return tuple((FULL + example_source().split("---\n", 2)[2]).split("\n"))


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["drop", "double", "swap", "cut", "indent", "outdent", "put"]),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
        st.text(alphabet="abc .:{}[]-|#`'\"\n&*!?,019yésπ\u200f\x00", max_size=12),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EDITS)
def test_a_mutilated_policy_is_answered(edits: list[tuple[str, int, int, str]]) -> None:
    text = list(lines())
    for kind, at, other, put in edits:
        i, j = at % len(text), other % len(text)
        if kind == "drop":
            text[i : i + 1 + other % 4] = [""]
        elif kind == "double":
            text.insert(i, text[j])
        elif kind == "swap":
            text[i], text[j] = text[j], text[i]
        elif kind == "cut":
            text[i] = text[i][: other % (len(text[i]) + 1)]
        elif kind == "indent":
            text[i] = " " * (other % 9) + text[i]
        elif kind == "outdent":
            text[i] = text[i].lstrip()
        else:
            column = other % (len(text[i]) + 1)
            text[i] = text[i][:column] + put + text[i][column:]
    answered(compile("\n".join(text)))


@functools.cache
def bound() -> tuple[str, tuple[str, ...]]:
    from troth.policy.bindings import pin

    prose = "We keep your name for 30 days. You can see it.\n"
    bindings = FRONT.replace("---\n", "").replace("\n", "\n  ").rstrip()
    declared = (
        f"front:\n  {bindings}\n"
        "clauses:\n"
        "- id: retain.name\n  binds: [s1]\n  requires: {keep: {name: 30 days}}\n"
        "- id: rights.access\n  binds: [s2]\n  requires: {right: {kind: access}}\n"
    )
    pinned, _ = pin(prose, declared)
    return prose, tuple(pinned.split("\n"))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 100), st.text(max_size=20), st.text(max_size=40))
def test_mutilated_bindings_are_answered(at: int, put: str, prose: str) -> None:
    text, pinned = bound()
    changed = list(pinned)
    changed[at % len(changed)] = put
    answered(compile(text, bindings="\n".join(changed)))
    answered(compile(prose + text, bindings="\n".join(pinned)))


def test_the_corpus_of_the_language_tests_is_answered_cut_at_every_line() -> None:
    for path in sorted(Path(ROOT, "tests", "language", "invalid").glob("*.md"))[:12]:
        text = path.read_text("utf-8").split("\n")
        for cut in range(0, len(text), 3):
            answered(compile("\n".join(text[:cut])))
