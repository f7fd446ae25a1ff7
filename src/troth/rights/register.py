"""The register of requests: one row each, from the day it came in to the day it was answered (GDPR Art. 12(3)).

A row holds ids, times and words of a closed list, never a value of the person. ``received_ms`` is when the request
reached us by whatever road, not when somebody typed it in: the clock starts there.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import Connection, Row, Update, bindparam, func, insert, select, update

from troth.errors import NotFound
from troth.policy.model import Duration, RightKind
from troth.rights.calendar import after
from troth.store.tables import rights_requests

Road = Literal["centre", "letter", "telephone", "mail", "in person", "product"]
Behalf = Literal["parent", "representative", "heir"]
Reason = Literal["unfounded", "excessive", "unidentified", "others", "law", "claims"]
Delay = Literal["complex", "number"]

ROADS: Final[tuple[Road, ...]] = get_args(Road)
BEHALF: Final[tuple[Behalf, ...]] = get_args(Behalf)
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""Why a request may be refused: Art. 12(5) unfounded or excessive, 11(2) and 12(6) unidentified, 15(4) others' rights,
17(3)(b) a law that keeps, 17(3)(e) legal claims."""
DELAYS: Final[tuple[Delay, ...]] = get_args(Delay)
"""Why it may take two months more (Art. 12(3)): how complex, and how many the requests are."""

NO_REQUEST: Final = "there is no such request"
PRODUCTS: Final = "products"
MONTH = Duration("1 month", months=1)
WITH_EXTENSION = Duration("3 months", months=3)

INSERT = insert(rights_requests)
BY_ID = select(rights_requests).where(
    rights_requests.c.tenant == bindparam("of_tenant"), rights_requests.c.id == bindparam("of_id")
)
OPEN = (
    select(rights_requests)
    .where(rights_requests.c.tenant == bindparam("of_tenant"), rights_requests.c.ended_ms.is_(None))
    .order_by(rights_requests.c.due_ms, rights_requests.c.id)
)
ALL_OPEN = select(rights_requests).where(rights_requests.c.ended_ms.is_(None))
ENDED = (
    select(rights_requests)
    .where(rights_requests.c.tenant == bindparam("of_tenant"), rights_requests.c.ended_ms.is_not(None))
    .order_by(rights_requests.c.ended_ms.desc(), rights_requests.c.id)
    .limit(bindparam("most"))
)
SAME = (
    select(rights_requests)
    .where(
        rights_requests.c.tenant == bindparam("of_tenant"),
        rights_requests.c.sid == bindparam("of_sid"),
        rights_requests.c.kind == bindparam("of_kind"),
        func.coalesce(rights_requests.c.on_behalf, "") == bindparam("of_behalf"),
        rights_requests.c.ended_ms.is_(None),
    )
    .order_by(rights_requests.c.received_ms)
    .limit(1)
)


@dataclass(frozen=True)
class Case:
    """One request as it stands. Times are UTC milliseconds."""

    id: bytes
    tenant: str
    sid: bytes | None
    kind: RightKind
    state: str
    road: str
    on_behalf: str | None
    received_ms: int
    due_ms: int
    acknowledged_ms: int | None
    proven_ms: int | None
    extended_ms: int | None
    reminded: int
    reason: str | None
    ended_ms: int | None
    facts: dict[str, Any]

    @property
    def products(self) -> list[str]:
        """The products (hex) that filed it for their user, and so may ask how it stands."""
        found: list[str] = self.facts.get(PRODUCTS, [])
        return found

    @property
    def open(self) -> bool:
        """Whether it still waits for its answer."""
        return self.ended_ms is None

    def extensible_until(self, zone: dt.tzinfo) -> int:
        """The end of the first month: a delay has to be announced before it (Art. 12(3))."""
        return after(MONTH, self.received_ms, zone)

    def latest(self, zone: dt.tzinfo) -> int:
        """The end of the third month: however often a request is put off, it is answered by then."""
        return after(WITH_EXTENSION, self.received_ms, zone)

    def late(self, now_ms: int) -> bool:
        """Whether it still waits although its time is over."""
        return self.open and self.due_ms < now_ms


def case(row: Row[Any]) -> Case:
    """A row of the register."""
    return Case(
        bytes(row.id),
        row.tenant,
        None if row.sid is None else bytes(row.sid),
        row.kind,
        row.state,
        row.road,
        row.on_behalf,
        row.received_ms,
        row.due_ms,
        row.acknowledged_ms,
        row.proven_ms,
        row.extended_ms,
        row.reminded,
        row.reason,
        row.ended_ms,
        msgspec.json.decode(row.facts),
    )


def by_id(connection: Connection, tenant: str, rid: bytes) -> Case:
    """One request of this tenant; ``NotFound``."""
    row = connection.execute(BY_ID, {"of_tenant": tenant, "of_id": rid}).one_or_none()
    if row is None:
        raise NotFound(NO_REQUEST, clause="rights.proof")
    return case(row)


def same(connection: Connection, tenant: str, sid: bytes, kind: str, on_behalf: str | None) -> Case | None:
    """An open request for the same right of the same person, by whoever asks now: themselves, or somebody for them.

    Whoever says that they ask for somebody, and has not shown that they may, must not stand in that person's own way.
    """
    of = {"of_tenant": tenant, "of_sid": sid, "of_kind": kind, "of_behalf": on_behalf or ""}
    row = connection.execute(SAME, of).one_or_none()
    return None if row is None else case(row)


def change(rid: bytes, **values: Any) -> Update:
    """A statement that changes a request while it is open."""
    still = (rights_requests.c.id == rid, rights_requests.c.ended_ms.is_(None))
    return update(rights_requests).where(*still).values(values)
