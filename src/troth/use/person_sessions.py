"""Sessions of people: the browser holds a random token, the store its hash; each ends by itself, or when told to.

A link opens the centre for half an hour; a password or a passkey for longer, unless it is left idle. What a session
shows of its device are a word each for browser, system and country, sealed under the person's own key; no address is
kept. Clause ``protect.password``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from troth.errors import Damaged, NotFound
from troth.store.tables import sessions
from troth.store.transaction import DataTx
from troth.use.devices import Device
from troth.use.sessions import cookie_hash, place_of
from troth.vault import Vault
from troth.world import DAY_MS

Method = Literal["link", "link+totp", "handover", "openid", "password", "password+totp", "passkey"]

LINK_LIFE_MS = 30 * 60_000
PASSWORD_LIFE_MS = 14 * DAY_MS
PASSWORD_IDLE_MS = DAY_MS
LONG: tuple[Method, ...] = ("password", "password+totp", "passkey")  # what the person keeps opens for longer
VOUCHED: tuple[Method, ...] = ("handover", "openid")  # somebody else says who is there
SECOND: tuple[Method, ...] = ("link+totp", "password+totp", "passkey")  # two factors were shown
LIFE_MS: dict[Method, int] = {
    **dict.fromkeys(("link", "link+totp", *VOUCHED), LINK_LIFE_MS),
    **dict.fromkeys(LONG, PASSWORD_LIFE_MS),
}

KIND = "subject"
CLASS = "account"  # the retention class whose key seals what belongs to an account
TABLE, SCHEMA = "sessions", 1

INSERT = insert(sessions)
BY_HASH = select(sessions).where(sessions.c.hash == bindparam("of_hash"), sessions.c.kind == KIND)
OF_PERSON = (
    sessions.c.tenant == bindparam("of_tenant"),
    sessions.c.sid == bindparam("of_sid"),
    sessions.c.kind == KIND,
)
ALL = select(sessions).where(*OF_PERSON).order_by(sessions.c.created_ms, sessions.c.hash)
SEEN = update(sessions).where(sessions.c.hash == bindparam("of_hash")).values(seen_ms=bindparam("at"))
END = delete(sessions).where(sessions.c.hash == bindparam("of_hash"), sessions.c.kind == KIND)
END_OTHERS = delete(sessions).where(*OF_PERSON, sessions.c.hash != bindparam("but_hash"))
END_OF_ACCOUNT = delete(sessions).where(*OF_PERSON, sessions.c.method.in_(LONG))
END_BY_PASSWORD = delete(sessions).where(*OF_PERSON, sessions.c.method.startswith("password"))
STRENGTHEN = (
    update(sessions)
    .where(sessions.c.hash == bindparam("of_hash"), sessions.c.kind == KIND)
    .values(method=bindparam("by"), eid=bindparam("proof"))
)
SWEEP_IDLE = delete(sessions).where(
    sessions.c.kind == KIND, sessions.c.method.in_(LONG), sessions.c.seen_ms <= bindparam("idle_since")
)


@dataclass(frozen=True)
class Session:
    """A person in their own centre. ``csrf`` must come back with every form."""

    tenant: str
    sid: bytes
    csrf: bytes
    expires_ms: int
    hash: bytes
    method: Method
    created_ms: int
    seen_ms: int
    proof: bytes | None = None  # the entry of it
    sealed: bytes | None = None

    @property
    def place(self) -> str:
        """As ``place_of``."""
        return place_of(self.hash)


def seal_device(vault: Vault, tenant: str, sid: bytes, cookie: str, device: Device | None) -> bytes | None:
    """The device's words, sealed for this session; None where they are not told or the person has no account."""
    if device is None:
        return None
    try:
        return vault.seal(tenant, sid, CLASS, cookie_hash(cookie)[:16], TABLE, SCHEMA, device._asdict())
    except NotFound:
        return None


def open_device(vault: Vault, session: Session) -> Device | None:
    """The device's words; None where none were kept or their key is gone."""
    if session.sealed is None:
        return None
    try:
        found = vault.unseal(session.tenant, session.sid, CLASS, session.hash[:16], TABLE, SCHEMA, session.sealed)
    except (NotFound, Damaged):
        return None
    return Device(*(str(found.get(word, "")) for word in Device._fields))


