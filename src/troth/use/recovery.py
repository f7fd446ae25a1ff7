"""When app and recovery codes are lost: a waiting period, announced to the address, which anybody signed in can end.

Whoever has the mailbox alone waits as long as the policy says; the owner is told at once, and stops it from any
session, or by showing a code. When the time is over the second factor goes and every session ends; nothing is let in
by that. Clause ``protect.password``, mechanism ``account.second-factor``. ADR 0015.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import select

from troth.errors import Conflict, NotFound, Unproven
from troth.store import Lane, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import credentials as rows
from troth.store.transaction import DataTx
from troth.use import credentials, person_sessions
from troth.use.arrivals import CLAUSE, TOTP, Arrivals
from troth.use.credentials import Held
from troth.use.person_sessions import Session
from troth.use.second_factor import LOST, MECHANISM, drop_factor, recovery_after

ASKED = "account.recovery-asked"  # the letters, where the policy declares them
DONE = "account.recovery-done"
WAITING = select(rows.c.tenant, rows.c.sid, rows.c.since_ms, rows.c.eid).where(rows.c.kind == LOST)


class Recovery:
    """Asking, stopping, and what is due. Methods block: call them from a thread."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.store = arrivals.store
        self.vault = arrivals.vault
        self.versions = arrivals.versions

    def due(self, held: Held) -> int | None:
        """When the second factor of this person goes (UTC milliseconds); None where nobody waits for it."""
        after = recovery_after(self.versions.current())
        return None if after is None or LOST not in held else after.after(held[LOST].since_ms)

    def ask(self, session: Session, *, language: str = "en") -> int:
        """Begin to wait; when it ends. ``Conflict`` where nothing is to recover, or no letter could tell of it.

        ``Unproven`` unless a link opened this session and nothing more was shown in it.
        """
        if session.method != "link":
            raise Unproven("please ask for a link to your address first", clause=CLAUSE)
        tenant, sid = session.tenant, session.sid
        policy = self.versions.current()
        after = recovery_after(policy)
        if after is None or ASKED not in policy.templates:
            raise Conflict("a lost second factor cannot be recovered here: the policy declares no way", clause=CLAUSE)
        now = self.store.now()
        until = dt.datetime.fromtimestamp(after.after(now) / 1000, tz=dt.UTC).date().isoformat()
        try:
            opening = self.vault.opening(tenant, sid)
            ct = credentials.seal(self.vault, tenant, sid, LOST, {"language": language})
        except NotFound:
            raise Conflict("there is nothing to recover", clause=CLAUSE) from None
        tell = self.arrivals.letter(ASKED, tenant, sid, opening, until=until, language=language)

        def body(tx: DataTx) -> int:
            self.arrivals.require_there(tx, session)
            held = credentials.of_person(tx.connection, tenant, sid)
            if TOTP not in held:
                raise Conflict("there is nothing to recover", clause=CLAUSE)
            if LOST in held:
                return after.after(held[LOST].since_ms)  # asking again makes it neither sooner nor later
            entry = tx.append(EntryDraft("account.recovery-asked", CLAUSE, MECHANISM, "subject"), opening)
            credentials.put(tx, tenant, sid, LOST, eid=entry.eid, ct=ct)
            tell(tx)
            return after.after(tx.now)

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def stop(self, session: Session) -> bool:
        """Keep the second factor after all; False where nobody was waiting."""
        tenant, sid = session.tenant, session.sid
        try:
            opening = self.vault.opening(tenant, sid)
        except NotFound:
            return False

        def body(tx: DataTx) -> bool:
            self.arrivals.require_there(tx, session)
            waiting = credentials.find(tx.connection, tenant, sid, LOST)
            if waiting is None or not credentials.drop(tx, tenant, sid, LOST):
                return False
            draft = EntryDraft("account.recovery-cancelled", CLAUSE, MECHANISM, "subject", refers=waiting.eid)
            tx.append(draft, opening)
            return True

        return self.store.write(Write(body, lane=Lane.RIGHTS))

    def sweep(self) -> int:
        """Take the second factor from those whose time is over; how many."""
        after, now = recovery_after(self.versions.current()), self.store.now()
        if after is None:
            return 0
        waiting = self.store.read(lambda connection: connection.execute(WAITING).all())
        due = [row for row in waiting if after.after(row.since_ms) <= now]
        return sum(self._end(row.tenant, bytes(row.sid), bytes(row.eid)) for row in due)

    def _end(self, tenant: str, sid: bytes, asked: bytes) -> bool:
        try:
            opening = self.vault.opening(tenant, sid)
        except NotFound:
            return False  # erased meanwhile
        stored = self.store.read(lambda connection: credentials.find(connection, tenant, sid, LOST))
        said = credentials.unseal(self.vault, tenant, sid, LOST, stored)
        tell = self.arrivals.letter(DONE, tenant, sid, opening, **said)

        def body(tx: DataTx) -> bool:
            waiting = credentials.find(tx.connection, tenant, sid, LOST)
            if waiting is None or waiting.eid != asked:
                return False  # stopped meanwhile, or asked anew
            drop_factor(tx, tenant, sid)
            facts = {"sessions_ended": person_sessions.end_others(tx, tenant, sid, b"")}
            draft = EntryDraft("account.recovery-done", CLAUSE, MECHANISM, "system", refers=asked, facts=facts)
            tx.append(draft, opening)
            tell(tx)
            return True

        return self.store.write(Write(body, lane=Lane.JOB))
