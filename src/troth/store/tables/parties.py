"""D: the vendor's own products, and the recipients that the policy declares."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, Table, Text

from troth.store.tables.shapes import Id, Ms, data

products = Table(
    "products",  # the vendor's own systems that ask before they use: an API key each
    data,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key_hash", LargeBinary(32), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created_ms", Ms, nullable=False),
    Column("ended_ms", Ms),
)

recipients = Table(
    "recipients",  # the register: names, contracts and reviews of the classes that the policy declares
    data,
    Column("id", Id, primary_key=True),
    Column("class", Text, nullable=False, key="class_"),
    Column("name", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("contract", Text, nullable=False),
    Column("reviewed_ms", Ms, nullable=False),
    Column("ended_ms", Ms),
)
