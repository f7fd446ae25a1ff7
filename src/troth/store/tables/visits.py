"""D: visits added up. Nothing here says who: what is consented to lies sealed in ``personal_records``."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text

from troth.store.tables.shapes import ROWID, Id, Ms, composite, data

visit_cells = Table(
    "visit_cells",  # what is counted: one page, one country … of one surface
    data,
    Column("id", ROWID, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("surface", Text, nullable=False),
    Column("dimension", Text, nullable=False),  # all | hour | page | referrer | country | campaign | device | event
    Column("value", Text, nullable=False),
    Index("uq_visit_cells", "tenant", "surface", "dimension", "value", unique=True),
)

visit_counts = composite(
    "visit_counts",  # a cell on a day; once the day is over, only cells that enough persons stand behind
    data,
    Column("day", Integer, primary_key=True),  # days since 1970, UTC
    Column("cell", ROWID, primary_key=True),
    Column("views", Ms, nullable=False),
    Column("visitors", Ms, nullable=False),
)

visit_seen = composite(
    "visit_seen",  # while a day lasts: which cells a visitor was counted in, under the keyed hash of that day
    data,
    Column("day", Integer, primary_key=True),
    Column("who", Id, primary_key=True),
    Column("cells", LargeBinary, nullable=False),  # ids of cells, 4 bytes each, big-endian
)
