"""The person's copy: everything held about them, with what Art. 15 asks for beside it, and nothing of anybody else.

One value, three forms: JSON (documented schema, machine-readable: Art. 20), CSV in a zip, and a readable page that
the web makes of the same value. Clauses: ``rights.access``, ``rights.portability``. Mechanism: ``right.access``.
"""

from __future__ import annotations

import base64
import csv
import io
import zipfile
from typing import Annotated, Any

import msgspec
from sqlalchemy import Connection, bindparam, select

from troth.errors import NotFound
from troth.notice.brought import MEMBER
from troth.notice.consents import Consents
from troth.notice.shown import periods
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, StateRule
from troth.rights import hold, restriction
from troth.rights.address import Addresses
from troth.rights.delegation import GIVEN
from troth.rights.rectification import corrections_of
from troth.rights.requests import REQUESTS_OF, Requests
from troth.store import Lane, Store, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import messages, subject_states, subjects
from troth.store.writer import DataTx
from troth.use import credentials, known_devices, looks, person_passkeys, person_sessions
from troth.use.activity import activity_of
from troth.use.arrivals import TOTP
from troth.use.compromise import REMINDER
from troth.use.second_factor import LOST, RECOVERY
from troth.vault import StoredRecord, Vault
from troth.vault.retention import due

FORMAT = "troth-copy-1"

SUBJECT = select(subjects).where(subjects.c.tenant == bindparam("of_tenant"), subjects.c.sid == bindparam("of_sid"))
STATES = select(subject_states).where(
    subject_states.c.tenant == bindparam("of_tenant"), subject_states.c.sid == bindparam("of_sid")
)
MESSAGES = (
    select(messages.c.template, messages.c.purpose, messages.c.state, messages.c.queued_ms, messages.c.ended_ms)
    .where(messages.c.tenant == bindparam("of_tenant"), messages.c.sid == bindparam("of_sid"))
    .order_by(messages.c.queued_ms)
)


def said(description: str) -> msgspec.Meta:
    """What a member of the copy means, for its schema (``docs/reference/copy.md``)."""
    return msgspec.Meta(description=description)


OWN = "the person"
"""The source of what a person told us themselves."""


class Used(msgspec.Struct, frozen=True):
    """One use of a record's fields: a line of the record of processing activities."""

    purpose: Annotated[str, said("what for, as the policy names it")]
    basis: Annotated[str, said("the legal basis: one of the six of Art. 6(1) GDPR")]
    fields: Annotated[tuple[str, ...], said("which of the record's fields")]
    clause: Annotated[str, said("the clause of the policy that permits it")]
    recipient: Annotated[str | None, said("the class of recipients it is given to; null: nobody else")]


class Held(msgspec.Struct, frozen=True):
    """One record as held: its values, where and under which version it was collected, why, and until when.

    ``until`` is the time (UTC milliseconds) at which it will be erased, None while that depends on the person.
    """

    id: Annotated[str, said("the record's id, hex")]
    point: Annotated[str, said("the collection point: newsletter, registration")]
    surface: Annotated[str, said("the site or product it was collected on")]
    version: Annotated[str, said("the version of the policy it was collected under")]
    collected: Annotated[int, said("when, in UTC milliseconds")]
    source: Annotated[str, said("where it comes from")]
    entry: Annotated[str, said("the ledger's entry of the collection, hex")]
    values: Annotated[dict[str, Any], said("field -> value, as held")]
    uses: Annotated[tuple[Used, ...], said("what it may be used for")]
    kept: Annotated[tuple[str, ...], said("how long, in the policy's figures")]
    until: Annotated[int | None, said("when it will be erased, in UTC milliseconds; null: it depends on you")]


