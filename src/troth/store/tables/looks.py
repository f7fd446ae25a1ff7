"""D: who of staff looked at a person's data, for that person to see."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, LargeBinary, Text

from troth.store.tables.shapes import Id, Ms, composite, data

looks = composite(
    "looks",
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("lid", Id, primary_key=True),
    Column("at_ms", Ms, nullable=False),
    Column("role", Text, nullable=False),  # of the operator, or "delegate"; who it was stands in the entry
    Column("purpose", Text, nullable=False),
    Column("class", Text, nullable=False, key="class_"),  # the retention class whose key seals the reason
    Column("ct", LargeBinary, nullable=False),  # the reason as it was typed
    Column("eid", Id, nullable=False),
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
)
