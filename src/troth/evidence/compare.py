"""The databases against the published log: what is stored must be what was signed, and nothing may be missing.

D may be ahead of the folder by what was committed in the last second; it may never be behind. K remembers the
highest head that was published and may never know of a larger one than the folder shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from troth.evidence.entries import BadEntry, EntryBody, read_entry
from troth.evidence.report import Report
from troth.store import tables
from troth.store.checkpoint import parse_checkpoint
from troth.store.merkle import Frontier, leaf_hash

T = TypeVar("T")

PAGE = 4096

_TREE = select(tables.tree)
_HEAD = select(tables.heads)
_ROWS = (
    select(tables.ledger)
    .where(tables.ledger.c.seq >= bindparam("first"), tables.ledger.c.seq < bindparam("end"))
    .order_by(tables.ledger.c.seq)
)
_OUTSIDE = select(tables.ledger.c.seq).where((tables.ledger.c.seq >= bindparam("end")) | (tables.ledger.c.seq < 0))


class Read(Protocol):
    """Runs a function on one snapshot of a database: ``Store.read`` and ``Store.read_keys``."""

    def __call__(self, fn: Callable[[Connection], T], /) -> T:
        """What ``fn`` returned."""
        ...


class Databases(msgspec.Struct, frozen=True):
    """How to read D, and K if its head is to be compared as well."""

    data: Read
    keys: Read | None = None


def compare_databases(
    databases: Databases, public: bytes, leaves: Sequence[bytes], report: Report, newest: Callable[[], int]
) -> None:
    """Compare D and K with the published log whose ``leaves`` hold; faults go to the report, step ``database``.

    ``newest`` reads the size of the checkpoint that is published now: the log may have grown meanwhile.
    """
    name = "D"
    try:
        _compare_data(databases.data, public, leaves, report)
        name = "K"
        if databases.keys is not None:
            _compare_head(databases.keys, leaves, report, newest)
    except (SQLAlchemyError, ValueError, TypeError, OverflowError) as fault:
        told = f"the database cannot be read to its end ({type(fault).__name__}): it is damaged or out of reach"
        report.fault("database", told, file=name)


def _compare_data(read: Read, public: bytes, leaves: Sequence[bytes], report: Report) -> None:
    tree = read(lambda connection: connection.execute(_TREE).mappings().one_or_none())
    if tree is None:
        if leaves:
            report.fault("database", "D has no head at all, but a log was published", file="D tree")
        return
    size = tree["size"]
    if size < len(leaves):
        told = f"ROLLBACK: D holds {size} entries, but {len(leaves)} were published"
        report.fault("database", told, file="D tree")
    frontier = _compare_rows(read, size, leaves, report)
    if frontier is not None:
        if (frontier.root(), frontier.to_bytes()) != (_bytes(tree["root"]), _bytes(tree["frontier"])):
            report.fault("database", "the head's root and frontier are not those of the ledger's rows", file="D tree")
        try:
            _, signed_size, signed_root = parse_checkpoint(tree["checkpoint"], public)
        except ValueError as fault:
            report.fault("database", f"its checkpoint does not hold: {fault}", file="D tree")
        else:
            if (signed_size, signed_root) != (size, frontier.root()):
                report.fault("database", "its checkpoint speaks of another tree than its rows make", file="D tree")
    outside = read(lambda connection: connection.execute(_OUTSIDE, {"end": size}).scalars().first())
    grown = read(lambda connection: connection.execute(_TREE).mappings().one())["size"]
    if outside is not None and not 0 <= outside < grown:
        report.fault("database", "a row lies outside the log", file="D ledger", entry=outside)
    report.done["database"] = f"{size} rows compared, {size - len(leaves)} of them not yet published"


def _compare_rows(read: Read, size: int, leaves: Sequence[bytes], report: Report) -> Frontier | None:
    """The frontier that D's rows make; None where rows are missing."""
    frontier = Frontier()
    for first in range(0, size, PAGE):
        span = {"first": first, "end": min(first + PAGE, size)}
        rows: Iterable[Any] = read(lambda connection, span=span: connection.execute(_ROWS, span).all())  # type: ignore[misc]  # binds this round's span
        for row in rows:
            if row.seq != frontier.size:
                report.fault("database", "the row is missing", file="D ledger", entry=frontier.size)
                return None
            leaf = leaf_hash(_bytes(row.body))
            frontier.append(leaf)
            if row.seq < len(leaves) and leaf != leaves[row.seq]:
                told = "the row's body is not the entry that was published"
                report.fault("database", told, file="D ledger", entry=row.seq)
            elif told := _columns(row):
                report.fault("database", told, file="D ledger", entry=row.seq)
    if frontier.size != size:
        report.fault("database", "the row is missing", file="D ledger", entry=frontier.size)
        return None
    return frontier


def _bytes(value: Any) -> bytes:
    """A column's bytes; empty where something else was put in its place (SQLite takes any type anywhere)."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


def _columns(row: Any) -> str:
    """What does not agree between a row's body and the columns that are searched by; empty if all does."""
    try:
        entry: EntryBody = read_entry(_bytes(row.body))
    except BadEntry as fault:
        return str(fault)
    body = (entry.eid, entry.at, entry.kind, entry.clause)
    columns = (_bytes(row.eid).hex(), row.at_ms, row.kind, row.clause)
    names = [
        name for name, is_, must in zip(("eid", "at_ms", "kind", "clause"), columns, body, strict=True) if is_ != must
    ]
    return f"the column {', '.join(names)} is not what the body says" if names else ""


def _compare_head(read: Read, leaves: Sequence[bytes], report: Report, newest: Callable[[], int]) -> None:
    head = read(lambda connection: connection.execute(_HEAD).mappings().one_or_none())
    if head is None:
        return
    if head["size"] > len(leaves):
        if head["size"] <= newest():
            return  # it was published while this was being verified
        told = f"ROLLBACK: K remembers {head['size']} published entries, this log has only {len(leaves)}"
        report.fault("database", told, file="K heads")
    elif Frontier().extend(leaves[: head["size"]]).root() != _bytes(head["root"]):
        told = f"SPLIT VIEW: K remembers another root at {head['size']} entries"
        report.fault("database", told, file="K heads")
