"""Access to one's account for somebody else, who signs in as themselves: no password is shared.

The holder invites a person who has an account here, for as little and as long as the policy declares: to look at what
the account was opened with, or to correct it too. What they see comes through the gate, for the account alone; each act
is an entry that names the access, and a line that the holder reads. One click ends it. Whoever was invited holds no
session of the account: its address, password, second factor, closing and erasure are out of their reach. An address
that is nobody's here is answered as any other, and no letter goes out. Clause ``protect.password-sharing``, mechanism
``access.delegation``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, select

from troth.errors import Conflict, Invalid, NotFound
from troth.policy.durations import parse_duration
from troth.policy.model import CompiledPolicy, Duration
from troth.store import Lane, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import credentials as rows
from troth.store.transaction import DataTx
from troth.use import credentials
from troth.use.arrivals import CHANGED, NO_ACCOUNT, Arrivals, require_proven, require_second
from troth.use.credentials import NOBODY, Held, Stored
from troth.use.person_sessions import Session

CLAUSE, MECHANISM = "protect.password-sharing", "access.delegation"
INVITED = "account.delegated"  # the letter, where the policy declares it
GIVEN, HELD = "delegate.", "acting."  # kinds of credentials: of whoever gave access, of whoever has it
MOST = 10  # open at a time, given or held
LONGEST_NAME = 60
OVER = "this access has ended, or was never given"

HALF = rows.c.kind.startswith(GIVEN, autoescape=True) | rows.c.kind.startswith(HELD, autoescape=True)
HALVES = select(rows.c.tenant, rows.c.sid, rows.c.kind, rows.c.since_ms, rows.c.eid, rows.c.ct).where(HALF)
DROP = delete(rows).where(
    rows.c.tenant == bindparam("of_tenant"),
    rows.c.sid.in_(bindparam("of_sids", expanding=True)),
    rows.c.eid == bindparam("of_eid"),
    HALF,
)
TAKE_BACK = delete(rows).where(rows.c.eid == bindparam("of_eid"), HALF)


@dataclass(frozen=True)
class Declared:
    """What the policy lets people give: these scopes, for so long."""

    scopes: tuple[str, ...]
    lasts: Duration


@dataclass(frozen=True)
class Delegation:
    """Access that one person gave another. ``place`` is its name in forms.

    ``name`` is what its giver calls the other, ``own`` what they call themselves to the other.
    """

    place: str
    eid: bytes
    owner: bytes
    to: bytes
    name: str
    own: str
    scope: str
    since_ms: int
    until_ms: int
    accepted_ms: int  # 0: not yet
    stored: Stored

    @property
    def actor(self) -> str:
        """As it stands in the ledger."""
        return f"delegate:{self.eid.hex()}"


def declared(policy: CompiledPolicy) -> Declared | None:
    """What may be given; None where no clause declares it."""
    found: dict[str, Any] | None = policy.figures.get("delegation")
    lasts = parse_duration(found["lasts"]) if found else None
    return Declared(tuple(found["scopes"]), lasts) if found and lasts else None


class Delegations:
    """Giving, taking up and ending access. Methods block: call them from a thread."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.store = arrivals.store
        self.vault = arrivals.vault
        self.versions = arrivals.versions

    # --- what there is ---

    def given(self, tenant: str, sid: bytes) -> list[Delegation]:
        """The access that this person gave and that is not over, oldest first."""
        now, held = self.store.now(), self._held(tenant, sid)
        found = [self._opened(tenant, sid, kind, stored) for kind, stored in held.items() if kind.startswith(GIVEN)]
        return [each for each in found if each is not None and each.until_ms > now]

    def held(self, tenant: str, sid: bytes) -> dict[str, Delegation]:
        """The access that this person was given, by the name that it has in their own forms."""
        found = {}
        for kind, stored in self._held(tenant, sid).items():
            if kind.startswith(HELD) and (one := self._behind(tenant, sid, kind, stored)) is not None:
                found[kind.removeprefix(HELD)] = one
        return found

    def open(self, session: Session, place: str) -> Delegation:
        """Access that this person was given and took up; ``NotFound``, ``Unproven`` without their second factor."""
        one = self._mine(session, place)
        if not one.accepted_ms:
            raise NotFound(OVER, clause=CLAUSE)
        return one

    # --- giving and taking up ---

    def invite(self, session: Session, address: str, name: str, own: str, scope: str, *, language: str = "en") -> None:
        """Invite the person of this address. The answer is the same whether it is somebody's here or nobody's.

        ``Unproven`` without a fresh and full proof, ``Invalid`` names the field, ``Conflict``: no clause declares it,
        or too many are open.
        """
        tenant, sid, now = session.tenant, session.sid, self.store.now()
        terms = self._require(session, self._held(tenant, sid))
        if scope not in terms.scopes:
            raise Invalid("the policy declares no such scope", clause=CLAUSE, gaps=("scope: choice",))
        words = {"name": named(name, "name"), "own": named(own, "own")}
        to = self._invited(tenant, sid, address)
        place, there, eid = (self.store.randomness.bytes(size) for size in (3, 4, 16))
        kind, kind_there = GIVEN + place.hex(), HELD + there.hex()
        until = terms.lasts.after(now)
        content = {"to": to, **words, "scope": scope, "until": until, "accepted": 0}
        try:
            ct, opening = credentials.seal(self.vault, tenant, sid, kind, content), self.vault.opening(tenant, sid)
        except NotFound:
            raise Conflict(NO_ACCOUNT, clause=CLAUSE) from None
        ct_there = self._seal_there(tenant, to, kind_there, {"sid": sid, "place": place.hex()})
        tell = self.arrivals.letter(CHANGED, tenant, sid, opening, what="delegate-invited", language=language)
        write = None
        if ct_there is not None:
            write = self.arrivals.letter(INVITED, tenant, to, self.vault.opening(tenant, to), language=language)

        def body(tx: DataTx) -> None:
            self.arrivals.require_there(tx, session)
            self._require(session, credentials.of_person(tx.connection, tenant, sid))
            facts = {"scope": scope, "until": until}
            tx.append(EntryDraft("delegation.invited", CLAUSE, MECHANISM, "subject", facts=facts), opening, eid=eid)
            credentials.put(tx, tenant, sid, kind, eid=eid, ct=ct)
            tell(tx)
            if ct_there is not None and write is not None and self.vault.exists(tx.connection, tenant, to):
                credentials.put(tx, tenant, to, kind_there, eid=eid, ct=ct_there)
                write(tx)

        self.store.write(Write(body, lane=Lane.RIGHTS))

    def accept(self, session: Session, place: str) -> None:
        """Take up access that was given; ``NotFound`` where it is over, ``Unproven`` as ``look``."""
        tenant, one = session.tenant, self._mine(session, place)
        content = {"to": one.to, "name": one.name, "own": one.own, "scope": one.scope, "until": one.until_ms}
        kind, opening = GIVEN + one.place, self.opening(tenant, one)
        ct = credentials.seal(self.vault, tenant, one.owner, kind, {**content, "accepted": self.store.now()})

        def body(tx: DataTx) -> None:
            if one.accepted_ms or not credentials.replace(tx, tenant, one.owner, kind, one.stored.ct, ct):
                raise NotFound(OVER, clause=CLAUSE)
            facts = {"delegation": one.eid.hex()}
            tx.append(EntryDraft("delegation.accepted", CLAUSE, MECHANISM, one.actor, facts=facts), opening)

        self.store.write(Write(body, lane=Lane.RIGHTS))

    def end(self, session: Session, place: str) -> bool:
        """End access that one gave, or give up what one was given; at once. False where there is none of this name."""
        tenant, sid = session.tenant, session.sid
        mine = next((one for one in self.given(tenant, sid) if one.place == place), None)
        one = mine or self.held(tenant, sid).get(place)
        if one is None:
            return False
        opening, actor = self.opening(tenant, one), "subject" if mine else one.actor

        def body(tx: DataTx) -> bool:
            of = {"of_tenant": tenant, "of_sids": [one.owner, one.to], "of_eid": one.eid}
            if not tx.execute(DROP, of).rowcount:
                return False
            facts = {"delegation": one.eid.hex()}
            tx.append(EntryDraft("delegation.ended", CLAUSE, MECHANISM, actor, facts=facts), opening)
            return True

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    # --- what goes by itself ---

    def sweep(self) -> int:
        """Delete access whose time is over, or whose other half is gone; how many."""
        halves: dict[tuple[str, bytes], list[Any]] = {}
        for row in self.store.read(lambda connection: connection.execute(HALVES).all()):
            halves.setdefault((row.tenant, bytes(row.eid)), []).append(row)
        return sum(self._sweep(tenant, eid, found) for (tenant, eid), found in halves.items())

    def _sweep(self, tenant: str, eid: bytes, halves: list[Any]) -> bool:
        given = next((row for row in halves if row.kind.startswith(GIVEN)), None)
        one = None
        if given is not None:
            stored = Stored(given.since_ms, eid, bytes(given.ct))
            one = self._opened(tenant, bytes(given.sid), given.kind, stored)
        if one is not None and one.until_ms > self.store.now() and not (one.accepted_ms and len(halves) == 1):
            return False
        opening = self.opening(tenant, one) if one is not None else None

        def body(tx: DataTx) -> bool:
            of = {"of_tenant": tenant, "of_sids": [bytes(row.sid) for row in halves], "of_eid": eid}
            if tx.execute(DROP, of).rowcount and one is not None:
                facts = {"delegation": eid.hex()}
                tx.append(EntryDraft("delegation.ended", CLAUSE, MECHANISM, facts=facts), opening)
            return True

        return self.store.write(Write(body, lane=Lane.JOB))

    # --- steps that several acts share ---

    def _require(self, session: Session, held: Held) -> Declared:
        require_proven(session, held, self.store.now())
        terms = declared(self.versions.current())
        if terms is None:
            raise Conflict("no clause declares access for others", clause=CLAUSE)
        if sum(kind.startswith(GIVEN) for kind in held) >= MOST:
            raise Conflict(f"{MOST} are open: please end one first", clause=CLAUSE)
        return terms

    def _invited(self, tenant: str, sid: bytes, address: str) -> bytes:
        """Whose address this is; ``NOBODY`` where it is nobody's. ``Invalid`` for none, or one's own."""
        try:
            found = self.vault.find(tenant, "email", address)
        except Invalid:
            raise Invalid("this is no e-mail address", clause=CLAUSE, gaps=("email: email",)) from None
        if found == sid:
            raise Invalid("this is the address on file", clause=CLAUSE, gaps=("email: same",))
        return found or NOBODY

    def _seal_there(self, tenant: str, to: bytes, kind: str, content: dict[str, Any]) -> bytes | None:
        """The other half, sealed for whoever is invited; None where they have no account or enough of these."""
        if sum(each.startswith(HELD) for each in self._held(tenant, to)) >= MOST:
            return None
        try:
            return credentials.seal(self.vault, tenant, to, kind, content)
        except NotFound:
            return None

    def _held(self, tenant: str, sid: bytes) -> Held:
        return self.store.read(lambda connection: credentials.of_person(connection, tenant, sid))

    def _mine(self, session: Session, place: str) -> Delegation:
        require_second(session, self._held(session.tenant, session.sid))
        one = self.held(session.tenant, session.sid).get(place)
        if one is None:
            raise NotFound(OVER, clause=CLAUSE)
        return one

    def _behind(self, tenant: str, sid: bytes, kind: str, stored: Stored) -> Delegation | None:
        """What was given to this person under this name; None where it is over."""
        half = credentials.unseal(self.vault, tenant, sid, kind, stored)
        if not half:
            return None
        given = GIVEN + half["place"]
        whole = self._held(tenant, half["sid"]).get(given)
        one = self._opened(tenant, half["sid"], given, whole) if whole is not None else None
        fits = one is not None and one.eid == stored.eid and one.to == sid and one.until_ms > self.store.now()
        return one if fits else None

    def _opened(self, tenant: str, sid: bytes, kind: str, stored: Stored) -> Delegation | None:
        found = credentials.unseal(self.vault, tenant, sid, kind, stored)
        if not found:
            return None  # its key is gone
        what = (found["to"], found["name"], found["own"], found["scope"], stored.since_ms, found["until"])
        return Delegation(kind.removeprefix(GIVEN), stored.eid, sid, *what, found["accepted"], stored)

    def opening(self, tenant: str, one: Delegation) -> bytes:
        """The secret that commits entries to the giver; ``NotFound`` where they are being erased."""
        try:
            return self.vault.opening(tenant, one.owner)
        except NotFound:
            raise NotFound(OVER, clause=CLAUSE) from None


def take_back(tx: DataTx, eid: bytes) -> None:
    """Delete both halves of access that ended, by its entry: after a restore."""
    tx.execute(TAKE_BACK, {"of_eid": eid})


def named(name: str, field: str) -> str:
    """What somebody is called: one line that can be shown; ``Invalid``, at this field, where it is none."""
    plain = " ".join(name.split())
    if not plain or not plain.isprintable():
        raise Invalid("say what they and you are called", clause=CLAUSE, gaps=(f"{field}: required",))
    if len(plain) > LONGEST_NAME:
        raise Invalid("this name is too long", clause=CLAUSE, gaps=(f"{field}: too-long",))
    return plain
