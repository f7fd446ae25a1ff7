"""The retention run: who leaves by disuse is told, what is due is erased, and a day without a run is red.

When a record is due is computed from its anchor, the person's states and the rule of the version it was collected
under; no due date is ever stored, so a change of policy touches no record. Clauses: ``retain.while-used``,
``retain.periods``. Mechanisms: ``retain.due``, ``retain.heartbeat``.
"""

from __future__ import annotations

import datetime as dt

import msgspec
from sqlalchemy import bindparam, delete, insert, select

from troth.errors import Conflict, NotFound
from troth.notice.consents import CLASS as CONSENT_CLASS
from troth.notice.versions import Versions
from troth.rights.erasers import ANSWER_DAYS, READS_DAYS, TRANSIT_DAYS
from troth.rights.erasure import Erasures
from troth.rights.everybody import Everybody, Person, letter_of
from troth.store import Lane, Store, Write, links
from troth.store.jobs import Job
from troth.store.ledger import EntryDraft
from troth.store.once import insert_once
from troth.store.outbox import post
from troth.store.tables import (
    activity,
    address_changes,
    consent_records,
    corrections,
    idempotency,
    personal_records,
    runs,
    sessions,
    subject_states,
    subjects,
)
from troth.store.writer import DataTx, KeyTx
from troth.use import credentials, person_sessions
from troth.vault import Vault
from troth.vault.retention import warned
from troth.world import DAY_MS

RETAIN_JOB = "rights.retain"
CLASSES_JOB = "rights.classes"
PERIOD_MS = 6 * 60 * 60_000  # four times a day: one missed run is not yet a day without

GENERATION = select(subjects.c.generation).where(
    subjects.c.tenant == bindparam("of_tenant"), subjects.c.sid == bindparam("of_sid")
)
TOLD = insert(subject_states)
FORGET_TOLD = delete(subject_states).where(
    subject_states.c.tenant == bindparam("of_tenant"),
    subject_states.c.sid == bindparam("of_sid"),
    subject_states.c.state == bindparam("of_state"),
)
DROP_RECORD = delete(personal_records).where(
    personal_records.c.tenant == bindparam("of_tenant"),
    personal_records.c.sid == bindparam("of_sid"),
    personal_records.c.rid == bindparam("of_rid"),
)
DROP_CORRECTIONS = delete(corrections).where(
    corrections.c.tenant == bindparam("of_tenant"),
    corrections.c.sid == bindparam("of_sid"),
    corrections.c.rid == bindparam("of_rid"),
)
OF_THE_ACCOUNT = tuple(  # what is known of an account besides its records
    delete(table).where(table.c.tenant == bindparam("of_tenant"), table.c.sid == bindparam("of_sid"))
    for table in (activity, address_changes)
)
DROP_CONSENT = delete(consent_records).where(
    consent_records.c.tenant == bindparam("of_tenant"),
    consent_records.c.sid == bindparam("of_sid"),
    consent_records.c.cid == bindparam("of_cid"),
)
OLD_SESSIONS = delete(sessions).where(sessions.c.expires_ms <= bindparam("at"))
OLD_KEYS = delete(idempotency).where(idempotency.c.at_ms <= bindparam("before"))
INSERT_RUN = insert_once(runs)  # two runs in one millisecond are one heartbeat


class Ran(msgspec.Struct, frozen=True):
    """What a run did, in counts. ``overdue`` is what it found still there afterwards: it should be 0."""

    subjects: int
    erased: int
    records: int
    overdue: int
    at: int
    warned: int


