"""A legal hold: what is due to be erased is kept while a law or a claim needs it (GDPR Art. 17(3)(b) and (e)).

It has a reason from a closed list and an end, and it narrows use: the person's data is set aside meanwhile, as in a
restriction. Nothing else is noted of it, so that no word about anybody stands here. Clause ``retain.while-used``.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import Connection, Row, bindparam, select

from troth.store.tables import holds
from troth.world import DAY_MS

CLAUSE: Final = "retain.while-used"
MOST_DAYS = 365
"""The longest that a hold stands without being set anew."""
SOON_MS = 30 * DAY_MS  # an end within this is told to the officer

Reason = Literal["law", "claims"]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Art. 17(3): (b) a law says that it is kept, (e) it is needed for legal claims."""

OPEN = select(holds).where(holds.c.ended_ms.is_(None))
OF_PERSON = OPEN.where(holds.c.tenant == bindparam("of_tenant"), holds.c.sid == bindparam("of_sid"))


class Hold(msgspec.Struct, frozen=True):
    """One hold that stands. Times are UTC milliseconds; ``entry`` is its number, ``set_by`` whoever set it last."""

    entry: bytes
    tenant: str
    sid: bytes
    reason: str
    since_ms: int
    until_ms: int
    set_by: str


class Held(msgspec.Struct, frozen=True):
    """What a plan says of a hold: why everything waits, until when, and by which clause."""

    reason: str
    until_ms: int
    clause: str = CLAUSE


def hold_of(row: Row[Any]) -> Hold:
    """A hold as its row stands."""
    return Hold(bytes(row.eid), row.tenant, bytes(row.sid), row.reason, row.since_ms, row.until_ms, row.set_by)


def standing(connection: Connection, tenant: str, sid: bytes) -> Hold | None:
    """The hold on this person in the caller's snapshot. One past its end stands until ``Holds.settle`` ended it."""
    row = connection.execute(OF_PERSON, {"of_tenant": tenant, "of_sid": sid}).one_or_none()
    return None if row is None else hold_of(row)
