"""D: the issues that go to everybody who agreed to them. Their words are the controller's own and name nobody."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from troth.store.tables.shapes import Id, Ms, data

campaigns = Table(
    "campaigns",
    data,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("source", Text, nullable=False),  # Markdown
    Column("digest", Text, nullable=False),  # SHA-256 of the words, as the entries cite it
    Column("state", Text, nullable=False),  # draft | scheduled | running | paused | stopped | ended
    Column("reason", Text, nullable=False, server_default=""),  # why it pauses, in a name of ours
    Column("made_ms", Ms, nullable=False),
    Column("due_ms", Ms),
    Column("begun_ms", Ms),
    Column("ended_ms", Ms),
    Column("persons", Integer, nullable=False, server_default="0"),  # how many the gate gave
    Column("queued_ms", Ms),  # since when all of them stand in the queue of messages
    Column("borne", Integer, nullable=False, server_default="0"),  # failures that an operator knew of and went on with
    Column("borne_complaints", Integer, nullable=False, server_default="0"),  # and complaints
    Index("ix_campaigns_tenant", "tenant", "made_ms"),
)
