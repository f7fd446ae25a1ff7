"""What comes back is matched by an opaque token, read with suspicion, and told as it was."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from tests.smtp import relay
from tests.use.house import House
from tests.use.test_messages import Sending
from troth.errors import Busy
from troth.store import Write
from troth.store.tables import messages
from troth.use.bounces import Bounces, Report, ReturnPath, read_report
from troth.use.mailroom import LONGEST, MailRoom
from troth.web.inbound import LARGEST, Inbound

PATH = ReturnPath("bounce@vendor.example.org", b"k" * 32)


def report(action: str = "failed", status: str = "5.1.1", extra: str = "") -> bytes:
    """A delivery report as RFC 3464 has it."""
    return f"""From: MAILER-DAEMON@mx.example.org\r
To: bounce@vendor.example.org\r
Subject: Undelivered\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status; boundary="x"\r
\r
--x\r
Content-Type: text/plain\r
\r
It could not be delivered to ann@example.org.\r
--x\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mx.example.org\r
\r
Final-Recipient: rfc822; ann@example.org\r
Action: {action}\r
Status: {status}\r
Diagnostic-Code: smtp; 550 no such user ann@example.org\r
{extra}\r
--x\r
Content-Type: message/rfc822\r
\r
Subject: a letter\r
\r
Hello.\r
--x--\r
""".encode()


@pytest.fixture
def sending(house: House) -> Iterator[Sending]:
    with relay() as post:
        made = Sending(house, post)
        made.messages.letters.composer.bounces = PATH.address
        yield made


def sent(sending: Sending, name: str = "account.note") -> tuple[bytes, str]:
    """A message that the relay took, and what stands after + in the address it comes back to."""
    mid = sending.queue(
        name,
        sending.house.person(),
        {"certificate": "x", "link": "/privacy/certificate/0102"} if name == "erase.certificate" else None,
    )
    sending.run()
    letter = sending.post.arrived[-1]
    return mid, letter.sender.partition("@")[0].partition("+")[2]


def bounces(sending: Sending) -> Bounces:
    return Bounces(sending.house.store, sending.house.vault, sending.house.versions, PATH)


def test_a_letter_that_failed_for_good_is_bounced_and_nothing_personal_is_kept(sending: Sending) -> None:
    mid, extension = sent(sending)
    assert bounces(sending).take(extension, report()) == "bounced"
    assert (sending.row(mid)["state"], sending.row(mid)["reason"]) == ("bounced", "reported 5.1.1")
    assert sending.told(mid) == ["queued", "sending", "sent", "bounced"]
    assert "ann" not in str(sending.house.entries()) + str(sending.row(mid))
    assert bounces(sending).take(extension, report()) == "nothing", "told twice, recorded once"


def test_a_delay_is_counted_and_changes_nothing(sending: Sending) -> None:
    mid, extension = sent(sending)
    for count in (1, 2):
        assert bounces(sending).take(extension, report("delayed", "4.2.2")) == "delayed"
        assert (sending.row(mid)["state"], sending.row(mid)["soft"]) == ("sent", count)


def test_a_notice_that_came_back_is_listed_and_a_newsletter_is_not(sending: Sending) -> None:
    mid, extension = sent(sending, "erase.certificate")
    _, other = sent(sending)
    assert bounces(sending).take(extension, report()) == bounces(sending).take(other, report()) == "bounced"
    assert [row["id"] for row in sending.messages.unresolved()] == [mid]


def test_a_report_that_is_faster_than_the_relays_answer_comes_again(sending: Sending) -> None:
    sending.queue("account.note", sending.house.person())
    (letter,) = sending.messages.take()
    assert sending.messages.record([], [letter]) == ["go"]
    with pytest.raises(Busy):
        bounces(sending).take(letter.envelope.sender.partition("@")[0].partition("+")[2], report())


def test_after_an_erasure_a_bounce_says_nothing_of_anybody(sending: Sending) -> None:
    _, extension = sent(sending)
    sending.house.store.write(Write(lambda tx: tx.execute(delete(messages)).rowcount))
    assert bounces(sending).take(extension, report()) == "nothing"


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_token_can_be_made_up(noise: bytes) -> None:
    assert PATH.message(noise.decode("latin-1")) is None


@given(st.binary(min_size=16, max_size=16))
def test_a_token_leads_back_to_its_message_alone(mid: bytes) -> None:
    address = PATH.address(mid)
    local = address.rpartition("@")[0]
    assert re.fullmatch(r"bounce\+[a-z2-7]{36}", local)
    assert len(local) <= 64
    extension = local.partition("+")[2]
    assert PATH.message(extension) == PATH.message(extension.upper()) == mid
    assert ReturnPath("bounce@vendor.example.org", b"j" * 32).message(extension) is None
    assert mid.hex() not in address


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (report(), Report("failed", "5.1.1")),
        (report("Failed (mailbox gone)", "5.2.1 (x)"), Report("failed", "5.2.1")),
        (report("delayed", "4.4.7"), Report("delayed", "4.4.7")),
        (report("delivered", "2.0.0"), None),
        (report("failed", "nonsense"), Report("failed", "")),
        (
            report("relayed", extra="\r\nFinal-Recipient: rfc822; b@x.org\r\nAction: failed\r\nStatus: 5.0.0"),
            Report("failed", "5.0.0"),
        ),
        (b"Subject: out of office\r\n\r\nI am away.", None),
        (b"", None),
    ],
)
def test_reports_as_they_come(data: bytes, found: Report | None) -> None:
    assert read_report(data) == found


PIECES = st.sampled_from(
    [
        *report().split(b"\r\n"),
        b"",
        b"--x",
        b"--x--",
        b'Content-Type: multipart/report; boundary="x"',
        b'Content-Type: multipart/mixed; boundary="x"',
        b"Content-Type: message/delivery-status",
        b"Content-Type: message/rfc822",
        b"Content-Transfer-Encoding: base64",
        b"\xff\x00\x80",
        b"Action: =?utf-8?b?//8=?=",
        b"Status: " + b"9" * 300,
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES | st.binary(max_size=40), max_size=60).map(b"\r\n".join))
def test_no_report_breaks_the_reader(data: bytes) -> None:
    found = read_report(data)
    assert found is None or (found.action in ("failed", "delayed") and len(found.status) <= 9)


@pytest.mark.timeout(20)
def test_deep_and_large_reports_end_soon() -> None:
    nested = b"".join(b'Content-Type: multipart/report; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(3000))
    read_report(nested)
    read_report(b"Content-Type: message/rfc822\r\n\r\n" * 5000)
    read_report(report() + b"a: " + b"x" * LONGEST * 3)
    read_report(b"Content-Type: multipart/report; boundary=x\r\n\r\n" + b"--x\r\n\r\n" * 60_000)


# --- the listener ---


@pytest.fixture
def taken() -> list[tuple[str, bytes]]:
    return []


@pytest.fixture(params=["smtp"])
def inbound(request: pytest.FixtureRequest, taken: list[tuple[str, bytes]]) -> Iterator[Inbound]:
    room = MailRoom()

    def take(extension: str, data: bytes) -> None:
        if extension == "busy":
            raise Busy("not now")
        if extension == "broken":
            raise RuntimeError("a fault")
        taken.append((extension, data))

    room.on("bounce", take)
    with pytest.raises(ValueError, match="taken already"):
        room.on("Bounce", take)
    listening = Inbound(room, host="127.0.0.1", port=0, contact="privacy@example.org", lmtp=request.param == "lmtp")
    yield listening
    listening.close()


def test_what_is_for_us_is_taken_and_all_else_refused_while_the_sender_listens(
    inbound: Inbound, taken: list[tuple[str, bytes]]
) -> None:
    with smtplib.SMTP("127.0.0.1", inbound.port, timeout=10) as smtp:
        smtp.sendmail("", ["bounce+abc@vendor.example.org"], report())
        assert [extension for extension, _ in taken] == ["abc"]
        for address in ("post@vendor.example.org", "bouncer@vendor.example.org", "+bounce@x.org", "anybody"):
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                smtp.sendmail("ann@example.org", [address], b"Subject: a reply\r\n\r\nHello")
            code, text = next(iter(refused.value.recipients.values()))
            assert code == 550
            assert b"privacy@example.org" in text


@pytest.mark.parametrize("extension", ["busy", "broken"])
def test_what_cannot_be_taken_now_stays_with_the_sender(inbound: Inbound, extension: str) -> None:
    with smtplib.SMTP("127.0.0.1", inbound.port, timeout=10) as smtp:
        with pytest.raises(smtplib.SMTPDataError) as later:
            smtp.sendmail("", [f"bounce+{extension}@vendor.example.org"], report())
        assert later.value.smtp_code == 451


@pytest.mark.parametrize("inbound", ["lmtp"], indirect=True)
def test_by_lmtp_each_recipient_has_an_answer_of_its_own(inbound: Inbound, taken: list[tuple[str, bytes]]) -> None:
    def sent(smtp: smtplib.LMTP, *to: str, lines: int = 1) -> list[str]:
        """What is answered after the data: as many lines as somebody who reads one for each recipient gets."""
        smtp.mail("<>")
        accepted = sum(smtp.rcpt(f"{local}@vendor.example.org")[0] == 250 for local in to)
        smtp.putcmd("DATA")
        assert smtp.getreply()[0] == 354
        smtp.send((b"y" * 70 + b"\r\n") * lines + b".\r\n")
        return [str(smtp.getreply()[0]) for _ in range(accepted)]

    with smtplib.LMTP("127.0.0.1", inbound.port, timeout=10) as smtp:
        smtp.ehlo()
        assert sent(smtp, "bounce+a", "nobody", "bounce+busy", "bounce+broken", "bounce+b") == [
            "250",
            "451",
            "451",
            "250",
        ]
        assert [extension for extension, _ in taken] == ["a", "b"]
        assert sent(smtp, "bounce+c", "bounce+d", lines=LARGEST // 70) == ["552", "552"]
        assert sent(smtp, "bounce+e") == ["250"]
        assert smtp.noop()[0] == 250  # nothing is left to read, and nothing missing
        assert [extension for extension, _ in taken] == ["a", "b", "e"]


def test_the_listener_has_limits(inbound: Inbound, taken: list[tuple[str, bytes]]) -> None:
    with smtplib.SMTP("127.0.0.1", inbound.port, timeout=10) as smtp:
        with pytest.raises(smtplib.SMTPResponseException) as large:
            smtp.sendmail("", ["bounce@x.org"], b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (LARGEST // 70))
        assert large.value.smtp_code == 552
    with smtplib.SMTP("127.0.0.1", inbound.port, timeout=10) as smtp:
        refused = smtp.sendmail("", [f"bounce+{n}@x.org" for n in range(25)], b"Subject: x\r\n\r\nx")
        assert len(refused) == 5
    held = [smtplib.SMTP("127.0.0.1", inbound.port, timeout=10) for _ in range(20)]
    with pytest.raises(smtplib.SMTPConnectError, match="421"):
        smtplib.SMTP("127.0.0.1", inbound.port, timeout=10)
    for each in held:
        each.quit()
