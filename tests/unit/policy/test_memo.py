"""What is remembered of decisions, and what makes it be forgotten."""

from __future__ import annotations

from threading import Thread

import pytest
from msgspec.structs import replace

from tests.unit.policy.shop import ACCOUNT, NEWS_PLEASE, terms, version
from troth.policy.memo import Memo
from troth.policy.model import UNKNOWN, History, Question, State, Terms

FIRST = version("v1")
TERMS: dict[int, Terms] = {1: terms("v1"), 2: terms("v2")}
STATES = {1: UNKNOWN, 2: State(grants=frozenset({NEWS_PLEASE}))}
MAIL = Question("newsletter", frozenset({"email"}), channel="email")
KEEP = Question("account", frozenset({"email"}))
NONE: frozenset[str] = frozenset()


class Shelf:
    """Resolves ids, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def terms(self, id: int) -> Terms:
        self.asked += 1
        return TERMS[id]

    def memo(self, *versions: str, limit: int = 100) -> Memo:
        history = History(tuple(replace(FIRST, version=name) for name in versions))
        return Memo(history, self.terms, STATES.__getitem__, limit=limit)


def test_a_case_is_decided_once_and_then_remembered() -> None:
    shelf = Shelf()
    answers = shelf.memo("v1").at("v1").asking(MAIL)
    assert answers[1, 0, "account", 2, NONE].allowed
    assert answers[1, 0, "account", 2, NONE].allowed
    assert shelf.asked == 1
    assert answers[1, 0, "account", 1, NONE].gaps == ("grant:newsletter",)
    assert answers[1, 1, "account", 2, NONE].gaps == ("phase",)
    assert answers[1, 0, "tickets", 2, NONE].gaps == ("keep:account",)
    assert answers[1, 0, None, 2, NONE].allowed
    assert shelf.asked == 5


def test_the_same_question_finds_the_same_answers() -> None:
    now = Shelf().memo("v1").at("v1")
    assert now.asking(MAIL) is now.asking(Question("newsletter", frozenset({"email"}), channel="email"))
    assert now.asking(MAIL) is not now.asking(KEEP)


def test_a_pair_of_terms_and_state_leaves_purposes_open() -> None:
    now = Shelf().memo("v1").at("v1")
    assert now.open[1, 1] == {"account", "support", "improve", "rights"}
    assert now.open[1, 2] == {"account", "support", "improve", "rights", "newsletter"}
    assert now.pairs("newsletter", [(1, 1), (1, 2)]) == [(1, 2)]


def test_a_publication_drops_everything() -> None:
    memo = Shelf().memo("v1")
    assert memo.at("v1").asking(KEEP)[1, 0, None, 1, NONE].allowed
    assert "account" in memo.at("v1").open[1, 1]
    silent = replace(version("v2"), uses=())
    memo.publish(History((FIRST, silent)))
    assert not memo.at("v2").asking(KEEP)[1, 0, None, 1, NONE].allowed
    assert memo.at("v2").open[1, 1] == set()
    assert memo.at("v1").asking(KEEP)[1, 0, None, 1, NONE].allowed  # until v2 is in force


def test_the_version_in_force_changes_with_time_without_a_publication() -> None:
    memo = Memo(History((FIRST, version("v2", ACCOUNT))), TERMS.__getitem__, STATES.__getitem__)
    assert memo.at("v1") is memo.at("v1")
    assert "improve" in memo.at("v1").open[1, 1]
    assert memo.at("v2").open[1, 1] == {"account"}


def test_what_was_fetched_before_a_publication_does_not_leak_into_what_comes_after() -> None:
    memo = Shelf().memo("v1")
    before = memo.at("v1")
    memo.publish(History((replace(FIRST, uses=()),)))
    assert before.asking(KEEP)[1, 0, None, 1, NONE].allowed
    assert not memo.at("v1").asking(KEEP)[1, 0, None, 1, NONE].allowed


def test_an_unknown_version_and_unknown_ids_are_errors_and_are_not_remembered() -> None:
    memo = Shelf().memo("v1")
    with pytest.raises(KeyError):
        memo.at("v9")
    now = memo.at("v1")
    with pytest.raises(KeyError):
        now.open[9, 1]
    with pytest.raises(KeyError):
        now.asking(KEEP)[1, 0, None, 9, NONE]
    assert len(now.open) == len(now.asking(KEEP)) == 0


def test_a_full_table_starts_anew() -> None:
    memo = Shelf().memo("v1", limit=2)
    now = memo.at("v1")
    for state in (1, 2):
        for phase in range(5):
            assert now.asking(KEEP)[1, phase, None, state, NONE].allowed == (phase == 0)
            assert len(now.asking(KEEP)) <= 2
    for question in (MAIL, KEEP, replace(KEEP, channel="email")):
        now.asking(question)
    assert now.open[1, 1] <= now.open[1, 2]
    assert now.open[2, 1] == set()
    assert len(now.open) <= 2


def test_many_threads_hear_the_same() -> None:
    memo = Shelf().memo("v1", limit=3)
    heard: list[bool] = []

    def ask() -> None:
        for phase in range(200):
            answer = memo.at("v1").asking(KEEP)[1, phase % 7, None, 1, NONE]
            heard.append(answer.allowed == (phase % 7 == 0))

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == 800
    assert all(heard)
