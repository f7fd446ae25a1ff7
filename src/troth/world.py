"""What the outside gives: time and chance. Both are parameters, so that any run can be replayed (promise 7)."""

from __future__ import annotations

import os
import time
from typing import Protocol

DAY_MS = 86_400_000


class Clock(Protocol):
    """Tells the time as whole milliseconds since 1970-01-01 UTC."""

    def now(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...


class Randomness(Protocol):
    """Gives bytes that nobody can predict (except whoever holds the seed of a replay)."""

    def bytes(self, count: int) -> bytes:
        """``count`` unpredictable bytes."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000


class SystemRandomness:
    """The operating system's generator."""

    def bytes(self, count: int) -> bytes:
        """``count`` bytes of ``os.urandom``."""
        return os.urandom(count)


class SetClock:
    """A clock that stands until it is moved: for tests, examples in policies and simulated years."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def now(self) -> int:
        """Where the clock stands."""
        return self.now_ms

    def advance(self, by_ms: int) -> None:
        """Move the clock forward (or back, to test what a jump does)."""
        self.now_ms += by_ms
