"""The lint PROSE_MISMATCH: periods, numbers and kinds of data in the prose beside those of its declarations."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from troth.policy import coverage
from troth.policy.bodies import CollectBody
from troth.policy.clauses import ReadClause
from troth.policy.definitions import Definitions
from troth.policy.diagnostics import Severity
from troth.policy.document import Document, Span
from troth.policy.lints import Lints
from troth.policy.model import CompiledPolicy, Position
from troth.policy.prose import Figure, counts, declared_counts, declared_periods, periods

#: Kinds of data that prose names, and how; the first category of a row covers those below it.
_NAMED: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = tuple(
    (categories, re.compile(pattern, re.IGNORECASE))
    for categories, pattern in (
        (("user.contact.email",), r"\be-?mails?\b"),
        (("user.contact.phone", "user.contact.phone_number"), r"\b(?:tele)?phones?\b"),
        (("user.name",), r"\bnames?\b"),
        (("user.company.name", "user.contact.organization"), r"\b(?:compan(?:y|ies)|organi[sz]ations?)\b"),
        (("user.authorization.password",), r"\bpasswords?\b"),
        (("user.demographic.date_of_birth",), r"\b(?:date of birth|birthday)\b"),
        (("user.device.operating_system",), r"\boperating systems?\b"),
        (("user.financial.credit_card",), r"\bcredit cards?\b"),
    )
)


class Mismatches:
    """Compares prose and declarations; ``beside`` are the clauses that bind words of a block, by block."""

    def __init__(
        self,
        document: Document,
        policy: CompiledPolicy,
        clauses: Sequence[ReadClause],
        known: Definitions,
        lints: Lints,
        beside: Mapping[int, list[ReadClause]],
    ) -> None:
        self.document = document
        self.policy = policy
        self.clauses = clauses
        self.known = known
        self.lints = lints
        self.beside = beside

    def tell(self) -> None:
        """Tell every mismatch."""
        for clause in self.clauses:
            if clause.permits and clause.permits.collect:
                self._categories(clause, clause.permits.collect)
        self._figures()

    def at(self, span: Span, offset: int) -> Position:
        """The place in the prose of an offset into a span's words."""
        return coverage.place(self.document, span.block, span.start + offset)

    def _tell(self, clause: ReadClause, span: Span, offset: int, message: str) -> None:
        at = self.at(span, offset)
        self.lints.tell("warning", "PROSE_MISMATCH", clause, at, message, file=self.document.filename)

    def _categories(self, clause: ReadClause, body: CollectBody) -> None:
        """Kinds of data in the words and in the fields are the same."""
        held = [str(field.category) for field in body.fields.values()]
        if not clause.sound or not all(category in self.known.categories for category in held):
            return  # told already
        for categories, pattern in _NAMED:
            fields = [c for c in held if any(c == k or c.startswith(k + ".") for k in categories)]
            match = pattern.search(clause.prose)
            if match and not fields and not self._declared_beside(clause, categories):
                message = f'the prose names "{match[0]}", but no field of "{body.point}" is {categories[0]}'
                span, offset = self._find(clause, pattern)
                self._tell(clause, span, offset, message)
            elif fields and not match and clause.block.spans:
                names = ", ".join(n for n, f in body.fields.items() if f.category in fields)
                message = f'the prose does not say that "{names}" ({fields[0]}) is collected'
                self._tell(clause, clause.block.spans[0], 0, message)

    def _declared_beside(self, clause: ReadClause, categories: tuple[str, ...]) -> bool:
        """Another collection that binds words of the same block has such a field."""
        for other in {o.id: o for span in clause.block.spans for o in self.beside[span.block]}.values():
            body = other.permits.collect if other.permits else None
            if body is not None and other is not clause:
                held = [str(f.category) for f in body.fields.values()]
                if any(c == k or c.startswith(k + ".") for c in held for k in categories):
                    return True
        return False

    def _find(self, clause: ReadClause, pattern: re.Pattern[str]) -> tuple[Span, int]:
        for span in clause.block.spans:
            match = pattern.search(self.document.words(span))
            if match:
                return span, match.start()
        return clause.block.spans[0], 0

    # --- figures: all clauses of a block together ---

    def _figures(self) -> None:
        for block, here in self.beside.items():
            text = self.document.blocks[block].text
            if not any(c.isdigit() for c in text) and not _numeral(text):
                continue
            spans = [span for clause in here for span in clause.block.spans if span.block == block]
            said, counted = tuple(periods(text)), tuple(counts(text))
            allowed = {p for clause in here for p in self._periods(clause)} if said else set()
            numbers = {n for clause in here for n in declared_counts(clause.body)} if counted else set()
            for figure in said:
                if (figure.months, figure.ms) not in allowed:
                    self._mismatch(here, spans, figure, (figure.months, figure.ms) in self._anywhere)
            for figure in counted:
                if figure.count not in numbers:
                    self._mismatch(here, spans, figure, True)

    @functools.cached_property
    def _anywhere(self) -> frozenset[tuple[int, int]]:
        """All periods of the policy."""
        notice = (self.policy.notice_period.months, self.policy.notice_period.ms)
        return frozenset([notice, *(p for clause in self.clauses for p in declared_periods(clause.body))])

    @functools.cached_property
    def _keeps_of(self) -> dict[str, set[str]]:
        """The retention classes that a clause's uses name."""
        found: dict[str, set[str]] = {}
        for use in self.policy.uses:
            found.setdefault(use.clause, set()).add(use.keep)
        return found

    def _periods(self, clause: ReadClause) -> set[tuple[int, int]]:
        """The periods of a clause, and of the retention classes and states it refers to."""
        found = set(declared_periods(clause.body))
        changes = clause.requires.changes if clause.requires else None
        if changes and changes.advance_notice == "notice_period":
            found.add((self.policy.notice_period.months, self.policy.notice_period.ms))
        for name in self._keeps_of.get(clause.id, ()):
            keep = self.policy.keeps.get(name)
            for phase in keep.phases if keep else ():
                if phase.for_:
                    found.add((phase.for_.months, phase.for_.ms))
        return found

    def _mismatch(self, here: list[ReadClause], spans: list[Span], figure: Figure, elsewhere: bool) -> None:
        """A wrong figure: an error where nothing in the whole policy declares it, a warning otherwise."""
        for clause in here:
            for span in clause.block.spans:
                if span in spans and span.start <= figure.start < span.end:
                    said = f'the prose says "{figure.text}"; no declaration of {_ids(here)} does'
                    declares = any(True for c in here for _ in declared_periods(c.body))
                    at = self.at(span, figure.start - span.start)
                    severity: Severity = "error" if declares and not elsewhere else "warning"
                    self.lints.tell(severity, "PROSE_MISMATCH", clause, at, said, file=self.document.filename)
                    return


def _numeral(text: str) -> bool:
    return (
        re.search(r"\b(?:\w+teen|\w+ty|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b", text)
        is not None
    )


def _ids(clauses: Sequence[ReadClause]) -> str:
    shown = [clause.id for clause in clauses[:3]]
    return ", ".join(shown) + (" …" if len(clauses) > 3 else "")
