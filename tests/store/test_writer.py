"""The writer: what is acknowledged is durable and stands in the ledger; what fails, fails alone."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import RootTransaction, text
from sqlalchemy.exc import IntegrityError

from tests.store.shop import NOON, Shop, bodies, faults, guard, guards, naming, products
from troth.errors import Busy, Conflict, TrothError, Unavailable, Unknown
from troth.store import batch
from troth.store.durability import LOG_LIMIT
from troth.store.engine import Database
from troth.store.open import Store
from troth.store.transaction import DataTx, KeyTx
from troth.store.writer import CAPACITY, LOOK, Idempotency, Lane, Write

Commit = Callable[[RootTransaction], None]


def pid() -> bytes:
    return os.urandom(16)


def key(request: bytes = b"request") -> Idempotency:
    return Idempotency("test", os.urandom(32), sha256(request).digest())


@contextmanager
def held(store: Store) -> Iterator[None]:
    """While inside, the writer takes nothing: what is submitted gathers into one batch."""
    begun, go = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go.wait(60)

    future = store.writer.control(hold)
    assert begun.wait(60)
    try:
        yield
    finally:
        go.set()
        future.result(60)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, half a minute at most."""
    turn = threading.Event()
    for _ in range(3000):
        if condition():
            return
        turn.wait(0.01)
    raise AssertionError("the condition did not come true")


def outcome(future: Future[Any]) -> Any:
    """The value, or the exception as a value."""
    return future.exception(60) or future.result()


# --- durable and in the ledger ---


def test_a_write_and_its_entry_are_there_after_closing_and_opening_again(shop: Shop) -> None:
    store = shop.open()
    pids = [pid() for _ in range(20)]
    for one in pids:
        assert store.write(naming(one)) == one
    assert products(store) == set(pids)
    assert faults(store) == []
    shop.close()
    assert products(shop.open()) == set(pids)
    assert faults(shop.open()) == []


