"""The head of the log in D: the one ``tree`` row, which moves in the same transaction as its entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from troth.errors import StartRefused
from troth.store.checkpoint import Signer, format_checkpoint
from troth.store.engine import Database
from troth.store.ledger import Entry, insert_entries
from troth.store.merkle import Frontier

_FIRST = "INSERT INTO tree (one, size, frontier, root, checkpoint, batch, at_ms) VALUES (1, 0, ?, ?, ?, ?, 0)"
_TREE = (
    "UPDATE tree SET size = ?, frontier = ?, root = ?, checkpoint = ?, batch = ?, at_ms = ? WHERE one = 1 AND batch = ?"
)
_TREE_BATCH = "UPDATE tree SET batch = ?, at_ms = ? WHERE one = 1 AND batch = ?"


class HeadMoved(Exception):
    """Somebody else moved the head: two writers would sign two trees."""


@dataclass
class Head:
    """Where the log stands in D: its frontier and the time of its newest entry."""

    frontier: Frontier
    at_ms: int
    batch: bytes

    @property
    def size(self) -> int:
        """How many entries the log has."""
        return self.frontier.size


def read_head(raw: Any) -> Head | None:
    """The ``tree`` row on a driver connection; None in a database that never held an entry.

    Raises ``StartRefused`` if the row's parts do not belong together.
    """
    row = raw.execute("SELECT size, frontier, at_ms, batch FROM tree WHERE one = 1").fetchone()
    if row is None:
        return None
    try:
        return Head(Frontier.from_bytes(row[0], bytes(row[1])), row[2], bytes(row[3]))
    except ValueError as fault:
        raise StartRefused(f"the tree row was changed: {fault}") from fault


def first_head(database: Database, raw: Any, batch: bytes, signer: Signer) -> Head:
    """Write the signed head of the empty log."""
    frontier = Frontier()
    note = format_checkpoint(signer.name, 0, frontier.root(), signer)
    raw.execute(database.sql(_FIRST), (b"", frontier.root(), note, batch))
    return Head(frontier, 0, batch)


def append_batch(
    database: Database, raw: Any, old: Head, entries: Sequence[Entry], batch: bytes, now: int, signer: Signer
) -> Head:
    """Insert a batch's entries and move the head, in the open transaction of their effects; the new head.

    A batch without entries leaves its id all the same: that is how it is looked for if its COMMIT raises. Raises
    ``HeadMoved`` if the row is not as this process left it.
    """
    if not entries:
        frontier = old.frontier
        changed = raw.execute(database.sql(_TREE_BATCH), (batch, now, old.batch))
    else:
        frontier = old.frontier.copy()
        insert_entries(database, raw, frontier.size, entries)
        frontier.extend(entry.leaf for entry in entries)
        root = frontier.root()
        note = format_checkpoint(signer.name, frontier.size, root, signer)
        row = (frontier.size, frontier.to_bytes(), root, note, batch, now, old.batch)
        changed = raw.execute(database.sql(_TREE), row)
    if changed.rowcount != 1:
        raise HeadMoved("the head of the log is not the one that this process wrote")
    return Head(frontier, now, batch)
