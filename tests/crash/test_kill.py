"""kill -9 at any moment: nothing acknowledged is lost, nothing is done without its entry, nothing is half done."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.aftermath import examine, pids
from tests.crash.conftest import Order
from tests.crash.nursery import FIRST, PLAIN, writing
from tests.postgres import Server
from tests.store.shop import Shop, faults, guards, products
from tests.store.test_writer import until
from troth.errors import TrothError
from troth.world import SystemClock

ROTATE = 12
"""Deaths per installation: each child finds what the ones before it left."""


def deaths(order: Order, shop: Shop, count: int, seed: int) -> tuple[set[bytes], list[str]]:
    """Kill so many children, one after the other, and look at what each left."""
    chance = random.Random(seed)
    acknowledged: set[bytes] = set()
    found: list[str] = []
    for number in range(count):
        ways: list[dict[str, Any]] = [
            {"acknowledged": chance.randint(1, 40)},
            {"delay_ms": chance.uniform(0, 30)},
            {"opening": True, "delay_ms": chance.uniform(0, 60)},
        ]
        when = ways[number % 3]
        answer = order(shop, seed=seed + number, **when)
        found += [f"after death {number} ({when}): {fault}" for fault in examine(shop, answer, acknowledged)]
    return acknowledged, found


def rotate(order: Order, folder: Path, count: int, first: int = 0) -> int:
    """Deaths over several installations; gives how many writes were acknowledged before them."""
    total = 0
    for start in range(first, first + count, ROTATE):
        shop = Shop(folder / str(start))
        acknowledged, found = deaths(order, shop, min(ROTATE, first + count - start), start)
        assert found == []
        total += len(acknowledged)
        shutil.rmtree(shop.folder)
    return total


@pytest.mark.parametrize("first", [0, 100, 200, 300])  # four parts, so that they can run side by side
def test_a_hundred_deaths_lose_no_acknowledged_write_and_leave_none_half_done(
    order: Order, tmp_path: Path, first: int
) -> None:
    assert rotate(order, tmp_path, 25, first) > 25


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_twelve_hundred_deaths(order: Order, tmp_path: Path) -> None:
    assert rotate(order, tmp_path, 1200, 1000) > 1200


@pytest.fixture
def shop(tmp_path: Path, postgres_data: Server, postgres_keys: Server) -> Iterator[Shop]:
    """An installation on PostgreSQL."""
    shop = Shop(tmp_path / "troth")
    shop.data_url, shop.keys_url = postgres_data.database(), postgres_keys.database()
    yield shop
    shop.close()
    postgres_data.give_back(shop.data_url)
    postgres_keys.give_back(shop.keys_url)


@pytest.mark.postgres
def test_deaths_beside_a_postgresql_server(order: Order, shop: Shop) -> None:
    acknowledged, found = deaths(order, shop, 10, 7)
    assert found == []
    assert acknowledged


@pytest.mark.full
@pytest.mark.postgres
@pytest.mark.timeout(3600)
def test_two_hundred_deaths_beside_a_postgresql_server(order: Order, shop: Shop) -> None:
    acknowledged, found = deaths(order, shop, 200, 8)
    assert found == []
    assert acknowledged


@pytest.mark.postgres
def test_a_server_that_crashes_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    crash_under_load(tmp_path, 2)


@pytest.mark.full
@pytest.mark.postgres
@pytest.mark.timeout(3600)
def test_a_server_that_crashes_forty_times_under_load(tmp_path: Path) -> None:
    crash_under_load(tmp_path, 40)


def crash_under_load(folder: Path, times: int) -> None:
    """Both servers of an installation crash in turn while four clients write, each write until it is told."""
    data, keys = Server(), Server()
    shop = Shop(folder / "troth")
    shop.data_url, shop.keys_url = data.url(), keys.url()
    shop.clock = SystemClock()
    acknowledged: set[bytes] = set()
    stop = threading.Event()
    try:
        store = shop.open()

        def client(number: int) -> None:
            chance = random.Random(number)
            while not stop.is_set():
                pid = bytes([chance.choice((PLAIN, FIRST))]) + os.urandom(15)
                while not stop.is_set():
                    try:
                        assert store.write(writing(pid)) == pid
                    except TrothError:
                        stop.wait(0.01)
                        continue
                    acknowledged.add(pid)
                    break

        clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for thread in clients:
            thread.start()
        for number in range(times):
            size = len(acknowledged)
            until(lambda size=size: len(acknowledged) > size + 20)  # type: ignore[misc]  # a default binds the loop's value
            (keys if number % 2 else data).crash()
        size = len(acknowledged)
        until(lambda: len(acknowledged) > size + 20)
        stop.set()
        for thread in clients:
            thread.join(60)
        assert acknowledged <= products(store)
        assert {pid for pid in acknowledged if pid[0] == FIRST} <= guards(store)
        assert faults(store) == []
    finally:
        stop.set()
        shop.close()
        data.stop()
        keys.stop()


def test_sabotage_a_write_that_is_told_before_it_is_done_is_found(order: Order, tmp_path: Path) -> None:
    chance = random.Random(1)
    for number in range(40):
        shop = Shop(tmp_path / str(number))
        answer = order(shop, plan="early", seed=number, delay_ms=chance.uniform(0, 6))
        store = shop.open()
        lost = pids(answer, "A") - products(store)  # told too early, and the death came in between
        shop.close()
        if lost:
            return
    raise AssertionError("40 children told of writes that were not done, and nothing was found")
