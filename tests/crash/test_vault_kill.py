"""Killed at every step between the two stores: after the repair each thing is absent or complete (invariants 1, 5, 6).

The killing is SIGKILL by the process itself, before and after each COMMIT of either store; see ``vault_worker``. What
this does not show is the loss of power: the page cache survives a killed process.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select

from tests.crash.vault_worker import STOP, recover
from tests.postgres import Server
from tests.vault.house import ANN, MINUTE, House
from troth.store import tables

LIFE = 18  # moments in a life at which it can end, at the least
ROOT = Path(__file__).parents[2]


class Worker:
    """The process that dies, and where it lives."""

    def __init__(self, folder: Path, *servers: Server) -> None:
        self.folder = folder
        self.servers = servers
        self.rounds = 0
        self.empty = self.house("empty")
        self.empty.open()  # migrated once, and copied for each round
        self.forget(self.empty)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.vault_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def run(self, scenario: str, at: int) -> tuple[str, House, list[list[str]]]:
        """(how it ended, its house, not opened yet, what was acknowledged)."""
        self.rounds += 1
        house = self.house(f"{scenario}-{self.rounds}")
        shutil.copytree(self.empty.folder, house.folder)
        job = {"folder": str(house.folder), "scenario": scenario, "at": at}
        job |= {"data_url": house.data_url, "keys_url": house.keys_url}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        ended = self.process.stdout.readline().strip()
        said = (house.folder / "acknowledged").read_text().splitlines()
        house.clock.advance(11 * MINUTE)
        return ended, house, [line.split() for line in said]

    def house(self, name: str) -> House:
        """A house with nobody in it."""
        house = House(self.folder / name)
        if self.servers:
            house.data_url, house.keys_url = (server.database() for server in self.servers)
        return house

    def forget(self, house: House) -> None:
        """Close a house that has been looked at."""
        house.close()
        for server, url in zip(self.servers, (house.data_url, house.keys_url), strict=False):
            server.give_back(url)

    def stop(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    """A worker on SQLite, and one on PostgreSQL."""
    names = ("postgres_data", "postgres_keys") if request.param == "postgresql" else ()
    worker = Worker(tmp_path, *(request.getfixturevalue(name) for name in names))
    yield worker
    worker.stop()


def entries(house: House) -> list[str]:
    """The kinds of the ledger's entries, in order."""
    ledger = tables.ledger.c
    return house.store.read(lambda c: list(c.execute(select(ledger.kind).order_by(ledger.seq)).scalars()))


def check_person(house: House, sid: bytes, said: set[str]) -> str:
    """Everything that must hold of one person after the repair; returns how far their life came."""
    kinds = entries(house)
    there = house.mode(sid)
    keys, tags = house.vault.look("main", sid)
    if "intake.accepted" not in kinds:
        assert "created" not in said, "acknowledged and lost"
        assert (there, keys, tags) == (None, 0, 0), "half of a person"
        return "absent"
    assert kinds.count("intake.accepted") == 1
    if "erase.ordered" in kinds:
        assert kinds.count("erase.done") == 1
        assert kinds.index("erase.done") > kinds.index("erase.ordered")
        assert (there, keys, tags) == (None, 0, 0)
        assert house.count(tables.personal_records) == 0
        assert house.count(tables.guards, tables.guards.c.kind == "erased") == 1
        assert house.vault.suppressed("main", "email", ANN, "newsletter")
        return "erased"
    assert "erase.done" not in kinds
    assert "ordered" not in said
    assert there in ("pending", "live")
    assert house.contents(sid)[0]["email"] == ANN
    assert (keys, tags) == (2, 1)
    state = house.store.read(lambda c: house.vault.state_of(c, "main", sid))[0]
    objected = "objection.made" in kinds
    assert objected or "objected" not in said
    assert (state.stops == {STOP}) == objected
    assert house.vault.suppressed("main", "email", ANN, "newsletter") == objected
    assert house.count(tables.guards, tables.guards.c.kind == "objected") == objected
    if "proven" in said:
        assert house.vault.find("main", "email", ANN) == sid
        assert there == "live"
    if there == "live":
        assert house.vault.find("main", "email", ANN) == sid
    return "objected" if objected else there


def check_house(house: House) -> None:
    """Invariant 6: every key that is old enough has a subject, and every subject has keys; no fence is left."""
    assert house.vault.repair.keyless() == []
    assert house.count(tables.subjects, tables.subjects.c.mode == "void") == 0
    k, s = tables.data_keys.c, tables.subjects.c
    keyed = house.store.read_keys(lambda c: set(c.execute(select(k.sid)).scalars()))
    tagged = house.store.read_keys(
        lambda c: set(c.execute(select(tables.tags.c.sid).where(tables.tags.c.sid.is_not(None))).scalars())
    )
    assert keyed == house.store.read(lambda c: set(c.execute(select(s.sid)).scalars()))
    assert tagged <= keyed
    again = house.vault.repair.run(everything=True)
    assert (again.voided, again.finished) == (0, 0)


