"""D: durable work: jobs, idempotency keys, heartbeats, files that are brought in."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, Table, Text

from troth.store.tables.shapes import ROWID, Id, Ms, composite, data

jobs = Table(
    "jobs",
    data,
    Column("id", ROWID, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("ref", Text, nullable=False),  # ids only; never a personal value
    Column("payload", LargeBinary),  # sealed under a day key, or absent
    Column("dedup", Text, unique=True),
    Column("run_ms", Ms, nullable=False),
    Column("lease_ms", Ms),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False, server_default="ready"),  # ready | leased | failed | done
    Column("fault", Text),
    Index("ix_jobs_due", "state", "run_ms"),
)

idempotency = composite(
    "idempotency",
    data,
    Column("scope", Text, primary_key=True),
    Column("key", LargeBinary(32), primary_key=True),
    Column("request_hash", LargeBinary(32), nullable=False),
    Column("result", LargeBinary, nullable=False),
    Column("at_ms", Ms, nullable=False),
)

runs = composite(
    "runs",  # heartbeats: when the retention run, the repair and the checks last finished, and what they found
    data,
    Column("kind", Text, primary_key=True),
    Column("at_ms", Ms, primary_key=True),
    Column("ok", Boolean, nullable=False),
    Column("facts", Text, nullable=False, server_default="{}"),
)

imports = Table(
    "imports",  # a file that is brought in: how far it got, so that it is gone on with and can be undone
    data,
    Column("id", Id, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),  # people | consents | suppressions
    Column("point", Text, nullable=False),
    Column("mark", LargeBinary(32), nullable=False),  # keyed hash of the file and how it is read, never of a value
    Column("state", Text, nullable=False),  # running | done | undone
    Column("next_row", Ms, nullable=False),
    Column("counts", Text, nullable=False, server_default="{}"),
    Column("begun_ms", Ms, nullable=False),
    Column("ended_ms", Ms),
    Column("eid", Id, nullable=False),  # the entry import.begun: those of the people it brought refer to it
    Index("ix_imports_tenant_mark", "tenant", "mark"),
)
