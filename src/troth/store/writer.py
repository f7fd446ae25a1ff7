"""The writer: one thread, four lanes, group commit.

Whoever writes hands a ``Write`` over and waits; the thread takes all that wait, in the order of the lanes, and
commits them together. There is no timer: while one batch is being synced, the next gathers. A full lane refuses
at once with ``Busy``, before anything was read or written. A waiter that goes away does not take its write along.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from troth.errors import Busy, Unavailable, Unknown
from troth.store.batch import Executor
from troth.store.durability import LOG_LIMIT
from troth.store.item import Item
from troth.store.transaction import DataTx, Idempotency, KeyTx, Lane, Write

__all__ = ["DataTx", "Idempotency", "KeyTx", "Lane", "Write", "Writer"]

log = logging.getLogger("troth.store")

T = TypeVar("T")

CAPACITY = {Lane.RIGHTS: 64, Lane.WRITE: 1024, Lane.READ: 256, Lane.JOB: 64}
"""How many writes may wait in each lane."""

MAX_ITEMS = 256
IDLE_SECONDS = 0.25
LOOK = 8
"""Batches between two looks at the size of the write-ahead logs: a look costs three system calls."""
LOG_WORTH = 4 << 20
"""Bytes that are worth moving when there is nothing else to do."""


class Writer:
    """The thread that owns both writing connections. ``start`` it, ``submit`` to it from anywhere, ``close`` it."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.committed: list[Callable[[], None]] = []  # called on the writer's thread after each commit
        self.waking: list[threading.Event] = []  # set when something durable was queued: jobs, messages
        self._lanes: dict[Lane, deque[Item]] = {lane: deque() for lane in Lane}
        self._controls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._condition = threading.Condition()
        self._sleeping = False
        self._closing = False
        self._sealed = False
        self.dead = False
        """The thread ended by a fault: nothing is taken any more."""
        self._held: list[Item] = []
        self._unmoved = {executor.data, executor.keys}  # written to since the last complete checkpoint
        self._unlooked = 0  # batches since the last look at the logs
        self._thread = threading.Thread(target=self._work, name="troth-writer", daemon=True)

    def start(self) -> None:
        """Start the thread; from here on only it writes."""
        self._thread.start()

    @property
    def fault(self) -> str | None:
        """What keeps the ledger from being written, or None."""
        if self.dead or self._closing or not self._thread.is_alive():
            return "the writer has stopped"
        return self.executor.fault

    def here(self) -> bool:
        """Whether the caller runs on the writer's thread (where waiting for it would last for ever)."""
        return threading.current_thread() is self._thread

    def admits(self, lane: Lane) -> None:
        """Raise ``Unavailable`` or ``Busy`` if a write in this lane would not be taken now."""
        if self._closing or self.dead:
            raise Unavailable("the store is closing: nothing was read or written")
        if len(self._lanes[lane]) >= CAPACITY[lane]:
            raise Busy("too many requests wait to be recorded: nothing was read or written")

    def put(self, item: Item) -> None:
        """Queue an item; its ``deliver`` is called on the writer's thread. Raises ``Busy`` or ``Unavailable``."""
        lane = item.write.lane
        queue = self._lanes[lane]
        with self._condition:
            if self._closing or self.dead:
                raise Unavailable("the store is closing: nothing was read or written")
            if self._sealed:
                raise Unavailable("this system moved away: nothing is read or written here any more")
            if len(queue) >= CAPACITY[lane]:
                raise Busy("too many requests wait to be recorded: nothing was read or written")
            queue.append(item)
            if self._sleeping:
                self._condition.notify()

    def submit(self, write: Write[T]) -> Future[T]:
        """Queue a write; the future cannot be cancelled, since the write cannot."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def deliver(item: Item) -> None:
            if item.fault is not None:
                future.set_exception(item.fault)
            else:
                future.set_result(item.value)

        self.put(Item(write, deliver))
        return future

    async def asubmit(self, write: Write[T]) -> T:
        """Queue a write and await it. Cancelling the waiter leaves the write as it is."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        item = Item(write)

        def settle(item: Item) -> None:
            if waiter.done():
                return  # cancelled: the write stands all the same
            if item.fault is not None:
                waiter.set_exception(item.fault)
            else:
                waiter.set_result(item.value)

        item.loop, item.settle = loop, settle
        self.put(item)
        return await waiter

    def seal(self) -> None:
        """Take no item any more: the log's last word was said."""
        with self._condition:
            self._sealed = True

    def control(self, work: Callable[[], T]) -> Future[T]:
        """Run something between two batches on the writer's thread (a checkpoint, a write to K alone)."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        with self._condition:
            if self._closing or self.dead:
                raise Unavailable("the store is closing")
            self._controls.append((work, future))
            if self._sleeping:
                self._condition.notify()
        return future

    def close(self) -> None:
        """Finish what waits, then stop the thread."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread.is_alive() and not self.here():
            self._thread.join()

    # --- the thread ---

    def _work(self) -> None:
        ident = threading.get_ident()
        self.executor.data.owner = self.executor.keys.owner = ident
        taken: list[Item] = []
        try:
            while True:
                work = self._take()
                if work is None:
                    return
                controls, taken = work
                idle = not controls and not taken
                for action, future in controls:
                    self._control(action, future)
                if taken:
                    later = self.executor.run(taken)
                    self._held = later
                    done = [item for item in taken if item not in later] if later else taken
                    taken = []
                    self._deliver(done)
                if idle and self.executor.fault is not None:
                    self.executor.probe()
                self._tidy(idle=idle)
        except BaseException as problem:
            self._die(taken, problem)
        finally:
            self.executor.data.owner = self.executor.keys.owner = None

    def _take(self) -> tuple[list[tuple[Callable[[], Any], Future[Any]]], list[Item]] | None:
        """All that waits, up to a batch's limit; waits for something. None when closing and empty."""
        lanes = self._lanes
        with self._condition:
            while not (self._controls or self._held or any(lanes.values())):
                if self._closing:
                    return None
                self._sleeping = True
                restless = self.executor.fault is not None or self._grown()
                woken = self._condition.wait(IDLE_SECONDS if restless else None)
                self._sleeping = False
                if not woken and not self._closing:
                    return [], []  # idle: time to tidy
            controls = list(self._controls)
            self._controls.clear()
            items, self._held = self._held, []
            for lane, queue in lanes.items():
                room = MAX_ITEMS - len(items)
                if lane is Lane.JOB:
                    room = min(room, 1)  # a job is long: the others should not wait for two
                for _ in range(min(room, len(queue))):
                    items.append(queue.popleft())
            return controls, items

    def _control(self, action: Callable[[], Any], future: Future[Any]) -> None:
        try:
            result = action()
        except Exception as problem:
            executor = self.executor
            if "fatal" in (executor.keys.fault(problem), executor.data.fault(problem)):
                future.set_exception(Unknown("a write failed"))
                executor.end(problem)
            future.set_exception(problem)
        else:
            future.set_result(result)

    def _deliver(self, items: list[Item]) -> None:
        """Hand out the outcomes: one call into each event loop, however many wait there."""
        if self.executor.fault is None:
            for call in self.committed:
                try:
                    call()
                except Exception as problem:
                    log.error("a call after a commit failed: %s", type(problem).__name__)
        if self.executor.enqueued:
            for event in self.waking:
                event.set()
        loops: dict[asyncio.AbstractEventLoop, list[Item]] = {}
        for item in items:
            if item.loop is not None:
                loops.setdefault(item.loop, []).append(item)
            elif item.deliver is not None:
                item.deliver(item)
        for loop, waiting in loops.items():
            try:
                loop.call_soon_threadsafe(_settle, waiting)
            except RuntimeError:  # the loop has gone; the writes stand
                log.info("%d writes ended after their event loop", len(waiting))

    def _grown(self) -> bool:
        return any(database.log_bytes() > LOG_WORTH for database in self._unmoved)

    def _tidy(self, *, idle: bool) -> None:
        """Move the write-ahead logs into their databases when there is time for it, or no more room."""
        if not idle:
            self._unmoved = {self.executor.data, self.executor.keys}
            self._unlooked += 1
            if self._unlooked < LOOK:
                return
        self._unlooked = 0
        limit = LOG_WORTH if idle else LOG_LIMIT
        for database in list(self._unmoved):
            if database.log_bytes() <= limit:
                continue
            try:
                if database.checkpoint("PASSIVE"):
                    self._unmoved.discard(database)
            except Exception as problem:
                if database.fault(problem) == "fatal":
                    self.executor.end(problem)
                log.warning("a checkpoint was refused: %s", type(problem).__name__)

    def _die(self, taken: list[Item], problem: BaseException) -> None:
        """The thread ends: nobody is told that something was done."""
        log.critical("the writer stopped: %s", type(problem).__name__)
        with self._condition:
            self.dead = True
            waiting = self._held + [item for queue in self._lanes.values() for item in queue]
            controls = list(self._controls)
            self._controls.clear()
        for item in taken:
            item.fault = Unknown("the writer stopped; ask again with the same idempotency key")
        for item in waiting:
            item.fault = Unavailable("the writer stopped: nothing was done")
        for _, future in controls:
            future.set_exception(Unavailable("the writer stopped"))
        self.executor.fault = "the writer has stopped"
        self._deliver([item for item in taken if item not in waiting] + waiting)


def _settle(items: list[Item]) -> None:
    """On the event loop: tell everyone who waits there."""
    for item in items:
        assert item.settle is not None
        item.settle(item)
