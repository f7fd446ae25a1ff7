"""Guard rows: what a restored backup must apply again, kept in K where no restore of the data can undo it.

Append-only, one for each ledger entry that took something away (erased, objected, restricted, withdrawn, rectified).
A guard holds ids and stops, never a value; ``stops`` are written out, since numbers of states live in D.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from troth.policy.model import Stop
from troth.store.once import insert_once
from troth.store.tables import guards
from troth.vault.states import canonical_stops

ADD = insert_once(guards)


def guard(
    connection: Connection,
    eid: bytes,
    tenant: str,
    sid: bytes,
    kind: str,
    at_ms: int,
    *,
    rid: bytes | None = None,
    stops: Collection[Stop] = (),
) -> bool:
    """Add the guard of entry ``eid``; False if it is there already, so that it can be repeated."""
    row = {
        "eid": eid,
        "tenant": tenant,
        "sid": sid,
        "kind": kind,
        "rid": rid,
        "stops": canonical_stops(frozenset(stops)) if stops else None,
        "at_ms": at_ms,
    }
    return connection.execute(ADD, row).rowcount == 1
