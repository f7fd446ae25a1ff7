"""A person's second factor: codes of an app (RFC 6238), each good once, and recovery codes for when the app is lost.

Who sets one is asked for it from then on: after the password, and after a link to the mailbox before anything is
changed that the account is entered with. The app's secret lies sealed under the person's own key; of a recovery code
we keep a keyed hash, sealed as well. Clause ``protect.password``, mechanism ``account.second-factor``.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from troth.errors import Conflict, Damaged, Invalid, NotFound, Unproven
from troth.policy.durations import parse_duration
from troth.policy.model import CompiledPolicy, Duration
from troth.store import Lane, Write, links
from troth.store.ledger import EntryDraft
from troth.store.transaction import DataTx
from troth.use import credentials, person_sessions, totp
from troth.use.arrivals import CHANGED, CLAUSE, NO_ACCOUNT, TOTP, Arrivals, require_proven
from troth.use.credentials import PASSWORD, Held
from troth.use.devices import Device
from troth.use.passkeys import SecretBox
from troth.use.person_sessions import Method, Session

MECHANISM = "account.second-factor"
RECOVERY = "recovery"  # the kinds of credentials besides the app's secret
LOST = "lost"
CODES = 10
CODE_BYTES = 10  # 80 bits each: nothing that is tried through a form is found
HALFWAY_MS = 5 * 60_000
STRONGER: dict[Method, Method] = {"link": "link+totp", "password": "password+totp"}
LIKE_LETTERS = str.maketrans("01", "OI", " -")  # base32 has neither digit


def recovery_after(policy: CompiledPolicy) -> Duration | None:
    """How long one waits who lost app and recovery codes; None where the policy declares no second factor."""
    found: str | None = policy.figures.get("recovery_after")
    return parse_duration(found) if found else None


@dataclass(frozen=True)
class Halfway:
    """Somebody whose password was right, with a second factor to show. ``password`` is the entry of its setting."""

    tenant: str
    sid: bytes
    password: bytes


class Ticket(msgspec.Struct, frozen=True):
    """What a page remembers between the password and the code, sealed."""

    tenant: str
    sid: bytes
    password: bytes
    expires_ms: int


@dataclass(frozen=True)
class Shown:
    """A code that fits: which kind it is, how many recovery codes are left, and what uses it up in a transaction."""

    by: str
    left: int
    use: Callable[[DataTx], bool]


class SecondFactor:
    """Setting and removing it, and asking for it. Methods block: call them from a thread.

    ``box`` seals what travels in forms; ``secret`` (32 bytes) keys the hashes of recovery codes.
    """

    def __init__(self, arrivals: Arrivals, box: SecretBox, secret: bytes) -> None:
        self.arrivals = arrivals
        self.store = arrivals.store
        self.vault = arrivals.vault
        self.box = box
        self._secret = secret

    # --- setting it ---

    def new_secret(self, session: Session) -> tuple[bytes, str]:
        """A secret for an app: as it is shown, and as it travels in this session's form."""
        return totp.new_secret(self.box, self.store.randomness, TOTP.encode() + session.hash)

    def secret_of(self, session: Session, sealed: str) -> bytes:
        """The secret that travelled in this session's form; ``Invalid`` where it is not what we sent."""
        return totp.secret_of(self.box, sealed, TOTP.encode() + session.hash)

    def set(self, session: Session, sealed: str, code: str, *, language: str = "en") -> list[str]:
        """Ask for codes of this app from now on; the recovery codes, shown once. Every other session ends.

        ``Invalid`` where the code does not fit, ``Unproven`` without a fresh proof, ``Conflict`` where one is set.
        """
        tenant, sid = session.tenant, session.sid
        if recovery_after(self.arrivals.versions.current()) is None:
            raise Conflict("the policy declares no second factor", clause=CLAUSE)
        self._require(session, held=self._held(tenant, sid), there=False)
        secret = self.secret_of(session, sealed)
        step = totp.matching_step(secret, code, self.store.now(), None)
        if step is None:
            raise Invalid("the code does not fit the secret", clause=CLAUSE, gaps=("code: code",))
        codes = self._new_codes()
        opening = self._opening(session)
        sealed_secret = credentials.seal(self.vault, tenant, sid, TOTP, {"secret": secret})
        sealed_codes = self._seal_codes(tenant, sid, codes)
        tell = self.arrivals.letter(CHANGED, tenant, sid, opening, what="second-factor-set", language=language)

        def body(tx: DataTx) -> None:
            self.arrivals.require_there(tx, session)
            held = credentials.of_person(tx.connection, tenant, sid)
            self._require(session, held=held, there=False)
            use_step(tx, tenant, sid, step)
            facts = {"sessions_ended": person_sessions.end_others(tx, tenant, sid, session.hash)}
            alone = held[PASSWORD].eid if PASSWORD in held else None  # what opens nothing by itself any more
            draft = EntryDraft("account.second-factor-set", CLAUSE, MECHANISM, "subject", refers=alone, facts=facts)
            entry = tx.append(draft, opening)
            credentials.put(tx, tenant, sid, TOTP, eid=entry.eid, ct=sealed_secret)
            credentials.put(tx, tenant, sid, RECOVERY, eid=entry.eid, ct=sealed_codes)
            if session.method in STRONGER:
                person_sessions.strengthen(tx, session, STRONGER[session.method], session.proof or entry.eid)
            tell(tx)

        self.store.write(Write(body, lane=Lane.RIGHTS))
        return codes

    def renew_codes(self, session: Session, *, language: str = "en") -> list[str]:
        """New recovery codes in place of those before; shown once."""
        tenant, sid = session.tenant, session.sid
        self._require(session, held=self._held(tenant, sid), there=True)
        codes, opening = self._new_codes(), self._opening(session)
        sealed = self._seal_codes(tenant, sid, codes)
        tell = self.arrivals.letter(CHANGED, tenant, sid, opening, what="recovery-codes", language=language)

        def body(tx: DataTx) -> None:
            self.arrivals.require_there(tx, session)
            held = credentials.of_person(tx.connection, tenant, sid)
            self._require(session, held=held, there=True)
            ends = held[RECOVERY].eid if RECOVERY in held else None
            entry = tx.append(EntryDraft("account.recovery-codes", CLAUSE, MECHANISM, "subject", refers=ends), opening)
            credentials.put(tx, tenant, sid, RECOVERY, eid=entry.eid, ct=sealed)
            tell(tx)

        self.store.write(Write(body, lane=Lane.RIGHTS))
        return codes

    def remove(self, session: Session, *, language: str = "en") -> None:
        """Ask for no codes any more; every other session ends."""
        tenant, sid = session.tenant, session.sid
        self._require(session, held=self._held(tenant, sid), there=True)
        opening = self._opening(session)
        tell = self.arrivals.letter(CHANGED, tenant, sid, opening, what="second-factor-removed", language=language)

        def body(tx: DataTx) -> None:
            self.arrivals.require_there(tx, session)
            held = credentials.of_person(tx.connection, tenant, sid)
            self._require(session, held=held, there=True)
            drop_factor(tx, tenant, sid)
            facts = {"sessions_ended": person_sessions.end_others(tx, tenant, sid, session.hash)}
            ends, kind = held[TOTP].eid, "account.second-factor-removed"
            tx.append(EntryDraft(kind, CLAUSE, MECHANISM, "subject", refers=ends, facts=facts), opening)
            tell(tx)

        self.store.write(Write(body, lane=Lane.RIGHTS))

    def codes_left(self, tenant: str, sid: bytes, held: Held) -> int:
        """How many recovery codes have not been used."""
        return len(credentials.unseal(self.vault, tenant, sid, RECOVERY, held.get(RECOVERY)).get("codes", ()))

    # --- asking for it ---

    def ticket(self, halfway: Halfway) -> str:
        """What the page that asks for the code carries; it is good for five minutes and opens nothing by itself."""
        expires = self.store.now() + HALFWAY_MS
        content = msgspec.msgpack.encode(Ticket(halfway.tenant, halfway.sid, halfway.password, expires))
        return self.box.seal(content, b"halfway").hex()

    def read(self, ticket: str) -> Ticket:
        """What a ticket says; ``Unproven`` where it is none, or no longer."""
        try:
            found = msgspec.msgpack.decode(self.box.open(bytes.fromhex(ticket), b"halfway"), type=Ticket)
        except (ValueError, Damaged, msgspec.DecodeError):
            found = None
        if found is None or found.expires_ms <= self.store.now():
            raise Unproven("please enter your password again", clause=CLAUSE)
        return found

    def finish(
        self,
        ticket: Ticket,
        code: str,
        cookie: str,
        *,
        device: Device | None = None,
        was: Sequence[str] = (),
        language: str = "en",
    ) -> Session:
        """Sign in with a code after the password; ``Unproven`` where it does not fit or was used before."""
        tenant, sid = ticket.tenant, ticket.sid
        held = self._held(tenant, sid)
        shown = self._shown(tenant, sid, held, code)
        still = held.get(PASSWORD)
        if shown is None or still is None or still.eid != ticket.password:
            self._refuse()
        try:
            let_in = self.arrivals.prepare(
                tenant,
                sid,
                cookie,
                method="password+totp",
                mechanism=MECHANISM,
                device=device,
                was=was,
                language=language,
            )
            note = self._noting(tenant, sid, held, shown, language)
        except NotFound:
            self._refuse()

        def body(tx: DataTx) -> Session:
            now = credentials.find(tx.connection, tenant, sid, PASSWORD)
            if now is None or now.eid != ticket.password or not shown.use(tx):
                raise wrong_code()
            note(tx)
            return let_in(tx)

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def show(
        self, session: Session, code: str, cookie: str, *, device: Device | None = None, language: str = "en"
    ) -> Session:
        """Show a code in a session that a link opened: the stronger one in its place, known by ``cookie`` from here on.

        ``Unproven`` where the code does not fit or was used before. Whoever else held the former cookie gains nothing.
        """
        tenant, sid = session.tenant, session.sid
        held = self._held(tenant, sid)
        shown = self._shown(tenant, sid, held, code)
        if shown is None or session.method != "link":
            self._refuse()
        opening = self._opening(session)
        note = self._noting(tenant, sid, held, shown, language)
        sealed = person_sessions.seal_device(self.vault, tenant, sid, cookie, device)
        csrf = self.store.randomness.bytes(32)

        def body(tx: DataTx) -> Session:
            self.arrivals.require_there(tx, session)
            if not shown.use(tx):
                raise wrong_code()
            note(tx)
            facts = {"by": shown.by}
            entry = tx.append(EntryDraft("account.code-shown", CLAUSE, MECHANISM, "subject", facts=facts), opening)
            person_sessions.end(tx, session.hash)
            return person_sessions.start(
                tx, cookie, tenant, sid, csrf=csrf, method="link+totp", proof=entry.eid, device=sealed
            )

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def _shown(self, tenant: str, sid: bytes, held: Held, code: str) -> Shown | None:
        """What a code proves; the same comparisons whatever it is."""
        secret = credentials.unseal(self.vault, tenant, sid, TOTP, held.get(TOTP)).get("secret")
        codes = credentials.unseal(self.vault, tenant, sid, RECOVERY, held.get(RECOVERY)).get("codes", [])
        step = totp.matching_step(secret or bytes(totp.SECRET_BYTES), code, self.store.now(), None)
        hashed = self._hash(tenant, sid, code)
        left = [each for each in codes if not hmac.compare_digest(each, hashed)]
        if secret is None:
            return None
        if step is not None:
            return Shown("totp", len(codes), lambda tx: use_step(tx, tenant, sid, step))
        if len(left) == len(codes):
            return None
        old, new = held[RECOVERY].ct, credentials.seal(self.vault, tenant, sid, RECOVERY, {"codes": left})
        return Shown("recovery", len(left), lambda tx: credentials.replace(tx, tenant, sid, RECOVERY, old, new))

    def _noting(self, tenant: str, sid: bytes, held: Held, shown: Shown, language: str) -> Callable[[DataTx], None]:
        """What else a code says: a recovery code is gone, which a letter tells; and nothing is lost that was shown."""
        opening = self.vault.opening(tenant, sid)
        tell = self.arrivals.letter(CHANGED, tenant, sid, opening, what="recovery-code-used", language=language)

        def note(tx: DataTx) -> None:
            if shown.by == "recovery":
                facts = {"left": shown.left}
                ends, kind = held[RECOVERY].eid, "account.recovery-code"
                tx.append(EntryDraft(kind, CLAUSE, MECHANISM, "subject", refers=ends, facts=facts), opening)
                tell(tx)
            if LOST in held and credentials.drop(tx, tenant, sid, LOST):
                draft = EntryDraft("account.recovery-cancelled", CLAUSE, MECHANISM, "subject", refers=held[LOST].eid)
                tx.append(draft, opening)

        return note

    # --- steps that several acts share ---

    def _held(self, tenant: str, sid: bytes) -> Held:
        return self.store.read(lambda connection: credentials.of_person(connection, tenant, sid))

    def _require(self, session: Session, *, held: Held, there: bool) -> None:
        require_proven(session, held, self.store.now())
        if (TOTP in held) is not there:
            raise Conflict("a second factor is set already" if not there else "none is set", clause=CLAUSE)

    def _opening(self, session: Session) -> bytes:
        try:
            return self.vault.opening(session.tenant, session.sid)
        except NotFound:
            raise Conflict(NO_ACCOUNT, clause=CLAUSE) from None

    def _new_codes(self) -> list[str]:
        """Fresh recovery codes, as they are shown."""
        texts = (base64.b32encode(self.store.randomness.bytes(CODE_BYTES)).decode() for _ in range(CODES))
        return ["-".join(text[place : place + 4] for place in range(0, len(text), 4)) for text in texts]

    def _seal_codes(self, tenant: str, sid: bytes, codes: Sequence[str]) -> bytes:
        try:
            hashed = [self._hash(tenant, sid, code) for code in codes]
            return credentials.seal(self.vault, tenant, sid, RECOVERY, {"codes": hashed})
        except NotFound:
            raise Conflict(NO_ACCOUNT, clause=CLAUSE) from None

    def _hash(self, tenant: str, sid: bytes, code: str) -> bytes:
        """What is kept of a recovery code, however it is spelled."""
        plain = code.upper().translate(LIKE_LETTERS)
        return hmac.digest(self._secret, b"\0".join((tenant.encode(), sid, plain.encode())), "sha256")

    def _refuse(self) -> NoReturn:
        self.arrivals.note_refusal("totp", MECHANISM)
        raise wrong_code()


def use_step(tx: DataTx, tenant: str, sid: bytes, step: int) -> bool:
    """Mark a time step's code used; False where it was."""
    expires = (step + totp.DRIFT + 1) * totp.STEP_MS
    return links.use_up(tx, f"{TOTP}.{sid.hex()}.{step}", TOTP, tenant=tenant, expires_ms=expires)


def drop_factor(tx: DataTx, tenant: str, sid: bytes) -> None:
    """Delete the app's secret, the recovery codes and what waits to be recovered."""
    for kind in (TOTP, RECOVERY, LOST):
        credentials.drop(tx, tenant, sid, kind)


def wrong_code() -> Unproven:
    """The one answer to a code that does not fit and to one that was used before."""
    return Unproven("the code does not fit, or was used before", clause=CLAUSE)
