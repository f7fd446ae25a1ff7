"""Legal holds are set, renewed, lifted and ended here; what waited for the end goes on from there.

A hold sets the person's data aside in the transaction of its entry, which keeps it from retention too; an erasure that
is asked for meanwhile is ordered and waits. K gets a guard row, so that a restored backup holds again what was held.
Clause: ``retain.while-used``. Mechanism: ``retain.due``.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from troth.errors import Conflict, Invalid, NotFound
from troth.rights import restriction
from troth.rights.erasure import Erasures
from troth.rights.hold import CLAUSE, MOST_DAYS, OPEN, REASONS, Hold, hold_of, standing
from troth.rights.restriction import GUARD_JOB, guard_ref
from troth.store import Lane, Store, Write
from troth.store.announce import Announce, unheard
from troth.store.jobs import Job
from troth.store.ledger import Entry, EntryDraft
from troth.store.tables import erasures, holds
from troth.store.transaction import DataTx, KeyTx
from troth.vault import Vault
from troth.world import DAY_MS

MECHANISM: Final = "retain.due"
END_JOB = "rights.holds-ended"
END_EVERY_MS = 60 * 60_000
GUARD = "held"
MOST = 500  # ended in one run: the next run takes the rest

INSERT = insert(holds)
OF_TENANT = OPEN.where(holds.c.tenant == bindparam("of_tenant")).order_by(holds.c.until_ms, holds.c.eid)
PAST = OPEN.where(holds.c.until_ms <= bindparam("before")).order_by(holds.c.until_ms).limit(MOST)
BY_NUMBER = OPEN.where(holds.c.tenant == bindparam("of_tenant"), holds.c.eid == bindparam("of_eid"))
RENEW = (
    update(holds)
    .where(holds.c.eid == bindparam("of_eid"), holds.c.ended_ms.is_(None))
    .values(reason=bindparam("why"), set_ms=bindparam("at"), until_ms=bindparam("until"), set_by=bindparam("who"))
)
END = (
    update(holds)
    .where(holds.c.eid == bindparam("of_eid"), holds.c.ended_ms.is_(None))
    .values(ended_ms=bindparam("at"), ended_by=bindparam("who"))
)
KNOWN = select(holds.c.eid).where(holds.c.eid == bindparam("of_eid"))
WAITING = (
    select(erasures.c.ordered)
    .where(
        erasures.c.state == "held",
        ~select(holds.c.eid)
        .where(holds.c.tenant == erasures.c.tenant, holds.c.sid == erasures.c.sid, holds.c.ended_ms.is_(None))
        .exists(),
    )
    .limit(MOST)
)


class Holds:
    """Keeps what a law or a claim needs, for as long as it does."""

    def __init__(self, store: Store, vault: Vault, erasures: Erasures, announce: Announce = unheard) -> None:
        self.store = store
        self.vault = vault
        self.erasures = erasures
        self._announce = announce

    def of(self, tenant: str, sid: bytes) -> Hold | None:
        """The hold on this person, if there is one."""
        return self.store.read(lambda connection: standing(connection, tenant, sid))

    def all(self, tenant: str) -> list[Hold]:
        """The holds that stand, the nearest end first."""
        return self.store.read(lambda c: [hold_of(row) for row in c.execute(OF_TENANT, {"of_tenant": tenant})])

    def set(self, tenant: str, sid: bytes, reason: str, days: int, *, actor: str) -> Hold:
        """Hold everything of this person for ``days`` from now; of somebody held already, the reason and the end anew.

        In force when this returns. ``Invalid``: no such reason, or an end that is not within a year. ``NotFound``: no
        such person, or they are being erased. ``Conflict``: they have not confirmed their address yet.
        """
        gaps = [] if reason in REASONS else ["/reason: choose"]
        gaps += [] if 1 <= days <= MOST_DAYS else ["/days: days"]
        if gaps:
            raise Invalid(f"a hold has a reason, and an end within {MOST_DAYS} days", clause=CLAUSE, gaps=tuple(gaps))
        opening = self.vault.opening(tenant, sid)
        tell = self._announce(tenant, sid, "restriction.changed")

        def body(tx: DataTx) -> Hold:
            mode = self.vault.mode_of(tx.connection, tenant, sid)
            if mode == "pending":
                raise Conflict("this address is not confirmed yet, and nothing of it is kept", clause=CLAUSE)
            if mode not in ("live", "restricted"):
                raise NotFound("there is no such person here", clause=CLAUSE)
            before, until = standing(tx.connection, tenant, sid), tx.now + days * DAY_MS
            facts = {"reason": reason, "until": until}
            if before is not None:
                self._append(tx, "hold.renewed", actor, opening, facts, before.entry)
                again = {"of_eid": before.entry, "why": reason, "at": tx.now, "until": until, "who": actor}
                tx.execute(RENEW, again)
                return Hold(before.entry, tenant, sid, reason, before.since_ms, until, actor)
            entry = self._append(tx, "hold.set", actor, opening, facts)
            hold = Hold(entry.eid, tenant, sid, reason, tx.now, until, actor)
            tx.execute(INSERT, row_of(hold))
            self.vault.set_mode(tx, tenant, sid, "restricted")
            tell(tx, entry.eid)
            tx.enqueue(GUARD_JOB, guard_ref(tenant, sid, entry.eid, GUARD))
            return hold

        def after(ktx: KeyTx, done: Hold) -> None:
            self.vault.guard(ktx, done.entry, tenant, sid, GUARD, done.since_ms)

        return self.store.write(Write(body=body, after=after, lane=Lane.RIGHTS))

    def lift(self, tenant: str, number: bytes, *, actor: str) -> None:
        """End the hold of this number now, and let go on what waited. ``NotFound``: none of this tenant stands so."""
        of = {"of_tenant": tenant, "of_eid": number}
        row = self.store.read(lambda connection: connection.execute(BY_NUMBER, of).one_or_none())
        if row is None or not self._end(hold_of(row), actor, "operator"):
            raise NotFound("no hold of this number stands", clause=CLAUSE)
        self.release()

    def settle(self) -> int:
        """End what is past its end, and let go on what waited for an end; how many holds ended."""
        now = self.store.now()
        past = self.store.read(lambda c: [hold_of(row) for row in c.execute(PAST, {"before": now})])
        ended = sum(self._end(hold, "system", "time", by=now) for hold in past)
        self.release()
        return ended

    def release(self) -> int:
        """Let every erasure go on that waits for a hold and is held by none; how many."""
        waiting = self.store.read(lambda c: [bytes(order) for order in c.execute(WAITING).scalars()])
        return sum(self.erasures.go_on(order) for order in waiting)

    def job(self, job: Job) -> None:
        """The scheduled job."""
        self.settle()

    # --- after a restore ---

    def set_again(self, tenant: str, sid: bytes, eid: bytes, reason: str, since_ms: int, until_ms: int) -> None:
        """What entry ``eid`` held stands again, without an entry of its own."""

        def body(tx: DataTx) -> None:
            if tx.execute(KNOWN, {"of_eid": eid}).first() is None:
                tx.execute(INSERT, row_of(Hold(eid, tenant, sid, reason, since_ms, until_ms, "restored")))
                self.vault.set_mode(tx, tenant, sid, "restricted")

        self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def lost(self, eid: bytes) -> None:
        """The person of this hold came after the backup, and is lost with their data: it holds nothing any more."""
        draft = EntryDraft("hold.ended", CLAUSE, MECHANISM, "system", refers=eid, facts={"by": "restore"})
        self.store.write(Write(lambda tx: tx.append(draft), lane=Lane.RIGHTS))

    def renew_again(self, eid: bytes, reason: str, at_ms: int, until_ms: int) -> None:
        """A later end that a hold was given after the backup."""
        again = {"of_eid": eid, "why": reason, "at": at_ms, "until": until_ms, "who": "restored"}
        self.store.write(Write(lambda tx: tx.execute(RENEW, again).rowcount, lane=Lane.RIGHTS))

    def end_again(self, eid: bytes, at_ms: int, who: str) -> None:
        """A hold that ended after the backup does not stand again."""

        def body(tx: DataTx) -> None:
            row = tx.execute(OPEN.where(holds.c.eid == eid)).one_or_none()
            if row is not None:
                tx.execute(END, {"of_eid": eid, "at": at_ms, "who": who})
                self._free(tx, hold_of(row))

        self.store.write(Write(body=body, lane=Lane.RIGHTS))

    # --- inside ---

    def _end(self, hold: Hold, actor: str, who: str, *, by: int | None = None) -> bool:
        """End this hold; with ``by`` only if its end is not after that. False where it stands no more, or stands on."""
        try:
            opening = self.vault.opening(hold.tenant, hold.sid)
        except NotFound:
            return False  # there is no such person any more
        tell = self._announce(hold.tenant, hold.sid, "restriction.changed")

        def body(tx: DataTx) -> bool:
            now = standing(tx.connection, hold.tenant, hold.sid)
            if now is None or now.entry != hold.entry or (by is not None and now.until_ms > by):
                return False
            entry = self._append(tx, "hold.ended", actor, opening, {"by": who}, hold.entry)
            tx.execute(END, {"of_eid": hold.entry, "at": tx.now, "who": who})
            self._free(tx, hold)
            tell(tx, entry.eid)
            return True

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def _free(self, tx: DataTx, hold: Hold) -> None:
        """The data is used again, unless a restriction says otherwise."""
        if restriction.standing(tx.connection, hold.tenant, hold.sid) is None:
            self.vault.set_mode(tx, hold.tenant, hold.sid, "live")

    def _append(
        self, tx: DataTx, kind: str, actor: str, opening: bytes, facts: dict[str, Any], refers: bytes | None = None
    ) -> Entry:
        return tx.append(EntryDraft(kind, CLAUSE, MECHANISM, actor, refers=refers, facts=facts), opening)


def row_of(hold: Hold) -> dict[str, Any]:
    """A new hold as a row."""
    return {
        "eid": hold.entry,
        "tenant": hold.tenant,
        "sid": hold.sid,
        "reason": hold.reason,
        "since_ms": hold.since_ms,
        "set_ms": hold.since_ms,
        "until_ms": hold.until_ms,
        "set_by": hold.set_by,
    }
