"""Objecting and withdrawing: at once, free, and for ever (GDPR Art. 21(2)-(3), 7(3); L17).

The person's state stops the purpose and everything below it in the same transaction as the entry; then K gets a
guard row (a restore applies it again) and a suppression: a keyed hash of the address that outlives erasure and
cannot be read back as an address. Clauses: ``rights.object-marketing``, ``rights.unsubscribe``,
``consent.withdraw``. Mechanisms: ``right.object``, ``suppress.keyed``, ``consent.withdraw``.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from sqlalchemy import bindparam, select

from troth.errors import Invalid, NotFound
from troth.notice.consents import Consents
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, ConsentAsk, Grant, State, Stop
from troth.store import Lane, Store, Write, links
from troth.store.announce import Announce, unheard
from troth.store.jobs import Job
from troth.store.ledger import Entry, EntryDraft
from troth.store.outbox import post
from troth.store.tables import ledger
from troth.store.writer import DataTx, KeyTx
from troth.use.flight import Flight
from troth.vault import Vault
from troth.world import Clock, Randomness

GUARD_JOB = "rights.guard"
ENTRY_AT = select(ledger.c.at_ms).where(ledger.c.eid == bindparam("of_eid"))

Via = Literal["centre", "unsubscribe", "one-click", "mail", "api", "operator"]


class Objected(msgspec.Struct, frozen=True):
    """What an objection did: the entry, the purpose stopped, and how many consents it ended."""

    entry: str
    purpose: str
    consents: int
    at: int


class Objections:
    """Stops uses for one person."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        consents: Consents,
        clock: Clock,
        chance: Randomness,
        flight: Flight,
        announce: Announce = unheard,
    ) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.consents = consents
        self.clock = clock
        self.chance = chance
        self.flight = flight
        self._announce = announce

    def object(
        self,
        tenant: str,
        sid: bytes,
        purpose: str,
        *,
        channel: str | None = None,
        via: Via = "centre",
        actor: str = "subject",
        language: str = "en",
    ) -> Objected:
        """Stop a purpose, and all purposes below it, for this person. In force when this returns.

        No message that it stops arrives after that: what is on the wire to this person is waited for (``Unknown``
        where it does not end; the stop holds all the same).
        ``Invalid`` where the purpose is not one that the law or the policy lets a person stop.
        """
        made = self._stop(tenant, sid, Stop(purpose, channel), via=via, actor=actor, language=language)
        assert made is not None
        return made

    def _stop(
        self,
        tenant: str,
        sid: bytes,
        stop: Stop,
        *,
        via: Via,
        actor: str = "subject",
        language: str = "en",
        once: bool = False,
    ) -> Objected | None:
        """Put a stop in force. None where it was ``once`` asked for and would change nothing: it is not told again."""
        policy, purpose, channel = self.versions.current(), stop.purpose, stop.channel
        if purpose not in stoppable(policy):
            raise Invalid(
                f"{purpose[:64]} is not a purpose that can be objected to: contract and legal duty stay",
                clause="rights.object-marketing",
            )
        opening = self.vault.opening(tenant, sid)
        direct = policy.purposes[purpose].direct
        clause = "rights.object-marketing" if direct else "consent.withdraw"
        template = policy.templates.get("rights.objection-done") if via == "centre" else None
        letter = self.vault.transit_seal(msgspec.json.encode({"language": language, "purpose": purpose}))

        made, changed = (self._announce(tenant, sid, event) for event in ("objection.made", "consent.changed"))

        def body(tx: DataTx) -> tuple[Entry, int] | None:
            if not self.vault.exists(tx.connection, tenant, sid):
                raise NotFound("there is no such person here", clause=clause)  # being erased: nothing is used any more
            if once and holds(policy, self.vault.state_of(tx.connection, tenant, sid)[0], stop):
                return None
            entry = tx.append(
                EntryDraft(
                    kind="objection.made",
                    clause=clause,
                    mechanism="right.object" if direct else "consent.withdraw",
                    actor=actor,
                    purpose=purpose,
                    facts={"via": via, "channel": channel or "*"},
                ),
                opening,
            )
            self.vault.change_state(tx, tenant, sid, lambda state: with_stop(policy, state, stop))
            ended = self._end_consents(tx, policy, tenant, sid, stop, entry, opening, actor)
            if template is not None:
                post(tx, template, self.chance, tenant=tenant, sid=sid, opening=opening, variables=letter, actor=actor)
            made(tx, entry.eid)
            if ended:
                changed(tx, entry.eid)
            # no dedup: a job that is done leaves no row, which would join this entry to the person for a month
            tx.enqueue(GUARD_JOB, f"{tenant}/{sid.hex()}/{entry.eid.hex()}/{purpose}/{channel or '*'}")
            self.vault.happen(tx, tenant, sid, f"{purpose}.stopped", policy)
            return entry, ended

        def after(ktx: KeyTx, done: tuple[Entry, int] | None) -> None:
            if done is not None:
                self._guard(ktx, tenant, sid, done[0].eid, stop, done[0].at_ms)

        done = self.store.write(Write(body=body, after=after, lane=Lane.RIGHTS))
        self.flight.wait(tenant, sid)
        return Objected(done[0].eid.hex(), purpose, done[1], done[0].at_ms) if done is not None else None

    def stop_once(self, tenant: str, sid: bytes, purpose: str, *, via: Via, actor: str = "subject") -> Objected | None:
        """As ``object``; None, and nothing is told again, where it holds already or the person is gone."""
        try:
            return self._stop(tenant, sid, Stop(purpose, None), via=via, actor=actor, once=True)
        except NotFound:  # erased in this very moment
            return None

    def unsubscribe(self, token: str, via: Via, tenant: str | None = None) -> Objected | None:
        """What an unsubscribe link does; None where it was done before, or the person is gone: the answer is the same.

        A link that is used again after a fresh yes stops again.
        """
        now = self.clock.now()
        link = self.store.read(lambda connection: links.find(connection, token, "unsubscribe", now, tenant))
        if link.sid is None or not self.store.read(lambda c: self.vault.exists(c, link.tenant, link.sid or b"")):
            return None
        return self.stop_once(link.tenant, link.sid, link.ref, via=via)

    def redo_guard(self, job: Job) -> None:
        """The job behind an objection: writes the guard and the suppression if the first attempt did not."""
        tenant, sid, eid, purpose, channel = job.ref.split("/", 4)
        stop = Stop(purpose, None if channel == "*" else channel)
        at = self.store.read(lambda c: c.execute(ENTRY_AT, {"of_eid": bytes.fromhex(eid)}).scalar()) or 0

        self.store.write(self.guard_write(tenant, bytes.fromhex(sid), bytes.fromhex(eid), stop, at))

    def guard_write(self, tenant: str, sid: bytes, eid: bytes, stop: Stop, at_ms: int) -> Write[None]:
        """The write of a guard and a suppression that are owed."""

        def before(ktx: KeyTx) -> None:
            self._guard(ktx, tenant, sid, eid, stop, at_ms)

        return Write(before=before, body=lambda tx: None, lane=Lane.JOB)

    def stop_again(self, tx: DataTx, tenant: str, sid: bytes, stop: Stop) -> None:
        """After a restore: an objection of the time since the backup, whose entries the log has already."""
        policy = self.versions.current()
        self.vault.change_state(tx, tenant, sid, lambda state: with_stop(policy, state, stop))
        for ask in asks_below(policy, stop):
            if self.consents.end(tx, tenant=tenant, sid=sid, consent=ask.id):
                self.vault.happen(tx, tenant, sid, f"{ask.id}.withdrawn", policy)
        self.vault.happen(tx, tenant, sid, f"{stop.purpose}.stopped", policy)

    def _guard(self, ktx: KeyTx, tenant: str, sid: bytes, eid: bytes, stop: Stop, at_ms: int) -> None:
        self.vault.guard(ktx, eid, tenant, sid, "objected", at_ms, stops=[stop])
        if stop.channel in (None, "email"):  # suppressions are asked for addresses that mail goes to
            self.vault.suppress(ktx, tenant, sid, stop.purpose)

    def _end_consents(
        self,
        tx: DataTx,
        policy: CompiledPolicy,
        tenant: str,
        sid: bytes,
        stop: Stop,
        entry: Entry,
        opening: bytes,
        actor: str,
    ) -> int:
        """Withdraw every consent below the stopped purpose, each with an entry of its own."""
        ended = 0
        for ask in asks_below(policy, stop):
            count = self.consents.end(tx, tenant=tenant, sid=sid, consent=ask.id)
            if count:
                tx.append(
                    EntryDraft(
                        kind="consent.withdrawn",
                        clause="consent.withdraw",
                        mechanism="consent.withdraw",
                        actor=actor,
                        purpose=ask.purpose,
                        refers=entry.eid,
                        facts={"consent": ask.id, "records": count},
                    ),
                    opening,
                )
                self.vault.happen(tx, tenant, sid, f"{ask.id}.withdrawn", policy)
            ended += count
        return ended


