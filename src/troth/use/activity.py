"""What "use" is: a product tells of it in events of kinds that the policy declares, signed, each batch once.

The events are those that begin the states which keeping rests on (``product.used``, ``licence.runs``, a vendor's own).
A batch is refused whole, with the clause: one that is forged, over, or came before; an event of a kind that no clause
declares, of a time to come or of one too long past. A use that was told before is known, and changes nothing: what was
broken off is told again. ``troth.client`` makes such a batch. Clause: ``retain.while-used``. Mechanism:
``activity.signed``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select

from troth.errors import Conflict, Invalid, NotFound, Undeclared, Unproven
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy
from troth.policy.vocabulary import EVENTS, REPORTED
from troth.store import DataTx, Lane, Store, Write, links
from troth.store.ledger import EntryDraft
from troth.store.tables import activity, products
from troth.use import signed
from troth.use.handover_keys import HandoverKey, key_of
from troth.use.products import MOST_REFERENCE, Product, Products
from troth.vault import Vault
from troth.world import DAY_MS, Clock

CLAUSE = "retain.while-used"
SIGNED_EVENTS = "activity.signed"
PREFIX = b"troth-activity-1."
LICENCE = "licence.runs"  # the kind that goes on, and says until when
OLDEST_MS = 31 * DAY_MS  # how long after a use it may be told: a product may have been without a network
AHEAD_MS = 5 * 366 * DAY_MS  # how far ahead a licence may run: nobody is kept for ever by one report
MOST_EVENTS = 500
CHUNK = 10  # events in one transaction: others write in between
MOST_TOKEN = 256 * 1024

A = activity.c
OF_KIND = (
    A.tenant == bindparam("of_tenant"),
    A.sid == bindparam("of_sid"),
    A.product == bindparam("of_product"),
    A.event == bindparam("of_event"),
)
NEWEST = select(A.at_ms, A.until_ms).where(*OF_KIND)
DROP = delete(activity).where(*OF_KIND)
INSERT = insert(activity)
RUNS_UNTIL = select(func.max(A.until_ms)).where(
    A.tenant == bindparam("of_tenant"),
    A.sid == bindparam("of_sid"),
    (A.product != bindparam("of_product")) | (A.event != bindparam("of_event")),
)
OF_PERSON = (
    select(A.event, A.at_ms, A.until_ms, products.c.name)
    .join(products, products.c.id == A.product)
    .where(A.tenant == bindparam("of_tenant"), A.sid == bindparam("of_sid"))
    .order_by(A.at_ms, A.event, products.c.name)
)


class Use(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event: of which kind, of which account, when (seconds since 1970, UTC); for a licence, until when it runs."""

    event: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_REFERENCE)]
    at: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    until: Annotated[int, msgspec.Meta(ge=0, le=2**40)] | None = None


