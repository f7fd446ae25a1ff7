"""Changing the address that one is found by: pending until a link to the new one proves it, and the old can stop it.

Order: K (the new tag, pending) -> D (what waits, entry, letters). Then, with the link: K (the new tag live, which is
where it is decided whose it is) -> D (records, entry, guards' job) -> K (the old tag gone, guards, suppressions) ->
answer. ``mend`` recomputes the tags from the records, so that D wins over what a crash left in K (invariant 19).
Clause: ``rights.rectify``. Mechanism: ``right.rectify``. ADR 0018.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from troth.collect.forms import is_email, kind_of
from troth.errors import Conflict, Invalid, NotFound, TrothError, Unproven
from troth.policy.model import CompiledPolicy, State, Stop, Template
from troth.rights.rectification import CLAUSE, Opened, Rectification, Replacement, altered, reference, referred
from troth.store import Lane, Write, links
from troth.store.jobs import Job
from troth.store.ledger import EntryDraft
from troth.store.outbox import post
from troth.store.tables import address_changes, subjects, tags
from troth.store.tables import links as link_table
from troth.store.writer import DataTx, KeyTx
from troth.vault.subjects import THERE
from troth.world import DAY_MS, Randomness

log = logging.getLogger("troth.rights")

ADDRESS_JOB = "rights.address"
SWEEP_JOB = "rights.address-sweep"
SWEEP_MS = 60 * 60_000
LIFE_MS = DAY_MS  # how long the new address may wait for its proof
PROOF, STOP = "address", "address-stop"  # the kinds of links
TO_NEW, TO_OLD = "rights.address-new", "rights.address-old"  # the letters, where the policy declares them
PROOF_PATH, STOP_PATH = "/account/address/confirm/", "/account/address/stop/"
TABLE, SCHEMA = "address_changes", 1
LONGEST = 254  # RFC 5321: a path has 256 octets with its brackets

C = address_changes.c
OF = (C.tenant == bindparam("of_tenant"), C.sid == bindparam("of_sid"))
WAITING = select(address_changes).where(*OF)
ALL_WAITING = select(C.tenant, C.sid)
INSERT = insert(address_changes)
DROP = delete(address_changes).where(*OF)
TAKE = delete(address_changes).where(*OF, C.eid == bindparam("of_eid"))
EXPIRED = delete(address_changes).where(C.expires_ms <= bindparam("at"))
DROP_LINKS = delete(link_table).where(
    link_table.c.tenant == bindparam("of_tenant"),
    link_table.c.sid == bindparam("of_sid"),
    link_table.c.kind.in_(bindparam("kinds", expanding=True)),
)
GENERATION = select(subjects.c.generation, subjects.c.mode).where(
    subjects.c.tenant == bindparam("of_tenant"), subjects.c.sid == bindparam("of_sid")
)
T = tags.c
OVERDUE = (
    select(T.id, T.tenant, T.sid)
    .where(T.state == "pending", T.expires_ms <= bindparam("at"), T.id > bindparam("after"))
    .order_by(T.id)
    .limit(500)
)
DROP_TAG = delete(tags).where(T.id == bindparam("of_id"), T.state == "pending")


class Addresses:
    """Changes the address that people are found by. Methods block: call them from a thread."""

    def __init__(self, rectification: Rectification, chance: Randomness) -> None:
        self.rectification = rectification
        self.store = rectification.store
        self.vault = rectification.vault
        self.versions = rectification.versions
        self.requests = rectification.requests
        self.chance = chance

    def offered(self) -> bool:
        """Whether the policy in force declares the letters that this takes."""
        return {TO_NEW, TO_OLD} <= set(self.versions.current().templates)

    def kept(self, tenant: str, sid: bytes) -> dict[str, Any] | None:
        """The address that waits, as the person's copy tells it; None where none does."""
        row = self.store.read(lambda c: self._waiting(c, tenant, sid))
        try:
            address = self._address(row) if row is not None else None
        except NotFound:  # the class whose key seals it ended just now
            address = None
        return None if row is None else {"address": address, "asked": row["asked_ms"], "until": row["expires_ms"]}

    def waiting(self, tenant: str, sid: bytes) -> tuple[int, int] | None:
        """Since when and until when (UTC milliseconds) a change waits for its proof; None where none does."""
        row = self.store.read(lambda c: self._waiting(c, tenant, sid))
        if row is None or row["expires_ms"] <= self.store.now():
            return None
        return row["asked_ms"], row["expires_ms"]

    # --- asking ---

    def ask(self, tenant: str, sid: bytes, address: str, *, proof: bytes | None = None, language: str = "en") -> None:
        """Ask for the change: a link goes to the new address, a notice to the old one. An earlier wish is dropped.

        The answer is the same whether the address is somebody's or nobody's. ``Invalid`` where it is none or the same
        as before, ``Conflict`` where the policy declares no letters for it or nothing is found by an address.
        """
        templates = self._templates()
        opened = self.rectification.opened(tenant, sid)
        old = addresses(opened)
        if not old:
            raise Conflict("you are not found by an address here", clause=CLAUSE)
        if not is_email(address) or len(address) > LONGEST:
            raise Invalid("this is no e-mail address", clause=CLAUSE, gaps=("/email: email",))
        new_hash = self.vault.hashed(tenant, "email", address)
        if new_hash in {self.vault.hashed(tenant, "email", each) for each in old}:
            raise Invalid("this is the address on file", clause=CLAUSE, gaps=("/email: same",))
        secret, eid = self.vault.opening(tenant, sid), self.chance.bytes(16)
        class_ = next(one.record.class_ for one in reversed(opened) if addresses([one]))
        ct = self.vault.seal(tenant, sid, class_, eid, TABLE, SCHEMA, {"address": address})
        proving, stopping = links.new_token(self.chance), links.new_token(self.chance)
        letters = [(templates[0], address, self._words(proving, PROOF_PATH, language))]
        letters += [(templates[1], each, self._words(stopping, STOP_PATH, language)) for each in old]
        sealed = [(template, self.vault.transit_seal(to.encode()), words) for template, to, words in letters]
        of = {"of_tenant": tenant, "of_sid": sid}

        def before(ktx: KeyTx) -> None:
            until = ktx.now + LIFE_MS
            self.vault.settle(ktx, tenant, sid, "email", live=old, pending=(address,), expires_ms=until)

        def body(tx: DataTx) -> None:
            if not self.vault.exists(tx.connection, tenant, sid):
                raise NotFound("there is no such person here", clause=CLAUSE)
            draft = EntryDraft("address.asked", CLAUSE, "right.rectify", "subject", refers=proof)
            tx.append(draft, secret, eid=eid)
            tx.execute(DROP, of)
            tx.execute(DROP_LINKS, of | {"kinds": [PROOF, STOP]})
            until = tx.now + LIFE_MS
            row = {"tenant": tenant, "sid": sid, "eid": eid, "class_": class_, "ct": ct}
            tx.execute(INSERT, row | {"asked_ms": tx.now, "expires_ms": until})
            for token, kind in ((proving, PROOF), (stopping, STOP)):
                links.make(tx, token, kind, tenant=tenant, sid=sid, ref=eid.hex(), expires_ms=until)
            for template, to, words in sealed:
                whose = partial(post, tx, template, self.chance, tenant=tenant, sid=sid, opening=secret)
                whose(variables=words, address=to)

        self.store.write(Write(before=before, body=body, lane=Lane.RIGHTS))

    # --- proving ---

    def look(self, token: str, kind: str, tenant: str | None = None) -> None:
        """``Unproven`` unless the link of this kind would do something now (here). Changes nothing."""
        self._linked(token, kind, tenant)

    def prove(self, token: str, tenant: str | None = None) -> None:
        """The link to the new address: from here on it is the person's, and the old one finds nothing.

        ``Unproven`` for a link that is over; ``Conflict`` where the address was proven by somebody else before: it is
        told to whoever holds the mailbox, and to nobody else.
        """
        link, row = self._linked(token, PROOF, tenant)
        tenant, sid = link.tenant, bytes(row["sid"])
        new = self._address(row)
        opened = self.rectification.opened(tenant, sid)
        old = addresses(opened)
        found = [changed for one in opened if (changed := readdressed(one, old, new)) is not None]
        sealed = self.rectification.seal(found)
        secret, policy = self.vault.opening(tenant, sid), self.versions.current()
        spared = self._suppressed(tenant, new, policy)

        def before(ktx: KeyTx) -> None:
            try:
                self.vault.settle(ktx, tenant, sid, "email", live=[*old, new])
            except Conflict:
                raise Conflict(TAKEN, clause=CLAUSE) from None

        def body(tx: DataTx) -> tuple[list[bytes], State]:
            of = {"of_tenant": tenant, "of_sid": sid}
            if not links.use(tx, link) or not tx.execute(TAKE, of | {"of_eid": row["eid"]}).rowcount:
                raise over()
            draft = EntryDraft("address.changed", CLAUSE, "right.rectify", "subject", refers=bytes(row["eid"]))
            entry = tx.append(draft, secret)
            eids = self.rectification.put(tx, tenant, sid, found, sealed, secret, refers=entry.eid)
            state = self.vault.change_state(
                tx, tenant, sid, lambda s: State(s.mode, s.bound, s.grants, s.stops | spared)
            )
            # what was sent to the old address opens nothing any more; sessions go on, as do links that only stop
            tx.execute(DROP_LINKS, of | {"kinds": [PROOF, STOP, "centre"]})
            rid = self.requests.record(tx, "rectification", tenant=tenant, sid=sid)
            self.requests.end(tx, rid, "fulfilled", {"records": len(found)})
            tx.enqueue(ADDRESS_JOB, reference(tenant, sid, eids, found))
            return eids, state

        def after(ktx: KeyTx, done: tuple[list[bytes], State]) -> None:
            eids, state = done
            self.vault.settle(ktx, tenant, sid, "email", live=[new])
            self._cover(ktx, tenant, sid, state)
            pairs = zip(eids, (changed.opened.record.rid for changed in found), strict=True)
            self.rectification.guard(ktx, tenant, sid, pairs, ktx.now)

        try:
            self.store.write(Write(before=before, body=body, after=after, lane=Lane.RIGHTS))
        except (TrothError, IntegrityError) as fault:
            self.mend(tenant, sid)
            if isinstance(fault, IntegrityError):
                raise Conflict(TAKEN, clause=CLAUSE) from None
            raise

    def stop(self, token: str, tenant: str | None = None) -> None:
        """The link to the old address: the change that waits is dropped. ``Unproven`` where there is none any more."""
        link, row = self._linked(token, STOP, tenant)
        tenant, sid = link.tenant, bytes(row["sid"])
        secret, of = self.vault.opening(tenant, sid), {"of_tenant": tenant, "of_sid": sid}

        def body(tx: DataTx) -> None:
            if not links.use(tx, link) or not tx.execute(TAKE, of | {"of_eid": row["eid"]}).rowcount:
                raise over()
            tx.execute(DROP_LINKS, of | {"kinds": [PROOF, STOP]})
            draft = EntryDraft("address.stopped", CLAUSE, "right.rectify", "subject", refers=bytes(row["eid"]))
            tx.append(draft, secret)

        self.store.write(Write(body=body, lane=Lane.RIGHTS))
        self.mend(tenant, sid)

    # --- putting right ---

    def mend(self, tenant: str, sid: bytes) -> None:
        """Let the tags be those of the records and of what waits. D wins, whatever a crash left in K."""
        of = {"of_tenant": tenant, "of_sid": sid}
        while True:
            seen = self.store.read(partial(as_it_is, of))
            if seen is None or seen.mode not in THERE:
                return  # gone, or going: every tag goes with it
            try:
                live = addresses(self.rectification.opened(tenant, sid))
                row = self.store.read(lambda c: self._waiting(c, tenant, sid))
                waits = [self._address(row)] if row is not None else []
            except NotFound:
                return
            until = row["expires_ms"] if row is not None else None

            def same(tx: DataTx, seen: object = seen) -> bool:
                return tx.execute(GENERATION, of).one_or_none() == seen

            def settle(
                ktx: KeyTx,
                unchanged: bool,
                live: list[str] = live,
                waits: list[str] = waits,
                until: int | None = until,
            ) -> None:
                if unchanged and live:
                    self.vault.settle(ktx, tenant, sid, "email", live=live, pending=waits, expires_ms=until)

            if self.store.write(Write(body=same, after=settle, lane=Lane.JOB)):
                return

    def mend_all(self) -> int:
        """Everybody whose change waits, before the port opens: one of them may have been broken off. How many."""
        waiting = self.store.read(lambda c: c.execute(ALL_WAITING).all())
        for row in waiting:
            try:
                self.mend(row.tenant, bytes(row.sid))
            except TrothError as fault:  # one person's index must not keep the port closed for everybody
                log.error("the addresses of one person could not be put right: %s", fault.code)
        return len(waiting)

    def redo(self, job: Job) -> None:
        """The job behind a change: what K owes it, and the old ciphertext out of D's files."""
        tenant, sid, _ = referred(job.ref)
        self.mend(tenant, sid)
        try:
            state = self.store.read(lambda c: self.vault.state_of(c, tenant, sid))[0]
            self.store.write_keys(lambda ktx: self._cover(ktx, tenant, sid, state))
        except NotFound:
            pass  # erased meanwhile: the erasure has written the suppressions down
        self.rectification.redo(job)

    def sweep(self, job: Job) -> None:
        """What was never proven: the wishes that are over, and tags of theirs that a crash left without one."""
        self.store.write(Write(lambda tx: tx.execute(EXPIRED, {"at": tx.now}).rowcount, lane=Lane.JOB))
        now, after = self.store.now(), 0
        while rows := self.store.read_keys(partial(overdue, now, after)):
            for row in rows:
                of = {"of_tenant": row.tenant, "of_sid": row.sid}
                person = self.store.read(partial(as_it_is, of))
                if person is not None and person.mode in ("live", "restricted"):  # the pending go by their class's rule
                    self.store.write_keys(partial(drop_tag, row.id))
            after = rows[-1].id

    # --- inside ---

    def _templates(self) -> tuple[Template, Template]:
        policy = self.versions.current()
        if not self.offered():
            raise Conflict("the policy declares no letters that would prove another address", clause=CLAUSE)
        return policy.templates[TO_NEW], policy.templates[TO_OLD]

    def _words(self, token: str, path: str, language: str) -> bytes:
        return self.vault.transit_seal(msgspec.json.encode({"token": token, "path": path, "language": language}))

    def _waiting(self, connection: Connection, tenant: str, sid: bytes) -> RowMapping | None:
        return connection.execute(WAITING, {"of_tenant": tenant, "of_sid": sid}).mappings().one_or_none()

    def _address(self, row: RowMapping) -> str:
        place = (row["tenant"], bytes(row["sid"]), row["class"], bytes(row["eid"]), TABLE, SCHEMA)
        return str(self.vault.unseal(*place, bytes(row["ct"]))["address"])

    def _linked(self, token: str, kind: str, tenant: str | None) -> tuple[links.Link, RowMapping]:
        """The link and what waits behind it; ``Unproven`` where either is over."""
        now = self.store.now()
        link = self.store.read(lambda c: links.find(c, token, kind, now, tenant))
        sid = link.sid
        if link.used_ms is not None or sid is None:
            raise over()
        row = self.store.read(lambda c: self._waiting(c, link.tenant, sid))
        if row is None or bytes(row["eid"]).hex() != link.ref or row["expires_ms"] <= now:
            raise over()
        if not self.store.read(lambda c: self.vault.exists(c, link.tenant, sid)):
            raise over()
        return link, row

    def _suppressed(self, tenant: str, address: str, policy: CompiledPolicy) -> frozenset[Stop]:
        """What the new address was told to be spared, whoever it belonged to in our files then (L17)."""
        return frozenset(Stop(p) for p in policy.purposes if self.vault.suppressed(tenant, "email", address, p))

    def _cover(self, ktx: KeyTx, tenant: str, sid: bytes, state: State) -> None:
        """An objection was the person's, not the address's: it covers the new one, and stays on the old."""
        for stop in sorted(state.stops, key=lambda s: (s.purpose, s.channel or "")):
            if stop.channel in (None, "email"):
                self.vault.suppress(ktx, tenant, sid, stop.purpose)


