"""One eraser for each kind of data that Troth holds: what it is, where it lies, and what becomes of it.

The erasure removes what stands here, the plan lists it, the certificate compares; there is no other list. A table with
a person's rows that has no eraser is found by the second look (``removal.remaining``), so that no erasure is said to
be done over it. The words of each, for the officer and for the person, are in the catalogue under ``eraser.<id>``.
Clause: ``rights.erase``. Mechanism: ``right.erase``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Column, MetaData, Table
from sqlalchemy.sql.elements import ColumnElement

from troth.policy.model import CompiledPolicy
from troth.store.tables import (
    activity,
    address_changes,
    consent_records,
    corrections,
    credentials,
    holds,
    links,
    looks,
    messages,
    personal_records,
    restrictions,
    rights_requests,
    sessions,
    subject_states,
    subjects,
)

Action = Literal["destroyed", "changed", "kept"]

READS_DAYS = 365  # how long it can be told who was in a block of reads
TRANSIT_DAYS = 7  # how long a mail may wait for its relay; then its sealed words are destroyed
ANSWER_DAYS = 30  # how long the answer to an idempotency key is repeated

RECORDS = "records"
OBJECTIONS = "objections"


@dataclass(frozen=True)
class Rows:
    """A person's rows in one table of D.

    ``key``: there may be many, so they go in chunks by this column. ``of``: which of the person's rows are meant.
    """

    table: Table
    key: Column[Any] | None = None
    of: ColumnElement[bool] | None = None

    @property
    def name(self) -> str:
        """The table's name, as a plain word."""
        return str(self.table.name)


