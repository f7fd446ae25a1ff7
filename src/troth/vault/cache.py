"""Raw data keys in memory: few, for a minute, and never the gate.

Who may be read is decided by the subject's row in D, in the reader's own snapshot; a stale key opens nothing that can
still be fetched. The limits keep the copies in RAM few. Raw bytes, because 20,000 cipher objects cost 50 MiB.
"""

from __future__ import annotations

import threading

TTL_MS = 60_000
MAX_KEYS = 4096

At = tuple[str, bytes, str]  # tenant, sid, class


class KeyCache:
    """At most ``MAX_KEYS`` keys for ``TTL_MS`` each; one kept for another generation of the subject is not given."""

    def __init__(self) -> None:
        self._held: dict[At, tuple[bytes, int | None, int]] = {}
        self._lock = threading.Lock()
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, at: At, generation: int | None, now: int) -> bytes | None:
        """The key, unless it is too old or belongs to another generation (None asks for any)."""
        held = self._held.get(at)
        if held is None or now >= held[2] or now < held[2] - TTL_MS:  # a clock set back does not prolong a life
            return None
        if generation is not None and generation != held[1]:
            return None
        return held[0]

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
            self._held[at] = (key, generation, now + TTL_MS)

    def forget(self, tenant: str, sid: bytes) -> None:
        """Drop this person's keys, and those that are just being read."""
        with self._lock:
            self._forgotten += 1
            for at in [at for at in self._held if at[1] == sid and at[0] == tenant]:
                del self._held[at]

    def clear(self) -> None:
        """Drop every key."""
        with self._lock:
            self._forgotten += 1
            self._held.clear()
