"""What the door turned away, counted: by point, clause and kind of refusal, hour by hour, for a day.

Counts only, in memory: a refused submission leaves nothing about anybody behind (clause ``consent.refusal``), and a
flood of them must not fill the ledger. They begin anew when the process does.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from troth.errors import TrothError
from troth.world import Clock

HOUR_MS = 3_600_000
HOURS = 24


class Refused(NamedTuple):
    """What was refused: where, under which clause ("" where none is named), and as what (``TrothError.code``)."""

    tenant: str
    point: str
    clause: str
    code: str


class Refusals:
    """Counts refusals. Safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.since_ms = clock.now()
        self._lock = threading.Lock()
        self._hours: dict[int, Counter[Refused]] = {}

    @contextmanager
    def counting(self, tenant: str, point: str) -> Iterator[None]:
        """Count whatever refusal leaves the block, and let it go on. ``point`` is one that the policy declares."""
        try:
            yield
        except TrothError as refusal:
            self.note(Refused(tenant, point, refusal.clause or "", refusal.code))
            raise

    def note(self, refused: Refused) -> None:
        """Count one."""
        hour = self.clock.now() // HOUR_MS
        with self._lock:
            for old in [known for known in self._hours if known <= hour - HOURS]:
                del self._hours[old]
            self._hours.setdefault(hour, Counter())[refused] += 1

    def of(self, tenant: str, point: str) -> list[tuple[Refused, int, int]]:
        """What this point of a tenant's refused: (what, in this and the last hour, in the last day), most first."""
        hour = self.clock.now() // HOUR_MS
        with self._lock:
            hours = {at: counts for at, counts in self._hours.items() if at > hour - HOURS}
            day = sum(hours.values(), Counter[Refused]())
            last = sum((counts for at, counts in hours.items() if at >= hour - 1), Counter[Refused]())
        mine = [refused for refused in day if (refused.tenant, refused.point) == (tenant, point)]
        return sorted(((each, last[each], day[each]) for each in mine), key=lambda row: (-row[2], row[0]))
