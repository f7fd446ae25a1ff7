"""Periods as people write them: ``30 days``, ``1 month``, ``24 months``, ``2 years``, ``72 hours``.

A month is a calendar month and a year twelve of them; everything shorter is an exact time. Thirty days and one month
are therefore different periods, and stay so.
"""

from __future__ import annotations

import re

from troth.policy.model import Duration

UNITS_MS = {
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 7 * 86_400_000,
}
UNITS_MONTHS = {"month": 1, "year": 12}
LONGEST_YEARS = 100

#: The shape of a period, for the JSON Schema.
REGEX = r"[0-9]{1,6} (seconds?|minutes?|hours?|days?|weeks?|months?|years?)( and [0-9]{1,6} (days?|months?))?"

_PART = re.compile(r"([0-9]{1,6})\s+([a-z]+?)s?")


def parse_duration(text: str) -> Duration | None:
    """The period that ``text`` names, or None where it names none (or none between 1 second and 100 years)."""
    months = ms = 0
    parts = re.split(r"\s+and\s+|,\s*", text.strip())
    for part in parts[:3]:
        match = _PART.fullmatch(part)
        if match is None:
            return None
        count, unit = int(match.group(1)), match.group(2)
        if unit in UNITS_MS:
            ms += count * UNITS_MS[unit]
        elif unit in UNITS_MONTHS:
            months += count * UNITS_MONTHS[unit]
        else:
            return None
    if len(parts) > 3 or not (months or ms):
        return None
    if months > LONGEST_YEARS * 12 or ms > LONGEST_YEARS * 366 * UNITS_MS["day"]:
        return None
    return Duration(text.strip(), months=months, ms=ms)
