"""When a group of reads leaves: what is asked together is read, opened and recorded together.

A block of the ledger costs the writer about the same for one read as for sixty, and whoever is answered usually asks
again. So one group of a loop is under way at a time; the next leaves when as many wait as were there when the last one
came back, or after a moment that grows with their number (``PATIENCE`` each, ``MOST_PATIENCE`` at most). A reader who
is alone waits for nobody. Nothing is read before the group leaves, so that what is answered is as fresh as its entry.
ADR 0013 has the figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 150e-6
MOST_PATIENCE = 0.010
MOST = 256
"""The largest group: others wait while it is read. A full one leaves even while another is under way."""


class Pace(Generic[T]):
    """The groups of one event loop, on its thread only: ``leave`` is called with each; ``back`` says it is done."""

    __slots__ = ("_closing", "_expected", "_leave", "_timer", "_under_way", "loop", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, leave: Callable[[Pace[T], list[T]], None]) -> None:
        self.loop = loop
        self.waiting: list[T] = []
        self._leave = leave
        self._closing = False  # the group leaves at the end of this turn of the loop
        self._expected = 0  # how many the next group waits for
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, one: T) -> None:
        """Join the group that gathers."""
        waiting = self.waiting
        waiting.append(one)
        if not self._closing and ((len(waiting) >= self._expected and not self._under_way) or len(waiting) >= MOST):
            self._close()

    def back(self, count: int) -> None:
        """A group of ``count`` is done: its readers are likely to ask again."""
        self._under_way -= 1
        if self._under_way:
            return
        self._expected = count + len(self.waiting)
        if self._expected > 1:
            self._timer = self.loop.call_later(min(PATIENCE * self._expected, MOST_PATIENCE), self._late)

    def _late(self) -> None:
        """They do not come back: wait for nobody."""
        self._timer = None
        self._expected = 0
        if self.waiting and not self._closing:
            self._close()

    def _close(self) -> None:
        """Whoever else asks in this turn of the loop still comes along."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.loop.call_soon(self._go)

    def _go(self) -> None:
        group, self.waiting = self.waiting, []
        self._closing = False
        for first in range(0, len(group), MOST):
            self._under_way += 1
            self._leave(self, group[first : first + MOST])
