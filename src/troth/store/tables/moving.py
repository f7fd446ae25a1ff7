"""What becomes of each table when a whole system moves: THE place to add a new table to.

``troth export --all`` and ``troth import --all`` read this and the tables' own columns, nothing else. A table that does
not stand here stops an export and fails ``tests/moving/test_tables.py``. A table that is carried needs no other code.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from sqlalchemy import MetaData, Table

from troth.store.tables.shapes import data, keys


class Way(NamedTuple):
    """How a table moves: its rows as they are, with the keys wrapped anew, or not at all; and why not as they are."""

    how: Literal["carried", "rewrapped", "dropped"]
    why: str = ""


CARRIED = Way("carried")
ROOT = Way("rewrapped", "its keys hang from the root key, which stays where it is")  # vault/moving/rewrapping.py

WAYS: dict[str, Way] = {
    # D
    "activity": CARRIED,
    "address_changes": CARRIED,
    "approvals": CARRIED,
    "campaigns": CARRIED,
    "consent_records": CARRIED,
    "corrections": CARRIED,
    "credentials": CARRIED,
    "erasures": CARRIED,
    "holds": CARRIED,
    "idempotency": CARRIED,
    "imports": CARRIED,
    "jobs": CARRIED,
    "ledger": CARRIED,
    "links": CARRIED,
    "looks": CARRIED,
    "messages": CARRIED,
    "operators": CARRIED,
    "passkeys": CARRIED,
    "personal_records": CARRIED,
    "policy_versions": CARRIED,
    "products": CARRIED,
    "read_blocks": CARRIED,
    "recipients": CARRIED,
    "restrictions": CARRIED,
    "rights_requests": CARRIED,
    "runs": CARRIED,
    "sessions": Way("dropped", "whoever was signed in signs in again"),
    "states": CARRIED,
    "subject_states": CARRIED,
    "subjects": CARRIED,
    "terms": CARRIED,
    "tree": CARRIED,
    "visit_cells": CARRIED,
    "visit_counts": CARRIED,
    "visit_seen": CARRIED,
    # K
    "buckets": CARRIED,  # their keys hang from an epoch's, and so do all below them
    "data_keys": CARRIED,
    "day_keys": CARRIED,
    "epochs": ROOT,
    "guards": CARRIED,
    "heads": CARRIED,
    "secrets": ROOT,
    "tags": CARRIED,
}

LAST = ("ledger", "tree", "heads")
"""Written last of all: the entry that says that the system moved away stands in the log that moves."""


def moving(metadata: MetaData | None = None) -> list[Table]:
    """The tables that move (of one database, or of both), parents before children, the log last.

    Raises ``RuntimeError`` naming a table of which nobody said what becomes of it.
    """
    tables = [table for part in ([metadata] if metadata is not None else [data, keys]) for table in part.sorted_tables]
    unsaid = [table.name for table in tables if table.name not in WAYS]
    if unsaid:
        raise RuntimeError(f"what becomes of {', '.join(unsaid)} in a move is not said: store/tables/moving.py")
    found = [table for table in tables if WAYS[table.name].how != "dropped"]
    return [table for table in found if table.name not in LAST] + [table for table in found if table.name in LAST]


def dropped() -> dict[str, str]:
    """The tables that do not move, and why."""
    return {name: way.why for name, way in WAYS.items() if way.how == "dropped"}
