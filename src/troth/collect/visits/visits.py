"""The visits of a system: gathered into batches, committed together, closed day by day.

There is no timer: while one batch is being committed, the next gathers, and each visit is acknowledged once its batch
is durable. The queue is bounded. Clauses: ``collect.navigation``, ``collect.ip-location``, ``purpose.analytics``;
mechanism: ``count.visits``.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence

from troth.collect.visits.counting import Counting, Name, Visit
from troth.collect.visits.rules import VIEW, Rules, rules_of
from troth.errors import Busy, Unavailable
from troth.notice.consents import CLASS as CONSENT_CLASS
from troth.notice.consents import SCHEMA as CONSENT_SCHEMA
from troth.notice.consents import TABLE as CONSENT_TABLE
from troth.notice.consents import Consents, Shown
from troth.notice.shown import notice_for
from troth.notice.versions import Versions
from troth.policy.model import Grant, State, Terms
from troth.store import Store, Write
from troth.store.ledger import EntryDraft
from troth.store.writer import DataTx
from troth.vault import Vault
from troth.world import DAY_MS, Clock, Randomness

MOST_WAITING = 4_096  # visits; beyond it a visit is refused before anything is done for it
BATCH = 256  # visits a transaction: a few milliseconds of the writer's time

log = logging.getLogger("troth.collect")


class Visits:
    """Counts visits. ``take`` belongs to one event loop; everything else may be called from any thread."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        consents: Consents,
        clock: Clock,
        chance: Randomness,
        *,
        tenant: str,
    ) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.consents = consents
        self.clock = clock
        self.chance = chance
        self.tenant = tenant
        self.counting = Counting(vault, chance, tenant)
        self._rules: Rules | None = None
        self._secret = b""
        self._waiting: list[tuple[Visit, Callable[[BaseException | None], None]]] = []
        self._running: asyncio.Task[None] | None = None

    def rules(self) -> Rules | None:
        """What the version in force says; None while none is in force."""
        policy = self.versions.in_force(self.versions.now())
        if policy is None:
            return None
        if self._rules is None or self._rules.policy is not policy:
            self._rules = rules_of(policy)
        return self._rules

    def who(self, at_ms: int, surface: str, address: str, agent: str) -> bytes:
        """The keyed hash under which a visitor is counted for one day on one surface.

        The key is the day's own, in the key store; it is destroyed when the day is over, and nothing tells then whose
        hash it was, nor that two days saw the same person.
        """
        return hashed(self.vault.salt(at_ms // DAY_MS), self.tenant, surface, address, agent)

    def sid_of(self, token: str) -> bytes:
        """The subject behind a visitor's cookie. The store holds no cookie: whoever reads it is nobody's browser."""
        if not self._secret:
            self._secret = self.vault.secret("visitors")
        return hashlib.blake2b(token.encode(), key=self._secret, digest_size=16).digest()

    async def take(self, visit: Visit) -> None:
        """Count a visit: durable when this returns. ``Busy`` where too many wait; nothing was done then."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell(fault: BaseException | None) -> None:
            if done.done():
                return  # its client has gone; the visit is counted all the same
            if fault is None:
                done.set_result(None)
            else:
                done.set_exception(fault)

        self.put(visit, tell)
        await done

    def put(self, visit: Visit, tell: Callable[[BaseException | None], None]) -> None:
        """As ``take``; ``tell`` is called on the event loop, with None once the visit is durable, else with the fault.

        A future a visit costs more than its place in the batch.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Busy("too many visits wait to be counted: nothing was counted")
        self._waiting.append((visit, tell))
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        """Commit what waits, batch after batch, until nothing does."""
        try:
            while self._waiting:
                await asyncio.sleep(0)  # one turn of the loop: what has arrived is read, and nothing is waited for
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                fault: BaseException | None = None
                try:
                    self.counting.cells.remember(await self.store.awrite(self.prepare([visit for visit, _ in batch])))
                except Exception as problem:  # each waiter is told, none is left waiting
                    fault = problem
                for _, tell in batch:
                    try:
                        tell(fault)
                    except Exception as problem:  # the others are told all the same
                        log.error("a visit could not be answered: %s", type(problem).__name__)
        finally:
            self._running = None

    def prepare(self, visits: Sequence[Visit]) -> Write[dict[Name, int]]:
        """The write that counts these visits; its result is what the cells may ``remember``."""
        rules = self.rules()
        if rules is None:
            raise Unavailable("no version of the policy is in force yet", clause="changes.effective-date")

        def body(tx: DataTx) -> dict[Name, int]:
            known: dict[str, int] = {}

            def terms(surface: str) -> int:
                if surface not in known:
                    policy = rules.policy
                    of = Terms(policy.controller.name, surface, VIEW, policy.version)
                    known[surface] = self.vault.terms_id(tx, of)
                return known[surface]

            followed = [visit for visit in visits if visit.sid is not None]
            if followed and rules.view is not None:
                self.counting.write_down(tx, self.versions.history, rules, followed, terms)
            summed = [visit for visit in visits if visit.who]
            if not summed or (rules.count is None and rules.view is None):
                return {}  # a version that took effect meanwhile counts nobody
            return self.counting.add_up(tx, rules, summed)

        return Write(body=body)

    async def begin(self, surface: str, token: str, language: str) -> bytes | None:
        """A browser that said yes comes for the first time: a subject of its own, with the record of the consent.

        Returns the subject's id, or None where the policy asks for no such consent here.
        """
        rules = self.rules()
        if rules is None or rules.view is None or rules.ask is None or surface not in rules.view.surfaces:
            return None
        policy, ask, view = rules.policy, rules.ask, rules.view
        sid = self.sid_of(token)
        staged = self.vault.stage(
            self.tenant,
            new_sid=sid,
            identifiers={},
            records=[],
            pending=False,
            classes=(CONSENT_CLASS, view.uses[0].keep),
            state=State(bound=policy.version, grants=frozenset({Grant(ask.purpose, ask.channel, ask.meaning)})),
        )
        cid, notice = self.chance.bytes(16), notice_for(policy, view).sha256
        shown = Shown(surface, view.id, language, "banner", notice)

        def body(tx: DataTx) -> None:
            entry = tx.append(
                EntryDraft(
                    kind="consent.given",
                    clause=ask.clause,
                    mechanism="consent.record",
                    actor="visitor",
                    purpose=ask.purpose,
                    facts={"consent": ask.id, "record": cid.hex()},
                ),
                staged.opening,
            )
            staged.insert(tx, entry.eid)
            self.consents.request(
                tx,
                policy,
                ask,
                shown,
                tenant=self.tenant,
                sid=sid,
                cid=cid,
                eid=entry.eid,
                seal=lambda of, value: staged.seal(CONSENT_CLASS, of, CONSENT_TABLE, CONSENT_SCHEMA, value),
                given=True,
            )
            self.vault.begin(tx, self.tenant, [sid], f"{view.id}.accepted", policy)

        await self.store.awrite(Write(before=staged.before, body=body))
        return sid


def hashed(salt: bytes, tenant: str, surface: str, address: str, agent: str) -> bytes:
    """The hash of a visitor under a day's key: 16 bytes of keyed BLAKE2b (RFC 7693), a third of the time of an HMAC."""
    return hashlib.blake2b(f"{tenant}\0{surface}\0{address}\0{agent}".encode(), key=salt, digest_size=16).digest()
