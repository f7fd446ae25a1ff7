"""What a person chose and what a record was collected under, each written once and referred to by number.

``states`` and ``terms`` only grow; what a number means never changes (invariant 20). Numbers are therefore looked up
in the caller's own transaction and never remembered here: one that was rolled back is given out again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from troth.errors import NotFound
from troth.policy.model import CompiledPolicy, State, Stop, Terms
from troth.store.once import insert_once
from troth.store.tables import states, subject_states, subjects, terms
from troth.store.text import Text
from troth.store.transaction import DataTx

ADD_STATE = insert_once(states)
STATE_ID = Text("SELECT id FROM states WHERE canonical = ?")
ADD_TERMS = insert_once(terms)
TERMS_ID = Text("SELECT id FROM terms WHERE controller = ? AND surface = ? AND point = ? AND version = ?")
OF_SUBJECT = (subjects.c.tenant == bindparam("of_tenant"), subjects.c.sid == bindparam("of_sid"))
STATE_OF = (
    select(states.c.canonical, subjects.c.mode, subjects.c.generation)
    .join(states, states.c.id == subjects.c.state_id)
    .where(*OF_SUBJECT)
)
CHANGE_STATE = (
    update(subjects).where(*OF_SUBJECT).values(state_id=bindparam("new_state"), generation=subjects.c.generation + 1)
)
TOUCH = (
    update(subjects).where(*OF_SUBJECT, subjects.c.last_use_ms < bindparam("at")).values(last_use_ms=bindparam("at"))
)
OF_STATE = (
    subject_states.c.tenant == bindparam("of_tenant"),
    subject_states.c.sid == bindparam("of_sid"),
    subject_states.c.state == bindparam("of_state"),
)
BEGIN = insert_once(subject_states)
BEGIN_AGAIN = (
    update(subject_states)
    .where(*OF_STATE, subject_states.c.until_ms.is_not(None))
    .values(since_ms=bindparam("at"), until_ms=None)
)
SPAN = select(subject_states.c.since_ms, subject_states.c.until_ms).where(*OF_STATE)
LAST_USE = select(subjects.c.last_use_ms).where(*OF_SUBJECT)
SET_USE = update(subjects).where(*OF_SUBJECT).values(last_use_ms=bindparam("at"))
SINCE = select(subject_states.c.since_ms).where(*OF_STATE, subject_states.c.until_ms.is_(None))
END = update(subject_states).where(*OF_STATE, subject_states.c.until_ms.is_(None)).values(until_ms=bindparam("at"))

CLOSED = "account.closed"  # the event, and the span of an account that its own holder closed
RETURNED = "account.returned"

_encode = msgspec.json.Encoder(order="sorted").encode


@lru_cache(maxsize=1024)
def canonical(state: State) -> str:
    """The one spelling of a state: JSON with sorted keys and sorted sets."""
    plain = msgspec.to_builtins(state)
    for name in ("grants", "stops"):
        plain[name] = sorted(plain[name], key=_encode)
    return _encode(plain).decode()


def canonical_stops(stops: frozenset[Stop]) -> str:
    """The one spelling of some stops, as a guard row holds them."""
    return _encode(sorted((msgspec.to_builtins(stop) for stop in stops), key=_encode)).decode()


@lru_cache(maxsize=1024)
def state_from(canonical: str) -> State:
    """The state of a canonical spelling."""
    return msgspec.json.decode(canonical, type=State)


def state_id(tx: DataTx, state: State) -> int:
    """The number of this state, given out if it is new."""
    spelling = (canonical(state),)
    row = STATE_ID.run(tx.connection, spelling).fetchone()
    if row is None:
        tx.execute(ADD_STATE, {"canonical": spelling[0]})
        row = STATE_ID.run(tx.connection, spelling).fetchone()
    return int(row[0])


def terms_id(tx: DataTx, of: Terms) -> int:
    """The number of these terms (controller, surface, point, version), given out if they are new."""
    place = (of.controller, of.surface, of.point, of.version)
    row = TERMS_ID.run(tx.connection, place).fetchone()
    if row is None:
        tx.execute(
            ADD_TERMS, {"controller": of.controller, "surface": of.surface, "point": of.point, "version": of.version}
        )
        row = TERMS_ID.run(tx.connection, place).fetchone()
    return int(row[0])


def state_of(connection: Connection, tenant: str, sid: bytes) -> tuple[State, str, int]:
    """(state, mode, generation) of a subject in the caller's snapshot; ``NotFound`` if there is none."""
    row = connection.execute(STATE_OF, {"of_tenant": tenant, "of_sid": sid}).one_or_none()
    if row is None:
        raise NotFound("there is no such person here")
    return state_from(row.canonical), row.mode, row.generation


