"""A password is changed when somebody else knows it, and for no other reason; and a person is reminded if they ask.

A password that stands in a list of those that became known, or that the operator has reason to think is known, opens
nothing from that moment on: what it opened ends, a letter says why, and its owner sets another after a link to their
address. Nothing here, and no setting, ends a password for its age (NIST SP 800-63B-4 3.1.1.2, OWASP ASVS 6.2.10).
Clause ``protect.password-change``, mechanism ``password.change``.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import bindparam, select

from troth.errors import Conflict, NotFound
from troth.policy.model import Duration
from troth.store import Lane, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import credentials as rows
from troth.store.transaction import DataTx
from troth.use import credentials, person_sessions
from troth.use.arrivals import Arrivals
from troth.use.credentials import PASSWORD
from troth.use.person_sessions import Session

CLAUSE = "protect.password-change"
MECHANISM = "password.change"
KNOWN = "account.password-known"  # the letters, where the policy declares them
REMIND = "account.password-reminder"
REMINDER = "reminder"  # the kind of credential that remembers the wish
EVERY = Duration("12 months", months=12)
WITH = select(rows.c.tenant, rows.c.sid).where(rows.c.kind == bindparam("of_kind"))

Evidence = Literal["list", "operator"]


class Compromise:
    """Ending passwords on evidence, and reminding on request. Methods block: call them from a thread."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.store = arrivals.store
        self.vault = arrivals.vault

    def end(self, tenant: str, sid: bytes, by: Evidence, *, language: str = "en", setting: bytes | None = None) -> bool:
        """End this person's password and what it opened; False where none is set, or another than ``setting`` did."""
        try:
            opening = self.vault.opening(tenant, sid)
        except NotFound:
            return False
        tell = self.arrivals.letter(KNOWN, tenant, sid, opening, language=language)

        def body(tx: DataTx) -> bool:
            stored = credentials.find(tx.connection, tenant, sid, PASSWORD)
            if stored is None or setting not in (None, stored.eid):
                return False
            credentials.drop(tx, tenant, sid, PASSWORD)
            facts = {"by": by, "sessions_ended": person_sessions.end_by_password(tx, tenant, sid)}
            draft = EntryDraft(KNOWN, CLAUSE, MECHANISM, "system", refers=stored.eid, facts=facts)
            tx.append(draft, opening)
            tell(tx)
            return True

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def end_all(self, tenant: str) -> int:
        """End every password that people here have set, because the operator knows of a leak; how many."""
        return sum(self.end(tenant, sid, "operator") for of, sid in self._with(PASSWORD) if of == tenant)

    # --- reminding ---

    def remind(self, session: Session, wish: bool, *, language: str = "en") -> None:
        """Remind this person once a year of changing their password, or no more."""
        tenant, sid = session.tenant, session.sid
        try:
            opening = self.vault.opening(tenant, sid)
            ct = credentials.seal(self.vault, tenant, sid, REMINDER, {"language": language})
        except NotFound:
            raise Conflict("there is no account to be reminded of", clause=CLAUSE) from None

        def body(tx: DataTx) -> None:
            self.arrivals.require_there(tx, session)
            entry = tx.append(
                EntryDraft("account.reminder", CLAUSE, MECHANISM, "subject", facts={"wish": int(wish)}), opening
            )
            if wish:
                credentials.put(tx, tenant, sid, REMINDER, eid=entry.eid, ct=ct)
            else:
                credentials.drop(tx, tenant, sid, REMINDER)

        self.store.write(Write(body, lane=Lane.RIGHTS))

    def sweep(self) -> int:
        """Write to those who wished it and whose password, and last reminder, are a year old; how many."""
        return sum(self._remind(tenant, sid) for tenant, sid in self._with(REMINDER))

    def _remind(self, tenant: str, sid: bytes) -> bool:
        held = self.store.read(lambda connection: credentials.of_person(connection, tenant, sid))
        if REMINDER not in held or PASSWORD not in held:
            return False
        if EVERY.after(max(held[REMINDER].since_ms, held[PASSWORD].since_ms)) > self.store.now():
            return False
        try:
            opening = self.vault.opening(tenant, sid)
        except NotFound:
            return False
        said = credentials.unseal(self.vault, tenant, sid, REMINDER, held[REMINDER])
        tell = self.arrivals.letter(REMIND, tenant, sid, opening, **said)

        def body(tx: DataTx) -> bool:
            now = credentials.find(tx.connection, tenant, sid, REMINDER)
            if now != held[REMINDER]:
                return False  # wished otherwise meanwhile
            entry = tx.append(EntryDraft("account.reminded", CLAUSE, MECHANISM), opening)
            credentials.put(tx, tenant, sid, REMINDER, eid=entry.eid, ct=now.ct)
            tell(tx)
            return True

        return self.store.write(Write(body, lane=Lane.JOB))

    def _with(self, kind: str) -> list[tuple[str, bytes]]:
        found = self.store.read(lambda connection: connection.execute(WITH, {"of_kind": kind}).all())
        return [(row.tenant, bytes(row.sid)) for row in found]
