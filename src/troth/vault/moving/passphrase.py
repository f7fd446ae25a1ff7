"""A key from a passphrase: what lies over an export's keys in place of the root key.

Argon2id with the second set of parameters that RFC 9106 recommends (section 4): 3 passes over 64 MiB, 4 lanes, a salt
of 16 random bytes for each export. The parameters are part of the format: nobody who forges a manifest chooses them.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from troth.errors import Invalid
from troth.vault.provider import FileProvider
from troth.vault.wrapping import KEY, wrap
from troth.world import Randomness

DERIVATION = "argon2id, 3 passes, 64 MiB, 4 lanes, 32 bytes, of the passphrase in NFKC as UTF-8"
SALT = 16
LEAST = 15  # characters: whoever holds the folder can try as long as they like


class PassphraseProvider(FileProvider):
    """Wraps and unwraps as a root does, under a key that only the passphrase makes."""

    name = "passphrase"

    def adopt_epoch(self, number: int, key: bytes) -> bytes:
        """Under the passphrase alone: what lies in a folder for somebody else cannot be destroyed here."""
        return wrap(self._wrapping, key, self._randomness, "epoch", number)


def provider(passphrase: str, salt: bytes, randomness: Randomness) -> PassphraseProvider:
    """The provider of one export: 0.2 s and 64 MiB."""
    from argon2.low_level import Type, hash_secret_raw  # heavy, and needed by a move alone

    plain = unicodedata.normalize("NFKC", passphrase).encode()
    return PassphraseProvider(hash_secret_raw(plain, salt, 3, 1 << 16, 4, KEY, Type.ID), randomness, Path())


def require_good(passphrase: str) -> None:
    """``Invalid`` for a passphrase that is too short to guard a whole system."""
    if len(unicodedata.normalize("NFKC", passphrase)) < LEAST:
        raise Invalid(f"the passphrase has fewer than {LEAST} characters: with it and the folder everything opens")
