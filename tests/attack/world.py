"""Everybody who may come to a system, each with what proves them: what the access matrix is run by.

All ask at one tenant's host, where Ann is. Ben is the person whom nobody else may learn of: of the same tenant in one
world, of another tenant in the other, where everybody of that other tenant comes to Ann's host too.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

from tests.clauses.vendor import TENANT, Person, Vendor
from troth.cli.handover import pair
from troth.cli.setting import TENANTS
from troth.client.handover import handover_token
from troth.collect.importing import runs
from troth.collect.importing.runs import Order
from troth.store import Write, links
from troth.store.ledger import EntryDraft, opening_key, opens
from troth.store.writer import DataTx
from troth.use import totp
from troth.use.approvals import Act, Approvals
from troth.use.handover_keys import public_bytes
from troth.use.person_sessions import Session
from troth.use.products import SCOPES
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
    apart: bool  # Ben is of another tenant: not even who holds a secret of his may use it here

    def nobodys(self, thing: str) -> str:
        """A name of the same shape that is nothing's."""
        like = self.theirs[thing]
        if "@" in like:
            local, _, domain = like.partition("@")
            return f"{secrets.token_hex(len(local))[: len(local)]}@{domain}"
        if thing == "token:handover":  # well made, by a product that is not here
            return handover_token("http://localhost", pair()[0], secrets.token_hex(16), "account-1")
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
    assert isinstance(session, Session)  # no second factor is set
    return Caller(name, "person", {"cookie": f"troth_account={cookie}"}, session.csrf.hex())


def member(vendor: Vendor, name: str, role: str, by: Any = None, tenant: str = TENANT) -> tuple[Caller, Any]:
    """Somebody of staff who has joined, and the operator that they are."""
    desk = vendor.system.desk(tenant)
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


def product(vendor: Vendor, name: str, tenant: str = TENANT, scopes: Sequence[str] = SCOPES) -> tuple[Caller, Any]:
    """One of the vendor's own systems, with its key."""
    made, key = vendor.system.products.create(tenant, name, scopes=scopes)
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


def changing(vendor: Vendor, tenant: str) -> dict[str, str]:
    """The two live links of a change of address that waits."""
    who, new = Person(), Person().email
    sid = vendor.join("registration", who, tenant=tenant)
    vendor.system.addresses.ask(tenant, sid, new)
    return {
        "token:address": vendor.token(new, "/account/address/confirm/"),
        "token:address-stop": vendor.token(who.email, "/account/address/stop/"),
    }


def session_of(vendor: Vendor, caller: Caller) -> Session:
    """A person's session."""
    return vendor.system.requests.session(caller.headers["cookie"].partition("=")[2])


def access_of(vendor: Vendor, who: Person, caller: Caller, tenant: str) -> str:
    """Access to another's account that this person was given and took up: the name that it has for them."""
    dan, delegations = Person(), vendor.system.delegations
    vendor.join("registration", dan, tenant=tenant)
    delegations.invite(session_of(vendor, by_link(vendor, dan, "dan", tenant)), who.email, "A colleague", "Dan", "act")
    mine = session_of(vendor, caller)
    (place,) = delegations.held(tenant, mine.sid)
    delegations.accept(mine, place)
    return place


def things(vendor: Vendor, who: Person, sid: bytes, caller: Caller, tenant: str = TENANT) -> dict[str, str]:
    """What belongs to one person, by the names that addresses and forms have for it."""
    records = vendor.rows("SELECT lower(hex(cid)) FROM consent_records WHERE tenant = :t AND sid = :s", t=tenant, s=sid)
    return {
        "entry": an_entry(vendor, sid, tenant),
        "record": str(records[0][0]),
        "session": session_of(vendor, caller).place,
        "email": who.email,
        "passkey": secrets.token_hex(16),
        "delegate": access_of(vendor, who, caller, tenant),
    }


def subscribe(vendor: Vendor, who: Person, tenant: str = TENANT) -> None:
    """The newsletter, confirmed."""
    vendor.submit("newsletter", who, tenant=tenant)
    vendor.system.confirmation.confirm(vendor.token(who.email))


def build(vendor: Vendor, *, here: str = TENANT, there: str = TENANT) -> World:
    """One system with everybody in it: Ann and all who ask are of ``here``, Ben and all about him of ``there``."""
    ann, ben = Person(), Person()
    anns = vendor.join("registration", ann, tenant=here)
    bens = vendor.join("registration", ben, tenant=there)
    subscribe(vendor, ann, here)
    subscribe(vendor, ben, there)
    stale = by_password(vendor, ann, "password", here)  # its proof is over an hour old when the matrix is run
    ended = by_link(vendor, ann, "link-over", here)
    idle, boss = member(vendor, "staff-idle", "administrator", tenant=here)
    vendor.clock.advance(max(HOUR_MS, IDLE_MS + 1))
    link, bens_link = by_link(vendor, ann, "link", here), by_link(vendor, ben, "ben", there)
    callers = [Caller("nobody"), link, stale, ended, idle]
    callers += [
        Caller("forged-person", "person", {"cookie": f"troth_session={secrets.token_urlsafe(32)}"}, "00" * 32),
        Caller("forged-staff", "operator", {"cookie": f"troth_console={secrets.token_urlsafe(32)}"}, "00" * 32),
        Caller("forged-product", "product", {"authorization": f"Bearer troth_{secrets.token_urlsafe(32)}"}),
        elsewhere(link, "person-at-console", "troth_console"),
    ]
    for role in STAFF:
        callers.append(member(vendor, role, role, boss, here)[0])
    callers.append(elsewhere(callers[-1], "staff-at-centre", "troth_session"))
    left, gone = member(vendor, "staff-left", "officer", boss, here)
    vendor.system.desk(here).operators.end(gone.id, boss)
    shop, _ = product(vendor, "product", here)
    closed, made = product(vendor, "product-ended", here)
    vendor.system.products.end(made.id)
    tool, _ = product(vendor, "tool", here, ["suppressions"])
    callers += [left, shop, tool, closed]
    theirs = things(vendor, ben, bens, bens_link, there) | tokens(vendor, ben, there)
    if here == there:  # ids of another kind: an operator and an account of one's own tenant are nothing foreign
        theirs |= {"operator": bens.hex(), "approval": boss.id.hex(), "reference": ben.email}
        theirs |= {"import": bens.hex(), "staff-session": theirs["session"], "request": bens.hex(), "order": bens.hex()}
        theirs |= {"campaign": bens.hex(), "hold": bens.hex()}
    else:
        callers.append(bens_link)
        theirs |= strangers(vendor, there, callers)
    mine = things(vendor, ann, anns, link, here) | {"request": asked(vendor, here), "campaign": drafted(vendor, here)}
    mine |= {"order": erased(vendor, here), "hold": held(vendor, here)}
    known = {caller.name: caller for caller in callers}
    return World(vendor, host_of(vendor, here), known, mine, theirs, frozenset(ben.markers), here != there)


