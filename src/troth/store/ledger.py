"""The ledger: canonical entries, commitments to subjects, and the batch that is appended in one transaction.

An entry holds no personal data. Its body is canonical JSON (sorted keys, no spaces, UTF-8); the body's bytes are
the leaf of the Merkle tree. Who an entry concerns stands in it as a commitment that only the holder of the
subject's secret can open, or whoever was given the entry's own opening key:

    body_hash = SHA-256(canonical body without "subject")
    key       = HMAC-SHA-256(secret of the subject, "open" || eid)
    subject   = HMAC-SHA-256(key, body_hash)
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from troth.store.engine import Database
from troth.store.merkle import leaf_hash

MAX_BODY = 65_535
"""Bytes of the largest entry: an entry bundle counts a leaf's length in 16 bits (c2sp.org/tlog-tiles)."""

_ENCODE = msgspec.json.Encoder(order="sorted").encode
_INSERT = "INSERT INTO ledger (seq, eid, at_ms, kind, clause, body) VALUES (?, ?, ?, ?, ?, ?)"


class EntryDraft(msgspec.Struct, frozen=True):
    """What a caller says about an effect; id, time and policy version are the ledger's to add.

    ``actor`` is ``system``, ``subject``, ``visitor``, ``operator:<hex>``, ``product:<hex>`` or ``delegate:<hex>``.
    ``refers`` is the id of an earlier entry. ``facts`` are numbers, hashes and ids of policy things: never personal.
    """

    kind: str
    clause: str
    mechanism: str
    actor: str = "system"
    purpose: str | None = None
    refers: bytes | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it stands in the ledger once its transaction commits."""

    eid: bytes
    at_ms: int
    kind: str
    clause: str
    body: bytes
    leaf: bytes


def opening_key(secret: bytes, eid: bytes) -> bytes:
    """The key that opens one entry's commitment and no other's: what a receipt discloses.

    ``secret`` is exactly 32 bytes: HMAC pads shorter keys with zeros, so that two would open the same entry.
    """
    if len(secret) != 32:
        raise ValueError("a subject's secret has exactly 32 bytes")
    return hmac.digest(secret, b"open" + eid, "sha256")


def commitment(key: bytes, body_without_subject: bytes) -> bytes:
    """What stands in the entry as ``subject``."""
    return hmac.digest(key, sha256(body_without_subject).digest(), "sha256")


def opens(key: bytes, body: bytes) -> bool:
    """Whether ``key`` (from ``opening_key``) opens the commitment in an entry's ``body``."""
    members = msgspec.json.decode(body)
    found = members.pop("subject", None)
    return isinstance(found, str) and hmac.compare_digest(found, commitment(key, _ENCODE(members)).hex())


def make_entry(draft: EntryDraft, eid: bytes, at_ms: int, policy: str, secret: bytes | None = None) -> Entry:
    """The entry for a draft. ``secret`` commits it to a subject. ``ValueError`` if it is too large or not plain."""
    members: dict[str, Any] = {
        "v": 1,
        "eid": eid.hex(),
        "at": at_ms,
        "kind": draft.kind,
        "clause": draft.clause,
        "mechanism": draft.mechanism,
        "actor": draft.actor,
        "policy": policy,
    }
    if draft.purpose is not None:
        members["purpose"] = draft.purpose
    if draft.refers is not None:
        members["refers"] = draft.refers.hex()
    if draft.facts:
        members["facts"] = _plain(draft.facts)
    body = _ENCODE(members)
    if secret is not None:
        members["subject"] = commitment(opening_key(secret, eid), body).hex()
        body = _ENCODE(members)
    if len(body) > MAX_BODY:
        raise ValueError(f"an entry of kind {draft.kind} has {len(body)} bytes, more than {MAX_BODY}")
    return Entry(eid, at_ms, draft.kind, draft.clause, body, leaf_hash(body))


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as they are, if every value has one spelling in JSON (no floats, no bytes, no nested objects)."""
    for value in facts.values():
        parts = value if isinstance(value, list | tuple) else (value,)
        for part in parts:
            inner = part if isinstance(part, list | tuple) else (part,)
            if not all(isinstance(one, str | int) for one in inner):
                raise ValueError("an entry's facts are strings, whole numbers, truths and lists of these")
    return facts


def insert_entries(database: Database, raw: Any, first_seq: int, entries: Sequence[Entry]) -> None:
    """Insert a batch from ``first_seq`` on, by one prepared statement on the driver's writing connection."""
    rows = [(first_seq + at, e.eid, e.at_ms, e.kind, e.clause, e.body) for at, e in enumerate(entries)]
    cursor = raw.cursor()
    try:
        cursor.executemany(database.sql(_INSERT), rows)
    finally:
        cursor.close()
