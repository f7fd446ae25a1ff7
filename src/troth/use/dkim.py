"""Signing mail: DKIM with RSA and Ed25519, relaxed/relaxed, one signature for each key there is.

Every header that a reader sees or acts on is signed, and named once more than it stands there, so that no second one
can be added on the way (oversigning). Keys are files of their own in the configuration, ``<selector>.pem``, readable
by this system alone. Clause: ``protect.transit`` says nothing of it; it makes a sender truthful (``message.declared``).
Sources: RFC 6376, RFC 8301 (RSA of 1024 bits and SHA-1 are no longer used), RFC 8463.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from troth.errors import StartRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SIGNED = (
    *(b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to", b"mime-version", b"content-type"),
    *(b"content-transfer-encoding", b"auto-submitted", b"in-reply-to", b"references"),
    *(b"list-id", b"list-unsubscribe", b"list-unsubscribe-post"),
)
"""What is signed where it stands; each is named once more, so that none can be added."""
SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
FOLD = re.compile(rb"\r\n([ \t])")
RUNS = re.compile(rb"[ \t]+")
RSA_BITS = 2048  # a record of 3072 does not fit the answers of many name servers


class _Key(Protocol):
    def sign(self, data: bytes) -> bytes: ...


class _Rsa:
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 6376 3.3.1)."""

    def __init__(self, key: RSAPrivateKey) -> None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        self._key, self._padding, self._hash = key, padding.PKCS1v15(), hashes.SHA256()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, self._padding, self._hash)


class _Ed25519:
    """Pure Ed25519 over the SHA-256 of the data (RFC 8463 3)."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(sha256(data).digest())


@dataclass(frozen=True)
class DkimKey:
    """A key, under the selector that its public half is published at. ``public`` is the record's ``p=``."""

    selector: str
    algorithm: str  # rsa-sha256 | ed25519-sha256
    public: bytes
    key: _Key

    def record(self, domain: str) -> str:
        """The line to publish in the DNS, as zone files have it: strings of at most 255 characters."""
        kind = self.algorithm.partition("-")[0]
        value = f"v=DKIM1; k={kind}; p={base64.b64encode(self.public).decode()}"
        parts = " ".join(f'"{value[at : at + 255]}"' for at in range(0, len(value), 255))
        return f"{self.selector}._domainkey.{domain}. IN TXT {parts}"


class Dkim:
    """Signs messages of one domain with every key; ``sign`` is what ``Composer`` takes."""

    def __init__(self, domain: str, keys: tuple[DkimKey, ...]) -> None:
        self.domain = domain
        self.keys = keys

    def sign(self, headers: bytes, body: bytes, now_ms: int) -> bytes:
        """The signature headers to put before ``headers``. Both have CRLF line ends; there is no empty line yet."""
        if not self.keys:
            return b""
        hashed = base64.b64encode(sha256(relaxed_body(body)).digest())
        names, covered = _covered(headers)
        out = []
        for key in self.keys:
            head = b"v=1; a=%s; c=relaxed/relaxed;\r\n d=%s; s=%s; t=%d;\r\n h=%s;\r\n bh=%s;\r\n b=" % (
                key.algorithm.encode(),
                self.domain.encode(),
                key.selector.encode(),
                now_ms // 1000,
                names,
                hashed,
            )
            signature = base64.b64encode(key.key.sign(covered + b"dkim-signature:" + _relaxed(head)))
            folded = b"\r\n ".join(signature[at : at + 72] for at in range(0, len(signature), 72))
            out.append(b"DKIM-Signature: " + head + folded + b"\r\n")
        return b"".join(out)


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4. Quoted-printable text without runs of spaces is this already: three looks say so."""
    if b"  " in body or b"\t" in body or b" \r\n" in body:
        body = RUNS.sub(b" ", body).replace(b" \r\n", b"\r\n")
    body = body.rstrip(b"\r\n") if body.endswith(b"\r\n\r\n") or body == b"\r\n" else body
    return body + b"\r\n" if body and not body.endswith(b"\r\n") else body


def _relaxed(value: bytes) -> bytes:
    """A header's value by RFC 6376 3.4.2: unfolded, runs of white space as one, none at either end."""
    value = value.replace(b"\r\n", b"")
    if b"  " in value or b"\t" in value:
        value = RUNS.sub(b" ", value)
    return value.strip(b" ")


def _covered(headers: bytes) -> tuple[bytes, bytes]:
    """The names for ``h=``, folded, and the canonical headers that they stand for, in that order."""
    text = FOLD.sub(rb"\1", headers)
    if b"  " in text or b"\t" in text:
        text = RUNS.sub(b" ", text)
    standing: dict[bytes, list[bytes]] = {}
    for line in text.split(b"\r\n"):
        name, _, value = line.partition(b":")
        standing.setdefault(name.rstrip().lower(), []).append(value.strip(b" "))
    counts = tuple(len(standing.get(name, ())) for name in SIGNED)
    covered = [b"%s:%s\r\n" % (name, value) for name in SIGNED for value in reversed(standing.get(name, ()))]
    return _names(counts), b"".join(covered)


@lru_cache(maxsize=64)
def _names(counts: tuple[int, ...]) -> bytes:
    """Each signed name as often as it stands there, and once more."""
    names = [name for name, count in zip(SIGNED, counts, strict=True) for _ in range(count + 1)]
    lines = [b":".join(names[at : at + 3]) for at in range(0, len(names), 3)]
    return b":\r\n ".join(lines)


# --- keys ---


def make_keys(folder: Path, name: str) -> tuple[DkimKey, DkimKey]:
    """Make an RSA and an Ed25519 key in ``folder``: selectors ``<name>r`` and ``<name>e``. Overwrites nothing."""
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    made = (
        (f"{name}r", rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)),
        (f"{name}e", ed25519.Ed25519PrivateKey.generate()),
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for selector, key in made:
            file = os.open(folder / f"{selector}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as out:
                out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    except FileExistsError:
        raise StartRefused(f"there is a key of this name in {folder}: it is never overwritten; take another") from None
    except OSError as fault:
        raise StartRefused(f"the keys for signing mail cannot be written to {folder}: {fault.strerror}") from None
    return read_key(folder / f"{name}r.pem"), read_key(folder / f"{name}e.pem")


def read_keys(folder: Path) -> tuple[DkimKey, ...]:
    """Every key in the folder, by selector; none where there is no folder. ``StartRefused`` for one of no use."""
    return tuple(read_key(file) for file in sorted(folder.glob("*.pem")))


def read_key(file: Path) -> DkimKey:
    """The key in a PEM file; its name is the selector. ``StartRefused`` says what is wrong with it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    if not SELECTOR.fullmatch(file.stem):
        raise StartRefused(f"{file.name} cannot be a selector: small letters, digits, hyphens and dots")
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise StartRefused(f"others can reach the key file {file}: run `chmod 600 {file}`, and make a new key")
        key = load_pem_private_key(file.read_bytes(), None)
    except OSError as fault:
        raise StartRefused(f"the key file {file} cannot be read: {fault.strerror}") from fault
    except (ValueError, TypeError) as fault:
        raise StartRefused(f"{file} is not a private key in PEM form without a password") from fault
    if isinstance(key, Ed25519PrivateKey):
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return DkimKey(file.stem, "ed25519-sha256", public, _Ed25519(key))
    if isinstance(key, RSAPrivateKey) and key.key_size >= RSA_BITS:
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return DkimKey(file.stem, "rsa-sha256", public, _Rsa(key))
    raise StartRefused(f"{file} is no key that mail is signed with: Ed25519, or RSA of at least {RSA_BITS} bits")
