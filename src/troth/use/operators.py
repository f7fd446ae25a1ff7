"""Operators: who staff are, by single-use invitations, and how somebody leaves.

Nobody can set or read another's password; whoever loses theirs is invited anew. Every act is in the ledger with
the operator's id. Clauses: ``protect.storage`` (least privilege), ``protect.password``. Mechanism:
``operator.sign-in``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from troth.errors import Conflict, Invalid, NotFound, Unproven
from troth.store import links
from troth.store.ledger import EntryDraft
from troth.store.open import Store
from troth.store.tables import operators, passkeys
from troth.store.transaction import DataTx, Lane, Write
from troth.use import sessions
from troth.use.roles import ROLES

SIGN_IN = "operator.sign-in"
STORAGE, PASSWORD = "protect.storage", "protect.password"  # clause ids
INVITATION = "invitation"
INVITATION_MS = 72 * 3_600_000
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")

INSERT = insert(operators)
HERE = operators.c.tenant == bindparam("of_tenant")
BY_ID = select(operators).where(operators.c.id == bindparam("of_id"), HERE)
ALL = select(operators).where(HERE).order_by(operators.c.name)
INVITED_BY_NAME = select(operators.c.id).where(
    HERE, operators.c.name == bindparam("of_name"), operators.c.state == "invited"
)
ACTIVE_ADMINISTRATORS = (
    select(func.count())
    .select_from(operators)
    .where(HERE, operators.c.role == "administrator", operators.c.state == "active")
)
ANYBODY = select(func.count()).select_from(operators).where(HERE, operators.c.state == "active")
WITHOUT_MEANS = (
    update(operators)
    .where(operators.c.id == bindparam("of_id"))
    .values(state=bindparam("to_state"), password=None, totp=None, totp_step=None)
)
DROP_PASSKEYS = delete(passkeys).where(passkeys.c.operator == bindparam("of_operator"))


@dataclass(frozen=True)
class Operator:
    """One member of staff, as others may see them."""

    id: bytes
    name: str
    role: str
    state: str
    created_ms: int

    @property
    def actor(self) -> str:
        """As it stands in the ledger."""
        return f"operator:{self.id.hex()}"


class Operators:
    """Who a tenant's staff are: inviting and ending. Methods block: call them from a thread."""

    def __init__(self, store: Store, *, tenant: str = "main") -> None:
        self.store = store
        self.tenant = tenant

    # --- who there is ---

    def all(self) -> list[Operator]:
        """Everybody, those who ended last."""
        of = {"of_tenant": self.tenant}
        found = self.store.read(lambda connection: [shown(row) for row in connection.execute(ALL, of)])
        return sorted(found, key=lambda operator: operator.state == "ended")

    def get(self, operator: bytes) -> Operator:
        """One of them; ``NotFound``."""
        return shown(self.store.read(lambda connection: by_id(connection, operator, self.tenant)))

    # --- coming in ---

    def first(self, name: str = "admin") -> str:
        """The token of the first administrator's link; ``Conflict`` once anybody is active.

        May be asked for again while nobody has joined: the link may have been lost.
        """
        return self._invite(name, "administrator", None)

    def invite(self, name: str, role: str, by: Operator) -> str:
        """Invite somebody; the token of their link, which is shown once and never stored.

        ``Invalid`` for a name or role that is none, ``Conflict`` for a name that is taken.
        """
        return self._invite(name, role, by)

    def _invite(self, name: str, role: str, by: Operator | None) -> str:
        if not NAME.fullmatch(name):
            raise Invalid("a name has 1 to 40 letters a-z, digits, and . _ - inside", gaps=("name: name",))
        if role not in ROLES:
            raise Invalid(f"a role is one of {', '.join(ROLES)}", gaps=("role: choice",))
        token = links.new_token(self.store.randomness)
        operator = self.store.randomness.bytes(16)

        def body(tx: DataTx) -> None:
            invited = operator
            if by is None:
                of = {"of_tenant": self.tenant, "of_name": name}
                if tx.connection.execute(ANYBODY, of).scalar_one():
                    raise Conflict("there are operators already: an administrator invites more in the console")
                invited = tx.connection.execute(INVITED_BY_NAME, of).scalar_one_or_none() or operator
            if invited is operator:
                row = {"id": operator, "tenant": self.tenant, "name": name, "role": role}
                tx.execute(INSERT, {**row, "state": "invited", "created_ms": tx.now})
            self._link(tx, token, invited)
            entry(tx, "operator.invited", by, {"operator": invited.hex(), "role": role})

        try:
            self.store.write(Write(body))
        except IntegrityError as fault:
            raise Conflict("this name is taken", gaps=("name: taken",)) from fault
        return token

    def invite_again(self, operator: bytes, by: Operator) -> str:
        """A new link for somebody who lost their means of signing in; what they had stops working at once."""
        token = links.new_token(self.store.randomness)

        def body(tx: DataTx) -> None:
            row = by_id(tx.connection, operator, self.tenant)
            keep_an_administrator(tx.connection, row)
            take_means(tx, operator, "invited")
            self._link(tx, token, operator)
            entry(tx, "operator.invited", by, {"operator": operator.hex(), "role": row.role, "again": True})

        self.store.write(Write(body))
        return token

    def _link(self, tx: DataTx, token: str, operator: bytes) -> None:
        expires = tx.now + INVITATION_MS
        links.make(tx, token, INVITATION, tenant=self.tenant, sid=None, ref=operator.hex(), expires_ms=expires)

    def invited(self, token: str) -> Operator:
        """Whose invitation this is; ``Unproven`` where it is unknown, used or expired."""

        def find(connection: Connection) -> Operator:
            link = links.find(connection, token, INVITATION, self.store.clock.now(), self.tenant)
            row = by_id(connection, bytes.fromhex(link.ref), self.tenant)
            if link.used_ms is not None or row.state != "invited":
                raise Unproven("this invitation was used before: an administrator can send another", clause=PASSWORD)
            return shown(row)

        return self.store.read(find)

    # --- going ---

    def end(self, operator: bytes, by: Operator) -> None:
        """Let somebody in no more; their sessions end at once. ``Conflict`` for the last administrator."""

        def body(tx: DataTx) -> None:
            row = by_id(tx.connection, operator, self.tenant)
            if row.state == "ended":
                raise Conflict("this operator has left already")
            keep_an_administrator(tx.connection, row)
            take_means(tx, operator, "ended")
            entry(tx, "operator.ended", by, {"operator": operator.hex()})

        self.store.write(Write(body, lane=Lane.RIGHTS))