def test_a_life_that_ends_at_any_step_is_absent_or_complete_after_the_repair(worker: Worker) -> None:
    reached: list[str] = []
    ended = "killed"
    while ended == "killed":
        ended, house, said = worker.run("life", len(reached) + 1)
        sid = bytes.fromhex(said[0][1])
        recover(house)
        reached.append(check_person(house, sid, {line[0] for line in said}))
        check_house(house)
        if reached[-1] == "absent":
            again = house.admit(pending=False)
            assert house.contents(again.sid), "and she can come again"
        worker.forget(house)
    assert ended == "survived"
    assert len(reached) > LIFE
    assert set(reached) == {"absent", "pending", "live", "objected", "erased"}


def test_a_repair_that_dies_at_any_step_is_finished_by_the_next(worker: Worker, request: pytest.FixtureRequest) -> None:
    """On PostgreSQL each third step, unless ``--full`` asks for all: a step costs ten times as much there."""
    stride = 3 if worker.servers and not request.config.getoption("--full") else 1
    at, ended = 1 - stride, "killed"
    while ended == "killed":
        at += stride
        ended, house, said = worker.run("mend", at)
        ann, bob, lost = (bytes.fromhex(part) for part in said[0][1:])
        house.clock.advance(11 * MINUTE)
        recover(house)
        kinds = entries(house)
        assert [house.mode(one) for one in (ann, bob, lost)] == [None, "live", None]
        assert [house.vault.look("main", one).keys for one in (ann, bob, lost)] == [0, 2, 0]
        assert kinds.count("erase.done") == 1
        assert kinds.count("subject.voided") == 1
        assert house.vault.suppressed("main", "email", "bob@example.org", "newsletter")
        assert house.count(tables.guards) == 2
        check_house(house)
        worker.forget(house)
    assert ended == "survived"
    assert at > LIFE


@pytest.mark.parametrize("seed", range(4))
def test_a_crowd_that_is_cut_off_loses_nobody_who_was_told(worker: Worker, seed: int) -> None:
    ended, house, said = worker.run("crowd", Random(seed).randint(8, 60))
    assert ended == "killed"
    recover(house)
    check_house(house)
    rows = house.store.read(lambda c: c.execute(select(tables.personal_records.c.rid)).scalars().all())
    told = {bytes.fromhex(line[2]) for line in said}
    assert told <= set(rows), "acknowledged and lost"
    assert entries(house).count("intake.accepted") == len(rows), "effects and entries are the same"
    people = house.store.read(lambda c: c.execute(select(tables.subjects.c.sid)).scalars().all())
    assert sum(len(house.contents(sid)) for sid in people) == len(rows), "every record opens"
    live = select(tables.tags.c.tag).where(tables.tags.c.state == "live")
    tags = house.store.read_keys(lambda c: c.execute(live).scalars().all())
    assert len(tags) == len(set(tags)), "one address has one owner"
    worker.forget(house)


def test_the_check_would_see_half_a_person(tmp_path: Path) -> None:
    """Sabotage: without the repair, a death between the stores leaves keys of nobody, and the check says so."""
    worker = Worker(tmp_path)
    ended, house, said = worker.run("life", 3)
    sid = bytes.fromhex(said[0][1])
    assert ended == "killed"
    with pytest.raises(AssertionError, match="half of a person"):
        check_person(house, sid, {line[0] for line in said})
    with pytest.raises(AssertionError):
        check_house(house)
    recover(house)
    assert check_person(house, sid, set()) == "absent"
    worker.forget(house)
    worker.stop()


def test_a_roll_that_dies_at_any_step_loses_no_key_and_is_gone_on_with(worker: Worker) -> None:
    """Invariant 12: whoever stays is there before the roll goes on and after it, whenever it was killed."""
    at, ended = 0, "killed"
    while ended == "killed":
        at += 1
        ended, house, said = worker.run("roll", at)
        ann, bob, cay = (bytes.fromhex(part) for part in said[0][1:])
        for again in (False, True):
            assert [house.contents(one)[0]["email"][:3] for one in (bob, cay)] == ["bob", "cay"]
            assert house.vault.find("main", "email", "bob@example.org") == bob
            assert house.vault.suppressed("main", "email", "bob@example.org", "newsletter")
            assert house.vault.look("main", ann) == (0, 0)
            if not again:
                house.epochs().roll()
            house.close()
        kinds = entries(house)
        assert (kinds.count("epoch.destroy.ordered"), kinds.count("epoch.destroyed")) == (1, 1)
        states = house.store.read_keys(lambda c: c.execute(select(tables.epochs.c.epoch, tables.epochs.c.state)).all())
        assert sorted(states) == [(1, "destroyed"), (2, "current")]
        house.admit("next@example.org")
        assert house.epochs().roll() is None
        worker.forget(house)
    assert ended == "survived"
    assert at > 15
