"""The head of the log as a C2SP checkpoint: a signed note with origin, size and root, under Ed25519.

Formats: c2sp.org/signed-note and c2sp.org/tlog-checkpoint. The key's name is the log's origin.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Protocol

_ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+]+\Z")
_SIZE = re.compile(r"(0|[1-9][0-9]*)\Z")
_SIGNATURE = re.compile("— ([^\\s+]+) ([A-Za-z0-9+/]+={0,2})\\Z")


class Signer(Protocol):
    """Signs checkpoints. ``name`` is the log's origin (no spaces, no plus); ``public`` the 32 bytes of the key."""

    @property
    def name(self) -> str:
        """The origin line of the log."""
        ...

    @property
    def public(self) -> bytes:
        """The raw Ed25519 public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes of Ed25519 signature."""
        ...


class BadCheckpoint(ValueError):
    """The text is no checkpoint of this log, or its signature is not by this key."""


def key_id(name: str, public: bytes) -> bytes:
    """The four bytes by which a note's signature line names its key."""
    return sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """The key as one line (``name+hex+base64``), as verifiers of signed notes take it."""
    return f"{name}+{key_id(name, public).hex()}+{b64encode(_ED25519 + public).decode()}"


def parse_verifier_key(line: str) -> tuple[str, bytes]:
    """Name and public key from ``verifier_key``'s line; ``BadCheckpoint`` if the parts do not agree."""
    name, plus, rest = line.strip().partition("+")
    identity, second, encoded = rest.partition("+")
    try:
        raw = b64decode(encoded, validate=True)
    except ValueError:
        raise BadCheckpoint("the verifier key is not base64") from None
    if not (plus and second and _NAME.match(name) and len(raw) == 33 and raw[:1] == _ED25519):
        raise BadCheckpoint("the verifier key is not an Ed25519 key of a signed note")
    if key_id(name, raw[1:]).hex() != identity:
        raise BadCheckpoint("the verifier key's id does not belong to its name and key")
    return name, raw[1:]


def format_checkpoint(origin: str, size: int, root: bytes, signer: Signer) -> str:
    """The signed note for a tree of ``size`` with ``root``."""
    text = f"{origin}\n{size}\n{b64encode(root).decode()}\n"
    signature = key_id(signer.name, signer.public) + signer.sign(text.encode())
    return f"{text}\n— {signer.name} {b64encode(signature).decode()}\n"


def parse_checkpoint(text: str, public: bytes) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint whose signature by ``public`` holds; else ``BadCheckpoint``.

    Lines by other keys (witnesses) are ignored, as the format asks; a line that claims this key must verify.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    body, gap, signatures = text.rpartition("\n\n")
    lines = (body + "\n").split("\n")
    if not gap or not signatures.endswith("\n") or len(lines) < 4:
        raise BadCheckpoint("the checkpoint is not a signed note")
    origin, size, encoded = lines[:3]
    try:
        root = b64decode(encoded, validate=True)
    except ValueError:
        raise BadCheckpoint("the checkpoint's root is not base64") from None
    # Base64 has more than one spelling of the same bytes; only the canonical one is the signed one.
    if not _NAME.match(origin) or not _SIZE.match(size) or len(root) != 32 or b64encode(root).decode() != encoded:
        raise BadCheckpoint("the checkpoint's first lines are not origin, size and root")
    proven = False
    for line in signatures[:-1].split("\n"):
        match = _SIGNATURE.match(line)
        if not match:
            raise BadCheckpoint("a signature line is not one")
        name, blob = match[1], b64decode(match[2] + "=" * (-len(match[2]) % 4))
        if b64encode(blob).decode() != match[2]:
            raise BadCheckpoint("a signature line is not canonical base64")
        if name != origin or blob[:4] != key_id(name, public):
            continue
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(blob[4:], (body + "\n").encode())
        except InvalidSignature:
            raise BadCheckpoint("the checkpoint's signature does not hold") from None
        proven = True
    if not proven:
        raise BadCheckpoint("the checkpoint is not signed by the log's key")
    return origin, int(size), root


class Ed25519Signer:
    """A ``Signer`` over a private key in memory."""

    def __init__(self, name: str, private: bytes) -> None:
        """``private`` is the 32-byte seed of the key; ``ValueError`` if the name cannot stand in a note."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not _NAME.match(name):
            raise ValueError("the log's name may hold neither spaces nor a plus")
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.name = name
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return self._key.sign(message)


class Named:
    """A signer under the name that its log has had from the beginning."""

    def __init__(self, signer: Signer, name: str) -> None:
        self.signer = signer
        self.name = name
        self.public = signer.public

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return self.signer.sign(message)
