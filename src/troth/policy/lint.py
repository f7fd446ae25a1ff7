"""The lints over words: what prose promises beside what its declarations do."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final

from troth.policy import coverage
from troth.policy.bodies import CollectBody
from troth.policy.clauses import ReadClause
from troth.policy.definitions import Definitions
from troth.policy.diagnostics import Report
from troth.policy.document import Document, Span
from troth.policy.interpolation import unknown
from troth.policy.lints import Lints
from troth.policy.model import CompiledPolicy, Position
from troth.policy.prose import Figure, counts, declared_counts, declared_periods, periods

_PROMISING: Final = re.compile(r"\b(?:will|only|never|shall)\b", re.IGNORECASE)
_VAGUE: Final = re.compile(
    r"\betc\b\.?|\band so on\b|\breasonabl[ey]\b|\bappropriate(?:ly)?\b|\bas necessary\b|\bfrom time to time\b|"
    r"\bin some cases\b|\btrusted\b|\bto the extent\b|\bmeaningful(?:ly)?\b|\bas long as necessary\b|\bamong others\b",
    re.IGNORECASE,
)
_ROTATION: Final = re.compile(
    r"\b(?:chang\w+|renew\w*|rotat\w+)\b[^.]{0,60}\bpasswords?\b[^.]{0,60}\b(?:regularly|periodically|every|frequently)\b"
    r"|\bpasswords?\b[^.]{0,60}\b(?:regularly|periodically|expires?)\b",
    re.IGNORECASE,
)
_SUBMISSION: Final = re.compile(
    r"\b(?:when|by)\s+(?:you\s+)?(?:us|submit|visit|provid|send)\w*\b[^.]{0,80}\byou\s+(?:consent|agree)\b",
    re.IGNORECASE,
)

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


def lint(
    document: Document, policy: CompiledPolicy, clauses: Sequence[ReadClause], known: Definitions, lints: Lints
) -> None:
    """Run every lint over words, then tell stale silences."""
    checker = _Checker(document, policy, clauses, known, lints)
    english = policy.language.split("-")[0] == "en"
    for clause in clauses:
        checker.words(clause)
        checker.placeholders(clause)
        if english:
            checker.informs(clause)
            checker.vague(clause)
            checker.passwords(clause)
            checker.submission(clause)
            if clause.permits and clause.permits.collect:
                checker.categories(clause, clause.permits.collect)
    if english:
        checker.figures()
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
            here = [c.id for c in self.clauses if _touch(c, clause)]
            if unknown(self.policy, "{" + name + "}", here):
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

    def vague(self, clause: ReadClause) -> None:
        told: set[str] = set()
        for span in clause.block.spans:
            for match in _VAGUE.finditer(self.document.words(span)):
                word = match[0].lower().rstrip(".")
                if word not in told and word.replace(" ", "_") not in self.known.terms:
                    told.add(word)
                    hint = "say what is meant, or define it: define: {terms: {…}}"
                    message = f'"{match[0]}" leaves open what is promised'
                    self.tell("VAGUE_TERM", clause, span, match.start(), message, hint=hint)

    def passwords(self, clause: ReadClause) -> None:
        message = "passwords to be changed regularly: NIST SP 800-63B and ASVS 6.2.10 advise against it"
        hint = "change on evidence of compromise: protect: {password_change: on_compromise}"
        protect = clause.requires.protect if clause.requires else None
        if protect and protect.password_change == "periodic":  # noqa: S105  # a setting about passwords, not one
            self.lints.tell("warning", "ROTATION_AGAINST_NIST", clause, protect.at, message, hint=hint)
            return
        for span in clause.block.spans:
            match = _ROTATION.search(self.document.words(span))
            if match:
                self.tell("ROTATION_AGAINST_NIST", clause, span, match.start(), message, hint=hint)
                return

    def submission(self, clause: ReadClause) -> None:
        for span in clause.block.spans:
            match = _SUBMISSION.search(self.document.words(span))
            if match:
                message = "sending a form is no consent (GDPR Art. 7, recital 32): it takes an act of its own"
                hint = "bind the submission to the version shown, and ask for consent apart"
                self.tell("CONSENT_BY_SUBMISSION", clause, span, match.start(), message, hint=hint)
                return

    def categories(self, clause: ReadClause, body: CollectBody) -> None:
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
                self.tell("PROSE_MISMATCH", clause, span, offset, message)
            elif fields and not match and clause.block.spans:
                names = ", ".join(n for n, f in body.fields.items() if f.category in fields)
                message = f'the prose does not say that "{names}" ({fields[0]}) is collected'
                self.tell("PROSE_MISMATCH", clause, clause.block.spans[0], 0, message)

    def _declared_beside(self, clause: ReadClause, categories: tuple[str, ...]) -> bool:
        """Another collection that binds the same words has such a field."""
        for other in self.clauses:
            body = other.permits.collect if other.permits else None
            if body is not None and other is not clause and _touch(other, clause):
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

    def figures(self) -> None:
        by_block: dict[int, list[ReadClause]] = {}
        for clause in self.clauses:
            for block in dict.fromkeys(span.block for span in clause.block.spans):
                by_block.setdefault(block, []).append(clause)
        for block, here in by_block.items():
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
                    severity = "error" if not elsewhere and declares else "warning"
                    at = self.at(span, figure.start - span.start)
                    self.lints.tell(
                        "error" if severity == "error" else "warning",
                        "PROSE_MISMATCH",
                        clause,
                        at,
                        said,
                        file=self.document.filename,
                    )
                    return

    # --- coverage ---

    def coverage(self) -> None:
        """Words of promises outside every declaration (``coverage``), unless the clause beside them is silent."""
        found = Report(self.document.files)
        coverage.check(self.document, found)
        beside: dict[int, list[ReadClause]] = {}
        for clause in self.clauses:
            for span in clause.block.spans:
                block = self.document.blocks[span.block]
                for line in range(block.line, block.end):
                    beside.setdefault(line, []).append(clause)
        self.lints.report.include(self.lints.sift(found.found(), beside))


def _numeral(text: str) -> bool:
    return (
        re.search(r"\b(?:\w+teen|\w+ty|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b", text)
        is not None
    )


def _touch(one: ReadClause, other: ReadClause) -> bool:
    """Whether two clauses bind words of the same block."""
    return not {s.block for s in one.block.spans}.isdisjoint(s.block for s in other.block.spans)


def _ids(clauses: Sequence[ReadClause]) -> str:
    shown = [clause.id for clause in clauses[:3]]
    return ", ".join(shown) + (" …" if len(clauses) > 3 else "")
