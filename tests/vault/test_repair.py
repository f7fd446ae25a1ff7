"""What a crash between the two stores leaves, and how it is put right: invariants 1 and 6, without the crash."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import delete, insert, select, update

from tests.vault.house import ANN, MINUTE, NOON, House, admission
from troth.errors import Busy, Conflict, NotFound, StartRefused
from troth.policy.model import UNKNOWN
from troth.store import tables
from troth.store.transaction import DataTx, Write
from troth.vault import Repaired, Staged, repair


def orphan(house: House, email: str = ANN, **options: object) -> Staged:
    """Keys and a tag whose create died before it reached the data."""
    staged = house.stage(email, **options)
    house.keys(staged.before)
    return staged


def kinds(house: House) -> list[str]:
    ledger = tables.ledger.c
    return house.store.read(lambda c: list(c.execute(select(ledger.kind).order_by(ledger.seq)).scalars()))


def test_keys_without_a_subject_are_swept_after_ten_minutes_and_the_ledger_says_so(house: House) -> None:
    lost, ann = orphan(house), house.admit("kept@example.org")
    assert house.vault.repair.run().voided == 0, "it might still be on its way"
    house.clock.advance(11 * MINUTE)
    assert house.vault.repair.run() == Repaired(seen=2, voided=1, finished=0)
    assert house.vault.look("main", lost.sid) == (0, 0)
    assert house.mode(lost.sid) is None, "the fence is taken away again"
    assert kinds(house).count("subject.voided") == 1
    assert house.contents(ann.sid)
    assert house.vault.repair.run().voided == 0
    assert house.vault.repair.keyless() == []


def test_a_create_that_arrives_during_its_own_sweep_stays_outside(house: House) -> None:
    late = orphan(house)
    fenced = {"tenant": "main", "sid": late.sid, "mode": "void", "generation": 1, "created_ms": 0, "last_use_ms": 0}

    def fence(tx: DataTx) -> None:
        row = fenced | {"state_id": house.vault.state_id(tx, UNKNOWN)}
        tx.execute(insert(tables.subjects), row)

    house.store.write(Write(fence))
    with pytest.raises(Conflict):
        house.store.write(Write(lambda tx: late.insert(tx, b"e" * 16)))
    assert house.count(tables.personal_records) == 0


def test_a_create_that_arrives_after_its_sweep_stays_outside(house: House) -> None:
    late = orphan(house)
    house.clock.advance(11 * MINUTE)
    assert house.vault.repair.run().voided == 1
    with pytest.raises(Busy):
        house.store.write(Write(lambda tx: late.insert(tx, b"e" * 16)))
    assert house.count(tables.subjects) == 0


def test_a_create_that_was_slow_but_arrived_is_not_swept(house: House) -> None:
    slow = orphan(house)
    house.store.write(Write(lambda tx: slow.insert(tx, b"e" * 16)))
    house.clock.advance(60 * MINUTE)
    assert house.vault.repair.run().voided == 0
    assert house.contents(slow.sid)


@pytest.mark.parametrize("keys_are_gone", [False, True])
def test_a_sweep_that_died_is_finished_by_the_next(house: House, keys_are_gone: bool) -> None:
    lost = orphan(house)

    def fence(tx: DataTx) -> None:
        number = house.vault.state_id(tx, UNKNOWN)
        row = {"tenant": "main", "sid": lost.sid, "state_id": number, "mode": "void", "generation": 1}
        tx.execute(insert(tables.subjects), row | {"created_ms": NOON, "last_use_ms": NOON})

    house.store.write(Write(fence))
    if keys_are_gone:
        house.keys(lambda ktx: house.vault.destroy(ktx, "main", lost.sid))
    assert house.vault.repair.run().finished == 1
    assert house.vault.look("main", lost.sid) == (0, 0)
    assert house.mode(lost.sid) is None


def test_pages_of_orphans_are_all_swept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "BORN", repair.BORN.limit(3))
    monkeypatch.setattr(repair, "BORN_AFTER", repair.BORN_AFTER.limit(3))
    monkeypatch.setattr(repair, "PEOPLE", repair.PEOPLE.limit(3))
    monkeypatch.setattr(repair, "PEOPLE_AFTER", repair.PEOPLE_AFTER.limit(3))
    lost = [orphan(house, f"lost{n}@example.org") for n in range(7)]
    kept = [house.admit(f"kept{n}@example.org") for n in range(7)]
    house.clock.advance(11 * MINUTE)
    assert house.vault.repair.run() == Repaired(seen=14, voided=7, finished=0)
    assert all(house.vault.look("main", one.sid) == (0, 0) for one in lost)
    assert all(house.contents(one.sid) for one in kept)
    house.keys(lambda ktx: house.vault.destroy(ktx, "main", kept[3].sid))
    assert house.vault.repair.keyless() == [("main", kept[3].sid)]


def test_each_run_looks_no_further_back_than_it_must_unless_asked(house: House) -> None:
    house.admit("old@example.org")
    house.clock.advance(11 * MINUTE)
    assert house.vault.repair.run().seen == 1
    house.clock.advance(24 * 60 * MINUTE)
    assert [house.vault.repair.run().seen for _ in range(2)] == [1, 0], "the first still overlaps"
    lost = orphan(house, "new@example.org")
    house.clock.advance(11 * MINUTE)
    assert house.vault.repair.run().voided == 1
    assert house.vault.repair.run(everything=True).seen == 1
    assert house.vault.look("main", lost.sid) == (0, 0)
    assert house.count(tables.runs, tables.runs.c.kind == "repair") == 3


def test_the_loser_of_a_race_does_not_lose_to_the_sweep(house: House) -> None:
    """The next try adopts keys that a crash left, also while they are being swept: one of the two wins, whole."""
    orphan(house, pending=False)
    house.clock.advance(11 * MINUTE)
    again = house.stage(pending=False)
    done: list[Repaired] = []
    sweeping = threading.Thread(target=lambda: done.append(house.vault.repair.run()))
    sweeping.start()
    try:
        house.store.write(admission(again))
        arrived = True
    except (Conflict, NotFound):
        arrived = False
    sweeping.join()
    assert len(done) == 1
    if arrived:
        assert house.contents(again.sid)
        assert house.vault.find("main", "email", ANN) == again.sid
    else:
        assert house.count(tables.subjects) == 0
    assert house.vault.repair.keyless() == []


def test_data_without_any_key_does_not_start(house: House) -> None:
    house.vault.repair.require_keys()
    house.admit()
    house.vault.repair.require_keys()
    house.keys(lambda ktx: ktx.execute(delete(tables.data_keys)).rowcount)
    with pytest.raises(StartRefused, match="key store is empty but the data is not"):
        house.vault.repair.require_keys()


def test_what_a_crash_left_owing_is_due_at_once(house: House) -> None:
    """The job behind an objection's guard does not wait for its next try when the system starts."""

    def owe(tx: DataTx) -> None:
        for kind, state in (("guard", "leased"), ("guard", "failed"), ("guard", "done"), ("mail", "failed")):
            tx.enqueue(kind, f"{kind}/{state}", dedup=f"{kind}/{state}", run_ms=NOON + 9 * MINUTE)
            ref = tables.jobs.c.ref == f"{kind}/{state}"
            tx.execute(update(tables.jobs).where(ref).values(state=state, lease_ms=NOON + 9 * MINUTE))

    house.store.write(Write(owe))
    assert house.vault.repair.hasten(["guard"]) == 2
    j = tables.jobs.c
    rows = house.store.read(lambda c: c.execute(select(j.ref, j.state, j.run_ms, j.lease_ms)).all())
    assert {row.ref: row.state for row in rows} == {
        "guard/leased": "ready",
        "guard/failed": "ready",
        "guard/done": "done",
        "mail/failed": "failed",
    }
    assert {row.run_ms for row in rows if row.state == "ready"} == {NOON}
