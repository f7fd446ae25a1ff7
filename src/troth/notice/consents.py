"""Consent records with the fields of ISO/IEC TS 27560:2023, written as JSON-LD in the terms of W3C DPV 2.

A record says which words were shown, in which language and version, what followed from a yes, who acted, when
and through which control (GDPR Art. 7(1); L6, L31). It is sealed like any other personal record; a receipt is
its copy for the person. Clauses: ``consent.at-submission``, ``consent.withdraw``. Mechanism: ``consent.record``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from troth.errors import Damaged, NotFound
from troth.policy.model import CompiledPolicy, ConsentAsk
from troth.store.tables import consent_records
from troth.store.writer import DataTx
from troth.vault import Vault

SCHEMA = 1
TABLE = "consent_records"
CLASS = "consent"  # the retention class under whose key consent records are sealed

OPEN = ("Requested", "Given")

INSERT = insert(consent_records)
GIVE = (
    update(consent_records)
    .where(
        consent_records.c.tenant == bindparam("of_tenant"),
        consent_records.c.sid == bindparam("of_sid"),
        consent_records.c.cid == bindparam("of_cid"),
        consent_records.c.state == "Requested",
    )
    .values(state="Given", given_ms=bindparam("at"), eid=bindparam("by_eid"), ct=bindparam("new_ct"))
)
END = (
    update(consent_records)
    .where(
        consent_records.c.tenant == bindparam("of_tenant"),
        consent_records.c.sid == bindparam("of_sid"),
        consent_records.c.cid == bindparam("of_cid"),
        consent_records.c.state.in_(OPEN),
    )
    .values(state=bindparam("new_state"), ended_ms=bindparam("at"), ct=bindparam("new_ct"))
)
OF_PERSON = select(consent_records).where(
    consent_records.c.tenant == bindparam("of_tenant"), consent_records.c.sid == bindparam("of_sid")
)

CONTEXT = {
    "dpv": "https://w3id.org/dpv#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "dct": "http://purl.org/dc/terms/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "troth": "urn:troth:terms#",
    # values of these are terms, not texts
    **{
        name: {"@id": name, "@type": "@id"}
        for name in ("dpv:hasConsentStatus", "dpv:hasIndicationMethod", "dpv:hasRight", "dpv:isIndicatedBy")
    },
}
PARTIES = {"subject": "dpv:DataSubject", "controller": "dpv:DataController", "system": "dpv:DataController"}


@dataclass(frozen=True)
class Shown:
    """What stood before the person's eyes when they acted, and what they acted with."""

    surface: str
    point: str
    language: str
    control: str  # "checkbox and button", "api", …
    notice: str  # SHA-256 of the notice as shown, hex


def instant(ms: int) -> dict[str, str]:
    """A time as a typed JSON-LD value, UTC, to the millisecond."""
    text = dt.datetime.fromtimestamp(ms / 1000, tz=dt.UTC).isoformat(timespec="milliseconds")
    return {"@value": text.replace("+00:00", "Z"), "@type": "xsd:dateTime"}


def text_hash(text: str) -> str:
    """SHA-256 of a text as UTF-8, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def event(state: str, at_ms: int, by: str) -> dict[str, Any]:
    """One event in a consent's life: its DPV status, its time, who expressed it."""
    return {
        "@type": f"dpv:Consent{state}",
        "dct:date": instant(at_ms),
        "dpv:isIndicatedBy": PARTIES[by],
        "dpv:hasIndicationMethod": "troth:expressed-by-the-person" if by == "subject" else "troth:recorded",
    }


