"""Figures in prose, and turns of phrase."""

from __future__ import annotations

import pytest

from tests.policies import MINIMAL, clause, codes
from troth.policy.phrases import phrases, two_ages
from troth.policy.prose import counts, number, periods

DAY = 86_400_000


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("kept for 30 days and then gone", [(0, 30 * DAY)]),
        ("thirty days more", [(0, 30 * DAY)]),
        ("Twenty-four months, or two years", [(24, 0), (24, 0)]),
        ("within one calendar month", [(1, 0)]),
        ("a 30-day period", [(0, 30 * DAY)]),
        ("72 hours", [(0, 3 * DAY)]),
        ("some days, 5 dayrooms, a year", []),
    ],
)
def test_periods_in_words_and_digits(text: str, found: list[tuple[int, int]]) -> None:
    assert [(figure.months, figure.ms) for figure in periods(text)] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("at least 20 people", [20]),
        ("over twenty customers or more", [20]),
        ("a child under 13 has written", [13]),
        ("under the age of thirteen.", [13]),
        ("you are at least 16 when you", [16]),
        ("over 20 letters", []),
    ],
)
def test_numbers_of_people_and_ages(text: str, found: list[int]) -> None:
    assert [figure.count for figure in counts(text)] == found


def test_numerals() -> None:
    assert [number(w) for w in ("0", "13", "One", "nineteen", "ninety", "forty-two")] == [0, 13, 1, 19, 90, 42]


def test_a_period_may_stand_in_the_class_that_a_use_names() -> None:
    text = "Your name goes 30 days after your account."
    use = "permits:\n  use: {purpose: clarify, basis: contract, points: [registration]"
    assert codes(MINIMAL, clause(f"id: a.b\n{use}, keep: account}}", text)) == []
    assert codes(MINIMAL, clause("id: a.b\ninforms: {}", text)) == ["PROSE_MISMATCH"]


def test_a_period_that_nothing_declares_beside_one_that_is_is_an_error() -> None:
    wrong = MINIMAL.replace("30 days more", "thirty-one days more")
    assert codes(wrong) == ["PROSE_MISMATCH"]
    assert codes(wrong.replace("id: retain", "silence: {PROSE_MISMATCH: x}\nid: retain")) != []


def test_prose_in_another_language_is_left_to_its_readers() -> None:
    german = MINIMAL.replace("language: en", "language: de").replace("30 days more", "40 Tage, 40 days, etc.")
    assert codes(german) == []


def test_each_vague_word_is_told_once() -> None:
    words = "reasonable care, reasonable means, etc. and from time to time"
    assert [f.text for f in phrases(words)] == ["reasonable", "etc.", "from time to time"]


@pytest.mark.parametrize(
    "harmless",
    [
        "Change your password whenever you like.",
        "When you submit a form, we tie it to this version.",
        "It protects everybody who is in the Union.",
        "Residents of the house may enter.",
        "Our cookies hold a random value.",
        "It applies since 25 May 2018.",
    ],
)
def test_what_is_harmless_is_not_told(harmless: str) -> None:
    assert list(phrases(harmless)) == []


def test_two_ages_are_two_thresholds() -> None:
    assert two_ages("not for minors; nobody under 16")
    assert two_ages("nobody under the age of 16") is None


def test_a_word_that_is_defined_is_not_vague() -> None:
    text = clause("id: a.b\ninforms: {}", "Trusted companies help us.")
    term = clause("id: a.c\ndefine:\n  terms: {trusted: reviewed within the last year}")
    assert codes(MINIMAL, text) == ["VAGUE_TERM"]
    assert codes(MINIMAL, text, term) == []
