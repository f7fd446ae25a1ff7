"""Restriction: data is kept and not used until the matter is settled (GDPR Art. 18; L14).

From the transaction of the entry on, the gate opens this person only for what the policy says survives a restriction
(rights, legal claims). K gets a guard row, so that a restored backup is restricted again. The person ends it when they
like; anybody else has to write to them first, and it ends only when that letter was taken by the relay and the
declared days have passed (Art. 18(3)). Clause ``rights.restrict``. Mechanism ``right.restrict``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import msgspec
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from troth.errors import Conflict, Denied, Invalid, NotFound
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, Template
from troth.rights import hold
from troth.rights.requests import Requests
from troth.store import Lane, Store, Write
from troth.store.announce import Announce, unheard
from troth.store.jobs import Job
from troth.store.ledger import Entry, EntryDraft
from troth.store.outbox import post
from troth.store.tables import ledger, messages, restrictions
from troth.store.transaction import DataTx, KeyTx
from troth.vault import Vault
from troth.world import Randomness

CLAUSE: Final = "rights.restrict"
MECHANISM: Final = "right.restrict"
GUARD_JOB = "rights.restriction-guard"
LIFT_JOB = "rights.restrictions-lifted"
LIFT_EVERY_MS = 60 * 60_000
DONE, ENDING = "rights.restricted", "rights.restriction-ends"  # the letters, where the policy declares them
SETTLED_MOST = 500  # restrictions ended in one run: the next run takes the rest

Ground = Literal["accuracy", "unlawful", "claims", "objection"]
GROUNDS: tuple[Ground, ...] = get_args(Ground)
"""Art. 18(1): (a) the data is contested, (b) its use was unlawful, (c) it is needed for a claim, (d) an objection is
being weighed."""

INSERT = insert(restrictions)
OPEN_OF = select(restrictions).where(
    restrictions.c.tenant == bindparam("of_tenant"),
    restrictions.c.sid == bindparam("of_sid"),
    restrictions.c.ended_ms.is_(None),
)
ANNOUNCED = (
    update(restrictions)
    .where(restrictions.c.eid == bindparam("of_eid"), restrictions.c.ended_ms.is_(None))
    .values(announced_ms=bindparam("at"), notice=bindparam("by"))
)
END = (
    update(restrictions)
    .where(restrictions.c.eid == bindparam("of_eid"), restrictions.c.ended_ms.is_(None))
    .values(ended_ms=bindparam("at"), ended_by=bindparam("who"))
)
TOLD = (
    select(restrictions, messages.c.ended_ms.label("told_ms"))
    .join(messages, messages.c.id == restrictions.c.notice)
    .where(restrictions.c.ended_ms.is_(None), messages.c.state == "sent", messages.c.ended_ms <= bindparam("before"))
    .order_by(messages.c.ended_ms)
    .limit(SETTLED_MOST)
)
UNDER_WAY = (  # the letter that announces the end may still arrive, or did; one that did not go out tells nobody
    select(messages.c.id)
    .join(restrictions, restrictions.c.notice == messages.c.id)
    .where(restrictions.c.eid == bindparam("of_eid"), messages.c.state.in_(("queued", "sending", "sent")))
)
ENTRY_AT = select(ledger.c.at_ms).where(ledger.c.eid == bindparam("of_eid"))


@dataclass(frozen=True)
class Restriction:
    """One restriction that holds. ``announced_ms``: since when the person is being told that it will end."""

    entry: bytes
    ground: str
    since_ms: int
    announced_ms: int | None = None


class Restrictions:
    """Sets people's data aside, and takes it up again."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        requests: Requests,
        randomness: Randomness,
        announce: Announce = unheard,
    ) -> None:
        self.store = store
        self._announce = announce
        self.vault = vault
        self.versions = versions
        self.requests = requests
        self.randomness = randomness

    def of(self, tenant: str, sid: bytes) -> Restriction | None:
        """The restriction that holds for this person, if there is one."""
        return self.store.read(lambda connection: standing(connection, tenant, sid))

    def restrict(
        self,
        tenant: str,
        sid: bytes,
        ground: str,
        *,
        actor: str = "subject",
        language: str = "en",
        registered: bool = False,
    ) -> Restriction:
        """Set this person's data aside. In force when this returns; a second time changes nothing.

        ``registered``: a request in the register asks for it, and whoever ends that writes to the person (``letter``).
        ``Invalid``: the ground is none of Art. 18(1). ``NotFound``: no such person, or they are being erased.
        ``Conflict``: they have not confirmed their address yet, or the policy grants no such right.
        """
        if ground not in GROUNDS:
            raise Invalid("a restriction has one of four grounds", clause=CLAUSE, gaps=("/ground: choose",))
        policy = self.versions.current()
        if "restriction" not in policy.rights:
            raise Conflict("this policy does not say how data is set aside", clause=CLAUSE)
        opening = self.vault.opening(tenant, sid)
        letter = None if registered else self._letter(policy, DONE, language)
        tell = self._announce(tenant, sid, "restriction.changed")

        def body(tx: DataTx) -> Restriction:
            self._require(tx.connection, tenant, sid)
            before = standing(tx.connection, tenant, sid)
            if before is not None:
                return before
            rid = None if registered else self.requests.record(tx, "restriction", tenant=tenant, sid=sid)
            entry = self._append(tx, "restriction.begun", actor, opening, {"ground": ground})
            row = {"eid": entry.eid, "tenant": tenant, "sid": sid, "ground": ground, "since_ms": tx.now}
            tx.execute(INSERT, row)
            self.vault.set_mode(tx, tenant, sid, "restricted")
            self._post(tx, letter, tenant, sid, opening, actor)
            tell(tx, entry.eid)
            tx.enqueue(GUARD_JOB, guard_ref(tenant, sid, entry.eid, "restricted"))
            if rid is not None:
                self.requests.end(tx, rid, "fulfilled", {"ground": ground})
            return Restriction(entry.eid, ground, tx.now)

        def after(ktx: KeyTx, done: Restriction) -> None:
            self.vault.guard(ktx, done.entry, tenant, sid, "restricted", done.since_ms)

        return self.store.write(Write(body=body, after=after, lane=Lane.RIGHTS))

    def letter(self, language: str) -> tuple[Template, bytes] | None:
        """The letter that says that it is done, with its sealed words; None where the policy declares none."""
        return self._letter(self.versions.current(), DONE, language)

    def restrict_again(self, tenant: str, sid: bytes, eid: bytes, ground: str, since_ms: int) -> None:
        """After a restore: what entry ``eid`` set aside stays so, without a letter or an entry of its own."""

        def body(tx: DataTx) -> None:
            if standing(tx.connection, tenant, sid) is None:
                row = {"eid": eid, "tenant": tenant, "sid": sid, "ground": ground, "since_ms": since_ms}
                tx.execute(INSERT, row)
            self.vault.set_mode(tx, tenant, sid, "restricted")

        self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def lift(self, tenant: str, sid: bytes) -> bool:
        """The person takes it back themselves: it ends now. False where nothing is set aside."""
        return self._end(tenant, sid, "subject")

    def announce(self, tenant: str, sid: bytes, *, actor: str, language: str = "en") -> Restriction:
        """Write to the person that their data will be used again; it ends after that, see ``settle``.

        ``Conflict``: nothing is set aside, or the letter is under way or arrived; one that did not go out is written
        again. ``Denied``: the policy declares no such letter, and nobody may be left untold.
        """
        policy = self.versions.current()
        letter = self._letter(policy, ENDING, language)
        if letter is None:
            raise Denied("the policy declares no letter that tells of it", clause=CLAUSE, gaps=(f"message:{ENDING}",))
        opening = self.vault.opening(tenant, sid)

        def body(tx: DataTx) -> Restriction:
            before = self._holding(tx.connection, tenant, sid)
            if tx.execute(UNDER_WAY, {"of_eid": before.entry}).first() is not None:
                raise Conflict("the person is being told already", clause=CLAUSE)
            self._append(tx, "restriction.ending", actor, opening, {}, refers=before.entry)
            mid = self._post(tx, letter, tenant, sid, opening, actor)
            tx.execute(ANNOUNCED, {"of_eid": before.entry, "at": tx.now, "by": mid})
            return Restriction(before.entry, before.ground, before.since_ms, tx.now)

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def keep(self, tenant: str, sid: bytes) -> Restriction:
        """The person says no to the announced end: it goes on, and whoever wants it ended has to announce it again."""
        opening = self.vault.opening(tenant, sid)

        def body(tx: DataTx) -> Restriction:
            before = self._holding(tx.connection, tenant, sid)
            if before.announced_ms is not None:
                self._append(tx, "restriction.kept", "subject", opening, {}, refers=before.entry)
                tx.execute(ANNOUNCED, {"of_eid": before.entry, "at": None, "by": None})
            return Restriction(before.entry, before.ground, before.since_ms)

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def settle(self) -> int:
        """End what was announced long enough ago, by a letter that went out; how many ended."""
        right = self.versions.current().rights.get("restriction")
        if right is None or right.told is None:
            return 0
        now = self.store.now()
        due = self.store.read(lambda connection: connection.execute(TOLD, {"before": now}).all())
        return sum(
            self._end(row.tenant, row.sid, "operator", row.eid) for row in due if right.told.after(row.told_ms) <= now
        )

    def job(self, job: Job) -> None:
        """The scheduled job."""
        self.settle()

    def redo_guard(self, job: Job) -> None:
        """The job behind each change: writes the guard if the first attempt did not."""
        tenant, sid, eid, kind = job.ref.split("/", 3)
        at = self.store.read(lambda c: c.execute(ENTRY_AT, {"of_eid": bytes.fromhex(eid)}).scalar()) or 0

        def before(ktx: KeyTx) -> None:
            self.vault.guard(ktx, bytes.fromhex(eid), tenant, bytes.fromhex(sid), kind, at)

        self.store.write(Write(before=before, body=lambda tx: None, lane=Lane.JOB))

    # --- inside ---

    def _end(self, tenant: str, sid: bytes, who: str, only: bytes | None = None) -> bool:
        """End the restriction; only this one where ``only`` is given, and only while its end is announced."""
        try:
            opening = self.vault.opening(tenant, sid)
        except NotFound:
            return False  # erased meanwhile
        tell = self._announce(tenant, sid, "restriction.changed")

        def body(tx: DataTx) -> Entry | None:
            before = standing(tx.connection, tenant, sid)
            if before is None or (only is not None and (before.entry != only or before.announced_ms is None)):
                return None
            self._require(tx.connection, tenant, sid)
            actor = "subject" if who == "subject" else "system"
            entry = self._append(tx, "restriction.ended", actor, opening, {"by": who}, refers=before.entry)
            tx.execute(END, {"of_eid": before.entry, "at": tx.now, "who": who})
            if hold.standing(tx.connection, tenant, sid) is None:  # a hold keeps it set aside all the same
                self.vault.set_mode(tx, tenant, sid, "live")
            tell(tx, entry.eid)
            tx.enqueue(GUARD_JOB, guard_ref(tenant, sid, entry.eid, "unrestricted"))
            return entry

        def after(ktx: KeyTx, entry: Entry | None) -> None:
            if entry is not None:
                self.vault.guard(ktx, entry.eid, tenant, sid, "unrestricted", entry.at_ms)

        return self.store.write(Write(body=body, after=after, lane=Lane.RIGHTS)) is not None

    def _require(self, connection: Connection, tenant: str, sid: bytes) -> None:
        mode = self.vault.mode_of(connection, tenant, sid)
        if mode == "pending":
            raise Conflict("this address is not confirmed yet: nothing is used before it is", clause=CLAUSE)
        if mode not in ("live", "restricted"):
            raise NotFound("there is no such person here", clause=CLAUSE)

    def _holding(self, connection: Connection, tenant: str, sid: bytes) -> Restriction:
        found = standing(connection, tenant, sid)
        if found is None:
            raise Conflict("nothing of this person is set aside", clause=CLAUSE)
        return found

    def _append(
        self, tx: DataTx, kind: str, actor: str, opening: bytes, facts: dict[str, Any], refers: bytes | None = None
    ) -> Entry:
        return tx.append(EntryDraft(kind, CLAUSE, MECHANISM, actor, refers=refers, facts=facts), opening)

    def _letter(self, policy: CompiledPolicy, name: str, language: str) -> tuple[Template, bytes] | None:
        """A declared letter with its sealed words; None where the policy declares none."""
        template = policy.templates.get(name)
        if template is None:
            return None
        right = policy.rights["restriction"]
        words = {"language": language, "days": right.told.text if right.told else ""}
        return template, self.vault.transit_seal(msgspec.json.encode(words))

    def _post(
        self, tx: DataTx, letter: tuple[Template, bytes] | None, tenant: str, sid: bytes, opening: bytes, actor: str
    ) -> bytes | None:
        if letter is None:
            return None
        template, words = letter
        return post(
            tx, template, self.randomness, tenant=tenant, sid=sid, opening=opening, variables=words, actor=actor
        )


def standing(connection: Connection, tenant: str, sid: bytes) -> Restriction | None:
    """The restriction that holds in the caller's snapshot."""
    row: Row[Any] | None = connection.execute(OPEN_OF, {"of_tenant": tenant, "of_sid": sid}).one_or_none()
    return None if row is None else Restriction(bytes(row.eid), row.ground, row.since_ms, row.announced_ms)


def guard_ref(tenant: str, sid: bytes, eid: bytes, kind: str) -> str:
    """What the job that repeats a guard is told: ids only."""
    return f"{tenant}/{sid.hex()}/{eid.hex()}/{kind}"
