"""Passwords, of staff and of people: Argon2id, one at a time, long rather than complicated.

Clause ``protect.password`` (mechanism ``password.hashed``); NIST SP 800-63B-4 3.1.1 and OWASP ASVS 6.2: at least
15 characters, no rules of composition, no expiry, nothing that is guessed first. Nobody can set or read another's.
"""

from __future__ import annotations

import contextlib
import threading
import unicodedata
from typing import TYPE_CHECKING

from troth.errors import Invalid
from troth.use.breached import Breached

if TYPE_CHECKING:
    from argon2 import PasswordHasher

PASSWORD_HASHED = "password.hashed"  # noqa: S105  # the mechanism's name
LEAST = 15  # characters (SP 800-63B-4: a password that may be the only factor)
MOST = 256
MEMORY_KIB = 19 * 1024  # OWASP's first choice for Argon2id, with two passes: 55 ms here
PASSES = 2
LANES = 1
M_MMAP_THRESHOLD = -3  # mallopt's parameter, in glibc's malloc.h
LARGE = 1 << 20  # bytes: a block from this size on is the system's again as soon as it is free

# What guessers of long passwords try first; the length keeps everything shorter out.
COMMON = frozenset(
    {
        "123456789012345",
        "1234567890123456",
        "1qaz2wsx3edc4rfv",
        "adminadminadmin",
        "correcthorsebatterystaple",
        "iloveyouiloveyou",
        "letmeinletmeinletmein",
        "passwordpassword",
        "password12345678",
        "qwertyuiopasdfgh",
        "qwertyuiopasdfghjkl",
        "thisisapassword",
        "thisismypassword",
        "trustno1trustno1",
        "welcomewelcome1",
    }
)


def prepared(password: str) -> bytes:
    """The password as it is hashed: NFKC (SP 800-63B-4 3.1.1.2), UTF-8."""
    return unicodedata.normalize("NFKC", password).encode()


def fault_of(password: str, name: str) -> str:
    """Why this may not be the password of whoever is called ``name``: a key of the catalogue, or ""."""
    folded = "".join(unicodedata.normalize("NFKC", password).casefold().split())
    if len(unicodedata.normalize("NFKC", password)) < LEAST:
        return "too-short"
    if len(password) > MOST:
        return "too-long"
    without_name = folded.replace(name.casefold(), "") if name else folded
    if folded in COMMON or len(set(folded)) < 5 or len(without_name) < LEAST // 2 or repeats(folded):
        return "guessed-first"
    return ""


def repeats(text: str) -> bool:
    """True for a short piece said over and over: whatever its length, it is guessed as the piece."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, min(8, len(text) // 2) + 1))


def give_back() -> None:
    """Have the C library return large blocks to the system once they are free.

    glibc takes a large block that is freed as a sign that more will be asked for, and keeps the next one: 19 MiB, once
    in every thread's arena that hashed. Mapping it anew costs time: 28 ms became 55 here. Elsewhere nothing is done.
    """
    import ctypes  # needed here alone

    with contextlib.suppress(AttributeError, OSError, TypeError):  # no mallopt: another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


class Passwords:
    """Hashes and checks, one at a time: 19 MiB each would add up. Call it from a thread, never from the loop."""

    def __init__(self, breached: Breached | None = None) -> None:
        """``breached`` are the lists of passwords that became known; our own where none is given."""
        self.breached = breached or Breached()
        self.turn = threading.Lock()
        self._hasher: PasswordHasher | None = None
        self._nobody = ""

    def hash(self, password: str, name: str) -> str:
        """The Argon2id value to store; ``Invalid`` with the reason's key where the password may not be used."""
        fault = fault_of(password, name)
        if not fault and self.known(password):
            fault = "breached"
        if fault:
            raise Invalid("this password may not be used", clause="protect.password", gaps=(f"password: {fault}",))
        with self.turn:
            return self.hasher().hash(prepared(password))

    def known(self, password: str) -> bool:
        """Whether this password stands in a list of those that became known."""
        return self.breached.holds(prepared(password[:MOST]).decode())

    def fits(self, stored: str | None, password: str) -> bool:
        """True where ``password`` is the one behind ``stored``. Takes as long for nobody (None) as for somebody."""
        from argon2.exceptions import InvalidHashError, VerificationError

        with self.turn:
            if not self._nobody:
                self._nobody = self.hasher().hash(b"nobody has this password")
            try:
                self.hasher().verify(stored or self._nobody, prepared(password[:MOST]))
            except (VerificationError, InvalidHashError):
                return False
        return bool(stored) and len(password) <= MOST

    def hasher(self) -> PasswordHasher:
        """The hasher, made when first needed."""
        if self._hasher is None:
            from argon2 import PasswordHasher, Type

            give_back()
            self._hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES, type=Type.ID)
        return self._hasher
