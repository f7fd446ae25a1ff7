"""One side of ``bench.collect``, served in a process of its own: ``python -m bench.counted SIDE FOLDER``.

- ``troth``: the collector, in front of the whole system, behind a trusted proxy.
- ``bare``: an ASGI endpoint that decodes the message, inserts one row into a table without an index, and answers after
  the same kind of group commit (one thread, all that wait, the same durability).
- ``early``: the same, answered before anything is written.

Prints its port as one line when it is ready.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.visiting import POLICY, VISITORS, token
from troth.config import Config
from troth.store.durability import prepare_sqlite
from troth.vault.provider import FileProvider
from troth.web.serve import listen, server
from troth.world import SystemClock, SystemRandomness

Message = dict[str, Any]
Application = Callable[..., Awaitable[None]]
CHUNK = 200  # visitors who begin at once
_decode = msgspec.json.Decoder(dict[str, str]).decode
ROW = "INSERT INTO visits (at_ms, page, referrer, campaign) VALUES (?, ?, ?, ?)"
NO_CONTENT = {"type": "http.response.start", "status": 204, "headers": [(b"cache-control", b"no-store")]}


class Bare:
    """One row, one thread, one commit for all that wait."""

    def __init__(self, folder: Path, *, early: bool) -> None:
        self.early = early
        self.raw = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
        prepare_sqlite(self.raw, writes=True)
        self.raw.execute("CREATE TABLE visits (at_ms INTEGER, page TEXT, referrer TEXT, campaign TEXT)")
        self.queue: queue.SimpleQueue[tuple[tuple[Any, ...], asyncio.Future[None] | None] | None] = queue.SimpleQueue()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.clock = SystemClock()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self) -> None:
        while (first := self.queue.get()) is not None:
            taken = [first]
            while len(taken) < 256 and not self.queue.empty():
                more = self.queue.get()
                if more is None:
                    self.queue.put(None)
                    break
                taken.append(more)
            self.raw.execute("BEGIN IMMEDIATE")
            for row, _ in taken:
                self.raw.execute(ROW, row)
            self.raw.execute("COMMIT")
            waiting = [future for _, future in taken if future is not None]
            if waiting and self.loop is not None:
                self.loop.call_soon_threadsafe(self.settle, waiting)

    @staticmethod
    def settle(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        said = _decode((await receive())["body"])
        row = (self.clock.now(), said["page"], said.get("referrer", ""), said.get("campaign", ""))
        self.loop = self.loop or asyncio.get_running_loop()
        if self.early:
            self.queue.put((row, None))
        else:
            future = self.loop.create_future()
            self.queue.put((row, future))
            await future
        await send(NO_CONTENT)
        await send({"type": "http.response.body", "body": b""})

    def close(self) -> None:
        self.queue.put(None)
        self.thread.join()
        self.raw.close()


async def lifespan(receive: Callable[[], Awaitable[Message]], send: Any) -> None:
    """Say yes to the server's start and stop."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def troth(folder: Path, config: Config) -> tuple[Application, Callable[[], None]]:
    """The whole system, with visitors who have agreed."""
    from troth.web.running import start

    (folder / "policy.md").write_text(POLICY.read_text("utf-8"))
    FileProvider.create(config.path(config.root_key), SystemRandomness())
    system = start(config)

    async def begin() -> None:
        for first in range(0, VISITORS, CHUNK):
            some = range(first, min(first + CHUNK, VISITORS))
            await asyncio.gather(*(system.visits.begin("site:www", token(number), "en") for number in some))

    asyncio.run(begin())
    return system.app, system.close


def main(side: str, folder: Path) -> None:
    """Listen, tell the port, serve until told to stop."""
    config = Config(data_folder=str(folder), port=0, trusted_proxies=("127.0.0.1",))
    application: Application
    if side == "troth":
        application, close = troth(folder, config)
    else:
        application = bare = Bare(folder, early=side == "early")
        close = bare.close
    listening = server(application, config)
    socket = listen(config)
    socket.listen()
    print(socket.getsockname()[1], flush=True)
    try:
        listening.run(sockets=[socket])
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    finally:
        close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