def test_writes_that_wait_together_are_synced_together(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shop.open()
    commits = []
    real = store.data.commit

    def counted(transaction: RootTransaction) -> None:
        commits.append(1)
        real(transaction)

    monkeypatch.setattr(store.data, "commit", counted)
    monkeypatch.setattr(batch, "MAX_SECONDS", 60)  # however slow the machine is
    with held(store):
        futures = [store.submit(naming(pid())) for _ in range(300)]
    assert all(isinstance(outcome(future), bytes) for future in futures)
    assert len(commits) == 2  # 256 and 44: one sync a batch, not one a write
    assert faults(store) == []


def test_one_poisoned_write_among_256_fails_alone(shop: Shop) -> None:
    store = shop.open()
    taken = pid()
    store.write(naming(taken))
    with held(store):
        good = [(one, store.submit(naming(one))) for one in (pid() for _ in range(128))]
        poisoned = store.submit(naming(taken))
        good += [(one, store.submit(naming(one))) for one in (pid() for _ in range(127))]
    assert isinstance(outcome(poisoned), IntegrityError)
    assert [outcome(future) for _, future in good] == [one for one, _ in good]
    assert products(store) == {taken, *(one for one, _ in good)}
    assert faults(store) == []


def test_a_step_that_raises_leaves_neither_effect_nor_entry_nor_job(shop: Shop) -> None:
    store = shop.open()

    def then(tx: DataTx) -> None:
        tx.enqueue("guard", "ref")
        raise KeyError("inside")

    with pytest.raises(KeyError):
        store.write(naming(pid(), then=then))
    assert (products(store), bodies(store)) == (set(), [])
    assert store.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM jobs").scalar()) == 0


def test_no_exception_of_the_database_shows_the_values_that_were_written(shop: Shop) -> None:
    store = shop.open()
    one = pid()
    store.write(naming(one))
    with pytest.raises(IntegrityError) as caught:
        store.write(naming(one, then=lambda tx: None))
    assert "hidden" in str(caught.value)
    assert "[]" not in str(caught.value).partition("SQL parameters")[2]


def test_a_step_cannot_end_the_transaction_it_shares(shop: Shop) -> None:
    store = shop.open()
    for ending in ("commit", "rollback"):
        with pytest.raises((RuntimeError, Unavailable)):
            store.write(naming(pid(), then=lambda tx, ending=ending: getattr(tx.connection, ending)()))  # type: ignore[misc]  # a default binds the loop's value
        assert faults(store) == []
        assert products(store) == set()
    store.write(naming(pid()))
    assert faults(store) == []


def test_a_transaction_that_is_over_takes_no_entry(shop: Shop) -> None:
    from troth.store.ledger import EntryDraft

    store = shop.open()
    kept: list[DataTx] = []
    store.write(naming(pid(), then=kept.append))
    with pytest.raises(RuntimeError, match="over"):
        kept[0].append(EntryDraft("a.b", "c", "m"))


def test_a_write_from_inside_a_write_is_refused_and_not_waited_for_ever(shop: Shop) -> None:
    store = shop.open()
    with pytest.raises(RuntimeError, match="cannot wait"):
        store.write(naming(pid(), then=lambda tx: (store.write(naming(pid())), None)[1]))


# --- who goes first, and who is refused ---


def test_rights_go_before_writes_before_reads_before_jobs_and_one_job_a_batch(shop: Shop) -> None:
    store = shop.open()
    order: list[str] = []

    def noting(lane: Lane) -> Write[bytes]:
        return naming(pid(), lane=lane, then=lambda tx: order.append(lane))

    with held(store):
        futures = [store.submit(noting(lane)) for lane in (Lane.JOB, Lane.JOB, Lane.READ, Lane.WRITE, Lane.RIGHTS)]
    for future in futures:
        future.result(60)
    assert order == ["rights", "write", "read", "job", "job"]
    assert faults(store) == []


@pytest.mark.parametrize("lane", list(Lane))
def test_a_full_lane_refuses_at_once_with_nothing_done_and_the_others_stay_open(lite: Shop, lane: Lane) -> None:
    store = lite.open()
    other = Lane.WRITE if lane is Lane.RIGHTS else Lane.RIGHTS
    ran: list[int] = []
    with held(store):
        futures = [store.submit(Write(lambda tx: None, lane=lane)) for _ in range(CAPACITY[lane])]
        with pytest.raises(Busy) as refusal:
            store.submit(Write(lambda tx: ran.append(1), lane=lane))
        assert refusal.value.status == 503
        assert refusal.value.retry_after >= 1
        with pytest.raises(Busy):
            store.require_available(lane)
        store.require_available(other)
        futures.append(store.submit(Write(lambda tx: None, lane=other)))
    for future in futures:
        future.result(60)
    assert ran == []
    store.require_available(lane)


def test_a_write_that_waited_past_its_deadline_is_not_begun(shop: Shop) -> None:
    store = shop.open()
    ran: list[int] = []
    with pytest.raises(Busy, match="not begun"):
        store.write(Write(lambda tx: ran.append(1), deadline_ms=NOON - 1))
    assert ran == []
    store.write(Write(lambda tx: ran.append(1), deadline_ms=NOON + 1))
    assert ran == [1]


def test_a_client_that_goes_away_does_not_take_its_write_along(shop: Shop) -> None:
    store = shop.open()
    one, two = pid(), pid()

    async def main() -> None:
        with held(store):
            gone = asyncio.ensure_future(store.awrite(naming(one)))
            stays = asyncio.ensure_future(store.awrite(naming(two)))
            await asyncio.sleep(0)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
        assert await stays == two

    asyncio.run(main())
    assert products(store) == {one, two}
    assert faults(store) == []
    assert not store.submit(naming(pid())).cancel()


def test_an_event_loop_that_has_ended_harms_nobody(lite: Shop) -> None:
    store = lite.open()
    one = pid()

    async def main() -> None:
        task = asyncio.ensure_future(store.awrite(naming(one)))
        await asyncio.sleep(0)
        task.cancel()

    with held(store):
        asyncio.run(main())
    store.write(naming(pid()))
    assert one in products(store)


# --- once, however often it is asked ---


def test_the_same_key_and_request_give_the_stored_result_and_one_effect(shop: Shop) -> None:
    store = shop.open()
    once, first = key(), pid()
    assert store.write(naming(first, key=once)) == first
    assert store.write(naming(pid(), key=once)) == first
    shop.close()
    store = shop.open()
    assert store.write(naming(pid(), key=once)) == first
    assert products(store) == {first}
    assert faults(store) == []


def test_the_same_key_with_another_request_is_a_conflict(shop: Shop) -> None:
    store = shop.open()
    once = key()
    store.write(naming(pid(), key=once))
    with pytest.raises(Conflict) as refusal:
        store.write(naming(pid(), key=Idempotency("test", once.key, sha256(b"another").digest())))
    assert refusal.value.status == 409
    assert len(products(store)) == 1


def test_a_key_that_comes_twice_in_one_batch_is_done_once_and_k_is_not_touched_twice(shop: Shop) -> None:
    store = shop.open()
    once = key()
    pids = [pid() for _ in range(5)]
    with held(store):
        futures = [store.submit(naming(one, key=once, before=guard(one))) for one in pids]
    assert {future.result(60) for future in futures} == {pids[0]}
    assert products(store) == {pids[0]}
    assert guards(store) == {pids[0]}
    assert faults(store) == []


def test_a_write_that_failed_may_be_tried_again_under_its_key(shop: Shop) -> None:
    store = shop.open()
    once, one = key(), pid()

    def fail(tx: DataTx) -> None:
        raise KeyError("not yet")

    with pytest.raises(KeyError):
        store.write(naming(one, key=once, then=fail))
    assert store.write(naming(one, key=once)) == one


# --- two stores, in order ---


def test_k_comes_before_d_where_something_becomes_readable_and_after_it_where_not(shop: Shop) -> None:
    store = shop.open()
    order: list[str] = []
    write = naming(
        pid(),
        before=lambda tx: order.append("before"),
        then=lambda tx: order.append("body"),
        after=lambda tx, value: order.append("after"),
    )
    store.write(write)
    assert order == ["before", "body", "after"]


def test_if_k_refuses_first_nothing_comes_to_d(shop: Shop) -> None:
    store = shop.open()
    one, two = pid(), pid()

    def fail(tx: KeyTx) -> None:
        guard(one)(tx)
        raise KeyError("k")

    with held(store):
        bad, good = store.submit(naming(one, before=fail)), store.submit(naming(two, before=guard(two)))
    assert isinstance(outcome(bad), KeyError)
    assert outcome(good) == two
    assert products(store) == guards(store) == {two}


def test_if_d_refuses_after_k_the_orphan_is_k_s_and_never_d_s(shop: Shop) -> None:
    store = shop.open()
    one = pid()

    def fail(tx: DataTx) -> None:
        raise KeyError("d")

    with pytest.raises(KeyError):
        store.write(naming(one, before=guard(one), then=fail))
    assert products(store) == set()
    assert guards(store) == {one}  # what the repair sweeps


def test_if_k_fails_last_the_effect_stands_with_its_job_and_is_not_acknowledged(shop: Shop) -> None:
    store = shop.open()
    one = pid()

    def fail(tx: KeyTx, value: bytes) -> None:
        raise KeyError("k")

    with pytest.raises(Unknown, match="will be completed"):
        store.write(naming(one, then=lambda tx: tx.enqueue("guard", one.hex()), after=fail))
    assert products(store) == {one}
    assert store.read(lambda c: c.exec_driver_sql("SELECT kind FROM jobs").scalar()) == "guard"
    assert faults(store) == []


def test_k_alone_is_written_by_the_writer_too_also_from_inside_a_write_of_d(shop: Shop) -> None:
    store = shop.open()
    one, two = pid(), pid()
    store.write_keys(guard(one))
    store.write(naming(pid(), then=lambda tx: store.write_keys(guard(two))))
    assert guards(store) == {one, two}


def test_nobody_but_the_writer_writes(shop: Shop) -> None:
    store = shop.open()
    for database in (store.data, store.keys):
        with pytest.raises(RuntimeError, match="only the writer's thread"), database.transaction():
            pass
        with pytest.raises(Exception, match=r"readonly|read-only"), database.connect() as connection:
            connection.exec_driver_sql("DELETE FROM alembic_version")
        with pytest.raises(Exception, match=r"readonly|read-only"):
            database.raw_reader().execute("DELETE FROM alembic_version")


# --- a COMMIT that raises ---


class Broken(Exception):
    """What a broken COMMIT raises."""


def once_broken(real: Commit, *, durable: bool) -> Commit:
    left = [1]

    def commit(transaction: RootTransaction) -> None:
        if not left:
            return real(transaction)
        left.pop()
        if durable:
            real(transaction)
        raise Broken

    return commit


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("which", ["data", "keys first", "keys last"])
def test_a_commit_that_raises_is_told_as_done_refused_or_unknown_and_the_key_makes_it_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, which: str, durable: bool
) -> None:
    store = shop.open()
    before = pid()
    store.write(naming(before))
    database: Database = store.data if which == "data" else store.keys
    monkeypatch.setattr(database, "commit", once_broken(database.commit, durable=durable))
    one, once = pid(), key()
    again = pid()

    def write(product: bytes) -> Write[bytes]:
        first = guard(product) if which == "keys first" else None
        last = (lambda tx, value: guard(product)(tx)) if which == "keys last" else None
        return naming(product, key=once, before=first, after=last)

    try:
        told = store.write(write(one))
    except TrothError as refusal:
        said: Any = type(refusal)
    else:
        said = told
    expected = {
        ("data", True): one,  # found again by its batch's id: done
        ("data", False): Unavailable,  # found missing: refused
        ("keys first", True): Unavailable,
        ("keys first", False): Unavailable,
        ("keys last", True): Unknown,
        ("keys last", False): Unknown,
    }
    assert said == expected[which, durable]
    result = store.write(write(again))
    assert products(store) == {before, result}
    assert result == (again if said is Unavailable else one)
    assert faults(store) == []
    store.write(naming(pid()))
    assert faults(store) == []


