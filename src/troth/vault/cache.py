"""Raw data keys in memory: few, for a minute, and never the gate.

Who may be read is decided by the subject's row in D, in the reader's own snapshot; a stale key opens nothing that can
still be fetched. The limits keep the copies in RAM few. A key that opens again and again keeps its cipher: it costs a
microsecond to make and 2.5 kB to hold, 10 MiB at the most.
"""

from __future__ import annotations

import threading

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TTL_MS = 60_000
MAX_KEYS = 4096

At = tuple[str, bytes, str]  # tenant, sid, class


class _Held:
    """One key in memory."""

    __slots__ = ("cipher", "generation", "key", "until")

    def __init__(self, key: bytes, generation: int | None, until: int) -> None:
        self.key = key
        self.generation = generation
        self.until = until
        self.cipher: AESGCM | None = None


class KeyCache:
    """At most ``MAX_KEYS`` keys for ``TTL_MS`` each; one kept for another generation of the subject is not given."""

    def __init__(self) -> None:
        self._held: dict[At, _Held] = {}
        self._lock = threading.Lock()
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, at: At, generation: int | None, now: int) -> bytes | None:
        """The key, unless it is too old or belongs to another generation (None asks for any)."""
        held = self._fresh(at, generation, now)
        return None if held is None else held.key

    def cipher(self, at: At, generation: int | None, now: int) -> AESGCM | None:
        """As ``get``, the key made ready for use."""
        held = self._fresh(at, generation, now)
        if held is None:
            return None
        if held.cipher is None:
            held.cipher = AESGCM(held.key)
        return held.cipher

    def _fresh(self, at: At, generation: int | None, now: int) -> _Held | None:
        held = self._held.get(at)
        if held is None or now >= held.until or now < held.until - TTL_MS:  # a clock set back does not prolong a life
            return None
        return held if generation is None or generation == held.generation else None

    def mark(self) -> int:
        """To be taken before a key is read from K and given to ``put``: what was forgotten meanwhile stays so."""
        return self._forgotten

    def put(self, at: At, generation: int | None, key: bytes, now: int, mark: int) -> None:
        """Keep a key that was read after ``mark`` was taken; the oldest goes when there are too many."""
        with self._lock:
            if mark != self._forgotten:
                return
            self._held.pop(at, None)
            while len(self._held) >= MAX_KEYS:
                del self._held[next(iter(self._held))]
            self._held[at] = _Held(key, generation, now + TTL_MS)

    def forget(self, tenant: str, sid: bytes) -> None:
        """Drop this person's keys, and those that are just being read."""
        with self._lock:
            self._forgotten += 1
            for at in [at for at in self._held if at[1] == sid and at[0] == tenant]:
                del self._held[at]
