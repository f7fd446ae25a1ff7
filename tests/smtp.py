"""A real SMTP server for tests: it records what arrived, and can be told to refuse, put off, hang up or lie.

``with relay() as post:`` gives a plain one on loopback; ``relay(authority=Authority())`` one with STARTTLS and a
certificate of a private authority. Tests point ``troth.config.Mail`` at ``post.mail``.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email
import email.policy
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from troth.config import Mail

HANG_UP = "hang up"


@dataclass(frozen=True)
class Arrived:
    """One message as the relay got it; ``tls`` says whether the connection was under TLS."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    tls: bool

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        parsed = email.message_from_bytes(self.data, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def body(self, kind: str = "plain") -> str:
        """The decoded text of its ``plain`` or ``html`` part."""
        part = self.message.get_body((kind,))
        assert part is not None, f"no {kind} part"
        return str(part.get_content())


@dataclass
class Post:
    """What a test sees of the relay. The ``at_*`` answers are sent instead of the usual ones while they are set.

    ``at_content`` may be ``HANG_UP``: the message is recorded and the connection closed without an answer.
    """

    arrived: list[Arrived] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    at_mail: str = ""
    at_recipient: str = ""
    at_content: str = ""
    on_content: Callable[[], None] | None = None
    host: str = "127.0.0.1"
    port: int = 0
    came: threading.Condition = field(default_factory=threading.Condition)

    @property
    def mail(self) -> Mail:
        """The configuration that leads here."""
        return Mail(host=self.host, port=self.port, sender="post@example.org")

    def wait(self, count: int = 1, seconds: float = 10.0) -> list[Arrived]:
        """What has arrived, once it is at least ``count`` messages."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.arrived) >= count, seconds), f"{len(self.arrived)} of {count}"
            return list(self.arrived)

    def to(self, address: str) -> list[Arrived]:
        """What has arrived for this address."""
        return [each for each in self.arrived if address in each.recipients]

    # The hooks that aiosmtpd calls.

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.commands.append(f"MAIL {address}")
        if self.at_mail:
            return self.at_mail
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.commands.append(f"RCPT {address}")
        if self.at_recipient:
            return self.at_recipient
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.commands.append("DATA")
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        if self.on_content is not None:
            self.on_content()
        if self.at_content and self.at_content != HANG_UP:
            return self.at_content
        with self.came:
            self.arrived.append(
                Arrived(envelope.mail_from or "", tuple(envelope.rcpt_tos), content, session.ssl is not None)
            )
            self.came.notify_all()
        if self.at_content == HANG_UP:
            assert server.transport is not None
            server.transport.close()
        return "250 taken"


class Authority:
    """A certificate authority of one test, and the certificates it gives out."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of this test")])
        self.certificate = self._sign(self.name, self.key, x509.BasicConstraints(ca=True, path_length=0), [])

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints,
        names: list[x509.GeneralName],
        ends: dt.timedelta = dt.timedelta(days=2),
    ) -> x509.Certificate:
        now = dt.datetime.now(tz=dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=10))
            .not_valid_after(now + ends)
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=constraints.ca,
                    crl_sign=constraints.ca,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
        return builder.sign(self.key, hashes.SHA256())

    def file(self, folder: Path) -> Path:
        """The authority's own certificate as a PEM file (what ``mail.ca_file`` names)."""
        file = folder / "authority.pem"
        file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return file

    def context(self, folder: Path, *names: str, expired: bool = False) -> ssl.SSLContext:
        """A server's TLS context with a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]),
            key,
            x509.BasicConstraints(ca=False, path_length=None),
            [x509.DNSName(name) for name in names],
            dt.timedelta(days=-1 if expired else 2),
        )
        pem, secret = folder / "server.pem", folder / "server.key"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, secret)
        return context


@contextlib.contextmanager
def relay(tls: ssl.SSLContext | None = None, post: Post | None = None) -> Iterator[Post]:
    """A relay on a free port of loopback; it offers STARTTLS where it has a TLS context."""
    post = post or Post()
    loop = asyncio.new_event_loop()

    def conversation() -> SMTP:
        return SMTP(post, tls_context=tls, enable_SMTPUTF8=True, ident="a test's relay", loop=loop)

    server = loop.run_until_complete(loop.create_server(conversation, post.host, 0))
    post.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="relay", daemon=True)
    thread.start()
    try:
        yield post
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # lets the closed transports say goodbye to the loop
