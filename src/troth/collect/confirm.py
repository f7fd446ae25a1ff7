"""The second step: the person opens the link and presses the button. A GET only looks; a POST confirms.

What was pending becomes live: the address is proven, consents that were asked are given, retention begins to
follow the person's states. Where the address already belongs to somebody here, that is the same person: their
records are joined, and the two submissions stay as they were. Clauses: ``collect.newsletter``,
``collect.registration``, ``consent.at-submission``. Mechanisms: ``intake.double-opt-in``, ``intake.registration``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.exc import IntegrityError

from troth.collect.forms import kind_of
from troth.errors import Conflict, NotFound, Unproven
from troth.notice.consents import CLASS, SCHEMA, TABLE, Consent, Consents, as_of
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, Grant, State, Stop
from troth.store import Store, Write, links
from troth.store.announce import Announce, Told, unheard
from troth.store.ledger import EntryDraft
from troth.store.links import Link
from troth.store.tables import consent_records, ledger
from troth.store.tables import links as link_table
from troth.store.writer import DataTx, KeyTx
from troth.vault import NewRecord, StoredRecord, Vault
from troth.world import Clock

MOVE = (
    update(consent_records)
    .where(
        consent_records.c.tenant == bindparam("of_tenant"),
        consent_records.c.sid == bindparam("of_sid"),
        consent_records.c.cid == bindparam("of_cid"),
    )
    .values(sid=bindparam("to"), ct=bindparam("new_ct"), eid=bindparam("by"))
)
FOLLOW = (
    update(link_table)
    .where(link_table.c.tenant == bindparam("of_tenant"), link_table.c.sid == bindparam("of_sid"))
    .values(sid=bindparam("to"))
)
GONE = "what this link was to confirm is not here any more: please fill in the form again"
BODY = select(ledger.c.body).where(ledger.c.eid == bindparam("of_eid"))
MECHANISM = {"newsletter": "intake.double-opt-in"}


@dataclass(frozen=True)
class ConfirmPage:
    """What the page behind a link may show: nothing personal, for whoever holds the link may not be the person."""

    tenant: str
    point: str
    done: bool


@dataclass(frozen=True)
class Confirmed:
    """What confirming did. ``consents`` are the ids given; ``already`` if the link had been used before."""

    point: str
    entry: str
    consents: tuple[str, ...]
    already: bool = False


class Confirmation:
    """Turns pending submissions into live ones."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        consents: Consents,
        clock: Clock,
        announce: Announce = unheard,
    ) -> None:
        self.store = store
        self._announce = announce
        self.vault = vault
        self.versions = versions
        self.consents = consents
        self.clock = clock

    def _link(self, token: str, tenant: str | None) -> Link:
        return self.store.read(lambda connection: links.find(connection, token, "confirm", self.clock.now(), tenant))

    def look(self, token: str, tenant: str | None = None) -> ConfirmPage:
        """What a GET shows; changes nothing (link scanners come by). ``Unproven`` for a link that is not valid here."""
        link = self._link(token, tenant)
        return ConfirmPage(link.tenant, link.ref, link.used_ms is not None)

    def confirm(self, token: str, tenant: str | None = None) -> Confirmed:
        """Confirm; a second time changes nothing and says so. ``Unproven`` for a link that is not valid here."""
        link = self._link(token, tenant)
        if link.used_ms is not None or link.sid is None:
            return Confirmed(link.ref, "", (), already=True)
        policy = self.versions.current()
        for _ in range(3):  # two confirmations of one address may race: the loser finds an owner and joins them
            owner = self.vault.owner(link.tenant, link.sid)
            try:
                if owner is None:
                    return self._go_live(link, link.sid, policy)
                return self._join(link, link.sid, owner, policy)
            except (IntegrityError, Conflict, NotFound):  # somebody was first, or is being erased just now: look again
                link = self._link(token, tenant)
                if link.used_ms is not None or link.sid is None:
                    return Confirmed(link.ref, "", (), already=True)
        raise Unproven("this address is being confirmed elsewhere at the same moment: please try the link again")

    def _go_live(self, link: Link, sid: bytes, policy: CompiledPolicy) -> Confirmed:
        """The first time this address is proven: its tag becomes live, which is unique, in K first."""
        opening = self.vault.opening(link.tenant, sid)
        pending = self._requested(link.tenant, sid)
        opened = [(consent, self.consents.open(link.tenant, sid, consent)) for consent in pending]
        scopes = [policy.consents[c.consent].purpose for c in pending if c.consent in policy.consents]
        stops = self._suppressed(link.tenant, sid, policy)
        tell = self._announce(link.tenant, sid, "consent.changed")

        def before(ktx: KeyTx) -> None:
            self.vault.promote(ktx, link.tenant, sid)
            self._lift(ktx, link.tenant, sid, scopes, policy)

        def body(tx: DataTx) -> Confirmed:
            if not links.use(tx, link):
                return Confirmed(link.ref, "", (), already=True)
            if not self.vault.exists(tx.connection, link.tenant, sid):
                raise Unproven(GONE, clause="rights.proof")
            self.vault.go_live(tx, link.tenant, sid)
            if stops:
                self.vault.change_state(tx, link.tenant, sid, with_stops(stops))
            return self._record(tx, link, sid, opening, policy, opened, tell)

        return self.store.write(Write(before=before, body=body))

    def _join(self, link: Link, sid: bytes, owner: bytes, policy: CompiledPolicy) -> Confirmed:
        """The address belongs to ``owner`` already: re-seal what was pending under the owner's keys, drop the rest."""
        tenant = link.tenant
        rows = self.store.read(lambda connection: self.vault.records(connection, tenant, sid))
        records = [
            NewRecord(row.class_, row.terms, self.vault.open(tenant, row), schema=row.schema, anchor_ms=row.anchor_ms)
            for row in rows
        ]
        pending = self._requested(tenant, sid)
        opened = [(consent, as_of(self.consents.open(tenant, sid, consent), owner)) for consent in pending]
        scopes = [policy.consents[c.consent].purpose for c in pending if c.consent in policy.consents]
        bound = self._bound(rows)
        tell = self._announce(tenant, owner, "consent.changed")
        staged = self.vault.stage(tenant, sid=owner, identifiers={}, records=records, pending=False, classes=(CLASS,))

        def before(ktx: KeyTx) -> None:
            staged.before(ktx)
            self._lift(ktx, tenant, owner, scopes, policy)

        def body(tx: DataTx) -> Confirmed:
            if not links.use(tx, link):
                return Confirmed(link.ref, "", (), already=True)
            if not self.vault.exists(tx.connection, tenant, sid):
                raise Unproven(GONE, clause="rights.proof")
            entry = tx.append(
                EntryDraft(
                    kind="subject.joined",
                    clause="purpose.account",
                    mechanism="intake.registration",
                    actor="subject",
                    facts={"point": link.ref, "records": len(records), **bound},
                ),
                staged.opening,
            )
            staged.insert(tx, entry.eid)
            self.vault.go_live(tx, tenant, owner)  # a crash may have left the owner's tag live and the owner pending
            for consent, value in opened:
                sealed = staged.seal(CLASS, consent.cid, TABLE, SCHEMA, value)
                self._move_consent(tx, tenant, sid, owner, consent, sealed, entry.eid)
            tx.execute(FOLLOW, {"of_tenant": tenant, "of_sid": sid, "to": owner})  # the used link says so next time
            self.vault.void(tx, tenant, sid)
            moved = [(replace(consent, eid=entry.eid), value) for consent, value in opened]
            return self._record(tx, link, owner, staged.opening, policy, moved, tell)

        def after(ktx: KeyTx, _: Confirmed) -> None:
            self.vault.destroy(ktx, tenant, sid)

        return self.store.write(Write(before=before, body=body, after=after))

    def _bound(self, rows: list[StoredRecord]) -> dict[str, str]:
        """The notice and version that the submission was bound to: the entry its records now join to says so too."""
        eids = {row.eid for row in rows}
        found = self.store.read(lambda c: [c.execute(BODY, {"of_eid": eid}).scalar() for eid in sorted(eids)])
        facts: list[dict[str, Any]] = [msgspec.json.decode(body).get("facts", {}) for body in found if body]
        notices = sorted({str(each["notice"]) for each in facts if "notice" in each})
        return {"notice": notices[0], "version": rows[0].terms.version} if len(notices) == 1 else {}

    def _suppressed(self, tenant: str, sid: bytes, policy: CompiledPolicy) -> frozenset[Stop]:
        """What this person's address was told to be spared for good, whoever it belonged to in our files then (L17)."""
        addresses = set()
        for row in self.store.read(lambda connection: self.vault.records(connection, tenant, sid)):
            point = self.versions.history.version(row.terms.version).points.get(row.terms.point)
            content = self.vault.open(tenant, row)
            for f in point.fields if point else ():
                if f.identifier and kind_of(f) == "email" and f.name in content:
                    addresses.add(str(content[f.name]))
        return frozenset(
            Stop(purpose)
            for address in addresses
            for purpose in policy.purposes
            if self.vault.suppressed(tenant, "email", address, purpose)
        )

    def _lift(self, ktx: KeyTx, tenant: str, sid: bytes, purposes: list[str], policy: CompiledPolicy) -> None:
        """Lift the suppressions that a fresh double opt-in to these purposes answers (``rights.object-marketing``)."""
        for purpose in purposes:
            for node in policy.ancestors(purpose):
                if self.vault.lift(ktx, tenant, sid, node):
                    for other in beside(policy, node, purpose):
                        self.vault.suppress(ktx, tenant, sid, other)

    def _move_consent(
        self, tx: DataTx, tenant: str, sid: bytes, owner: bytes, consent: Consent, sealed: bytes, eid: bytes
    ) -> None:
        tx.execute(
            MOVE,
            {"of_tenant": tenant, "of_sid": sid, "of_cid": consent.cid, "to": owner, "new_ct": sealed, "by": eid},
        )

    def _requested(self, tenant: str, sid: bytes) -> list[Consent]:
        def fn(connection: Connection) -> list[Consent]:
            return [c for c in self.consents.of(connection, tenant, sid) if c.state == "Requested"]

        return self.store.read(fn)

    def _record(
        self,
        tx: DataTx,
        link: Link,
        sid: bytes,
        opening: bytes,
        policy: CompiledPolicy,
        opened: list[tuple[Consent, dict[str, Any]]],
        tell: Told,
    ) -> Confirmed:
        """The entries, the consents given and the states that begin, for a person who is live."""
        tenant, point = link.tenant, policy.points.get(link.ref)
        entry = tx.append(
            EntryDraft(
                kind="intake.confirmed",
                clause=point.clause if point else "collect.registration",
                mechanism=MECHANISM.get(link.ref, "intake.registration"),
                actor="subject",
                facts={"point": link.ref, **self.versions.named(tenant)},
            ),
            opening,
        )
        given = []
        for consent, value in opened:
            ask = policy.consents.get(consent.consent)
            if ask is None:  # no longer asked for: it lapses, and retention takes it
                continue
            granted = tx.append(
                EntryDraft(
                    kind="consent.given",
                    clause=ask.clause,
                    mechanism="consent.record",
                    actor="subject",
                    purpose=ask.purpose,
                    facts={"consent": ask.id, "record": consent.cid.hex()},
                    refers=entry.eid,
                ),
                opening,
            )
            self.consents.give(tx, consent, value, tenant=tenant, sid=sid, eid=granted.eid)
            given.append(ask.id)
            grant = Grant(ask.purpose, ask.channel, ask.meaning)
            self.vault.change_state(tx, tenant, sid, with_grant(policy, grant))
        if given:
            tell(tx, entry.eid)
        if not opened:
            self.vault.change_state(tx, tenant, sid, lambda state: replace_bound(state, policy.version))
        self.vault.happen(tx, tenant, sid, f"{link.ref}.confirmed", policy)
        return Confirmed(link.ref, entry.eid.hex(), tuple(given))


