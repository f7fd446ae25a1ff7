"""A small SMTP server for loopback that keeps what arrives in memory and shows it: the demonstration's postbox.

It takes mail for anybody, delivers none, offers no TLS and refuses to listen anywhere but on loopback. Source:
RFC 5321 (the minimum of section 4.5.1, with SIZE, 8BITMIME and SMTPUTF8).
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import re
import threading
from dataclasses import dataclass
from email.message import EmailMessage

from troth.errors import StartRefused
from troth.use.transport import is_loopback

LARGEST = 1024 * 1024
LONGEST_LINE = 4096
KEPT = 1000  # messages: the oldest make room, so that a demonstration left running does not grow
SECONDS = 60.0
PATH = re.compile(r"(?i)(?:FROM|TO):\s*<([^<>\r\n]*)>")


@dataclass(frozen=True)
class Letter:
    """One message as it arrived."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        parsed = email.message_from_bytes(self.data, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)  # what policy.default makes
        return parsed

    @property
    def subject(self) -> str:
        """The subject, decoded."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """The plain-text part, or an empty string."""
        part = self.message.get_body(("plain",))
        return str(part.get_content()) if part is not None else ""


class Postbox:
    """An SMTP server on loopback. ``async with Postbox() as box`` listens on ``box.port``."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        if not is_loopback(host):
            raise StartRefused("the demonstration's postbox listens on loopback only")
        self.host = host
        self.port = port
        self._letters: list[Letter] = []
        self._arrived = threading.Condition()
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[None]] = set()

    @property
    def letters(self) -> list[Letter]:
        """What has arrived so far, oldest first."""
        with self._arrived:
            return list(self._letters)

    def wait(self, count: int, seconds: float = 10.0) -> list[Letter]:
        """The letters once at least ``count`` have arrived; TimeoutError if they do not. Not for the event loop."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._letters) >= count, seconds):
                raise TimeoutError(f"{len(self._letters)} of {count} messages arrived")
            return list(self._letters)

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=LONGEST_LINE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and end the conversations."""
        if self._server is not None:
            self._server.close()
            for task in list(self._talking):
                task.cancel()
            await asyncio.gather(*self._talking, return_exceptions=True)
            await self._server.wait_closed()

    async def __aenter__(self) -> Postbox:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        try:
            await _Conversation(self, reader, writer).run()
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the other side went away or does not speak SMTP: nothing was taken
        finally:
            self._talking.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def take(self, letter: Letter) -> None:
        """Keep one letter."""
        with self._arrived:
            self._letters.append(letter)
            del self._letters[:-KEPT]
            self._arrived.notify_all()


class _Conversation:
    """One connection: its commands in order (RFC 5321 4.1.4)."""

    def __init__(self, box: Postbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.box = box
        self.reader = reader
        self.writer = writer
        self.sender: str | None = None
        self.recipients: list[str] = []

    async def run(self) -> None:
        await self.say(220, "localhost Troth's demonstration postbox")
        while True:
            line = (await asyncio.wait_for(self.reader.readuntil(b"\r\n"), SECONDS)).decode("utf-8", "replace")
            verb, _, rest = line.strip().partition(" ")
            if verb.upper() == "QUIT":
                await self.say(221, "bye")
                return
            await self.command(verb.upper(), rest)

    async def command(self, verb: str, rest: str) -> None:
        path = PATH.match(rest)
        if verb == "EHLO":
            self.reset()
            await self.say(250, "localhost", f"SIZE {LARGEST}", "8BITMIME", "SMTPUTF8")
        elif verb == "HELO":
            self.reset()
            await self.say(250, "localhost")
        elif verb in ("RSET", "NOOP"):
            if verb == "RSET":
                self.reset()
            await self.say(250, "ok")
        elif verb == "MAIL" and path:
            self.reset()
            self.sender = path[1]
            await self.say(250, "ok")
        elif verb == "RCPT" and path and self.sender is not None:
            self.recipients.append(path[1])
            await self.say(250, "ok")
        elif verb == "DATA" and self.recipients:
            await self.say(354, "go on, end with a dot")
            await self.content()
        elif verb in ("MAIL", "RCPT", "DATA"):
            await self.say(503 if path or verb == "DATA" else 501, "not now, or not so")
        else:
            await self.say(502, "not spoken here")

    async def content(self) -> None:
        lines: list[bytes] = []
        size = 0
        while (line := await asyncio.wait_for(self.reader.readuntil(b"\r\n"), SECONDS)) != b".\r\n":
            line = line[1:] if line.startswith(b".") else line
            size += len(line)
            if size <= LARGEST:
                lines.append(line)
        if size > LARGEST:
            await self.say(552, "too large")
        else:
            self.box.take(Letter(self.sender or "", tuple(self.recipients), b"".join(lines)))
            await self.say(250, "kept")
        self.reset()

    def reset(self) -> None:
        self.sender = None
        self.recipients = []

    async def say(self, code: int, *lines: str) -> None:
        for place, line in enumerate(lines):
            self.writer.write(f"{code}{'-' if place < len(lines) - 1 else ' '}{line}\r\n".encode())
        await self.writer.drain()