class RetentionRun:
    """Walks over everybody, a page at a time."""

    def __init__(self, store: Store, vault: Vault, versions: Versions, erasures: Erasures) -> None:
        self.store = store
        self.vault = vault
        self.erasures = erasures
        self.versions = versions
        self.everybody = Everybody(store, versions).at

    def job(self, job: Job) -> None:
        """The scheduled job."""
        self.run()

    def run(self) -> Ran:
        """Tell whom it concerns, erase what is due, look again, and record that the run took place."""
        seen = erased = records = told = 0
        now = self.store.now()
        for person in self.everybody(now):
            seen += 1
            if person.to_warn:
                told += self._warn(person)
            if not person.anything_due and person.stays:
                continue
            if person.stays:
                records += self._drop(person)
            else:
                seen_of = frozenset((record.rid, person.generation) for record in person.due)
                try:
                    done = self.erasures.erase(
                        person.tenant, person.sid, cause="retention", actor="system", as_seen=seen_of
                    )
                except Conflict:
                    continue  # something was added or chosen meanwhile: the next run looks again
                except NotFound:
                    continue  # erased by another meanwhile
                if done.state != "gone":
                    continue  # ordered, and not done: its own job goes on
                erased += 1
                records += len(person.due)
        overdue = sum(1 for person in self.everybody(now) if person.anything_due)
        ran = self._record(seen, erased, records, overdue, told)
        self.vault.scrub()  # the day keys that ended go out of K's files too
        return ran

    def _warn(self, person: Person) -> int:
        """Tell somebody that their account ends by disuse, and until when they can keep it; 1, or 0 if not now."""
        policy = self.versions.current()
        template = letter_of(policy)
        try:
            opening = self.vault.opening(person.tenant, person.sid)
        except NotFound:
            return 0  # erased by another meanwhile
        ends = max(end for _, end in person.to_warn)
        until = dt.datetime.fromtimestamp(ends / 1000, tz=dt.UTC).date().isoformat()
        words = self.vault.transit_seal(msgspec.json.encode({"language": policy.language, "until": until}))
        of = {"of_tenant": person.tenant, "of_sid": person.sid}

        def body(tx: DataTx) -> int:
            if template is None or tx.execute(GENERATION, of).scalar() != person.generation:
                return 0  # they came back meanwhile: the next run looks again
            for state, end in person.to_warn:
                facts = {"state": state, "until": end}
                tx.append(EntryDraft("retention.warned", "retain.while-used", "retain.due", facts=facts), opening)
                tx.execute(FORGET_TOLD, of | {"of_state": warned(state)})
                row = {"tenant": person.tenant, "sid": person.sid, "state": warned(state)}
                tx.execute(TOLD, row | {"since_ms": tx.now, "until_ms": None})
            chance = self.store.randomness
            post(tx, template, chance, tenant=person.tenant, sid=person.sid, opening=opening, variables=words)
            return 1

        return self.store.write(Write(body=body, lane=Lane.JOB))

    def _drop(self, person: Person) -> int:
        """Erase some records of somebody who stays: the key of a class goes with its last record."""
        try:
            opening = self.vault.opening(person.tenant, person.sid)
        except NotFound:
            return 0  # erased by another meanwhile
        kept = {record.class_ for record in person.left} | ({CONSENT_CLASS} if person.consents_left else set())
        over = {record.class_ for record in person.due} | ({CONSENT_CLASS} if person.consents_due else set())
        ended = sorted(over - kept)
        of = {"of_tenant": person.tenant, "of_sid": person.sid}

        def body(tx: DataTx) -> int:
            if tx.execute(GENERATION, of).scalar() != person.generation:
                return 0  # they chose, came back or went meanwhile: the next run looks again
            for record in person.due:
                tx.execute(DROP_RECORD, {**of, "of_rid": record.rid})
                tx.execute(DROP_CORRECTIONS, {**of, "of_rid": record.rid})
            for cid in person.consents_due:
                tx.execute(DROP_CONSENT, {**of, "of_cid": cid})
            if person_sessions.CLASS in ended:  # the account is over: nobody signs in to it any more
                for statement in OF_THE_ACCOUNT:
                    tx.execute(statement, of)
                credentials.drop_all(tx, person.tenant, person.sid)
                person_sessions.end_of_account(tx, person.tenant, person.sid)
            tx.append(
                EntryDraft(
                    kind="retention.records",
                    clause="retain.while-used",
                    mechanism="retain.due",
                    facts={"records": len(person.due), "consents": len(person.consents_due), "classes": ended},
                ),
                opening,
            )
            if ended:
                place = f"{person.tenant}/{person.sid.hex()}/{','.join(ended)}"
                tx.enqueue(CLASSES_JOB, place)  # no dedup: once done, no row is left that names the person
            return len(person.due)

        return self.store.write(Write(body=body, lane=Lane.JOB))

    def end_classes(self, job: Job) -> None:
        """The job behind a record's end: the key of a class goes with its last record, and out of K's files."""
        tenant, sid, classes = job.ref.split("/", 2)

        def after(ktx: KeyTx, _: None) -> None:
            self.vault.end_classes(ktx, tenant, bytes.fromhex(sid), classes.split(","))

        self.store.write(Write(body=lambda tx: None, after=after, lane=Lane.JOB))
        self.vault.scrub()

    def _record(self, seen: int, erased: int, records: int, overdue: int, told: int) -> Ran:
        """The heartbeat, and the housekeeping of what has a fixed life."""
        today = self.store.now() // DAY_MS

        def before(ktx: KeyTx) -> None:
            self.vault.drop_days(ktx, "transit", today - TRANSIT_DAYS)
            self.vault.drop_days(ktx, "reads", today - READS_DAYS)

        def body(tx: DataTx) -> Ran:
            ran = Ran(seen, erased, records, overdue, tx.now, told)
            facts = {"subjects": seen, "erased": erased, "records": records, "overdue": overdue, "warned": told}
            tx.append(
                EntryDraft(kind="retention.run", clause="retain.while-used", mechanism="retain.heartbeat", facts=facts)
            )
            text = msgspec.json.encode(facts, order="sorted").decode()
            tx.execute(INSERT_RUN, {"kind": "retention", "at_ms": tx.now, "ok": overdue == 0, "facts": text})
            links.sweep(tx)
            tx.execute(OLD_SESSIONS, {"at": tx.now})
            tx.execute(OLD_KEYS, {"before": tx.now - ANSWER_DAYS * DAY_MS})
            return ran

        return self.store.write(Write(before=before, body=body, lane=Lane.JOB))
