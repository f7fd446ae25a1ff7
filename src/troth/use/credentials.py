"""What a person signs in with, as it lies in D: a password's Argon2id value, sealed under that person's own key.

The key is that of their account's data, so that the value becomes unreadable with the account. Mechanism:
``password.hashed``. Clause ``protect.password``.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select

from troth.errors import Damaged, NotFound
from troth.store.once import insert_once
from troth.store.tables import credentials, subjects
from troth.store.transaction import DataTx
from troth.use.person_sessions import CLASS
from troth.vault import Vault
from troth.vault.subjects import THERE

PASSWORD = "password"  # noqa: S105  # the kind of credential
TABLE, SCHEMA = "credentials", 1
PLACE = PASSWORD.encode().ljust(16, b"\0")
NOBODY = bytes(16)
DECOY = bytes(160)  # opened in place of what is not there, so that the look-up costs the same

OF = (
    credentials.c.tenant == bindparam("of_tenant"),
    credentials.c.sid == bindparam("of_sid"),
    credentials.c.kind == PASSWORD,
)
SELECT = (
    select(credentials.c.since_ms, credentials.c.eid, credentials.c.ct)
    .join(subjects, (subjects.c.tenant == credentials.c.tenant) & (subjects.c.sid == credentials.c.sid))
    .where(*OF, subjects.c.mode.in_(THERE))
)
DROP = delete(credentials).where(*OF)
ADD = insert_once(credentials)


class Stored(NamedTuple):
    """A sealed password: since when, the entry of its setting, and what is sealed."""

    since_ms: int
    eid: bytes
    ct: bytes


def find(connection: Connection, tenant: str, sid: bytes) -> Stored | None:
    """A person's password as it is stored; None where they have none, or are not here."""
    row = connection.execute(SELECT, {"of_tenant": tenant, "of_sid": sid}).one_or_none()
    return None if row is None else Stored(row.since_ms, bytes(row.eid), bytes(row.ct))


def seal(vault: Vault, tenant: str, sid: bytes, hashed: str) -> bytes:
    """The Argon2id value, sealed; ``NotFound`` where the person has no account."""
    return vault.seal(tenant, sid, CLASS, PLACE, TABLE, SCHEMA, {"hash": hashed})


def unseal(vault: Vault, tenant: str, sid: bytes, stored: Stored | None) -> str | None:
    """The Argon2id value, or None. The same steps for nobody: one look for the key, one opening."""
    try:
        ct = stored.ct if stored is not None else DECOY
        return str(vault.unseal(tenant, sid, CLASS, PLACE, TABLE, SCHEMA, ct)["hash"])
    except (NotFound, Damaged):
        return None


def put(tx: DataTx, tenant: str, sid: bytes, *, eid: bytes, ct: bytes) -> None:
    """Store a sealed password in place of the one before."""
    drop(tx, tenant, sid)
    row = {"tenant": tenant, "sid": sid, "kind": PASSWORD, "since_ms": tx.now, "eid": eid, "ct": ct}
    tx.execute(ADD, row)


def drop(tx: DataTx, tenant: str, sid: bytes) -> int:
    """Delete a person's password; 1, or 0 where there is none."""
    return tx.execute(DROP, {"of_tenant": tenant, "of_sid": sid}).rowcount