def shown(row: Row[Any]) -> Operator:
    """A row of the table without its secrets."""
    return Operator(row.id, row.name, row.role, row.state, row.created_ms)


def by_id(connection: Connection, operator: bytes, tenant: str) -> Row[Any]:
    """The row of one of a tenant's operators; ``NotFound``."""
    row = connection.execute(BY_ID, {"of_id": operator, "of_tenant": tenant}).one_or_none()
    if row is None:
        raise NotFound("there is no such operator")
    return row


def keep_an_administrator(connection: Connection, row: Row[Any]) -> None:
    """``Conflict`` where this is the last active administrator: nobody could invite anybody any more."""
    if row.role != "administrator" or row.state != "active":
        return
    if connection.execute(ACTIVE_ADMINISTRATORS, {"of_tenant": row.tenant}).scalar_one() <= 1:
        raise Conflict("this is the last administrator: invite another first", clause=STORAGE)


def take_means(tx: DataTx, operator: bytes, state: Literal["ended", "invited"]) -> None:
    """Take from an operator everything that they could come in with; ``invited``: a new link lets them in again."""
    tx.execute(WITHOUT_MEANS, {"of_id": operator, "to_state": state})
    sessions.end_all(tx, operator)
    tx.execute(DROP_PASSKEYS, {"of_operator": operator})


def entry(
    tx: DataTx, kind: str, by: Operator | None, facts: dict[str, Any] | None = None, clause: str = STORAGE
) -> None:
    """The ledger entry of an act of staff (or of the system, for the first invitation)."""
    actor = by.actor if by is not None else "system"
    tx.append(EntryDraft(kind, clause, SIGN_IN, actor, facts=facts or {}))
