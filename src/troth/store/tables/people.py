"""D: subjects, their records sealed under their own keys, what they agreed to, and under which terms."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text

from troth.store.tables.shapes import ROWID, Id, Ms, composite, data

policy_versions = Table(
    "policy_versions",
    data,
    Column("version", Text, primary_key=True),
    Column("policy", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("bindings", Text),
    Column("effective_ms", Ms, nullable=False),
    Column("published_ms", Ms, nullable=False),
    Column("eid", Id, nullable=False),
)

terms = Table(
    "terms",
    data,
    Column("id", ROWID, primary_key=True, autoincrement=True),
    Column("controller", Text, nullable=False),
    Column("surface", Text, nullable=False),
    Column("point", Text, nullable=False),
    Column("version", Text, nullable=False),
    UniqueConstraint("controller", "surface", "point", "version"),
)

states = Table(
    "states",
    data,
    Column("id", ROWID, primary_key=True, autoincrement=True),
    Column("canonical", Text, nullable=False, unique=True),  # canonical JSON of model.State: its meaning never changes
)

subjects = composite(
    "subjects",
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("state_id", ROWID, nullable=False),
    Column("mode", Text, nullable=False),  # pending | live | restricted | erasing | void
    Column("generation", Integer, nullable=False),
    Column("created_ms", Ms, nullable=False),
    Column("last_use_ms", Ms, nullable=False),
    ForeignKeyConstraint(["state_id"], ["states.id"], ondelete="RESTRICT"),
    Index("ix_subjects_void", "mode", sqlite_where=text("mode = 'void'"), postgresql_where=text("mode = 'void'")),
)

personal_records = composite(
    "personal_records",
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("rid", Id, primary_key=True),
    Column("terms_id", ROWID, nullable=False),
    Column("class", Text, nullable=False, key="class_"),
    Column("schema", Integer, nullable=False),
    Column("anchor_ms", Ms, nullable=False),
    Column("eid", Id, nullable=False),  # the entry of its collection: every row joins to its notice and consent
    Column("ct", LargeBinary, nullable=False),
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
    ForeignKeyConstraint(["terms_id"], ["terms.id"], ondelete="RESTRICT"),
    Index("ix_personal_records_terms", "tenant", "sid", "terms_id", "anchor_ms"),
)

subject_states = composite(
    "subject_states",  # account.active since..until: what retention phases refer to
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("since_ms", Ms, nullable=False),
    Column("until_ms", Ms),
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
)

consent_records = composite(
    "consent_records",
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("cid", Id, primary_key=True),
    Column("consent", Text, nullable=False),  # ConsentAsk.id
    Column("version", Text, nullable=False),
    Column("state", Text, nullable=False),  # Requested | Given | Refused | Withdrawn | Expired | Invalidated
    Column("given_ms", Ms),
    Column("ended_ms", Ms),
    Column("eid", Id, nullable=False),
    Column("ct", LargeBinary, nullable=False),  # the full 27560 record, sealed
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
)
