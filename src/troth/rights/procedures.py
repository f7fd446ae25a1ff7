"""Requests that people answer: recorded with the day they came in, proven, extended, refused or fulfilled in time.

What a person does in their own centre is done at once and never waits here. What comes by letter, telephone or a
product does. Each step is a state of the register and an entry of the ledger, in one transaction; each answer is a
letter that the policy declares. Clauses: ``rights.*``. Mechanisms: ``right.deadline``, ``right.proof``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from troth.errors import Conflict, Denied, Invalid, NotFound, Unproven
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, RightKind, Template
from troth.rights import register
from troth.rights.calendar import Zones, after, day
from troth.rights.erasure import Erasures
from troth.rights.objection import Objections
from troth.rights.register import BEHALF, DELAYS, PRODUCTS, REASONS, ROADS, Case
from troth.rights.restriction import GROUNDS, Restrictions
from troth.store import Lane, Store, Write
from troth.store.jobs import Job
from troth.store.ledger import EntryDraft
from troth.store.outbox import post
from troth.store.transaction import DataTx
from troth.vault import Vault
from troth.world import DAY_MS, Randomness

MECHANISM: Final = "right.deadline"
REMIND_JOB = "rights.deadlines"
REMIND_EVERY_MS = 6 * 60 * 60_000
ALARMS = (10, 3)  # days before the deadline (L8)
LATEST_RECORDED_MS = 366 * DAY_MS  # a letter that came in longer ago was no slip of the pen
TAKEN, EXTENDED, REFUSED, DONE, DUE = (
    "rights.received",
    "rights.extended",
    "rights.refused",
    "rights.done",
    "rights.due-soon",
)
"""The letters, where the policy declares them; the last one goes to the controller's own contact address."""

Words = Callable[[str, str], str]


@dataclass(frozen=True)
class Step:
    """What a step did: the request as it stands, and whether a letter went to the person (else print one)."""

    case: Case
    lettered: bool = False
    result: str = ""