def start(
    tx: DataTx,
    cookie: str,
    tenant: str,
    sid: bytes,
    *,
    csrf: bytes,
    method: Method,
    proof: bytes,
    device: bytes | None,
) -> Session:
    """Store a session for ``cookie`` in the caller's transaction."""
    digest, expires = cookie_hash(cookie), tx.now + LIFE_MS[method]
    tx.execute(
        INSERT,
        {
            "hash": digest,
            "kind": KIND,
            "operator": None,
            "tenant": tenant,
            "sid": sid,
            "csrf": csrf,
            "created_ms": tx.now,
            "seen_ms": tx.now,
            "expires_ms": expires,
            "method": method,
            "eid": proof,
            "device": device,
        },
    )
    return Session(tenant, sid, csrf, expires, digest, method, tx.now, tx.now, proof, device)


def find(connection: Connection, digest: bytes, now_ms: int) -> Session | None:
    """The session with this hash: None where there is none, it ended or was left idle."""
    row = connection.execute(BY_HASH, {"of_hash": digest}).one_or_none()
    return None if row is None else open_at(shown(row), now_ms)


def of_person(connection: Connection, tenant: str, sid: bytes, now_ms: int) -> list[Session]:
    """A person's open sessions, oldest first."""
    rows = connection.execute(ALL, {"of_tenant": tenant, "of_sid": sid})
    return [session for row in rows if (session := open_at(shown(row), now_ms)) is not None]


def shown(row: Row[Any]) -> Session:
    """A row of the table."""
    method: Method = next((known for known in LIFE_MS if known == row.method), "link")
    place = (row.tenant, row.sid, row.csrf, row.expires_ms, row.hash)
    return Session(*place, method, row.created_ms, row.seen_ms, row.eid, row.device)


def open_at(session: Session, now_ms: int) -> Session | None:
    """The session if it still opens anything."""
    idle = session.method in LONG and session.seen_ms <= now_ms - PASSWORD_IDLE_MS
    return None if session.expires_ms <= now_ms or idle else session


def seen(tx: DataTx, digest: bytes) -> None:
    """Note that the session is in use."""
    tx.execute(SEEN, {"of_hash": digest, "at": tx.now})


def end(tx: DataTx, digest: bytes) -> int:
    """End one session; 1, or 0 where there is none."""
    return tx.execute(END, {"of_hash": digest}).rowcount


def end_at(tx: DataTx, tenant: str, sid: bytes, place: str) -> int:
    """End the one of a person's open sessions that has this name; 1, or 0 where there is none."""
    return sum(end(tx, each.hash) for each in of_person(tx.connection, tenant, sid, tx.now) if each.place == place)


def end_others(tx: DataTx, tenant: str, sid: bytes, but: bytes) -> int:
    """End every session of a person but one; how many."""
    return tx.execute(END_OTHERS, {"of_tenant": tenant, "of_sid": sid, "but_hash": but}).rowcount


def end_of_account(tx: DataTx, tenant: str, sid: bytes) -> int:
    """End what a password or a passkey opened; how many."""
    return tx.execute(END_OF_ACCOUNT, {"of_tenant": tenant, "of_sid": sid}).rowcount


def end_by_password(tx: DataTx, tenant: str, sid: bytes) -> int:
    """End what a password opened; how many."""
    return tx.execute(END_BY_PASSWORD, {"of_tenant": tenant, "of_sid": sid}).rowcount


def strengthen(tx: DataTx, session: Session, method: Method, proof: bytes) -> None:
    """Note that more was shown in this session than what opened it, by this entry; it lasts no longer for it."""
    tx.execute(STRENGTHEN, {"of_hash": session.hash, "by": method, "proof": proof})


def sweep(tx: DataTx) -> int:
    """Delete sessions that were left idle; how many."""
    return tx.execute(SWEEP_IDLE, {"idle_since": tx.now - PASSWORD_IDLE_MS}).rowcount
