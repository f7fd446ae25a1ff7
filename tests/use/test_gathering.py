"""Reads that meet in one turn of the loop are done together, and each is decided, opened and refused as if alone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import update

from tests.store.test_writer import held, refuse_entries, until
from tests.use.house import House
from troth.errors import Busy, Damaged, Denied, Unavailable
from troth.store import Lane, Write
from troth.store.tables import personal_records
from troth.store.writer import CAPACITY
from troth.use.gate import Answer

EMAIL = frozenset({"email"})


def together(*reads: Any) -> list[Any]:
    """Await all at once; exceptions are returned."""

    async def run() -> list[Any]:
        return list(await asyncio.gather(*reads, return_exceptions=True))

    return asyncio.run(run())


def test_persons_tenants_purposes_and_fields_do_not_mix(either: House) -> None:
    account, rights = either.gate.open("account"), either.gate.open("rights")
    mine = [either.person(values={"first_name": f"n{n}", "email": f"n{n}@example.org"}) for n in range(5)]
    other = either.person(values={"first_name": "other", "email": "other@example.org"}, tenant="other")
    found = together(
        *(account.aread("main", sid, EMAIL) for sid in mine),
        account.aread("main", mine[0], frozenset({"first_name"})),
        rights.aread("main", mine[0], EMAIL),
        account.aread("main", mine[0], EMAIL),  # the same read twice
        account.aread("other", other, EMAIL),
        account.aread("other", mine[0], EMAIL),  # nobody there
        account.aread("main", bytes(16), EMAIL),
    )
    values = [each.values if isinstance(each, Answer) else type(each) for each in found]
    assert values == [
        *({"email": f"n{n}@example.org"} for n in range(5)),
        {"first_name": "n0"},
        {"email": "n0@example.org"},
        {"email": "n0@example.org"},
        {"email": "other@example.org"},
        Denied,
        Denied,
    ]
    (block,) = either.entries("read.block")
    assert block["facts"]["n"] == 9
    assert block["facts"]["purposes"] == [["account", 8], ["rights", 1]]


def test_a_damaged_record_fails_alone(house: House) -> None:
    sids = [house.person() for _ in range(4)]
    spoil = update(personal_records).where(personal_records.c.sid == sids[1]).values(ct=b"\0" * 80)
    house.store.write(Write(lambda tx: tx.execute(spoil).rowcount))
    opening = house.gate.open("account")
    found = together(*(opening.aread("main", sid, EMAIL) for sid in sids))
    assert [type(each) for each in found] == [Answer, Damaged, Answer, Answer]


def test_more_than_a_block_holds_are_several_blocks_and_nobody_is_lost(either: House) -> None:
    sids = [either.person(values={"first_name": "x", "email": f"{n}@example.org"}) for n in range(70)]
    opening = either.gate.open("account")
    wanted = [sids[n % 70] for n in range(600)]
    found = together(*(opening.aread("main", sid, EMAIL) for sid in wanted))
    assert [each.values["email"] for each in found] == [f"{n % 70}@example.org" for n in range(600)]
    assert sorted(block["facts"]["n"] for block in either.entries("read.block")) == [88, 256, 256]


def test_an_erasure_that_goes_before_the_block_refuses_that_person_alone(house: House) -> None:
    sids = [house.person() for _ in range(3)]
    opening = house.gate.open("account")

    async def run() -> list[Any]:
        erasing = threading.Thread(target=house.erase, args=(sids[1],))
        with held(house.store):
            reading = [asyncio.ensure_future(opening.aread("main", sid, EMAIL)) for sid in sids]
            for _ in range(3):
                await asyncio.sleep(0)
            erasing.start()
            until(lambda: len(house.store.writer._lanes[Lane.WRITE]) == 1)
        return list(await asyncio.gather(*reading, return_exceptions=True))

    found = asyncio.run(run())
    assert [type(each) for each in found] == [Answer, Denied, Answer]
    assert found[1].gaps == ("mode:erasing",)
    assert house.entries("read.block")[0]["facts"]["n"] == 2


def test_when_all_are_refused_nothing_is_recorded_as_read(either: House) -> None:
    opening = either.gate.open("account")
    found = together(*(opening.aread("main", bytes([n]) * 16, EMAIL) for n in range(3)))
    assert [type(each) for each in found] == [Denied] * 3
    assert either.entries("read.block") == []


def test_the_answer_waits_until_the_block_is_durable(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    sid = either.person()
    opening = either.gate.open("account")
    order: list[str] = []
    real = either.store.data.commit

    def commit(transaction: Any) -> None:
        order.append("commit begins")
        real(transaction)
        order.append("commit ended")

    monkeypatch.setattr(either.store.data, "commit", commit)

    async def run() -> None:
        await opening.aread("main", sid, EMAIL)
        order.append("answer")

    asyncio.run(run())
    assert order == ["commit begins", "commit ended", "answer"]


def test_a_ledger_that_cannot_be_written_gives_nobody_an_answer(either: House) -> None:
    sids = [either.person() for _ in range(3)]
    opening = either.gate.open("account")
    refuse_entries(either.store, True)
    try:
        found = together(*(opening.aread("main", sid, EMAIL) for sid in sids))
        assert [type(each) for each in found] == [Unavailable] * 3
        assert either.entries("read.block") == []
    finally:
        refuse_entries(either.store, False)


def test_a_full_lane_gives_a_late_reader_no_answer(house: House) -> None:
    sid = house.person()
    opening = house.gate.open("account")

    async def run() -> list[Any]:
        with held(house.store):
            reading = asyncio.ensure_future(opening.aread("main", sid, EMAIL))
            await asyncio.sleep(0)  # admitted: its group leaves at the end of this turn
            for _ in range(CAPACITY[Lane.READ]):
                house.store.submit(Write(lambda tx: None, lane=Lane.READ))
            for _ in range(3):
                await asyncio.sleep(0)
            return list(await asyncio.gather(reading, return_exceptions=True))

    assert [type(each) for each in asyncio.run(run())] == [Busy]
    assert house.entries("read.block") == []


def test_a_reader_who_goes_away_takes_nobody_elses_answer_along(house: House) -> None:
    one, two = house.person(), house.person()
    opening = house.gate.open("account")

    async def run() -> None:
        with held(house.store):
            gone = asyncio.ensure_future(opening.aread("main", one, EMAIL))
            stays = asyncio.ensure_future(opening.aread("main", two, EMAIL))
            for _ in range(3):
                await asyncio.sleep(0)
            gone.cancel()
        assert (await stays).values

    asyncio.run(run())
    assert house.entries("read.block")[0]["facts"]["n"] == 2  # opened, and recorded as such


def test_loops_on_several_threads_and_one_after_the_other_do_not_mix(house: House) -> None:
    sids = [house.person() for _ in range(8)]
    opening = house.gate.open("account")
    eids: set[bytes] = set()

    async def main(sid: bytes) -> None:
        for _ in range(10):
            eids.add((await opening.aread("main", sid, EMAIL)).eid)

    def work(sid: bytes) -> None:
        asyncio.run(main(sid))
        asyncio.run(main(sid))

    threads = [threading.Thread(target=work, args=(sid,)) for sid in sids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    entries = house.entries("read.block")
    assert sum(entry["facts"]["n"] for entry in entries) == 160
    assert {bytes.fromhex(entry["eid"]) for entry in entries} == eids


def test_a_store_that_closes_under_a_read_tells_it_so(either: House) -> None:
    sid = either.person()
    opening = either.gate.open("account")

    async def run() -> list[Any]:
        reading = asyncio.ensure_future(opening.aread("main", sid, EMAIL))
        await asyncio.sleep(0)
        either.store.writer.close()
        return list(await asyncio.gather(reading, return_exceptions=True))

    (found,) = asyncio.run(run())
    assert isinstance(found, Unavailable | Answer)
