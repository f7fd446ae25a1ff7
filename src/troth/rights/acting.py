"""Acting in somebody's account, whose holder gave access to it: looking, and correcting, in one's own name.

What is shown came through the gate, for the account alone. An act is an entry whose actor is the access, committed to
the holder, and a line among who looked at their data, in the transaction of what is done: access that ends in that
moment does nothing more. Clause ``protect.password-sharing``, mechanism ``access.delegation``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import insert

from troth.errors import Forbidden, NotFound
from troth.policy.model import Point
from troth.rights.delegation import CLAUSE, GIVEN, MECHANISM, OVER, Delegation, Delegations
from troth.rights.rectification import By, Correctable, Corrected, Rectification
from troth.store import Lane, Write
from troth.store.ledger import EntryDraft
from troth.store.tables import looks
from troth.store.transaction import DataTx
from troth.use import credentials
from troth.use import looks as looking
from troth.use.gate import Gate
from troth.use.person_sessions import CLASS, Session

PURPOSE = "account"
ROLES = {"delegation.looked": "delegate", "delegation.changed": "delegate-changed"}
ADD_LINE = insert(looks)


class Acting:
    """What may be done with access that was given. Methods block: call them from a thread."""

    def __init__(self, delegations: Delegations, rectification: Rectification, gate: Gate) -> None:
        self.delegations = delegations
        self.store = delegations.store
        self.vault = delegations.vault
        self.rectification = rectification
        self.gate = gate

    def points(self, tenant: str, one: Delegation) -> list[Point]:
        """The places of the account that this access reaches; nothing is opened."""
        return [point for point in self.rectification.points(tenant, one.owner) if reached(point)]

    def look(self, session: Session, place: str, point: str) -> tuple[Delegation, Correctable]:
        """What the account holds at this place, after the entry and the holder's line of it.

        ``NotFound`` where the access is over or does not reach the place; ``Unproven`` without one's own second factor
        where one is set; ``Denied``, with its clause and its entry, where the policy does not permit it now.
        """
        tenant, one = session.tenant, self.delegations.open(session, place)
        told, read = self._read(tenant, one, point)
        note = self._noting(tenant, one, "delegation.looked", read)
        self.store.write(Write(note, lane=Lane.RIGHTS))
        return one, told

    def change(self, session: Session, place: str, point: str, values: Mapping[str, Any], seen: str) -> Corrected:
        """Correct what the account holds at this place, in the holder's stead and in one's own name.

        Raises as ``look`` and as ``Rectification.correct`` do; ``Forbidden`` where the access is for looking only, or
        does not reach the field.
        """
        tenant, one = session.tenant, self.delegations.open(session, place)
        if one.scope != "act":
            raise Forbidden("this access is for looking only", clause=CLAUSE)
        told, read = self._read(tenant, one, point)
        if not values.keys() <= {field.name for field in told.point.fields}:
            raise Forbidden("this access does not reach that field", clause=CLAUSE)
        by = By(one.actor, self._noting(tenant, one, "delegation.changed", read))
        return self.rectification.correct(tenant, one.owner, point, values, by=by, seen=seen)

    def _read(self, tenant: str, one: Delegation, name: str) -> tuple[Correctable, bytes]:
        """The place cut down to what the gate gives for the account, and the entry of its reading."""
        point = next((each for each in self.points(tenant, one) if each.id == name), None)
        if point is None:
            raise NotFound("this access does not reach that place", clause=CLAUSE)
        names = reached(point)
        answer = self.gate.open(PURPOSE, actor=one.actor).read(tenant, one.owner, names)
        told = self.rectification.told(tenant, one.owner, name)
        refused = {n for n, value in told.values.items() if str(answer.values.get(n, "")) != value}
        return told.only(names - refused), answer.eid  # what only a record says that the gate refused is not shown

    def _noting(self, tenant: str, one: Delegation, kind: str, read: bytes) -> Callable[[DataTx], bytes]:
        """What writes an act down in its transaction: the entry, whose id it returns, and the holder's line."""
        opening, lid = self.delegations.opening(tenant, one), self.store.randomness.bytes(16)
        ct = self.vault.seal(tenant, one.owner, CLASS, lid, looking.TABLE, looking.SCHEMA, {"reason": one.name})

        def note(tx: DataTx) -> bytes:
            now = credentials.find(tx.connection, tenant, one.owner, GIVEN + one.place)
            if now is None or now.eid != one.eid:
                raise NotFound(OVER, clause=CLAUSE)  # ended in this very moment
            facts = {"delegation": one.eid.hex()}
            draft = EntryDraft(kind, CLAUSE, MECHANISM, one.actor, PURPOSE, refers=read, facts=facts)
            entry = tx.append(draft, opening)
            row = {"tenant": tenant, "sid": one.owner, "lid": lid, "at_ms": tx.now, "role": ROLES[kind]}
            tx.execute(ADD_LINE, {**row, "purpose": PURPOSE, "class_": CLASS, "ct": ct, "eid": entry.eid})
            return entry.eid

        return note


def reached(point: Point) -> frozenset[str]:
    """The fields of a place that this access is about: those that serve the account itself."""
    uses = (use for use in point.uses if use.purpose == PURPOSE and use.recipient is None)
    return frozenset(name for use in uses if use.form.kind == "identified" for name in use.fields)
