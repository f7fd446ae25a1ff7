"""K: what opens things. It is never in the data's backups."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary, Table, Text, text

from troth.store.tables.shapes import ROWID, Id, Ms, composite, keys

epochs = Table(
    "epochs",
    keys,
    Column("epoch", Integer, primary_key=True),
    Column("state", Text, nullable=False),  # new -> current -> draining -> destroyed, or left (its key cannot be)
    Column("provider", Text, nullable=False),
    Column("wrapped", LargeBinary),  # the epoch key under the root key; NULL once destroyed
    Column("opened_ms", Ms, nullable=False),
    Column("destroyed_ms", Ms),
    Column("destruction", Text),  # hardware | service | scheduled | file_best_effort
)

buckets = composite(
    "buckets",
    keys,
    Column("kind", Text, primary_key=True),  # data | tag | day
    Column("number", Integer, primary_key=True),
    Column("compartment", Text, primary_key=True, server_default="normal"),  # normal | restricted
    Column("epoch", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("filled", Integer, nullable=False, server_default="0"),  # data: subjects ever placed here, never lowered
    Column("wrapped", LargeBinary, nullable=False),  # the bucket key under its epoch key
    Column("shed_ms", Ms),  # since when something was destroyed under this very bucket key; NULL: nothing was
)

data_keys = composite(
    "data_keys",
    keys,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("class", Text, primary_key=True, key="class_"),  # "" = the subject's own secret (openings of the ledger)
    Column("bucket", Integer, nullable=False),
    Column("compartment", Text, nullable=False, server_default="normal"),
    Column("generation", Integer, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_ms", Ms, nullable=False),
    Index(
        "ix_data_keys_born",  # one line a subject: what the sweep for orphans walks
        "created_ms",
        sqlite_where=text("class = ''"),
        postgresql_where=text("class = ''"),
    ),
    Index("ix_data_keys_bucket", "bucket", "compartment"),
)

tags = Table(
    "tags",
    keys,
    Column("id", ROWID, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),  # email | reference | ...
    Column("key_version", Integer, nullable=False),
    Column("tag", Id, nullable=False),
    Column("suppression", Id),  # what to suppress if this person objects; permuted apart, and gone with the tag
    Column("bucket", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("sid", Id),  # NULL where suppressed: the tag outlives the person's data and points at nobody
    Column("state", Text, nullable=False),  # pending | live | lost (a restore lost the data) | suppressed
    Column("scope", Text, nullable=False, server_default=""),  # suppressed: the purpose that is stopped
    Column("created_ms", Ms, nullable=False),
    Column("expires_ms", Ms),
    Index("ix_tags_lookup", "tenant", "kind", "tag"),
    Index("ix_tags_sid", "tenant", "sid"),
    Index("ix_tags_bucket", "bucket"),
    Index(
        "ix_tags_expires_ms",
        "expires_ms",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "uq_tags_live",
        "tenant",
        "kind",
        "tag",
        unique=True,
        sqlite_where=text("state = 'live'"),
        postgresql_where=text("state = 'live'"),
    ),
    Index(
        "uq_tags_suppressed",
        "tenant",
        "kind",
        "tag",
        "scope",
        unique=True,
        sqlite_where=text("state = 'suppressed'"),
        postgresql_where=text("state = 'suppressed'"),
    ),
)

guards = Table(
    "guards",  # append-only: what a restore must apply again (erased, objected, restricted, withdrawn, rectified)
    keys,
    Column("id", ROWID, primary_key=True, autoincrement=True),
    Column("eid", Id, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("sid", Id, nullable=False),
    Column("kind", Text, nullable=False),
    Column("rid", Id),
    Column("stops", Text),  # canonical JSON of the stops themselves, never a state_id
    Column("at_ms", Ms, nullable=False),
)

day_keys = composite(
    "day_keys",
    keys,
    Column("kind", Text, primary_key=True),  # reads | transit | visits
    Column("day", Integer, primary_key=True),  # days since 1970
    Column("wrapped", LargeBinary, nullable=False),
)

secrets = Table(
    "secrets",  # the blind index's key, the log's signing key, the answer-token key: each wrapped by the root
    keys,
    Column("name", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("public", LargeBinary),
)

heads = Table(
    "heads",  # one row: the highest published head of the log, so that a rolled-back D is noticed
    keys,
    Column("one", Integer, primary_key=True, autoincrement=False),
    CheckConstraint("one = 1", name="one"),
    Column("size", Ms, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("counter", Ms, nullable=False),
    Column("data_epoch", Integer, nullable=False),
)
