"""Rates for each domain that is written to: a token bucket a domain, in messages a minute.

Large providers put off or refuse whoever sends too much at once. What is over the rate waits in the queue, each
message for a time of its own, and others go on. The buckets are in memory: a start begins with full ones.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

MINUTE_MS = 60_000
KEPT = 10_000  # domains remembered; beyond that the one that was longest silent is forgotten


class Domains:
    """``rates`` maps a domain to messages a minute, ``*`` all others; what is absent or 0 is not limited."""

    def __init__(self, rates: Mapping[str, int]) -> None:
        self._rates = {name.lower(): rate for name, rate in rates.items()}
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, list[float]] = OrderedDict()  # tokens, those who wait, when

    def wait(self, domain: str, now_ms: int) -> int:
        """0, and a token is taken; or after how many milliseconds to ask again, later for each who asks."""
        domain = domain.lower()
        rate = self._rates.get(domain, self._rates.get("*", 0))
        if rate <= 0:
            return 0
        each = MINUTE_MS / rate
        with self._lock:
            bucket = self._buckets.setdefault(domain, [self._room(rate), 0.0, float(now_ms)])
            self._buckets.move_to_end(domain)
            if len(self._buckets) > KEPT:
                self._buckets.popitem(last=False)
            gained = max(0.0, now_ms - bucket[2]) / each
            bucket[0] = min(self._room(rate), bucket[0] + gained)
            bucket[1] = max(0.0, bucket[1] - gained)
            bucket[2] = max(bucket[2], float(now_ms))
            if bucket[0] >= 1:
                bucket[0] -= 1
                return 0
            bucket[1] += 1
            return max(1, int((bucket[1] - bucket[0]) * each))

    @staticmethod
    def _room(rate: int) -> float:
        """How many may go at once: what ten seconds allow, one at least."""
        return max(1.0, rate / 6)
