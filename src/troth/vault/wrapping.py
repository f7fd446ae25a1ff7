"""Keys under keys: how every key but the root lies on disk. AES-256-GCM, random 96-bit nonce, framed context.

The context of each wrap names the place the key belongs to, so that a wrapped key copied into another row, another
bucket or another generation does not open there.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from troth.errors import Damaged
from troth.world import Randomness

KEY = 32  # bytes of every key here
NONCE = 12
TAG = 16
WRAPPED = NONCE + KEY + TAG


def framed(*parts: str | bytes | int) -> bytes:
    """The parts, each behind its length (4 bytes, big-endian): no two different lists give the same bytes.

    Text is UTF-8; an integer is its 8 bytes, signed, big-endian.
    """
    out = bytearray()
    for part in parts:
        if isinstance(part, int):
            part = part.to_bytes(8, "big", signed=True)
        elif isinstance(part, str):
            part = part.encode()
        out += len(part).to_bytes(4, "big")
        out += part
    return bytes(out)


def derive(key: bytes, *context: str | bytes | int) -> bytes:
    """A 32-byte key for one use, by HKDF-SHA256. It cannot be destroyed apart from ``key``."""
    return HKDF(SHA256(), KEY, None, framed(*context)).derive(key)


def wrap(wrapping: bytes, key: bytes, randomness: Randomness, *context: str | bytes | int) -> bytes:
    """``key`` sealed under ``wrapping``: nonce, ciphertext, tag."""
    nonce = randomness.bytes(NONCE)
    return nonce + AESGCM(wrapping).encrypt(nonce, key, framed(*context))


def unwrap(wrapping: bytes, wrapped: bytes, what: str, *context: str | bytes | int) -> bytes:
    """The key again. ``Damaged`` naming ``what`` if it was altered, moved, or wrapped under another key."""
    try:
        return AESGCM(wrapping).decrypt(wrapped[:NONCE], wrapped[NONCE:], framed(*context))
    except (InvalidTag, ValueError):
        raise Damaged(
            f"{what} in the key store does not open under the key above it: it was altered or moved"
        ) from None
