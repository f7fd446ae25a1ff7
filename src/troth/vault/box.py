"""A box for small secrets of the system's own (an operator's code generator, the state of a ceremony).

AES-256-GCM under a secret of K; what a sealed value is about is bound to it, so that it opens nowhere else.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from troth.errors import Damaged
from troth.world import Randomness

NONCE = 12  # bytes (NIST SP 800-38D 8.2.2: random; far fewer than 2^32 messages under one key)
TAG = 16


class Box:
    """Seals and opens under one 32-byte key: ``Box(vault.secret("operators"), randomness)``."""

    def __init__(self, key: bytes, randomness: Randomness) -> None:
        self._cipher = AESGCM(key)
        self._randomness = randomness

    def seal(self, content: bytes, about: bytes) -> bytes:
        """``content`` sealed: nonce, ciphertext, tag. It opens only with the same ``about``."""
        nonce = self._randomness.bytes(NONCE)
        return nonce + self._cipher.encrypt(nonce, content, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """What was sealed; ``Damaged`` where it, or what it is about, is not what it was."""
        if len(sealed) < NONCE + TAG:
            raise Damaged("a sealed secret is cut off")
        try:
            return self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], about)
        except InvalidTag:
            raise Damaged("a sealed secret does not open: it was altered or moved") from None
