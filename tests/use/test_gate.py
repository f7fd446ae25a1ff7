"""Nobody reads personal data but for a declared purpose and in its time, and nothing leaves before its entry."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from tests.store.test_writer import held, until
from tests.use.house import VERSION, House, policy, use
from troth.errors import Busy, Denied, Unavailable
from troth.policy.model import Form
from troth.store import DataTx, Lane, Write
from troth.store.engine import driver
from troth.store.tables import personal_records
from troth.use.gate import Answer
from troth.use.gathering import _NobodyWasRead, _Wanted
from troth.world import DAY_MS


def denied(house: House, sid: bytes, purpose: str, *fields: str, **more: Any) -> Denied:
    with pytest.raises(Denied) as refused:
        house.gate.open(purpose, **more).read("main", sid, fields)
    return refused.value


def test_a_declared_purpose_reads_its_fields_and_no_others(either: House) -> None:
    sid = either.person()
    answer = either.gate.open("account").read("main", sid, ["email", "phone"])
    assert answer.values == {"email": "ann@example.org", "phone": "+353 1 234"}
    assert answer.clauses == ("collect.registration",)
    (block,) = either.entries("read.block")
    assert block["eid"] == answer.eid.hex()
    assert block["facts"]["purposes"] == [["account", 1]]


def test_reading_works_the_same_on_an_event_loop(either: House) -> None:
    sids = [either.person() for _ in range(5)]
    opening = either.gate.open("account")

    async def read_all() -> list[Answer]:
        return await asyncio.gather(*(opening.aread("main", sid, frozenset({"email"})) for sid in sids))

    answers = asyncio.run(read_all())
    assert [answer.values for answer in answers] == [{"email": "ann@example.org"}] * 5
    blocks = either.entries("read.block")
    assert sum(block["facts"]["n"] for block in blocks) == 5
    assert {answer.eid.hex() for answer in answers} == {block["eid"] for block in blocks}
    if either.store.data.dialect == "sqlite":
        assert len(blocks) == 1, "the reads of one turn of the loop are one entry"


@pytest.mark.parametrize(
    ("purpose", "fields", "gaps"),
    [
        ("account", ["email", "name"], ("field:name",)),
        ("support", ["phone"], ("guard:ticket",)),
        ("newsletter", ["email"], ("purpose:newsletter",)),
        ("profiling", ["email"], ("purpose:undeclared",)),
        ("account", [], ("fields",)),
        ("provide", ["email"], ("recipient:processors", "guard:contract.live")),
    ],
)
def test_what_is_not_declared_is_denied_and_named(
    house: House, purpose: str, fields: list[str], gaps: tuple[str, ...]
) -> None:
    sid = house.person()
    refused = denied(house, sid, purpose, *fields)
    assert set(gaps) <= set(refused.gaps)
    assert refused.clause
    (entry,) = house.entries("read.denied")
    assert entry["clause"] == refused.clause
    assert entry["facts"]["count"] == 1
    assert house.entries("read.block") == []


def test_a_guard_that_is_met_opens(house: House) -> None:
    sid = house.person()
    answer = house.gate.open("support", evidence=["ticket"]).read("main", sid, ["phone"])
    assert answer.values == {"phone": "+353 1 234"}


def test_a_denial_repeats_no_word_of_the_caller(house: House) -> None:
    sid = house.person()
    refused = denied(house, sid, "ann@example.org", "ann@example.org", "email")
    assert "ann@" not in f"{refused} {refused.gaps} {house.entries('read.denied')}"


def test_consent_is_needed_for_its_very_channel_and_ends_with_an_objection(house: House) -> None:
    sid = house.person("newsletter")
    assert "grant:newsletter" in denied(house, sid, "newsletter", "email", channel="email").gaps
    granted = house.person("newsletter", grants=["newsletter"])
    assert house.gate.open("newsletter", channel="email").read("main", granted, ["email"]).values
    assert denied(house, granted, "newsletter", "email", channel="phone").gaps == ("channel:phone",)
    house.stop(granted, "marketing")
    assert "stop:marketing" in denied(house, granted, "newsletter", "email", channel="email").gaps


def test_an_objection_holds_from_its_commit_on_with_a_warm_memo(house: House) -> None:
    sid = house.person()
    opening = house.gate.open("patterns")
    assert opening.read("main", sid, ["email"]).values
    house.stop(sid, "patterns")
    with pytest.raises(Denied) as refused:
        opening.read("main", sid, ["email"])
    assert refused.value.gaps == ("stop:patterns",)


def test_restricted_data_serves_only_what_survives(house: House) -> None:
    sid = house.person()
    house.store.write(Write(lambda tx: house.vault.set_mode(tx, "main", sid, "restricted")))
    assert denied(house, sid, "account", "email").gaps == ("mode:restricted",)
    house.change(sid, mode="restricted")
    assert house.gate.open("patterns", form=Form()).ask.purpose == "patterns"
    assert denied(house, sid, "patterns", "email").gaps == ("mode:restricted",)


def test_an_unproven_person_is_read_only_to_be_asked_for_proof(house: House) -> None:
    sid = house.person("newsletter", pending=True)
    assert denied(house, sid, "rights", "email").gaps == ("mode:pending",)
    opening = house.gate.open("confirmation", channel="email", proving=True)
    assert opening.read("main", sid, ["email"]).values == {"email": "ann@example.org"}


def test_after_the_account_ends_only_restoring_and_then_nothing(house: House) -> None:
    sid = house.person()
    house.happen(sid, "account.closed")
    assert denied(house, sid, "account", "email").gaps == ("phase",)
    assert house.gate.open("restore").read("main", sid, ["email"]).values
    house.clock.advance(30 * DAY_MS - 1)
    assert house.gate.open("restore").read("main", sid, ["email"]).values
    house.clock.advance(1)
    assert denied(house, sid, "restore", "email").gaps == ("keep:account",)
    house.clock.advance(-1)
    assert house.gate.open("restore").read("main", sid, ["email"]).values, "a clock set back is believed"


def test_the_end_of_keeping_is_tested_before_anything_is_decrypted(house: House) -> None:
    sid = house.person()
    house.clock.advance(1)
    house.happen(sid, "account.closed")
    house.clock.advance(31 * DAY_MS)
    opened: list[object] = []
    house.vault.open_row = lambda *a: opened.append(a)  # type: ignore[method-assign,assignment]  # a spy on the seal
    denied(house, sid, "restore", "email")
    denied(house, sid, "newsletter", "email")
    assert opened == []


def test_values_of_two_records_are_joined_and_the_newest_counts(house: House) -> None:
    sid = house.person("newsletter", {"name": "Ann", "email": "old@example.org"}, grants=["newsletter"])
    house.clock.advance(1000)
    house.person("registration", {"first_name": "Ann", "email": "new@example.org"}, sid=sid)
    answer = house.gate.open("rights").read("main", sid, ["email", "name", "first_name"])
    assert answer.values == {"email": "new@example.org", "name": "Ann", "first_name": "Ann"}


def test_an_optional_field_that_was_never_given_is_absent_not_denied(house: House) -> None:
    sid = house.person(values={"first_name": "Ann", "email": "ann@example.org"})
    assert house.gate.open("account").read("main", sid, ["email", "phone"]).values == {"email": "ann@example.org"}


def test_a_person_of_another_tenant_is_nobody(house: House) -> None:
    sid = house.person(tenant="main")
    with pytest.raises(Denied):
        house.gate.open("account").read("other", sid, ["email"])
    with pytest.raises(Denied) as nobody:
        house.gate.open("account").read("other", bytes(16), ["email"])
    assert nobody.value.gaps == ("record:registration",)


def test_a_new_version_narrows_at_once_and_for_old_data(house: House) -> None:
    sid = house.person()
    opening = house.gate.open("account")
    assert opening.read("main", sid, ["email", "phone"]).values
    narrower = tuple(
        use("collect.registration", "registration", "account", "email", "account")
        if each.purpose == "account"
        else each
        for each in policy().uses
    )
    points = {
        name: msgspec.structs.replace(point, uses=tuple(u for u in narrower if u.point == name))
        for name, point in policy().points.items()
    }
    later = policy("2026-02-01", house.clock.now() + DAY_MS, uses=narrower, points=points)
    house.publish(policy(), later)
    house.versions._published["2026-02-01"] = house.clock.now()
    assert opening.read("main", sid, ["email", "phone"]).values, "not yet in force"
    house.clock.advance(DAY_MS)
    with pytest.raises(Denied):
        opening.read("main", sid, ["email", "phone"])
    assert opening.read("main", sid, ["email"]).values


def test_no_answer_leaves_before_its_entry_is_committed(either: House) -> None:
    """Invariant 3, at the gate: the future is watched against what another connection finds committed."""
    sid = either.person()
    opening = either.gate.open("account")
    found: list[int] = []

    async def read() -> None:
        answer = await opening.aread("main", sid, frozenset({"email"}))
        with either.store.data.new_reader() as raw:
            sql = either.store.data.sql("SELECT count(*) FROM ledger WHERE eid = ?")
            found.append(raw.execute(sql, (answer.eid,)).fetchone()[0])

    async def many() -> None:
        for _ in range(20):
            await asyncio.gather(*(read() for _ in range(8)))

    asyncio.run(many())
    assert found == [1] * 160


def test_while_the_ledger_cannot_be_written_nothing_is_read(house: House) -> None:
    sid = house.person()
    house.store.close()
    opened: list[object] = []
    house.gate.fetch = lambda *a: opened.append(a)  # type: ignore[method-assign,assignment]  # a spy on the snapshot
    with pytest.raises(Unavailable):
        house.gate.open("account").read("main", sid, ["email"])
    with pytest.raises(Unavailable):
        asyncio.run(house.gate.open("account").aread("main", sid, frozenset({"email"})))
    assert opened == []


def test_an_erased_person_is_read_by_nobody_with_warm_keys(either: House) -> None:
    """Invariant 8, in one process: a hot cache answers no read begun after the order's commit."""
    sid = either.person()
    opening = either.gate.open("account")
    assert opening.read("main", sid, ["email"]).values
    either.erase(sid)
    with pytest.raises(Denied) as refused:
        opening.read("main", sid, ["email"])
    assert refused.value.gaps == ("mode:erasing",)


