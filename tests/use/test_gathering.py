"""Reads that meet in one turn of the loop are done together, and each is decided, opened and refused as if alone."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import update

from tests.use.house import House
from troth.errors import Damaged, Denied, Unavailable
from troth.store import Write
from troth.store.tables import personal_records
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


def test_an_erasure_between_reading_and_recording_refuses_that_person_alone(house: House) -> None:
    sids = [house.person() for _ in range(3)]
    opening = house.gate.open("account")
    record = house.gate.gathering._record

    def slow(*args: Any) -> None:
        house.erase(sids[1])
        record(*args)

    house.gate.gathering._record = slow  # type: ignore[method-assign,assignment]  # the moment between opening and recording
    found = together(*(opening.aread("main", sid, EMAIL) for sid in sids))
    assert [type(each) for each in found] == [Answer, Denied, Answer]
    assert found[1].gaps == ("generation",)
    assert house.entries("read.block")[0]["facts"]["n"] == 2


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
