"""The tables of both databases: D (data and ledger) and K (keys), on SQLite and PostgreSQL alike.

K holds what makes data readable; it is never in the data's backups. D holds ciphertexts, states and the
ledger. All keys begin with the tenant. Times are whole milliseconds UTC. Foreign keys RESTRICT: nothing is
deleted by implication. No column of D may hold a personal value outside a ciphertext (STORAGE, invariant 9).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.schema import SchemaItem

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

data = MetaData(naming_convention=NAMES)
keys = MetaData(naming_convention=NAMES)

Id = LargeBinary(16)
Ms = BigInteger
ROWID = BigInteger().with_variant(Integer, "sqlite")


def composite(name: str, meta: MetaData, *parts: SchemaItem) -> Table:
    """A table keyed by its own columns: WITHOUT ROWID on SQLite, where the key is the storage order."""
    return Table(name, meta, *parts, sqlite_with_rowid=False)


# --- K: what opens things ---

epochs = Table(
    "epochs",
    keys,
    Column("epoch", Integer, primary_key=True),
    Column("state", Text, nullable=False),  # new -> current -> draining -> destroyed
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
    Column("state", Text, nullable=False),  # pending | live | suppressed
    Column("scope", Text, nullable=False, server_default=""),  # suppressed: the purpose that is stopped
    Column("created_ms", Ms, nullable=False),
    Column("expires_ms", Ms),
    Index("ix_tags_lookup", "tenant", "kind", "tag"),
    Index("ix_tags_sid", "tenant", "sid"),
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
    Column("kind", Text, primary_key=True),  # reads | transit
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

# --- D: ciphertexts, states, the ledger, durable work ---

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

ledger = Table(
    "ledger",
    data,
    Column("seq", ROWID, primary_key=True, autoincrement=False),
    Column("eid", Id, nullable=False, unique=True),
    Column("at_ms", Ms, nullable=False),
    Column("kind", Text, nullable=False),
    Column("clause", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_ledger_clause", "clause", "seq"),
    Index("ix_ledger_kind", "kind", "seq"),
)

read_blocks = Table(
    "read_blocks",  # who was in a packed block of reads: sealed under a day key; the leaf holds its hash
    data,
    Column("eid", Id, primary_key=True),
    Column("day", Integer, nullable=False),
    Column("ct", LargeBinary, nullable=False),
)

tree = Table(
    "tree",
    data,
    Column("one", Integer, primary_key=True, autoincrement=False),
    CheckConstraint("one = 1", name="one"),
    Column("size", Ms, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("checkpoint", Text, nullable=False),
    Column("batch", Id, nullable=False),  # the last batch's id: how an unknown COMMIT is looked for
    Column("at_ms", Ms, nullable=False),
)

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
    Index("ix_messages_sid", "tenant", "sid"),
    Index("ix_messages_state", "state", "queued_ms"),
)

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
)

operators = Table(
    "operators",
    data,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # a login name of staff, chosen at invitation
    Column("role", Text, nullable=False),  # support | officer | administrator | auditor
    Column("state", Text, nullable=False),  # invited | active | ended
    Column("password", Text),  # argon2id
    Column("totp", LargeBinary),  # sealed under the root's operator key
    Column("totp_step", Ms),  # the last time step used: a code works once
    Column("created_ms", Ms, nullable=False),
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
    Column("method", Text),  # how a person proved themselves: link | password | handover
    Column("eid", Id),  # the entry of that proof
    Column("device", LargeBinary),  # browser and system in a word each, sealed under the person's own key
    Index("ix_sessions_sid", "tenant", "sid"),
)

credentials = composite(
    "credentials",  # what a person signs in with, sealed under their own key: gone with it
    data,
    Column("tenant", Text, primary_key=True),
    Column("sid", Id, primary_key=True),
    Column("kind", Text, primary_key=True),  # password
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
)

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
