"""Sessions of staff: the browser holds a random token, the store its hash; both die after hours, or when left idle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from troth.store.tables import operators, sessions
from troth.store.transaction import DataTx
from troth.world import Randomness

LIFE_MS = 8 * 3_600_000
IDLE_MS = 30 * 60_000
SEEN_EVERY_MS = 60_000  # how often being seen is worth a write

INSERT = insert(sessions)
SELECT = (
    select(sessions.c.hash, sessions.c.csrf, sessions.c.seen_ms, operators.c.id, operators.c.name, operators.c.role)
    .join(operators, operators.c.id == sessions.c.operator)
    .where(
        sessions.c.hash == bindparam("of_hash"),
        sessions.c.kind == "operator",
        sessions.c.tenant == bindparam("of_tenant"),
        operators.c.tenant == bindparam("of_tenant"),
        sessions.c.expires_ms > bindparam("at"),
        sessions.c.seen_ms > bindparam("idle_since"),
        operators.c.state == "active",
    )
)
OPEN = (
    select(
        sessions.c.hash, sessions.c.created_ms, sessions.c.seen_ms, operators.c.id, operators.c.name, operators.c.role
    )
    .join(operators, operators.c.id == sessions.c.operator)
    .where(
        sessions.c.kind == "operator",
        sessions.c.tenant == bindparam("of_tenant"),
        operators.c.tenant == bindparam("of_tenant"),
        sessions.c.expires_ms > bindparam("at"),
        sessions.c.seen_ms > bindparam("idle_since"),
        operators.c.state == "active",
    )
    .order_by(operators.c.name, sessions.c.created_ms)
)
SEEN = update(sessions).where(sessions.c.hash == bindparam("of_hash")).values(seen_ms=bindparam("at"))
END = delete(sessions).where(sessions.c.hash == bindparam("of_hash"))
END_ALL = delete(sessions).where(sessions.c.operator == bindparam("of_operator"))
END_OTHERS = delete(sessions).where(
    sessions.c.operator == bindparam("of_operator"), sessions.c.hash != bindparam("but_hash")
)
SWEEP = delete(sessions).where(sessions.c.expires_ms <= bindparam("at"))


@dataclass(frozen=True)
class Session:
    """A signed-in operator. ``csrf`` stands in every form of theirs."""

    hash: bytes
    operator: bytes
    name: str
    role: str
    csrf: bytes
    seen_ms: int


@dataclass(frozen=True)
class OpenSession:
    """One open session of staff, as colleagues may see it."""

    hash: bytes
    operator: bytes
    name: str
    role: str
    begun_ms: int
    seen_ms: int

    @property
    def place(self) -> str:
        """As ``place_of``."""
        return place_of(self.hash)


def open_ones(connection: Connection, tenant: str, now_ms: int) -> list[OpenSession]:
    """Every open session of a tenant's staff, by name."""
    of = {"of_tenant": tenant, "at": now_ms, "idle_since": now_ms - IDLE_MS}
    rows = connection.execute(OPEN, of)
    return [OpenSession(r.hash, r.id, r.name, r.role, r.created_ms, r.seen_ms) for r in rows]


def cookie_hash(cookie: str) -> bytes:
    """What is stored of a session's cookie."""
    return hashlib.sha256(cookie.encode()).digest()


def place_of(digest: bytes) -> str:
    """A session's name on pages and in forms; the hash itself is never shown."""
    return hashlib.sha256(b"troth.session" + digest).hexdigest()[:32]


def start(tx: DataTx, cookie: str, operator: bytes, tenant: str, randomness: Randomness) -> None:
    """Store a session for ``cookie`` in the caller's transaction."""
    tx.execute(
        INSERT,
        {
            "hash": cookie_hash(cookie),
            "kind": "operator",
            "operator": operator,
            "tenant": tenant,
            "sid": None,
            "csrf": randomness.bytes(32),
            "created_ms": tx.now,
            "seen_ms": tx.now,
            "expires_ms": tx.now + LIFE_MS,
        },
    )


def find(connection: Connection, cookie: str, now_ms: int, tenant: str) -> Session | None:
    """The session behind a cookie of this tenant's staff.

    None where it ended, was left idle, or its operator may no longer come in.
    """
    of = {"of_hash": cookie_hash(cookie), "of_tenant": tenant}
    row = connection.execute(SELECT, {**of, "at": now_ms, "idle_since": now_ms - IDLE_MS}).one_or_none()
    return None if row is None else Session(row.hash, row.id, row.name, row.role, row.csrf, row.seen_ms)


def seen(tx: DataTx, digest: bytes) -> None:
    """Note that the session is in use."""
    tx.execute(SEEN, {"of_hash": digest, "at": tx.now})


def end(tx: DataTx, digest: bytes) -> None:
    """End one session."""
    tx.execute(END, {"of_hash": digest})


def end_all(tx: DataTx, operator: bytes, but: bytes | None = None) -> int:
    """End every session of an operator, except ``but`` if it is given; how many."""
    if but is None:
        return tx.execute(END_ALL, {"of_operator": operator}).rowcount
    return tx.execute(END_OTHERS, {"of_operator": operator, "but_hash": but}).rowcount


def sweep(tx: DataTx) -> int:
    """Delete sessions whose time is over (people's as well); the count."""
    return tx.execute(SWEEP, {"at": tx.now}).rowcount
