"""What prose says in figures: the periods, ages and numbers of persons in an English sentence, for comparison."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from troth.policy.bodies import Body
from troth.policy.durations import UNITS_MONTHS, UNITS_MS
from troth.policy.model import Duration

_ONES = {
    "zero": 0,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "thirteen": 13,
    "fourteen": 14,
    "fifteen": 15,
    "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18,
    "nineteen": 19,
}
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_NUMBER = rf"(?:\d{{1,6}}|(?:{'|'.join(_TENS)})(?:-(?:{'|'.join(list(_ONES)[1:10])}))?|(?:{'|'.join(list(_ONES)[1:])}))"
PERIOD = re.compile(
    rf"\b({_NUMBER})[\s-]+(?:calendar\s+|full\s+|working\s+|business\s+)?"
    r"(second|minute|hour|day|week|month|year)s?\b",
    re.IGNORECASE,
)
PERSONS = re.compile(rf"\b({_NUMBER})\s+(?:or more\s+)?(?:people|persons|customers|users|individuals)\b", re.IGNORECASE)
AGE = re.compile(
    rf"\b(?:under|below|at least|over|older than|younger than)\s+(?:the\s+age\s+of\s+|age\s+)?({_NUMBER})"
    r"(?=\s*(?:years|$|[.,;:)]|\s(?:has|who|when|to|without|and)\b))",
    re.IGNORECASE,
)


class Figure(msgspec.Struct, frozen=True):
    """A figure in prose: ``months`` and ``ms`` of a period, or a plain ``count``; where it stands in the text."""

    start: int
    text: str
    months: int = 0
    ms: int = 0
    count: int | None = None


def number(word: str) -> int:
    """The number a numeral stands for: ``30``, ``thirty``, ``twenty-four``."""
    word = word.lower()
    if word.isdigit():
        return int(word)
    tens, _, ones = word.partition("-")
    return _TENS[tens] + _ONES.get(ones, 0) if tens in _TENS else _ONES[word]


def periods(text: str) -> Iterator[Figure]:
    """The periods in a text."""
    for match in PERIOD.finditer(text):
        count, unit = number(match[1]), match[2].lower()
        months = count * UNITS_MONTHS.get(unit, 0)
        yield Figure(match.start(), match[0], months, 0 if months else count * UNITS_MS.get(unit, 0))


def counts(text: str) -> Iterator[Figure]:
    """The numbers of persons and the ages in a text."""
    for pattern in (PERSONS, AGE):
        for match in pattern.finditer(text):
            yield Figure(match.start(), match[0], count=number(match[1]))


def declared_periods(value: Any) -> Iterator[tuple[int, int]]:
    """All periods in a body, as (months, ms)."""
    for leaf in _leaves(value):
        if isinstance(leaf, Duration):
            yield leaf.months, leaf.ms


def declared_counts(value: Any) -> Iterator[int]:
    """All numbers in a body."""
    for leaf in _leaves(value):
        if isinstance(leaf, int) and not isinstance(leaf, bool):
            yield leaf


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Body):
        for name in value.__struct_fields__:
            if name != "at":
                yield from _leaves(getattr(value, name))
    elif isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value
