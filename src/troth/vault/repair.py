"""What a crash between the two stores left behind, put right: before the port opens, and every ten minutes.

Keys without a subject (a create that died between K and D) are swept: D first gets a ``void`` subject with that id,
which fences off a late create by its primary key, and the entry; then K's rows go; then the void row. Each step can
be repeated, and a sweep that died is finished by the next. Guards that are owed are jobs (``hasten``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BindParameter, bindparam, delete, func, literal_column, select, tuple_, update

from troth.errors import NotFound, StartRefused
from troth.policy.model import UNKNOWN
from troth.store.ledger import EntryDraft
from troth.store.once import insert_once
from troth.store.open import Store
from troth.store.tables import data_keys, jobs, runs, subjects
from troth.store.transaction import DataTx, KeyTx, Lane, Write
from troth.vault.keys import Keyring
from troth.vault.states import state_id
from troth.vault.subjects import THERE

log = logging.getLogger("troth.vault")

KIND = "repair"
AGE_MS = 600_000  # a create is given this long to reach D
OVERLAP_MS = 3_600_000  # how far a sweep reaches back behind the last one, whatever clocks do
KEEP_RUNS_MS = 30 * 86_400_000
PAGE = 500

K = data_keys.c
SECRET = K.class_ == literal_column("''")  # written out, so that the partial index serves
BORN = (
    select(K.tenant, K.sid, K.created_ms)
    .where(SECRET, K.created_ms < bindparam("before_ms"), K.created_ms >= bindparam("from_ms"))
    .order_by(K.created_ms, K.tenant, K.sid)
    .limit(PAGE)
)
BORN_AFTER = BORN.where(
    tuple_(K.created_ms, K.tenant, K.sid)
    > tuple_(bindparam("after_ms"), bindparam("after_tenant"), bindparam("after_sid"))
)
OF_THESE: BindParameter[Any] = bindparam("these", expanding=True)
THERE_NOW = select(subjects.c.tenant, subjects.c.sid).where(
    tuple_(subjects.c.tenant, subjects.c.sid).in_(OF_THESE), subjects.c.mode != "void"
)
VOIDS = select(subjects.c.tenant, subjects.c.sid).where(subjects.c.mode == literal_column("'void'")).limit(PAGE)
FENCE = insert_once(subjects)
UNFENCE = delete(subjects).where(
    subjects.c.tenant == bindparam("of_tenant"), subjects.c.sid == bindparam("of_sid"), subjects.c.mode == "void"
)
PEOPLE = (
    select(subjects.c.tenant, subjects.c.sid)
    .where(subjects.c.mode.in_(THERE))
    .order_by(subjects.c.tenant, subjects.c.sid)
    .limit(PAGE)
)
PEOPLE_AFTER = PEOPLE.where(
    tuple_(subjects.c.tenant, subjects.c.sid) > tuple_(bindparam("after_tenant"), bindparam("after_sid"))
)
KEYED = select(K.tenant, K.sid).where(SECRET, tuple_(K.tenant, K.sid).in_(OF_THESE))
ANY_PERSON = select(subjects.c.sid).where(subjects.c.mode.in_(THERE)).limit(1)
ANY_KEY = select(K.sid).where(SECRET).limit(1)
LAST_RUN = select(func.max(runs.c.at_ms)).where(runs.c.kind == KIND, runs.c.ok)
RESTORES = select(runs.c.at_ms, runs.c.facts).where(runs.c.kind == "restore", runs.c.at_ms >= bindparam("since"))
ADD_RUN = insert_once(runs)  # two runs in one millisecond are one heartbeat
OLD_RUNS = delete(runs).where(runs.c.kind == KIND, runs.c.at_ms < bindparam("before_ms"))
HASTEN = (
    update(jobs)
    .where(jobs.c.kind.in_(bindparam("kinds", expanding=True)), jobs.c.state.in_(("ready", "leased", "failed")))
    .values(state="ready", run_ms=bindparam("at"), lease_ms=None)
)

Place = tuple[str, bytes]


class Born(NamedTuple):
    """A subject's secret in K, and when it was made."""

    tenant: str
    sid: bytes
    created_ms: int


@dataclass(frozen=True)
class Repaired:
    """What one run found: keys seen, orphans swept, sweeps of earlier runs finished."""

    seen: int
    voided: int
    finished: int


