"""Links in mails: a random token that authorises one thing. Only its SHA-256 is stored.

A link is a proof of one kind (``confirm``, ``centre``, ``unsubscribe``, ``invitation`` …) and opens nothing
else: whoever looks a token up says which kind they take. Clauses: ``rights.proof``, ``rights.unsubscribe``.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, delete, select, update

from troth.errors import Unproven
from troth.store.once import insert_once
from troth.store.tables import links
from troth.store.text import Text
from troth.world import Randomness

if TYPE_CHECKING:
    from troth.store.writer import DataTx

ROW = Text("INSERT INTO links (hash, kind, tenant, sid, ref, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?)")
SELECT = select(links).where(links.c.hash == bindparam("token_hash"))
USE = (
    update(links)
    .where(links.c.hash == bindparam("token_hash"), links.c.used_ms.is_(None))
    .values(used_ms=bindparam("at"))
)
MARK = insert_once(links)
EXPIRED = delete(links).where(links.c.expires_ms <= bindparam("at"))


@dataclass(frozen=True)
class Link:
    """What a token stands for. ``sid`` is None where the link outlives the person (unsubscribing)."""

    hash: bytes
    kind: str
    tenant: str
    sid: bytes | None
    ref: str
    expires_ms: int | None
    used_ms: int | None


def new_token(randomness: Randomness) -> str:
    """A token of 256 random bits, URL-safe, without padding."""
    return base64.urlsafe_b64encode(randomness.bytes(32)).rstrip(b"=").decode()


def token_hash(token: str) -> bytes:
    """SHA-256 of the token: what is stored and looked up."""
    return hashlib.sha256(token.encode()).digest()


def use_up(tx: DataTx, what: str, kind: str, *, tenant: str, expires_ms: int) -> bool:
    """Remember, until it would have expired anyway, that something was used which was never stored as a link.

    In the transaction of its effect; False if it was used before. It says nothing of whom it let in.
    """
    values = {"hash": token_hash(what), "kind": kind, "tenant": tenant, "sid": None, "ref": ""}
    return bool(tx.execute(MARK, {**values, "created_ms": tx.now, "expires_ms": expires_ms}).rowcount)


def used_up(connection: Connection, what: str) -> bool:
    """Whether ``use_up`` was said of this before."""
    return connection.execute(SELECT, {"token_hash": token_hash(what)}).first() is not None


def row(
    tx: DataTx, token: str, kind: str, *, tenant: str, sid: bytes | None, ref: str = "", expires_ms: int | None = None
) -> tuple[Any, ...]:
    """What ``ROW`` stores of a link: the hash of its token, not the token. For many in one statement."""
    return token_hash(token), kind, tenant, sid, ref, tx.now, expires_ms


def make(
    tx: DataTx, token: str, kind: str, *, tenant: str, sid: bytes | None, ref: str = "", expires_ms: int | None = None
) -> None:
    """Store the hash of ``token`` as a link of this kind, in the caller's transaction."""
    ROW.run(tx.connection, row(tx, token, kind, tenant=tenant, sid=sid, ref=ref, expires_ms=expires_ms))


def find(connection: Connection, token: str, kind: str, now_ms: int, tenant: str | None = None) -> Link:
    """The link behind a token of this kind; ``Unproven`` if it is unknown, of another kind, or expired.

    ``tenant`` is given wherever the token comes from outside: another tenant's link is as good as none. A used
    link is returned with ``used_ms`` set: whether a second use is an error is the caller's to say.
    """
    found = connection.execute(SELECT, {"token_hash": token_hash(token)}).mappings().first()
    here = found is not None and found["kind"] == kind and tenant in (None, found["tenant"])
    if found is None or not here or (found["expires_ms"] is not None and found["expires_ms"] <= now_ms):
        raise Unproven("this link is not valid, or no longer: please ask for a new one", clause="rights.proof")
    return Link(*(found[name] for name in ("hash", "kind", "tenant", "sid", "ref", "expires_ms", "used_ms")))


def use(tx: DataTx, link: Link) -> bool:
    """Mark the link used; False if it was used before (somebody was faster)."""
    return bool(tx.execute(USE, {"token_hash": link.hash, "at": tx.now}).rowcount)


def sweep(tx: DataTx) -> int:
    """Delete links that have expired; the count."""
    return tx.execute(EXPIRED, {"at": tx.now}).rowcount