class Copy(msgspec.Struct, frozen=True):
    """The whole copy. Times are UTC milliseconds; ids are hex."""

    format: Annotated[str, said(f"{FORMAT!r}; another shape would have another name")]
    made: Annotated[int, said("when the copy was made, in UTC milliseconds")]
    controller: Annotated[dict[str, str], said("who is responsible: name, contact, address, country")]
    policy: Annotated[dict[str, str], said("the policy in force: policy, version, sha256 of its text")]
    records: Annotated[tuple[Held, ...], said("everything held, record by record")]
    consents: Annotated[tuple[dict[str, Any], ...], said("consent records as JSON-LD (ISO/IEC TS 27560, DPV)")]
    objections: Annotated[tuple[dict[str, str | None], ...], said("purpose, and channel (null: every channel)")]
    restriction: Annotated[dict[str, Any] | None, said("ground, since: your data is set aside; null: it is not")]
    hold: Annotated[
        dict[str, Any] | None, said("reason (law, claims), since, until: kept though it would go; null: it is not")
    ]
    states: Annotated[tuple[dict[str, Any], ...], said("state, since, until: what the keeping rests on")]
    messages: Annotated[tuple[dict[str, Any], ...], said("template, purpose, state, queued: what was sent to you")]
    account: Annotated[
        dict[str, Any],
        said(
            "password: since when one is set (null: none; its value is never given out); second_factor: since when one "
            "is set (null: none); recovery_codes: how many are left; recovery_asked: since when one waits whose second "
            "factor is lost; reminder: since when one wishes it, or when one was reminded last; passkeys: name, added, "
            "used, id and public key (base64url) of each; sessions: begun, seen, method, browser, system and country "
            "of each that is open; devices: browser, system, country and time of what was signed in from; delegates: "
            "name, own (what they call one), scope, since and until of each to whom one gave access to the account; "
            "waiting: a new address that waits for its proof, with asked and until (null: none); activity: event, "
            "product, at and until of what products told of its use"
        ),
    ]
    corrections: Annotated[tuple[dict[str, Any], ...], said("at, point, fields: what was corrected, and when")]
    looks: Annotated[
        tuple[dict[str, Any], ...],
        said(
            "at, role, purpose and reason of each look of our staff at your data (reason null: not kept any more); "
            "role delegate or delegate-changed where somebody looked or corrected whom you gave access: reason is what "
            "you call them"
        ),
    ]
    requests: Annotated[tuple[dict[str, Any], ...], said("kind, state, received, due: what you asked for")]
    recipients: Annotated[
        tuple[dict[str, Any], ...], said("class, role, countries, purpose: who else may receive data")
    ]
    rights: Annotated[tuple[str, ...], said("the rights that the policy grants")]
    entry: Annotated[str, said("the ledger's entry of this copy, hex")]


