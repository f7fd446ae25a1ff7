"""Asking for one's rights: proof by a link to the address on file, and an answer that tells a stranger nothing.

The answer to "send me my link" is written before anything is looked up; the look-up is a job. So a known and an
unknown address cannot be told apart, by words, status or time (L9). Clauses: ``rights.proof``,
``contact.questions``. Mechanism: ``right.proof``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from troth.errors import Invalid, NotFound, Unproven
from troth.notice.versions import Versions
from troth.policy.model import RightKind
from troth.store import Lane, Store, Write, links
from troth.store.jobs import Job
from troth.store.ledger import EntryDraft
from troth.store.outbox import post
from troth.store.tables import rights_requests, sessions
from troth.store.writer import DataTx
from troth.vault import Vault
from troth.world import Clock, Randomness

LINK_JOB = "rights.link"
LINK_MS = 60 * 60_000  # a link to the centre is good for an hour
SESSION_MS = 30 * 60_000  # and opens it for half an hour

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
INSERT_SESSION = insert(sessions)
SESSION = select(sessions).where(sessions.c.hash == bindparam("of_hash"), sessions.c.kind == "subject")
END_SESSION = delete(sessions).where(sessions.c.hash == bindparam("of_hash"))


class Asked(msgspec.Struct, frozen=True):
    """The neutral answer to asking for a link."""

    entry: str
    at: int


@dataclass(frozen=True)
class Session:
    """A person in their own centre. ``csrf`` must come back with every form."""

    tenant: str
    sid: bytes
    csrf: bytes
    expires_ms: int


def begin(
    tx: DataTx,
    tenant: str,
    sid: bytes,
    opening: bytes,
    cookie: str,
    csrf: bytes,
    facts: Mapping[str, str] | None = None,
) -> Session:
    """Note that this person has shown who they are, and open their centre, in the caller's transaction.

    Whoever calls has checked the proof and that the person is here; ``facts`` say how they were proven where it was
    not by a link to the address on file.
    """
    tx.append(
        EntryDraft("rights.proven", "rights.proof", "right.proof", "subject", facts=dict(facts or {})),
        opening,
    )
    session = Session(tenant, sid, csrf, tx.now + SESSION_MS)
    tx.execute(
        INSERT_SESSION,
        {
            "hash": hashlib.sha256(cookie.encode()).digest(),
            "kind": "subject",
            "tenant": tenant,
            "sid": sid,
            "csrf": csrf,
            "created_ms": tx.now,
            "seen_ms": tx.now,
            "expires_ms": session.expires_ms,
        },
    )
    return session


class Requests:
    """From asking for a link to an open centre."""

    def __init__(self, store: Store, vault: Vault, versions: Versions, clock: Clock, chance: Randomness) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.clock = clock
        self.chance = chance

    def ask_write(self, tenant: str, address: str, language: str) -> Write[Asked]:
        """The write behind "send me my link": an entry and a job; nothing is looked up."""
        payload = self.vault.transit_seal(msgspec.json.encode({"address": address, "language": language}))

        def body(tx: DataTx) -> Asked:
            entry = tx.append(
                EntryDraft(kind="rights.asked", clause="rights.proof", mechanism="right.proof", actor="visitor")
            )
            tx.enqueue(LINK_JOB, tenant, payload=payload)
            return Asked(entry.eid.hex(), tx.now)

        return Write(body=body, lane=Lane.RIGHTS)

    async def ask(self, tenant: str, address: str, language: str = "en") -> Asked:
        """Ask for a link to the centre. The answer is the same for every address."""
        return await self.store.awrite(self.ask_write(tenant, address, language))

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

    def look(self, token: str) -> bool:
        """True if the link may still be opened; ``Unproven`` if it is not valid. Changes nothing."""
        link = self.store.read(lambda connection: links.find(connection, token, "centre", self.clock.now()))
        return link.used_ms is None and link.sid is not None

    def open(self, token: str, cookie: str) -> Session:
        """Use the link, once: the session behind it, known by ``cookie`` (a fresh random value) from here on.

        ``Unproven`` if the link was used before.
        """
        link = self.store.read(lambda connection: links.find(connection, token, "centre", self.clock.now()))
        if link.sid is None:
            raise Unproven(NOT_VALID, clause="rights.proof")
        sid = link.sid
        try:
            opening = self.vault.opening(link.tenant, sid)
        except NotFound:
            raise Unproven(NOT_VALID, clause="rights.proof") from None
        csrf = self.chance.bytes(32)

        def body(tx: DataTx) -> Session:
            if not links.use(tx, link):
                raise Unproven("this link was used before: please ask for a new one", clause="rights.proof")
            if not self.vault.exists(tx.connection, link.tenant, sid):
                raise Unproven(NOT_VALID, clause="rights.proof")
            return begin(tx, link.tenant, sid, opening, cookie, csrf)

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def session(self, cookie: str) -> Session:
        """The session behind a cookie; ``Unproven`` if there is none, it expired, or the person is gone."""

        def fn(connection: Connection) -> Session | None:
            row = connection.execute(SESSION, {"of_hash": hashlib.sha256(cookie.encode()).digest()}).mappings().first()
            if row is None or row["expires_ms"] <= self.clock.now():
                return None
            if not self.vault.exists(connection, row["tenant"], row["sid"]):
                return None
            return Session(row["tenant"], row["sid"], row["csrf"], row["expires_ms"])

        found = self.store.read(fn)
        if found is None:
            raise Unproven("please ask for a link to your address first", clause="rights.proof")
        return found

    def close(self, cookie: str) -> None:
        """End the session."""
        digest = hashlib.sha256(cookie.encode()).digest()
        self.store.write(Write(body=lambda tx: tx.execute(END_SESSION, {"of_hash": digest}).rowcount))

    def record(self, tx: DataTx, kind: RightKind, *, tenant: str, sid: bytes | None, state: str = "accepted") -> bytes:
        """A row for a request, with its deadline: the right's own period from receipt (L8)."""
        right = self.versions.current().rights.get(kind)
        due = right.within.after(tx.now) if right else tx.now
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
