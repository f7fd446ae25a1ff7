"""Asking for one's rights: proof by a link to the address on file, and an answer that tells a stranger nothing.

The answer to "send me my link" is written before anything is looked up; the look-up is a job. So a known and an
unknown address cannot be told apart, by words, status or time (L9). Clauses: ``rights.proof``,
``contact.questions``. Mechanism: ``right.proof``.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from troth.errors import Invalid, NotFound, Unproven
from troth.notice.versions import Versions
from troth.policy.model import RightKind
from troth.rights.calendar import Zones, after
from troth.store import Lane, Store, Write, links
from troth.store.jobs import Job
from troth.store.ledger import EntryDraft
from troth.store.outbox import post
from troth.store.tables import rights_requests
from troth.store.writer import DataTx
from troth.use import person_sessions
from troth.use.devices import Device
from troth.use.person_sessions import CLASS, Method, Session
from troth.use.sessions import SEEN_EVERY_MS, cookie_hash
from troth.vault import Vault
from troth.world import Clock, Randomness

LINK_JOB = "rights.link"
LINK_MS = 60 * 60_000  # a link to the centre is good for an hour

NOT_VALID = "this link is not valid, or no longer: please ask for a new one"

INSERT_REQUEST = insert(rights_requests)
END_REQUEST = (
    update(rights_requests)
    .where(rights_requests.c.id == bindparam("of_id"))
    .values(state=bindparam("new_state"), ended_ms=bindparam("at"), facts=bindparam("new_facts"))
)
REQUESTS_OF = (
    select(rights_requests)
    .where(rights_requests.c.tenant == bindparam("of_tenant"), rights_requests.c.sid == bindparam("of_sid"))
    .order_by(rights_requests.c.received_ms)
)


class Asked(msgspec.Struct, frozen=True):
    """The neutral answer to asking for a link."""

    entry: str
    at: int


def begin(
    tx: DataTx,
    tenant: str,
    sid: bytes,
    opening: bytes,
    cookie: str,
    csrf: bytes,
    facts: Mapping[str, str] | None = None,
    *,
    method: Method = "link",
    device: bytes | None = None,
) -> Session:
    """Note that this person has shown who they are, and open their centre, in the caller's transaction.

    Whoever calls has checked the proof and that the person is here; ``facts`` and ``method`` say how they were proven
    where it was not by a link to the address on file.
    """
    entry = tx.append(
        EntryDraft("rights.proven", "rights.proof", "right.proof", "subject", facts=dict(facts or {})),
        opening,
    )
    return person_sessions.start(tx, cookie, tenant, sid, csrf=csrf, method=method, proof=entry.eid, device=device)


class Requests:
    """From asking for a link to an open centre."""

    def __init__(
        self, store: Store, vault: Vault, versions: Versions, clock: Clock, chance: Randomness, zones: Zones
    ) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.clock = clock
        self.chance = chance
        self.zones = zones

    def ask_write(self, tenant: str, address: str, language: str, actor: str = "visitor") -> Write[Asked]:
        """The write behind "send me my link": an entry and a job; nothing is looked up.

        ``actor`` is the operator who asks for somebody who asked them.
        """
        payload = self.vault.transit_seal(msgspec.json.encode({"address": address, "language": language}))

        def body(tx: DataTx) -> Asked:
            entry = tx.append(
                EntryDraft(kind="rights.asked", clause="rights.proof", mechanism="right.proof", actor=actor)
            )
            tx.enqueue(LINK_JOB, tenant, payload=payload)
            return Asked(entry.eid.hex(), tx.now)

        return Write(body=body, lane=Lane.RIGHTS)

    async def ask(self, tenant: str, address: str, language: str = "en", actor: str = "visitor") -> Asked:
        """Ask for a link to the centre. The answer is the same for every address."""
        return await self.store.awrite(self.ask_write(tenant, address, language, actor))

    def send_link(self, job: Job) -> None:
        """The job: if the address is on file, send the link there; if not, do nothing at all."""
        tenant = job.ref
        try:
            letter = msgspec.json.decode(self.vault.transit_open(job.payload or b""))
            sid = self.vault.find(tenant, "email", letter["address"])
            if sid is None:
                return
            opening = self.vault.opening(tenant, sid)
        except (Invalid, NotFound):
            return  # an address that can be nobody's, a request too old to be read, somebody erased just now
        template = self.versions.current().templates.get("rights.link")
        if template is None:
            return
        token = links.new_token(self.chance)
        variables = self.vault.transit_seal(
            msgspec.json.encode({"token": token, "language": letter.get("language", "en")})
        )

        def body(tx: DataTx) -> None:
            if not self.vault.exists(tx.connection, tenant, sid):
                return  # an erasure was ordered meanwhile: nothing of theirs is made any more
            links.make(tx, token, "centre", tenant=tenant, sid=sid, expires_ms=tx.now + LINK_MS)
            post(tx, template, self.chance, tenant=tenant, sid=sid, opening=opening, variables=variables)

        self.store.write(Write(body=body, lane=Lane.JOB))

    def look(self, token: str, tenant: str | None = None) -> bool:
        """True if the link may still be opened; ``Unproven`` if it is not valid (here). Changes nothing."""
        link = self.store.read(lambda connection: links.find(connection, token, "centre", self.clock.now(), tenant))
        return link.used_ms is None and link.sid is not None

    def open(self, token: str, cookie: str, device: Device | None = None, tenant: str | None = None) -> Session:
        """Use the link, once: the session behind it, known by ``cookie`` (a fresh random value) from here on.

        ``Unproven`` if the link was used before, or is not this tenant's where one is given.
        """
        link = self.store.read(lambda connection: links.find(connection, token, "centre", self.clock.now(), tenant))
        if link.sid is None:
            raise Unproven(NOT_VALID, clause="rights.proof")
        sid = link.sid
        try:
            opening = self.vault.opening(link.tenant, sid)
        except NotFound:
            raise Unproven(NOT_VALID, clause="rights.proof") from None
        csrf, policy = self.chance.bytes(32), self.versions.current()
        sealed = person_sessions.seal_device(self.vault, link.tenant, sid, cookie, device)

        def body(tx: DataTx) -> Session:
            if not links.use(tx, link):
                raise Unproven("this link was used before: please ask for a new one", clause="rights.proof")
            if not self.vault.exists(tx.connection, link.tenant, sid):
                raise Unproven(NOT_VALID, clause="rights.proof")
            if any(record.class_ == CLASS for record in self.vault.records(tx.connection, link.tenant, sid)):
                self.vault.change_state(tx, link.tenant, sid, lambda state: state)  # who found them unused looks again
                self.vault.happen(tx, link.tenant, sid, "account.used", policy)  # who has no password comes in so
            return begin(tx, link.tenant, sid, opening, cookie, csrf, device=sealed)

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def session(self, cookie: str, tenant: str | None = None) -> Session:
        """The session behind a cookie; ``Unproven`` if there is none, it ended, or the person is gone.

        ``tenant`` is given wherever the cookie comes from outside: another tenant's session opens nothing. Notes
        once a minute that it is in use.
        """
        now, digest = self.clock.now(), cookie_hash(cookie)

        def fn(connection: Connection) -> Session | None:
            session = person_sessions.find(connection, digest, now)
            if session is None or tenant not in (None, session.tenant):
                return None
            if not self.vault.exists(connection, session.tenant, session.sid):
                return None
            return session

        found = self.store.read(fn)
        if found is None:
            raise Unproven("please ask for a link to your address first", clause="rights.proof")
        if now - found.seen_ms >= SEEN_EVERY_MS:
            self.store.write(Write(body=lambda tx: person_sessions.seen(tx, digest)))
        return found

    def again(self, session: Session) -> Session:
        """The same session as it stands now; ``Unproven`` if it ended."""
        now = self.clock.now()
        found = self.store.read(lambda connection: person_sessions.find(connection, session.hash, now))
        if found is None:
            raise Unproven("please ask for a link to your address first", clause="rights.proof")
        return found

    def close(self, cookie: str) -> None:
        """End the session."""
        digest = cookie_hash(cookie)
        self.store.write(Write(body=lambda tx: person_sessions.end(tx, digest)))

    def record(self, tx: DataTx, kind: RightKind, *, tenant: str, sid: bytes | None, state: str = "accepted") -> bytes:
        """A row for a request, with its deadline: the right's own period from receipt (L8)."""
        right = self.versions.current().rights.get(kind)
        due = after(right.within, tx.now, self.zones(tenant)) if right else tx.now
        rid = self.chance.bytes(16)
        tx.execute(
            INSERT_REQUEST,
            {
                "id": rid,
                "tenant": tenant,
                "sid": sid,
                "kind": kind,
                "state": state,
                "received_ms": tx.now,
                "due_ms": due,
                "facts": "{}",
            },
        )
        return rid

    def end(self, tx: DataTx, rid: bytes, state: str, facts: dict[str, int | str]) -> None:
        """Close a request with what was found: counts and times, never a personal value."""
        text = msgspec.json.encode(facts, order="sorted").decode()
        tx.execute(END_REQUEST, {"of_id": rid, "new_state": state, "at": tx.now, "new_facts": text})
