"""D: the queue of messages, and the links that stand in them."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text

from troth.store.tables.shapes import Id, Ms, data

links = Table(
    "links",  # single-use and standing links in mails: confirm, unsubscribe, privacy centre, first operator
    data,
    Column("hash", LargeBinary(32), primary_key=True),  # SHA-256 of the token; the token itself is never stored
    Column("kind", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("sid", Id),
    Column("ref", Text, nullable=False, server_default=""),
    Column("created_ms", Ms, nullable=False),
    Column("expires_ms", Ms),
    Column("used_ms", Ms),
    Index("ix_links_sid", "tenant", "sid"),
)

messages = Table(
    "messages",  # the queue: no address and no words; they are opened through the gate when the mail is sent
    data,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("sid", Id),
    Column("template", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("sealed", LargeBinary),  # only where the address must outlive the person's keys (a certificate): day key
    Column("day", Integer),
    Column("variables", LargeBinary),  # sealed under the subject's own key (links to click), or absent
    Column("dedup", Text, unique=True),
    Column("state", Text, nullable=False),  # queued | sending | sent | refused | bounced | unknown | cancelled
    Column("reason", Text),
    Column("queued_ms", Ms, nullable=False),
    Column("ended_ms", Ms),
    Column("eid", Id),
    Column("due_ms", Ms, nullable=False, server_default="0"),  # not sent before
    Column("attempt", Integer, nullable=False, server_default="0"),  # how often the relay was asked to take it
    Column("lane", Integer, nullable=False, server_default="0"),  # 0 goes before 1: a link before a newsletter
    Column("soft", Integer, nullable=False, server_default="0"),  # delays that were reported after the relay took it
    Column("campaign", Id),  # whose words it has, where they are not the catalogue's
    Index("ix_messages_sid", "tenant", "sid"),
    Index("ix_messages_due", "state", "lane", "due_ms"),
    Index("ix_messages_campaign", "campaign", "state"),
    Index("ix_messages_state", "state", "queued_ms"),
)