def change_state(tx: DataTx, tenant: str, sid: bytes, change: Callable[[State], State]) -> State:
    """Give the subject the state that ``change`` makes of the present one; the generation grows in any case."""
    state = change(state_of(tx.connection, tenant, sid)[0])
    tx.execute(CHANGE_STATE, {"of_tenant": tenant, "of_sid": sid, "new_state": state_id(tx, state)})
    return state


def begin(tx: DataTx, tenant: str, sids: Sequence[bytes], event: str, policy: CompiledPolicy) -> None:
    """As ``happen``, for many who came in in this very transaction: nothing of theirs has begun or ended before."""
    rows = [
        {"tenant": tenant, "sid": sid, "state": rule.name, "since_ms": tx.now, "until_ms": None}
        for rule in policy.states.values()
        if event in rule.begins
        for sid in sids
    ]
    if rows:
        tx.execute(BEGIN, rows)


def happen(tx: DataTx, tenant: str, sid: bytes, event: str, policy: CompiledPolicy) -> None:
    """Let an event of this person begin and end the states that the policy ties to it; it counts as a use.

    An event that ends and begins a state at once leaves it begun. A state that holds goes on since it began. What the
    person closed, only the person opens again: until then nobody's word of its use counts.
    """
    of = {"of_tenant": tenant, "of_sid": sid, "at": tx.now}
    if any(CLOSED in rule.ends and event in rule.begins for rule in policy.states.values()):
        if event == RETURNED or event.endswith(".confirmed"):
            tx.execute(END, of | {"of_state": CLOSED})
        elif closed_since(tx.connection, tenant, sid) is not None:
            return
    tx.execute(TOUCH, of)
    for rule in policy.states.values():
        if event in rule.ends:
            tx.execute(END, of | {"of_state": rule.name})
        if event in rule.begins and not tx.execute(BEGIN_AGAIN, of | {"of_state": rule.name}).rowcount:
            row = {"tenant": tenant, "sid": sid, "state": rule.name, "since_ms": tx.now, "until_ms": None}
            tx.execute(BEGIN, row)


def used(
    tx: DataTx, tenant: str, sid: bytes, event: str, policy: CompiledPolicy, *, at_ms: int, runs_until_ms: int
) -> bool:
    """Let a use count that somebody tells of: when it was, and until when what was told of goes on (0: it does not).

    False, and nothing counts, where the account was closed by its holder, or ended by the vendor after that use. What
    was told to go on longer than it does now is forgotten; no use before now is.
    """
    of = {"of_tenant": tenant, "of_sid": sid}
    if closed_since(tx.connection, tenant, sid) is not None:
        return False
    for rule in policy.states.values():
        if event not in rule.begins:
            continue
        at = of | {"of_state": rule.name, "at": at_ms}
        span = tx.execute(SPAN, at).one_or_none()
        if span is None:
            row = {"tenant": tenant, "sid": sid, "state": rule.name, "since_ms": at_ms, "until_ms": None}
            tx.execute(BEGIN, row)
        elif span.until_ms is not None and span.until_ms >= at_ms:
            return False
        else:
            tx.execute(BEGIN_AGAIN, at)
    last = tx.execute(LAST_USE, of).scalar_one()
    tx.execute(SET_USE, of | {"at": max(min(last, tx.now), at_ms, runs_until_ms)})
    return True


def close(tx: DataTx, tenant: str, sid: bytes, policy: CompiledPolicy) -> None:
    """The person closes their account: what rests on its use ends, and is not begun again by others."""
    happen(tx, tenant, sid, CLOSED, policy)
    of = {"of_tenant": tenant, "of_sid": sid, "at": tx.now, "of_state": CLOSED}
    if not tx.execute(BEGIN_AGAIN, of).rowcount:
        row = {"tenant": tenant, "sid": sid, "state": CLOSED, "since_ms": tx.now, "until_ms": None}
        tx.execute(BEGIN, row)


def closed_since(connection: Connection, tenant: str, sid: bytes) -> int | None:
    """Since when a person's account is closed by themselves (milliseconds UTC); None if it is not."""
    of = {"of_tenant": tenant, "of_sid": sid, "of_state": CLOSED}
    since: int | None = connection.execute(SINCE, of).scalar_one_or_none()
    return since
