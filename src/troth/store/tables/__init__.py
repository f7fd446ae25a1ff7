"""The tables of both databases: D (data and ledger) and K (keys), on SQLite and PostgreSQL alike.

K holds what makes data readable; it is never in the data's backups. D holds ciphertexts, states and the
ledger. All keys begin with the tenant. Times are whole milliseconds UTC. Foreign keys RESTRICT: nothing is
deleted by implication. No column of D may hold a personal value outside a ciphertext (STORAGE, invariant 9).
"""

from __future__ import annotations

from troth.store.tables.campaigns import campaigns
from troth.store.tables.control import activity, address_changes, corrections
from troth.store.tables.entrances import approvals, credentials, operators, passkeys, sessions
from troth.store.tables.keys import buckets, data_keys, day_keys, epochs, guards, heads, secrets, tags
from troth.store.tables.ledger import ledger, read_blocks, tree
from troth.store.tables.letters import links, messages
from troth.store.tables.looks import looks
from troth.store.tables.parties import products, recipients
from troth.store.tables.people import (
    consent_records,
    personal_records,
    policy_versions,
    states,
    subject_states,
    subjects,
    terms,
)
from troth.store.tables.rights import erasures, holds, restrictions, rights_requests
from troth.store.tables.shapes import ROWID, Id, Ms, composite, data, keys
from troth.store.tables.visits import visit_cells, visit_counts, visit_seen
from troth.store.tables.work import idempotency, imports, jobs, runs

__all__ = [
    "ROWID",
    "Id",
    "Ms",
    "activity",
    "address_changes",
    "approvals",
    "buckets",
    "campaigns",
    "composite",
    "consent_records",
    "corrections",
    "credentials",
    "data",
    "data_keys",
    "day_keys",
    "epochs",
    "erasures",
    "guards",
    "heads",
    "holds",
    "idempotency",
    "imports",
    "jobs",
    "keys",
    "ledger",
    "links",
    "looks",
    "messages",
    "operators",
    "passkeys",
    "personal_records",
    "policy_versions",
    "products",
    "read_blocks",
    "recipients",
    "restrictions",
    "rights_requests",
    "runs",
    "secrets",
    "sessions",
    "states",
    "subject_states",
    "subjects",
    "tags",
    "terms",
    "tree",
    "visit_cells",
    "visit_counts",
    "visit_seen",
]
