"""Everybody who may come to a system, each with what proves them: what the access matrix is run by.

Ann asks. Ben is the person whom nobody else may learn of; his values stand nowhere by chance.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from tests.clauses.vendor import TENANT, Person, Vendor
from troth.store.ledger import opening_key, opens
from troth.use import totp
from troth.use.sessions import IDLE_MS
from troth.web.running import Running

PHRASE = "eleven herons over the quay"
HOUR_MS = 3_600_000
STAFF = ("support", "officer", "administrator", "auditor")


@dataclass(frozen=True)
class Caller:
    """Somebody with (or without) a proof. ``csrf`` is what their own forms carry."""

    name: str
    kind: str = ""  # person | operator | product: whose proof it is, or was
    headers: dict[str, str] = field(default_factory=dict)
    csrf: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass
class World:
    """The callers, and the names of things: Ann's own, somebody else's, nobody's."""

    vendor: Vendor
    host: str
    callers: dict[str, Caller]
    mine: dict[str, str]
    theirs: dict[str, str]
    markers: frozenset[str]

    def nobodys(self, thing: str) -> str:
        """A name of the same shape that is nothing's."""
        like = self.theirs[thing]
        if "@" in like:
            local, _, domain = like.partition("@")
            return f"{secrets.token_hex(len(local))[: len(local)]}@{domain}"
        if thing.startswith("token"):
            return secrets.token_urlsafe(32)
        return secrets.token_hex(len(like))[: len(like)]


def by_link(vendor: Vendor, who: Person, name: str, tenant: str = TENANT) -> Caller:
    """A person in their centre by a link."""
    vendor.system.store.write(vendor.system.requests.ask_write(tenant, who.email, "en"))
    cookie = secrets.token_urlsafe(32)
    session = vendor.system.requests.open(vendor.token(who.email, "/privacy/open/"), cookie)
    return Caller(name, "person", {"cookie": f"troth_session={cookie}"}, session.csrf.hex())


def by_password(vendor: Vendor, who: Person, name: str, tenant: str = TENANT) -> Caller:
    """A person who has set a password (in the centre that a link opened) and signs in with it."""
    system, link = vendor.system, secrets.token_urlsafe(32)
    system.store.write(system.requests.ask_write(tenant, who.email, "en"))
    system.accounts.set_password(system.requests.open(vendor.token(who.email, "/privacy/open/"), link), "", PHRASE)
    cookie = secrets.token_urlsafe(32)
    session = system.accounts.sign_in(tenant, who.email, PHRASE, cookie)
    return Caller(name, "person", {"cookie": f"troth_account={cookie}"}, session.csrf.hex())


def member(vendor: Vendor, name: str, role: str, by: Any = None, tenant: str = TENANT) -> tuple[Caller, Any]:
    """Somebody of staff who has joined, and the operator that they are."""
    desk = vendor.system
    token = desk.operators.first(name) if by is None else desk.operators.invite(name, role, by)
    invited = desk.operators.invited(token)
    secret, sealed = desk.sign_in.new_secret(invited)
    cookie = secrets.token_urlsafe(32)
    code = totp.code(secret, totp.step_at(vendor.clock.now()))
    desk.sign_in.join_by_password(token, PHRASE, sealed, code, cookie)
    session = desk.sign_in.session(cookie)
    assert session is not None
    caller = Caller(name, "operator", {"cookie": f"troth_console={cookie}"}, session.csrf.hex())
    return caller, desk.operators.get(invited.id)


def product(vendor: Vendor, name: str, tenant: str = TENANT) -> tuple[Caller, Any]:
    """One of the vendor's own systems, with its key."""
    made, key = vendor.system.products.create(tenant, name)
    return Caller(name, "product", {"authorization": f"Bearer {key}"}), made


def an_entry(vendor: Vendor, sid: bytes, tenant: str = TENANT) -> str:
    """An entry of the ledger about this person, in hex."""
    secret = vendor.system.vault.opening(tenant, sid)
    rows = vendor.rows("SELECT eid, body FROM ledger WHERE kind = 'rights.proven' ORDER BY seq DESC")
    for eid, body in rows:
        assert isinstance(eid, bytes)
        assert isinstance(body, bytes)
        if opens(opening_key(secret, eid), body):
            return eid.hex()
    raise AssertionError("no entry")


