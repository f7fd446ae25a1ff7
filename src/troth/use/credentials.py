"""What a person signs in with, as it lies in D: sealed under that person's own key, and found through them alone.

The key is that of their account's data, so that each becomes unreadable with the account. A row's kind says what it
is; what is inside only its owner's key tells: a password's Argon2id value, a passkey, the secret of an app.
Mechanisms: ``password.hashed``, ``account.passkey``, ``account.second-factor``. Clause ``protect.password``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, update

from troth.errors import Damaged, NotFound
from troth.store.once import insert_once
from troth.store.tables import credentials, subjects
from troth.store.transaction import DataTx
from troth.use.person_sessions import CLASS
from troth.vault import Vault
from troth.vault.subjects import THERE

PASSWORD = "password"  # noqa: S105  # the kinds of credentials
TABLE, SCHEMA = "credentials", 1
LONGEST = 16  # characters of a kind: it is the place that its seal is bound to
NOBODY = bytes(16)
DECOY = bytes(160)  # opened in place of what is not there, so that the look-up costs the same

OF_PERSON = (credentials.c.tenant == bindparam("of_tenant"), credentials.c.sid == bindparam("of_sid"))
OF = (*OF_PERSON, credentials.c.kind == bindparam("of_kind"))
SELECT = (
    select(credentials.c.kind, credentials.c.since_ms, credentials.c.eid, credentials.c.ct)
    .join(subjects, (subjects.c.tenant == credentials.c.tenant) & (subjects.c.sid == credentials.c.sid))
    .where(*OF_PERSON, subjects.c.mode.in_(THERE))
    .order_by(credentials.c.since_ms, credentials.c.kind)
)
DROP = delete(credentials).where(*OF)
DROP_ALL = delete(credentials).where(*OF_PERSON)
REPLACE = update(credentials).where(*OF, credentials.c.ct == bindparam("old_ct")).values(ct=bindparam("new_ct"))
ADD = insert_once(credentials)


TAKES: Mapping[str, str] = {
    "account.password-changed": PASSWORD,
    "account.password-removed": PASSWORD,
    "account.password-known": PASSWORD,
    "account.second-factor-set": PASSWORD,  # which opened the account alone until then
    "account.second-factor-removed": "totp",
    "account.recovery-codes": "recovery",
    "account.recovery-code": "recovery",  # one was used; the others cannot be told from it
    "account.recovery-cancelled": "lost",
    "account.passkey-removed": "passkey.",
}
"""Entries that end a means of signing in, or what it alone could do: each refers to the entry that had set it."""
TAKEN = delete(credentials).where(
    credentials.c.eid == bindparam("of_eid"), credentials.c.kind.startswith(bindparam("of_kind"))
)


class Stored(NamedTuple):
    """Something sealed: since when, the entry of its setting, and what is sealed."""

    since_ms: int
    eid: bytes
    ct: bytes


Held = dict[str, Stored]
"""Kind -> what is stored of it, oldest first."""


def of_person(connection: Connection, tenant: str, sid: bytes) -> Held:
    """Everything that a person signs in with; empty where they have nothing, or are not here."""
    rows = connection.execute(SELECT, {"of_tenant": tenant, "of_sid": sid})
    return {row.kind: Stored(row.since_ms, bytes(row.eid), bytes(row.ct)) for row in rows}


def find(connection: Connection, tenant: str, sid: bytes, kind: str = PASSWORD) -> Stored | None:
    """What a person has of one kind, as it is stored; None where they have none, or are not here."""
    return of_person(connection, tenant, sid).get(kind)


def seal(vault: Vault, tenant: str, sid: bytes, kind: str, content: dict[str, Any]) -> bytes:
    """The content, sealed for its kind; ``NotFound`` where the person has no account."""
    return vault.seal(tenant, sid, CLASS, place(kind), TABLE, SCHEMA, content)


def unseal(vault: Vault, tenant: str, sid: bytes, kind: str, stored: Stored | None) -> dict[str, Any]:
    """The content; empty where there is none. The same steps for nobody: one look for the key, one opening."""
    try:
        return vault.unseal(tenant, sid, CLASS, place(kind), TABLE, SCHEMA, stored.ct if stored else DECOY)
    except (NotFound, Damaged):
        return {}


def place(kind: str) -> bytes:
    """Where a kind's seal belongs, so that none opens in another's place."""
    return kind.encode().ljust(LONGEST, b"\0")


def put(tx: DataTx, tenant: str, sid: bytes, kind: str, *, eid: bytes, ct: bytes) -> None:
    """Store something sealed in place of what there was of its kind."""
    drop(tx, tenant, sid, kind)
    row = {"tenant": tenant, "sid": sid, "kind": kind, "since_ms": tx.now, "eid": eid, "ct": ct}
    tx.execute(ADD, row)


def replace(tx: DataTx, tenant: str, sid: bytes, kind: str, old: bytes, new: bytes) -> bool:
    """Another content under the same entry; False where it is no longer as it was read."""
    of = {"of_tenant": tenant, "of_sid": sid, "of_kind": kind}
    return bool(tx.execute(REPLACE, {**of, "old_ct": old, "new_ct": new}).rowcount)


def drop(tx: DataTx, tenant: str, sid: bytes, kind: str) -> int:
    """Delete what a person has of one kind; 1, or 0 where there is none."""
    return tx.execute(DROP, {"of_tenant": tenant, "of_sid": sid, "of_kind": kind}).rowcount


def take_again(tx: DataTx, entry: str, eid: bytes) -> int:
    """What an entry of this kind took away, taken away again where a backup brought it back; how much there was."""
    return tx.execute(TAKEN, {"of_eid": eid, "of_kind": TAKES[entry]}).rowcount if entry in TAKES else 0


def drop_all(tx: DataTx, tenant: str, sid: bytes) -> int:
    """Delete everything that a person signs in with; how much there was."""
    return tx.execute(DROP_ALL, {"of_tenant": tenant, "of_sid": sid}).rowcount