def test_a_read_that_meets_an_erasure_on_its_way_is_not_done(either: House) -> None:
    """STORAGE A9: the read is asked first, the order comes while it waits for its transaction, and goes before it."""
    sid = either.person()
    opening = either.gate.open("account")
    told: list[BaseException] = []

    def read() -> None:
        try:
            opening.read("main", sid, ["email"])
        except BaseException as refusal:
            told.append(refusal)

    writer = either.store.writer
    with held(either.store):
        reading = threading.Thread(target=read)
        reading.start()
        until(lambda: len(writer._lanes[Lane.READ]) == 1)
        erasing = threading.Thread(target=either.erase, args=(sid,))
        erasing.start()
        until(lambda: len(writer._lanes[Lane.WRITE]) == 1)
    reading.join()
    erasing.join()
    (refused,) = told
    assert isinstance(refused, Denied)
    assert refused.gaps == ("mode:erasing",)
    assert either.entries("read.block") == []


def test_a_number_that_was_rolled_back_is_never_remembered(either: House) -> None:
    """Invariant 20: the row is of the read's own transaction, whose commit is still to come: the read is repeated."""
    sid = either.person()
    wanted = _Wanted(either.gate.open("account"), "main", sid, frozenset({"email"}))
    insert = either.store.data.sql("INSERT INTO terms (id, controller, surface, point, version) VALUES (?, ?, ?, ?, ?)")
    moved = update(personal_records).where(personal_records.c.sid == sid).values(terms_id=4711)

    def body(tx: DataTx) -> None:  # as a second collection under new terms would, just before the read
        driver(tx.connection).execute(insert, (4711, "c", "s", "p", "v"))
        tx.execute(moved)
        either.gate.gathering._read(tx, (wanted,))

    with pytest.raises(_NobodyWasRead):  # so that all of it is rolled back
        either.store.write(Write(body))
    assert isinstance(wanted.found, Busy)
    assert 4711 not in either.gate.terms


