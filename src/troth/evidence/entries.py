"""What an entry of the ledger looks like, and what the entries of a log must tell together.

The schema is that of ``troth.store.ledger``. The story holds over all entries: ids occur once, times do not run
backwards, outcomes name their intent, and every entry cites the version of the policy that was in force.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

TOLERANCE_MS = 60_000
"""How far times may run back: with several writers the order of commits is not the order of clock readings."""

_ENDED = frozenset({"message.sent", "message.refused", "message.bounced", "message.cancelled", "message.unknown"})

OUTCOMES: dict[str, frozenset[str]] = {
    "erase.ordered": frozenset({"erase.done"}),
    "epoch.destroy.ordered": frozenset({"epoch.destroyed"}),
    "message.queued": _ENDED | {"message.sending", "message.deferred"},
    "message.sending": _ENDED | {"message.deferred"},
    "message.deferred": _ENDED | {"message.sending"},
    "disclosure.intended": frozenset({"disclosure.made", "disclosure.failed", "disclosure.unknown"}),
    "moved.away": frozenset({"moved.in", "moved.back"}),
}
"""An intent stays open until an entry of one of these kinds refers to it."""

MUST_ANSWER = {
    "erase.done": "erase.ordered",
    "epoch.destroyed": "epoch.destroy.ordered",
    "moved.in": "moved.away",
    "moved.back": "moved.away",
}
"""Outcomes that may not stand alone: each refers to its intent, and an intent has one of them at most."""

_TEXT = re.compile(r"[^\x00-\x1f]{0,300}")
_HEX16 = re.compile(r"[0-9a-f]{32}")
_HEX32 = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*")
_ACTOR = re.compile(r"system|subject|visitor|(operator|product|delegate):[0-9a-f]+")
_PATTERNS = {
    "eid": _HEX16,
    "kind": _KIND,
    "clause": _TEXT,
    "mechanism": _TEXT,
    "actor": _ACTOR,
    "policy": _TEXT,
    "purpose": _TEXT,
    "subject": _HEX32,
    "refers": _HEX16,
}
_ENCODE = msgspec.json.Encoder(order="sorted").encode


class BadEntry(ValueError):
    """The bytes are no entry; the text says why, and never what stands in them."""


class EntryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An entry's members, as they stand in its body."""

    v: int
    eid: str
    at: int
    kind: str
    clause: str
    mechanism: str
    actor: str
    policy: str
    purpose: str | msgspec.UnsetType = msgspec.UNSET
    subject: str | msgspec.UnsetType = msgspec.UNSET
    refers: str | msgspec.UnsetType = msgspec.UNSET
    facts: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET

    def members(self) -> dict[str, Any]:
        """The members that are there, by name."""
        pairs = ((name, getattr(self, name)) for name in sorted(self.__struct_fields__))
        return {name: value for name, value in pairs if value is not msgspec.UNSET}


_DECODE = msgspec.json.Decoder(EntryBody).decode


def read_entry(body: bytes) -> EntryBody:
    """Read an entry's body. ``BadEntry`` if it is not canonical, or a member is missing, unknown or of another type."""
    try:
        entry = _DECODE(body)
        canonical = _ENCODE(entry)
    except (ValueError, RecursionError, OverflowError) as fault:
        raise BadEntry(f"it does not have the members of an entry ({_reason(fault)})") from None
    for name, value in entry.members().items():
        pattern = _PATTERNS.get(name)
        if pattern and not pattern.fullmatch(value):
            raise BadEntry(f"its member {name!r} does not have the form it must have")
    facts = entry.facts if entry.facts is not msgspec.UNSET else {}
    if entry.v != 1 or not 0 <= entry.at < 1 << 53 or not all(_plain(value) for value in facts.values()):
        raise BadEntry("its version, time or facts do not have the form they must have")
    if canonical != body:
        raise BadEntry("it is not in canonical form (sorted members, no spaces, each once)")
    return entry


def _reason(fault: Exception) -> str:
    """Which member is at fault, without its value: msgspec quotes types and paths, never contents."""
    return "not UTF-8" if isinstance(fault, UnicodeDecodeError) else str(fault)


def _plain(value: Any, depth: int = 2) -> bool:
    if isinstance(value, list):
        return depth > 0 and all(_plain(item, depth - 1) for item in value)
    return isinstance(value, str | int)


def shown_as(value: Any) -> str:
    """How a receipt's page shows a member: texts as they are, everything else as canonical JSON."""
    return value if isinstance(value, str) else _ENCODE(value).decode()


class OpenIntent(msgspec.Struct, frozen=True):
    """An intent whose outcome is not recorded (yet): which entry, of what kind, since when."""

    entry: int
    kind: str
    at_ms: int


class _Version(msgspec.Struct, frozen=True):
    digest: str
    effective: int
    published: int


StoryStep = Literal["order", "pairs", "policy"]
Tell = Callable[[StoryStep, str], None]
"""Takes the step that a fault belongs to, and what is wrong with the entry being told."""


