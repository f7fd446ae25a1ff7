"""Coverage of words: how much of what a policy says is bound to a declaration, as branch coverage counts branches.

A sentence may carry several clauses, so the unit is the word. Headings and code are no promises and are not counted.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from troth.policy.diagnostics import Report, Severity
from troth.policy.document import Document, Span
from troth.policy.model import Position, Value
from troth.policy.sentences import sentences, words

_COUNTED = frozenset({"paragraph", "item", "row", "quote"})
_PROMISES = re.compile(
    r"\b(?:will|shall|must|may|can|cannot|never|always|only|not|no|nobody|none|nothing|every|each|all|any|without|"
    r"until|unless|keep|erase|share|ask|tell|stop|need|agree|receive|send|collect|use)\b|n['’]t\b",
    re.IGNORECASE,
)
_RUN = re.compile(r"\w+")
# Words that join two bound parts and say nothing of their own.
_JOINTS = frozenset(
    (
        *(
            "a",
            "also",
            "an",
            "and",
            "as",
            "but",
            "for",
            "if",
            "in",
            "of",
            "on",
            "or",
            "so",
            "such",
            "that",
            "the",
            "then",
        ),
        *("this", "to", "too", "we", "well", "you"),
    )
)


class Unbound(Value, frozen=True):
    """A run of words that no clause binds."""

    block: int
    start: int
    end: int
    text: str


class SentenceCoverage(Value, frozen=True):
    """One sentence: how many words it has, how many of them are bound (or ignored), and the runs that are not."""

    block: int
    start: int
    end: int
    words: int
    bound: int
    promise: bool
    unbound: tuple[Unbound, ...] = ()


class Coverage(Value, frozen=True):
    """All sentences of a document. ``words`` and ``bound`` count those that promise something."""

    sentences: tuple[SentenceCoverage, ...]

    @property
    def words(self) -> int:
        """Words in sentences that promise."""
        return sum(s.words for s in self.sentences if s.promise)

    @property
    def bound(self) -> int:
        """How many of them stand under a declaration."""
        return sum(s.bound for s in self.sentences if s.promise)

    @property
    def complete(self) -> bool:
        """True where no promise has a word outside every declaration."""
        return self.words == self.bound


def coverage(document: Document) -> Coverage:
    """Count the words of every sentence. Joining words between two bound parts count as bound; ignored words too."""
    covered = _covered(span for clause in document.clauses for span in clause.spans)
    ignored = _covered(document.ignored)
    language = (document.front.text("language") if document.front else None) or "en"
    english = language.split("-")[0] == "en"
    found = []
    for index, block in enumerate(document.blocks):
        if block.kind not in _COUNTED:
            continue
        spans = covered.get(index, []) + ignored.get(index, [])
        for start, end in sentences(block.text):
            promise = not english or _PROMISES.search(block.text, start, end) is not None
            found.append(_sentence(index, block.text, start, end, spans, promise))
    return Coverage(tuple(found))


def check(document: Document, report: Report) -> Coverage:
    """The lint UNBOUND_WORDS: one finding for each sentence with words outside every declaration.

    A sentence that promises is a warning, another one an information. In a document with bindings a sentence that is
    not bound at all was reported as UNBOUND where the bindings were laid on the text, and is not repeated here.
    """
    counted = coverage(document)
    for sentence in counted.sentences:
        if not sentence.unbound or (document.bindings is not None and not sentence.bound):
            continue
        missing = " … ".join(run.text for run in sentence.unbound)
        shown = missing if len(missing) <= 120 else missing[:119] + "…"
        first = sentence.unbound[0]
        at = place(document, first.block, first.start)
        severity: Severity = "warning" if sentence.promise else "info"
        message = f'{sentence.bound} of {sentence.words} words are bound; no clause binds "{shown}"'
        hint = "put a yaml clause block under it, or widen the words of one that is there"
        report.add(severity, "UNBOUND_WORDS", document.filename, at, message, hint=hint)
    return counted


@functools.lru_cache(maxsize=2)
def _lines(text: str) -> list[str]:
    return text.split("\n")


def place(document: Document, block: int, offset: int) -> Position:
    """Line and column in the file where the folded text of a block has this offset: the word that begins there."""
    found = document.blocks[block]
    lines = _lines(document.text)[found.line - 1 : max(found.end - 1, found.line)]
    source = "\n".join(lines)
    at = 0
    for word in _RUN.finditer(found.text):
        # markup may hold further words (link targets); what the reader sees stands among them in the same order
        written = re.compile(rf"\b{re.escape(word[0])}\b").search(source, at)
        if written is None:
            continue
        if word.end() > offset:
            before = source[: written.start()]
            return Position(found.line + before.count("\n"), written.start() - (before.rfind("\n") + 1) + 1)
        at = written.end()
    return Position(found.line, 1)


def _covered(spans: Iterable[Span]) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for span in spans:
        found.setdefault(span.block, []).append((span.start, span.end))
    return found


def _sentence(
    block: int, text: str, start: int, end: int, spans: list[tuple[int, int]], promise: bool
) -> SentenceCoverage:
    tokens = words(text, start, end)
    held = _held(tokens, spans)
    if any(held):
        held = _join(text, tokens, held)
    runs: list[Unbound] = []
    begun: int | None = None  # where the run of unbound words began that we are in
    for (first, last), is_held in zip(tokens, held, strict=True):
        if is_held:
            begun = None
            continue
        if begun is None:
            begun = first
        else:
            runs.pop()
        runs.append(Unbound(block, begun, last, text[begun:last]))
    return SentenceCoverage(block, start, end, len(tokens), sum(held), promise, tuple(runs))


def _held(tokens: tuple[tuple[int, int], ...], spans: list[tuple[int, int]]) -> list[bool]:
    """Which of the words touch one of the spans; both in order, each looked at once."""
    ordered = sorted(spans)
    held = []
    i = reach = 0
    for start, end in tokens:
        while i < len(ordered) and ordered[i][0] < end:
            reach = max(reach, ordered[i][1])
            i += 1
        held.append(reach > start)
    return held


def _join(text: str, tokens: tuple[tuple[int, int], ...], held: list[bool]) -> list[bool]:
    """Joining words count as bound where all unbound words of their run are joining words."""
    joined = list(held)
    i = 0
    while i < len(tokens):
        if held[i]:
            i += 1
            continue
        j = i
        while j < len(tokens) and not held[j]:
            j += 1
        if all(text[s:e].strip(",.;:()\"'").lower() in _JOINTS for s, e in tokens[i:j]):
            joined[i:j] = [True] * (j - i)
        i = j
    return joined
