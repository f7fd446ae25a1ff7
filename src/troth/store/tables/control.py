"""D: what people change about their own account, and what products say of its use."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, LargeBinary, Text

from troth.store.tables.shapes import Id, Ms, composite, data

corrections = composite(
    "corrections",  # which record was corrected, when, in which fields; never a value
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("eid", Id, primary_key=True),  # the entry of the correction
    Column("rid", Id, nullable=False),
    Column("point", Text, nullable=False),
    Column("fields", Text, nullable=False),  # JSON list of declared names
    Column("at_ms", Ms, nullable=False),
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
)

address_changes = composite(
    "address_changes",  # a new address that waits for its proof: one a person
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("eid", Id, nullable=False),  # the entry of asking
    Column("class", Text, nullable=False, key="class_"),  # whose key seals the address
    Column("ct", LargeBinary, nullable=False),
    Column("asked_ms", Ms, nullable=False),
    Column("expires_ms", Ms, nullable=False),
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
)

activity = composite(
    "activity",  # the newest of each kind of event that a product told of an account
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("product", Id, primary_key=True),
    Column("event", Text, primary_key=True),
    Column("at_ms", Ms, nullable=False),
    Column("until_ms", Ms),  # a licence: until when it runs
    Column("eid", Id, nullable=False),
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
)