@dataclass(frozen=True)
class Eraser:
    """One kind of data, and what an erasure does with it.

    ``copy`` is the member of the person's copy that gives it out before; empty where nothing in it is theirs to read.
    ``elsewhere`` names tables that are not gone through row by row: those of K, and those in which nobody is named.
    ``categories`` are those of the vocabulary, and all below them, that lie here though no form asks for them.
    What is kept names the clause that keeps it, and for how many days from the erasure (``days``; None: as long as
    its reason, which is in the catalogue under ``eraser.why.<id>``).
    """

    id: str
    rows: tuple[Rows, ...] = ()
    action: Action = "destroyed"
    copy: str = ""
    elsewhere: tuple[str, ...] = ()
    categories: frozenset[str] = frozenset()
    clause: str = "rights.erase"
    days: int | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables concerned."""
        return (*(part.name for part in self.rows), *self.elsewhere)


def _categories(*names: str) -> frozenset[str]:
    return frozenset(names)


ERASERS: tuple[Eraser, ...] = (
    # what goes: children first, the subject last, the keys before all of it
    Eraser("keys", elsewhere=("data_keys",)),
    Eraser("index", elsewhere=("tags",)),
    Eraser(RECORDS, (Rows(personal_records, personal_records.c.rid),), copy="records"),
    Eraser(
        "consents",  # receipts are made of them and of the ledger when somebody asks: none is stored
        (Rows(consent_records, consent_records.c.cid),),
        copy="consents",
        categories=_categories("user.privacy_preferences"),
    ),
    Eraser("letters", (Rows(messages, messages.c.id, messages.c.campaign.is_(None)),), copy="messages"),
    Eraser("campaigns", (Rows(messages, messages.c.id, messages.c.campaign.is_not(None)),), copy="messages"),
    Eraser("looks", (Rows(looks, looks.c.lid),), copy="looks"),
    Eraser(
        "requests",
        (Rows(rights_requests, rights_requests.c.id),),
        copy="requests",
        categories=_categories("user.correspondence.request"),
    ),
    Eraser("corrections", (Rows(corrections, corrections.c.eid),), copy="corrections"),
    Eraser("states", (Rows(subject_states),), copy="states"),
    Eraser(
        "sessions",
        (Rows(sessions),),
        copy="account",
        categories=_categories("user.device", "user.location.country"),
    ),
    Eraser(
        "passkeys",
        (Rows(credentials, of=credentials.c.kind.startswith("passkey.")),),
        copy="account",
        categories=_categories("user.authorization.credentials"),
    ),
    Eraser(
        "credentials",
        (Rows(credentials, of=~credentials.c.kind.startswith("passkey.")),),
        copy="account",
        categories=_categories("user.authorization.password"),
    ),
    Eraser("restrictions", (Rows(restrictions),), copy="restriction"),
    Eraser("holds", (Rows(holds),), copy="hold"),
    Eraser("address-changes", (Rows(address_changes),), copy="account"),
    Eraser("activity", (Rows(activity),), copy="account", categories=_categories("user.telemetry")),
    Eraser("links", (Rows(links, of=links.c.kind != "unsubscribe"),)),
    Eraser("person", (Rows(subjects),)),
    # what stays, and no longer points at anybody
    Eraser("unsubscribing", (Rows(links, of=links.c.kind == "unsubscribe"),), "changed", clause="rights.unsubscribe"),
    # what stays, and says nothing of the person
    Eraser(OBJECTIONS, action="kept", copy="objections", elsewhere=("tags",), clause="rights.object-marketing"),
    Eraser("proof", action="kept", elsewhere=("erasures", "ledger", "tree")),
    Eraser("guards", action="kept", elsewhere=("guards",)),
    Eraser("reads", action="kept", elsewhere=("read_blocks", "day_keys"), days=READS_DAYS),
    Eraser("certificate", action="kept", elsewhere=("messages",), days=TRANSIT_DAYS + 1),
    Eraser("jobs", action="kept", elsewhere=("jobs",)),  # what K is owed of an objection must still reach it
    Eraser("answers", action="kept", elsewhere=("idempotency",), days=ANSWER_DAYS),
    Eraser("counts", action="kept", elsewhere=("visit_cells", "visit_counts", "visit_seen")),
    Eraser("imports", action="kept", elsewhere=("imports",)),
)

BY_ID = {eraser.id: eraser for eraser in ERASERS}

NOBODYS: dict[str, str] = {
    "approvals": "acts of staff, by the numbers of requests",
    "buckets": "keys of many persons' keys; an epoch's end destroys them",
    "campaigns": "the controller's own words",
    "epochs": "keys of all keys",
    "heads": "the newest head of the log",
    "operators": "staff, who are no data subjects of the policy",
    "passkeys": "staff's own",
    "policy_versions": "the policy's text",
    "products": "the vendor's own systems",
    "recipients": "the register of companies",
    "runs": "heartbeats and counts",
    "secrets": "keys of the system's own",
    "states": "what anybody may have chosen, each once for all who did",
    "terms": "points and versions",
}
"""Tables that hold nothing of a person, and why."""


def uncovered(policy: CompiledPolicy, *stores: MetaData) -> list[str]:
    """What has no eraser: categories that the policy speaks of, and tables of these stores. Empty where all have.

    A category that a collection point takes lies in the records; any other must be in an eraser's own categories. A
    table must be some eraser's, or be said to be nobody's; one that names a person (``sid``) cannot be nobody's.
    """
    taken = {field.category for point in policy.points.values() for field in point.fields}
    own = {category for eraser in ERASERS for category in eraser.categories}
    missing = [
        f"category {category}"
        for category in sorted(set(_spoken_of(policy)) - taken)
        if not any(category == root or category.startswith(f"{root}.") for root in own)
    ]
    erased = {part.name for eraser in ERASERS for part in eraser.rows}
    known = {name for eraser in ERASERS for name in eraser.tables}
    for table in (table for store in stores for table in store.sorted_tables):
        named = "sid" in table.c
        held = table.name in known if table.name in KEPT_BY_NUMBER else table.name in erased
        if not (held if named else table.name in known or table.name in NOBODYS):
            missing.append(f"table {table.name}")
    return missing


KEPT_BY_NUMBER = ("erasures", "guards", "data_keys", "tags")
"""Tables with a ``sid`` that are not gone through by row: a number that points at nobody, and K's, which goes first."""


def _spoken_of(policy: CompiledPolicy) -> Iterator[str]:
    """Every category that the policy names as one that is used, consented to or given on."""
    for use in policy.uses:
        yield from use.categories
    for consent in policy.consents.values():
        yield from consent.categories
    for recipient in policy.recipients.values():
        yield from recipient.categories
