"""Listening for mail: bounces and unsubscribing by mail, through aiosmtpd, on a thread of its own.

A mail server in front of this one hands over what is for our addresses (SMTP or LMTP, on loopback or in a private
network). All else is refused at RCPT: replies are read where the policy's contact says, and nothing of them is stored.
By LMTP each recipient has an answer of its own (RFC 2033 4.2). Bounded in bytes, seconds, recipients and connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, AnyStr

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP

from troth.errors import StartRefused, TrothError

if TYPE_CHECKING:
    from troth.use.mailroom import MailRoom

log = logging.getLogger("troth.web")

LARGEST = 1 << 20  # bytes of a message
SECONDS = 60.0  # of silence, after which the connection is closed
CONNECTIONS = 20
RECIPIENTS = 20
TAKEN = "250 2.0.0 taken"
LATER = "451 4.3.0 not now, please try again later"


class Handler:
    """What aiosmtpd calls."""

    def __init__(self, room: MailRoom, contact: str) -> None:
        self.room = room
        self.contact = contact

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        """Take only what somebody here takes."""
        if len(envelope.rcpt_tos) >= RECIPIENTS:
            return "452 4.5.3 too many recipients in one message"
        if self.room.find(address) is None:
            return f"550 5.1.1 nobody reads this address: please write to {self.contact}"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Hand over to each recipient's taker. By SMTP the sender keeps the message unless all have taken it."""
        content = bytes(envelope.content or b"")
        answers = [await self._hand_over(address, content) for address in envelope.rcpt_tos]
        if isinstance(server, OneForEach):
            return "\r\n".join(answers)
        return LATER if LATER in answers else TAKEN

    async def _hand_over(self, address: str, content: bytes) -> str:
        found = self.room.find(address)
        if found is None:
            return TAKEN
        taker, extension = found
        try:
            await asyncio.to_thread(taker, extension, content)
        except TrothError as refusal:
            log.warning("a message that came in cannot be taken now: %s", refusal.code)
            return LATER
        except Exception as problem:
            log.error("a message that came in cannot be taken: %s", type(problem).__name__)
            return LATER
        return TAKEN


class OneForEach(LMTP):
    """LMTP, with an answer for each recipient once the message was sent (RFC 2033 4.2), whatever the answer is."""

    _owed = 0

    async def push(self, status: AnyStr) -> None:
        """Say a reply; after ``354`` the next one, if it is for all, as often as there are recipients."""
        said = status if isinstance(status, str) else status.decode()
        owed, self._owed = self._owed, 0
        if said.startswith("354 "):
            self._owed = len(self.envelope.rcpt_tos)  # type: ignore[union-attr]  # the library refuses DATA before RCPT
        elif owed > 1 and "\r\n" not in said:
            said = "\r\n".join([said] * owed)
        await super().push(said)


class Inbound:
    """The listener. ``close`` ends it; ``port`` is where it listens (of use where 0 was asked for)."""

    def __init__(self, room: MailRoom, *, host: str, port: int, contact: str, lmtp: bool = False) -> None:
        kind = OneForEach if lmtp else SMTP
        open_now: set[Any] = set()

        class Conversation(kind):  # type: ignore[misc, valid-type]  # one of two classes
            """A conversation that is refused where there are too many."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                if len(open_now) >= CONNECTIONS:
                    assert isinstance(transport, asyncio.Transport)
                    transport.write(b"421 4.3.2 too many connections, please try again later\r\n")
                    transport.close()
                    return
                open_now.add(self)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                if self in open_now:
                    open_now.discard(self)
                    super().connection_lost(error)

        self._loop = asyncio.new_event_loop()

        def conversation() -> Any:
            handler = Handler(room, contact)
            return Conversation(
                handler,
                data_size_limit=LARGEST,
                timeout=SECONDS,
                ident="troth",
                hostname="troth",
                loop=self._loop,
                command_call_limit={"RCPT": 2 * RECIPIENTS, "*": 100},
            )

        try:
            self._server = self._loop.run_until_complete(self._loop.create_server(conversation, host, port))
        except OSError as fault:
            self._loop.close()
            raise StartRefused(f"mail cannot be listened for on {host}:{port}: {fault.strerror}") from fault
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="troth-inbound", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take nothing more, and end."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # lets the closed transports say goodbye to the loop
