"""A small log of its own, to test verifiers with: a third writing, straight from the texts of the standards.

It shares nothing with ``troth.store`` (which writes logs) nor with ``troth.evidence`` (which checks them). The tree
is the recursive definition of RFC 6962, section 2.1, word for word; slow, and obviously right.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

START_MS = 1_700_000_000_000
POLICY = "2026-01-15"


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def entry_id(number: int) -> str:
    return sha(b"entry %d" % number)[:16].hex()


class Log:
    """Entries, a key, and everything that can be derived from them for any size."""

    def __init__(self, name: str = "log.example.org", seed: bytes = b"k" * 32) -> None:
        self.name = name
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.private.public_key().public_bytes_raw()
        self.bodies: list[bytes] = []
        self.known: dict[tuple[int, int], bytes] = {}

    # --- entries ---

    def append(self, body: bytes) -> int:
        self.bodies.append(body)
        return len(self.bodies) - 1

    def record(self, kind: str, *, secret: bytes | None = None, **members: Any) -> int:
        """Append an entry of this kind; ``secret`` commits it to a person."""
        number = len(self.bodies)
        value: dict[str, Any] = {
            "v": 1,
            "eid": entry_id(number),
            "at": START_MS + number * 1000,
            "kind": kind,
            "clause": "consent.at-submission",
            "mechanism": "consent.record",
            "actor": "system",
            "policy": POLICY,
        } | members
        value = {name: member for name, member in value.items() if member is not None}
        if secret is not None:
            value["subject"] = hmac.new(
                self.opening(number, secret, value["eid"]), sha(canonical(value)), "sha256"
            ).hexdigest()
        return self.append(canonical(value))

    def publish(self, version: str = POLICY, previous: str = "", effective: int = 0, **members: Any) -> int:
        facts = {"version": version, "sha256": sha(version.encode()).hex(), "previous": previous}
        return self.record("policy.published", facts=facts | {"effective": effective}, **members)

    def opening(self, number: int, secret: bytes, eid: str | None = None) -> bytes:
        """What opens this entry's commitment and no other's."""
        return hmac.new(secret, b"open" + bytes.fromhex(eid or entry_id(number)), "sha256").digest()

    # --- RFC 6962, section 2.1 ---

    def tree(self, start: int, end: int) -> bytes:
        """MTH(D[start:end])."""
        count = end - start
        if count == 0:
            return sha(b"")
        if (start, end) not in self.known:
            if count == 1:
                self.known[start, end] = sha(b"\x00" + self.bodies[start])
            else:
                middle = start + split(count)
                self.known[start, end] = sha(b"\x01" + self.tree(start, middle) + self.tree(middle, end))
        return self.known[start, end]

    def root(self, size: int | None = None) -> bytes:
        return self.tree(0, len(self.bodies) if size is None else size)

    def path(self, index: int, size: int, start: int = 0) -> list[bytes]:
        """PATH(m, D[n]) of section 2.1.1, over the leaves from ``start`` on."""
        if size <= 1:
            return []
        k = split(size)
        if index < k:
            return [*self.path(index, k, start), self.tree(start + k, start + size)]
        return [*self.path(index - k, size - k, start + k), self.tree(start, start + k)]

    def subproof(self, old: int, size: int, start: int = 0, whole: bool = True) -> list[bytes]:
        """SUBPROOF(m, D[n], b) of section 2.1.2."""
        if old == size:
            return [] if whole else [self.tree(start, start + size)]
        k = split(size)
        if old <= k:
            return [*self.subproof(old, k, start, whole), self.tree(start + k, start + size)]
        return [*self.subproof(old - k, size - k, start + k, False), self.tree(start, start + k)]

    # --- C2SP: notes, checkpoints, tiles ---

    @property
    def key_id(self) -> bytes:
        return sha(self.name.encode() + b"\n\x01" + self.public)[:4]

    @property
    def key(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([1]) + self.public).decode()}"

    def sign(self, text: str) -> bytes:
        signature = base64.b64encode(self.key_id + self.private.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self.name} {signature}\n".encode()

    def checkpoint(self, size: int | None = None) -> bytes:
        size = len(self.bodies) if size is None else size
        return self.sign(f"{self.name}\n{size}\n{base64.b64encode(self.root(size)).decode()}\n")

    def files(self, size: int | None = None) -> dict[str, bytes]:
        """The whole evidence folder of this size."""
        size = len(self.bodies) if size is None else size
        found = {"log.pub": self.key.encode() + b"\n", "checkpoint": self.checkpoint(size)}
        for at in range(0, size, 256):
            part = self.bodies[at : min(at + 256, size)]
            bundle = b"".join(len(body).to_bytes(2, "big") + body for body in part)
            found[f"tile/entries/{tile_path(at // 256, len(part))}"] = bundle
        level, span = 0, 1
        while size // span:
            count = size // span
            for at in range(0, count, 256):
                wide = min(256, count - at)
                hashes = [self.tree(n * span, (n + 1) * span) for n in range(at, at + wide)]
                found[f"tile/{level}/{tile_path(at // 256, wide)}"] = b"".join(hashes)
            level, span = level + 1, span * 256
        return found

    def receipt(self, number: int, size: int | None = None, secret: bytes | None = None) -> dict[str, Any]:
        """The evidence block of a receipt, as a value."""
        size = len(self.bodies) if size is None else size
        block: dict[str, Any] = {
            "format": "troth-receipt-1",
            "entry": self.bodies[number].decode(),
            "seq": number,
            "proof": [step.hex() for step in self.path(number, size)],
            "checkpoint": self.checkpoint(size).decode(),
            "key": self.key,
        }
        if secret is not None:
            block["opening"] = self.opening(number, secret, json.loads(self.bodies[number])["eid"]).hex()
        return block


def split(count: int) -> int:
    """The largest power of two smaller than ``count``."""
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def tile_path(number: int, width: int) -> str:
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join(["x" + part for part in parts[:-1]] + [parts[-1]])
    return path if width == 256 else f"{path}.p/{width}"


def block(value: dict[str, Any]) -> bytes:
    """A receipt's evidence block as a file of its own."""
    text = json.dumps(value, sort_keys=True, indent=1)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode() + b"\n"


SECRET = b"s" * 32


def story(count: int) -> Log:
    """A plausible log of at least ``count`` entries: a policy, people who come, agree, get mail, and go."""
    log = Log()
    log.record("started", policy="", clause="", mechanism="evidence.ledger")
    log.publish(policy="")
    while len(log.bodies) < count:
        log.record("intake.accepted", actor="visitor", facts={"point": "newsletter", "fields": ["email"], "rows": 1})
        log.record("consent.given", actor="subject", purpose="news", secret=SECRET)
        queued = log.record("message.queued", purpose="news", secret=SECRET)
        log.record("message.sent", refers=entry_id(queued), facts={"template": "welcome \u2014 <1> & more"})
        log.record("read.block", purpose="news", facts={"n": 3, "aux": "ab" * 32, "complete": True})
        ordered = log.record("erase.ordered", actor="subject", secret=SECRET)
        log.record("erase.done", refers=entry_id(ordered))
    return log


def write(files: dict[str, bytes], folder: Path) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
