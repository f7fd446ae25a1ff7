"""The real policy under its bindings: every promise bound, every changed letter told, no sentence of it in here."""

from __future__ import annotations

import random
import re
import subprocess

import pytest

from tests.seed import BINDINGS, ROOT, all_texts, plain_words, seed_text
from troth.policy.bindings import bind, pin
from troth.policy.coverage import coverage
from troth.policy.document import Document
from troth.policy.parse import fold
from troth.policy.sentences import sentences

pytestmark = pytest.mark.seed

RUN = 6  # so many words in a row, and a sentence is recognised


@pytest.fixture(scope="module")
def text() -> str:
    return seed_text()


@pytest.fixture(scope="module")
def bindings() -> str:
    return BINDINGS.read_text(encoding="utf-8")


def codes(text: str, bindings: str) -> list[str]:
    return [d.code for d in bind(text, "text", bindings).diagnostics]


def test_every_word_of_its_promises_is_bound(text: str, bindings: str) -> None:
    document = bind(text, "text", bindings)
    assert document.diagnostics == ()
    counted = coverage(document)
    assert counted.complete
    assert counted.words > 800
    assert all(not s.unbound for s in counted.sentences)


def test_its_pins_are_those_that_the_text_gives(text: str, bindings: str) -> None:
    assert pin(text, bindings) == (bindings, ())


def bound_letters(document: Document) -> list[tuple[int, int]]:
    """(line, offset in the line) of letters that stand in plain prose of a sentence."""
    found = []
    for block in document.blocks:
        if block.kind in ("heading", "code"):
            continue
        line = document.text.split("\n")[block.line - 1]
        plain = re.sub(r"[<(\[*][^>)\]]*[>)\]]?", lambda m: " " * len(m[0]), line)
        found += [(block.line, m.start()) for m in re.finditer("[a-z]", plain)]
    return found


def test_a_changed_letter_is_told_once_at_its_place(text: str, bindings: str) -> None:
    document = bind(text, "text", bindings)
    places = bound_letters(document)
    lines = text.split("\n")
    for line, offset in random.Random(2018).sample(places, 150):
        old = lines[line - 1]
        letter = "q" if old[offset] != "q" else "x"
        changed = "\n".join([*lines[: line - 1], old[:offset] + letter + old[offset + 1 :], *lines[line:]])
        (finding,) = bind(changed, "text", bindings).diagnostics
        assert (finding.code, finding.severity, finding.line) == ("TEXT_CHANGED", "error", line), (line, offset)
        # the place is the beginning of the words that changed: no later sentence, and not a clause's other words
        assert finding.column - 1 <= offset
        between = fold(old[finding.column - 1 : offset])
        assert len(sentences(between)) <= 1


def test_a_changed_link_target_is_told(text: str, bindings: str) -> None:
    for target in re.findall(r"\]\((\w+:[^)]+)\)", text):
        assert codes(text.replace(f"({target})", f"({target}x)"), bindings) == ["TEXT_CHANGED"]


def test_an_inserted_sentence_is_one_unbound_sentence(text: str, bindings: str) -> None:
    document = bind(text, "text", bindings)
    lines = text.split("\n")
    tried = 0
    for block in document.blocks:
        if block.kind != "paragraph":
            continue
        old = lines[block.line - 1]
        places = [0, *(m.end() for m in re.finditer(r"(?<!Ltd)\. (?=[A-Z])", old)), len(old)]
        for at in places:
            extra = "We also keep pears." if at < len(old) else " We also keep pears."
            new = old[:at] + extra + (" " if at < len(old) else "") + old[at:]
            # a paragraph that ended without a full stop would swallow what comes after it
            if at == len(old) and not old.rstrip().endswith((".", ".)")):
                continue
            changed = "\n".join([*lines[: block.line - 1], new, *lines[block.line :]])
            found = bind(changed, "text", bindings).diagnostics
            assert [(d.code, d.line) for d in found] == [("UNBOUND", block.line)], (block.line, at)
            tried += 1
    assert tried > 50


def test_a_sentence_taken_out_is_told_and_the_rest_stays_bound(text: str, bindings: str) -> None:
    document = bind(text, "text", bindings)
    for block in document.blocks[5:]:
        for start, end in sentences(block.text) if block.kind == "paragraph" else ():
            sentence = block.text[start:end]
            if sentence not in text:  # a link stands in it
                continue
            found = bind(text.replace(sentence, "", 1), "text", bindings).diagnostics
            assert [d.code for d in found] == ["TEXT_CHANGED"], block.line


def test_no_sentence_of_it_stands_in_this_repository() -> None:
    texts = [plain_words(text) for text in all_texts()]
    runs = {tuple(words[i : i + RUN]) for words in texts for i in range(len(words) - RUN + 1)}
    assert len(runs) > 1000
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        content = plain_words(path.read_bytes().decode("utf-8", errors="ignore"))
        found += [
            f"{name}: {' '.join(content[i : i + RUN])}"
            for i in range(len(content) - RUN + 1)
            if tuple(content[i : i + RUN]) in runs
        ]
    assert found == []
