"""A scan is one entry for everybody in it, made before the first value is opened; who may not be read is not in it."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from tests.use.house import House
from troth.errors import Denied, Unavailable
from troth.store import Write
from troth.store.reads import Reads, opened
from troth.use import scan as scanning
from troth.world import DAY_MS


def who(house: House, eid: bytes) -> set[bytes]:
    with house.store.data.new_reader() as raw:
        sql = house.store.data.sql("SELECT day, ct FROM read_blocks WHERE eid = ?")
        day, sealed = raw.execute(sql, (eid,)).fetchone()
    return {read[1] for read in opened(house.vault.open_block(eid, day, bytes(sealed)))}


def test_a_scan_is_one_entry_with_its_count_and_its_persons_sealed(either: House) -> None:
    sids = {either.person(values={"first_name": f"n{n}", "email": f"n{n}@example.org"}) for n in range(7)}
    found = either.gate.open("account").scan("main", ["email"])
    (entry,) = either.entries("read.scan")
    assert (entry["eid"], entry["facts"]["n"], found.count) == (found.eid.hex(), 7, 7)
    assert who(either, found.eid) == sids
    values = dict(found)
    assert set(values) == sids
    assert {value["email"] for value in values.values()} == {f"n{n}@example.org" for n in range(7)}
    assert either.entries("read.block") == []


def test_only_those_whose_choices_and_keeping_permit_it_are_in_it(house: House) -> None:
    yes = house.person("newsletter", grants=["newsletter"])
    house.person("newsletter")  # never said yes
    objected = house.person("newsletter", grants=["newsletter"])
    house.stop(objected, "marketing")
    house.person("newsletter", pending=True, grants=["newsletter"])
    restricted = house.person("newsletter", grants=["newsletter"])
    house.store.write(Write(lambda tx: house.vault.set_mode(tx, "main", restricted, "restricted")))
    ended = house.person("newsletter", grants=["newsletter"])
    house.happen(ended, "newsletter.withdrawn")
    erased = house.person("newsletter", grants=["newsletter"])
    house.erase(erased)
    house.person("newsletter", tenant="other", grants=["newsletter"])
    found = house.gate.open("newsletter", channel="email").scan("main", ["email", "name"])
    assert [sid for sid, _ in found] == [yes]
    assert who(house, found.eid) == {yes}
    house.clock.advance(8 * DAY_MS)
    assert house.gate.open("confirmation", channel="email").scan("main", ["email"]).count >= 1


def test_nothing_is_decrypted_before_the_entry_is_durable(house: House) -> None:
    house.person()
    order: list[str] = []
    open_row, record = house.gate.open_row, Reads.record

    def spy_open(*args: Any) -> Any:
        order.append("opened")
        return open_row(*args)

    def spy_record(self: Any, *args: Any, **more: Any) -> bytes:
        eid = record(self, *args, **more)
        order.append("recorded")
        return eid

    house.gate.open_row = spy_open  # type: ignore[method-assign,assignment]  # a spy on the seal
    Reads.record = spy_record  # type: ignore[method-assign]  # a spy on the entry
    try:
        assert len(list(house.gate.open("account").scan("main", ["email"]))) == 1
    finally:
        Reads.record = record  # type: ignore[method-assign]  # as it was
    assert order == ["recorded", "opened"]


def test_a_scan_for_what_no_clause_declares_is_denied_with_an_entry(house: House) -> None:
    house.person()
    for purpose, fields in (("profiling", ["email"]), ("account", ["shoe_size"]), ("account", [])):
        with pytest.raises(Denied):
            house.gate.open(purpose).scan("main", fields)
    assert house.entries("read.scan") == []
    assert len(house.entries("read.denied")) == 3


def test_a_scan_that_finds_nobody_is_recorded_too(house: House) -> None:
    found = house.gate.open("account").scan("main", ["email"])
    assert (found.count, list(found)) == (0, [])
    assert house.entries("read.scan")[0]["facts"]["n"] == 0


def test_pages_neither_lose_nor_repeat_anybody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "PAGE", 3)
    sids = [house.person() for _ in range(10)]
    for sid in sids[:4]:
        house.person("newsletter", sid=sid)
    found = [sid for sid, _ in house.gate.open("account").scan("main", ["email"])]
    assert found == sorted(sids)


def test_who_is_erased_between_deciding_and_recording_is_not_in_the_entry(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sids = [house.person() for _ in range(4)]
    persons = scanning._persons
    erased: list[bytes] = []

    def slow(*args: Any, **more: Any) -> Any:
        yield from persons(*args, **more)
        if not erased:
            erased.append(sids[0])
            thread = threading.Thread(target=house.erase, args=(sids[0],))
            thread.start()
            thread.join()

    monkeypatch.setattr(scanning, "_persons", slow)
    found = house.gate.open("account").scan("main", ["email"])
    assert who(house, found.eid) == set(sids[1:])
    kinds = [entry["kind"] for entry in house.entries("erase.ordered", "read.scan")]
    assert kinds == ["erase.ordered", "read.scan"]


def test_who_is_erased_after_the_entry_is_not_opened_any_more(house: House) -> None:
    sids = [house.person() for _ in range(3)]
    found = house.gate.open("account").scan("main", ["email"])
    house.erase(sids[0])
    house.stop(sids[1], "marketing")  # changed, though not for this purpose: left out all the same
    assert [sid for sid, _ in found] == [sids[2]]


def test_intakes_while_it_decides_do_not_disturb_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    sids = [house.person() for _ in range(3)]
    persons = scanning._persons

    def slow(*args: Any, **more: Any) -> Any:
        yield from persons(*args, **more)
        house.person("newsletter")

    monkeypatch.setattr(scanning, "_persons", slow)
    assert house.gate.open("account").scan("main", ["email"]).count == len(sids)


def test_without_a_ledger_nothing_is_scanned(house: House) -> None:
    house.person()
    house.store.close()
    with pytest.raises(Unavailable):
        house.gate.open("account").scan("main", ["email"])


def test_a_later_version_that_forbids_it_ends_the_scan_at_once(house: House) -> None:
    house.person()
    current = house.versions.current()
    without = tuple(use for use in current.uses if use.purpose != "account")
    points = {
        name: msgspec.structs.replace(point, uses=tuple(u for u in without if u.point == name))
        for name, point in current.points.items()
    }
    later = msgspec.structs.replace(
        current, version="2026-01-05", effective_ms=house.clock.now() - 1, uses=without, points=points
    )
    house.publish(current, later)
    with pytest.raises(Denied):
        house.gate.open("account").scan("main", ["email"])