def record_of(
    policy: CompiledPolicy, ask: ConsentAsk, shown: Shown, *, record: str, subject: str, events: list[dict[str, Any]]
) -> dict[str, Any]:
    """The consent record as JSON-LD. ``record`` and ``subject`` are opaque ids; no contact data stands in it."""
    point = policy.points[shown.point]
    use = next((u for u in point.uses if u.purpose == ask.purpose), None)
    keep = policy.keeps.get(use.keep) if use else None
    dpv_purpose = policy.purposes[ask.purpose].dpv if ask.purpose in policy.purposes else None
    given = next((e for e in events if e["@type"] == "dpv:ConsentGiven"), None)
    return {
        "@context": CONTEXT,
        "@id": f"urn:troth:consent:{record}",
        "@type": "dpv:ConsentRecord",
        "dct:conformsTo": "ISO/IEC TS 27560:2023",
        "dct:hasVersion": str(SCHEMA),
        "dct:identifier": record,
        "dpv:hasDataSubject": subject_of(subject),
        "dpv:hasNotice": {
            "@type": "dpv:PrivacyNotice",
            "dct:identifier": policy.policy,
            "dct:hasVersion": policy.version,
            "dct:language": shown.language,
            "troth:policy-sha256": policy.sha256,
            "troth:notice-sha256": shown.notice,
            "troth:words": ask.ask,
            "troth:words-sha256": text_hash(ask.ask),
        },
        "dpv:hasProcess": {
            "@type": "dpv:Process",
            "dct:identifier": ask.clause,
            "dpv:hasPurpose": [{"@id": dpv_purpose or f"troth:purpose/{ask.purpose}", "dct:title": ask.purpose}],
            "dpv:hasLegalBasis": {"@id": "eu-gdpr:A6-1-a"},
            "dpv:hasPersonalData": [{"@id": f"troth:category/{c}", "dct:title": c} for c in ask.categories],
            "dpv:hasStorageCondition": {
                "@type": "dpv:StorageDuration",
                "dct:description": "; ".join(policy.clauses[keep.clause].figures) if keep else "",
            },
            "dpv:hasRecipient": [
                {"@type": "dpv:Recipient", "dct:title": r.id, "dpv:hasCountry": list(r.countries)}
                for r in policy.recipients.values()
                if r.purpose == ask.purpose
            ],
            "troth:channel": ask.channel or "any",
            "troth:withdraw": ask.withdraw,
        },
        "dpv:hasDataController": {
            "@type": "dpv:DataController",
            "dct:title": policy.controller.name,
            "dpv:hasContact": policy.controller.contact,
            "dpv:hasAddress": policy.controller.address,
            "dpv:hasCountry": policy.controller.country,
        },
        "dpv:hasJurisdiction": {"dct:title": "EU"},
        "dpv:hasRight": [f"eu-gdpr:A{article}" for article in ("7-3", "15", "16", "17", "18", "20", "77")],
        "dpv:hasConsentControl": {"@type": "dpv:WithdrawConsent", "dct:description": ask.withdraw},
        "troth:meaning": ask.meaning,
        "troth:control": shown.control,
        "troth:surface": shown.surface,
        "dpv:hasDuration": ask.lasts.text if ask.lasts else "until withdrawn",
        "dpv:hasConsentStatus": [events[-1]["@type"]],
        "troth:given": given["dct:date"] if given else None,
        "troth:events": events,
    }


def subject_of(subject: str) -> dict[str, str]:
    """The person of a record, by an opaque id."""
    return {"@id": f"urn:troth:subject:{subject}", "@type": "dpv:DataSubject"}


def as_of(value: dict[str, Any], sid: bytes) -> dict[str, Any]:
    """A record as one of this person: for a submission that turned out to be theirs."""
    return value | {"dpv:hasDataSubject": subject_of(sid.hex())}


def receipt_of(record: dict[str, Any], at_ms: int, receipt_id: str) -> dict[str, Any]:
    """The receipt of a record: what the person keeps (27560's receipt schema: version, id, record, time)."""
    return {
        "@context": CONTEXT,
        "@type": "dpv:ConsentReceipt",
        "dct:conformsTo": "ISO/IEC TS 27560:2023",
        "dct:hasVersion": str(SCHEMA),
        "dct:identifier": receipt_id,
        "dct:created": instant(at_ms),
        "dct:references": record["@id"],
        "troth:record": {k: v for k, v in record.items() if k != "@context"},
    }


@dataclass(frozen=True)
class Consent:
    """A consent record as stored: its state, and its content once opened."""

    cid: bytes
    consent: str
    version: str
    state: str
    given_ms: int | None
    ended_ms: int | None
    eid: bytes
    ct: bytes


