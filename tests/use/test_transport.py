"""Mail leaves under a verified certificate or not at all, and what became of it is told as it was."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.smtp import HANG_UP, Authority, Post, relay
from troth.config import Mail
from troth.errors import StartRefused
from troth.use.transport import Envelope, SmtpTransport, is_loopback

RELAY = "relay.example.org"
LETTER = Envelope("post@example.org", "ann@example.org", b"Subject: x\r\n\r\nhello\r\n.a line with a dot\r\n")


def outside(post: Post, folder: Path, ca_file: str = "") -> SmtpTransport:
    """A transport to ``relay.example.org``; the network leads to the test's own relay."""
    return SmtpTransport(
        Mail(host=RELAY, port=25, ca_file=ca_file),
        folder=folder,
        seconds=5,
        dialled=lambda host, port, timeout: socket.create_connection((post.host, post.port), timeout),
    )


def test_on_loopback_a_letter_arrives_byte_for_byte() -> None:
    with relay() as post:
        outcome = SmtpTransport(post.mail).send(LETTER)
        assert (outcome.kind, outcome.reason) == ("sent", "250")
        assert post.arrived[0].data == LETTER.data
        assert post.arrived[0].recipients == ("ann@example.org",)


@pytest.mark.parametrize("data", [b".", b"..\r\n", b"a\r\n.\r\nb", b"no line end", b"a\r\n..\r\n.\r\n"])
def test_dots_at_line_starts_neither_end_the_letter_nor_get_lost(data: bytes) -> None:
    with relay() as post:
        assert SmtpTransport(post.mail).send(Envelope("a@example.org", "b@example.org", data)).kind == "sent"
        assert post.arrived[0].data.removesuffix(b"\r\n") == data.removesuffix(b"\r\n")


def test_outside_loopback_nothing_is_sent_without_starttls(tmp_path: Path) -> None:
    with relay() as post:
        outcome = outside(post, tmp_path).send(LETTER)
        assert (outcome.kind, "STARTTLS" in outcome.reason) == ("deferred", True)
        assert post.commands == []


def test_under_a_verified_certificate_it_is_sent(tmp_path: Path) -> None:
    authority = Authority()
    with relay(authority.context(tmp_path, RELAY)) as post:
        assert outside(post, tmp_path, str(authority.file(tmp_path))).send(LETTER).kind == "sent"
        assert post.arrived[0].tls


@pytest.mark.parametrize("fault", ["another name", "another authority", "expired", "no authority configured"])
def test_a_wrong_certificate_is_refused_before_any_address_is_said(fault: str, tmp_path: Path) -> None:
    authority = Authority()
    name = "elsewhere.example.org" if fault == "another name" else RELAY
    context = authority.context(tmp_path, name, expired=fault == "expired")
    trusted = Authority() if fault == "another authority" else authority
    file = "" if fault == "no authority configured" else str(trusted.file(tmp_path))
    with relay(context) as post:
        outcome = outside(post, tmp_path, file).send(LETTER)
        assert (outcome.kind, "certificate" in outcome.reason) == ("deferred", True)
        assert (post.commands, post.arrived) == ([], [])


def test_a_loopback_name_that_leads_elsewhere_gets_nothing() -> None:
    class Elsewhere(socket.socket):
        def getpeername(self) -> tuple[str, int]:
            return ("192.0.2.1", 25)

    def astray(host: str, port: int, timeout: float) -> socket.socket:
        made = Elsewhere(socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(timeout)
        made.connect((post.host, post.port))
        return made

    with relay() as post:
        outcome = SmtpTransport(post.mail, dialled=astray).send(LETTER)
        assert (outcome.kind, outcome.reason) == ("deferred", "the loopback name leads elsewhere")
        assert post.arrived == []


def test_a_demonstration_cannot_reach_an_outside_relay() -> None:
    with pytest.raises(StartRefused, match="loopback"):
        SmtpTransport(Mail(host=RELAY), demonstration=True)
    SmtpTransport(Mail(host="127.0.0.1"), demonstration=True)


def test_a_password_is_never_sent_in_plain(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a password")
    with pytest.raises(StartRefused, match="under TLS only"):
        SmtpTransport(Mail(username="u", password_file="secret"), folder=tmp_path)


def test_a_missing_password_file_or_authority_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="password_file"):
        SmtpTransport(Mail(host=RELAY, username="u", password_file="none"), folder=tmp_path)
    with pytest.raises(StartRefused, match="ca_file"):
        SmtpTransport(Mail(host=RELAY, ca_file="none.pem"), folder=tmp_path)


@pytest.mark.parametrize("stage", ["at_mail", "at_recipient", "at_content"])
@pytest.mark.parametrize(("answer", "kind"), [("550 no", "refused"), ("451 later", "deferred")])
def test_a_final_no_is_final_and_a_later_is_later(stage: str, answer: str, kind: str) -> None:
    with relay() as post:
        setattr(post, stage, answer)
        outcome = SmtpTransport(post.mail).send(LETTER)
        assert (outcome.kind, outcome.reason) == (kind, f"the relay said {answer[:3]}")
        assert post.arrived == []


def test_after_a_refused_recipient_no_content_is_sent() -> None:
    with relay() as post:
        post.at_recipient = "550 ann@example.org is unknown"
        outcome = SmtpTransport(post.mail).send(LETTER)
        assert "DATA" not in post.commands
        assert "ann" not in outcome.reason


def test_a_relay_that_hangs_up_over_the_content_leaves_it_unknown() -> None:
    with relay() as post:
        post.at_content = HANG_UP
        assert SmtpTransport(post.mail, seconds=5).send(LETTER).kind == "unknown"
        assert len(post.arrived) == 1, "the relay had taken it: sending again would send it twice"


def test_no_relay_at_all_means_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert SmtpTransport(Mail(port=port), seconds=2).send(LETTER).kind == "deferred"


def test_a_relay_that_says_nothing_or_nonsense_means_later() -> None:
    for greeting in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"554 go away\r\n"):
        with socket.create_server(("127.0.0.1", 0)) as server:

            def greet(server: socket.socket = server, greeting: bytes = greeting) -> None:
                peer, _ = server.accept()
                peer.sendall(greeting)
                peer.close()

            thread = threading.Thread(target=greet)
            thread.start()
            transport = SmtpTransport(Mail(port=server.getsockname()[1]), seconds=5)
            assert transport.send(LETTER).kind == "deferred"
            thread.join()