class Access:
    """Prepares copies."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        consents: Consents,
        requests: Requests,
        addresses: Addresses,
    ) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.consents = consents
        self.requests = requests
        self.addresses = addresses

    def copy(self, tenant: str, sid: bytes, *, actor: str = "subject", proof: bytes | None = None) -> Copy:
        """The copy; it leaves only after its entry is durable (promise 3). ``NotFound`` if the person is not here.

        ``proof`` is the entry by which the person showed who they are, where that was not just now.
        """

        def snapshot(connection: Connection) -> dict[str, Any] | None:
            key = {"of_tenant": tenant, "of_sid": sid}
            if not self.vault.exists(connection, tenant, sid):
                return None
            return {
                "subject": dict(connection.execute(SUBJECT, key).mappings().one()),
                "state": self.vault.state_of(connection, tenant, sid)[0],
                "records": self.vault.records(connection, tenant, sid),
                "consents": self.consents.of(connection, tenant, sid),
                "restriction": restriction.standing(connection, tenant, sid),
                "hold": hold.standing(connection, tenant, sid),
                "states": [dict(row) for row in connection.execute(STATES, key).mappings()],
                "credentials": credentials.of_person(connection, tenant, sid),
                "sessions": person_sessions.of_person(connection, tenant, sid, self.store.now()),
                "corrections": corrections_of(connection, tenant, sid),
                "activity": activity_of(connection, tenant, sid),
                "messages": [dict(row) for row in connection.execute(MESSAGES, key).mappings()],
                "looks": list(connection.execute(looks.ALL, key).mappings()),
                "requests": [dict(row) for row in connection.execute(REQUESTS_OF, key).mappings()],
            }

        found = self.store.read(snapshot)
        if found is None:
            raise NotFound("there is no such person here", clause="rights.access")
        policy = self.versions.current(tenant)
        held = tuple(self._held(tenant, policy, record, found) for record in found["records"])
        consents = tuple(
            self.consents.open(tenant, sid, consent) | {"troth:state": consent.state} for consent in found["consents"]
        )
        waiting = self.addresses.kept(tenant, sid)
        opening = self.vault.opening(tenant, sid)

        def body(tx: DataTx) -> tuple[str, int]:
            if not self.vault.exists(tx.connection, tenant, sid):  # an erasure was ordered while we read
                raise NotFound("there is no such person here", clause="rights.access")
            rid = self.requests.record(tx, "access", tenant=tenant, sid=sid)
            entry = tx.append(
                EntryDraft(
                    kind="access.prepared",
                    clause="rights.access",
                    mechanism="right.access",
                    actor=actor,
                    refers=proof,
                    facts={"records": len(held), "consents": len(consents), "messages": len(found["messages"])},
                ),
                opening,
            )
            self.requests.end(tx, rid, "fulfilled", {"records": len(held), "consents": len(consents)})
            return entry.eid.hex(), tx.now

        entry, now = self.store.write(Write(body=body, lane=Lane.RIGHTS))
        return Copy(
            format=FORMAT,
            made=now,
            controller={
                "name": policy.controller.name,
                "contact": policy.controller.contact,
                "address": policy.controller.address,
                "country": policy.controller.country,
            },
            policy={"policy": policy.policy, "version": policy.version, "sha256": policy.sha256},
            records=held,
            consents=consents,
            objections=tuple(
                {"purpose": stop.purpose, "channel": stop.channel}
                for stop in sorted(found["state"].stops, key=lambda s: (s.purpose, s.channel or ""))
            ),
            restriction=(
                {"ground": found["restriction"].ground, "since": found["restriction"].since_ms}
                if found["restriction"]
                else None
            ),
            hold=(
                {"reason": found["hold"].reason, "since": found["hold"].since_ms, "until": found["hold"].until_ms}
                if found["hold"]
                else None
            ),
            states=tuple(
                {"state": s["state"], "since": s["since_ms"], "until": s["until_ms"]} for s in found["states"]
            ),
            messages=tuple(
                {"template": m["template"], "purpose": m["purpose"], "state": m["state"], "queued": m["queued_ms"]}
                for m in found["messages"]
            ),
            account={
                **self._credentials(tenant, sid, found["credentials"]),
                "sessions": [self._session(session) for session in found["sessions"]],
                "waiting": waiting,
                "activity": found["activity"],
            },
            corrections=tuple(found["corrections"]),
            looks=tuple(
                {"at": look.at_ms, "role": look.role, "purpose": look.purpose, "reason": look.reason}
                for look in looks.opened(self.vault, found["looks"])
            ),
            requests=tuple(
                {"kind": r["kind"], "state": r["state"], "received": r["received_ms"], "due": r["due_ms"]}
                for r in found["requests"]
            ),
            recipients=tuple(
                {"class": r.id, "role": r.role, "countries": list(r.countries), "purpose": r.purpose}
                for r in policy.recipients.values()
            ),
            rights=tuple(sorted(policy.rights)),
            entry=entry,
        )

    def _credentials(self, tenant: str, sid: bytes, held: credentials.Held) -> dict[str, Any]:
        """What they sign in with, as far as it is theirs to see: no password's value."""
        password = held.get(credentials.PASSWORD)
        keys = (
            (stored.since_ms, credentials.unseal(self.vault, tenant, sid, kind, stored))
            for kind, stored in held.items()
            if kind.startswith(person_passkeys.KIND)
        )
        factor, lost, reminder = held.get(TOTP), held.get(LOST), held.get(REMINDER)
        codes = credentials.unseal(self.vault, tenant, sid, RECOVERY, held.get(RECOVERY)).get("codes", ())
        return {
            "password": password.since_ms if password else None,
            "second_factor": factor.since_ms if factor else None,
            "recovery_codes": len(codes),
            "recovery_asked": lost.since_ms if lost else None,
            "reminder": reminder.since_ms if reminder else None,
            "devices": [
                {**device._asdict(), "seen": seen_ms}
                for device, seen_ms in known_devices.seen(self.vault, tenant, sid, held).items()
            ],
            "delegates": self._delegates(tenant, sid, held),
            "passkeys": [
                {
                    "name": key["name"],
                    "added": since_ms,
                    "used": key["used"] or None,
                    "id": told(key["credential"]),
                    "public_key": told(key["key"]),
                }
                for since_ms, key in keys
                if key
            ],
        }

    def _delegates(self, tenant: str, sid: bytes, held: credentials.Held) -> list[dict[str, Any]]:
        """To whom they gave access to their account, by the names that they gave them."""
        found = (
            (stored.since_ms, credentials.unseal(self.vault, tenant, sid, kind, stored))
            for kind, stored in held.items()
            if kind.startswith(GIVEN)
        )
        return [
            {"name": one["name"], "own": one["own"], "scope": one["scope"], "since": since_ms, "until": one["until"]}
            for since_ms, one in found
            if one
        ]

    def _session(self, session: person_sessions.Session) -> dict[str, Any]:
        """One open session, as the copy tells it: neither token nor hash."""
        device = person_sessions.open_device(self.vault, session)
        return {
            "begun": session.created_ms,
            "seen": session.seen_ms,
            "method": session.method,
            "browser": device.browser if device else None,
            "system": device.system if device else None,
            "country": device.country if device else None,
        }

    def _held(self, tenant: str, policy: CompiledPolicy, record: StoredRecord, found: dict[str, Any]) -> Held:
        """One record, opened, with its uses in the version it was collected under."""
        version = self.versions.history.version(record.terms.version)
        point = version.points.get(record.terms.point)
        keep = version.keeps.get(record.class_)
        rows = {row["state"]: (row["since_ms"], row["until_ms"]) for row in found["states"]}
        rules: dict[str, StateRule] = version.states
        last_use: int = found["subject"]["last_use_ms"]
        until = due(keep, rules, record.anchor_ms, rows, last_use) if keep else None
        uses = [use for use in point.uses if use.keep == record.class_] if point else []
        values = self.vault.open(tenant, record)
        told = values.pop(MEMBER, None)  # of somebody who was brought in from elsewhere
        return Held(
            id=record.rid.hex(),
            point=record.terms.point,
            surface=record.terms.surface,
            version=record.terms.version,
            collected=record.anchor_ms,
            source=str(told["troth:source"]) if told else OWN,
            entry=record.eid.hex(),
            values=values,
            uses=tuple(
                Used(use.purpose, use.basis, tuple(sorted(use.fields)), use.clause, use.recipient) for use in uses
            ),
            kept=periods(version, record.class_),
            until=until,
        )


