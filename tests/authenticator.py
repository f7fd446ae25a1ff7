"""An authenticator in software (WebAuthn level 3): makes passkeys and answers, rightly or as attackers would.

What it signs is what a device would sign; each part can be told to be another.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def text_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bytes_of(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Held:
    """One passkey in the device: its key, its id, and the handle of whose it is."""

    rp_id: str
    handle: bytes
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    count: int = 0


@dataclass
class Authenticator:
    """A device that shows itself to pages of ``origin``."""

    origin: str = "http://localhost"
    flags: int = PRESENT | VERIFIED
    held: list[Held] = field(default_factory=list)

    def create(self, options: str) -> str:
        """The answer to ``navigator.credentials.create``; the passkey stays here."""
        asked = json.loads(options)
        made = Held(asked["rp"]["id"], bytes_of(asked["user"]["id"]))
        self.held.append(made)
        numbers = made.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(made.id).to_bytes(2, "big") + made.id + cbor2.dumps(cose)
        data = self.data(made, self.flags | ATTESTED) + attested
        response = {
            "clientDataJSON": text_of(self.client("webauthn.create", asked["challenge"])),
            "attestationObject": text_of(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
        }
        return self.answer(made, response)

    def get(self, options: str, held: Held | None = None, **changes: Any) -> str:
        """The answer to ``navigator.credentials.get``, by the newest passkey or by ``held``.

        ``changes`` replace the count, the handle, the id or the challenge.
        """
        asked = json.loads(options)
        mine = held or self.held[-1]
        mine.count = changes.get("count", mine.count + 1)
        data = self.data(mine, self.flags)
        client = self.client("webauthn.get", changes.get("challenge", asked["challenge"]))
        signature = mine.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": text_of(client),
            "authenticatorData": text_of(data),
            "signature": text_of(signature),
            "userHandle": text_of(changes.get("handle", mine.handle)),
        }
        return self.answer(mine, response, changes.get("id"))

    def data(self, mine: Held, flags: int) -> bytes:
        return hashlib.sha256(mine.rp_id.encode()).digest() + bytes([flags]) + mine.count.to_bytes(4, "big")

    def client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()

    def answer(self, mine: Held, response: dict[str, str], id_: bytes | None = None) -> str:
        name = text_of(mine.id if id_ is None else id_)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})
