"""After an older backup was put in place: what happened since is applied again, before anybody is served.

The guards in the key store say what was taken away after the backup; nothing but a new act of the person gives it
back. The ledger holds every entry again (``store.restoring``), so what it says of mails, products and staff counts.
Mail that waited is never sent: nobody knows whether it went. Each step can be repeated.
Clauses: ``rights.erase``, ``rights.object-marketing``, ``protect.storage``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import BindParameter, Text, bindparam, delete, literal_column, select, tuple_, update

from troth.errors import NotFound, StartRefused
from troth.notice.consents import CLASS as CONSENT_CLASS
from troth.notice.versions import Versions
from troth.policy.model import Stop
from troth.rights import delegation
from troth.rights.erasure import WAITS, Erasures
from troth.rights.hold import MOST_DAYS
from troth.rights.holding import GUARD, Holds
from troth.rights.objection import Objections
from troth.rights.restriction import Restrictions
from troth.rights.retention import RetentionRun
from troth.store import Lane, Store, Write
from troth.store.ledger import EntryDraft, opening_key, opens
from troth.store.once import insert_once
from troth.store.restoring import Gap
from troth.store.tables import (
    Id,
    Ms,
    consent_records,
    data_keys,
    guards,
    heads,
    jobs,
    ledger,
    links,
    messages,
    personal_records,
    products,
    runs,
    sessions,
    subjects,
    tags,
)
from troth.store.writer import DataTx, KeyTx
from troth.use import credentials
from troth.use import operators as staff
from troth.use.handover_keys import HandoverKeys
from troth.use.letters import UNDECLARED
from troth.vault import Vault
from troth.world import DAY_MS

KIND = "restore"
UNKNOWN_REASON = "a restore from a backup: it is not known whether it was sent, and it is not sent again"
PAGE = 500

SINCE = (
    select(ledger.c.seq, ledger.c.eid, ledger.c.at_ms, ledger.c.kind, ledger.c.body)
    .where(ledger.c.seq >= bindparam("first"), ledger.c.seq < bindparam("end"))
    .order_by(ledger.c.seq)
)
MOST: BindParameter[int] = bindparam("most")
GUARDS = select(guards).where(guards.c.id > bindparam("after_id")).order_by(guards.c.id).limit(MOST)
SEQ = select(ledger.c.seq).where(ledger.c.eid == bindparam("of_eid"))
AFTER = (bindparam("after_tenant", type_=Text), bindparam("after_sid", type_=Id))
PEOPLE = (
    select(subjects.c.tenant, subjects.c.sid)
    .where(tuple_(subjects.c.tenant, subjects.c.sid) > tuple_(*AFTER))
    .order_by(subjects.c.tenant, subjects.c.sid)
    .limit(MOST)
)
PERSON: tuple[Any, Any] = (bindparam("of_tenant"), bindparam("of_sid"))
CLASSES = select(data_keys.c.class_).where(data_keys.c.tenant == PERSON[0], data_keys.c.sid == PERSON[1])
HELD = (
    select(personal_records.c.class_)
    .where(personal_records.c.tenant == PERSON[0], personal_records.c.sid == PERSON[1])
    .distinct()
)
DROP_CLASS = delete(personal_records).where(
    personal_records.c.tenant == PERSON[0],
    personal_records.c.sid == PERSON[1],
    personal_records.c.class_ == bindparam("of_class"),
)
DROP_CONSENTS = delete(consent_records).where(consent_records.c.tenant == PERSON[0], consent_records.c.sid == PERSON[1])
BLANK = [
    delete(table).where(table.c.tenant == PERSON[0], table.c.sid == PERSON[1], column == bindparam("of_rid"))
    for table, column in ((personal_records, personal_records.c.rid), (consent_records, consent_records.c.cid))
]
WAITING = select(messages.c.id, messages.c.eid, messages.c.state).where(messages.c.state.in_(("queued", "sending")))
MESSAGE = (
    update(messages).where(messages.c.id == bindparam("of_id")).values(state=bindparam("to"), ended_ms=bindparam("at"))
)
MESSAGE_EID = update(messages).where(messages.c.id == bindparam("of_id")).values(eid=bindparam("by_eid"))
UNENDED = ("message.queued", "message.sending", "message.deferred")
DROP_JOBS = delete(jobs).where(jobs.c.kind.not_in(bindparam("kept", expanding=True)), jobs.c.state != "done")
DROP_SESSIONS = delete(sessions)
DROP_LINKS = delete(links).where(links.c.kind != literal_column("'unsubscribe'"))
END_PRODUCT = (
    update(products)
    .where(products.c.id == bindparam("of_id"), products.c.ended_ms.is_(None))
    .values(ended_ms=bindparam("at"))
)
BORN = (data_keys.c.created_ms, data_keys.c.tenant, data_keys.c.sid)
MADE_SINCE = (
    select(*BORN)
    .where(
        data_keys.c.class_ == literal_column("''"),
        data_keys.c.created_ms >= bindparam("after_created_ms", type_=Ms),
        tuple_(*BORN) > tuple_(bindparam("after_created_ms", type_=Ms), *AFTER),
    )
    .order_by(*BORN)
    .limit(MOST)
)
THERE = select(subjects.c.tenant, subjects.c.sid).where(
    tuple_(subjects.c.tenant, subjects.c.sid).in_(bindparam("these", expanding=True))
)
LOST_BEFORE = (
    select(tags.c.tenant, tags.c.sid)
    .where(tags.c.state == "lost", tuple_(tags.c.tenant, tags.c.sid) > tuple_(*AFTER))
    .distinct()
    .order_by(tags.c.tenant, tags.c.sid)
    .limit(MOST)
)
NEW_EPOCH = update(heads).values(data_epoch=heads.c.data_epoch + 1)
ADD_RUN = insert_once(runs)


OTHERS = ("lifted", "unrestricted", GUARD, WAITS)  # what the others are read with, or nothing to take away
FIRST = (-1, -1.0, -1)  # before every guard


def since(guard: Any, seq: int | None) -> tuple[int, float, int]:
    """Where a guard stands among the others, by its entry: a job may have written the row much later.

    An entry that the log does not have was lost after all that it has.
    """
    return guard.at_ms, math.inf if seq is None else seq, guard.id


class Restored(msgspec.Struct, frozen=True):
    """What a restore did. The log went on from ``size`` to ``until`` after the backup; of that time the data is lost
    but for what took something away. ``lost`` people came in then: their keys are kept for a month.
    """

    size: int
    until: int
    since_ms: int
    at: int
    erased: int
    stopped: int
    blanked: int
    mails: int
    lost: int


class Restoration:
    """Applies what the key store and the ledger know to data of an older day. Nobody else may be at work."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        erasures: Erasures,
        objections: Objections,
        restrictions: Restrictions,
        holds: Holds,
        retention: RetentionRun,
        handover_keys: HandoverKeys,
        *,
        kept_jobs: Collection[str],
        recall: Callable[[str], tuple[str, str | None] | None],
    ) -> None:
        """``kept_jobs`` owe nobody a mail. ``recall`` finds the text and bindings of a policy by its hash."""
        self.store = store
        self.vault = vault
        self.versions = versions
        self.erasures = erasures
        self.objections = objections
        self.restrictions = restrictions
        self.holds = holds
        self.retention = retention
        self.handover_keys = handover_keys
        self._kept = list(kept_jobs)
        self._recall = recall

    def apply(self, gap: Gap) -> Restored:
        """Do everything that has to be done before anybody is served. ``StartRefused`` where data would come back."""
        found = [self._read(row) for row in self._since(gap)]
        self._policies(found)
        guarded = self._require_guards(found)
        self._close_doors(found)
        erased = self._erase(found, gap)
        stopped, blanked = self._take_away(found, gap)
        stopped += self._unguarded(found, guarded) + self._hold(found, gap)
        self._require_keys()
        blanked += self._without_key()
        mails = self._void_mail(found)
        self.retention.run()
        lost = self._lost(gap.made_ms)

        def body(tx: DataTx) -> Restored:
            done = Restored(gap.size, gap.until, gap.made_ms, tx.now, erased, stopped, blanked, mails, lost)
            facts = {name: value for name, value in msgspec.to_builtins(done).items() if name != "at"}
            tx.append(EntryDraft("backup.restored", "protect.storage", "vault.sealed", facts=facts))
            told = msgspec.json.encode(facts, order="sorted").decode()
            tx.execute(ADD_RUN, {"kind": KIND, "at_ms": tx.now, "ok": True, "facts": told})
            return done

        def before(ktx: KeyTx) -> None:
            ktx.execute(NEW_EPOCH)

        return self.store.write(Write(before=before, body=body, lane=Lane.JOB))

    # --- what the ledger says of the time since ---

    def _since(self, gap: Gap) -> Iterator[Any]:
        for first in range(gap.size, gap.until, PAGE):
            yield from self._rows(SINCE, {"first": first, "end": min(first + PAGE, gap.until)})

    @staticmethod
    def _read(row: Any) -> dict[str, Any]:
        """An entry as its body says, with the body itself."""
        entry: dict[str, Any] = msgspec.json.decode(row.body)
        return entry | {"body": bytes(row.body), "facts": entry.get("facts", {})}

    def _policies(self, found: list[dict[str, Any]]) -> None:
        """Versions that were published since: their texts must be at hand, since the ledger holds their hashes only."""
        for entry in found:
            if entry["kind"] != "policy.published":
                continue
            facts = entry["facts"]
            if any(version.sha256 == facts["sha256"] for version in self.versions.history.versions):
                continue
            text = self._recall(facts["sha256"])
            if text is None:
                raise StartRefused(
                    f"version {facts['version']} of the policy was published after this backup was made: put its text "
                    "into the data folder (any name that ends in .md) and repeat the restore",
                    clause="changes.publish",
                )
            self.versions.put_back(*text, published_ms=entry["at"], eid=bytes.fromhex(entry["eid"]))

    def _require_guards(self, found: list[dict[str, Any]]) -> set[str]:
        """Every erasure that was done since must have its guard; the eids of all guards."""
        eids = {bytes(row.eid).hex() for row in self._guards()}
        missing = [e for e in found if e["kind"] == "erase.done" and e["refers"] not in eids]
        if missing:
            raise StartRefused(
                f"the key store does not know {len(missing)} erasures that the log does: it is not the newest copy",
                clause="rights.erase",
            )
        return eids

    def _close_doors(self, found: list[dict[str, Any]]) -> None:
        """Sessions and single-use links go; what people, products and staff lost since stays lost; no mail waits."""
        facts = [(entry["kind"], entry["facts"], entry["at"]) for entry in found]

        def body(tx: DataTx) -> None:
            tx.execute(DROP_SESSIONS)
            tx.execute(DROP_LINKS)
            tx.execute(DROP_JOBS, {"kept": self._kept})
            for ended in (told for kind, told, _ in facts if kind == "delegation.ended"):
                delegation.take_back(tx, bytes.fromhex(ended["delegation"]))
            for entry in found:
                if "refers" in entry:
                    credentials.take_again(tx, entry["kind"], bytes.fromhex(entry["refers"]))
            for kind, told, at in facts:
                if kind == "product.ended":
                    tx.execute(END_PRODUCT, {"of_id": bytes.fromhex(told["product"]), "at": at})
                elif kind == "operator.ended":
                    staff.take_means(tx, bytes.fromhex(told["operator"]), "ended")
                elif kind == "operator.invited" and told.get("again"):  # who took that up since is invited once more
                    staff.take_means(tx, bytes.fromhex(told["operator"]), "invited")

        self.store.write(Write(body, lane=Lane.JOB))
        for kind, told, _ in facts:
            if kind == "product.handover" and not told["key"]:
                try:
                    self.handover_keys.stop(bytes.fromhex(told["product"]))
                except NotFound:
                    continue  # a product that came and went since

    # --- what the guards say ---

    def _guards(self) -> Iterator[Any]:
        for page in self._pages(self._key_rows, GUARDS, id=0):
            yield from page

    def _people(self) -> Iterator[Any]:
        for page in self._pages(self._rows, PEOPLE, tenant="", sid=b""):
            yield from page

    def _erase(self, found: list[dict[str, Any]], gap: Gap) -> int:
        """Nobody comes back: everybody with a guard of an erasure is gone again, under the order they had."""
        done = {entry["refers"]: entry for entry in found if entry["kind"] == "erase.done"}
        ordered = {entry["eid"]: entry for entry in found if entry["kind"] == "erase.ordered"}
        count = 0
        for row in self._guards():
            if row.kind != "erased":
                continue
            eid = bytes(row.eid)
            count += self.erasures.erase_again(
                row.tenant,
                bytes(row.sid),
                eid,
                ordered=ordered.get(eid.hex()),
                done=done.get(eid.hex()),
                at_ms=row.at_ms,
                known=self._seq(eid) is not None,
            )
        return count

    def _seq(self, eid: bytes) -> int | None:
        found = self._rows(SEQ, {"of_eid": eid})
        return found[0].seq if found else None

    def _take_away(self, found: list[dict[str, Any]], gap: Gap) -> tuple[int, int]:
        """(stops and restrictions, records) that guards of the time since took away."""
        stopped = blanked = 0
        grounds = {e["eid"]: e["facts"]["ground"] for e in found if e["kind"] == "restriction.begun"}
        freed: dict[tuple[str, bytes], tuple[int, float, int]] = {}
        for row in self._guards():
            if row.kind == "unrestricted":
                whose, seq = (row.tenant, bytes(row.sid)), self._seq(bytes(row.eid))
                freed[whose] = max(freed.get(whose, FIRST), since(row, seq))
        for row in self._guards():
            seq = self._seq(bytes(row.eid))
            if row.kind == "erased" or (seq is not None and seq < gap.size):
                continue
            tenant, sid = row.tenant, bytes(row.sid)
            if not self._exists(tenant, sid):
                continue
            if row.kind in ("objected", "withdrawn"):
                self._stop(tenant, sid, msgspec.json.decode(row.stops or "[]", type=list[Stop]))
                stopped += 1
            elif row.kind == "restricted":
                if freed.get((tenant, sid), FIRST) < since(row, seq):
                    ground = grounds.get(bytes(row.eid).hex(), "claims")
                    self.restrictions.restrict_again(tenant, sid, bytes(row.eid), ground, row.at_ms)
                    stopped += 1
            elif row.kind in ("rectified", "record_gone"):
                of = {"of_tenant": tenant, "of_sid": sid, "of_rid": bytes(row.rid or b"")}
                blanked += sum(self._change(each, of) for each in BLANK)
            elif row.kind not in OTHERS:  # what was lifted since stays: the person may ask again
                raise StartRefused(f"the key store holds a guard of an unknown kind ({row.kind}): use a newer Troth")
        return stopped, blanked

    def _hold(self, found: list[dict[str, Any]], gap: Gap) -> int:
        """Who was held since is held again, to the end that the log names, and what waited for it waits; how many."""
        entries = {entry["eid"]: entry for entry in found}
        ended = {entry["refers"] for entry in found if entry["kind"] == "hold.ended"}
        count = 0
        for entry in found:  # first: what ends one hold must not free whoever another was set on since
            if entry["kind"] == "hold.ended":
                self.holds.end_again(bytes.fromhex(entry["refers"]), entry["at"], entry["facts"]["by"])
        for row in self._guards():
            eid, tenant, sid = bytes(row.eid), row.tenant, bytes(row.sid)
            seq = self._seq(eid)
            if row.kind not in (GUARD, WAITS) or (seq is not None and seq < gap.size):
                continue
            entry = entries.get(eid.hex(), {})
            facts, here = entry.get("facts", {}), self._exists(tenant, sid)
            if here and row.kind == WAITS:
                order = entry.get("refers") or bytes(row.rid or b"").hex()
                cause = entries.get(order, {}).get("facts", {}).get("cause", "right")
                if order:
                    self.erasures.wait_again(tenant, sid, bytes.fromhex(order), cause, row.at_ms)
            elif here and eid.hex() not in ended:
                # of an entry that was lost the reason and the end are not known: as long as may be
                until = facts.get("until", row.at_ms + MOST_DAYS * DAY_MS)
                self.holds.set_again(tenant, sid, eid, facts.get("reason", "claims"), row.at_ms, until)
                count += 1
            elif row.kind == GUARD and seq is not None and eid.hex() not in ended:
                self.holds.lost(eid)
        for entry in found:
            if entry["kind"] == "hold.renewed":
                facts = entry["facts"]
                self.holds.renew_again(bytes.fromhex(entry["refers"]), facts["reason"], entry["at"], facts["until"])
        self.holds.release()
        return count

    def _stop(self, tenant: str, sid: bytes, stops: list[Stop]) -> None:
        def body(tx: DataTx) -> None:
            for stop in stops:
                self.objections.stop_again(tx, tenant, sid, stop)

        self.store.write(Write(body, lane=Lane.RIGHTS))

    def _exists(self, tenant: str, sid: bytes) -> bool:
        return self.store.read(lambda connection: self.vault.exists(connection, tenant, sid))

    def _unguarded(self, found: list[dict[str, Any]], guarded: set[str]) -> int:
        """Objections that D alone knew of when it was lost: whose they are is found by their commitment."""
        owed = [e for e in found if e["kind"] == "objection.made" and e["eid"] not in guarded]
        for entry in owed:
            eid = bytes.fromhex(entry["eid"])
            channel = entry["facts"].get("channel", "*")
            stop = Stop(entry["purpose"], None if channel == "*" else channel)
            for row in self._people():
                try:
                    secret = self.vault.opening(row.tenant, bytes(row.sid))
                except NotFound:
                    continue
                if opens(opening_key(secret, eid), entry["body"]):
                    self._stop(row.tenant, bytes(row.sid), [stop])
                    job = self.objections.guard_write(row.tenant, bytes(row.sid), eid, stop, entry["at"])
                    self.store.write(job)
        return len(owed)

    # --- what the keys say ---

    def _require_keys(self) -> None:
        keyless = self.vault.repair.keyless()
        if keyless:
            raise StartRefused(
                f"{len(keyless)} people of the backup have no key and were not erased: the key store is not the newest "
                "copy, or is damaged; put its newest copy in place and repeat the restore"
            )

    def _without_key(self) -> int:
        """Records of a retention class whose key was destroyed since: they were over, and are gone again."""
        gone = 0
        for row in self._people():
            of = {"of_tenant": row.tenant, "of_sid": bytes(row.sid)}
            keyed = {key.class_ for key in self._key_rows(CLASSES, of)}
            for held in self._rows(HELD, of):
                if held.class_ not in keyed:
                    gone += self._change(DROP_CLASS, of | {"of_class": held.class_})
            if CONSENT_CLASS not in keyed:
                gone += self._change(DROP_CONSENTS, of)
        return gone

    def _lost(self, since: int) -> int:
        """How many people came in after the backup: their keys are kept, and their addresses are free for them."""
        lost = 0
        for page in self._pages(self._key_rows, MADE_SINCE, created_ms=since, tenant="", sid=b""):
            these = [(row.tenant, row.sid) for row in page]
            missing = set(these) - {tuple(row) for row in self._rows(THERE, {"these": these})}
            lost += len(missing)
            self.store.write_keys(partial(self._lose, missing))
        for page in self._pages(self._key_rows, LOST_BEFORE, tenant="", sid=b""):
            here = [tuple(row) for row in self._rows(THERE, {"these": [tuple(row) for row in page]})]
            self.store.write_keys(partial(self._regain, here))
        return lost

    def _lose(self, people: Collection[tuple[str, bytes]], ktx: KeyTx) -> None:
        for tenant, sid in people:
            self.vault.lose(ktx, tenant, sid)

    def _regain(self, people: Collection[tuple[str, bytes]], ktx: KeyTx) -> None:
        for tenant, sid in people:
            self.vault.regain(ktx, tenant, sid)

    # --- mail ---

    def _void_mail(self, found: list[dict[str, Any]]) -> int:
        """Every message gets the outcome that the ledger has; one that has none is unknown, and says so there."""
        last = {
            bytes(row.id).hex(): (bytes(row.eid or b"").hex(), f"message.{row.state}", UNDECLARED)
            for row in self._rows(WAITING)
        }
        here = frozenset(last)
        for entry in found:
            if entry["kind"].startswith("message.") and "message" in entry["facts"]:
                last[entry["facts"]["message"]] = (entry["eid"], entry["kind"], entry["clause"])
        voided = 0
        for mid, (eid, kind, clause) in last.items():
            if kind in UNENDED:
                self._tell_unknown(mid, eid, clause, here=mid in here)
                voided += 1
            elif mid in here:
                self._change(MESSAGE, {"of_id": bytes.fromhex(mid), "to": kind[8:], "at": self.store.now()})
        return voided

    def _tell_unknown(self, mid: str, eid: str, clause: str, *, here: bool) -> None:
        facts = {"message": mid, "reason": UNKNOWN_REASON}
        refers = bytes.fromhex(eid) or None
        draft = EntryDraft("message.unknown", clause, "message.declared", refers=refers, facts=facts)

        def body(tx: DataTx) -> None:
            eid = tx.append(draft).eid
            if here:
                tx.execute(MESSAGE, {"of_id": bytes.fromhex(mid), "to": "unknown", "at": tx.now})
                tx.execute(MESSAGE_EID, {"of_id": bytes.fromhex(mid), "by_eid": eid})

        self.store.write(Write(body, lane=Lane.JOB))

    # --- rows ---

    def _rows(self, statement: Any, values: Any = None) -> Sequence[Any]:
        return self.store.read(lambda connection: connection.execute(statement, values or {}).all())

    def _key_rows(self, statement: Any, values: Any) -> Sequence[Any]:
        return self.store.read_keys(lambda connection: connection.execute(statement, values).all())

    @staticmethod
    def _pages(read: Callable[[Any, Any], Sequence[Any]], statement: Any, **after: Any) -> Iterator[Sequence[Any]]:
        """A long answer in pages, each of what stands after the last row before it."""
        while rows := read(statement, {"most": PAGE} | {f"after_{name}": value for name, value in after.items()}):
            yield rows
            after = {name: getattr(rows[-1], name) for name in after}

    def _change(self, statement: Any, values: Any) -> int:
        return self.store.write(Write(lambda tx: tx.execute(statement, values).rowcount, lane=Lane.RIGHTS))
