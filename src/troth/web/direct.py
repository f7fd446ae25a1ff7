"""The short way of a visit: from the parser to the collector, and its answer back, without a task of its own.

A site's visits are most of what it is asked. The server below gives every request a task, an event and a cycle, which
cost as much as reading the visit does. What is none of a plain POST to the collector's address (another address, a body
that is too long, a request sent before the last was answered) takes the long way, as everything else does.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from troth.web.collector import MOST, PATH, Collector
from troth.web.connection import Connection

ADDRESS = PATH.encode()


class Waiting(RequestResponseCycle):
    """What the server below and ``Connection`` ask of a request under way, and nothing more."""

    message_event = asyncio.Event()  # nobody waits for it: the body is gathered before anything is begun
    response_started = False

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False


class Direct(Connection):
    """A connection on which plain visits take the short way."""

    def __init__(self, *about: Any, **named: Any) -> None:
        super().__init__(*about, **named)
        self.said: bytes | None = None  # of a visit's message so far

    def begin(self) -> None:
        """The head is whole and fits."""
        plain = (
            self.url == ADDRESS
            and isinstance(self.app, Collector)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not self.parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and (self.cycle is None or self.cycle.response_complete)
        )
        if plain:
            self.said = b""
            self.cycle = Waiting(keep_alive=self.parser.should_keep_alive())
        else:
            super().begin()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self.said is None:
            super().on_body(body)
            return
        self.said += body
        if len(self.said) > MOST:
            body, self.said, self.cycle = self.said, None, None  # type: ignore[assignment]  # as before the first
            super().begin()
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        if self.said is None:
            return
        body, self.said = self.said, None
        self.scope["method"] = "POST"
        self.app.prompt(self.scope, body, partial(self.answer, self.cycle))

    def answer(
        self, waiting: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Write the answer of a visit, and go on with what came after it."""
        waiting.response_complete = True
        if waiting.disconnected or self.transport.is_closing():
            return
        content = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            content += (name, b": ", value, b"\r\n")
        if status != 204:
            content.append(b"content-length: %d\r\n" % len(body))
        content.append(b"\r\n" if waiting.keep_alive else b"connection: close\r\n\r\n")
        content.append(body)
        self.transport.write(b"".join(content))
        if not waiting.keep_alive:
            self.transport.close()
        self.on_response_complete()
