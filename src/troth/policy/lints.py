"""The named lints: which there are, how a file silences one with a reason, and that stale silencing is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from troth.policy.bodies import FrontMatter, Word
from troth.policy.clauses import ReadClause
from troth.policy.diagnostics import Diagnostic, Report, Severity, did_you_mean
from troth.policy.model import Position

#: Lints that can be silenced, and what each looks for. Errors of meaning cannot: they are not opinions.
LINTS: Final[dict[str, str]] = {
    "NO_BASIS": "a use without a legal basis (a warning in a historical text, an error otherwise)",
    "NO_RETENTION": "a use without a period (a warning in a historical text, an error otherwise)",
    "NO_COUNTRIES": "a way out that does not say in which countries (a warning in a historical text)",
    "UNBOUND_WORDS": "words of a promise that no clause binds",
    "PROSE_MISMATCH": "a figure, period or kind of data in the prose that the declaration does not have",
    "VAGUE_TERM": "a word that leaves open what is promised, and that no clause defines",
    "ROTATION_AGAINST_NIST": "passwords to be changed regularly, against NIST SP 800-63B and ASVS 6.2.10",
    "INFORMS_BUT_PROMISES": "text without a declaration whose words promise something",
    "CONSENT_BY_SUBMISSION": "a form's submission taken for consent, against GDPR Art. 7",
    "LAW_MISSTATED": "a statement about the law that the law does not bear out",
    "COOKIE_IS_PERSONAL": "cookies said to hold nothing personal, though an identifier is",
    "WIDE_ORIGIN": "a place to load from that is many places: a wildcard, or every site there is",
    "SHARED_CDN": "a place to load from that serves everybody's files",
    "OPEN_PERIOD": "a notice in advance that does not say how long before",
    "TWO_AGES": "minors in one place and an age in another",
    "VACUOUS": "a statement about all of a class that has no member",
    "STALE_SILENCE": "a lint that is silenced and has nothing to say",
    "TEXT_MOVED": "a bound sentence that stands elsewhere now",
    "LONG_PARAGRAPH": "a paragraph too long to be read as Markdown",
}


class Lints:
    """Tells lints unless the file silences them, and remembers which silences were needed."""

    def __init__(
        self, report: Report, front: FrontMatter | None, front_file: str, clauses: Sequence[ReadClause]
    ) -> None:
        self.report = report
        self.old_text = bool(front and front.historical)
        self._front = front
        self._front_file = front_file
        self._clauses = clauses
        self._used: set[tuple[str, str]] = set()
        for clause in clauses:
            self._known(clause.envelope.silence, clause.block.file)
        if front:
            self._known(front.silence, front_file)

    def tell(
        self,
        severity: Severity,
        code: str,
        clause: ReadClause,
        at: Position,
        message: str,
        *,
        hint: str = "",
        paste: str = "",
        file: str | None = None,
    ) -> None:
        """One finding about a clause, unless it is silenced there or for the whole policy."""
        if severity != "error" and self._silenced(code, clause):
            return
        where = at if at.line else clause.at
        self.report.add(severity, code, file or clause.block.file, where, message, hint=hint, paste=paste)

    def historical(self, code: str, clause: ReadClause, at: Position, message: str, *, paste: str = "") -> None:
        """What an old text may lack: an error in a policy of today."""
        if clause.sound:  # otherwise it may stand there and could not be read
            self.tell("warning" if self.old_text else "error", code, clause, at, message, paste=paste)

    def sift(self, found: Sequence[Diagnostic], clauses_at: dict[int, list[ReadClause]]) -> list[Diagnostic]:
        """Those of a finished check's findings that are not silenced; ``clauses_at``: line of prose -> its clauses."""
        kept = []
        for diagnostic in found:
            here = clauses_at.get(diagnostic.line, [])
            silencing = [clause for clause in (None, *here) if self._silenced(diagnostic.code, clause)]
            if diagnostic.severity == "error" or not silencing:
                kept.append(diagnostic)
        return kept

    def finish(self) -> None:
        """Tell the silences that nothing needed."""
        for clause in self._clauses:
            for code in clause.envelope.silence:
                if code in LINTS and (str(code), clause.id) not in self._used:
                    self._stale(code, clause.block.file)
        for code in self._front.silence if self._front else ():
            if code in LINTS and (str(code), "") not in self._used:
                self._stale(code, self._front_file)

    def _silenced(self, code: str, clause: ReadClause | None) -> bool:
        if clause is not None and code in clause.envelope.silence:
            self._used.add((code, clause.id))
            return True
        if self._front is not None and code in self._front.silence:
            self._used.add((code, ""))
            return True
        return False

    def _known(self, silence: dict[Word, Word], file: str) -> None:
        for code in silence:
            if code not in LINTS:
                message = f'there is no lint "{code}" that could be silenced'
                self.report.error("UNKNOWN_LINT", file, code.at, message, hint=did_you_mean(code, LINTS))

    def _stale(self, code: Word, file: str) -> None:
        message = f"{code} is silenced here and has nothing to say: take the silence out"
        self.report.warning("STALE_SILENCE", file, code.at, message)