@pytest.mark.parametrize(
    "address", ["a@example.org\r\nRCPT TO:<b@example.org>", "a@example.org\nX", "a b@example.org", "<>"]
)
def test_an_address_cannot_smuggle_a_command(address: str) -> None:
    with relay() as post:
        for envelope in (Envelope("post@example.org", address, b"x\r\n"), Envelope(address, "a@example.org", b"x\r\n")):
            assert SmtpTransport(post.mail).send(envelope).kind == "refused"
        assert (post.commands, post.arrived) == ([], [])


def test_an_address_in_another_script_goes_where_the_relay_takes_it() -> None:
    with relay() as post:
        assert SmtpTransport(post.mail).send(Envelope("post@example.org", "أن@example.org", b"x\r\n")).kind == "sent"
        assert post.arrived[0].recipients == ("أن@example.org",)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *((host, True) for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3")),
        *((host, False) for host in ("10.0.0.1", "0.0.0.0", "", "localhost.example.org", "127.0.0.1.example.org")),
    ],
)
def test_loopback_is_what_says_so_itself(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_many_letters_go_over_one_connection_and_a_refused_one_harms_no_other() -> None:
    with relay() as post:
        line = SmtpTransport(post.mail).line()
        assert line.ready() is None
        assert line.send(LETTER).kind == "sent"
        post.at_recipient = "550 nobody here"
        assert line.send(LETTER).kind == "refused"
        post.at_recipient = ""
        assert line.send(LETTER).kind == "sent"
        line.close()
    assert len(post.arrived) == 2


def test_a_relay_that_hung_up_meanwhile_is_called_again_before_anything_is_said() -> None:
    with relay() as first:
        line = SmtpTransport(first.mail, seconds=5).line()
        assert line.send(LETTER).kind == "sent"
        first.at_content = HANG_UP
        assert line.send(LETTER).kind == "unknown"
        first.at_content = ""
        assert line.send(LETTER).kind == "sent"
        line.close()


class Pipelining(threading.Thread):
    """A relay that takes commands by the packet and answers what it is told to, in order."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__(daemon=True)
        self.answers = list(answers)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.heard = b""

    def run(self) -> None:
        peer, _ = self.server.accept()
        with peer, self.server:
            peer.sendall(b"220 hello\r\n")
            peer.recv(1000)
            peer.sendall(b"250-relay\r\n250 PIPELINING\r\n")
            for answer in self.answers:
                packet = peer.recv(100_000)
                self.heard += packet
                if not packet:
                    return
                peer.sendall(answer)
            self.heard += peer.recv(100_000)


@pytest.mark.parametrize(
    ("answers", "kind", "heard"),
    [
        ((b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 taken\r\n"), "sent", b"hello"),
        ((b"250 ok\r\n550 no\r\n503 no\r\n", b"250 reset\r\n"), "refused", b"rset"),
        ((b"250 ok\r\n450 no\r\n354 go\r\n", b"554 nobody\r\n", b"250 reset\r\n"), "deferred", b"\r\n.\r\n"),
        ((b"250 ok\r\n250 ok\r\n354 go\r\n", b"421 closing\r\n"), "deferred", b"hello"),
        ((b"250 ok\r\n250 ok\r\n354 go\r\n",), "unknown", b"hello"),
    ],
)
def test_three_commands_are_one_packet_and_each_answer_counts(
    answers: tuple[bytes, ...], kind: str, heard: bytes
) -> None:
    """RFC 2920. A relay that asks for content although it took no recipient gets none."""
    peer = Pipelining(*answers)
    peer.start()
    line = SmtpTransport(Mail(port=peer.port), seconds=2).line()
    assert line.send(LETTER).kind == kind
    line.close()
    peer.join(5)
    assert peer.heard.startswith(b"MAIL FROM:<post@example.org>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n")
    assert heard in peer.heard
    if kind == "refused":
        assert b"hello" not in peer.heard