def tokens(vendor: Vendor, who: Person, tenant: str = TENANT) -> dict[str, str]:
    """A live link of each kind that goes to people's letters."""
    vendor.submit("newsletter", who, tenant=tenant)
    confirm = vendor.token(who.email)
    vendor.system.store.write(vendor.system.requests.ask_write(tenant, who.email, "en"))
    return {"token:confirm": confirm, "token:centre": vendor.token(who.email, "/privacy/open/")}


def place_of(vendor: Vendor, caller: Caller) -> str:
    """The name of a person's session on their pages."""
    return vendor.system.requests.session(caller.headers["cookie"].partition("=")[2]).place


def things(vendor: Vendor, who: Person, sid: bytes, caller: Caller, tenant: str = TENANT) -> dict[str, str]:
    """What belongs to one person, by the names that addresses and forms have for it."""
    records = vendor.rows("SELECT lower(hex(cid)) FROM consent_records WHERE tenant = :t AND sid = :s", t=tenant, s=sid)
    return {
        "entry": an_entry(vendor, sid, tenant),
        "record": str(records[0][0]),
        "session": place_of(vendor, caller),
        "email": who.email,
    }


def subscribe(vendor: Vendor, who: Person, tenant: str = TENANT) -> None:
    """The newsletter, confirmed."""
    vendor.submit("newsletter", who, tenant=tenant)
    vendor.system.confirmation.confirm(vendor.token(who.email))


def build(vendor: Vendor) -> World:
    """One system with everybody in it."""
    ann, ben = Person(), Person()
    anns, bens = vendor.join("registration", ann), vendor.join("registration", ben)
    for who in (ann, ben):
        subscribe(vendor, who)
    stale = by_password(vendor, ann, "password")  # its proof is over an hour old when the matrix is run
    ended = by_link(vendor, ann, "link-over")
    idle, _ = member(vendor, "staff-idle", "administrator")
    vendor.clock.advance(max(HOUR_MS, IDLE_MS + 1))
    link, bens_link = by_link(vendor, ann, "link"), by_link(vendor, ben, "ben")
    callers = [Caller("nobody"), link, stale, ended, idle]
    callers += [
        Caller("forged-person", "person", {"cookie": f"troth_session={secrets.token_urlsafe(32)}"}, "00" * 32),
        Caller("forged-staff", "operator", {"cookie": f"troth_console={secrets.token_urlsafe(32)}"}, "00" * 32),
        Caller("forged-product", "product", {"authorization": f"Bearer troth_{secrets.token_urlsafe(32)}"}),
        Caller(
            "person-at-console", "person", {"cookie": link.headers["cookie"].replace("troth_session", "troth_console")}
        ),
    ]
    boss = vendor.system.operators.all()[0]
    for role in STAFF:
        caller, _ = member(vendor, role, role, boss)
        callers.append(caller)
    left, gone = member(vendor, "staff-left", "officer", boss)
    vendor.system.operators.end(gone.id, boss)
    callers.append(left)
    callers.append(
        Caller("staff-at-centre", "operator", {"cookie": callers[-2].headers["cookie"].replace("console", "session")})
    )
    shop, _ = product(vendor, "product")
    closed, made = product(vendor, "product-ended")
    vendor.system.products.end(made.id)
    callers += [shop, closed]
    theirs = things(vendor, ben, bens, bens_link) | tokens(vendor, ben)
    theirs |= {"operator": bens.hex(), "approval": boss.id.hex(), "reference": ben.email}  # each an id of another kind
    return World(
        vendor,
        "localhost",
        {caller.name: caller for caller in callers},
        things(vendor, ann, anns, link),
        theirs,
        frozenset(ben.markers),
    )


@contextlib.contextmanager
def counting(system: Running) -> Iterator[list[str]]:
    """Notes every look into the stores and every write, as long as the block lasts: the work that an answer takes."""
    seen: list[str] = []
    store = system.store

    def noting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*about: Any, **named: Any) -> Any:
            seen.append(name)
            return call(*about, **named)

        return noted

    with contextlib.ExitStack() as patched:
        for name in ("read", "read_keys", "write", "awrite"):
            patched.enter_context(patch.object(store, name, noting(name, getattr(store, name))))
        yield seen
