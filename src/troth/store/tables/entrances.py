"""D: who may come in: staff and people, their credentials and sessions; what a second operator approves."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, LargeBinary, Table, Text, UniqueConstraint

from troth.store.tables.shapes import Id, Ms, composite, data

operators = Table(
    "operators",
    data,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),  # a login name of staff, chosen at invitation
    Column("role", Text, nullable=False),  # support | officer | administrator | auditor
    Column("state", Text, nullable=False),  # invited | active | ended
    Column("password", Text),  # argon2id
    Column("totp", LargeBinary),  # sealed under the root's operator key
    Column("totp_step", Ms),  # the last time step used: a code works once
    Column("created_ms", Ms, nullable=False),
    Column("tenant", Text, nullable=False),  # whose staff they are: they reach nobody else's people
    UniqueConstraint("tenant", "name"),  # a name that is taken elsewhere is no sign of anybody
)

passkeys = Table(
    "passkeys",
    data,
    Column("credential", LargeBinary, primary_key=True),
    Column("operator", Id, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", Ms, nullable=False),
    Column("created_ms", Ms, nullable=False),
    ForeignKeyConstraint(["operator"], ["operators.id"], ondelete="RESTRICT"),
)

sessions = Table(
    "sessions",
    data,
    Column("hash", LargeBinary(32), primary_key=True),  # SHA-256 of the cookie's value
    Column("kind", Text, nullable=False),  # operator | subject
    Column("operator", Id),
    Column("tenant", Text, nullable=False),
    Column("sid", Id),
    Column("csrf", LargeBinary(32), nullable=False),
    Column("created_ms", Ms, nullable=False),
    Column("seen_ms", Ms, nullable=False),
    Column("expires_ms", Ms, nullable=False),
    Column("method", Text),  # how a person proved themselves: ``person_sessions.Method``
    Column("eid", Id),  # the entry of that proof
    Column("device", LargeBinary),  # browser, system and country in a word each, sealed under the person's own key
    Index("ix_sessions_sid", "tenant", "sid"),
)

credentials = composite(
    "credentials",  # what a person signs in with, and from where, sealed under their own key: gone with it
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("kind", Text, primary_key=True),  # password | totp | recovery | lost | devices | reminder | passkey.<8 hex>
    Column("since_ms", Ms, nullable=False),
    Column("eid", Id, nullable=False),  # the entry of its setting
    Column("ct", LargeBinary, nullable=False),
    ForeignKeyConstraint(["tenant", "sid"], ["subjects.tenant", "subjects.sid"], ondelete="RESTRICT"),
)

approvals = Table(
    "approvals",  # "a second operator approves": one mechanism for everything that asks for it
    data,
    Column("id", Id, primary_key=True),
    Column("act", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("asked_by", Id, nullable=False),
    Column("asked_ms", Ms, nullable=False),
    Column("needed", Integer, nullable=False),
    Column("given_by", Text, nullable=False, server_default="[]"),  # JSON list of operator ids (hex)
    Column("state", Text, nullable=False),  # asked | approved | refused | expired | used
    Column("expires_ms", Ms, nullable=False),
    Column("tenant", Text, nullable=False),
)
