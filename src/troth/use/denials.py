"""Refusals are evidence too, but a flood of them must not fill the disk: they are counted, and written by the minute.

The first refusal of a person's data for a purpose is an entry at once; those that follow within the minute are one
entry with their count. Beyond ``PERSONS`` persons a minute for one clause, further persons are counted together.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from troth.store.ledger import EntryDraft

WINDOW_MS = 60_000
PERSONS = 60
KINDS = 256  # different (purpose, clause, actor) a window; what comes beyond is counted as one kind


@dataclass(frozen=True)
class Refusal:
    """What was refused. ``sid`` is None where no person is known, or nothing may be said of them any more."""

    tenant: str
    sid: bytes | None
    purpose: str
    clause: str
    gaps: tuple[str, ...]
    actor: str


@dataclass(frozen=True)
class Due:
    """An entry to be written: the draft, and the person to whom it is to be committed."""

    draft: EntryDraft
    tenant: str
    sid: bytes | None


class Denials:
    """Counts refusals. Safe from any thread; it writes nothing itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = 0
        self._counts: dict[Refusal, int] = {}
        self._persons: dict[tuple[str, str, str], int] = {}

    def note(self, refusal: Refusal, now: int) -> tuple[Due | None, list[Due]]:
        """Count a refusal: (the entry it needs before it is answered, or None; entries of the window that ended)."""
        with self._lock:
            ended = self._end(now) if not self._begun <= now < self._begun + WINDOW_MS else []
            kind = (refusal.purpose, refusal.clause, refusal.actor)
            if kind not in self._persons and len(self._persons) >= KINDS:
                refusal = Refusal("", None, "*", refusal.clause, (), "*")
                kind = ("*", "", "*")
            if refusal not in self._counts and refusal.sid is not None:
                persons = self._persons.get(kind, 0)
                if persons >= PERSONS:
                    refusal = Refusal(refusal.tenant, None, refusal.purpose, refusal.clause, (), refusal.actor)
                else:
                    self._persons[kind] = persons + 1
            self._persons.setdefault(kind, 0)
            counted = self._counts.get(refusal)
            if counted is None:
                self._counts[refusal] = 0  # the one at hand has its entry now; later ones are counted
                return due(refusal, 1), ended
            self._counts[refusal] = counted + 1
            return None, ended

    def flush(self) -> list[Due]:
        """The entries for all that is counted and not written yet."""
        with self._lock:
            return self._end(self._begun)

    def _end(self, now: int) -> list[Due]:
        left = [due(refusal, count) for refusal, count in self._counts.items() if count]
        self._counts.clear()
        self._persons.clear()
        self._begun = now
        return left


def due(refusal: Refusal, count: int) -> Due:
    """The entry for ``count`` refusals alike."""
    facts: dict[str, str | int | list[str]] = {"count": count, "gaps": list(refusal.gaps)}
    draft = EntryDraft(
        kind="read.denied",
        clause=refusal.clause,
        mechanism="gate.purpose",
        actor=refusal.actor if refusal.actor != "*" else "system",
        purpose=refusal.purpose,
        facts=facts,
    )
    return Due(draft, refusal.tenant, refusal.sid)
