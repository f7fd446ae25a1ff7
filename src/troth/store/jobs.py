"""Durable work: a row in the effect's own transaction, done at least once, by a short handler that can be repeated.

Whoever needs something above it in the layers enqueues a job by name; the composition root registers the handlers.
A job is leased while it runs: a lease that ran out is taken again. A failure is tried again later and later, and
after the last attempt the job stays, ``failed``, for people to see. A fault is kept as the exception's name only.
A job that is put off has not failed: one that watches something may be put off for as long as it takes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from sqlalchemy import bindparam, delete, func, or_, select, update

from troth.errors import Busy, TrothError, Unavailable
from troth.store.once import insert_once
from troth.store.open import Store
from troth.store.tables import jobs
from troth.store.transaction import DataTx, Lane, Write

log = logging.getLogger("troth.store")

LEASE_MS = 60_000
ATTEMPTS = 12
FIRST_PAUSE_MS = 2_000
LONGEST_PAUSE_MS = 3_600_000
KEEP_DONE_MS = 30 * 86_400_000
CLAIM = 16

_DUE = (
    select(jobs.c.id)
    .where(
        or_(jobs.c.state == "ready", (jobs.c.state == "leased") & (jobs.c.lease_ms <= bindparam("now"))),
        jobs.c.run_ms <= bindparam("now"),
    )
    .order_by(jobs.c.run_ms, jobs.c.id)
    .limit(bindparam("most"))
)
_CLAIM = (
    update(jobs)
    .where(jobs.c.id.in_(_DUE))
    .values(state="leased", lease_ms=bindparam("lease"), attempt=jobs.c.attempt + 1)
    .returning(
        *(jobs.c.id, jobs.c.kind, jobs.c.ref, jobs.c.payload, jobs.c.attempt, jobs.c.run_ms, jobs.c.dedup),
        jobs.c.lease_ms,
    )
)
# Attempts may be given back; a lease is taken over only when it has run out, so that each ends later than any before.
_MINE = (
    jobs.c.id == bindparam("job"),
    jobs.c.state == "leased",
    jobs.c.attempt == bindparam("try_"),
    jobs.c.lease_ms == bindparam("until"),
)
_DONE = update(jobs).where(*_MINE).values(state="done", payload=None, lease_ms=bindparam("at"), fault=None)
_DROP = delete(jobs).where(*_MINE)
_AGAIN = (
    update(jobs)
    .where(*_MINE)
    .values(
        state=bindparam("then"),
        run_ms=bindparam("run"),
        lease_ms=None,
        attempt=bindparam("tries"),
        fault=bindparam("why"),
    )
)
_OLD = delete(jobs).where(jobs.c.state == "done", jobs.c.lease_ms <= bindparam("before"))
_SLOT = insert_once(jobs)
_NEXT = select(func.min(jobs.c.run_ms)).where(jobs.c.state == "ready")
_COUNT = select(jobs.c.state, func.count()).group_by(jobs.c.state)


@dataclass(frozen=True)
class Job:
    """A job as its handler gets it. ``attempt`` counts from 1; ``payload`` is sealed, if there is one.

    It is this worker's until ``lease_ms``, and after that until another one takes it.
    """

    id: int
    kind: str
    ref: str
    payload: bytes | None
    attempt: int
    run_ms: int
    dedup: str | None
    lease_ms: int = 0

    @property
    def mine(self) -> dict[str, int]:
        """What tells this lease of the job from any other one."""
        return {"job": self.id, "try_": self.attempt, "until": self.lease_ms}

    def finish(self, tx: DataTx) -> bool:
        """Mark the job done in the transaction of its own last effect. False: another worker has it by now."""
        if self.dedup is None:
            return tx.execute(_DROP, self.mine).rowcount == 1
        return tx.execute(_DONE, {**self.mine, "at": tx.now}).rowcount == 1


Handler: TypeAlias = Callable[[Job], None]


class Later(Exception):
    """Raised by a handler that is not done but has not failed: run it again in ``after_ms``, its attempts all left."""

    def __init__(self, after_ms: int = 1_000) -> None:
        super().__init__(f"again in {after_ms} ms")
        self.after_ms = after_ms


@dataclass
class Registry:
    """Which handler does which kind of job, and which kinds come round by the clock."""

    handlers: dict[str, Handler] = field(default_factory=dict)
    periods: dict[str, int] = field(default_factory=dict)

    def on(self, kind: str, handler: Handler) -> None:
        """Jobs of ``kind`` are done by ``handler``, which may run twice for one job. ``ValueError`` if taken."""
        if kind in self.handlers:
            raise ValueError(f"jobs of kind {kind} have a handler")
        self.handlers[kind] = handler

    def every(self, kind: str, period_ms: int, handler: Handler) -> None:
        """As ``on``, and once in each period of the clock, however many processes there are."""
        self.on(kind, handler)
        self.periods[kind] = period_ms


def run_due(store: Store, registry: Registry, limit: int = 100) -> int:
    """Do up to ``limit`` jobs that are due, one after the other, on this thread; returns how many were begun."""
    _schedule(store, registry)
    begun = 0
    while begun < limit:
        claimed = claim(store, min(CLAIM, limit - begun))
        if not claimed:
            break
        begun += len(claimed)
        for job in claimed:
            _run(store, registry, job)
    return begun


def claim(store: Store, most: int = 1) -> list[Job]:
    """Lease up to ``most`` due jobs, the longest due first."""

    def body(tx: DataTx) -> list[Job]:
        claimed = tx.execute(_CLAIM, {"now": tx.now, "most": most, "lease": tx.now + LEASE_MS * most})
        return sorted((Job(**row) for row in claimed.mappings()), key=lambda job: (job.run_ms, job.id))

    if store.read(lambda c: c.execute(_DUE, {"now": store.now(), "most": 1}).first()) is None:
        return []
    return store.write(Write(body, lane=Lane.JOB))


def next_due(store: Store) -> int | None:
    """When the next job is due (milliseconds UTC); None if none waits."""
    return store.read(lambda connection: connection.execute(_NEXT).scalar())


def counts(store: Store) -> dict[str, int]:
    """How many jobs there are in each state: ``failed`` ones make the board red."""
    return store.read(lambda connection: {row[0]: row[1] for row in connection.execute(_COUNT)})


def _run(store: Store, registry: Registry, job: Job) -> None:
    handler = registry.handlers.get(job.kind)
    try:
        if handler is None:
            raise LookupError(job.kind)
        handler(job)
    except Later as later:
        _again(store, job, "ready", later.after_ms, None, tries=0)
    except (Busy, Unavailable) as refusal:  # the house's fault, not the job's: it keeps its attempts
        _again(store, job, "ready", FIRST_PAUSE_MS, refusal.code, tries=job.attempt - 1)
    except Exception as problem:
        why = problem.code if isinstance(problem, TrothError) else type(problem).__name__
        log.warning("a job of kind %s failed at attempt %d: %s", job.kind, job.attempt, why)
        if job.attempt >= ATTEMPTS:
            _again(store, job, "failed", 0, why)
        else:
            _again(store, job, "ready", min(FIRST_PAUSE_MS << (job.attempt - 1), LONGEST_PAUSE_MS), why)
    else:
        store.write(Write(job.finish, lane=Lane.JOB))


def _again(store: Store, job: Job, then: str, after_ms: int, why: str | None, *, tries: int | None = None) -> None:
    kept = job.attempt if tries is None else tries

    def body(tx: DataTx) -> None:
        tx.execute(_AGAIN, {**job.mine, "then": then, "run": tx.now + after_ms, "why": why, "tries": kept})

    store.write(Write(body, lane=Lane.JOB))


def _schedule(store: Store, registry: Registry) -> None:
    """Enqueue the jobs of this period that are not there yet; forget those done long ago."""
    slots = [(kind, _slot(store, kind, period)) for kind, period in registry.periods.items()]
    known = select(jobs.c.dedup).where(jobs.c.dedup.in_([slot for _, slot in slots]))
    there = store.read(lambda connection: set(connection.execute(known).scalars())) if slots else set()
    missing = [(kind, slot) for kind, slot in slots if slot not in there]
    if not missing:
        return

    def body(tx: DataTx) -> None:
        for kind, slot in missing:
            tx.execute(_SLOT, {"kind": kind, "ref": slot, "dedup": slot, "run_ms": tx.now})
        tx.execute(_OLD, {"before": tx.now - KEEP_DONE_MS})

    store.write(Write(body, lane=Lane.JOB))


def _slot(store: Store, kind: str, period_ms: int) -> str:
    """The period that it is now, by name: the ledger's, or the clock's where that was set back by a period or more.

    The ledger's time stands until the clock has caught up with it; what comes round by the clock must not wait so long.
    """
    ledger, clock = store.now(), store.clock.now()
    if ledger - clock < period_ms:
        return f"{kind}@{ledger // period_ms}"
    return f"{kind}@{clock // period_ms}/{ledger}"  # another name than any period of the time that was not


class Worker:
    """A thread that does jobs as they come due. ``close`` waits for the one in hand."""

    def __init__(self, store: Store, registry: Registry, *, longest_wait_s: float = 1.0) -> None:
        self._store = store
        self._registry = registry
        self._longest = longest_wait_s
        self._closing = False
        self._added = threading.Event()
        store.writer.waking.append(self._added)
        self._thread = threading.Thread(target=self._work, name="troth-jobs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the job in hand."""
        self._closing = True
        self._added.set()
        self._thread.join()
        self._store.writer.waking.remove(self._added)

    def _work(self) -> None:
        added = self._added
        while not self._closing:
            added.clear()
            try:
                begun = run_due(self._store, self._registry, CLAIM)
                wait = 0.0 if begun else self._wait()
            except Exception as problem:
                log.error("jobs cannot be done: %s", type(problem).__name__)
                wait = self._longest
            if wait and not self._closing:
                added.wait(wait)

    def _wait(self) -> float:
        due = next_due(self._store)
        if due is None:
            return self._longest
        return min(self._longest, max(0.001, (due - self._store.now()) / 1000))