def as_json(copy: Copy) -> bytes:
    """The copy as JSON, indented: documented in ``docs/reference/copy.md``."""
    return msgspec.json.format(msgspec.json.encode(copy), indent=2)


def as_csv(copy: Copy) -> bytes:
    """The copy as a zip of CSV tables (UTF-8 with BOM, so that spreadsheets read them), one row a value."""
    tables: dict[str, list[list[str]]] = {
        "data": [["record", "point", "version", "collected", "field", "value", "purposes", "kept"]],
        "consents": [["record", "purpose", "words", "state", "given"]],
        "messages": [["template", "purpose", "state", "queued"]],
        "objections": [["purpose", "channel"]],
        "account": [["what", "since", "seen", "method", "browser", "system", "country"]],
        "corrections": [["point", "fields", "at"]],
        "activity": [["event", "product", "at", "until"]],
        "looks": [["at", "role", "purpose", "reason"]],
    }
    for held in copy.records:
        for name, value in sorted(held.values.items()):
            purposes = ", ".join(sorted({use.purpose for use in held.uses if name in use.fields}))
            row = [held.id, held.point, held.version, str(held.collected), name, str(value), purposes]
            tables["data"].append([*row, "; ".join(held.kept)])
    for consent in copy.consents:
        notice, process = consent["dpv:hasNotice"], consent["dpv:hasProcess"]
        given = consent["troth:given"]["@value"] if consent["troth:given"] else ""
        titles = ", ".join(p["dct:title"] for p in process["dpv:hasPurpose"])
        tables["consents"].append(
            [consent["dct:identifier"], titles, notice["troth:words"], consent["troth:state"], given]
        )
    for message in copy.messages:
        tables["messages"].append([str(message[k]) for k in ("template", "purpose", "state", "queued")])
    if copy.restriction is not None:
        tables["restriction"] = [["ground", "since"], [str(copy.restriction[k]) for k in ("ground", "since")]]
    if copy.hold is not None:
        tables["hold"] = [["reason", "since", "until"], [str(copy.hold[k]) for k in ("reason", "since", "until")]]
    for objection in copy.objections:
        tables["objections"].append([objection["purpose"] or "", objection["channel"] or "every channel"])
    if copy.account["password"] is not None:
        tables["account"].append(["password", str(copy.account["password"]), *[""] * 5])
    if copy.account["second_factor"] is not None:
        tables["account"].append(["second factor", str(copy.account["second_factor"]), *[""] * 5])
    if copy.account["recovery_asked"] is not None:
        tables["account"].append(["recovery asked", str(copy.account["recovery_asked"]), *[""] * 5])
    for one in copy.account["delegates"]:
        tables["account"].append(["access given", str(one["since"]), "", one["name"], one["scope"], "", ""])
    for key in copy.account["passkeys"]:
        tables["account"].append(["passkey", str(key["added"]), str(key["used"] or ""), key["name"], "", "", ""])
    for device in copy.account["devices"]:
        words = (device["browser"], device["system"], device["country"])
        tables["account"].append(["device", "", str(device["seen"]), "", *words])
    for session in copy.account["sessions"]:
        told = [str(session[k] or "") for k in ("begun", "seen", "method", "browser", "system", "country")]
        tables["account"].append(["session", *told])
    if copy.account["waiting"] is not None:
        waiting = copy.account["waiting"]
        tables["account"].append([f"waiting: {waiting['address']}", str(waiting["asked"]), "", "", "", ""])
    for correction in copy.corrections:
        tables["corrections"].append([correction["point"], ", ".join(correction["fields"]), str(correction["at"])])
    for told in copy.account["activity"]:
        tables["activity"].append([str(told[k] or "") for k in ("event", "product", "at", "until")])
    for look in copy.looks:
        tables["looks"].append([str(look[k] or "") for k in ("at", "role", "purpose", "reason")])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in tables.items():
            text = io.StringIO()
            csv.writer(text).writerows([harmless(cell) for cell in row] for row in rows)
            archive.writestr(f"{name}.csv", "\ufeff" + text.getvalue())
    return packed.getvalue()


def told(secret: bytes) -> str:
    """Bytes as text: base64url without padding, as WebAuthn writes them."""
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def harmless(cell: str) -> str:
    """A cell that a spreadsheet will not take for a formula (values come from people)."""
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