def test_reads_and_erasures_at_once_leave_no_read_entry_after_the_order(either: House) -> None:
    """Invariant 4: who stands in a block is opened and compared with the order of entries."""
    sids = [either.person() for _ in range(6)]
    opening = either.gate.open("account")
    gone: list[bytes] = []

    def erase() -> None:
        for sid in sids:
            either.erase(sid)
            gone.append(sid)

    async def reading() -> int:
        erasing = threading.Thread(target=erase)
        erasing.start()
        answered = 0
        while erasing.is_alive():
            before = set(gone)
            answers = await asyncio.gather(
                *(opening.aread("main", sid, frozenset({"email"})) for sid in sids), return_exceptions=True
            )
            for sid, answer in zip(sids, answers, strict=True):
                assert isinstance(answer, Answer | Denied)
                assert not (isinstance(answer, Answer) and sid in before), "answered after it was gone"
                answered += isinstance(answer, Answer)
        erasing.join()
        return answered

    asyncio.run(reading())
    orders = 0
    for entry in either.entries("read.block", "erase.ordered"):
        if entry["kind"] == "erase.ordered":
            orders += 1
            continue
        assert not set(_who(either, entry["eid"])) & set(sids[:orders]), "a read is recorded after the order"


def _who(house: House, eid: str) -> list[bytes]:
    from troth.store.reads import opened

    with house.store.data.new_reader() as raw:
        sql = house.store.data.sql("SELECT day, ct FROM read_blocks WHERE eid = ?")
        day, sealed = raw.execute(sql, (bytes.fromhex(eid),)).fetchone()
    return [read[1] for read in opened(house.vault.open_block(bytes.fromhex(eid), day, bytes(sealed)))]


