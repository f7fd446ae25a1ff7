"""D: the ledger, its tree, and who was in a block of reads."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary, Table, Text

from troth.store.tables.shapes import ROWID, Id, Ms, data

ledger = Table(
    "ledger",
    data,
    Column("seq", ROWID, primary_key=True, autoincrement=False),
    Column("eid", Id, nullable=False, unique=True),
    Column("at_ms", Ms, nullable=False),
    Column("kind", Text, nullable=False),
    Column("clause", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_ledger_clause", "clause", "seq"),
    Index("ix_ledger_kind", "kind", "seq"),
)

read_blocks = Table(
    "read_blocks",  # who was in a packed block of reads: sealed under a day key; the leaf holds its hash
    data,
    Column("eid", Id, primary_key=True),
    Column("day", Integer, nullable=False),
    Column("ct", LargeBinary, nullable=False),
)

tree = Table(
    "tree",
    data,
    Column("one", Integer, primary_key=True, autoincrement=False),
    CheckConstraint("one = 1", name="one"),
    Column("size", Ms, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("checkpoint", Text, nullable=False),
    Column("batch", Id, nullable=False),  # the last batch's id: how an unknown COMMIT is looked for
    Column("at_ms", Ms, nullable=False),
)