@pytest.mark.parametrize("durable", [False, True])
def test_when_the_store_cannot_be_asked_the_answer_is_unknown_until_the_key_settles_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    store = shop.open()
    monkeypatch.setattr(store.data, "commit", once_broken(store.data.commit, durable=durable))
    unreachable = threading.Event()
    unreachable.set()
    real = store.data.writing
    forgotten = store.data.forget_writing
    lost = threading.Event()

    def forget() -> None:
        lost.set()
        forgotten()

    monkeypatch.setattr(store.data, "forget_writing", forget)

    def writing() -> Any:
        if lost.is_set() and unreachable.is_set():
            raise Broken
        return real()

    monkeypatch.setattr(store.data, "writing", writing)
    one, once = pid(), key()
    with pytest.raises(Unknown, match="same idempotency key"):
        store.write(naming(one, key=once))
    with pytest.raises(Unavailable):
        store.write(naming(pid()))
    with pytest.raises(Unavailable):
        store.require_available()
    unreachable.clear()
    until(lambda: store.fault is None)  # the writer looks for itself whether it can write again
    again = pid()
    result = store.write(naming(again, key=once))
    assert result == (one if durable else again)
    assert products(store) == {result}
    assert faults(store) == []


@pytest.mark.postgres
def test_a_database_server_that_drops_the_connection_at_any_moment_loses_and_doubles_nothing(pg: Shop) -> None:
    import psycopg

    store = pg.open()
    acknowledged: set[bytes] = set()
    stop = threading.Event()
    cuts = 0

    def client() -> None:
        while not stop.is_set():
            once, one = key(), pid()
            for _ in range(200):
                try:
                    assert store.write(naming(one, key=once)) == one
                except (Unknown, Unavailable):
                    continue
                acknowledged.add(one)
                break

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    with psycopg.connect(pg.data_url, autocommit=True) as admin:
        for _ in range(12):
            size = len(acknowledged)
            until(lambda size=size: len(acknowledged) > size + 5)  # type: ignore[misc]  # a default binds the loop's value
            cuts += len(
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                ).fetchall()
            )
    stop.set()
    for thread in threads:
        thread.join(60)
    assert cuts >= 6
    assert acknowledged <= products(store)
    assert faults(store) == []