class Consents:
    """Asking, giving and withdrawing, recorded in the caller's transaction."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault

    def request(
        self,
        tx: DataTx,
        policy: CompiledPolicy,
        ask: ConsentAsk,
        shown: Shown,
        *,
        tenant: str,
        sid: bytes,
        cid: bytes,
        eid: bytes,
        seal: Any,
        given: bool = False,
    ) -> None:
        """Store a record in state Requested (or Given, where no second step follows).

        ``seal(cid, value) -> bytes`` seals under the person's consent key; the caller prepared it with the keys.
        """
        events = [event("Requested", tx.now, "controller")]
        if given:
            events.append(event("Given", tx.now, "subject"))
        value = record_of(policy, ask, shown, record=cid.hex(), subject=sid.hex(), events=events)
        tx.execute(
            INSERT,
            {
                "tenant": tenant,
                "sid": sid,
                "cid": cid,
                "consent": ask.id,
                "version": policy.version,
                "state": "Given" if given else "Requested",
                "given_ms": tx.now if given else None,
                "eid": eid,
                "ct": seal(cid, value),
            },
        )

    def give(self, tx: DataTx, consent: Consent, value: dict[str, Any], *, tenant: str, sid: bytes, eid: bytes) -> bool:
        """Turn a requested consent into a given one (the second step of a double opt-in); False if it was none."""
        events = [*value["troth:events"], event("Given", tx.now, "subject")]
        value = value | {
            "troth:events": events,
            "dpv:hasConsentStatus": ["dpv:ConsentGiven"],
            "troth:given": instant(tx.now),
        }
        sealed = self.vault.seal(tenant, sid, CLASS, consent.cid, TABLE, SCHEMA, value)
        changed = tx.execute(
            GIVE,
            {
                "of_tenant": tenant,
                "of_sid": sid,
                "of_cid": consent.cid,
                "at": tx.now,
                "by_eid": eid,
                "new_ct": sealed,
            },
        )
        return bool(changed.rowcount)

    def end(
        self, tx: DataTx, *, tenant: str, sid: bytes, consent: str, state: str = "Withdrawn", by: str = "subject"
    ) -> int:
        """End every open record of this consent, with its event; how many there were.

        A record that cannot be opened ends all the same: nothing may keep a withdrawal from being in force.
        """
        ended = 0
        for found in self.of(tx.connection, tenant, sid):
            if found.consent != consent or found.state not in OPEN:
                continue
            try:
                value = self.open(tenant, sid, found)
                value = value | {
                    "troth:events": [*value["troth:events"], event(state, tx.now, by)],
                    "dpv:hasConsentStatus": [f"dpv:Consent{state}"],
                }
                sealed = self.vault.seal(tenant, sid, CLASS, found.cid, TABLE, SCHEMA, value)
            except (Damaged, NotFound):
                sealed = found.ct
            place = {"of_tenant": tenant, "of_sid": sid, "of_cid": found.cid}
            ended += tx.execute(END, {**place, "at": tx.now, "new_state": state, "new_ct": sealed}).rowcount
        return ended

    def of(self, connection: Connection, tenant: str, sid: bytes) -> list[Consent]:
        """The consent records of a person, unopened."""
        rows = connection.execute(OF_PERSON, {"of_tenant": tenant, "of_sid": sid}).mappings()
        return [
            Consent(r["cid"], r["consent"], r["version"], r["state"], r["given_ms"], r["ended_ms"], r["eid"], r["ct"])
            for r in rows
        ]

    def open(self, tenant: str, sid: bytes, consent: Consent) -> dict[str, Any]:
        """The record's content: for the person's own copy and receipt, and for rights procedures."""
        return self.vault.unseal(tenant, sid, CLASS, consent.cid, TABLE, SCHEMA, consent.ct)


def canonical(value: Any) -> bytes:
    """The value as JSON with sorted keys: what receipts are compared by."""
    return msgspec.json.encode(value, order="sorted")
