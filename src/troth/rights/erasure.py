"""Erasure: unreadable at once, gone and looked for, and a certificate that says no more than was seen.

The steps of DESIGN 1.4, each of which can be repeated: (1) one transaction orders it, and the gate refuses this
person from there on; (2) keys and index tags are destroyed and looked for on a new connection; (3) rows go in
chunks, and one transaction looks again and says *done*. A step that could not be done is reported as not done.
Clauses: ``rights.erase``, ``retain.while-used``. Mechanism: ``right.erase``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from troth.errors import Busy, Conflict, Damaged, NotFound, Unavailable, Unknown
from troth.notice.versions import Versions
from troth.policy.model import State
from troth.rights import hold
from troth.rights import plan as plans
from troth.rights.certificate import NONE, Certificate, certificate_of
from troth.rights.plan import Plan
from troth.rights.removal import remaining, remove_chunk, remove_last
from troth.rights.restriction import GUARD_JOB, guard_ref
from troth.store import Lane, Store, Write
from troth.store.announce import Announce, Told, unheard
from troth.store.jobs import Job
from troth.store.ledger import Entry, EntryDraft
from troth.store.outbox import post
from troth.store.tables import epochs, erasures, jobs, terms
from troth.store.writer import DataTx, KeyTx
from troth.vault import Cover, Vault
from troth.vault.provider import Destruction
from troth.world import Clock, Randomness

ERASE_JOB = "rights.erase"
WAITS = "erasure_waits"  # the guard of an order that a hold keeps from being done
EMAIL = "user.contact.email"
NEWEST = 16  # records looked at for an address: however many there are, an order takes the same time

Cause = Literal["right", "retention", "refusal", "child", "undo"]
Seen = frozenset[tuple[bytes, int | None]]


TERMS = select(terms.c.id, terms.c.point, terms.c.version)
INSERT = insert(erasures)
OPEN_ORDER = select(erasures).where(
    erasures.c.tenant == bindparam("of_tenant"), erasures.c.sid == bindparam("of_sid"), erasures.c.state != "gone"
)
ORDER = select(erasures).where(erasures.c.ordered == bindparam("of_order"))
COUNTED = update(erasures).where(erasures.c.ordered == bindparam("of_order")).values(counts=bindparam("new_counts"))
UNREADABLE = (
    update(erasures)
    .where(erasures.c.ordered == bindparam("of_order"), erasures.c.state.in_(("ordered", "held")))
    .values(
        state="unreadable", unreadable_ms=bindparam("at"), epoch=bindparam("in_epoch"), destruction=bindparam("how")
    )
)
GOES_ON = (
    update(erasures)
    .where(erasures.c.ordered == bindparam("of_order"), erasures.c.state == "held")
    .values(state="ordered")
)
SETTLED = (
    update(erasures)
    .where(erasures.c.epoch <= bindparam("of_epoch"), erasures.c.destruction.is_(None))
    .values(destroyed_ms=bindparam("at"), destruction=bindparam("how"))
)
SETTLED_ONE = (
    update(erasures)
    .where(erasures.c.ordered == bindparam("of_order"))
    .values(destroyed_ms=bindparam("at"), destruction=bindparam("how"))
)
ENDED_EPOCH = select(epochs.c.destroyed_ms, epochs.c.destruction).where(
    epochs.c.epoch == bindparam("of_epoch"), epochs.c.state == "destroyed"
)
DROP_JOB = delete(jobs).where(jobs.c.dedup == bindparam("of_dedup"))
TRIED = select(jobs.c.fault).where(jobs.c.dedup == bindparam("of_dedup"), jobs.c.state.in_(("ready", "failed")))
LATEST = (
    select(erasures)
    .where(erasures.c.tenant == bindparam("of_tenant"))
    .order_by(erasures.c.ordered_ms.desc(), erasures.c.ordered)
    .limit(bindparam("most"))
)
GONE = (
    update(erasures)
    .where(erasures.c.ordered == bindparam("of_order"))
    .values(state="gone", gone_ms=bindparam("at"), done=bindparam("done_eid"), counts=bindparam("new_counts"))
)


class Erasures:
    """Orders erasures and carries them out."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        clock: Clock,
        chance: Randomness,
        announce: Announce = unheard,
    ) -> None:
        self.store = store
        self._announce = announce
        self.vault = vault
        self.versions = versions
        self.clock = clock
        self.chance = chance

    def erase(
        self,
        tenant: str,
        sid: bytes,
        *,
        cause: Cause = "right",
        actor: str = "subject",
        language: str = "en",
        as_seen: Seen | None = None,
        proof: bytes | None = None,
    ) -> Certificate:
        """Order the erasure and carry it out. Returns what was seen; a step left over is a job that goes on.

        Raises what ``order`` raises. Once it is ordered nothing is raised: the certificate says how far it got.
        """
        order = self.order(tenant, sid, cause=cause, actor=actor, language=language, as_seen=as_seen, proof=proof)
        with contextlib.suppress(Busy, Unavailable, Unknown, NotFound):  # NotFound: the job was faster, all is gone
            self.carry_out(order)
        return self.certificate(order)

    def order(
        self,
        tenant: str,
        sid: bytes,
        *,
        cause: Cause = "right",
        actor: str = "subject",
        language: str = "en",
        as_seen: Seen | None = None,
        proof: bytes | None = None,
    ) -> bytes:
        """Step 1: from here on the gate refuses this person. Returns the order's id (the eid of *ordered*).

        The certificate's address is sealed under a day key first: afterwards nothing can open it. An order that
        exists already is returned, not repeated. ``NotFound`` if there is no such person. With ``as_seen`` (each
        record's id and the person's generation): ``Conflict``, and nothing is ordered, if that is no longer so.
        ``proof`` is the sign-in that the order rests on, where it was no link. Of somebody who is held it is ordered
        and waits: the gate refuses them already (``rights.hold``), and ``go_on`` takes it up.
        """
        earlier = self.store.read(
            lambda c: c.execute(OPEN_ORDER, {"of_tenant": tenant, "of_sid": sid}).mappings().first()
        )
        if earlier is not None:
            return bytes(earlier["ordered"])
        if not self.store.read(lambda c: self.vault.exists(c, tenant, sid)):
            raise NotFound("there is no such person here", clause="rights.erase")
        opening = self.vault.opening(tenant, sid)
        letter = self._letter(tenant, sid, cause, language)
        eid = self.chance.bytes(16)
        tell = self._announce(tenant, sid, "erasure.ordered")

        def body(tx: DataTx) -> tuple[bytes, Entry | None]:
            other = tx.execute(OPEN_ORDER, {"of_tenant": tenant, "of_sid": sid}).mappings().first()
            if other is not None:
                return bytes(other["ordered"]), None  # somebody ordered it since we looked: one order, one certificate
            if as_seen is not None:
                now = self.vault.records(tx.connection, tenant, sid)
                if {(record.rid, record.generation) for record in now} != as_seen:
                    raise Conflict("the person's data changed after it was found due")
            held = hold.standing(tx.connection, tenant, sid) is not None
            plan = plans.signed(self._draw(tx.connection, tenant, sid, tx.now, cause, eid), self.store.signer)
            entry = tx.append(
                EntryDraft(
                    kind="erase.ordered",
                    clause=clause_of(cause),
                    mechanism="right.erase",
                    actor=actor,
                    refers=proof,
                    facts={"cause": cause, "plan": plans.digest(plan)},
                ),
                opening,
                eid=eid,
            )
            tx.execute(
                INSERT,
                {
                    "ordered": entry.eid,
                    "tenant": tenant,
                    "sid": sid,
                    "cause": cause,
                    "state": "held" if held else "ordered",
                    "ordered_ms": tx.now,
                    "counts": "{}",
                    "plan": plan,
                },
            )
            if not held:
                self._begin(tx, tenant, sid, entry.eid, letter, tell)
                return entry.eid, None
            waits = tx.append(EntryDraft("erase.waits", hold.CLAUSE, "right.erase", refers=entry.eid), opening)
            tx.enqueue(GUARD_JOB, guard_ref(tenant, sid, waits.eid, WAITS))
            return entry.eid, waits

        def after(ktx: KeyTx, done: tuple[bytes, Entry | None]) -> None:
            order, waits = done
            if waits is not None:  # under an entry of its own: the order's is for the guard of what was done
                self.vault.guard(ktx, waits.eid, tenant, sid, WAITS, waits.at_ms, rid=order)

        return self.store.write(Write(body=body, after=after, lane=Lane.RIGHTS))[0]

    def go_on(self, order: bytes) -> bool:
        """Begin with an erasure that waited, now that its person is held no more; whether it did, or must wait on."""
        row = self._order(order)
        tenant, sid, language = row["tenant"], bytes(row["sid"]), self.versions.current().language
        try:
            letter = self._letter(tenant, sid, row["cause"], language)
        except NotFound:
            return False  # gone meanwhile
        tell = self._announce(tenant, sid, "erasure.ordered")

        def body(tx: DataTx) -> bool:
            if hold.standing(tx.connection, tenant, sid) is not None:
                return False  # held anew
            if not tx.execute(GOES_ON, {"of_order": order}).rowcount:
                return False
            self._begin(tx, tenant, sid, order, letter, tell)
            return True

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def wait_again(self, tenant: str, sid: bytes, order: bytes, cause: str, at_ms: int) -> None:
        """After a restore: an order that was given since the backup and waits. Its plan was lost with the data."""

        def body(tx: DataTx) -> None:
            if tx.execute(ORDER, {"of_order": order}).first() is None:
                values = {"ordered": order, "tenant": tenant, "sid": sid, "cause": cause, "state": "held"}
                tx.execute(INSERT, values | {"ordered_ms": at_ms, "counts": "{}"})

        self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def _letter(self, tenant: str, sid: bytes, cause: str, language: str) -> bytes:
        """Where the certificate goes, sealed under a day key while the person's own key still opens it."""
        closed = self.store.read(lambda c: self.vault.closed_since(c, tenant, sid)) is not None
        address = self._last_address(tenant, sid) if cause == "right" or closed else None  # both asked for it
        return self.vault.transit_seal(msgspec.json.encode({"address": address, "language": language}))

    def _begin(self, tx: DataTx, tenant: str, sid: bytes, order: bytes, letter: bytes, tell: Told) -> None:
        """From here on the gate refuses this person, and the job goes on with whatever is left."""
        self.vault.change_state(tx, tenant, sid, erasing)
        self.vault.set_mode(tx, tenant, sid, "erasing")
        tell(tx, order)
        tx.enqueue(ERASE_JOB, order.hex(), payload=letter, dedup=f"erase/{order.hex()}")

    def carry_out(self, order: bytes) -> None:
        """Steps 2 and 3, as far as they are not done; nothing while the person is held.

        Raises ``Unavailable`` where something could not be seen.
        """
        row = self._order(order)
        tenant, sid = row["tenant"], bytes(row["sid"])
        if row["state"] == "held":
            return
        if row["state"] == "ordered":
            self._make_unreadable(order, tenant, sid, row["ordered_ms"])
        if row["state"] != "gone":
            self._remove_rows(order, tenant, sid)
            self._finish(order, tenant, sid, row["cause"])

    def erase_again(
        self,
        tenant: str,
        sid: bytes,
        order: bytes,
        *,
        ordered: dict[str, Any] | None,
        done: dict[str, Any] | None,
        at_ms: int,
        known: bool,
    ) -> bool:
        """After a restore: an erasure of the time since the backup, by its guard; whether anybody had come back.

        ``ordered`` and ``done`` are its entries of that time, where the log has them; ``known`` says that the order is
        in the log at all. No letter goes out a second time.
        """
        no_letter = {"of_dedup": f"erase/{order.hex()}"}
        self.store.write(Write(body=lambda tx: tx.execute(DROP_JOB, no_letter).rowcount, lane=Lane.RIGHTS))
        row = self.store.read(lambda c: c.execute(ORDER, {"of_order": order}).mappings().first())
        if row is not None and row["state"] == "gone":
            return False
        back = self.store.read(lambda c: bool(remaining(c, tenant, sid)))
        facts = ordered["facts"] if ordered else {}
        cause = facts.get("cause", row["cause"] if row else "right")

        def body(tx: DataTx) -> None:
            if not known:  # the order was lost with the data: the guard is what is left of it
                facts = {"cause": cause, "restored": True}
                tx.append(EntryDraft("erase.ordered", clause_of(cause), "right.erase", facts=facts), eid=order)
            if row is None:
                values = {"ordered": order, "tenant": tenant, "sid": sid, "cause": cause, "state": "ordered"}
                tx.execute(INSERT, values | {"ordered_ms": ordered["at"] if ordered else at_ms, "counts": "{}"})
            told = done["facts"] if done else {}
            epoch, how = told.get("epoch") or covered[-1].epoch, told.get("class") or None
            tx.execute(UNREADABLE, {"of_order": order, "at": at_ms, "in_epoch": epoch, "how": how})

        covered: list[Cover] = []
        self.store.write(
            Write(before=lambda ktx: covered.append(self.vault.cover(ktx, tenant, sid)), body=body, lane=Lane.RIGHTS)
        )
        self._remove_rows(order, tenant, sid)
        self._finish(order, tenant, sid, cause, done=done)
        self._settle_again(order)
        return back

    def _settle_again(self, order: bytes) -> None:
        """The third time of an erasure whose epoch ended meanwhile, as the key store has it."""
        row = self._order(order)
        ended = self.store.read_keys(lambda c: c.execute(ENDED_EPOCH, {"of_epoch": row["epoch"]}).first())
        if ended is not None and row["destruction"] is None:
            values = {"of_order": order, "at": ended.destroyed_ms, "how": ended.destruction}
            self.store.write(Write(body=lambda tx: tx.execute(SETTLED_ONE, values), lane=Lane.RIGHTS))

    def job(self, job: Job) -> None:
        """The job behind an order: repeats what is left, then sends the certificate."""
        order = bytes.fromhex(job.ref)
        self.carry_out(order)
        self._send_certificate(order, job.payload)

    def certificate(self, order: bytes, tenant: str | None = None) -> Certificate:
        """What has been seen of this erasure so far; ``NotFound`` where it is not this tenant's, if one is given."""
        row = self._order(order, tenant)
        return certificate_of(row, failed=self._tried(row), held=self._held(row))

    def latest(self, tenant: str, most: int = 100) -> list[Certificate]:
        """The newest orders of this tenant, as far as each has come."""
        of = {"of_tenant": tenant, "most": most}
        rows = self.store.read(lambda c: c.execute(LATEST, of).mappings().all())
        return [certificate_of(row, failed=self._tried(row), held=self._held(row)) for row in rows]

    def _held(self, row: RowMapping) -> hold.Held | None:
        """The hold that an order waits for."""
        if row["state"] != "held":
            return None
        found = self.store.read(lambda c: hold.standing(c, row["tenant"], bytes(row["sid"])))
        return None if found is None else hold.Held(found.reason, found.until_ms)

    def draw(self, tenant: str, sid: bytes, cause: Cause = "right") -> Plan:
        """What an order given now would plan; nothing is ordered. ``NotFound`` if there is no such person."""
        return self.store.read(lambda c: self._draw(c, tenant, sid, self.store.now(), cause))

    def planned(self, order: bytes, tenant: str | None = None) -> str | None:
        """The signed plan of an order, as it is stored; None where it has none. ``NotFound`` as ``certificate``."""
        text: str | None = self._order(order, tenant)["plan"]
        return text

    def _draw(self, connection: Connection, tenant: str, sid: bytes, now: int, cause: str, order: bytes = b"") -> Plan:
        stops = len(self.vault.state_of(connection, tenant, sid)[0].stops)
        return plans.draw(connection, tenant, sid, now=now, stops=stops, cause=cause, order=order)

    def _tried(self, row: RowMapping) -> bool:
        """Whether the job behind an order that is not done has been at it and could not."""
        if row["state"] == "gone":
            return False
        dedup = {"of_dedup": f"erase/{bytes(row['ordered']).hex()}"}
        return bool(self.store.read(lambda c: c.execute(TRIED, dedup).scalar()))

    @staticmethod
    def settle(tx: DataTx, epoch: int, destruction: Destruction | None) -> None:
        """An epoch ended: the third time of everybody whose keys lay under it, and how surely they are gone."""
        how, at = (destruction.surety, destruction.at_ms) if destruction else (NONE, None)
        tx.execute(SETTLED, {"of_epoch": epoch, "at": at, "how": how})

    def _order(self, order: bytes, tenant: str | None = None) -> RowMapping:
        row = self.store.read(lambda c: c.execute(ORDER, {"of_order": order}).mappings().first())
        if row is None or tenant not in (None, row["tenant"]):
            raise NotFound("there is no such erasure", clause="rights.erase")
        return row

    def _last_address(self, tenant: str, sid: bytes) -> str | None:
        """The address the certificate goes to: the newest e-mail on record, opened for this right alone."""
        asked = {
            row.id: names
            for row in self.store.read(lambda c: c.execute(TERMS).all())
            if (names := self._addresses_of(row.version, row.point))
        }
        if not asked:
            return None
        for row in self.store.read(lambda c: self.vault.newest(c, tenant, sid, asked, NEWEST)):
            try:
                content = self.vault.open(tenant, row)
            except Damaged:
                continue  # what cannot be opened can still be erased
            for name in asked[row.terms_id]:
                if isinstance(value := content.get(name), str):
                    return value
        return None

    def _addresses_of(self, version: str, point: str) -> list[str]:
        """The fields of a point that are e-mail addresses."""
        declared = self.versions.history.version(version).points.get(point)
        return [f.name for f in declared.fields if in_category(f.category, EMAIL)] if declared else []

    def _make_unreadable(self, order: bytes, tenant: str, sid: bytes, ordered_ms: int) -> None:
        """Step 2: K first. 0 rows is success: the step may be a repetition.

        Objections are written down as suppressions once more, before the tags they are made from go: a crash may have
        kept the job behind one of them from doing so.
        """
        stops = self.store.read(lambda c: self.vault.state_of(c, tenant, sid)[0].stops)
        covers: list[Cover] = []  # as the last attempt saw it: a later epoch is a longer wait, never a shorter

        def before(ktx: KeyTx) -> None:
            for stop in sorted(stops, key=lambda s: s.purpose):
                if stop.channel in (None, "email"):
                    self.vault.suppress(ktx, tenant, sid, stop.purpose)
            covers.append(self.vault.cover(ktx, tenant, sid))
            self.vault.destroy(ktx, tenant, sid)
            self.vault.guard(ktx, order, tenant, sid, "erased", ordered_ms)

        self.store.write(Write(before=before, body=lambda tx: None, lane=Lane.RIGHTS))
        left = self.vault.look(tenant, sid)
        if left.keys or left.tags:
            raise Unavailable(
                f"{left.keys} keys and {left.tags} index entries are still there after they were destroyed: "
                "the erasure goes on as a job",
                clause="rights.erase",
            )
        self.vault.scrub()

        def body(tx: DataTx) -> None:
            cover = covers[-1]
            how = NONE if cover.open else None
            tx.execute(UNREADABLE, {"of_order": order, "at": tx.now, "in_epoch": cover.epoch, "how": how})

        self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def _remove_rows(self, order: bytes, tenant: str, sid: bytes) -> None:
        """Step 3, chunk by chunk; each chunk is counted in its own transaction, whoever removes it and when."""
        lane = Lane.RIGHTS
        while self.store.write(Write(body=self._deletion(order, tenant, sid), lane=lane)):
            lane = Lane.JOB  # few have more than one chunk: theirs go singly, behind what others wait for

    @staticmethod
    def _deletion(order: bytes, tenant: str, sid: bytes) -> Callable[[DataTx], bool]:
        def body(tx: DataTx) -> bool:
            """Whether a table had a whole chunk of rows: it may have more, and so may those behind it."""
            counts = counted(tx, order)
            more = remove_chunk(tx, tenant, sid, counts)
            tx.execute(COUNTED, {"of_order": order, "new_counts": in_order(counts)})
            return more

        return body

    def _finish(self, order: bytes, tenant: str, sid: bytes, cause: str, *, done: dict[str, Any] | None = None) -> None:
        """The last rows, the second look, and the entry *done* that refers to *ordered*: one transaction.

        After a restore ``done`` may stand in the log already: it is not said twice.
        """

        def body(tx: DataTx) -> None:
            row = tx.execute(ORDER, {"of_order": order}).mappings().one()
            if row["state"] == "gone":
                return  # the job and the request that ordered it work side by side: whoever is last finds it done
            counts = counted(tx, order)
            left = remove_last(tx, tenant, sid, counts)
            if left:
                raise Unavailable(f"rows are still there: {', '.join(left)}", clause="rights.erase")
            at, said = tx.now, done and bytes.fromhex(done["eid"])
            if done is not None:
                at = done["at"]
            else:
                facts = {"cause": cause, "rows": sum(counts.values()), "epoch": row["epoch"]}
                facts |= {"class": NONE} if row["destruction"] == NONE else {}
                draft = EntryDraft("erase.done", clause_of(cause), "right.erase", refers=order, facts=facts)
                said = tx.append(draft).eid
            tx.execute(GONE, {"of_order": order, "at": at, "done_eid": said, "new_counts": in_order(counts)})

        self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def _send_certificate(self, order: bytes, letter: bytes | None) -> None:
        """The mail with the certificate, once, to the address that was sealed before the keys died."""
        template = self.versions.current().templates.get("erase.certificate")
        try:
            opened = msgspec.json.decode(self.vault.transit_open(letter)) if letter else {}
        except NotFound:
            return  # it took so long that the address's own key was destroyed: there is nobody to write to any more
        address = opened.get("address")
        if template is None or not address:
            return
        sealed, tenant = self.vault.transit_seal(str(address).encode()), self._order(order)["tenant"]
        certificate = self.certificate(order)
        words = {"order": order.hex(), "language": opened.get("language", "en"), "certificate": certificate}
        words["link"] = f"/privacy/certificate/{order.hex()}"
        variables = self.vault.transit_seal(msgspec.json.encode(words))

        def body(tx: DataTx) -> None:
            post(
                tx,
                template,
                self.chance,
                tenant=tenant,
                sid=None,
                opening=None,
                variables=variables,
                address=sealed,
                dedup=f"certificate/{order.hex()}",
            )

        with contextlib.suppress(IntegrityError):  # the same certificate is queued already: the job is a repetition
            self.store.write(Write(body=body, lane=Lane.JOB))


def clause_of(cause: str) -> str:
    """What asks for the erasure: the right (also where a file that was brought in is taken back), or the keeping."""
    return "rights.erase" if cause in ("right", "undo") else "retain.while-used"


def counted(tx: DataTx, order: bytes) -> dict[str, int]:
    """The rows removed so far, by table, as the order's row says."""
    found: dict[str, int] = msgspec.json.decode(tx.execute(ORDER, {"of_order": order}).mappings().one()["counts"])
    return found


def in_order(counts: dict[str, int]) -> str:
    """Counts as they are stored: JSON, sorted, without zeros."""
    return msgspec.json.encode({name: count for name, count in counts.items() if count}, order="sorted").decode()


def in_category(category: str, wanted: str) -> bool:
    """Whether a field's category is ``wanted`` or below it."""
    return category == wanted or category.startswith(f"{wanted}.")


def erasing(state: State) -> State:
    """The state of somebody whose erasure was ordered: nothing is permitted but what the erasure needs."""
    return State("erasing", state.bound, frozenset(), state.stops)
