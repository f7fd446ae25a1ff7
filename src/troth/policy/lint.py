"""The lints over words: what prose promises beside what its declarations do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from troth.policy import coverage
from troth.policy.clauses import ReadClause
from troth.policy.definitions import Definitions
from troth.policy.diagnostics import Report
from troth.policy.document import Document, Span
from troth.policy.interpolation import unknown
from troth.policy.lints import Lints
from troth.policy.mismatch import Mismatches
from troth.policy.model import CompiledPolicy, Position
from troth.policy.phrases import ROTATION, ROTATION_HINT, open_period, phrases, two_ages

_PROMISING: Final = re.compile(r"\b(?:will|only|never|shall)\b", re.IGNORECASE)


def lint(
    document: Document, policy: CompiledPolicy, clauses: Sequence[ReadClause], known: Definitions, lints: Lints
) -> None:
    """Run every lint over words, then tell stale silences."""
    checker = _Checker(document, policy, clauses, known, lints)
    english = policy.language.split("-")[0] == "en"
    for clause in clauses:
        checker.words(clause)
        checker.placeholders(clause)
        checker.passwords(clause)
        if english:
            checker.informs(clause)
            checker.phrases(clause)
            checker.open_period(clause)
    if english:
        checker.two_ages()
        Mismatches(document, policy, clauses, known, lints, checker.beside).tell()
    checker.coverage()
    lints.finish()


class _Checker:
    def __init__(
        self,
        document: Document,
        policy: CompiledPolicy,
        clauses: Sequence[ReadClause],
        known: Definitions,
        lints: Lints,
    ) -> None:
        self.document = document
        self.policy = policy
        self.clauses = clauses
        self.known = known
        self.lints = lints
        self.beside: dict[int, list[ReadClause]] = {}
        for clause in clauses:
            for block in dict.fromkeys(span.block for span in clause.block.spans):
                self.beside.setdefault(block, []).append(clause)

    def at(self, span: Span, offset: int) -> Position:
        """The place in the prose of an offset into a span's words."""
        return coverage.place(self.document, span.block, span.start + offset)

    def tell(self, code: str, clause: ReadClause, span: Span, offset: int, message: str, *, hint: str = "") -> None:
        self.lints.tell("warning", code, clause, self.at(span, offset), message, hint=hint, file=self.document.filename)

    # --- each clause by itself ---

    def words(self, clause: ReadClause) -> None:
        """A promise that no reader can find is no promise."""
        if clause.block.spans or clause.envelope.supplement or clause.block.node.get("words") is not None:
            return
        if self.document.bindings is None or not any(d.severity == "error" for d in self.document.diagnostics):
            message = f'no prose stands above "{clause.id}": write the sentence, or say why there is none'
            clause.error("NO_WORDS", clause.at, message, paste="supplement: reason")

    def placeholders(self, clause: ReadClause) -> None:
        for name in unknown(self.policy, clause.prose, (clause.id,)):
            here = dict.fromkeys(c.id for span in clause.block.spans for c in self.beside[span.block])
            if unknown(self.policy, "{" + name + "}", tuple(here)):
                message = f'"{{{name}}}" stands for nothing in the front matter or in "{clause.id}"'
                clause.error("UNKNOWN_PLACEHOLDER", clause.at, message)

    def informs(self, clause: ReadClause) -> None:
        if clause.verb != "informs":
            return
        for span in clause.block.spans:
            match = _PROMISING.search(self.document.words(span))
            if match:
                message = f'"{clause.id}" only informs, but "{match[0]}" promises: declare what keeps it'
                self.tell("INFORMS_BUT_PROMISES", clause, span, match.start(), message)
                return

    def phrases(self, clause: ReadClause) -> None:
        told: set[tuple[str, str]] = set()
        for span in clause.block.spans:
            for found in phrases(self.document.words(span)):
                word = found.text.lower().rstrip(".")
                key = (found.phrase.code, word if found.phrase.each else "")
                if key not in told and not (found.phrase.each and word.replace(" ", "_") in self.known.terms):
                    told.add(key)
                    self.tell(found.phrase.code, clause, span, found.start, found.message, hint=found.phrase.hint)

    def passwords(self, clause: ReadClause) -> None:
        protect = clause.requires.protect if clause.requires else None
        if protect and protect.password_change == "periodic":  # noqa: S105  # a setting about passwords, not one
            self.lints.tell("warning", "ROTATION_AGAINST_NIST", clause, protect.at, ROTATION, hint=ROTATION_HINT)

    def open_period(self, clause: ReadClause) -> None:
        for span in clause.block.spans:
            match = open_period(clause, self.document.words(span))
            if match:
                message = f'"{match[0]}" does not say how long; the front matter does, and so should the words'
                self.tell("OPEN_PERIOD", clause, span, match.start(), message, hint="at least {notice_period} before")
                return

    # --- all clauses together ---

    def two_ages(self) -> None:
        """Minors once and an age once: a reader cannot tell which of them counts."""
        for block, here in self.beside.items():
            match = two_ages(self.document.blocks[block].text)
            if match:
                message = f'"minors" and "{match[0]}" are two thresholds: name one'
                self.tell("TWO_AGES", here[0], Span(block, 0, 0), match.start(), message)

    # --- coverage ---

    def coverage(self) -> None:
        """Words of promises outside every declaration (``coverage``), unless the clause beside them is silent."""
        found = Report(self.document.files)
        coverage.check(self.document, found)
        lines: dict[int, list[ReadClause]] = {}
        for index, here in self.beside.items():
            block = self.document.blocks[index]
            lines |= dict.fromkeys(range(block.line, block.end), here)
        self.lints.report.include(self.lints.sift(found.found(), lines))
