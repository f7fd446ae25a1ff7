"""Durable work: done at least once, tried again later and later, and visible when it has failed for good."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import text

from tests.store.shop import NOON, Shop
from troth.errors import Busy, Denied, Unavailable
from troth.store.jobs import (
    ATTEMPTS,
    FIRST_PAUSE_MS,
    LEASE_MS,
    LONGEST_PAUSE_MS,
    Job,
    Later,
    Registry,
    Worker,
    claim,
    counts,
    next_due,
    run_due,
)
from troth.store.open import Store
from troth.store.transaction import DataTx
from troth.store.writer import Write
from troth.world import SetClock, SystemClock


def clock(shop: Shop) -> SetClock:
    assert isinstance(shop.clock, SetClock)
    return shop.clock


def enqueue(store: Store, ref: str, **options: Any) -> None:
    def body(tx: DataTx) -> None:
        tx.enqueue("mail", ref, **options)

    store.write(Write(body))


def column(store: Store, name: str) -> list[Any]:
    return store.read(lambda c: list(c.execute(text(f"SELECT {name} FROM jobs ORDER BY id")).scalars()))


def test_jobs_are_done_in_the_order_in_which_they_came_due_and_leave_nothing(shop: Shop) -> None:
    store = shop.open()
    done: list[Job] = []
    registry = Registry()
    registry.on("mail", done.append)
    enqueue(store, "later", run_ms=NOON + 10)
    enqueue(store, "b", run_ms=NOON)
    enqueue(store, "a", run_ms=NOON - 5, payload=b"sealed")
    assert run_due(store, registry) == 2
    assert [(job.ref, job.payload, job.attempt) for job in done] == [("a", b"sealed", 1), ("b", None, 1)]
    assert next_due(store) == NOON + 10
    clock(shop).advance(10)
    assert run_due(store, registry) == 1
    assert counts(store) == {}
    assert run_due(store, registry) == 0


def test_a_job_with_a_name_is_added_and_done_once(shop: Shop) -> None:
    store = shop.open()
    done: list[Job] = []
    registry = Registry()
    registry.on("mail", done.append)
    for _ in range(3):
        enqueue(store, "a", dedup="only-one", payload=b"sealed")
    run_due(store, registry)
    enqueue(store, "a", dedup="only-one")
    assert run_due(store, registry) == 0
    assert len(done) == 1
    assert column(store, "payload") == [None]  # what is done keeps no payload
    assert counts(store) == {"done": 1}


def test_a_job_that_fails_is_tried_again_later_and_later_and_then_stays_to_be_seen(shop: Shop) -> None:
    store = shop.open()
    registry = Registry()
    tries: list[int] = []

    def fail(job: Job) -> None:
        tries.append(clock(shop).now())
        raise ConnectionError("relay refused alice@example.org")

    registry.on("mail", fail)
    enqueue(store, "a", payload=b"sealed")
    for _ in range(ATTEMPTS):
        assert run_due(store, registry) == 1
        assert run_due(store, registry) == 0
        clock(shop).advance(LONGEST_PAUSE_MS)
    assert len(tries) == ATTEMPTS
    assert counts(store) == {"failed": 1}
    assert column(store, "fault") == ["ConnectionError"]  # the exception's name, never its words
    clock(shop).advance(LONGEST_PAUSE_MS * 100)
    assert run_due(store, registry) == 0


def test_the_pauses_double_up_to_an_hour(shop: Shop) -> None:
    store = shop.open()
    registry = Registry()

    def fail(job: Job) -> None:
        raise Denied("no", clause="share.deny")

    registry.on("mail", fail)
    enqueue(store, "a")
    pauses = []
    for _ in range(ATTEMPTS - 1):
        run_due(store, registry)
        due = next_due(store)
        assert due is not None
        pauses.append(due - clock(shop).now())
        clock(shop).now_ms = due
    assert pauses == [min(FIRST_PAUSE_MS * 2**at, LONGEST_PAUSE_MS) for at in range(ATTEMPTS - 1)]
    assert column(store, "fault") == ["denied"]


def test_a_job_that_asks_for_later_has_not_failed(shop: Shop) -> None:
    store = shop.open()
    registry = Registry()
    left = [Later(500), Later(500)]

    def handler(job: Job) -> None:
        if left:
            raise left.pop()

    registry.on("mail", handler)
    enqueue(store, "a")
    for _ in range(3):
        assert run_due(store, registry) == 1
        clock(shop).advance(500)
    assert counts(store) == {}


def test_a_job_that_was_put_off_often_has_all_its_attempts_left(shop: Shop) -> None:
    store = shop.open()
    registry = Registry()
    left: list[Exception] = [Later(500)] * 20
    left += [Busy("the queue is full")] * 20 + [Unavailable("no disk")] * 20
    left += [ConnectionError()] * (ATTEMPTS - 1) + [Later(500)] + [ConnectionError()] * (ATTEMPTS - 1)
    done: list[int] = []

    def handler(job: Job) -> None:
        if left:
            raise left.pop(0)
        done.append(job.attempt)

    registry.on("mail", handler)
    enqueue(store, "a", payload=b"sealed")
    for _ in range(len(left) + 1):
        assert run_due(store, registry) == 1
        clock(shop).advance(LONGEST_PAUSE_MS)
    assert (left, done) == ([], [ATTEMPTS])
    assert counts(store) == {}


def test_whoever_lost_a_job_that_was_put_off_since_cannot_end_it(shop: Shop) -> None:
    store = shop.open()
    registry = Registry()
    left: list[Exception] = [Later(0)]

    def handler(job: Job) -> None:
        raise left.pop()

    registry.on("mail", handler)
    enqueue(store, "a")
    (lost,) = claim(store)
    clock(shop).advance(LEASE_MS)
    run_due(store, registry, 1)
    (second,) = claim(store)
    assert (second.id, second.attempt) == (lost.id, lost.attempt)  # only the lease tells them apart
    assert store.write(Write(lost.finish)) is False
    assert counts(store) == {"leased": 1}
    assert store.write(Write(second.finish)) is True


def test_a_job_whose_worker_died_is_taken_again_when_its_lease_is_over_and_counts_once(shop: Shop) -> None:
    store = shop.open()
    enqueue(store, "a")
    (first,) = claim(store)
    assert claim(store) == []
    clock(shop).advance(LEASE_MS)
    (second,) = claim(store)
    assert (second.id, second.attempt) == (first.id, 2)
    assert store.write(Write(first.finish)) is False  # it is no longer the first worker's
    assert counts(store) == {"leased": 1}
    assert store.write(Write(second.finish)) is True
    assert counts(store) == {}


def test_jobs_of_a_process_that_ended_are_ready_when_the_next_one_starts(shop: Shop) -> None:
    store = shop.open()
    enqueue(store, "a")
    assert len(claim(store)) == 1
    shop.close()
    assert len(claim(shop.open())) == 1


def test_workers_side_by_side_never_take_the_same_job(shop: Shop) -> None:
    store = shop.open()
    for at in range(60):
        enqueue(store, str(at))
    taken: list[str] = []

    def work() -> None:
        while claimed := claim(store, 3):
            taken.extend(job.ref for job in claimed)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(taken, key=int) == [str(at) for at in range(60)]


def test_a_job_finished_in_its_own_effects_transaction_is_not_done_twice(shop: Shop) -> None:
    store = shop.open()
    registry = Registry()
    done: list[str] = []

    def handler(job: Job) -> None:
        def body(tx: DataTx) -> None:
            assert job.finish(tx)
            tx.enqueue("mail", "next", run_ms=NOON + 1)

        store.write(Write(body))
        done.append(job.ref)

    registry.on("mail", handler)
    enqueue(store, "first")
    assert run_due(store, registry) == 1
    assert (done, column(store, "ref")) == (["first"], ["next"])


def test_what_comes_round_by_the_clock_comes_once_a_period_whoever_asks(shop: Shop) -> None:
    store = shop.open()
    ran: list[str] = []
    registry = Registry()
    registry.every("retention", 86_400_000, lambda job: ran.append(job.ref))
    for _ in range(3):
        run_due(store, registry)
    assert len(ran) == 1
    shop.close()
    store = shop.open()
    run_due(store, registry)
    assert len(ran) == 1
    clock(shop).advance(86_400_000)
    run_due(store, registry)
    assert len(ran) == 2
    assert ran[0] != ran[1]


def test_a_kind_nobody_does_is_seen_as_failing_and_a_kind_has_one_handler(shop: Shop) -> None:
    store = shop.open()
    registry = Registry()
    enqueue(store, "a")
    run_due(store, registry)
    assert column(store, "fault") == ["LookupError"]
    registry.on("mail", lambda job: None)
    with pytest.raises(ValueError, match="have a handler"):
        registry.on("mail", lambda job: None)


def test_a_worker_takes_a_job_as_soon_as_it_is_added_and_ends_when_told(lite: Shop) -> None:
    lite.clock = SystemClock()
    store = lite.open()
    did = threading.Event()
    registry = Registry()
    registry.on("mail", lambda job: did.set())
    worker = Worker(store, registry, longest_wait_s=600)
    try:
        enqueue(store, "a")
        assert did.wait(30)
    finally:
        worker.close()
