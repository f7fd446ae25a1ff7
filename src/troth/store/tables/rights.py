"""D: requests and erasures."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from troth.store.tables.shapes import Id, Ms, data

rights_requests = Table(
    "rights_requests",
    data,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("sid", Id),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),  # requested | proven | accepted | fulfilled | refused | held | failed
    Column("received_ms", Ms, nullable=False),
    Column("due_ms", Ms, nullable=False),
    Column("ended_ms", Ms),
    Column("facts", Text, nullable=False, server_default="{}"),  # counts, times, classes; never a personal value
    Index("ix_rights_requests_sid", "tenant", "sid"),
)

erasures = Table(
    "erasures",
    data,
    Column("ordered", Id, primary_key=True),  # eid of erase.ordered
    Column("tenant", Text, nullable=False),
    Column("sid", Id, nullable=False),
    Column("cause", Text, nullable=False),  # right | retention | refusal | child | undo
    Column("state", Text, nullable=False),  # ordered | unreadable | gone | held
    Column("ordered_ms", Ms, nullable=False),
    Column("unreadable_ms", Ms),  # t1: keys and tags destroyed and looked for on a new connection
    Column("gone_ms", Ms),  # t2: rows gone and looked for
    Column("destroyed_ms", Ms),  # t3: the epoch destroyed; empty until the provider answered
    Column("destruction", Text),
    Column("done", Id),
    Column("counts", Text, nullable=False, server_default="{}"),
    Column("epoch", Integer),  # the current one when the keys went: old copies open until it is destroyed
)
