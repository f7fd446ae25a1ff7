"""A cheap load client: ``python -m bench.load PORT SECONDS CONNECTIONS PERSONS`` prints ``count p50 p99`` (ms).

Raw asyncio protocols on kept connections: each sends the next request when the answer is whole. It runs in a process
of its own, so that it costs the server nothing but the machine's other core.
"""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from typing import cast

import uvloop


class Asker(asyncio.Protocol):
    """One connection."""

    def __init__(self, first: int, persons: int, until: float, took: list[float], done: asyncio.Future[None]) -> None:
        self.number = first
        self.persons = persons
        self.until = until
        self.took = took
        self.done = done
        self.began = 0.0
        self.left = 0
        self.head = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour, not by class
        self.ask()

    def ask(self) -> None:
        assert self.transport is not None
        self.number = (self.number + 61) % self.persons
        self.began = time.perf_counter()
        self.transport.write(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % self.number)

    def data_received(self, data: bytes) -> None:
        if self.left == 0:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, body, self.head = self.head[:end], self.head[end + 4 :], b""
            if not head.startswith(b"HTTP/1.1 200"):
                self.done.set_exception(RuntimeError(head.decode("latin-1")))
                return
            at = head.lower().index(b"content-length:")
            self.left = int(head[at + 15 :].split(b"\r\n", 1)[0]) - len(body)
        else:
            self.left -= len(data)
        if self.left > 0:
            return
        now = time.perf_counter()
        self.took.append(now - self.began)
        if now < self.until:
            self.ask()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


def _same(asker: Asker) -> Asker:
    return asker


async def load(port: int, seconds: float, connections: int, persons: int) -> tuple[float, float, float]:
    """(answers a second, p50, p99), the last two in milliseconds."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    began = time.perf_counter()
    askers = []
    for number in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        asker = Asker(number * 17, persons, began + seconds, took, done)
        transport, _ = await loop.create_connection(partial(_same, asker), "127.0.0.1", port)
        askers.append((transport, done))
    await asyncio.gather(*(done for _, done in askers))
    elapsed = time.perf_counter() - began
    for transport, _ in askers:
        transport.close()
    took.sort()
    return len(took) / elapsed, took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000


if __name__ == "__main__":
    port, seconds, connections, persons = sys.argv[1:5]
    figures = uvloop.run(load(int(port), float(seconds), int(connections), int(persons)))
    print(*(f"{figure:.4f}" for figure in figures), flush=True)