class Story:
    """Takes the entries in order and says what does not fit together."""

    def __init__(self, tolerance_ms: int = TOLERANCE_MS) -> None:
        self.tolerance_ms = tolerance_ms
        self.first_ms: int | None = None
        self.latest_ms = 0
        self.closed = 0
        self.kinds: dict[str, int] = {}
        self.clauses: dict[str, int] = {}
        self.versions: dict[str, _Version] = {}
        self._seen: dict[str, tuple[int, str]] = {}
        self._open: dict[str, OpenIntent] = {}
        self._answered: set[str] = set()
        self._early: dict[str, int] = {}

    def take(self, number: int, entry: EntryBody) -> list[tuple[StoryStep, str]]:
        """The next entry; returns what is wrong with it as (step, message)."""
        found: list[tuple[StoryStep, str]] = []

        def fault(step: StoryStep, message: str) -> None:
            found.append((step, message))

        self.kinds[entry.kind] = self.kinds.get(entry.kind, 0) + 1
        self.clauses[entry.clause] = self.clauses.get(entry.clause, 0) + 1
        if entry.eid in self._seen:
            fault("order", f"its id was used before, by entry {self._seen[entry.eid][0]}")
        if entry.at < self.latest_ms - self.tolerance_ms:
            fault("order", f"its time is {self.latest_ms - entry.at} ms before that of an earlier entry")
        self.first_ms = entry.at if self.first_ms is None else self.first_ms
        self.latest_ms = max(self.latest_ms, entry.at)
        self._pair(entry, fault)
        self._seen[entry.eid] = (number, entry.kind)
        if entry.kind in OUTCOMES or entry.kind.endswith((".ordered", ".intent")):
            self._open[entry.eid] = OpenIntent(number, entry.kind, entry.at)
        self._cite(number, entry, fault)
        return found

    def _pair(self, entry: EntryBody, fault: Tell) -> None:
        refers = entry.refers if entry.refers is not msgspec.UNSET else ""
        intent = self._seen.get(refers)
        if refers and intent is None:
            fault("order", "it refers to an entry that does not stand before it")
        wanted = MUST_ANSWER.get(entry.kind)
        if wanted:
            if intent is None or intent[1] != wanted:
                fault("pairs", f"{entry.kind} must refer to its {wanted}, and does not")
                return
            if refers in self._answered:
                fault("pairs", f"{entry.kind} for entry {intent[0]} was recorded twice")
            self._answered.add(refers)
        asked = self._open.get(refers)
        if asked is None:
            return
        ends = OUTCOMES.get(asked.kind)
        if entry.kind in ends if ends else entry.kind.partition(".")[0] == asked.kind.partition(".")[0]:
            del self._open[refers]
            self.closed += 1

    def _cite(self, number: int, entry: EntryBody, fault: Tell) -> None:
        facts = entry.facts if entry.facts is not msgspec.UNSET else {}
        if entry.kind == "policy.published":
            self._publish(facts, entry.at, fault)
        elif not self.versions:
            self._early.setdefault(entry.policy, number)
        elif entry.policy and entry.policy not in self.versions:
            fault("policy", f"it cites version {entry.policy}, which had not been published")
        elif entry.policy:
            binding = {self.in_force(entry.at + by) for by in (-self.tolerance_ms, 0, self.tolerance_ms)}
            if entry.policy not in binding:
                told = " or ".join(sorted(version or "none" for version in binding))
                fault("policy", f"it cites version {entry.policy}, but {told} was in force")
        if entry.kind == "policy.effective" and facts.get("version", entry.policy) not in self.versions:
            fault("policy", "a version came into force that was not published")

    def _publish(self, facts: dict[str, Any], at: int, fault: Tell) -> None:
        version, digest, effective = (facts.get(name) for name in ("version", "sha256", "effective"))
        if not isinstance(version, str) or not isinstance(digest, str) or type(effective) is not int:
            fault("policy", "a publication states its version, sha256 and effective time")
            return
        last = next(reversed(self.versions.values())).digest if self.versions else ""
        if facts.get("previous", "") != last:
            fault("policy", f"version {version} does not follow the hash of the version before it")
        if version in self.versions:
            fault("policy", f"version {version} was published before: nothing is edited silently")
            return
        if self.versions and effective < at - self.tolerance_ms:
            fault("policy", f"version {version} binds from a time before its publication")
        self.versions[version] = _Version(digest, effective, at)

    def in_force(self, at_ms: int) -> str | None:
        """The version that binds at this time; the first one may bind from before its publication."""
        first = next(iter(self.versions), None)
        fitting = (
            (version.effective, name)
            for name, version in self.versions.items()
            if version.effective <= at_ms and (name == first or version.published <= at_ms)
        )
        return max(fitting, default=(0, None))[1]

    def unpublished(self) -> Iterator[tuple[int, str]]:
        """(entry, version) of versions cited before the first publication that were never published at all."""
        for version, number in self._early.items():
            if self.versions and version and version not in self.versions:
                yield number, version

    def open_intents(self) -> tuple[OpenIntent, ...]:
        """The intents whose outcome is unknown."""
        return tuple(self._open.values())