class Repair:
    """The sweep. One at a time; idempotent."""

    def __init__(self, store: Store, ring: Keyring) -> None:
        self._store = store
        self._ring = ring

    def require_keys(self) -> None:
        """Raise ``StartRefused`` where there is data but no key at all: K was lost or swapped for an empty one."""
        if self._store.read_keys(lambda c: c.execute(ANY_KEY).first()) is not None:
            return
        if self._store.read(lambda c: c.execute(ANY_PERSON).first()) is not None:
            raise StartRefused("the key store is empty but the data is not: put the newest copy of the key store back")

    def run(self, *, everything: bool = False) -> Repaired:
        """Sweep keys older than ten minutes that have no subject, and write the run's heartbeat.

        Reaches back to the last clean run, or over all keys with ``everything``.
        """
        started = self._store.now()
        finished = self._finish_voids()
        spared = self._spared(started)
        last = None if everything else self._store.read(lambda c: c.execute(LAST_RUN).scalar())
        seen = voided = 0
        after: Born | None = None
        while True:
            rows = self._born(started - AGE_MS, 0 if last is None else last - AGE_MS - OVERLAP_MS, after)
            if not rows:
                break
            seen += len(rows)
            for place in self._without_subject([(row.tenant, row.sid) for row in rows if not spared(row.created_ms)]):
                voided += self._sweep(*place)
            after = rows[-1]
        done = Repaired(seen, voided, finished)
        self._store.write(Write(lambda tx: self._beat(tx, started, done), lane=Lane.JOB))
        if voided or finished:
            log.warning("repair: %d keys without subject swept, %d sweeps finished", voided, finished)
        return done

    def keyless(self) -> list[Place]:
        """(tenant, sid) of subjects in D without a secret in K: their data is lost. For start and doctor."""
        lost: list[Place] = []
        after: Place | None = None
        while True:
            page = self._people(after)
            if not page:
                return lost
            lost += self._without_secret(page)
            after = page[-1]

    def hasten(self, kinds: Collection[str]) -> int:
        """Make jobs of these kinds due now, also failed and leased ones: before the port opens nobody else runs them.

        How what a crash left owing (guards, erasures) is done first: ``hasten``, then the registry's ``run_due``.
        """
        values = {"kinds": list(kinds)}
        return self._store.write(Write(lambda tx: tx.execute(HASTEN, values | {"at": tx.now}).rowcount, lane=Lane.JOB))

    # --- inside ---

    def _spared(self, now: int) -> Callable[[int], bool]:
        """Keys of people whose data a restore lost are kept for a month: a newer backup may be found."""
        rows = self._store.read(lambda c: c.execute(RESTORES, {"since": now - KEEP_RUNS_MS}).all())
        spans = [(msgspec.json.decode(row.facts)["since_ms"], row.at_ms) for row in rows]
        return lambda created_ms: any(since <= created_ms <= at for since, at in spans)

    def _born(self, before: int, since: int, after: Born | None) -> list[Born]:
        statement = BORN
        values: dict[str, Any] = {"before_ms": before, "from_ms": since}
        if after is not None:
            statement = BORN_AFTER
            values |= {"after_ms": after.created_ms, "after_tenant": after.tenant, "after_sid": after.sid}
        return self._store.read_keys(lambda c: [Born(*row) for row in c.execute(statement, values)])

    def _people(self, after: Place | None) -> list[Place]:
        statement = PEOPLE
        values: dict[str, Any] = {}
        if after is not None:
            statement, values = PEOPLE_AFTER, {"after_tenant": after[0], "after_sid": after[1]}
        return self._store.read(lambda c: [(row.tenant, row.sid) for row in c.execute(statement, values)])

    def _without_subject(self, these: list[Place]) -> list[Place]:
        there = self._store.read(lambda c: {tuple(row) for row in c.execute(THERE_NOW, {"these": these})})
        return [place for place in these if place not in there]

    def _without_secret(self, these: list[Place]) -> list[Place]:
        keyed = self._store.read_keys(lambda c: {tuple(row) for row in c.execute(KEYED, {"these": these})})
        return [place for place in these if place not in keyed]

    def _sweep(self, tenant: str, sid: bytes) -> bool:
        """Fence, destroy, take the fence away. False if a subject arrived meanwhile."""
        try:
            opening = self._ring.opening(tenant, sid)
        except NotFound:
            return False  # gone by now

        def fence(tx: DataTx) -> bool:
            row = {
                "tenant": tenant,
                "sid": sid,
                "state_id": state_id(tx, UNKNOWN),
                "mode": "void",
                "generation": 1,
                "created_ms": tx.now,
                "last_use_ms": tx.now,
            }
            if tx.execute(FENCE, row).rowcount == 0:
                return False
            tx.append(EntryDraft("subject.voided", "protect.storage", "vault.sealed"), opening)
            return True

        def destroy(ktx: KeyTx, fenced: bool) -> None:
            if fenced:
                self._ring.destroy(ktx.connection, tenant, sid)

        if not self._store.write(Write(fence, after=destroy, lane=Lane.JOB)):
            return False
        self._unfence(tenant, sid)
        return True

    def _finish_voids(self) -> int:
        """Void rows are from a sweep that died: what they fence off in K goes, then they go."""
        finished = 0
        while voids := self._store.read(lambda c: c.execute(VOIDS).all()):
            for row in voids:
                self._destroy(row.tenant, row.sid)
                self._unfence(row.tenant, row.sid)
                finished += 1
        return finished

    def _destroy(self, tenant: str, sid: bytes) -> None:
        self._store.write_keys(lambda ktx: self._ring.destroy(ktx.connection, tenant, sid))

    def _unfence(self, tenant: str, sid: bytes) -> None:
        values = {"of_tenant": tenant, "of_sid": sid}
        self._store.write(Write(lambda tx: tx.execute(UNFENCE, values).rowcount, lane=Lane.JOB))

    def _beat(self, tx: DataTx, started: int, done: Repaired) -> None:
        tx.execute(OLD_RUNS, {"before_ms": tx.now - KEEP_RUNS_MS})
        facts = msgspec.json.encode(done).decode()
        tx.execute(ADD_RUN, {"kind": KIND, "at_ms": max(started, tx.now), "ok": True, "facts": facts})
