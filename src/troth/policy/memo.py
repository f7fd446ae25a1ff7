"""Decisions remembered: terms and states are few and interned, so the plain function is asked once for each pair.

Two tables, both plain dictionaries that fill themselves, so that a hit is one look-up: which purposes a pair of terms
and state leaves open at all (a pre-filter for scans, never the answer), and the answers to one question. What an
interned id means never changes, so an answer holds until a version is published; then everything is dropped. Which
version is in force is part of every key: it changes with time, without a publication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from troth.policy.decide import decide, uses
from troth.policy.model import Decision, History, Question, State, Terms

#: (terms_id, phase, retention class or None, state_id, evidence): one case that a question is asked about.
Case = tuple[int, int, str | None, int, frozenset[str]]


class OpenPurposes(dict[tuple[int, int], frozenset[str]]):
    """``open_purposes[terms_id, state_id]``: purposes with at least one live use, whatever the phase, class or guards.

    Every purpose that ``decide`` allows for this pair is in it; not every purpose in it will be allowed.
    """

    def __init__(self, memo: Memo, history: History, version: str) -> None:
        super().__init__()
        self._memo = memo
        self._history = history
        self._version = version
        self._phases = max((len(k.phases) for v in history.versions for k in v.keeps.values()), default=0) or 1

    def __missing__(self, pair: tuple[int, int]) -> frozenset[str]:
        terms = self._memo.terms(pair[0])
        state = self._memo.states(pair[1])
        found = frozenset(
            use.purpose
            for phase in range(self._phases)
            for use in uses(self._history, replace(terms, phase=phase, keep=None), state, self._version)
        )
        if len(self) >= self._memo.limit:
            self.clear()
        self[pair] = found
        return found


class Answers(dict[Case, Decision]):
    """``answers[terms_id, phase, keep, state_id, evidence]``: the decision on one question."""

    def __init__(self, memo: Memo, history: History, version: str, question: Question) -> None:
        super().__init__()
        self._memo = memo
        self._history = history
        self._version = version
        self._question = question

    def __missing__(self, case: Case) -> Decision:
        terms_id, phase, keep, state_id, evidence = case
        terms = replace(self._memo.terms(terms_id), phase=phase, keep=keep)
        state = self._memo.states(state_id)
        answer = decide(self._history, terms, state, self._question, evidence, self._version)
        if len(self) >= self._memo.limit:
            self.clear()
        self[case] = answer
        return answer


class InForce:
    """What is remembered while one version is in force. Hold on to it for one transaction, not longer."""

    def __init__(self, memo: Memo, history: History, version: str) -> None:
        self._memo = memo
        self._history = history
        self.version = version
        self.open = OpenPurposes(memo, history, version)
        self._questions: dict[Question, Answers] = {}

    def asking(self, question: Question) -> Answers:
        """The answers to this question; fetch it once for a scan, then look up a case per row."""
        answers = self._questions.get(question)
        if answers is None:
            if len(self._questions) >= self._memo.limit:
                self._questions.clear()
            answers = self._questions[question] = Answers(self._memo, self._history, self.version, question)
        return answers

    def pairs(self, purpose: str, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of these (terms_id, state_id) that leave the purpose open: the table that a scan joins in SQL."""
        return [pair for pair in pairs if purpose in self.open[pair]]


class Memo:
    """The memo of one policy's history. Threads may share it: at worst two compute the same answer.

    ``terms`` and ``states`` resolve interned ids and raise KeyError for unknown ones (nothing is remembered then).
    ``limit`` bounds each table; a full one starts anew.
    """

    def __init__(
        self, history: History, terms: Callable[[int], Terms], states: Callable[[int], State], *, limit: int = 100_000
    ) -> None:
        self.terms = terms
        self.states = states
        self.limit = limit
        self._history = history
        self._versions: dict[str, InForce] = {}

    def publish(self, history: History) -> None:
        """A version was published: from here on answer by this history. Whoever holds an old table fills only that."""
        self._history, self._versions = history, {}

    def at(self, version: str) -> InForce:
        """What is remembered while ``version`` is in force; KeyError if it was never published."""
        versions = self._versions
        found = versions.get(version)
        if found is None:
            history = self._history
            history.version(version)
            found = versions.setdefault(version, InForce(self, history, version))
        return found
