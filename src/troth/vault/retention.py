"""How long a record is kept: computed from the clause, never stored, so that no policy change touches a record.

A retention class has phases in order. ``while`` lasts as long as a state of the person holds (and ends by itself after
the state's idleness); ``for`` is a period from the end of the phase before. What has passed the last phase is due to
be erased. Clause: ``retain.while-used``; mechanism: ``retain.due``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from sqlalchemy import Connection, bindparam, func, select

from troth.policy.model import Keep, StateRule
from troth.store.tables import consent_records, personal_records

Span = tuple[int, int | None]  # since, until (None: it still holds); milliseconds UTC

R = personal_records.c
LEFT = (
    select(R.class_, func.count())
    .where(R.tenant == bindparam("of_tenant"), R.sid == bindparam("of_sid"))
    .group_by(R.class_)
)
CONSENTS_LEFT = (
    select(func.count())
    .select_from(consent_records)
    .where(consent_records.c.tenant == bindparam("of_tenant"), consent_records.c.sid == bindparam("of_sid"))
)
CONSENT = "consent"  # the class whose key seals consent records


def due(
    keep: Keep, states: Mapping[str, StateRule], anchor_ms: int, rows: Mapping[str, Span], last_use_ms: int
) -> int | None:
    """When the record must be gone (milliseconds UTC), or None while that is open.

    ``anchor_ms`` is when keeping began, ``rows`` when each state of the person began and ended, ``last_use_ms`` their
    last use. It may move as the person uses the product; a class without phases is kept no longer than ``anchor_ms``.
    """
    end: int | None = anchor_ms
    for end in _ends(keep, states, anchor_ms, rows, last_use_ms):
        if end is None:
            return None
    return end


def phase_at(
    keep: Keep, states: Mapping[str, StateRule], anchor_ms: int, rows: Mapping[str, Span], last_use_ms: int, now: int
) -> int | Literal["due"]:
    """Which phase (counted from 0) the record is in at ``now``; ``"due"`` once it is past the last.

    A phase contains its beginning and not its end; one whose state never began lasts no time.
    """
    return phase_until(keep, states, anchor_ms, rows, last_use_ms, now)[0]


def phase_until(
    keep: Keep, states: Mapping[str, StateRule], anchor_ms: int, rows: Mapping[str, Span], last_use_ms: int, now: int
) -> tuple[int | Literal["due"], int | None]:
    """As ``phase_at``, and until when that will be so while nothing else changes (None: for good)."""
    for at, end in enumerate(_ends(keep, states, anchor_ms, rows, last_use_ms)):
        if end is None or now < end:
            return at, end
    return "due", None


def phase_ends(
    keep: Keep, states: Mapping[str, StateRule], anchor_ms: int, rows: Mapping[str, Span], last_use_ms: int
) -> list[int | None]:
    """The end of each phase (milliseconds UTC), as far as it is known: the last is None where it is open."""
    return list(_ends(keep, states, anchor_ms, rows, last_use_ms))


def _ends(
    keep: Keep, states: Mapping[str, StateRule], anchor_ms: int, rows: Mapping[str, Span], last_use_ms: int
) -> Iterator[int | None]:
    """The end of each phase in order; None (and nothing after it) for one whose end is open."""
    start = anchor_ms
    for phase in keep.phases:
        if phase.while_ is not None:
            end = _state_ends(
                states.get(phase.while_), rows.get(phase.while_), last_use_ms, rows.get(warned(phase.while_))
            )
            if end is None:
                yield None
                return
            start = max(start, end)
        if phase.for_ is not None:
            start = phase.for_.after(start)
        yield start


def _state_ends(rule: StateRule | None, span: Span | None, last_use_ms: int, told: Span | None) -> int | None:
    """When the state ends; a time long past if it never began, None if its end is open."""
    if span is None:
        return 0
    until = span[1]
    idle = None if rule is None else idle_end(rule, span, last_use_ms, told)
    if until is None or idle is None:
        return idle if until is None else until
    return min(until, idle)


def warned(state: str) -> str:
    """The name under which it stands, among a person's spans, when they were told that this state ends by disuse."""
    return f"{state}.warned"


def idle_end(rule: StateRule, span: Span, last_use_ms: int, told: Span | None) -> int | None:
    """When a state ends by disuse: not before the warning's time, where the person was told of this disuse."""
    if rule.idle is None:
        return None
    since = max(span[0], last_use_ms)
    end = rule.idle.after(since)
    if rule.warn is None or told is None or told[0] <= since:  # a warning counts for the disuse that it was about
        return end
    return max(end, told[0] + rule.warn.ms)


def to_warn(
    keep: Keep, states: Mapping[str, StateRule], rows: Mapping[str, Span], last_use_ms: int, now: int
) -> list[tuple[StateRule, int]]:
    """The states of this class that end by disuse before long, untold, and when each will end if it is told now."""
    found = []
    for phase in keep.phases:
        rule, span = states.get(phase.while_ or ""), rows.get(phase.while_ or "")
        if rule is None or rule.warn is None or rule.idle is None or span is None or span[1] is not None:
            continue
        since, told = max(span[0], last_use_ms), rows.get(warned(rule.name))
        end = rule.idle.after(since)
        if end - rule.warn.ms <= now and (told is None or told[0] <= since):
            found.append((rule, max(end, now + rule.warn.ms)))
    return found


def left(connection: Connection, tenant: str, sid: bytes) -> dict[str, int]:
    """How many records of each class a person still has: a class without any has no more use for its key."""
    of = {"of_tenant": tenant, "of_sid": sid}
    held = {row[0]: row[1] for row in connection.execute(LEFT, of)}
    if consents := connection.execute(CONSENTS_LEFT, of).scalar_one():
        held[CONSENT] = held.get(CONSENT, 0) + consents
    return held