class Batch(signed.Claim, frozen=True, forbid_unknown_fields=True):
    """What a product signs: what was used."""

    used = "activity"
    life_ms = 300_000  # five minutes at most

    events: Annotated[tuple[Use, ...], msgspec.Meta(min_length=1, max_length=MOST_EVENTS)]


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a report: the token as the product signed it."""

    signed: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_TOKEN)]


class Reported(msgspec.Struct, frozen=True):
    """What became of a batch, in events: each is counted in one of these."""

    recorded: int
    known: int  # told before, or older than what was told
    closed: int  # its holder closed the account, or it was ended after that use
    unknown: int  # no account under this reference


class _Told(NamedTuple):
    use: Use
    sid: bytes
    secret: bytes


def reportable(policy: CompiledPolicy) -> frozenset[str]:
    """The kinds of events that a product may tell of: those that begin a state and are not our own to see."""
    begins = {event for rule in policy.states.values() for event in rule.begins}
    own = {event for event in EVENTS if not event.startswith(REPORTED)}
    own |= {f"{point}.{what}" for point in policy.points for what in ("accepted", "confirmed", "withdrawn")}
    return frozenset(begins - own)


class Activities:
    """Takes reports of use. ``audiences`` are the addresses that each tenant's products reach this system under."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        products: Products,
        clock: Clock,
        *,
        audiences: Mapping[str, str],
    ) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.products = products
        self.clock = clock
        self.audiences = audiences

    def report(self, product: Product, token: str) -> Reported:
        """Take a batch of this product's; durable, with an entry for each use, when this returns.

        Raises ``Unproven`` (not signed by this product for us now), ``Conflict`` (it was taken before), ``Undeclared``
        (a kind that no clause declares), ``Invalid`` (a time that cannot be taken). Then nothing of it counts. After
        ``Busy`` or ``Unavailable`` some of it may: sign it anew and send it again.
        """
        batch, key = self._check(product, token)
        policy = self.versions.current()
        self._require_declared(batch, policy)
        self._require_times(batch)
        told = [(use, self._whose(product.tenant, use.reference)) for use in batch.events]
        here = [_Told(use, *found) for use, found in told if found is not None]
        self.store.write(Write(body=lambda tx: self._use_up(tx, product, batch, key), lane=Lane.WRITE))
        counts = {"recorded": 0, "known": 0, "closed": 0, "unknown": len(told) - len(here)}
        for first in range(0, len(here), CHUNK):
            for counted in self.store.write(Write(body=self._taking(product, here[first : first + CHUNK], policy))):
                counts[counted] += 1
        return Reported(**counts)

    def _use_up(self, tx: DataTx, product: Product, batch: Batch, key: HandoverKey) -> None:
        """Mark the report's number: nothing of it is taken twice, whatever happens to the rest."""
        if not batch.timely(tx.now) or key_of(tx.connection, product.id) != key:
            raise refused()
        if not links.use_up(tx, batch.mark, batch.used, tenant=product.tenant, expires_ms=batch.expires_ms):
            raise before()

    def _taking(self, product: Product, some: list[_Told], policy: CompiledPolicy) -> Callable[[DataTx], list[str]]:
        return lambda tx: [self._take(tx, product, each, policy) for each in some]

    def _check(self, product: Product, token: str) -> tuple[Batch, HandoverKey]:
        """The batch, once it is sure that this product signed it, for us, and just now."""
        key = self.store.read(lambda connection: key_of(connection, product.id))
        try:
            batch, content, signature = signed.read(token, PREFIX, Batch, MOST_TOKEN)
        except ValueError:
            raise refused() from None
        if key is None or batch.product != product.id.hex() or batch.audience != self.audiences.get(product.tenant):
            raise refused()
        if not signed.signed_by(key.public, signature, content) or not batch.timely(self.clock.now()):
            raise refused()
        if self.store.read(lambda connection: links.used_up(connection, batch.mark)):
            raise before()
        return batch, key

    def _require_declared(self, batch: Batch, policy: CompiledPolicy) -> None:
        kinds = reportable(policy)
        other = [at for at, use in enumerate(batch.events) if use.event not in kinds]
        if other:
            raise Undeclared(
                f"{len(other)} events are of kinds that no clause declares as use: name them under `from` in a state",
                clause=CLAUSE,
                gaps=tuple(f"/events/{at}: event" for at in other[:20]),
            )

    def _require_times(self, batch: Batch) -> None:
        now = self.clock.now()
        faults = [f"/events/{at}: {why}" for at, use in enumerate(batch.events) if (why := time_fault(use, now))]
        if faults:
            raise Invalid("some events have times that cannot be taken", clause=CLAUSE, gaps=tuple(faults[:20]))

    def _whose(self, tenant: str, reference: str) -> tuple[bytes, bytes] | None:
        sid = self.products.find(tenant, reference)
        if sid is None:
            return None
        try:
            return sid, self.vault.opening(tenant, sid)
        except NotFound:  # erased just now
            return None

    def _take(self, tx: DataTx, product: Product, told: _Told, policy: CompiledPolicy) -> str:
        """One event, in the transaction: what it is counted as."""
        use, tenant, sid = told.use, product.tenant, told.sid
        if not self.vault.exists(tx.connection, tenant, sid):
            return "unknown"
        at, until = use.at * 1000, None if use.until is None else use.until * 1000
        kind = {"of_tenant": tenant, "of_sid": sid, "of_product": product.id, "of_event": use.event}
        newest = tx.execute(NEWEST, kind).one_or_none()
        if newest is not None and (newest.at_ms > at or (newest.at_ms, newest.until_ms) == (at, until)):
            return "known"
        if self.vault.closed_since(tx.connection, tenant, sid) is not None:
            return "closed"
        facts = {"event": use.event, "at": at} | ({} if until is None else {"until": until})
        draft = EntryDraft("activity.reported", CLAUSE, SIGNED_EVENTS, product.actor, facts=facts)
        others = [span for span in (self._runs_until(tx, kind), until) if span is not None]
        if not self.vault.used(tx, tenant, sid, use.event, policy, at_ms=at, runs_until_ms=max(others, default=0)):
            return "closed"
        entry = tx.append(draft, told.secret)
        tx.execute(DROP, kind)
        row = {"tenant": tenant, "sid": sid, "product": product.id, "event": use.event}
        tx.execute(INSERT, row | {"at_ms": at, "until_ms": until, "eid": entry.eid})
        self.vault.change_state(tx, tenant, sid, lambda state: state)  # who found them unused looks again
        return "recorded"

    def _runs_until(self, tx: DataTx, but: dict[str, Any]) -> int | None:
        """Until when what was told of goes on, but for the kind that is being told of anew."""
        found: int | None = tx.execute(RUNS_UNTIL, but).scalar()
        return found


def time_fault(use: Use, now_ms: int) -> str:
    """Why the times of an event cannot be taken; "" if they can."""
    at = use.at * 1000
    if at > now_ms + signed.SKEW_MS:
        return "at lies in the future"
    if at < now_ms - OLDEST_MS:
        return "at is too long ago"
    if (use.until is not None) != (use.event == LICENCE):
        return f"until belongs to {LICENCE}, and only there"
    if use.until is not None and not at <= use.until * 1000 <= now_ms + AHEAD_MS:
        return "until is before at, or too far ahead"
    return ""


def refused() -> Unproven:
    """The one answer to a batch that this product did not sign for us just now."""
    return Unproven(
        "this report is not signed by this product, for this address and for now: look at key, audience and clock",
        clause=CLAUSE,
    )


def before() -> Conflict:
    """The answer to a batch that was taken already."""
    return Conflict("this report was taken before: sign a new one; what it told of is known", clause=CLAUSE)


def activity_of(connection: Connection, tenant: str, sid: bytes) -> list[dict[str, Any]]:
    """What products told of a person's use, the newest of each kind: for their copy."""
    rows = connection.execute(OF_PERSON, {"of_tenant": tenant, "of_sid": sid})
    return [{"event": row.event, "product": row.name, "at": row.at_ms, "until": row.until_ms} for row in rows]
