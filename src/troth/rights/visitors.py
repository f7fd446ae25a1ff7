"""A browser that agreed to be recognised: its history for whoever sits before it, and its end.

The proof is the cookie itself: who holds it is the visitor, and nobody else can know the subject. Taking the consent
back erases the history with it, since nothing else would be left to keep. Clauses: ``collect.navigation``,
``cookies.returning-visit``, ``consent.withdraw``. Mechanisms: ``count.visits``, ``consent.withdraw``.
"""

from __future__ import annotations

from troth.collect.visits.visits import Visits
from troth.errors import NotFound
from troth.notice.consents import Consents
from troth.policy.model import State
from troth.rights.access import Access, Copy
from troth.rights.certificate import Certificate
from troth.rights.erasure import Erasures
from troth.store import Lane, Store, Write
from troth.store.ledger import EntryDraft
from troth.store.writer import DataTx
from troth.vault import Vault


class Visitors:
    """The rights of those who are known by a random number only."""

    def __init__(
        self, store: Store, vault: Vault, consents: Consents, access: Access, erasures: Erasures, visits: Visits
    ) -> None:
        self.store = store
        self.vault = vault
        self.consents = consents
        self.access = access
        self.erasures = erasures
        self.visits = visits

    def known(self, token: str) -> bytes | None:
        """The visitor behind a cookie, if there is (still) one."""
        sid = self.visits.sid_of(token)
        tenant = self.visits.tenant
        return sid if self.store.read(lambda connection: self.vault.exists(connection, tenant, sid)) else None

    def history(self, token: str) -> Copy | None:
        """Everything held under this cookie; None where nothing is."""
        sid = self.known(token)
        try:
            return self.access.copy(self.visits.tenant, sid, actor="visitor") if sid else None
        except NotFound:
            return None  # erased meanwhile

    def withdraw(self, token: str) -> Certificate | None:
        """Take the consent back and erase what rested on it; None where nothing was held."""
        sid = self.known(token)
        if sid is None:
            return None
        tenant = self.visits.tenant
        try:
            opening = self.vault.opening(tenant, sid)
            self.store.write(Write(lambda tx: self._end(tx, tenant, sid, opening), lane=Lane.RIGHTS))
            return self.erasures.erase(tenant, sid, cause="refusal", actor="visitor")
        except NotFound:
            return None  # another tab was faster

    def _end(self, tx: DataTx, tenant: str, sid: bytes, opening: bytes) -> None:
        """End the consent in the person's state and in its record."""
        rules = self.visits.rules()
        self.vault.change_state(tx, tenant, sid, without_grants)
        for consent in self.consents.of(tx.connection, tenant, sid):
            ended = self.consents.end(tx, tenant=tenant, sid=sid, consent=consent.consent)
            if ended:
                tx.append(
                    EntryDraft(
                        kind="consent.withdrawn",
                        clause="consent.withdraw",
                        mechanism="consent.withdraw",
                        actor="visitor",
                        purpose=rules.ask.purpose if rules is not None and rules.ask is not None else None,
                        facts={"consent": consent.consent, "records": ended},
                    ),
                    opening,
                )


def without_grants(state: State) -> State:
    """The state of somebody who agrees to nothing any more."""
    return State(state.mode, state.bound, frozenset(), state.stops)
