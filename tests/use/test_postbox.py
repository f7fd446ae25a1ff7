"""The demonstration's postbox takes mail as a relay would, keeps it, and listens on loopback only."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Callable
from typing import TypeVar

import pytest

from troth.cli.postbox import LARGEST, Postbox
from troth.config import Mail
from troth.errors import StartRefused
from troth.use.transport import Envelope, SmtpTransport

T = TypeVar("T")


def beside(talk: Callable[[Postbox], T]) -> tuple[T, Postbox]:
    """Run ``talk`` in a thread while a postbox listens."""

    async def run() -> tuple[T, Postbox]:
        async with Postbox() as box:
            return await asyncio.to_thread(talk, box), box

    return asyncio.run(run())


def test_what_is_sent_is_kept_and_shown() -> None:
    letter = Envelope("a@example.org", "b@example.org", "Subject: hé\r\n\r\nhello\r\n.dot\r\n".encode())
    outcome, box = beside(lambda box: SmtpTransport(Mail(port=box.port)).send(letter))
    assert outcome.kind == "sent"
    (kept,) = box.wait(1)
    assert (kept.sender, kept.recipients, kept.data) == (letter.sender, (letter.recipient,), letter.data)
    assert kept.text.splitlines() == ["hello", ".dot"]


def test_several_recipients_and_several_letters_in_one_conversation() -> None:
    def talk(box: Postbox) -> None:
        with smtplib.SMTP(box.host, box.port) as smtp:
            for number in range(3):
                smtp.sendmail("a@example.org", ["b@example.org", "c@example.org"], f"Subject: {number}\r\n\r\nx")

    _, box = beside(talk)
    assert [letter.subject for letter in box.letters] == ["0", "1", "2"]
    assert box.letters[0].recipients == ("b@example.org", "c@example.org")


def test_what_is_out_of_order_or_too_large_is_refused() -> None:
    def talk(box: Postbox) -> list[int]:
        with smtplib.SMTP(box.host, box.port) as smtp:
            smtp.ehlo()
            codes = [smtp.docmd(*command)[0] for command in (("DATA",), ("RCPT", "TO:<b@example.org>"), ("VRFY", "x"))]
            smtp.mail("a@example.org")
            smtp.rcpt("b@example.org")
            codes.append(smtp.data(b"x" * 998 + b"\r\n" + (b"x" * 998 + b"\r\n") * (LARGEST // 1000))[0])
            return codes

    codes, box = beside(talk)
    assert codes == [503, 503, 502, 552]
    assert box.letters == []


def test_a_visitor_that_hangs_up_or_talks_nonsense_harms_nobody() -> None:
    import socket

    def talk(box: Postbox) -> int:
        for noise in (b"", b"\xff\xfe\r\n", b"x" * 10_000, b"MAIL FROM:<a@example.org>\r\nDATA\r\n"):
            with socket.create_connection((box.host, box.port)) as peer:
                peer.sendall(noise)
        with smtplib.SMTP(box.host, box.port) as smtp:
            return smtp.noop()[0]

    assert beside(talk)[0] == 250


def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(StartRefused):
        Postbox("0.0.0.0")


def test_waiting_for_what_does_not_come_ends() -> None:
    with pytest.raises(TimeoutError):
        Postbox().wait(1, seconds=0.01)
