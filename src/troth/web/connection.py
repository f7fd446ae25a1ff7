"""A connection that cannot be held open or filled for nothing: bounds on the head of a request and on its arrival.

The server below bounds neither the size of the headers nor the time a request may take to arrive, and answers what
it cannot parse in plain text. Here each of these gets one problem+json, and the connection ends.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from troth.errors import BadRequest, HeadTooLarge, TooSlow, TrothError
from troth.web.problems import PROBLEM, problem

MOST_HEAD = 32 * 1024  # bytes: the request's line and headers; browsers send one or two thousand
HEAD_SECONDS = 20.0  # from the first byte to the end of the headers
BODY_SECONDS = 30.0  # from there to the end of the body: 64 KiB, even over a poor line

LINGER_SECONDS = 1.0  # after a refusal: closing on bytes that were not read would take the answer back

MALFORMED = BadRequest("this is not HTTP as we understand it")
LARGE = HeadTooLarge(f"the address and headers together may have {MOST_HEAD // 1024} KiB")
SLOW = TooSlow("the request did not arrive in time: nothing was read or stored")


class Part(Enum):
    """What of a request is being received."""

    NONE = 0
    HEAD = 1
    BODY = 2


class Connection(HttpToolsProtocol):
    """One connection. Its state is that of the request being received."""

    def __init__(self, *about: Any, **named: Any) -> None:
        super().__init__(*about, **named)
        self.part = Part.NONE
        self.head = 0  # bytes of the head in the pieces so far
        self.length = 0  # bytes of its headers that are whole
        self.refusal: TrothError = MALFORMED
        self.over = False
        self.late: asyncio.TimerHandle | None = None
        self.awaited: Part | None = None  # what must have come before ``late``

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as below it
        """A client has come: it has so long to say what it wants."""
        super().connection_made(transport)
        self.expect(Part.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self.expect(None)
        super().connection_lost(exc)

    def expect(self, part: Part | None) -> None:
        """From now on ``part`` must arrive in time; None: nothing is under way."""
        if self.late is not None:
            self.late.cancel()
        seconds = {Part.HEAD: HEAD_SECONDS, Part.BODY: BODY_SECONDS}.get(part or Part.NONE)
        self.late = self.loop.call_later(seconds, self.too_slow) if seconds is not None else None
        self.awaited = part

    def data_received(self, data: bytes) -> None:
        """Bytes have come. A request that comes in one piece, as almost all do, starts no clock."""
        if self.over:
            return
        if self.part is Part.HEAD:
            self.head += len(data)
        super().data_received(data)
        if self.over:
            return
        if self.part is Part.HEAD and self.head > MOST_HEAD:
            self.refuse(LARGE)
        elif self.part is Part.NONE:
            if self.late is not None:
                self.expect(None)
        elif self.awaited is not self.part:
            self.expect(self.part)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.part, self.head, self.length = Part.HEAD, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is whole. A head that comes in one piece with its body is measured here."""
        self.length += len(name) + len(value)
        if self.length + len(self.url) > MOST_HEAD:
            self.refusal = LARGE
            raise ValueError("the head is too large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: the body follows."""
        self.part = Part.BODY
        if len(self.url) > MOST_HEAD:
            self.refusal = LARGE
            raise ValueError("the head is too large")
        if sum(name == b"host" for name, _ in self.headers) != 1 and self.parser.get_http_version() == "1.1":
            raise ValueError("a request names the one host it is for")  # RFC 9112, 3.2
        self.begin()

    def begin(self) -> None:
        """The head is whole and fits: the application begins."""
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.part, self.awaited = Part.NONE, None
        super().on_message_complete()

    def too_slow(self) -> None:
        """The time is over. A connection on which nothing was begun ends without a word."""
        self.late = None
        if self.part is Part.NONE:
            self.transport.close()
        else:
            self.refuse(SLOW)

    def _unsupported_upgrade_warning(self) -> None:
        """No line in the log for a client's wish to speak something else: it is answered in HTTP."""

    def send_400_response(self, msg: str) -> None:
        """What could not be parsed."""
        self.refuse(self.refusal)

    def refuse(self, error: TrothError) -> None:
        """Answer without the application, and end the connection; only end it where one was given."""
        self.over = True
        self.expect(None)
        cycle = self.cycle
        answered = (
            cycle is not None and cycle.response_started and (self.part is Part.BODY or not cycle.response_complete)
        )
        if self.cycle is not None:  # whoever waits for the rest of this request waits no longer
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if answered or self.transport.is_closing():
            self.transport.close()
            return
        body = msgspec.json.encode(problem(error))
        head = (
            f"HTTP/1.1 {error.status} {error.title}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\n"
            "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.late = self.loop.call_later(LINGER_SECONDS, self.transport.close)
