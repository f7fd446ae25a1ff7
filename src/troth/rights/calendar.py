"""Days and months as they are counted where the controller is (GDPR Art. 12(3); Regulation 1182/71, Art. 3).

A request of the evening of 28 February is one of 1 March in another place, and its month is three days longer there.
So a period in months runs from the day and the hour on the controller's own wall to the same hour on the same day of a
later month, or on that month's last day. That is never after the law's own end, which is the end of that day.
Clauses: ``rights.*``. Mechanism: ``right.deadline``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from troth.errors import Invalid
from troth.policy.model import Duration

NOON = dt.time(12)
Zones = Callable[[str], dt.tzinfo]
"""Tenant -> where its days are counted."""


def after(period: Duration, start_ms: int, zone: dt.tzinfo) -> int:
    """The end of ``period`` begun at ``start_ms`` (UTC milliseconds both); exact periods know no calendar.

    Where clocks are put back the first of two equal hours is meant; an hour that they skip ends as much later.
    """
    if not period.months:
        return period.after(start_ms)
    wall = start_ms + _offset(start_ms, zone)
    ends = dt.datetime.fromtimestamp(period.after(wall) // 1000, tz=dt.UTC).replace(tzinfo=zone)
    return round(ends.timestamp() * 1000) + wall % 1000


def day(at_ms: int, zone: dt.tzinfo) -> str:
    """The day of a time, as people write it everywhere: 2026-03-31."""
    return dt.datetime.fromtimestamp(at_ms // 1000, tz=zone).date().isoformat()


def came_in(typed: str, now_ms: int, zone: dt.tzinfo) -> int:
    """The day on which something came in, as a time: its noon, or now where that lies ahead still. ``Invalid`` else."""
    try:
        noon = dt.datetime.combine(dt.date.fromisoformat(typed), NOON, zone)
    except ValueError:
        raise Invalid("a day is written as 2026-03-31", clause="rights.proof", gaps=("/received: time",)) from None
    at = round(noon.timestamp() * 1000)
    return min(at, now_ms) if day(now_ms, zone) == noon.date().isoformat() else at


def _offset(at_ms: int, zone: dt.tzinfo) -> int:
    """How far the wall is ahead of UTC at a time, in milliseconds."""
    ahead = dt.datetime.fromtimestamp(at_ms // 1000, tz=zone).utcoffset() or dt.timedelta()
    return round(ahead.total_seconds() * 1000)
