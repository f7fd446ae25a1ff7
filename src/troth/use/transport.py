"""Handing a message to the relay: SMTP under TLS, and an honest word about what became of it.

A message counts as delivered to the relay only when the relay said so. What was refused before its content was
sent may be tried again; what was sent without an answer is ``unknown`` and is never sent again by itself.
Clauses: ``protect.transit`` (mechanism ``transit.tls``): nothing leaves this machine without a verified
certificate, and there is no setting to turn that off. Sources: RFC 5321, RFC 3207, RFC 6531.
"""

from __future__ import annotations

import contextlib
import ipaddress
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from troth.config import Mail
from troth.errors import StartRefused

Dial = Callable[[str, int, float], socket.socket]
MESSAGES = 100  # on one connection: many relays close it after as many
IDLE = 20.0  # seconds of silence after which a connection is not trusted any more
SECONDS = 20.0  # for each answer of the relay; RFC 5321 4.5.3.2 allows minutes, but a worker thread waits here


@dataclass(frozen=True)
class Envelope:
    """What the relay is told: from, to, and the finished message with CRLF line endings."""

    sender: str
    recipient: str
    data: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of one message at the relay. ``reason`` is ours or a status code, never the relay's own words:
    relays repeat the address in them.
    """

    kind: Literal["sent", "refused", "deferred", "unknown"]
    reason: str


class Line(Protocol):
    """One conversation with the relay, for one thread; many messages may go over it, one after the other."""

    def ready(self) -> Outcome | None:
        """Connect, unless it is; what is wrong if the relay cannot be reached. Nothing of a message is said."""
        ...

    def send(self, envelope: Envelope) -> Outcome:
        """Hand over one message; never raises for what the network or the relay does."""
        ...

    def close(self) -> None:
        """Say goodbye, if there is anybody."""
        ...


class Transport(Protocol):
    """Whatever takes finished messages to their recipients."""

    def line(self) -> Line:
        """A line of one's own; nothing is connected before ``ready`` or ``send``."""
        ...


class NotProtected(Exception):
    """The connection is not one that a message may go through; nothing of it was sent."""


def is_loopback(host: str) -> bool:
    """True for ``localhost`` and literal loopback addresses. No look-up: a name may answer differently each time."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def dial(host: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection, by the system's resolver."""
    return socket.create_connection((host, port), timeout=timeout)


class _Smtp(smtplib.SMTP):
    """The standard client over a socket that the caller's ``dial`` made."""

    _host: str

    def __init__(self, dialled: Dial, relay: str, timeout: float, hostname: str) -> None:
        self._dial = dialled
        super().__init__(timeout=timeout, local_hostname=hostname)
        self._host = relay  # the name that starttls() verifies the certificate for; connect() does not set it

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # the hook smtplib itself overrides
        return self._dial(host, port, timeout)


class SmtpTransport:
    """One relay. ``line`` is a connection that is used again and again; ``send`` makes one for a single message.

    Outside loopback the relay must offer STARTTLS and show a certificate for its configured name, verified against
    the system's authorities or ``ca_file``; with ``ca_file`` that holds on loopback too. A demonstration reaches
    loopback only: any other relay is refused when this is made (``StartRefused``).
    """

    def __init__(
        self,
        mail: Mail,
        *,
        folder: Path = Path(),
        demonstration: bool = False,
        hostname: str = "localhost",
        seconds: float = SECONDS,
        dialled: Dial = dial,
    ) -> None:
        if demonstration and not is_loopback(mail.host):
            raise StartRefused("a demonstration sends mail to a loopback relay only; set mail.host to 127.0.0.1")
        self._mail = mail
        self._demonstration = demonstration
        self._seconds = seconds
        self._hostname = hostname
        self._dial = dialled
        self._loopback = is_loopback(mail.host)
        self._password = _password(folder / mail.password_file) if mail.password_file else ""
        self._tls = None if self._loopback and not mail.ca_file else _context(mail.ca_file, folder)
        if mail.username and self._tls is None:
            raise StartRefused("a password goes to the relay under TLS only; set mail.ca_file for a loopback relay")

    def send(self, envelope: Envelope) -> Outcome:
        """Hand one message over on a connection of its own."""
        line = self.line()
        try:
            return line.send(envelope)
        finally:
            line.close()

    def line(self) -> SmtpLine:
        """A line to the relay."""
        return SmtpLine(self)

    def connect(self) -> _Smtp:
        """A conversation that a message may go through. Raises what went wrong."""
        smtp = _Smtp(self._dial, self._mail.host, self._seconds, self._hostname)
        try:
            self._begin(smtp)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _begin(self, smtp: _Smtp) -> None:
        """Connect, and make the connection one that a message may go through."""
        code, _ = smtp.connect(self._mail.host, self._mail.port)
        if code != 220:
            raise smtplib.SMTPResponseException(code, "")
        if self._loopback and smtp.sock is not None:
            peer = str(smtp.sock.getpeername()[0])
            if not is_loopback(peer):
                raise NotProtected("the loopback name leads elsewhere")
        smtp.ehlo_or_helo_if_needed()
        if self._tls is not None:
            if not smtp.has_extn("starttls"):
                raise NotProtected("the relay offers no STARTTLS, and nothing is sent without it")
            smtp.starttls(context=self._tls)
            smtp.ehlo_or_helo_if_needed()
        if self._mail.username:
            smtp.login(self._mail.username, self._password)


