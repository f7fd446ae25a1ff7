"""A person's own receipts: their entries found by their own secret, each as a file that proves itself.

Nobody else can find them: an entry holds a commitment that only the person's secret opens, so the search tries
that secret on the entries of the kinds that concern persons, since the person came (about 4 µs an entry).
Clauses: ``scope.compliance``, ``consent.at-submission``. Mechanism: ``evidence.ledger``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, select

from troth.errors import NotFound
from troth.evidence.receipt_page import receipt_page
from troth.evidence.receipts import make_receipt
from troth.evidence.tiles import PublishedLog
from troth.evidence.words import Words
from troth.notice.consents import Consents, canonical, receipt_of
from troth.notice.versions import Versions
from troth.store import Lane, Store, Write
from troth.store.ledger import EntryDraft, opening_key, opens
from troth.store.tables import ledger, subjects
from troth.vault import Vault

KINDS = (
    "intake.accepted",
    "intake.imported",
    "intake.confirmed",
    "subject.joined",
    "consent.given",
    "consent.imported",
    "consent.invalidated",
    "consent.withdrawn",
    "objection.made",
    "rights.proven",
    "data.rectified",
    "address.asked",
    "address.changed",
    "address.stopped",
    "account.closed",
    "account.returned",
    "activity.reported",
    "retention.warned",
    "access.prepared",
    "subject.looked",
    "delegation.invited",
    "delegation.accepted",
    "delegation.looked",
    "delegation.changed",
    "delegation.ended",
    "erase.ordered",
    "message.sent",
)
CREATED = select(subjects.c.created_ms).where(
    subjects.c.tenant == bindparam("of_tenant"), subjects.c.sid == bindparam("of_sid")
)
CANDIDATES = (
    select(ledger.c.seq, ledger.c.eid, ledger.c.at_ms, ledger.c.kind, ledger.c.clause, ledger.c.body)
    .where(ledger.c.kind.in_(KINDS), ledger.c.at_ms >= bindparam("since"))
    .order_by(ledger.c.seq)
)
ONE = select(ledger.c.seq, ledger.c.body).where(ledger.c.eid == bindparam("of_eid"))


@dataclass(frozen=True)
class Line:
    """One entry of a person: enough to list it."""

    entry: str
    at_ms: int
    kind: str
    clause: str


class Receipts:
    """Finds and makes receipts for the person who asks, and for nobody else."""

    def __init__(self, store: Store, vault: Vault, versions: Versions, consents: Consents) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.consents = consents

    def of_person(self, tenant: str, sid: bytes) -> list[Line]:
        """The person's entries, oldest first."""
        secret = self.vault.opening(tenant, sid)

        def fn(connection: Connection) -> list[Line]:
            since = connection.execute(CREATED, {"of_tenant": tenant, "of_sid": sid}).scalar()
            if since is None:
                raise NotFound("there is no such person here", clause="rights.access")
            return [
                Line(row.eid.hex(), row.at_ms, row.kind, row.clause)
                for row in connection.execute(CANDIDATES, {"since": since})
                if opens(opening_key(secret, bytes(row.eid)), bytes(row.body))
            ]

        return self.store.read(fn)

    def page(self, tenant: str, sid: bytes, entry: str, sentence: str, words: Words, link: str) -> str:
        """The receipt of one of the person's entries, as a page that checks itself.

        ``sentence`` says in the reader's language what was recorded; ``link`` is where the policy's clauses stand.
        ``NotFound`` if there is no such entry or it is not this person's; ``Busy`` until a checkpoint covers it.
        """
        eid = hex_id(entry)
        row = self.store.read(lambda connection: connection.execute(ONE, {"of_eid": eid}).first())
        key = opening_key(self.vault.opening(tenant, sid), eid)
        if row is None or not opens(key, bytes(row.body)):
            raise NotFound("there is no such receipt", clause="scope.compliance")
        self.store.publish()
        log = PublishedLog(self.store.folder / "evidence")
        receipt = make_receipt(log, row.seq, entry=bytes(row.body), opening=key)
        members: dict[str, Any] = msgspec.json.decode(row.body)
        version = next((v for v in self.versions.history.versions if v.version == members["policy"]), None)
        clause = version.clauses.get(members["clause"]) if version else None
        return receipt_page(
            receipt,
            sentence,
            words=words,
            clause_words=clause.prose if clause else "",
            clause_link=f"{link}/policy/clauses/{members['clause']}",
            published=f"{link}/evidence",
        )

    def consent(self, tenant: str, sid: bytes, record: str) -> bytes:
        """The receipt of one of the person's consents, as canonical JSON-LD."""
        cid = hex_id(record)
        found = self.store.read(lambda connection: self.consents.of(connection, tenant, sid))
        consent = next((c for c in found if c.cid == cid), None)
        if consent is None:
            raise NotFound("there is no such consent", clause="consent.at-submission")
        content = self.consents.open(tenant, sid, consent) | {"troth:state": consent.state}
        opening = self.vault.opening(tenant, sid)
        draft = EntryDraft(
            kind="consent.receipt",
            clause="consent.at-submission",
            mechanism="consent.record",
            actor="subject",
            facts={"record": record},
        )
        self.store.write(Write(lambda tx: tx.append(draft, opening), lane=Lane.RIGHTS))  # a read is an entry too
        return canonical(receipt_of(content, self.store.now(), f"{record}-{consent.state.lower()}"))


def hex_id(text: str) -> bytes:
    """16 bytes from their hex; ``NotFound`` for anything else."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 16:
        raise NotFound("there is nothing at this address")
    return value
