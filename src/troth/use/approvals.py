"""A second operator approves: one mechanism for every act that one person alone may not do.

Somebody asks, somebody else approves, the act uses the approval up, once; an approval that nobody gave or used
expires. What may be asked is declared in ``Act``; each step is in the ledger. Mechanism: ``operator.second``; the
clause is that of the act (``share.legal``, ``rights.restrict`` …).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from troth.errors import Conflict, Denied, Forbidden, NotFound, Undeclared
from troth.store.ledger import EntryDraft
from troth.store.open import Store
from troth.store.tables import approvals
from troth.store.transaction import DataTx, Lane, Write
from troth.use.operators import Operator
from troth.use.roles import may
from troth.world import DAY_MS

SECOND = "operator.second"
LASTS_MS = 7 * DAY_MS

INSERT = insert(approvals)
HERE = approvals.c.tenant == bindparam("of_tenant")
BY_ID = select(approvals).where(approvals.c.id == bindparam("of_id"), HERE)
OPEN = (
    select(approvals)
    .where(HERE, approvals.c.state.in_(("asked", "approved")), approvals.c.expires_ms > bindparam("at"))
    .order_by(approvals.c.asked_ms)
)
OVER = select(approvals).where(approvals.c.state.in_(("asked", "approved")), approvals.c.expires_ms <= bindparam("at"))
MOVE = (
    update(approvals)
    .where(
        approvals.c.id == bindparam("of_id"),
        approvals.c.state == bindparam("old_state"),
        approvals.c.given_by == bindparam("old_given"),  # so that two who approve at once both count
    )
    .values(state=bindparam("new_state"), given_by=bindparam("new_given"))
)


@dataclass(frozen=True)
class Act:
    """Something that needs more than one operator. ``needed`` is how many besides the one who asks."""

    name: str
    clause: str
    needed: int = 1
    lasts_ms: int = LASTS_MS


@dataclass(frozen=True)
class Approval:
    """One approval as it stands."""

    id: bytes
    act: str
    ref: str
    asked_by: bytes
    asked_ms: int
    needed: int
    given_by: tuple[bytes, ...]
    state: str  # asked | approved | refused | expired | used
    expires_ms: int

    @property
    def guard(self) -> str:
        """What the decision is told once it is used: how many operators stand behind the act (``operators:2``)."""
        return f"operators:{1 + len(self.given_by)}"


class Approvals:
    """The mechanism, for one tenant's staff.

    Methods block: call them from a thread; ``use`` belongs into the act's own transaction.
    """

    def __init__(self, store: Store, acts: Mapping[str, Act], *, tenant: str = "main") -> None:
        self.store = store
        self.acts = acts
        self.tenant = tenant

    def ask(self, act: str, ref: str, by: Operator) -> Approval:
        """Ask for approval of ``act`` on ``ref`` (an id, never a personal value). ``Undeclared`` for another act."""
        declared = self.acts.get(act)
        if declared is None:
            raise Undeclared(f"no act {act!r} is declared for approval", gaps=(f"act:{act}",))
        if by.state != "active" or not may(by.role, "approvals.ask"):
            raise Forbidden("your role does not ask for approvals", clause=declared.clause)
        wanted = self.store.randomness.bytes(16)

        def body(tx: DataTx) -> Approval:
            made = Approval(wanted, act, ref, by.id, tx.now, declared.needed, (), "asked", tx.now + declared.lasts_ms)
            tx.execute(
                INSERT,
                {
                    "id": made.id,
                    "tenant": self.tenant,
                    "act": act,
                    "ref": ref,
                    "asked_by": by.id,
                    "asked_ms": tx.now,
                    "needed": declared.needed,
                    "given_by": "[]",
                    "state": "asked",
                    "expires_ms": made.expires_ms,
                },
            )
            self._entry(tx, "approval.asked", made, by)
            return made

        return self.store.write(Write(body))

    def give(self, approval: bytes, by: Operator) -> Approval:
        """Approve. ``Forbidden`` for the one who asked and for roles that may not; ``Conflict`` where it is over."""

        def body(tx: DataTx) -> Approval:
            found = self._open(tx, approval)
            self._somebody_else(found, by)
            given = (*found.given_by, by.id)
            state = "approved" if len(given) >= found.needed else "asked"
            moved = self._move(tx, found, replace(found, given_by=given, state=state))
            self._entry(tx, "approval.given", moved, by, {"enough": state == "approved"})
            return moved

        return self.store.write(Write(body))

    def refuse(self, approval: bytes, by: Operator) -> Approval:
        """Refuse, or take back what one asked oneself: it is over either way."""

        def body(tx: DataTx) -> Approval:
            found = self._open(tx, approval)
            if by.id != found.asked_by:
                self._somebody_else(found, by)
            moved = self._move(tx, found, replace(found, state="refused"))
            self._entry(tx, "approval.refused", moved, by)
            return moved

        return self.store.write(Write(body))

    def use(self, tx: DataTx, approval: bytes, act: str, ref: str, by: Operator) -> Approval:
        """Use it up in the transaction of the act that it is for; once.

        ``Denied`` with the gap ``operators:<n>`` where it is for something else, not approved yet, over or used.
        """
        declared = self.acts.get(act)
        row = tx.connection.execute(BY_ID, {"of_id": approval, "of_tenant": self.tenant}).one_or_none()
        found = None if row is None else read(row)
        fits = (
            declared is not None
            and found is not None
            and (found.act, found.ref, found.state) == (act, ref, "approved")
            and found.expires_ms > tx.now
        )
        if declared is None or found is None or not fits:
            needed = 1 + (declared.needed if declared else 1)
            raise Denied(
                "another operator has to approve this first",
                clause=declared.clause if declared else None,
                gaps=(f"operators:{needed}",),
            )
        moved = self._move(tx, found, replace(found, state="used"))
        self._entry(tx, "approval.used", moved, by)
        return moved

    def open(self) -> list[Approval]:
        """Those that wait for somebody or for their use, oldest first."""
        of = {"at": self.store.clock.now(), "of_tenant": self.tenant}
        return self.store.read(lambda connection: [read(row) for row in connection.execute(OPEN, of)])

    def get(self, approval: bytes) -> Approval:
        """One approval; ``NotFound``."""
        return self.store.read(lambda connection: by_id(connection, approval, self.tenant))

    def sweep(self) -> int:
        """Mark those whose time is over as expired, with an entry each; how many. A job calls this."""

        def body(tx: DataTx) -> int:
            over = [read(row) for row in tx.connection.execute(OVER, {"at": tx.now})]
            for found in over:
                self._entry(tx, "approval.expired", self._move(tx, found, replace(found, state="expired")), None)
            return len(over)

        return self.store.write(Write(body, lane=Lane.JOB))

    # --- steps ---

    def _open(self, tx: DataTx, approval: bytes) -> Approval:
        found = by_id(tx.connection, approval, self.tenant)
        if found.state != "asked" or found.expires_ms <= tx.now:
            raise Conflict("this is decided or over already", clause=self._clause(found.act))
        return found

    def _somebody_else(self, found: Approval, by: Operator) -> None:
        if by.state != "active" or not may(by.role, "approvals.give"):
            raise Forbidden("your role does not approve", clause=self._clause(found.act))
        if by.id == found.asked_by or by.id in found.given_by:
            raise Forbidden("somebody else has to approve this", clause=self._clause(found.act))

    def _move(self, tx: DataTx, old: Approval, new: Approval) -> Approval:
        values = {
            "of_id": old.id,
            "old_state": old.state,
            "old_given": written(old.given_by),
            "new_state": new.state,
            "new_given": written(new.given_by),
        }
        if not tx.execute(MOVE, values).rowcount:
            raise Conflict("somebody else decided at the same moment: look again", clause=self._clause(old.act))
        return new

    def _clause(self, act: str) -> str:
        declared = self.acts.get(act)
        return declared.clause if declared is not None else "protect.storage"

    def _entry(
        self, tx: DataTx, kind: str, approval: Approval, by: Operator | None, facts: dict[str, Any] | None = None
    ) -> None:
        actor = by.actor if by is not None else "system"
        about = {"approval": approval.id.hex(), "act": approval.act, "ref": approval.ref, **(facts or {})}
        tx.append(EntryDraft(kind, self._clause(approval.act), SECOND, actor, facts=about))


def by_id(connection: Connection, approval: bytes, tenant: str) -> Approval:
    """One of a tenant's approvals; ``NotFound``."""
    row = connection.execute(BY_ID, {"of_id": approval, "of_tenant": tenant}).one_or_none()
    if row is None:
        raise NotFound("there is no such approval")
    return read(row)


def read(row: Row[Any]) -> Approval:
    """A row of the table."""
    given = tuple(bytes.fromhex(text) for text in msgspec.json.decode(row.given_by, type=list[str]))
    return Approval(row.id, row.act, row.ref, row.asked_by, row.asked_ms, row.needed, given, row.state, row.expires_ms)


def written(given: tuple[bytes, ...]) -> str:
    """Who approved, as the table holds it."""
    return msgspec.json.encode([one.hex() for one in given]).decode()
