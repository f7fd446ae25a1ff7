"""Campaigns: one issue to everybody whom the gate gives for its purpose, and to nobody twice.

Whom it goes to is one scan with one entry; then the persons are queued in small transactions, so that a process may
die anywhere and the next begins again where it ended. Each letter is asked for again at the moment of sending, like
any other: a campaign has no rights of its own. What came of it is counted from the queue; nothing in a letter tells
whether it was read. Clauses: ``rights.unsubscribe``, ``rights.object-marketing``, ``rights.automated``. Mechanism:
``message.declared``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from troth.errors import Conflict, Denied, Invalid, NotFound
from troth.notice.versions import Versions
from troth.policy.model import Template
from troth.store import DataTx, Lane, Store, Write
from troth.store.jobs import Job, Later
from troth.store.ledger import Entry, EntryDraft
from troth.store.outbox import post
from troth.store.tables import campaigns, messages
from troth.use import issue
from troth.use.campaign import ALL, BY_ID, OURS, ROW, STATE, Campaign, Progress, State, counted, progress_of
from troth.use.complaints import COMPLAINED
from troth.use.compose import Composer
from troth.use.gate import Gate
from troth.use.templates import Fault, Said
from troth.vault import Vault
from troth.world import Randomness

CAMPAIGN_JOB = "use.campaign"
CHUNK = 200  # persons queued in one transaction
WATCH_MS = 2_000  # between two looks at a campaign that is being sent
HOLD_MS = 60_000  # a letter that was in hand when its campaign was paused waits so long before it is looked at again
PARKED_MS = 10 * 365 * 86_400_000  # letters of a campaign that is paused are not looked at by anybody
FEW = 5  # failures that are no rate yet
MOST_FAILED = 0.05  # of what was handed over
MOST_COMPLAINED = 0.001  # of what was handed over; one complaint is no rate yet

INSERT = insert(campaigns)
WRITE = (
    update(campaigns)
    .where(campaigns.c.id == bindparam("of_id"), campaigns.c.state == "draft")
    .values(subject=bindparam("says"), source=bindparam("written"), digest=bindparam("words"))
)
FAILED = select(func.count()).where(*OURS, messages.c.state == "refused", messages.c.attempt > 0)
COMPLAINTS = select(func.count()).where(*OURS, messages.c.reason == COMPLAINED)
THERE = select(messages.c.dedup).where(messages.c.dedup.in_(bindparam("keys", expanding=True)))
DUE = (
    update(messages)
    .where(messages.c.campaign == bindparam("of_id"), messages.c.state == "queued")
    .values(due_ms=bindparam("due"))
)

Ready = Callable[[str], Sequence[str]]
"""``tenant -> what is missing`` before marketing may be sent in its name, as names of checks; empty: nothing is."""


class Campaigns:
    """Writes, sends and holds campaigns. Safe from any thread."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        gate: Gate,
        composer: Composer,
        chance: Randomness,
        ready: Ready,
    ) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.gate = gate
        self.composer = composer
        self.chance = chance
        self.ready = ready
        self._said: dict[bytes, tuple[str, Said]] = {}

    # --- writing ---

    def templates(self) -> list[Template]:
        """The declared messages that a campaign can go out as."""
        return [t for t in self.versions.current().templates.values() if t.kind == "marketing" and t.channel == "email"]

    def draft(self, tenant: str, template: str, subject: str, source: str) -> Campaign:
        """A new issue. ``Invalid`` names what is wrong with its words, with lines and columns."""
        declared = self._declared(template)
        said = self._fit(declared, subject, source)
        now = self.store.clock.now()
        cid = self.chance.bytes(16)
        row = {
            "id": cid,
            "tenant": tenant,
            "template": template,
            "subject": said.subject,
            "source": source,
            "digest": said.digest,
            "state": "draft",
            "made_ms": now,
        }
        self.store.write(Write(lambda tx: tx.execute(INSERT, row).rowcount))
        return self.get(tenant, cid)

    def rewrite(self, tenant: str, cid: bytes, subject: str, source: str) -> Campaign:
        """Other words for a draft. ``Conflict`` once it was sent off."""
        found = self.get(tenant, cid)
        said = self._fit(self._declared(found.template), subject, source)
        values = {"of_id": cid, "says": said.subject, "written": source, "words": said.digest}
        if not self.store.write(Write(lambda tx: tx.execute(WRITE, values).rowcount)):
            raise Conflict("what was sent off keeps its words")
        return self.get(tenant, cid)

    def faults(self, template: Template, subject: str, source: str) -> list[Fault]:
        """What keeps these words from being sent."""
        if len(subject) > issue.SUBJECT_LENGTH or len(source) > issue.SOURCE_LENGTH:
            return [Fault("text", 1, 1, "TOO_LONG", "this is longer than a letter may be")]
        said = issue.said(subject, source)
        found = self.composer.check(template, self.versions.current().language, said)
        links = issue.personal_links(source) or issue.personal_links(said.text)  # entities are letters once it is read
        return [fault for fault in found if fault.part != "html"] + links

    def _fit(self, template: Template, subject: str, source: str) -> Said:
        wrong = self.faults(template, subject, source)
        if wrong:
            places = {"subject": "subject", "text": "source"}
            gaps = tuple(f"/{places[each.part]}: {each.line}:{each.column} {each.message}" for each in wrong[:20])
            raise Invalid("the words of this issue cannot be sent", clause=template.clause, gaps=gaps)
        return issue.said(subject, source)

    def _declared(self, template: str) -> Template:
        found = next((each for each in self.templates() if each.id == template), None)
        if found is None:
            raise Invalid("no clause declares this as a letter of marketing", gaps=("/template: undeclared",))
        return found

    # --- looking ---

    def get(self, tenant: str, cid: bytes) -> Campaign:
        """One of this tenant's; ``NotFound`` for any other."""
        row = self.store.read(lambda c: c.execute(ROW, {"of_id": cid, "of_tenant": tenant}).mappings().first())
        if row is None:
            raise NotFound("there is no such campaign here")
        return Campaign(**row)

    def all(self, tenant: str) -> list[Campaign]:
        """Those of a tenant, the newest first: a hundred at most."""
        rows = self.store.read(lambda c: c.execute(ALL, {"of_tenant": tenant}).mappings().all())
        return [Campaign(**row) for row in rows]

    def progress(self, campaign: Campaign) -> Progress:
        """What has become of its letters so far."""
        now = self.store.clock.now()
        return self.store.read(lambda connection: progress_of(connection, campaign, now))

    def words(self, cid: bytes, language: str) -> Said | None:
        """What a letter of this campaign says; None once it was stopped. ``Later`` while it is paused."""
        row = self.store.data.raw_reader().execute(self.store.data.sql(STATE), (cid,)).fetchone()
        if row is None or row[0] == "stopped":
            return None
        if row[0] == "paused":
            raise Later(HOLD_MS)
        known = self._said.get(cid)
        if known is None or known[0] != row[1]:
            found = self.store.read(lambda c: c.execute(BY_ID, {"of_id": cid}).mappings().first())
            if found is None:
                return None
            campaign = Campaign(**found)
            if len(self._said) > 20:
                self._said = {}
            known = self._said[cid] = (campaign.digest, campaign.said)
        return known[1]

    # --- acts ---

    def test(self, tenant: str, cid: bytes, address: str, actor: str) -> None:
        """Send the issue to this address now, if somebody is subscribed with it; nobody is told whether it is.

        It goes the way of every letter: the gate is asked, and the person can stop it by its link.
        """
        campaign = self.get(tenant, cid)
        if campaign.state not in ("draft", "scheduled"):
            raise Conflict("a test comes before the campaign")
        template = self._declared(campaign.template)
        sid = self.vault.find(tenant, "email", address)
        if sid is None:
            return
        try:
            self._post(campaign, template, [sid], actor=actor, test=True)
        except NotFound:
            return

    def begin(self, tenant: str, cid: bytes, actor: str, due_ms: int | None = None) -> Campaign:
        """Send it off at ``due_ms`` (at once, if None). ``Invalid`` names what marketing still lacks."""
        campaign = self.get(tenant, cid)
        self._require_ready(campaign)
        due = self.store.clock.now() if due_ms is None else due_ms

        def then(tx: DataTx) -> None:
            tx.execute(update(campaigns).where(campaigns.c.id == cid).values(due_ms=due))
            tx.enqueue(CAMPAIGN_JOB, cid.hex(), run_ms=due)

        return self._move(campaign, "scheduled", ("draft",), actor=actor, then=then)

    def pause(self, tenant: str, cid: bytes, actor: str, reason: str = "") -> Campaign:
        """Hold it: no letter goes out after this returns, except those on the wire."""
        campaign = self.get(tenant, cid)
        return self._move(
            campaign, "paused", ("scheduled", "running"), actor=actor, reason=reason, then=self._due(cid, PARKED_MS)
        )

    def resume(self, tenant: str, cid: bytes, actor: str) -> Campaign:
        """Go on where it was held; failures up to now are known and do not hold it again."""
        campaign = self.get(tenant, cid)
        self._require_ready(campaign)
        failed, complained, _ = self._failures(cid)
        wake = self._due(cid, 0)

        def then(tx: DataTx) -> None:
            wake(tx)
            known = {"borne": failed, "borne_complaints": complained}
            tx.execute(update(campaigns).where(campaigns.c.id == cid).values(known))
            tx.enqueue(CAMPAIGN_JOB, cid.hex(), run_ms=max(tx.now, campaign.due_ms or 0))

        to: State = "running" if campaign.begun_ms is not None else "scheduled"
        return self._move(campaign, to, ("paused",), actor=actor, kind="resumed", then=then)

    def stop(self, tenant: str, cid: bytes, actor: str) -> Campaign:
        """End it for good: what waits is refused, each letter with its entry."""
        campaign = self.get(tenant, cid)
        return self._move(campaign, "stopped", ("scheduled", "running", "paused"), actor=actor, then=self._due(cid, 0))

    def _require_ready(self, campaign: Campaign) -> None:
        missing = self.ready(campaign.tenant)
        if missing:
            clause = self._declared(campaign.template).clause
            raise Invalid(
                "marketing is not sent while this is missing: " + ", ".join(missing),
                clause=clause,
                gaps=tuple(f"/: {name}" for name in missing),
            )

    def _due(self, cid: bytes, after_ms: int) -> Callable[[DataTx], None]:
        def then(tx: DataTx) -> None:
            tx.execute(DUE, {"of_id": cid, "due": tx.now + after_ms})

        return then

    def _move(
        self,
        campaign: Campaign,
        to: State,
        of: tuple[State, ...],
        *,
        actor: str,
        kind: str = "",
        reason: str = "",
        then: Callable[[DataTx], None] = lambda tx: None,
    ) -> Campaign:
        """Change the state, with its entry. ``Conflict`` where somebody was faster."""

        def body(tx: DataTx) -> None:
            ends = {"ended_ms": tx.now} if to in ("stopped", "ended") else {}
            first = to == "running" and campaign.begun_ms is None
            begins = {"begun_ms": tx.now, "persons": campaign.persons} if first else {}
            values = {"state": to, "reason": reason, **ends, **begins}
            moved = tx.execute(
                update(campaigns).where(campaigns.c.id == campaign.id, campaigns.c.state.in_(of)).values(**values)
            )
            if moved.rowcount != 1:
                raise Conflict("this campaign has gone on meanwhile: look at it again")
            now = Campaign(**tx.execute(BY_ID, {"of_id": campaign.id}).mappings().one())
            self._append(tx, now, kind or ("begun" if first else to), actor)
            then(tx)

        self.store.write(Write(body))
        return self.get(campaign.tenant, campaign.id)

    def _append(self, tx: DataTx, campaign: Campaign, kind: str, actor: str) -> Entry:
        """What happened to a campaign, with the counts of its letters in the moment."""
        template = self.versions.current().templates.get(campaign.template)
        facts: dict[str, Any] = {"campaign": campaign.id.hex(), "words": campaign.digest, "persons": campaign.persons}
        facts |= counted(tx.connection, campaign.id)
        if campaign.reason:
            facts["reason"] = campaign.reason
        return tx.append(
            EntryDraft(
                kind=f"campaign.{kind}",
                clause=template.clause if template else "rights.automated",
                mechanism="message.declared",
                actor=actor,
                purpose=template.purpose if template else None,
                facts=facts,
            )
        )

    # --- the work behind it ---

    def job(self, job: Job) -> None:
        """Begin a campaign, queue its letters, see that it goes well and when it is over. May be done over again."""
        campaign = self._by_id(bytes.fromhex(job.ref))
        if campaign is None or campaign.state not in ("scheduled", "running"):
            return
        persons: list[bytes] | None = None
        try:
            if campaign.state == "scheduled":
                early = (campaign.due_ms or 0) - self.store.clock.now()
                if early > 0:  # a start does what waits at once
                    raise Later(early)
                missing = self.ready(campaign.tenant)
                if missing:
                    self.pause(campaign.tenant, campaign.id, "system", "not ready")
                    return
                persons = self._persons(campaign)
                campaign = self._move(
                    replace(campaign, persons=len(persons)), "running", ("scheduled",), actor="system"
                )
            if campaign.queued_ms is None:
                persons = self._persons(campaign) if persons is None else persons
                if not self._queue(campaign, persons):
                    return
            self._watch(campaign)
        except (Denied, Invalid):  # a policy that came meanwhile declares it no more
            self.pause(campaign.tenant, campaign.id, "system", "not declared")
        except Conflict:
            return  # an operator was faster, and enqueued what is to be done then

    def _by_id(self, cid: bytes) -> Campaign | None:
        row = self.store.read(lambda c: c.execute(BY_ID, {"of_id": cid}).mappings().first())
        return Campaign(**row) if row is not None else None

    def _persons(self, campaign: Campaign) -> list[bytes]:
        """Whom the gate gives now: one entry for all, and nothing opened."""
        template = self._declared(campaign.template)
        return self.gate.open(template.purpose, channel="email").scan(campaign.tenant, template.fields).sids

    def _queue(self, campaign: Campaign, persons: Sequence[bytes]) -> bool:
        """Queue a letter for each who has none yet; False where the campaign was held meanwhile."""
        template, cid = self._declared(campaign.template), campaign.id
        for start in range(0, len(persons), CHUNK):
            if not self._post(campaign, template, persons[start : start + CHUNK]):
                return False
        now = self.store.clock.now()
        done = update(campaigns).where(campaigns.c.id == cid).values(persons=len(persons), queued_ms=now)
        self.store.write(Write(lambda tx: tx.execute(done).rowcount, lane=Lane.JOB))
        return True

    def _post(
        self,
        campaign: Campaign,
        template: Template,
        sids: Iterable[bytes],
        *,
        actor: str = "system",
        test: bool = False,
    ) -> bool:
        secrets = dict(self._secrets(campaign.tenant, sids))
        keys = {sid: f"campaign/{campaign.id.hex()}/{sid.hex()}" for sid in secrets}

        def body(tx: DataTx) -> bool:
            now = tx.execute(BY_ID, {"of_id": campaign.id}).mappings().first()
            if now is None or (not test and now["state"] != "running"):
                return False
            there = set() if test else set(tx.execute(THERE, {"keys": list(keys.values())}).scalars())
            for sid, secret in secrets.items():
                if keys[sid] in there or not self.vault.exists(tx.connection, campaign.tenant, sid):
                    continue
                post(
                    tx,
                    template,
                    self.chance,
                    tenant=campaign.tenant,
                    sid=sid,
                    opening=secret,
                    dedup=None if test else keys[sid],
                    actor=actor,
                    campaign=campaign.id,
                )
            return True

        return self.store.write(Write(body, lane=Lane.JOB))

    def _secrets(self, tenant: str, sids: Iterable[bytes]) -> Iterable[tuple[bytes, bytes]]:
        for sid in sids:
            try:
                yield sid, self.vault.opening(tenant, sid)
            except NotFound:  # erased meanwhile
                continue

    def _failures(self, cid: bytes) -> tuple[int, int, int]:
        """How many failed for good, at the relay or later; how many complained; how many were handed over in all."""

        def look(connection: Connection) -> tuple[dict[str, int], int, int]:
            refused, complained = (
                connection.execute(each, {"of_id": cid}).scalar_one() for each in (FAILED, COMPLAINTS)
            )
            return counted(connection, cid), refused, complained

        counts, refused, complained = self.store.read(look)
        failed = counts.get("bounced", 0) + refused
        return failed, complained, counts.get("sent", 0) + failed

    def _watch(self, campaign: Campaign) -> None:
        failed, complained, whole = self._failures(campaign.id)
        more, angrier = failed - campaign.borne, complained - campaign.borne_complaints
        if angrier > max(1, MOST_COMPLAINED * whole):
            self.pause(campaign.tenant, campaign.id, "system", "too many complained")
            return
        if more >= FEW and more > MOST_FAILED * whole:
            self.pause(campaign.tenant, campaign.id, "system", "too many came back")
            return
        if self.progress(self.get(campaign.tenant, campaign.id)).waiting:
            raise Later(WATCH_MS)
        self._move(self.get(campaign.tenant, campaign.id), "ended", ("running",), actor="system")