class SmtpLine:
    """A connection that is opened when it is needed and used for up to ``MESSAGES`` messages.

    What broke before a message's content was sent is told as ``deferred``, and tried once more at once where the
    connection had been used before: relays hang up on those who were silent. Once the content is out, only the relay's
    answer counts. With PIPELINING (RFC 2920) the three commands before the content are one packet.
    """

    def __init__(self, transport: SmtpTransport) -> None:
        self._transport = transport
        self._smtp: _Smtp | None = None
        self._used = 0
        self._since = 0.0

    def ready(self) -> Outcome | None:
        """See ``Line``."""
        if self._smtp is not None and (self._used >= MESSAGES or time.monotonic() - self._since > IDLE):
            self.close()
        if self._smtp is not None:
            return None
        try:
            self._smtp, self._used, self._since = self._transport.connect(), 0, time.monotonic()
        except NotProtected as fault:
            return Outcome("deferred", str(fault))
        except ssl.SSLCertVerificationError:
            return Outcome("deferred", "the relay's certificate could not be verified")
        except (OSError, smtplib.SMTPException, ValueError) as fault:
            # A relay that refuses us as such (sign-in, greeting) says nothing about a message: it can wait.
            return Outcome("deferred", f"no conversation with the relay ({type(fault).__name__})")
        return None

    def send(self, envelope: Envelope) -> Outcome:
        """See ``Line``."""
        if any(bad in part for part in (envelope.sender, envelope.recipient) for bad in "\r\n<> "):
            return Outcome("refused", "an address with a line break, a space or a bracket")
        for again in (True, False):
            away = self.ready()
            if away is not None:
                return away
            assert self._smtp is not None
            used, smtp = self._used > 0, self._smtp
            try:
                turned_down = self._address(smtp, envelope)
            except (OSError, smtplib.SMTPException, ValueError) as fault:
                self._drop()
                if used and again:
                    continue
                return Outcome("deferred", f"no conversation with the relay ({type(fault).__name__})")
            break
        self._used += 1
        self._since = time.monotonic()
        if turned_down is not None:
            return turned_down
        try:
            return self._content(smtp, envelope.data)
        except (OSError, smtplib.SMTPException):
            self._drop()
            return Outcome("unknown", "the connection ended before the relay answered")

    def close(self) -> None:
        """See ``Line``."""
        if self._smtp is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException):  # a rude goodbye changes nothing
                self._smtp.quit()
        self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    def _address(self, smtp: _Smtp, envelope: Envelope) -> Outcome | None:
        """Say from whom and to whom; None when the relay asks for the content."""
        options = ""
        if not (envelope.recipient + envelope.sender).isascii():
            if not smtp.has_extn("smtputf8"):
                return Outcome("refused", "the relay takes no such address (SMTPUTF8)")
            options = " SMTPUTF8 BODY=8BITMIME"
        said = [f"MAIL FROM:<{envelope.sender}>{options}", f"RCPT TO:<{envelope.recipient}>", "DATA"]
        if smtp.has_extn("pipelining"):
            smtp.send(("\r\n".join(said) + "\r\n").encode())
            codes = [smtp.getreply()[0] for _ in said]
        else:
            codes = []
            for command in said:
                smtp.send((command + "\r\n").encode())
                codes.append(smtp.getreply()[0])
                if not 200 <= codes[-1] < 400:
                    break
        return self._asked(smtp, codes)

    def _asked(self, smtp: _Smtp, codes: list[int]) -> Outcome | None:
        bad = next((code for code in codes[:2] if code not in (250, 251, 252)), None)
        if bad is None and codes[2] == 354:
            return None
        if len(codes) == 3 and codes[2] == 354:  # asked for content that has no recipient: it gets none (RFC 2920 3.1)
            smtp.send(b".\r\n")
            smtp.getreply()
        code = codes[2] if bad is None else bad
        if code in (421, -1):
            raise smtplib.SMTPServerDisconnected("the relay closes the conversation")
        try:
            smtp.rset()  # what was accepted of this message is forgotten before the next
        except (OSError, smtplib.SMTPException):
            self._drop()
        return _turned_down(code)

    def _content(self, smtp: _Smtp, data: bytes) -> Outcome:
        """Send the content and read the one answer that counts."""
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        if stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        ending = b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n"
        smtp.send(stuffed + ending)
        code, _ = smtp.getreply()
        if code == 250:
            return Outcome("sent", "250")
        if code < 400:
            # getreply gives -1 where the relay said something unintelligible: then nobody knows.
            self._drop()
            return Outcome("unknown", "the relay's answer was unintelligible")
        if code == 421:
            self._drop()
        return _turned_down(code)


def _turned_down(code: int) -> Outcome:
    """5xx is final; anything else may be tried again later (RFC 5321 4.2.1)."""
    return Outcome("refused" if 500 <= code < 600 else "deferred", f"the relay said {code}")


def _context(ca_file: str, folder: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(folder / ca_file) if ca_file else None)
    except OSError as fault:
        raise StartRefused(f"mail.ca_file cannot be read: {type(fault).__name__}") from fault
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _password(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise StartRefused(f"mail.password_file cannot be read: {type(fault).__name__}") from fault