def with_grant(policy: CompiledPolicy, grant: Grant) -> Callable[[State], State]:
    """A state that has the grant, and no longer the stops that a fresh consent to this very purpose lifts."""

    def change(state: State) -> State:
        stops = set(state.stops)
        for stop in state.stops:
            if stop.purpose in policy.ancestors(grant.purpose) and stop.channel in (None, grant.channel):
                stops.discard(stop)
                stops.update(Stop(node, stop.channel) for node in beside(policy, stop.purpose, grant.purpose))
        return State(state.mode, policy.version, state.grants | {grant}, frozenset(stops))

    return change


def with_stops(stops: frozenset[Stop]) -> Callable[[State], State]:
    """A state that has these stops too."""
    return lambda state: State(state.mode, state.bound, state.grants, state.stops | stops)


def beside(policy: CompiledPolicy, node: str, purpose: str) -> list[str]:
    """What stays stopped below ``node`` when only ``purpose`` is opened again: the branches that do not lead to it."""
    path = policy.ancestors(purpose)
    opened = path[: path.index(node) + 1]
    return sorted(p.id for p in policy.purposes.values() if p.parent in opened and p.id not in opened)


def replace_bound(state: State, version: str) -> State:
    """The same state, bound to this version: the person was shown it."""
    return State(state.mode, version, state.grants, state.stops)
