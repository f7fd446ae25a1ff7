"""The one way out: personal data leave to a declared class of recipients, under its guards, or not at all.

A disclosure is an effect outside: an entry of intent is durable before the first byte leaves, one of outcome follows
(promise 3). What the register of recipients can say (a contract in force, a review not older than a year) is read
in the transaction of the intent and cannot be asserted by a caller. Clauses: ``share.nothing-else``,
``share.prior-approval``. Mechanism: ``share.deny``.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec
from sqlalchemy import Connection, bindparam, select

from troth.errors import Denied
from troth.notice.versions import Versions
from troth.policy.ask import UNDECLARED
from troth.policy.model import CompiledPolicy
from troth.store import DataTx, Lane, Store, Write
from troth.store.engine import driver
from troth.store.ledger import EntryDraft
from troth.store.tables import ledger, recipients
from troth.use.gate import Gate
from troth.use.products import Product
from troth.use.transport import Outcome
from troth.use.verdicts import Refused
from troth.world import DAY_MS

NOTHING_ELSE = "share.nothing-else"
REVIEW_MS = 365 * DAY_MS
FROM_REGISTER = frozenset({"contract.live", "review.live"})
FROM_THE_PERSON = "approval:"  # a person's own written approval; nobody else can give it
INTENDED, ENDS = "disclosure.intended", ("disclosure.made", "disclosure.failed", "disclosure.unknown")

NAMED = select(recipients).where(recipients.c.class_ == bindparam("of_class"), recipients.c.ended_ms.is_(None))
OPEN_INTENTS = select(ledger.c.eid, ledger.c.body).where(ledger.c.kind == INTENDED)
OUTCOMES = select(ledger.c.body).where(ledger.c.kind.in_(ENDS))
GENERATION = "SELECT generation, mode FROM subjects WHERE tenant = ? AND sid = ?"

Deliver = Callable[[bytes], Outcome]
"""Takes the exact bytes to the recipient and says what became of them; it never raises for what the network does."""


@dataclass(frozen=True)
class Disclosed:
    """A disclosure that happened (or that nobody knows the end of): the ids of its two entries."""

    kind: str  # made | failed | unknown
    intent: bytes
    outcome: bytes


class Disclosures:
    """Releases personal data to recipients. Default deny."""

    def __init__(self, store: Store, gate: Gate, versions: Versions) -> None:
        self.store = store
        self.gate = gate
        self.vault = gate.vault
        self.versions = versions
        self._generation = store.data.sql(GENERATION)

    def release(
        self,
        recipient: str,
        purpose: str,
        tenant: str,
        sid: bytes,
        fields: Collection[str],
        deliver: Deliver | None = None,
        *,
        actor: str = "system",
        evidence: Collection[str] = (),
    ) -> Disclosed:
        """Give these fields of one person to a class of recipients, as JSON with sorted keys.

        Raises ``Denied``, with an entry, where no clause declares the recipient, the fields or the purpose, or where
        a guard is not met. ``deliver`` is called at most once, after the intent is durable; without one, what would
        be permitted is refused too: there is no way to send it.
        """
        policy = self.versions.current()
        register = self.store.read(lambda connection: self._register(connection, recipient))
        asserted = {guard for guard in evidence if guard not in FROM_REGISTER and not guard.startswith(FROM_THE_PERSON)}
        opening = self.gate.open(purpose, recipient=recipient, actor=actor, evidence=asserted | register)
        weighed = opening.weigh(tenant, sid, frozenset(fields))
        if recipient not in policy.recipients:
            self._refuse(policy, recipient, purpose, actor, Refused((NOTHING_ELSE,), (f"recipient:{UNDECLARED}",)))
        if isinstance(weighed, Refused):
            self._refuse(policy, recipient, purpose, actor, self.gate.told(weighed))
        if deliver is None:
            self._refuse(policy, recipient, purpose, actor, Refused(weighed.clauses, ("delivery",)))
        answer = opening.read(tenant, sid, fields)
        payload = msgspec.json.encode(answer.values, order="sorted")
        secret = self.vault.opening(tenant, sid)
        facts: dict[str, Any] = {
            "recipient": recipient,
            "fields": sorted(answer.values),
            "clauses": list(answer.clauses),
            # keyed by the person's own secret: only who holds it can say that it was these bytes
            "bytes": hmac.digest(secret, payload, "sha256").hex(),
            "guards": sorted(asserted | register),
        }

        def intend(tx: DataTx) -> bytes:
            row = driver(tx.connection).execute(self._generation, (tenant, sid)).fetchone()
            if row is None or row[0] != answer.generation or not register <= self._register(tx.connection, recipient):
                raise Denied("this changed while it was being released: nothing left", gaps=("generation",))
            draft = EntryDraft(INTENDED, answer.clauses[0], "share.deny", actor, purpose, answer.eid, facts)
            return tx.append(draft, secret).eid

        intent = self.store.write(Write(body=intend))
        outcome = deliver(payload)
        kind = {"sent": "made", "unknown": "unknown"}.get(outcome.kind, "failed")
        ended = self._end(intent, kind, answer.clauses[0], recipient, outcome.reason, secret)
        return Disclosed(kind, intent, ended)

    def tell(
        self,
        product: Product | None,
        clause: str,
        deliver: Callable[[], Outcome],
        *,
        refers: bytes,
        facts: Mapping[str, str],
        gaps: Collection[str] = (),
    ) -> Disclosed:
        """Tell a product of ours what happened to somebody whom it made known; no field of theirs leaves.

        ``Denied``, with an entry, where there is no such product (any more), or for ``gaps`` that the caller found.
        ``refers`` is the entry of what happened. ``deliver`` is called once, after the intent is durable.
        """
        if product is None or gaps:
            found = tuple(gaps) or (f"recipient:{UNDECLARED}",)
            told = Refused((NOTHING_ELSE if product is None else clause,), found)
            self._refuse(self.versions.current(), UNDECLARED, "rights", "system", told)
        draft = EntryDraft(
            INTENDED, clause, "share.deny", refers=refers, facts={"recipient": product.actor, "fields": [], **facts}
        )
        intent = self.store.write(Write(body=lambda tx: tx.append(draft).eid, lane=Lane.JOB))
        outcome = deliver()
        kind = {"sent": "made", "unknown": "unknown"}.get(outcome.kind, "failed")
        return Disclosed(kind, intent, self._end(intent, kind, clause, product.actor, outcome.reason, None))

    def resolve(self) -> int:
        """Before the port opens: intents that a crash left without outcome are said to be unknown; how many."""

        def unended(connection: Connection) -> list[tuple[bytes, dict[str, Any]]]:
            ended = {msgspec.json.decode(body).get("refers") for body in connection.execute(OUTCOMES).scalars()}
            rows = connection.execute(OPEN_INTENTS).all()
            return [(eid, msgspec.json.decode(body)) for eid, body in rows if eid.hex() not in ended]

        left = self.store.read(unended)
        for eid, intent in left:
            recipient = intent["facts"]["recipient"]
            self._end(eid, "unknown", intent["clause"], recipient, "the release was cut off", None)
        return len(left)

    def _register(self, connection: Connection, recipient: str) -> frozenset[str]:
        """The guards that the register of recipients meets now: every one named in the class must meet them."""
        rows = connection.execute(NAMED, {"of_class": recipient}).mappings().all()
        if not rows:
            return frozenset()
        now = self.store.clock.now()
        met = set()
        if all(row["contract"] for row in rows):
            met.add("contract.live")
        if all(row["reviewed_ms"] > now - REVIEW_MS for row in rows):
            met.add("review.live")
        return frozenset(met)

    def _refuse(self, policy: CompiledPolicy, recipient: str, purpose: str, actor: str, refused: Refused) -> NoReturn:
        clause = refused.clauses[0] if refused.clauses else NOTHING_ELSE
        facts = {
            "recipient": recipient if recipient in policy.recipients else UNDECLARED,
            "gaps": list(refused.gaps),
        }
        told = self.gate.purpose_told(purpose)
        draft = EntryDraft("disclosure.refused", clause, "share.deny", actor, told, facts=facts)
        self.store.write(Write(body=lambda tx: tx.append(draft).eid, lane=Lane.WRITE))
        raise Denied(
            f"clause {clause} does not let this leave: {', '.join(refused.gaps)}", clause=clause, gaps=refused.gaps
        )

    def _end(self, intent: bytes, kind: str, clause: str, recipient: str, reason: str, secret: bytes | None) -> bytes:
        facts = {"recipient": recipient, "reason": reason}
        draft = EntryDraft(f"disclosure.{kind}", clause, "share.deny", refers=intent, facts=facts)
        return self.store.write(Write(body=lambda tx: tx.append(draft, secret).eid))
