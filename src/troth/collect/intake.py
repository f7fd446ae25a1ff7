"""The one door: everything that is collected comes through here, and nothing undeclared does (promises 1 and 2).

A submission is checked against the policy in force, bound to the notice that was shown, sealed under keys of the
person's own, and stored together with its ledger entry in one transaction (promise 3). Until the person proves
the address, the subject is ``pending``: nobody is written to but for that proof, and ``retain.due`` erases it.
Clauses: ``collect.newsletter``, ``collect.registration``, ``consent.at-submission``, ``consent.refusal``,
``scope.services``. Mechanisms: ``intake.declared``, ``notice.bind``, ``scope.surface``.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import msgspec

from troth.collect.forms import Fault, clean, kind_of, point_of
from troth.collect.refusals import Refusals
from troth.errors import Conflict, Denied, Invalid
from troth.notice.consents import CLASS as CONSENT_CLASS
from troth.notice.consents import SCHEMA as CONSENT_SCHEMA
from troth.notice.consents import TABLE as CONSENT_TABLE
from troth.notice.consents import Consents, Shown
from troth.notice.shown import notice_for
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, Point, Template, Terms
from troth.store import Idempotency, Store, Write, links
from troth.store.ledger import EntryDraft
from troth.store.outbox import post
from troth.store.writer import DataTx
from troth.vault import NewRecord, Staged, Vault
from troth.world import DAY_MS, Randomness

CONFIRM_DAYS = 7  # how long a confirmation link lives; what stays unconfirmed is erased by its class's own rule


@dataclass(frozen=True)
class Submission:
    """One form or API call. ``version`` and ``notice`` are what the person was shown; ``consents`` what they ticked."""

    tenant: str
    surface: str
    point: str
    values: dict[str, Any]
    language: str = "en"
    control: str = "form"
    version: str | None = None
    notice: str | None = None
    consents: frozenset[str] = frozenset()


class Accepted(msgspec.Struct, frozen=True):
    """The neutral answer: the same whether the address was known before or not."""

    entry: str  # eid, hex: what the receipt refers to
    version: str
    notice: str
    at: int


class Faulty(Invalid):
    """The values do not fit: ``faults`` holds one per field, for the form to show beside it."""

    def __init__(self, faults: tuple[Fault, ...], clause: str) -> None:
        super().__init__(
            "some fields do not fit: " + ", ".join(f"{f.field} ({f.rule})" for f in faults),
            clause=clause,
            gaps=tuple(f"/{f.field}: {f.rule}" for f in faults),
        )
        self.faults = faults


class Intake:
    """The door. One instance serves all points of all surfaces."""

    def __init__(self, store: Store, vault: Vault, versions: Versions, consents: Consents, chance: Randomness) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.consents = consents
        self.chance = chance
        self.refusals = Refusals(store.clock)

    def prepare(self, submission: Submission, key: Idempotency | None = None) -> Write[bytes]:
        """Check a submission and make the write that stores it; nothing is stored yet.

        Raises ``Undeclared`` (a field no clause declares), ``Faulty`` (values that do not fit), ``Denied`` (a surface
        the point does not belong to, or a consent that is needed and was not given) and ``Conflict`` (the notice shown
        is not the one in force: show the new one and ask again).
        """
        policy = self.versions.current(submission.tenant)
        point = point_of(policy, submission.point)
        self.check_surface(point, submission.surface)
        values, faults = clean(point, submission.values)
        if faults:
            raise Faulty(faults, point.clause)
        notice = notice_for(policy, point)
        self._check_notice(policy, notice.sha256, submission)
        self._check_consent(point, submission)

        identifiers = {kind_of(f): values[f.name] for f in point.fields if f.identifier and f.name in values}
        terms = Terms(policy.controller.name, submission.surface, point.id, policy.version)
        records = [
            NewRecord(class_, terms, {name: values[name] for name in sorted(fields) if name in values})
            for class_, fields in sorted(point.classes().items())
        ]
        staged = self.vault.stage(
            submission.tenant,
            identifiers=identifiers,
            records=records,
            pending=True,
            classes=(CONSENT_CLASS,),
            expires_days=CONFIRM_DAYS,
        )
        token = links.new_token(self.chance)
        template = confirm_template(policy, point)
        letter = msgspec.json.encode({"token": token, "language": submission.language, "point": point.id})
        variables = self.vault.transit_seal(letter)

        def body(tx: DataTx) -> bytes:
            entry = tx.append(
                EntryDraft(
                    kind="intake.accepted",
                    clause=point.clause,
                    mechanism="intake.declared",
                    actor="visitor",
                    facts={
                        "point": point.id,
                        "surface": submission.surface,
                        "control": submission.control,
                        "language": submission.language,
                        "notice": notice.sha256,
                        "fields": sorted(values),
                        "consents": sorted(submission.consents),
                        **self.versions.named(submission.tenant),
                    },
                ),
                staged.opening,
            )
            staged.insert(tx, entry.eid)
            self._request_consent(tx, policy, point, submission, staged, entry.eid, notice.sha256)
            links.make(
                tx,
                token,
                "confirm",
                tenant=submission.tenant,
                sid=staged.sid,
                ref=point.id,
                expires_ms=tx.now + CONFIRM_DAYS * DAY_MS,
            )
            if template is not None:
                post(
                    tx,
                    template,
                    self.chance,
                    tenant=submission.tenant,
                    sid=staged.sid,
                    opening=staged.opening,
                    variables=variables,
                )
            return msgspec.json.encode(Accepted(entry.eid.hex(), policy.version, notice.sha256, tx.now))

        return Write(before=staged.before, body=body, key=key)

    async def accept(self, submission: Submission, key: Idempotency | None = None) -> Accepted:
        """Take a submission in: durable, with its entry, when this returns."""
        with self.counting(submission.tenant, submission.point):
            result: bytes = await self.store.awrite(self.prepare(submission, key))
        return msgspec.json.decode(result, type=Accepted)

    def take(self, submission: Submission, key: Idempotency | None = None) -> Accepted:
        """The same for callers without an event loop."""
        with self.counting(submission.tenant, submission.point):
            result: bytes = self.store.write(self.prepare(submission, key))
        return msgspec.json.decode(result, type=Accepted)

    def counting(self, tenant: str, point: str) -> AbstractContextManager[None]:
        """Counts a refusal that leaves the block; a point that no clause declares is counted without its name."""
        return self.refusals.counting(tenant, point if point in self.versions.current().points else "")

    def check_surface(self, point: Point, surface: str) -> None:
        """``Denied`` if the point does not belong to this surface."""
        if surface not in point.surfaces:
            raise Denied(
                f"{point.id} is not collected on surface {surface}: name it in clause {point.clause}",
                clause="scope.services",
                gaps=(f"surface:{surface}",),
            )

    def _check_notice(self, policy: CompiledPolicy, notice: str, submission: Submission) -> None:
        if submission.version not in (None, policy.version) or submission.notice not in (None, notice):
            raise Conflict(
                "the policy has changed since this form was shown: please read what is new and send it again",
                clause="consent.at-submission",
            )

    def _check_consent(self, point: Point, submission: Submission) -> None:
        offered = {point.consent.id} if point.consent else set()
        unknown = sorted(submission.consents - offered)
        if unknown:
            raise Invalid("a consent was sent that this form does not ask for", clause=point.clause)
        if point.consent and only_by_consent(point) and point.consent.id not in submission.consents:
            raise Faulty((Fault("consent", "required"),), point.consent.clause)

    def _request_consent(
        self,
        tx: DataTx,
        policy: CompiledPolicy,
        point: Point,
        submission: Submission,
        staged: Staged,
        eid: bytes,
        notice: str,
    ) -> None:
        ask = point.consent
        if ask is None or ask.id not in submission.consents:
            return
        shown = Shown(submission.surface, point.id, submission.language, submission.control, notice)
        self.consents.request(
            tx,
            policy,
            ask,
            shown,
            tenant=submission.tenant,
            sid=staged.sid,
            cid=self.chance.bytes(16),
            eid=eid,
            seal=lambda cid, value: staged.seal(CONSENT_CLASS, cid, CONSENT_TABLE, CONSENT_SCHEMA, value),
        )


def only_by_consent(point: Point) -> bool:
    """True where the form is there for its consent: without a yes, no contract asks for what it collects.

    What else may then be done with it (asking for the proof of the address, fulfilling rights) is about the yes.
    """
    return point.consent is not None and not any(use.basis == "contract" for use in point.uses)


def confirm_template(policy: CompiledPolicy, point: Point) -> Template | None:
    """The declared mail that asks to confirm this point (``<point>.confirm``), if the policy declares one."""
    return policy.templates.get(f"{point.id}.confirm")