TAKEN = "this address was proven by somebody before: end that account first, or use another address"


def as_it_is(of: Mapping[str, Any], connection: Connection) -> Any:
    """The person's generation and mode; None if they are not here."""
    return connection.execute(GENERATION, of).one_or_none()


def overdue(now: int, after: int, connection: Connection) -> Sequence[Any]:
    """The next tags whose proof never came."""
    return connection.execute(OVERDUE, {"at": now, "after": after}).all()


def drop_tag(tag: int, ktx: KeyTx) -> None:
    """Delete a tag that is pending still."""
    ktx.execute(DROP_TAG, {"of_id": tag})


def over() -> Unproven:
    """The one answer to a link that does nothing any more."""
    return Unproven("this link is not valid, or no longer: please ask for the change again", clause=CLAUSE)


def addresses(opened: list[Opened]) -> list[str]:
    """The addresses that a person is found by, each spelling once, as their records hold them."""
    found = (
        str(one.content[f.name])
        for one in opened
        for f in one.fields
        if f.identifier and kind_of(f) == "email" and f.name in one.content
    )
    return list(dict.fromkeys(found))


def readdressed(one: Opened, old: list[str], new: str) -> Replacement | None:
    """The record with the new address in every field that they are found by, or that holds the old one."""
    values = {
        f.name: new
        for f in one.fields
        if kind_of(f) == "email" and f.name in one.content and (f.identifier or one.content[f.name] in old)
    }
    return altered(one, values)
