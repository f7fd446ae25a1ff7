"""Seals: the only module that opens what a person entrusted. AES-256-GCM, a random 96-bit nonce a seal.

The associated data frames tenant, subject, class, record, table and schema, so that a ciphertext moved into any other
place does not open there (invariant 7). One record is one seal: the cost is by message, not by byte. What is sealed
is MessagePack. Errors never carry a value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from troth.errors import Damaged, Invalid, NotFound
from troth.vault.keys import Keyring
from troth.vault.wrapping import NONCE, TAG, framed
from troth.world import DAY_MS, Clock, Randomness

ID = 16
_ID_LENGTH = ID.to_bytes(4, "big")
_encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], dict[str, Any]] = msgspec.msgpack.Decoder(dict[str, Any]).decode


@lru_cache(maxsize=4096)
def _frame(tenant: str, class_: str, table: str, schema: int) -> bytes:
    return framed("troth.record", tenant, class_, table, schema)


def associated(tenant: str, sid: bytes, class_: str, rid: bytes, table: str, schema: int) -> bytes:
    """The place of a record as bytes: each part behind its length. ``sid`` and ``rid`` have 16 bytes."""
    if len(sid) != ID or len(rid) != ID:
        raise ValueError("ids have 16 bytes")
    return _frame(tenant, class_, table, schema) + _ID_LENGTH + sid + _ID_LENGTH + rid


def pack(value: dict[str, Any]) -> bytes:
    """The value as it will be sealed. ``Invalid`` if it holds what cannot be stored (never saying what)."""
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError):  # UnicodeEncodeError is a ValueError, and carries the text
        raise Invalid("a value cannot be stored: it is no plain text, number, list or table") from None


def seal(
    cipher: AESGCM,
    randomness: Randomness,
    packed: bytes,
    tenant: str,
    sid: bytes,
    class_: str,
    rid: bytes,
    table: str,
    schema: int,
) -> bytes:
    """``packed`` sealed for one place: nonce, ciphertext, tag."""
    nonce = randomness.bytes(NONCE)
    return nonce + cipher.encrypt(nonce, packed, associated(tenant, sid, class_, rid, table, schema))


def unseal(
    cipher: AESGCM, sealed: bytes, tenant: str, sid: bytes, class_: str, rid: bytes, table: str, schema: int
) -> dict[str, Any]:
    """The value of a seal. ``Damaged`` if it was altered, moved from another place, or sealed under another key."""
    try:
        packed = cipher.decrypt(sealed[:NONCE], sealed[NONCE:], associated(tenant, sid, class_, rid, table, schema))
    except (InvalidTag, ValueError):
        raise Damaged(f"a seal in {table} does not open here: it was altered or moved") from None
    return _decode(packed)


class TransitSeals:
    """Seals for what waits or travels under a key that dies with its day: job payloads, blocks of reads.

    A sealed payload begins with its day (4 bytes, big-endian). ``bound_to`` names the place of one that must not be
    moved; it has to be given again.
    """

    def __init__(self, ring: Keyring, clock: Clock, randomness: Randomness) -> None:
        self._ring = ring
        self._clock = clock
        self._randomness = randomness

    def today(self) -> int:
        """Days since 1970-01-01 UTC."""
        return self._clock.now() // DAY_MS

    def seal(self, content: bytes, kind: str = "transit", bound_to: bytes = b"") -> bytes:
        """``content`` under today's key of this kind."""
        day = self.today()
        return day.to_bytes(4, "big") + self.seal_under(self._ring.day_key(kind, day), content, kind, day, bound_to)

    def seal_under(self, key: bytes, content: bytes, kind: str, day: int, bound_to: bytes = b"") -> bytes:
        """``content`` under a day key at hand, without the day in front."""
        nonce = self._randomness.bytes(NONCE)
        return nonce + AESGCM(key).encrypt(nonce, content, framed("troth.transit", kind, day, bound_to))

    def open(self, sealed: bytes, kind: str = "transit", bound_to: bytes = b"") -> bytes:
        """The content. ``NotFound`` once the day's key is destroyed; ``Damaged`` if it was altered or moved."""
        if len(sealed) < 4 + NONCE + TAG:
            raise Damaged("a sealed payload is cut off")
        return self.open_under(int.from_bytes(sealed[:4], "big"), sealed[4:], kind, bound_to)

    def open_under(self, day: int, sealed: bytes, kind: str, bound_to: bytes = b"") -> bytes:
        """As ``open``, where the day stands elsewhere."""
        key = self._ring.old_day_key(kind, day)
        if key is None:
            raise NotFound("the key of that day was destroyed: nothing sealed under it can be read any more")
        try:
            return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], framed("troth.transit", kind, day, bound_to))
        except (InvalidTag, ValueError):
            raise Damaged("a sealed payload does not open: it was altered or moved") from None
