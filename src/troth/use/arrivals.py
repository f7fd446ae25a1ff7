"""Letting a person in, whatever they showed: the entry, the use of their account and the session, in one transaction.

Each refusal is counted in the ledger without a name. Who changes how an account is entered has shown within the last
half hour who they are, with the second factor where there is one, and a letter tells of it. Clause
``protect.password``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from troth.errors import Conflict, Unproven
from troth.notice.versions import Versions
from troth.store import Store, Write
from troth.store.ledger import EntryDraft
from troth.store.outbox import post
from troth.store.transaction import DataTx
from troth.use import credentials, known_devices, person_sessions
from troth.use.credentials import Held
from troth.use.devices import Device
from troth.use.person_sessions import CLASS, LINK_LIFE_MS, SECOND, VOUCHED, Method, Session
from troth.use.sessions import cookie_hash
from troth.vault import Vault

CLAUSE = "protect.password"
CHANGED = "account.access-changed"  # the letter about what one signs in with, where the policy declares it
SIGNED_IN = "account.signed-in"  # and the one about a sign-in from where none came before
TOTP = "totp"  # the kind of credential that makes an account ask for a second factor
NO_ACCOUNT = "there is no account to sign in to: please register first"

LetIn = Callable[[DataTx], Session]
Tell = Callable[[DataTx], None]


class Arrivals:
    """What every way in shares. Methods block: call them from a thread."""

    def __init__(self, store: Store, vault: Vault, versions: Versions) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions

    def prepare(
        self,
        tenant: str,
        sid: bytes,
        cookie: str,
        *,
        method: Method,
        mechanism: str,
        device: Device | None = None,
        was: Sequence[str] = (),
        language: str = "en",
    ) -> LetIn:
        """What lets this person in once it is done in the transaction of their proof; ``NotFound`` where they are gone.

        ``was`` are the cookies that this browser came with: their sessions end, whoever's they were. A device, or a
        country, that was not seen with this account before is told to its owner.
        """
        opening = self.vault.opening(tenant, sid)
        sealed = person_sessions.seal_device(self.vault, tenant, sid, cookie, device)
        csrf, policy = self.store.randomness.bytes(32), self.versions.current()
        remember = self._remembering(tenant, sid, opening, device, language)

        def let_in(tx: DataTx) -> Session:
            for cookie_before in was:
                person_sessions.end(tx, cookie_hash(cookie_before))
            facts = {"method": method}
            entry = tx.append(EntryDraft("account.signed-in", CLAUSE, mechanism, "subject", facts=facts), opening)
            self.vault.change_state(tx, tenant, sid, lambda state: state)  # who found them unused looks again
            self.vault.happen(tx, tenant, sid, "account.used", policy)
            remember(tx, entry.eid)
            return person_sessions.start(
                tx, cookie, tenant, sid, csrf=csrf, method=method, proof=entry.eid, device=sealed
            )

        return let_in

    def _remembering(
        self, tenant: str, sid: bytes, opening: bytes, device: Device | None, language: str
    ) -> Callable[[DataTx, bytes], None]:
        """What notes in a transaction, under the sign-in's entry, from where it came; what is new is told by mail."""
        held = self.store.read(lambda connection: credentials.of_person(connection, tenant, sid))
        known, now = known_devices.seen(self.vault, tenant, sid, held), self.store.now()
        if device is None:
            return lambda tx, eid: None
        ct = known_devices.seal_with(self.vault, tenant, sid, known, device, now)
        said = known_devices.told(device, now)
        tell = self.letter(SIGNED_IN, tenant, sid, opening, language=language, **said)
        before = held.get(known_devices.KIND)

        def remember(tx: DataTx, eid: bytes) -> None:
            if device in known and before is not None:
                credentials.replace(tx, tenant, sid, known_devices.KIND, before.ct, ct)
                return
            credentials.put(tx, tenant, sid, known_devices.KIND, eid=eid, ct=ct)
            tell(tx)

        return remember

    def note_refusal(self, method: str, mechanism: str) -> None:
        """Note a refused sign-in, without any name."""

        def body(tx: DataTx) -> None:
            tx.append(EntryDraft("account.refused", CLAUSE, mechanism, "visitor", facts={"method": method}))

        self.store.write(Write(body))

    def letter(self, template_id: str, tenant: str, sid: bytes, opening: bytes, **variables: Any) -> Tell:
        """What queues a letter to this person in a transaction; nothing where the policy declares no such letter."""
        template = self.versions.current().templates.get(template_id)
        if template is None:
            return lambda tx: None
        sealed = self.vault.transit_seal(msgspec.json.encode(variables))

        def tell(tx: DataTx) -> None:
            post(tx, template, self.store.randomness, tenant=tenant, sid=sid, opening=opening, variables=sealed)

        return tell

    def require_there(self, tx: DataTx, session: Session) -> None:
        """``Conflict`` where the account or the session ended while we looked."""
        if not self.vault.exists(tx.connection, session.tenant, session.sid) or not any(
            record.class_ == CLASS for record in self.vault.records(tx.connection, session.tenant, session.sid)
        ):
            raise Conflict(NO_ACCOUNT, clause=CLAUSE)
        if person_sessions.find(tx.connection, session.hash, tx.now) is None:
            raise Conflict("this session has ended", clause=CLAUSE)


def lacks_second(session: Session, held: Held) -> bool:
    """Whether this account asks for a second factor that this session has not shown."""
    return TOTP in held and session.method not in SECOND


def require_second(session: Session, held: Held) -> None:
    """``Unproven`` where a second factor is set and was not shown: a link to the mailbox alone goes round nothing."""
    if lacks_second(session, held):
        raise Unproven("please enter a code of your second factor first", clause=CLAUSE, gaps=("second-factor",))


def require_proven(session: Session, held: Held, now_ms: int) -> None:
    """``Unproven`` unless the person showed within the last half hour who they are, as strongly as they can."""
    if session.method in VOUCHED:
        raise Unproven("please ask for a link to your address first", clause=CLAUSE)
    if session.created_ms <= now_ms - LINK_LIFE_MS:
        raise Unproven("please sign in once more: it is asked of you afresh", clause=CLAUSE)
    require_second(session, held)
