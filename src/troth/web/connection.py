"""A connection that cannot be held open or filled for nothing: bounds on the head of a request and on its arrival.

The server below bounds neither the size of the headers nor the time a request may take to arrive, and answers what
it cannot parse in plain text. Here each of these gets one problem+json, and the connection ends.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from troth.errors import BadRequest, HeadTooLarge, TooSlow, TrothError
from troth.web.problems import PROBLEM, problem

MOST_HEAD = 32 * 1024  # bytes: the request's line and headers; browsers send one or two thousand
HEAD_SECONDS = 20.0  # from the first byte to the end of the headers
BODY_SECONDS = 30.0  # from there to the end of the body: 64 KiB, even over a poor line

MALFORMED = BadRequest("this is not HTTP as we understand it")
LARGE = HeadTooLarge(f"the address and headers together may have {MOST_HEAD // 1024} KiB")
SLOW = TooSlow("the request did not arrive in time: nothing was read or stored")


class Connection(HttpToolsProtocol):
    """One connection. Its state is that of the request being received."""

    def __init__(self, *about: Any, **named: Any) -> None:
        super().__init__(*about, **named)
        self.in_head = True
        self.head = 0  # bytes of it so far
        self.refusal: TrothError = MALFORMED
        self.length = 0
        self.late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as below it
        """A client has come: it has so long to say what it wants."""
        super().connection_made(transport)
        self.expect(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self.expect(None)
        super().connection_lost(exc)

    def expect(self, seconds: float | None) -> None:
        """From now on what is under way must arrive within ``seconds``; None: nothing is under way."""
        if self.late is not None:
            self.late.cancel()
        self.late = self.loop.call_later(seconds, self.too_slow) if seconds is not None else None

    def data_received(self, data: bytes) -> None:
        """Bytes have come; those of an unfinished head are counted."""
        if self.in_head:
            if self.late is None:
                self.expect(HEAD_SECONDS)  # the first bytes of another request on a kept connection
            self.head += len(data)
        super().data_received(data)
        if self.in_head and self.head > MOST_HEAD and not self.transport.is_closing():
            self.refuse(LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.in_head, self.length = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is whole. A head that comes in one piece with its body is measured here."""
        self.length += len(name) + len(value)
        if self.length + len(self.url) > MOST_HEAD:
            self.refusal = LARGE
            raise ValueError("the head is too large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: the body follows."""
        self.in_head, self.head = False, 0
        if sum(name == b"host" for name, _ in self.headers) != 1 and self.parser.get_http_version() == "1.1":
            raise ValueError("a request names the one host it is for")  # RFC 9112, 3.2
        if len(self.url) > MOST_HEAD:
            self.refusal = LARGE
            raise ValueError("the head is too large")
        super().on_headers_complete()
        self.expect(BODY_SECONDS)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.expect(None)
        self.in_head = True
        super().on_message_complete()

    def too_slow(self) -> None:
        """The time is over. A kept connection on which nothing was begun ends without a word."""
        self.late = None
        if self.transport.is_closing():
            return
        if (self.cycle is not None and self.cycle.response_started) or (self.in_head and self.head == 0):
            self.transport.close()
        else:
            self.refuse(SLOW)

    def _unsupported_upgrade_warning(self) -> None:
        """No line in the log for a client's wish to speak something else: it is answered in HTTP."""

    def send_400_response(self, msg: str) -> None:
        """What could not be parsed."""
        if self.refusal is MALFORMED and self.cycle is not None and self.cycle.response_started:
            self.transport.close()  # an answer is under way: another one inside it would be read as part of it
            return
        self.refuse(self.refusal)

    def refuse(self, error: TrothError) -> None:
        """Answer without asking the application, and end the connection."""
        body = msgspec.json.encode(problem(error))
        head = (
            f"HTTP/1.1 {error.status} {error.title}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\n"
            "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
