"""Deciding the rows of a run one after the other: who is new, known or spared, and what is written together.

A row is decided as the rows before it left things, though they may not be written yet; a dry run decides alike and
writes nothing. Clauses: ``collect.*``, ``rights.object-marketing``. Mechanisms: ``intake.declared``,
``suppress.keyed``.
"""

from __future__ import annotations

import hmac
from concurrent.futures import Future
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import bindparam, select

from troth.collect.importing.chunks import Chunk, Newcomer, carry
from troth.collect.importing.planning import Held, Spare, Take
from troth.collect.importing.runs import SECRET, Order, Run
from troth.errors import NotFound
from troth.policy.model import CompiledPolicy, Point, Stop
from troth.store import Idempotency, Store
from troth.store.tables import tags

if TYPE_CHECKING:
    from troth.collect.importing.carrying import Importing, Report

HERE = ("live", "restricted", "pending")
SCOPES = select(tags.c.scope).where(tags.c.tenant == bindparam("of_tenant"), tags.c.state == "suppressed").distinct()


class Turn:
    """Decides the rows of one run one after the other, and hands what is to be written over in chunks."""

    def __init__(
        self,
        importing: Importing,
        run: Run | None,
        policy: CompiledPolicy,
        point: Point,
        surface: str,
        order: Order,
        report: Report,
        size: int,
    ) -> None:
        self.importing, self.run, self.policy, self.point = importing, run, policy, point
        self.order, self.report, self.surface = order, report, surface
        self.vault, self.tenant = importing.vault, order.tenant
        self.purpose = point.consent.purpose if point.consent else None
        self.path = policy.ancestors(self.purpose) if self.purpose else ()
        self.stopped_scopes = scopes(importing.store, order.tenant)
        self.spared: dict[bytes, tuple[str, ...]] = {}  # keyed hashes of the addresses that this run spares
        self.seen: set[bytes] = set()  # keyed hashes of the addresses that this run took
        self.chunk = Chunk(run, policy, point, surface)
        self.upto = run.next_row if run else 0
        self.size = size
        self.waiting = 0
        self.written: Future[bytes] | None = None

    def take(self, at: int, plan: Take | Spare | Held) -> None:
        """The next row."""
        if isinstance(plan, Take):
            if self.order.kind == "consents":
                self._consent(plan)
            else:
                self._person(plan)
        elif isinstance(plan, Spare):
            self._spare(plan)
        else:
            self.report.counts.hold(plan.reason)
        self.upto = at + 1
        self.waiting += 1
        if self.waiting >= self.size:
            self.flush()

    def flush(self) -> None:
        """Write what waits, with how far the run is."""
        if self.run is not None and self.waiting:
            self.chunk.upto, self.chunk.counts = self.upto, msgspec.json.encode(self.report.counts)
            marks = repr([self.upto, *self.chunk.addresses]).encode()
            key = hmac.digest(self.vault.secret(SECRET), self.run.id + marks, "sha256")
            write = carry(self.importing, self.chunk, self.order, Idempotency("import", key, key))
            self.settle()  # the chunk before is durable before this one begins to be written
            self.written = self.importing.store.submit(write)
            self.chunk = Chunk(self.run, self.policy, self.point, self.surface)
        self.waiting = 0

    def settle(self) -> None:
        """Wait for the chunk that is being written, while the next is made ready. Raises what it raised."""
        if self.written is not None:
            written, self.written = self.written, None
            written.result()

    # --- the three kinds of rows ---

    def _person(self, plan: Take) -> None:
        inner, spared = self.vault.hashed(self.tenant, "email", plan.address)
        counts = self.report.counts
        if self.path and self._is_spared(plan.address, spared):
            counts.suppressed += 1
        elif inner in self.seen or (mode := self._mode(self._find(plan.address))) in HERE:
            counts.known += 1
        elif mode is not None:
            self._hold(plan, "being-erased")
        else:
            counts.taken += 1
            self.seen.add(inner)
            if self.run is not None:
                self.chunk.newcomers.append(Newcomer(plan, None, self._other_stops(plan.address, spared)))

    def _consent(self, plan: Take) -> None:
        inner, spared = self.vault.hashed(self.tenant, "email", plan.address)
        counts, ask = self.report.counts, self.point.consent
        assert ask is not None
        if self._is_spared(plan.address, spared):
            counts.suppressed += 1
            return
        sid = self._find(plan.address)
        if sid is None or self._mode(sid) not in HERE:
            self._hold(plan, "not-here")
            return
        state, given = self.importing.store.read(
            lambda c: (
                self.vault.state_of(c, self.tenant, sid)[0],
                any(
                    o.consent == ask.id and o.state == "Given" for o in self.importing.consents.of(c, self.tenant, sid)
                ),
            )
        )
        if any(stop.purpose in self.path for stop in state.stops):
            counts.suppressed += 1
        elif given or inner in self.seen:
            counts.known += 1
        else:
            counts.taken += 1
            self.seen.add(inner)
            if self.run is not None:
                self.chunk.newcomers.append(Newcomer(plan, sid, frozenset()))

    def _spare(self, plan: Spare) -> None:
        inner, spared = self.vault.hashed(self.tenant, "email", plan.address)
        if self.run is not None and inner in self.seen:  # somebody of this very file: they are here first, to be spared
            self.flush()
            self.settle()
        purposes = spared_for(self.policy, self.purpose, wide=plan.wide)
        self.report.counts.suppressed += 1
        self.spared[spared] = purposes
        if self.run is None:
            return
        sid = self._find(plan.address)
        if sid is None or self._mode(sid) not in HERE:
            self.chunk.spared.append((plan.address, purposes))
            return
        state = self.importing.store.read(lambda c: self.vault.state_of(c, self.tenant, sid)[0])
        for purpose in purposes:
            if Stop(purpose, None) not in state.stops:
                self.importing.objecting(self.tenant, sid, purpose)

    def _find(self, address: str) -> bytes | None:
        return self.vault.find(self.tenant, "email", address)

    def _mode(self, sid: bytes | None) -> str | None:
        """Their mode; None where nobody has a row here: a run that was killed may have left a key and no person."""
        if sid is None:
            return None
        try:
            return self.importing.store.read(lambda c: self.vault.state_of(c, self.tenant, sid)[1])
        except NotFound:
            return None

    def _hold(self, plan: Take, reason: str) -> None:
        self.report.counts.hold(reason)
        self.report.held.append(Held(plan.line, reason))

    def _is_spared(self, address: str, spared: bytes) -> bool:
        return spared in self.spared or any(
            self.vault.suppressed(self.tenant, "email", address, purpose)
            for purpose in self.path
            if purpose in self.stopped_scopes
        )

    def _other_stops(self, address: str, spared: bytes) -> frozenset[Stop]:
        """What else this address was told to be spared: it stays so, though the person is new here."""
        found = {p for p in self.stopped_scopes if self.vault.suppressed(self.tenant, "email", address, p)}
        return frozenset(Stop(p) for p in found.union(self.spared.get(spared, ())) if p in self.policy.purposes)


def scopes(store: Store, tenant: str) -> frozenset[str]:
    """The purposes for which anything is suppressed: nobody else writes while a file is brought in."""
    found = store.read_keys(lambda c: list(c.execute(SCOPES, {"of_tenant": tenant}).scalars()))
    return frozenset(found)


def spared_for(policy: CompiledPolicy, purpose: str | None, *, wide: bool) -> tuple[str, ...]:
    """The purposes that an address is spared for: the point's own, or the whole of advertising above it.

    A point that asks for no consent has no purpose of its own to end: all advertising is meant.
    """
    path = policy.ancestors(purpose) if purpose else ()
    direct = [node for node in path if node in policy.purposes and policy.purposes[node].direct]
    if purpose and not (wide and direct):
        return (purpose,)
    if direct:
        return (direct[-1],)
    heads = [p for p in policy.purposes.values() if p.direct]
    return tuple(sorted(p.id for p in heads if p.parent not in {other.id for other in heads}))