def asks_below(policy: CompiledPolicy, stop: Stop) -> list[ConsentAsk]:
    """The consents that this stop ends."""
    return [
        ask
        for ask in policy.consents.values()
        if stop.purpose in policy.ancestors(ask.purpose) and stop.channel in (None, ask.channel)
    ]


def with_stop(policy: CompiledPolicy, state: State, stop: Stop) -> State:
    """The state with this stop, and without the grants that it ends: for its purpose, and for those below it."""

    def ends(grant: Grant) -> bool:
        over = policy.ancestors(grant.purpose) if grant.purpose in policy.purposes else (grant.purpose,)
        return stop.purpose in over and stop.channel in (None, grant.channel)

    grants = frozenset(grant for grant in state.grants if not ends(grant))
    return State(state.mode, state.bound, grants, state.stops | {stop})


def holds(policy: CompiledPolicy, state: State, stop: Stop) -> bool:
    """Whether this stop is in force already: setting it would change nothing."""
    return with_stop(policy, state, stop) == state


def stoppable(policy: CompiledPolicy) -> list[str]:
    """The purposes a person can stop: every direct-marketing node, and what rests on consent or interest."""
    found = {p.id for p in policy.purposes.values() if p.direct}
    for use in policy.uses:
        if use.basis in ("consent", "legitimate_interest", "public_interest"):
            found.add(use.purpose)
    return sorted(found & set(policy.purposes))
