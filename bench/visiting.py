"""A load of visits: ``python -m bench.visiting PORT SECONDS CONNECTIONS`` prints ``answers_a_second p50 p99`` (ms).

Half of the visits come from browsers that agreed and hold a visitor's cookie, half from browsers that chose nothing.
The very same bytes go to every side. Raw asyncio protocols on kept connections: each sends the next when the answer is
whole.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

from troth.policy import compile as compile_policy
from troth.policy.choices import choices

POLICY = Path(__file__).parents[1] / "policies" / "example" / "policy.md"
VISITORS = 4_000  # as many as were here within the last minute: their keys are in memory
PAGES = 300
BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148",
)


def token(number: int) -> str:
    """The cookie of one visitor: as long as a real one."""
    return f"{number:043d}"


def requests() -> list[bytes]:
    """One request of each visitor, tier by tier in turn."""
    policy = compile_policy(POLICY.read_text("utf-8")).policy
    assert policy is not None
    asked = choices(policy)
    agreed = f"{asked.cookie}={asked.value(asked.purposes)}"
    made = []
    for number in range(2 * VISITORS):
        body = json.dumps(
            {
                "page": f"/blog/restores-that-work/{number * 7 % PAGES}",
                "referrer": f"news{number % 20}.example.org" if number % 3 else "",
                "campaign": "spring / mail" if number % 5 == 0 else "",
            }
        ).encode()
        cookie = f"Cookie: {agreed}; troth_visitor={token(number // 2)}\r\n" if number % 2 else ""
        head = (
            "POST /c HTTP/1.1\r\nHost: www.localhost\r\nOrigin: http://www.localhost\r\nSec-Fetch-Site: same-origin\r\n"
            f"X-Forwarded-For: 203.{number // 62_500 % 250}.{number // 250 % 250}.{number % 250}\r\n{cookie}"
            f"User-Agent: {BROWSERS[number % 3]}\r\nAccept: */*\r\nAccept-Language: en\r\n"
            f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class Browser(asyncio.Protocol):
    """One connection."""

    def __init__(
        self, sent: list[bytes], first: int, until: float, took: list[float], done: asyncio.Future[None]
    ) -> None:
        self.sent = sent
        self.number = first
        self.until = until
        self.took = took
        self.done = done
        self.began = 0.0
        self.head = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour, not by class
        self.visit()

    def visit(self) -> None:
        assert self.transport is not None
        self.number = (self.number + 127) % len(self.sent)
        self.began = time.perf_counter()
        self.transport.write(self.sent[self.number])

    def data_received(self, data: bytes) -> None:
        self.head += data
        if not self.head.endswith(b"\r\n\r\n"):
            return
        if not self.head.startswith(b"HTTP/1.1 204"):
            self.done.set_exception(RuntimeError(self.head.decode("latin-1")))
            return
        self.head = b""
        now = time.perf_counter()
        self.took.append(now - self.began)
        if now < self.until:
            self.visit()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError(f"the server ended the connection: {self.head!r}"))


async def load(port: int, seconds: float, connections: int) -> tuple[float, float, float]:
    """(answers a second, p50, p99), the last two in milliseconds."""
    loop = asyncio.get_running_loop()
    sent, took = requests(), list[float]()
    began = time.perf_counter()
    browsers = []
    for number in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        browser = Browser(sent, number * 61, began + seconds, took, done)
        transport, _ = await loop.create_connection(partial(_same, browser), "127.0.0.1", port)
        browsers.append((transport, done))
    await asyncio.gather(*(done for _, done in browsers))
    elapsed = time.perf_counter() - began
    for transport, _ in browsers:
        transport.close()
    took.sort()
    return len(took) / elapsed, took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000


def _same(browser: Browser) -> Browser:
    return browser


if __name__ == "__main__":
    figures = uvloop.run(load(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
    print(*(f"{figure:.4f}" for figure in figures), flush=True)
