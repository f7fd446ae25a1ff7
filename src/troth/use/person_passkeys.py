"""A person's own passkeys: added, named and removed by them alone, and one gesture that signs them in.

Id, public key and name lie sealed under the person's own key and are gone with it. Nothing outside that seal finds
a passkey: its device brings a handle of the person's, which only a key of ours turns into whose it is. Clause
``protect.password``, mechanism ``account.passkey``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from troth.errors import Conflict, Invalid, NotFound, Unproven
from troth.store import Lane, Write
from troth.store.ledger import EntryDraft
from troth.store.transaction import DataTx
from troth.use import credentials, person_sessions
from troth.use.arrivals import CHANGED, CLAUSE, Arrivals, require_proven
from troth.use.credentials import Held, Stored
from troth.use.devices import Device
from troth.use.passkeys import Passkeys, Question, refused
from troth.use.person_sessions import Session
from troth.vault.index import permute, restore

MECHANISM = "account.passkey"
KIND = "passkey."  # and eight hexadecimal digits, which are its name in forms
MOST = 20  # passkeys of one person
LONGEST_NAME = 60


@dataclass(frozen=True)
class Passkey:
    """One passkey of a person, opened. ``place`` is its name in forms; ``used_ms`` is 0 before its first sign-in."""

    place: str
    since_ms: int
    name: str
    used_ms: int
    credential: bytes
    public_key: bytes
    sign_count: int


class PersonPasskeys:
    """Adding, naming, removing, and signing in. Methods block: call them from a thread.

    ``secret`` (32 bytes) turns a person into the handle that their devices keep, and back.
    """

    def __init__(self, arrivals: Arrivals, keys: Passkeys, secret: bytes) -> None:
        self.arrivals = arrivals
        self.store = arrivals.store
        self.vault = arrivals.vault
        self.keys = keys
        self._secret = secret

    def of(self, tenant: str, sid: bytes) -> list[Passkey]:
        """A person's passkeys, oldest first."""
        return self.opened(tenant, sid, self._held(tenant, sid))

    def opened(self, tenant: str, sid: bytes, held: Held) -> list[Passkey]:
        """Those among what a person signs in with."""
        found = [self._opened(tenant, sid, kind, stored) for kind, stored in held.items() if kind.startswith(KIND)]
        return [each for each in found if each is not None]

    def ask(self, session: Session, name: str) -> Question:
        """Begin adding one; its device shows it as ``name``'s. ``Unproven`` without a fresh and full proof."""
        held = self._held(session.tenant, session.sid)
        require_proven(session, held, self.store.now())
        known = [each.credential for each in self.opened(session.tenant, session.sid, held)]
        handle = permute(self._secret, session.sid)
        return self.keys.ask_to_register(session.hash, name, handle=handle, known=known)

    def add(self, session: Session, sealed: str, answer: str, name: str, *, language: str = "en") -> None:
        """Add the passkey that answered. ``Unproven`` where the answer or the proof does not fit."""
        tenant, sid = session.tenant, session.sid
        held = self._held(tenant, sid)
        require_proven(session, held, self.store.now())
        mine = self.opened(tenant, sid, held)
        if len(mine) >= MOST:
            raise Conflict(f"{MOST} passkeys are set: please remove one first", clause=CLAUSE)
        ceremony, made = self.keys.registered(sealed, answer, session.hash)
        if any(each.credential == made.credential for each in mine):
            raise refused()
        place = self.store.randomness.bytes(4).hex()
        content = {"credential": made.credential, "key": made.public_key, "count": made.sign_count, "used": 0}
        ct, opening = self._seal(session, place, {**content, "name": named(name)})
        tell = self.arrivals.letter(CHANGED, tenant, sid, opening, what="passkey-added", language=language)

        def body(tx: DataTx) -> None:
            self.arrivals.require_there(tx, session)
            require_proven(session, credentials.of_person(tx.connection, tenant, sid), tx.now)
            self.keys.use_up(tx, ceremony, tenant)
            entry = tx.append(EntryDraft("account.passkey-added", CLAUSE, MECHANISM, "subject"), opening)
            credentials.put(tx, tenant, sid, KIND + place, eid=entry.eid, ct=ct)
            tell(tx)

        self.store.write(Write(body, lane=Lane.RIGHTS))

    def rename(self, session: Session, place: str, name: str) -> bool:
        """Call one of one's own passkeys something else; False where there is none."""
        tenant, sid, kind = session.tenant, session.sid, KIND + place
        held = self._held(tenant, sid)
        require_proven(session, held, self.store.now())
        if kind not in held:
            return False
        content = credentials.unseal(self.vault, tenant, sid, kind, held[kind])
        ct, opening = self._seal(session, place, {**content, "name": named(name)})

        def body(tx: DataTx) -> bool:
            self.arrivals.require_there(tx, session)
            tx.append(EntryDraft("account.passkey-named", CLAUSE, MECHANISM, "subject"), opening)
            if not credentials.replace(tx, tenant, sid, kind, held[kind].ct, ct):
                raise Conflict("this passkey was used or changed elsewhere just now", clause=CLAUSE)
            return True

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def remove(self, session: Session, place: str, *, language: str = "en") -> bool:
        """Take one of one's own passkeys away, and end every other session; False where there is none."""
        tenant, sid, kind = session.tenant, session.sid, KIND + place
        held = self._held(tenant, sid)
        require_proven(session, held, self.store.now())
        if kind not in held:
            return False
        opening = self.vault.opening(tenant, sid)
        tell = self.arrivals.letter(CHANGED, tenant, sid, opening, what="passkey-removed", language=language)

        def body(tx: DataTx) -> bool:
            self.arrivals.require_there(tx, session)
            if not credentials.drop(tx, tenant, sid, kind):
                return False
            ended = person_sessions.end_others(tx, tenant, sid, session.hash)
            facts = {"sessions_ended": ended}
            ends, said = held[kind].eid, "account.passkey-removed"
            tx.append(EntryDraft(said, CLAUSE, MECHANISM, "subject", refers=ends, facts=facts), opening)
            tell(tx)
            return True

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def sign_in(
        self,
        tenant: str,
        sealed: str,
        answer: str,
        cookie: str,
        *,
        device: Device | None = None,
        was: Sequence[str] = (),
        language: str = "en",
    ) -> Session:
        """Sign in with the passkey that answered; ``Unproven``, in the same words, where anything does not fit."""
        try:
            sid, mine, stored = self._found(tenant, answer)
            ceremony, count = self.keys.signed_in(sealed, answer, mine)
            let_in = self.arrivals.prepare(
                tenant, sid, cookie, method="passkey", mechanism=MECHANISM, device=device, was=was, language=language
            )
            kind, now = KIND + mine.place, self.store.now()
            content = credentials.unseal(self.vault, tenant, sid, kind, stored)
            ct = credentials.seal(self.vault, tenant, sid, kind, {**content, "count": count, "used": now})
        except (Unproven, NotFound):
            self._refuse()

        def body(tx: DataTx) -> Session:
            self.keys.use_up(tx, ceremony, tenant)
            if not self.vault.exists(tx.connection, tenant, sid):
                raise refused()  # erased in this very moment
            if not credentials.replace(tx, tenant, sid, kind, stored.ct, ct):
                raise refused()  # removed, or answered elsewhere meanwhile: a count that was seen is not seen again
            return let_in(tx)

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def _found(self, tenant: str, answer: str) -> tuple[bytes, Passkey, Stored]:
        """Whose passkey answers, and which; ``Unproven`` where it is nobody's."""
        handle, credential = self.keys.handle_of(answer), self.keys.credential_of(answer)
        sid = restore(self._secret, handle) if len(handle) == len(credentials.NOBODY) else credentials.NOBODY
        held = self._held(tenant, sid)
        for mine in self.opened(tenant, sid, held):
            if mine.credential == credential:
                return sid, mine, held[KIND + mine.place]
        raise refused()

    def _held(self, tenant: str, sid: bytes) -> Held:
        return self.store.read(lambda connection: credentials.of_person(connection, tenant, sid))

    def _opened(self, tenant: str, sid: bytes, kind: str, stored: Stored) -> Passkey | None:
        found = credentials.unseal(self.vault, tenant, sid, kind, stored)
        if not found:
            return None  # its key is gone
        secret = (found["credential"], found["key"], found["count"])
        return Passkey(kind.removeprefix(KIND), stored.since_ms, found["name"], found["used"], *secret)

    def _seal(self, session: Session, place: str, content: dict[str, object]) -> tuple[bytes, bytes]:
        """The content sealed, and the person's secret for openings; ``Conflict`` where there is no account."""
        tenant, sid = session.tenant, session.sid
        try:
            return credentials.seal(self.vault, tenant, sid, KIND + place, content), self.vault.opening(tenant, sid)
        except NotFound:
            raise Conflict("there is no account to sign in to: please register first", clause=CLAUSE) from None

    def _refuse(self) -> NoReturn:
        self.arrivals.note_refusal("passkey", MECHANISM)
        raise refused()


def named(name: str) -> str:
    """What a person calls their passkey: one line that can be shown; ``Invalid`` where it is none."""
    plain = " ".join(name.split())
    if not plain or not plain.isprintable():
        raise Invalid("a passkey needs a name", clause=CLAUSE, gaps=("name: required",))
    if len(plain) > LONGEST_NAME:
        raise Invalid("this name is too long", clause=CLAUSE, gaps=("name: too-long",))
    return plain
