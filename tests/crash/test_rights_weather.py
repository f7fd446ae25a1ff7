"""Mail down, the key store locked, the disk full, the clock jumping: what is asked ends right or is not called done."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.crash.rights_town import Town, faults, town
from tests.disks import small_disk
from tests.postgres import Server

NOWHERE = 9  # the port of a mail server that is not there
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A few people."""
    with town(tmp_path_factory.mktemp("village"), 12) as place:
        yield place


def answers(place: Town, since: int) -> set[str]:
    return {one.answer for one in place.asked[since:]}


def test_while_the_mail_is_down_rights_go_on_and_every_letter_goes_out_later(village: Town) -> None:
    since, letters = len(village.asked), sum(village.arrived.values())
    assert village.life(port=NOWHERE, patience=0.2, most=16) == "survived"
    village.life(port=NOWHERE, patience=0.2, at=40)
    assert sum(village.arrived.values()) == letters
    assert "done" in answers(village, since)
    village.begin += 6 * HOUR_MS
    village.rest()
    assert sum(village.arrived.values()) > letters
    assert faults(village) == []


def other(place: Town) -> Any:
    """A connection of somebody else, who holds the key store."""
    if place.urls[1]:
        keys = psycopg.connect(place.urls[1])
        keys.execute("LOCK TABLE guards, data_keys, tags, heads IN ACCESS EXCLUSIVE MODE")
        return keys
    lite = sqlite3.connect(place.home / "keys" / "keys.db", isolation_level=None)
    lite.execute("BEGIN IMMEDIATE")
    return lite


@contextmanager
def locked(place: Town) -> Iterator[None]:
    """The key store is held by another process from the first request on, until somebody was answered."""
    told = place.folder / f"told-{place.lives + 1}"
    over = threading.Event()

    def hold() -> None:
        while not (told.exists() and "B " in told.read_text()):
            if over.wait(0.005):
                return
        with closing(other(place)) as keys:
            heard = len(told.read_text().splitlines())
            until = time.monotonic() + 12  # longer than a statement waits for the lock
            while time.monotonic() < until and not over.is_set() and len(told.read_text().splitlines()) < heard + 6:
                over.wait(0.01)
            keys.rollback()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        yield
    finally:
        over.set()
        holder.join()


def test_while_the_key_store_is_locked_nothing_is_called_done_that_is_not(village: Town) -> None:
    for at in (0, 0, 30):
        with locked(village):
            village.life(at=at, most=10)
    village.rest()
    assert faults(village) == []


@pytest.mark.postgres
def test_the_same_on_postgresql(tmp_path: Path, postgres_data: Server, postgres_keys: Server) -> None:
    with town(tmp_path, 4, urls=(postgres_data.new_database(), postgres_keys.new_database())) as place:
        for at in (0, 20):
            with locked(place):
                place.life(at=at, most=8)
        place.rest()
        assert faults(place) == []


@pytest.mark.parametrize("by", [HOUR_MS, -HOUR_MS, 2 * DAY_MS, -2 * DAY_MS])
def test_a_clock_that_jumps_loses_and_doubles_nothing(village: Town, by: int) -> None:
    village.life(jumps={3: by, 7: -by}, most=12)
    village.begin += by
    village.life(at=50)
    village.life(jumps={4: by}, most=8)
    village.rest()
    assert faults(village) == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of sixteen megabytes."""
    with small_disk(tmp_path, "16m") as disk:
        yield disk


def fill(disk: Path, left: int) -> Path:
    """A file that leaves so many bytes of room."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out:
        try:
            while out.write(b"x" * 65536):
                pass
        except OSError:
            pass
    with filler.open("r+b") as out:
        out.truncate(max(0, filler.stat().st_size - left))
    return filler


def test_on_a_full_disk_nothing_is_called_done_that_is_not(small: Path, tmp_path: Path) -> None:
    with town(tmp_path / "town", 6, disk=small) as place:
        since = len(place.asked)
        ends = []
        for left, at in ((1_500_000, 0), (600_000, 0), (300_000, 30), (0, 0)):
            filler = fill(small, left)
            ends.append(place.life(at=at, most=12, patience=0.5))
            filler.unlink()
        assert {end for end in ends if end.startswith("failed")} <= {"failed 70", "failed 1"}
        assert answers(place, since) >= {"done", "refused"}
        place.rest()
        assert faults(place) == []