# --- the ledger cannot be written ---


def refuse_entries(store: Store, refuse: bool) -> None:
    """Make the ledger table refuse every insert (or take it again), as a full or damaged table would."""

    def work() -> None:
        with store.data.transaction() as connection:
            if store.data.dialect == "sqlite":
                connection.exec_driver_sql(
                    "CREATE TRIGGER refuse BEFORE INSERT ON ledger BEGIN SELECT RAISE(ABORT, 'no'); END"
                    if refuse
                    else "DROP TRIGGER refuse"
                )
            elif refuse:
                connection.exec_driver_sql(
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
                )
                connection.exec_driver_sql(
                    "CREATE TRIGGER refuse BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION refuse()"
                )
            else:
                connection.exec_driver_sql("DROP FUNCTION refuse CASCADE")

    store.writer.control(work).result(60)


def test_while_the_ledger_cannot_be_written_nothing_is_written_and_nothing_may_be_read(shop: Shop) -> None:
    store = shop.open()
    before = pid()
    store.write(naming(before))
    refuse_entries(store, True)
    with pytest.raises(Unavailable):
        store.write(naming(pid()))
    with pytest.raises(Unavailable):
        store.require_available()
    assert store.fault is not None
    assert products(store) == {before}
    refuse_entries(store, False)
    until(lambda: store.fault is None)
    store.require_available()
    store.write(naming(pid()))
    assert len(products(store)) == 2
    assert faults(store) == []


