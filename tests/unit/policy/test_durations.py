"""Periods: calendar months and exact days are different things."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from troth.policy.durations import REGEX, parse_duration

DAY = 86_400_000


def ms(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(dt.datetime(year, month, day, hour, tzinfo=dt.UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("text", "months", "exact"),
    [
        ("1 second", 0, 1_000),
        ("30 minutes", 0, 1_800_000),
        ("72 hours", 0, 3 * DAY),
        ("1 day", 0, DAY),
        ("30 days", 0, 30 * DAY),
        ("2 weeks", 0, 14 * DAY),
        ("1 month", 1, 0),
        ("24 months", 24, 0),
        ("2 years", 24, 0),
        ("1 year and 6 months", 18, 0),
        ("1 month and 3 days", 1, 3 * DAY),
    ],
)
def test_a_period_is_read_as_written(text: str, months: int, exact: int) -> None:
    period = parse_duration(text)
    assert period is not None
    assert (period.text, period.months, period.ms) == (text, months, exact)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a month", "30", "days", "30days", "-1 day", "0 days", "1.5 years", "1 fortnight", "30 days or so"),
        *("1 Day", "101 years", "9999999 days", "37000 days", "1 day and 1 day and 1 day and 1 day", "1 dayss"),
        "٣ days",
    ],
)
def test_what_is_no_period_is_none(text: str) -> None:
    assert parse_duration(text) is None


def test_a_month_after_31_january_is_the_end_of_february() -> None:
    month = parse_duration("1 month")
    assert month is not None
    assert month.after(ms(2026, 1, 31, 9)) == ms(2026, 2, 28, 9)
    assert month.after(ms(2028, 1, 31)) == ms(2028, 2, 29)
    assert month.after(ms(2026, 12, 31)) == ms(2027, 1, 31)


def test_thirty_days_and_one_month_differ() -> None:
    days, month = parse_duration("30 days"), parse_duration("1 month")
    assert days is not None
    assert month is not None
    assert days.after(ms(2026, 2, 1)) == ms(2026, 3, 3) != month.after(ms(2026, 2, 1)) == ms(2026, 3, 1)


@pytest.mark.parametrize("text", ["30 days", "1 month", "2 years", "1 year and 6 months", "1 second"])
def test_what_the_schema_takes_the_compiler_takes(text: str) -> None:
    assert re.fullmatch(REGEX, text)
    assert parse_duration(text) is not None
