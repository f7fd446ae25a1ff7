"""A write on its way through the writer, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from troth.store.transaction import Write


class Item:
    """One write on its way: what to do, how it went, and who waits: ``deliver`` is called on the writer's thread, or
    ``settle`` on an event loop.
    """

    __slots__ = ("deliver", "fault", "keyed", "loop", "settle", "value", "write")

    def __init__(self, write: Write[Any], deliver: Callable[[Item], None] | None = None) -> None:
        self.write = write
        self.value: Any = None
        self.fault: BaseException | None = None
        self.keyed = False  # the K phase is done: the item waits for D only
        self.deliver = deliver
        self.loop: asyncio.AbstractEventLoop | None = None
        self.settle: Callable[[Item], None] | None = None