def test_who_was_read_stands_sealed_beside_the_ledger(house: House) -> None:
    sid = house.person()
    answer = house.gate.open("account").read("main", sid, ["email"])
    assert _who(house, answer.eid.hex()) == [sid]
    assert sid.hex() not in str(house.entries())


def test_denials_by_the_thousand_are_a_few_entries(house: House) -> None:
    sids = [house.person() for _ in range(3)]
    for _ in range(400):
        for sid in sids:
            denied(house, sid, "support", "phone")
    assert len(house.entries("read.denied")) == 3
    house.clock.advance(60_000)
    denied(house, sids[0], "support", "phone")
    house.gate.close()
    house.store.write(Write(lambda tx: None))
    entries = house.entries("read.denied")
    assert len(entries) == 7
    assert sum(entry["facts"]["count"] for entry in entries) == 1201
    assert entries[0]["policy"] == VERSION


def test_a_flood_of_denials_over_many_persons_stays_small(house: House) -> None:
    for number in range(200):
        denied(house, number.to_bytes(16, "big"), "account", "email")
    assert len(house.entries("read.denied")) <= 61


def test_a_reader_that_goes_away_does_not_take_the_others_along(house: House) -> None:
    sid = house.person()
    opening = house.gate.open("account")

    async def run() -> Answer:
        gone = asyncio.ensure_future(opening.aread("main", sid, frozenset({"email"})))
        stays = asyncio.ensure_future(opening.aread("main", sid, frozenset({"email"})))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(run()).values == {"email": "ann@example.org"}
    assert house.entries("read.block")[-1]["facts"]["n"] == 2
