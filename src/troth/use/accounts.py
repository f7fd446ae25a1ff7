"""A registered person's own account: a password, signing in with it, and the sessions that are open.

Who may set a password has proven the address first; who changes one knows the old one or has just proven the address
again. Answers to an unknown address, to a person without a password and to a wrong password are the same and cost the
same; each refusal is counted in the ledger without a name. Clause ``protect.password``, mechanism ``password.hashed``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

from sqlalchemy import Connection

from troth.errors import Conflict, Invalid, NotFound, Unproven
from troth.policy.model import CompiledPolicy
from troth.store import Lane, Write
from troth.store.ledger import EntryDraft
from troth.store.transaction import DataTx
from troth.use import credentials, person_sessions
from troth.use.arrivals import CLAUSE, NO_ACCOUNT, TOTP, Arrivals, lacks_second, require_proven, require_second
from troth.use.compromise import CLAUSE as COMPROMISED
from troth.use.compromise import Compromise
from troth.use.credentials import PASSWORD, Held
from troth.use.devices import Device
from troth.use.passwords import PASSWORD_HASHED, Passwords, fault_of
from troth.use.person_sessions import CLASS, LINK_LIFE_MS, Session
from troth.use.second_factor import Halfway

EMAIL = "user.contact.email"
CHANGED = "account.password-changed"  # the letter that says so, where the policy declares it


def offered(policy: CompiledPolicy) -> bool:
    """Whether people have accounts under this policy."""
    return CLASS in policy.keeps


class Accounts:
    """Passwords and sessions of people. Methods block: call them from a thread."""

    def __init__(self, arrivals: Arrivals, passwords: Passwords, compromise: Compromise) -> None:
        self.arrivals = arrivals
        self.store = arrivals.store
        self.vault = arrivals.vault
        self.versions = arrivals.versions
        self.passwords = passwords
        self.compromise = compromise

    # --- the password ---

    def held(self, tenant: str, sid: bytes) -> Held:
        """What a person signs in with, sealed."""
        return self.store.read(lambda connection: credentials.of_person(connection, tenant, sid))

    def lacks_second(self, session: Session) -> bool:
        """Whether this account has a second factor that this session has not shown."""
        return lacks_second(session, self.held(session.tenant, session.sid))

    def require_proven(self, session: Session) -> None:
        """``Unproven`` unless this session may change how the account is found and entered."""
        require_proven(session, self.held(session.tenant, session.sid), self.store.now())

    def has_account(self, tenant: str, sid: bytes) -> bool:
        """Whether there is an account that a password could belong to."""
        return self.store.read(lambda connection: self._has_account(connection, tenant, sid))

    def _has_account(self, connection: Connection, tenant: str, sid: bytes) -> bool:
        if not self.vault.exists(connection, tenant, sid):
            return False
        return any(record.class_ == CLASS for record in self.vault.records(connection, tenant, sid))

    def set_password(self, session: Session, old: str, new: str, *, language: str = "en") -> int:
        """Set or change one's password; every other session ends. How many did.

        ``Invalid`` names the field that does not fit, ``Unproven`` asks for a fresh link, ``Conflict``: the account
        has ended, or was changed elsewhere in this very moment.
        """
        tenant, sid = session.tenant, session.sid
        before = self._prove(session, old)
        self._refuse_own_words(tenant, sid, new)
        hashed = self.passwords.hash(new, "")
        try:
            ct = credentials.seal(self.vault, tenant, sid, PASSWORD, {"hash": hashed})
            opening = self.vault.opening(tenant, sid)
        except NotFound:
            raise Conflict(NO_ACCOUNT, clause=CLAUSE) from None
        tell = self.arrivals.letter(CHANGED, tenant, sid, opening, language=language)

        def body(tx: DataTx) -> int:
            self._require_still(tx, session, before)
            ended = person_sessions.end_others(tx, tenant, sid, session.hash)
            kind = "account.password-set" if before is None else "account.password-changed"
            facts = {"sessions_ended": ended}
            ends = None if before is None else before.eid
            draft = EntryDraft(kind, CLAUSE, PASSWORD_HASHED, "subject", refers=ends, facts=facts)
            entry = tx.append(draft, opening)
            credentials.put(tx, tenant, sid, PASSWORD, eid=entry.eid, ct=ct)
            if before is not None:
                tell(tx)
            return ended

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def remove_password(self, session: Session, old: str) -> int:
        """Sign in by links only, from here on; every other session ends. Raises as ``set_password`` does."""
        tenant, sid = session.tenant, session.sid
        before = self._prove(session, old)
        if before is None:
            raise Conflict("no password is set", clause=CLAUSE)
        opening = self.vault.opening(tenant, sid)

        def body(tx: DataTx) -> int:
            self._require_still(tx, session, before)
            credentials.drop(tx, tenant, sid, PASSWORD)
            ended = person_sessions.end_others(tx, tenant, sid, session.hash)
            facts = {"sessions_ended": ended}
            draft = EntryDraft(
                "account.password-removed", CLAUSE, PASSWORD_HASHED, "subject", refers=before.eid, facts=facts
            )
            tx.append(draft, opening)
            return ended

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def _prove(self, session: Session, old: str) -> credentials.Stored | None:
        """The password until now, after its owner has shown that it is they: by what they just came in with, or by it.

        Where a second factor is set, it was shown too.
        """
        held = self.store.read(lambda c: credentials.of_person(c, session.tenant, session.sid))
        stored = held.get(PASSWORD)
        require_second(session, held)
        if needs_no_old(session, self.store.now()):
            return stored
        if stored is None:
            raise Unproven("please ask for a link to your address first", clause=CLAUSE)
        hashed = credentials.unseal(self.vault, session.tenant, session.sid, PASSWORD, stored).get("hash")
        if not self.passwords.fits(hashed, old):
            raise Invalid("the password is not right", clause=CLAUSE, gaps=("old: wrong-password",))
        return stored

    def _require_still(self, tx: DataTx, session: Session, before: credentials.Stored | None) -> None:
        """The account, the session and the password are as they were when they were looked at, or ``Conflict``."""
        tenant, sid = session.tenant, session.sid
        self.arrivals.require_there(tx, session)
        if self.vault.closed_since(tx.connection, tenant, sid) is not None:
            raise Conflict("this account is closed: come back to it first", clause="purpose.account")
        held = credentials.of_person(tx.connection, tenant, sid)
        require_second(session, held)
        now = held.get(PASSWORD)
        if (now and now.eid) != (before and before.eid):
            raise Conflict("the password was changed elsewhere just now", clause=CLAUSE)

    def _refuse_own_words(self, tenant: str, sid: bytes, new: str) -> None:
        """``Invalid`` where the password is little more than the person's own address."""
        for word in self._addresses(tenant, sid):
            for known in (word, word.partition("@")[0]):
                fault = fault_of(new, known) if len(known) > 3 else ""
                if fault:
                    raise Invalid("this password may not be used", clause=CLAUSE, gaps=(f"password: {fault}",))

    def address(self, tenant: str, sid: bytes) -> str:
        """The person's own address, by which their own device tells their passkeys apart; "" where there is none."""
        return next(self._addresses(tenant, sid), "")

    def _addresses(self, tenant: str, sid: bytes) -> Iterator[str]:
        """The addresses that the account was registered with, opened for their owner alone."""
        for row in self.store.read(lambda connection: self.vault.records(connection, tenant, sid)):
            if row.class_ != CLASS:
                continue
            point = self.versions.history.version(row.terms.version).points.get(row.terms.point)
            names = [f.name for f in point.fields if f.category == EMAIL] if point else []
            content = self.vault.open(tenant, row) if names else {}
            yield from (str(content[name]) for name in names if name in content)

    # --- signing in ---

    def sign_in(
        self,
        tenant: str,
        address: str,
        password: str,
        cookie: str,
        *,
        device: Device | None = None,
        was: Sequence[str] = (),
        language: str = "en",
    ) -> Session | Halfway:
        """Sign in, or come halfway where a second factor is set.

        ``Unproven`` in the same words and with the same work, whoever the address is or is not. ``Conflict`` where
        the right password stands in a list of those that became known: it has ended, and another must be set.

        ``was`` are the cookies that this browser came with: their sessions end, whoever's they were.
        """
        try:
            sid = self.vault.find(tenant, "email", address) or credentials.NOBODY
        except Invalid:
            sid = credentials.NOBODY
        held = self.store.read(lambda connection: credentials.of_person(connection, tenant, sid))
        stored = held.get(PASSWORD)
        hashed = credentials.unseal(self.vault, tenant, sid, PASSWORD, stored).get("hash")
        if not self.passwords.fits(hashed, password) or stored is None:
            self._refuse()
        if self.passwords.known(password):
            self.compromise.end(tenant, sid, "list", language=language, setting=stored.eid)
            raise Conflict("this password became known: set another", clause=COMPROMISED, gaps=("password: breached",))
        if TOTP in held:
            return Halfway(tenant, sid, stored.eid)
        try:
            let_in = self.arrivals.prepare(
                tenant,
                sid,
                cookie,
                method="password",
                mechanism=PASSWORD_HASHED,
                device=device,
                was=was,
                language=language,
            )
        except NotFound:
            self._refuse()

        def body(tx: DataTx) -> Session:
            now = credentials.of_person(tx.connection, tenant, sid)
            if TOTP in now or PASSWORD not in now or now[PASSWORD].eid != stored.eid:
                raise wrong()  # changed, removed or erased in this very moment
            return let_in(tx)

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def _refuse(self) -> NoReturn:
        """Note a refused sign-in, without any name, and refuse it."""
        self.arrivals.note_refusal("password", PASSWORD_HASHED)
        raise wrong()

    # --- sessions ---

    def sessions(self, tenant: str, sid: bytes) -> list[tuple[Session, Device | None]]:
        """A person's open sessions with what is known of their devices, oldest first."""
        now = self.store.now()
        found = self.store.read(lambda connection: person_sessions.of_person(connection, tenant, sid, now))
        return [(session, person_sessions.open_device(self.vault, session)) for session in found]

    def end(self, session: Session, place: str) -> bool:
        """End one of one's own sessions, by the name it has on the page; False where there is none."""
        return bool(self._end(session, place))

    def end_others(self, session: Session) -> int:
        """End every session but this one; how many."""
        return self._end(session, None)

    def _end(self, session: Session, place: str | None) -> int:
        tenant, sid = session.tenant, session.sid
        try:
            opening = self.vault.opening(tenant, sid)
        except NotFound:
            return 0  # erased meanwhile, and every session with it

        def body(tx: DataTx) -> int:
            if not self.vault.exists(tx.connection, tenant, sid):
                return 0
            if place is None:
                ended = person_sessions.end_others(tx, tenant, sid, session.hash)
            else:
                ended = person_sessions.end_at(tx, tenant, sid, place)
            if ended:
                facts = {"sessions_ended": ended}
                draft = EntryDraft("account.signed-out", CLAUSE, PASSWORD_HASHED, "subject", facts=facts)
                tx.append(draft, opening)
            return ended

        return self.store.write(Write(body, lane=Lane.RIGHTS))


def needs_no_old(session: Session, now_ms: int) -> bool:
    """Whether what this session was opened with stands for the old password: a link, or a passkey just used."""
    if session.method == "passkey":
        return session.created_ms > now_ms - LINK_LIFE_MS
    return session.method in ("link", "link+totp")


def wrong() -> Unproven:
    """The one answer to an unknown address, to a person without a password and to a wrong password."""
    return Unproven("the address or the password is not right", clause=CLAUSE)