class Procedures:
    """The register's steps. Methods block: call them from a thread. ``actor`` is who takes the step."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        erasures: Erasures,
        restrictions: Restrictions,
        objections: Objections,
        randomness: Randomness,
        words: Words,
        zones: Zones,
    ) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.erasures = erasures
        self.restrictions = restrictions
        self.objections = objections
        self.randomness = randomness
        self.words = words
        self.zones = zones

    # --- looking ---

    def waiting(self, tenant: str) -> list[Case]:
        """What is open, the nearest deadline first."""
        return self.store.read(
            lambda c: [register.case(row) for row in c.execute(register.OPEN, {"of_tenant": tenant})]
        )

    def ended(self, tenant: str, most: int = 100) -> list[Case]:
        """What was answered last."""
        of = {"of_tenant": tenant, "most": most}
        return self.store.read(lambda c: [register.case(row) for row in c.execute(register.ENDED, of)])

    def get(self, tenant: str, rid: bytes) -> Case:
        """One request; ``NotFound``."""
        return self.store.read(lambda connection: register.by_id(connection, tenant, rid))

    # --- steps ---

    def record(
        self,
        tenant: str,
        kind: RightKind,
        received_ms: int,
        *,
        road: str,
        actor: str,
        sid: bytes | None = None,
        on_behalf: str | None = None,
        language: str = "en",
    ) -> Step:
        """A request that came in at ``received_ms``. The same right asked again while it waits is the same request.

        ``Invalid`` names what does not fit: a right that the policy does not grant, a day that lies ahead.
        """
        body = self.recording(
            tenant, kind, received_ms, road=road, actor=actor, sid=sid, on_behalf=on_behalf, language=language
        )
        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def recording(
        self,
        tenant: str,
        kind: RightKind,
        received_ms: int,
        *,
        road: str,
        actor: str,
        sid: bytes | None = None,
        on_behalf: str | None = None,
        language: str = "en",
        product: bytes | None = None,
    ) -> Callable[[DataTx], Step]:
        """As ``record``, for a transaction of the caller's; ``product`` filed it, and may ask how it stands."""
        policy, now = self.versions.current(), self.store.now()
        right = policy.rights.get(kind)
        gaps = [] if right else ["/kind: choose"]
        gaps += [] if now - LATEST_RECORDED_MS <= received_ms <= now else ["/received: time"]
        gaps += [] if road in ROADS else ["/road: choose"]
        gaps += [] if on_behalf is None or on_behalf in BEHALF else ["/on_behalf: choose"]
        if right is None or gaps:
            raise Invalid("this request cannot be recorded so", clause="rights.proof", gaps=tuple(gaps))
        opening, zone = self._opening(tenant, sid), self.zones(tenant)
        due = after(right.within, received_ms, zone)
        letter = self._letter_to((tenant, sid), policy, TAKEN, language, kind=kind, due=day(due, zone))
        rid = self.randomness.bytes(16)

        def body(tx: DataTx) -> Step:
            known = sid if sid is not None and self.vault.exists(tx.connection, tenant, sid) else None
            before = register.same(tx.connection, tenant, known, kind, on_behalf) if known is not None else None
            if before is not None:
                self._append(tx, "rights.repeated", before, actor, opening, {"road": road})
                if product is not None and product.hex() not in before.products:
                    facts = before.facts | {PRODUCTS: [*before.products, product.hex()]}
                    tx.execute(register.change(before.id, facts=in_json(facts)))
                return Step(before)
            row = {
                "id": rid,
                "tenant": tenant,
                "sid": known,
                "kind": kind,
                "state": "requested",
                "road": road,
                "on_behalf": on_behalf,
                "received_ms": received_ms,
                "due_ms": due,
                "acknowledged_ms": tx.now if letter and known is not None else None,
                "facts": in_json({PRODUCTS: [product.hex()]} if product is not None else {}),
            }
            tx.execute(register.INSERT, row)
            made = register.by_id(tx.connection, tenant, rid)
            facts = {"road": road, "received": received_ms, "due": made.due_ms, "behalf": on_behalf or "self"}
            self._append(tx, "rights.received", made, actor, opening, facts)
            return Step(made, self._post(tx, letter, made, opening, actor))

        return body

    def prove(self, tenant: str, rid: bytes, sid: bytes, how: str, *, actor: str) -> Step:
        """Note that it was shown who asks: by a document looked at and not kept, by a call back, by their own link.

        ``Conflict`` where the request belongs to another person already, or one that waits for this person is the same.
        """
        if how not in ("document", "call", "link", "proof of authority"):
            raise Invalid("say how it was shown", clause="rights.proof", gaps=("/how: choose",))
        opening = self._opening(tenant, sid)

        def body(tx: DataTx) -> Step:
            case = self._open(tx, tenant, rid)
            if case.sid is not None and case.sid != sid:
                raise Conflict("this request is another person's", clause="rights.proof")
            if case.on_behalf is not None and how != "proof of authority":
                raise Unproven("whoever asks for somebody else shows that they may", clause="rights.proof")
            other = register.same(tx.connection, tenant, sid, case.kind, case.on_behalf)
            if other is not None and other.id != rid:
                raise Conflict("this person's request for the same right waits already", clause="rights.proof")
            tx.execute(register.change(rid, sid=sid, state="proven", proven_ms=tx.now))
            self._append(tx, "rights.identified", case, actor, opening, {"how": how})
            return Step(replace(case, sid=sid, state="proven", proven_ms=tx.now))

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def extend(
        self, tenant: str, rid: bytes, reason: str, *, actor: str, printed: bool = False, language: str = "en"
    ) -> Step:
        """Two months more, once, announced within the first month with its reason (Art. 12(3)).

        ``Conflict`` after that month or a second time. ``Denied`` where the person cannot be told: no letter is
        declared or nobody is known to write to, and it is not said that one was ``printed``.
        """
        if reason not in DELAYS:
            raise Invalid("a delay has one of two reasons", clause="rights.proof", gaps=("/reason: choose",))
        policy = self.versions.current()
        now_case = self.get(tenant, rid)
        opening, zone = self._opening(tenant, now_case.sid), self.zones(tenant)
        due, until = now_case.latest(zone), now_case.extensible_until(zone)
        told = {"due": day(due, zone), "reason": f"delay.{reason}"}
        letter = self._letter_to((tenant, now_case.sid), policy, EXTENDED, language, kind=now_case.kind, **told)
        self._tellable(now_case, letter, printed)

        def body(tx: DataTx) -> Step:
            case = self._open(tx, tenant, rid)
            if case.extended_ms is not None or tx.now >= until:
                raise Conflict("it can be extended once, within the first month", clause="rights.proof")
            tx.execute(register.change(rid, due_ms=due, extended_ms=tx.now, reason=reason, reminded=0))
            facts = {"reason": reason, "due": due, "told": "printed" if printed else "mail"}
            self._append(tx, "rights.extended", case, actor, opening, facts)
            sent = not printed and self._post(tx, letter, case, opening, actor)
            return Step(replace(case, due_ms=due, extended_ms=tx.now, reason=reason), sent)

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def refuse(
        self, tenant: str, rid: bytes, reason: str, *, actor: str, printed: bool = False, language: str = "en"
    ) -> Step:
        """Refuse, with the reason and the way to complain (Art. 12(4), G7); raises as ``extend`` does."""
        if reason not in REASONS:
            raise Invalid("a refusal has one of six reasons", clause="rights.complain", gaps=("/reason: choose",))
        now_case = self.get(tenant, rid)
        told = {"kind": now_case.kind, "reason": f"refusal.{reason}"}
        letter = self._letter_to((tenant, now_case.sid), self.versions.current(), REFUSED, language, **told)
        self._tellable(now_case, letter, printed)
        facts = {"reason": reason, "told": "printed" if printed else "mail"}
        return self._end(now_case, "refused", actor, facts, None if printed else letter, reason=reason)

    def fulfil(
        self,
        tenant: str,
        rid: bytes,
        *,
        actor: str,
        ground: str = "",
        purpose: str = "",
        language: str = "en",
    ) -> Step:
        """Do what was asked, and say so. ``Unproven`` until it was shown who asks.

        Restriction takes its ``ground``, objection and withdrawal their ``purpose``. An erasure takes the request with
        it: what remains is its certificate.
        """
        case = self.get(tenant, rid)
        if not case.open:
            raise Conflict("this request has been answered", clause="rights.proof")
        if case.sid is None or case.proven_ms is None:
            raise Unproven("it has not been shown yet who asks", clause="rights.proof")
        letter = self._letter_to((tenant, case.sid), self.versions.current(), DONE, language, kind=case.kind)
        match case.kind:
            case "erasure":
                certificate = self.erasures.erase(tenant, case.sid, actor=actor, language=language)
                if certificate.held is not None:
                    return self._waits(case, certificate.ordered, certificate.held.reason, actor, language)
                return Step(replace(case, state="fulfilled"), True, certificate.ordered)
            case "restriction":
                if ground not in GROUNDS:
                    raise Invalid("say on which ground", clause="rights.restrict", gaps=("/ground: choose",))
                result = self.restrictions.restrict(tenant, case.sid, ground, actor=actor, registered=True)
                letter = self.restrictions.letter(language) or letter
                done = {"restriction": result.entry.hex()}
            case "objection" | "withdrawal":
                objected = self.objections.object(tenant, case.sid, purpose, via="operator", actor=actor)
                done = {"entry": objected.entry, "purpose": objected.purpose}
            case _:
                done = {}
        return self._end(case, "fulfilled", actor, done, letter)

    def _waits(self, case: Case, order: str, reason: str, actor: str, language: str) -> Step:
        """An erasure that was ordered and waits for a hold: the person is told why within the month (Art. 12(4))."""
        words = {"kind": case.kind, "reason": f"refusal.{reason}"}
        letter = self._letter_to((case.tenant, case.sid), self.versions.current(), REFUSED, language, **words)
        return self._end(case, "held", actor, {"reason": reason, "order": order}, letter, reason=reason)

    # --- the clock ---

    def remind(self) -> int:
        """Say of each open request once that ten days are left, and once that three are; how many were said."""
        said = 0
        for case in self.store.read(lambda c: [register.case(row) for row in c.execute(register.ALL_OPEN)]):
            level = alarm(case.due_ms, self.store.now())
            if level and level != case.reminded and (not case.reminded or level < case.reminded):
                said += self._remind(case, level)
        return said

    def job(self, job: Job) -> None:
        """The scheduled job."""
        self.remind()

    def _remind(self, case: Case, level: int) -> int:
        policy = self.versions.current(case.tenant)
        told = {"due": day(case.due_ms, self.zones(case.tenant)), "request": case.id.hex()}
        letter = self._letter(policy, DUE, policy.language, kind=case.kind, **told)
        contact = self.vault.transit_seal(policy.controller.contact.encode())
        opening = self._opening(case.tenant, case.sid)

        def body(tx: DataTx) -> int:
            if not tx.execute(register.change(case.id, reminded=level)).rowcount:
                return 0  # answered in this very moment
            self._append(tx, "rights.due-soon", case, "system", opening, {"days": level})
            if letter is not None:
                post(
                    tx,
                    letter[0],
                    self.randomness,
                    tenant=case.tenant,
                    sid=None,
                    opening=None,
                    variables=letter[1],
                    address=contact,
                )
            return 1

        return self.store.write(Write(body=body, lane=Lane.JOB))

    # --- inside ---

    def _end(
        self,
        seen: Case,
        state: str,
        actor: str,
        facts: dict[str, Any],
        letter: tuple[Template, bytes] | None,
        reason: str | None = None,
    ) -> Step:
        opening = self._opening(seen.tenant, seen.sid)

        def body(tx: DataTx) -> Step:
            case = self._open(tx, seen.tenant, seen.id)
            found, why = case.facts | facts, reason or case.reason
            tx.execute(register.change(case.id, state=state, ended_ms=tx.now, facts=in_json(found), reason=why))
            self._append(tx, f"rights.{state}", case, actor, opening, facts)
            sent = self._post(tx, letter, case, opening, actor)
            return Step(replace(case, state=state, ended_ms=tx.now, facts=found, reason=why), sent)

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def _open(self, tx: DataTx, tenant: str, rid: bytes) -> Case:
        case = register.by_id(tx.connection, tenant, rid)
        if not case.open:
            raise Conflict("this request has been answered", clause="rights.proof")
        return case

    def _opening(self, tenant: str, sid: bytes | None) -> bytes | None:
        if sid is None:
            return None
        try:
            return self.vault.opening(tenant, sid)
        except NotFound:
            return None  # erased: the entry names nobody any more

    def _append(
        self, tx: DataTx, kind: str, case: Case, actor: str, opening: bytes | None, facts: dict[str, Any]
    ) -> None:
        right = self.versions.current().rights.get(case.kind)
        about = {"request": case.id.hex(), "right": case.kind, **facts}
        draft = EntryDraft(kind, right.clause if right else "rights.proof", MECHANISM, actor, facts=about)
        tx.append(draft, opening)

    def _tellable(self, case: Case, letter: tuple[Template, bytes] | None, printed: bool) -> None:
        if not printed and (letter is None or case.sid is None):
            raise Denied(
                "the person has to be told: write them a letter, and say that it was printed",
                clause="rights.proof",
                gaps=("told",),
            )

    def _letter_to(
        self, to: tuple[str, bytes | None], policy: CompiledPolicy, name: str, language: str, **words: str
    ) -> tuple[Template, bytes] | None:
        """A letter to the person; None where none is declared, or we know of no address to send it to."""
        tenant, sid = to
        if sid is None or "email" not in self.vault.found_by(tenant, sid):
            return None
        return self._letter(policy, name, language, **words)

    def _letter(
        self, policy: CompiledPolicy, name: str, language: str, *, kind: str, reason: str = "", **values: str
    ) -> tuple[Template, bytes] | None:
        template = policy.templates.get(name)
        if template is None:
            return None
        words = {"language": language, "right": self.words(f"right.{kind}", language), **values}
        if reason:
            words["reason"] = self.words(f"right.{reason}", language)
        return template, self.vault.transit_seal(msgspec.json.encode(words))

    def _post(
        self, tx: DataTx, letter: tuple[Template, bytes] | None, case: Case, opening: bytes | None, actor: str
    ) -> bool:
        """Queue the letter to the person; False where there is none, or nobody to write to."""
        if letter is None or case.sid is None or opening is None:
            return False
        post(
            tx,
            letter[0],
            self.randomness,
            tenant=case.tenant,
            sid=case.sid,
            opening=opening,
            variables=letter[1],
            actor=actor,
        )
        return True


def in_json(facts: dict[str, Any]) -> str:
    """Facts as they stand in the register."""
    return msgspec.json.encode(facts, order="sorted").decode()


def alarm(due_ms: int, now_ms: int) -> int:
    """The nearest alarm that is due: 3 or 10 days before the deadline, 0 before both."""
    return next((days for days in sorted(ALARMS) if now_ms >= due_ms - days * DAY_MS), 0)
