"""Reads leave together where they come together, and nobody who is alone waits for others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from troth.use.pacing import MOST, MOST_PATIENCE, Pace


def paced(scene: Callable[[Pace[int], list[list[int]]], Awaitable[None]]) -> list[list[int]]:
    """Play a scene on a loop; the groups that left."""
    groups: list[list[int]] = []

    async def run() -> None:
        await scene(Pace(asyncio.get_running_loop(), lambda _, group: groups.append(group)), groups)

    asyncio.run(run())
    return groups


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_who_is_alone_leaves_at_once_again_and_again() -> None:
    async def scene(pace: Pace[int], groups: list[list[int]]) -> None:
        for n in range(5):
            pace.add(n)
            await turns()
            assert len(groups) == n + 1
            pace.back(1)

    assert paced(scene) == [[0], [1], [2], [3], [4]]


def test_who_asks_in_the_same_turn_comes_along() -> None:
    async def scene(pace: Pace[int], _: list[list[int]]) -> None:
        for n in range(7):
            pace.add(n)
        await turns()

    assert paced(scene) == [list(range(7))]


def test_while_one_group_is_under_way_the_next_gathers_and_waits_for_those_who_come_back() -> None:
    async def scene(pace: Pace[int], groups: list[list[int]]) -> None:
        for n in range(4):
            pace.add(n)
        await turns()
        pace.add(10)
        await turns()
        assert len(groups) == 1  # one is under way
        pace.back(4)
        for n in (11, 12, 13):
            pace.add(n)
            await turns()
            assert len(groups) == 1  # four are expected back beside the one that waits
        pace.add(14)
        await turns()

    assert paced(scene) == [[0, 1, 2, 3], [10, 11, 12, 13, 14]]


def test_those_who_do_not_come_back_are_not_waited_for() -> None:
    async def scene(pace: Pace[int], groups: list[list[int]]) -> None:
        for n in range(100):
            pace.add(n)
        await turns()
        pace.back(100)
        began = time.monotonic()
        pace.add(100)
        while len(groups) == 1:
            assert time.monotonic() - began < 30
            await asyncio.sleep(MOST_PATIENCE / 4)
        pace.back(1)
        pace.add(101)  # and the one after it is alone
        await turns()

    assert [len(group) for group in paced(scene)] == [100, 1, 1]


def test_a_full_group_leaves_even_while_another_is_under_way() -> None:
    async def scene(pace: Pace[int], groups: list[list[int]]) -> None:
        pace.add(-1)
        await turns()
        for n in range(MOST - 1):
            pace.add(n)
        await turns()
        assert len(groups) == 1
        pace.add(MOST)
        await turns()

    assert [len(group) for group in paced(scene)] == [1, MOST]


def test_no_group_is_larger_than_a_block_may_be_and_none_is_lost() -> None:
    async def scene(pace: Pace[int], _: list[list[int]]) -> None:
        for n in range(2 * MOST + 10):
            pace.add(n)
        await turns()

    groups = paced(scene)
    assert [len(group) for group in groups] == [MOST, MOST, 10]
    assert [n for group in groups for n in group] == list(range(2 * MOST + 10))