def held(vendor: Vendor, tenant: str) -> str:
    """A legal hold on somebody of this tenant."""
    sid = vendor.join("registration", Person(), tenant=tenant)
    return vendor.system.holds.set(tenant, sid, "claims", 30, actor="system").entry.hex()


def elsewhere(caller: Caller, name: str, cookie: str) -> Caller:
    """The same secret under the name of another cookie."""
    return Caller(name, caller.kind, {"cookie": f"{cookie}={caller.headers['cookie'].partition('=')[2]}"}, caller.csrf)


def host_of(vendor: Vendor, tenant: str) -> str:
    """A host of this tenant's."""
    return "localhost" if tenant == TENANT else TENANTS[tenant].hosts[0]


def strangers(vendor: Vendor, tenant: str, callers: list[Caller]) -> dict[str, str]:
    """Everybody of another tenant, who come along; and the names of what is that tenant's."""
    mighty, boss = member(vendor, "stranger-administrator", "administrator", tenant=tenant)
    for role in STAFF:
        callers.append(member(vendor, f"stranger-{role}-too", role, boss, tenant)[0])
    shop, made = product(vendor, "stranger-product", tenant)
    reference = f"account-{secrets.token_hex(8)}"
    vendor.system.products.register(made, reference)
    callers += [mighty, shop]
    desk = vendor.system.desk(tenant)
    approvals = Approvals(desk.approvals.store, {"x.act": Act("x.act", "share.legal")}, tenant=tenant)
    return changing(vendor, tenant) | {
        "operator": boss.id.hex(),
        "import": brought(vendor, tenant),
        "request": asked(vendor, tenant),
        "order": erased(vendor, tenant),
        "staff-session": desk.sign_in.open_sessions(boss)[0].place,
        "approval": approvals.ask("x.act", "case-7", boss).id.hex(),
        "reference": reference,
        "campaign": drafted(vendor, tenant),
        "hold": held(vendor, tenant),
        "token:invitation": desk.operators.invite("invited", "officer", boss),
        "token:handover": handed(vendor, made, reference, tenant),
        "token:unsubscribe": unsubscribing(vendor, tenant),
    }


def brought(vendor: Vendor, tenant: str) -> str:
    """A file that was brought in: its run."""
    id_ = secrets.token_bytes(16)

    def body(tx: DataTx) -> None:
        entry = tx.append(EntryDraft("import.begun", "collect.newsletter", "intake.declared", facts={"rows": 3}))
        runs.end(tx, runs.begin(tx, Order(tenant, "people", "newsletter"), bytes(32), id_, entry.eid), "done")

    vendor.system.store.write(Write(body))
    return id_.hex()


def drafted(vendor: Vendor, tenant: str) -> str:
    """An issue that somebody of the tenant's staff began to write, by its id."""
    return vendor.system.campaigns.draft(tenant, "newsletter.issue", "Theirs", "Their words").id.hex()


def asked(vendor: Vendor, tenant: str) -> str:
    """A request that somebody of the tenant's made, by its id."""
    rows = vendor.rows("SELECT lower(hex(id)) FROM rights_requests WHERE tenant = :t", t=tenant)
    if not rows:
        sid = vendor.join("registration", Person(), tenant=tenant)
        vendor.system.access.copy(tenant, sid)
        return asked(vendor, tenant)
    return str(rows[0][0])


def erased(vendor: Vendor, tenant: str) -> str:
    """The erasure of somebody of the tenant's, by its order."""
    sid = vendor.join("registration", Person(), tenant=tenant)
    return vendor.system.erasures.erase(tenant, sid).ordered


def handed(vendor: Vendor, product: Any, reference: str, tenant: str) -> str:
    """A hand-over of an account that would be taken at its own tenant's host."""
    private, public = pair()
    vendor.system.handover_keys.allow(product.id, public_bytes(public))
    url, now = vendor.system.config.url_of(tenant), vendor.clock.now() / 1000
    return handover_token(url, private, product.id.hex(), reference, now=now)


def unsubscribing(vendor: Vendor, tenant: str) -> str:
    """A live link that stops letters."""
    token = secrets.token_urlsafe(32)
    row = vendor.rows("SELECT sid FROM subjects WHERE tenant = :t AND mode = 'live'", t=tenant)[0]
    sid = row[0]
    assert isinstance(sid, bytes)
    making = partial(links.make, token=token, kind="unsubscribe", tenant=tenant, sid=sid, ref="newsletter")
    vendor.system.store.write(Write(making))
    return token


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