def test_a_full_disk_refuses_and_loses_nothing_and_ends_when_there_is_room(lite: Shop) -> None:
    store = lite.open()

    def limit(pages: int) -> None:
        def work() -> None:
            with store.data.transaction() as connection:
                connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        store.writer.control(work).result(60)

    acknowledged = {store.write(naming(pid()))}
    used = store.read(lambda c: int(c.exec_driver_sql("PRAGMA page_count").scalar_one()))
    limit(used + 2)
    refused = None
    for _ in range(500):
        try:
            acknowledged.add(store.write(naming(pid())))
        except Unavailable as refusal:
            refused = refusal
            break
    assert refused is not None
    assert products(store) == acknowledged
    assert faults(store) == []
    until(lambda: store.fault is None)  # the limit belonged to the connection, given up with the failed batch
    for _ in range(20):
        acknowledged.add(store.write(naming(pid())))
    assert products(store) == acknowledged
    assert faults(store) == []


# --- a failed sync ---


def sync_fails(_transaction: RootTransaction) -> None:
    fault = sqlite3.OperationalError("disk I/O error")
    fault.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    raise fault


@pytest.mark.parametrize("which", ["data", "keys"])
def test_a_failed_sync_ends_the_process_before_anything_more_is_acknowledged(
    lite: Shop, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    store = lite.open()
    before = pid()
    store.write(naming(before))
    monkeypatch.setattr(store.data if which == "data" else store.keys, "commit", sync_fails)
    one, two = pid(), pid()
    with held(store):
        futures = [store.submit(naming(one, before=guard(one))), store.submit(naming(two, lane=Lane.JOB))]
        futures += [store.submit(naming(pid(), lane=Lane.JOB)) for _ in range(3)]
    assert all(isinstance(outcome(future), Unknown | Unavailable) for future in futures)
    assert len(lite.reasons) == 1
    assert "sync failed" in lite.reasons[0]
    with pytest.raises(Unavailable):
        store.write(naming(pid()))
    with pytest.raises(Unavailable):
        store.require_available()
    lite.close()
    assert faults(lite.open()) == []
    assert before in products(lite.open())


def test_somebody_elses_hand_on_the_head_of_the_log_ends_the_process(shop: Shop) -> None:
    store = shop.open()
    store.write(naming(pid()))

    def work() -> None:
        with store.data.transaction() as connection:
            connection.execute(text("UPDATE tree SET batch = :other"), {"other": bytes(16)})

    store.writer.control(work).result(60)
    with pytest.raises(Unknown):
        store.write(naming(pid()))
    assert shop.reasons


def test_what_waits_when_the_store_closes_is_done_and_what_comes_later_is_refused(shop: Shop) -> None:
    store = shop.open()
    with held(store):
        futures = [store.submit(naming(pid())) for _ in range(30)]
        closing = threading.Thread(target=shop.close)
        closing.start()
    closing.join(60)
    assert all(isinstance(outcome(future), bytes) for future in futures)
    with pytest.raises(Unavailable):
        store.write(naming(pid()))
    assert len(products(shop.open())) == 30


# --- the write-ahead log ---


def test_the_log_of_the_database_stays_small_under_load_and_is_moved_when_there_is_time(lite: Shop) -> None:
    store = lite.open()
    log = lite.folder / "data" / "data.db-wal"
    assert store.data.raw_reader().execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)

    def large(tx: DataTx) -> None:
        for _ in range(10):
            tx.enqueue("mail", "ref", payload=os.urandom(100_000))

    sizes = []
    for _ in range(60):  # 60 MB through a log of 16
        store.write(Write(large))
        sizes.append(log.stat().st_size)
    assert max(sizes) < LOG_LIMIT + (LOOK + 2) * 1_050_000
    assert min(sizes[30:]) >= LOG_LIMIT  # written over from its start, not grown anew: that syncs in half the time
    moved = store.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM jobs").scalar())
    assert moved == 600
    until(lambda: (lite.folder / "data" / "data.db").stat().st_size > 55 << 20)


def test_a_reader_that_stays_does_not_stop_the_writers(lite: Shop) -> None:
    store = lite.open()
    with store.data.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == 0

        def large(tx: DataTx) -> None:
            tx.enqueue("mail", "ref", payload=os.urandom(3_000_000))

        for _ in range(8):
            store.write(Write(large))
        assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar() == 0
    assert store.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM jobs").scalar()) == 8


# --- keys that are gone are gone ---


def test_after_truncating_no_deleted_key_is_in_the_files_of_k_and_busy_is_not_done(lite: Shop) -> None:
    store = lite.open()
    marks = [os.urandom(16) for _ in range(50)]
    for mark in marks:
        store.write_keys(guard(mark))

    def files() -> bytes:
        return b"".join(file.read_bytes() for file in (lite.folder / "keys").iterdir())

    assert all(mark in files() for mark in marks)

    def forget(tx: KeyTx) -> None:
        tx.execute(text("DELETE FROM guards"))

    reader = store.keys.raw_reader()
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM guards").fetchone()
    store.write_keys(forget)
    assert store.truncate_keys() is False
    assert any(mark in files() for mark in marks)
    reader.execute("ROLLBACK")
    assert store.truncate_keys() is True
    assert not any(mark in files() for mark in marks)
