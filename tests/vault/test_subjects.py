"""People come in, prove who they are, object, and leave: what the vault does at each step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from tests.vault.house import ANN, MINUTE, TERMS, House, admission
from troth.errors import Busy, Conflict, Invalid, NotFound
from troth.policy.model import UNKNOWN, Grant, State, Stop, Terms
from troth.store import tables
from troth.store.transaction import DataTx, KeyTx, Write
from troth.vault import NewRecord, Staged
from troth.vault.index import bucket_of


def test_a_subscriber_is_kept_sealed_and_found_only_once_the_address_is_proven(house: House) -> None:
    ann = house.admit()
    assert house.vault.find("main", "email", ANN) is None
    assert house.mode(ann.sid) == "pending"
    house.prove(ann.sid)
    assert house.vault.find("main", "email", " Ann@Example.ORG ") == ann.sid
    assert house.mode(ann.sid) == "live"
    assert house.contents(ann.sid) == [{"email": ANN, "name": "Ann Example"}]
    record = house.store.read(lambda c: house.vault.records(c, "main", ann.sid))[0]
    assert (record.class_, record.terms.point, record.terms.version) == ("newsletter", "newsletter", TERMS.version)
    assert record.rid == ann.rids[0]
    assert record.anchor_ms == house.clock.now()


def test_after_a_restart_everything_opens_again(house: House) -> None:
    ann = house.admit(classes=("consent",))
    house.prove(ann.sid)
    opening = ann.opening
    house.close()
    assert house.vault.find("main", "email", ANN) == ann.sid
    assert house.contents(ann.sid)[0]["email"] == ANN
    assert house.vault.opening("main", ann.sid) == opening


def test_other_values_are_sealed_under_the_classes_that_were_staged(house: House) -> None:
    ann = house.stage(classes=("consent",))
    with pytest.raises(ValueError, match="was not staged"):
        ann.seal("account", b"c" * 16, "consent_records", 1, {})
    house.store.write(admission(ann))
    sealed = ann.seal("consent", b"c" * 16, "consent_records", 1, {"ask": "May we?"})
    again = house.vault.seal("main", ann.sid, "consent", b"d" * 16, "consent_records", 1, {"ask": "May we?"})
    assert house.vault.unseal("main", ann.sid, "consent", b"c" * 16, "consent_records", 1, sealed) == {"ask": "May we?"}
    assert house.vault.unseal("main", ann.sid, "consent", b"d" * 16, "consent_records", 1, again) == {"ask": "May we?"}
    with pytest.raises(NotFound):
        house.vault.seal("main", ann.sid, "ticket", b"d" * 16, "consent_records", 1, {})


def test_an_existing_person_gets_more_records_and_a_key_for_each_new_class_only(house: House) -> None:
    ann = house.admit()
    before = house.count(tables.data_keys)
    more = house.admit(
        None,
        sid=ann.sid,
        identifiers={"reference": "Kunde-17"},
        records=[NewRecord("account", TERMS, {"phone": "1"}), NewRecord("newsletter", TERMS, {"name": "A."})],
    )
    assert more.sid == ann.sid
    assert more.opening == ann.opening
    assert house.count(tables.data_keys) == before + 1
    assert len(house.contents(ann.sid)) == 3
    house.prove(ann.sid)
    assert house.vault.find("main", "reference", "Kunde-17") == ann.sid
    assert house.vault.find("main", "reference", "kunde-17") is None


def test_two_requests_that_make_the_same_new_class_agree_on_one_key(house: House) -> None:
    ann = house.admit()
    both = [
        house.stage(None, sid=ann.sid, identifiers={}, records=[NewRecord("account", TERMS, {"n": n})]) for n in (1, 2)
    ]
    for staged in both:
        house.store.write(admission(staged))
    assert sorted(value.get("n", 0) for value in house.contents(ann.sid)) == [0, 1, 2]


def test_eight_registrations_of_one_proven_address_make_one_person(house: House) -> None:
    """Invariant 18, where the caller has proven the address: the losers adopt the winner."""
    staged = [house.stage(pending=False, records=[NewRecord("account", TERMS, {"n": n})]) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: house.store.write(admission(one)), staged))
    assert len({one.sid for one in staged}) == 1
    assert sum(one.adopted for one in staged) == 7
    assert house.count(tables.tags, tables.tags.c.state == "live") == 1
    assert house.count(tables.subjects) == 1
    assert house.count(tables.data_keys) == 2
    assert sorted(value["n"] for value in house.contents(staged[0].sid)) == list(range(8))


def test_eight_unproven_registrations_exclude_nobody_and_one_becomes_live(house: House) -> None:
    """Invariant 18: only proof decides, the database decides who is first, and the rivals expire."""
    rivals = [house.admit(expires_days=7) for _ in range(8)]
    assert house.count(tables.tags, tables.tags.c.state == "pending") == 8

    def prove(one: Staged) -> bool:
        try:
            house.prove(one.sid)
        except IntegrityError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(prove, rivals))
    assert sorted(outcomes) == [False] * 7 + [True]
    winner = rivals[outcomes.index(True)].sid
    losers = {one.sid for one in rivals} - {winner}
    assert house.vault.find("main", "email", ANN) == winner
    assert all(house.vault.owner("main", sid) == winner for sid in losers)
    assert house.vault.owner("main", winner) is None
    assert house.vault.expired(house.clock.now()) == []
    house.clock.advance(7 * 24 * 60 * MINUTE)
    assert {sid for _, sid in house.vault.expired(house.clock.now())} == losers


def test_identifiers_of_two_people_are_not_joined(house: House) -> None:
    house.admit("ann@example.org", pending=False)
    house.admit("bob@example.org", pending=False)
    both = house.stage(None, pending=False, identifiers={"email": "ann@example.org", "reference": "7"})
    house.store.write(admission(both))
    assert both.adopted
    house.admit(None, pending=False, identifiers={"reference": "8"})
    mixed = house.stage(None, pending=False, identifiers={"email": "bob@example.org", "reference": "8"})
    with pytest.raises(Conflict):
        house.store.write(admission(mixed))


def test_an_identifier_of_somebody_else_cannot_be_added_to_a_person(house: House) -> None:
    house.admit("ann@example.org", pending=False)
    bob = house.admit("bob@example.org", pending=False)
    theft = house.stage(None, sid=bob.sid, pending=False, identifiers={"email": "ann@example.org"}, records=[])
    with pytest.raises(Conflict) as refusal:
        house.store.write(admission(theft))
    assert "ann" not in str(refusal.value)


def test_keys_left_by_a_crash_are_adopted_by_the_next_try(house: House) -> None:
    lost = house.stage(pending=False)
    house.keys(lost.before)  # K is durable, D never came
    again = house.admit(pending=False)
    assert again.adopted
    assert again.sid == lost.sid
    assert house.contents(again.sid)[0]["email"] == ANN
    assert house.count(tables.subjects) == 1


def test_nothing_is_added_to_a_person_who_is_being_erased(house: House) -> None:
    ann = house.admit(pending=False)
    early = house.stage(None, sid=ann.sid, identifiers={}, records=[NewRecord("account", TERMS, {})])
    house.store.write(Write(lambda tx: house.vault.set_mode(tx, "main", ann.sid, "erasing")))
    with pytest.raises(Conflict):
        house.store.write(admission(early))
    assert not house.store.read(lambda c: house.vault.exists(c, "main", ann.sid))
    house.erase(ann.sid)
    with pytest.raises(NotFound):
        house.store.write(admission(early))
    assert house.vault.look("main", ann.sid) == (0, 0)
    with pytest.raises(NotFound):
        house.vault.stage("main", sid=ann.sid, identifiers={}, records=[], pending=True)


def test_a_create_that_stood_still_too_long_is_refused(house: House) -> None:
    ann = house.stage()
    house.keys(ann.before)
    house.clock.advance(6 * MINUTE)
    with pytest.raises(Busy):
        house.store.write(Write(lambda tx: ann.insert(tx, b"e" * 16)))
    assert house.count(tables.subjects) == 0


def test_rows_before_keys_are_refused(house: House) -> None:
    ann = house.stage()
    with pytest.raises(ValueError, match="K phase"):
        house.store.write(Write(lambda tx: ann.insert(tx, b"e" * 16)))


def test_two_tenants_share_no_byte_of_one_identifier(house: House) -> None:
    """Invariant 17."""
    here, there = house.admit(), house.admit(tenant="acme")
    house.prove(here.sid)
    house.prove(there.sid, "acme")
    assert house.vault.find("main", "email", ANN) == here.sid
    assert house.vault.find("acme", "email", ANN) == there.sid
    t = tables.tags.c
    rows = house.store.read_keys(lambda c: c.execute(tables.tags.select().order_by(t.tenant)).mappings().all())
    assert [row["tenant"] for row in rows] == ["acme", "main"]
    for name in ("tag", "suppression", "sid"):
        first, second = (bytes(row[name]) for row in rows)
        assert not any(first[at : at + 4] in second for at in range(13)), name


def test_an_objection_outlives_the_person(house: House) -> None:
    ann = house.admit("Ann+news@example.org")
    house.prove(ann.sid)
    assert house.keys(lambda ktx: house.vault.suppress(ktx, "main", ann.sid, "newsletter")) == 1
    assert house.keys(lambda ktx: house.vault.suppress(ktx, "main", ann.sid, "newsletter")) == 0
    house.erase(ann.sid)
    assert house.vault.find("main", "email", "ann+news@example.org") is None
    for spelling in ("ann@example.org", "ANN+other@example.org", "ann+news@example.org"):
        assert house.vault.suppressed("main", "email", spelling, "newsletter")
    assert not house.vault.suppressed("main", "email", "ann@example.org", "account")
    assert not house.vault.suppressed("main", "email", "bob@example.org", "newsletter")
    assert not house.vault.suppressed("acme", "email", "ann@example.org", "newsletter")
    again = house.admit("ann@example.org")
    assert house.keys(lambda ktx: house.vault.lift(ktx, "main", again.sid, "newsletter"))
    assert not house.keys(lambda ktx: house.vault.lift(ktx, "main", again.sid, "newsletter"))
    assert not house.vault.suppressed("main", "email", "ann+news@example.org", "newsletter")


def test_what_is_suppressed_looks_like_nothing_that_was_kept_beside_the_person(house: House) -> None:
    """Also where both hashes fall into one bucket, and so under one key."""
    one = next(
        email
        for email in (f"p{n}@example.org" for n in range(10_000))
        if (of := house.vault.tags.identifier("main", "email", email))
        and bucket_of(of.inner) == bucket_of(of.suppression)
    )
    ann = house.admit(one, pending=False)
    house.keys(lambda ktx: house.vault.suppress(ktx, "main", ann.sid, "newsletter"))
    assert house.vault.suppressed("main", "email", one, "newsletter")
    rows = house.store.read_keys(lambda c: c.execute(tables.tags.select()).mappings().all())
    kept = {bytes(row[name]) for row in rows if row["state"] == "live" for name in ("tag", "suppression")}
    (stopped,) = (bytes(row["tag"]) for row in rows if row["state"] == "suppressed")
    assert stopped not in kept
    assert len(kept) == 2


def test_a_value_of_nobody_here_can_be_suppressed(house: House) -> None:
    assert house.keys(lambda ktx: house.vault.suppress_value(ktx, "main", "email", "Zoe+x@example.org", "newsletter"))
    assert house.vault.suppressed("main", "email", "zoe@example.org", "newsletter")


def test_a_failed_write_leaves_no_person_in_the_data_and_harms_no_neighbour(house: House) -> None:
    """Also invariant 21, as far as the vault is concerned: one poisoned person in a batch fails alone."""
    poisoned = house.stage("bob@example.org")

    def break_down(ktx: KeyTx) -> None:
        poisoned.before(ktx)
        raise Invalid("no")

    good = [house.stage(f"p{n}@example.org") for n in range(3)]
    futures = [house.store.submit(admission(one)) for one in good[:2]]
    bad = house.store.submit(Write(lambda tx: None, before=break_down))
    futures.append(house.store.submit(admission(good[2])))
    with pytest.raises(Invalid):
        bad.result()
    for future, one in zip(futures, good, strict=True):
        future.result()
        assert house.contents(one.sid)
    assert house.vault.look("main", poisoned.sid) == (0, 0)


def test_a_state_is_written_once_and_its_number_never_changes(house: House) -> None:
    """Invariant 20, of states: the same choice is the same number, in any order of its parts."""
    one = State("normal", "2026-01-15", frozenset(), frozenset({Stop("a"), Stop("b", "email")}))
    other = State("normal", "2026-01-15", frozenset(), frozenset({Stop("b", "email"), Stop("a")}))
    granted = State(grants=frozenset({Grant("newsletter", "email", "m1")}))

    def number(state: State) -> int:
        return house.store.write(Write(lambda tx: house.vault.state_id(tx, state)))

    numbers = [number(state) for state in (one, other, granted, UNKNOWN, one)]
    assert numbers[0] == numbers[1] == numbers[4]
    assert len(set(numbers)) == 3


def test_a_number_given_out_in_a_write_that_failed_is_not_remembered(house: House) -> None:
    lost, kept = State(bound="lost"), State(bound="kept")

    def fail(tx: DataTx) -> None:
        house.vault.state_id(tx, lost)
        raise Invalid("rolled back")

    with pytest.raises(Invalid):
        house.store.write(Write(fail))
    number = house.store.write(Write(lambda tx: house.vault.state_id(tx, kept)))
    ann = house.admit()
    house.store.write(Write(lambda tx: house.vault.change_state(tx, "main", ann.sid, lambda _: lost)))
    assert house.store.write(Write(lambda tx: house.vault.state_id(tx, lost))) != number
    assert house.store.read(lambda c: house.vault.state_of(c, "main", ann.sid))[0] == lost


def test_every_change_of_a_person_moves_the_generation(house: House) -> None:
    ann = house.admit()

    def generation() -> int:
        return house.store.read(lambda c: house.vault.state_of(c, "main", ann.sid))[2]

    seen = [generation()]
    house.prove(ann.sid)
    seen.append(generation())
    stop = State(stops=frozenset({Stop("newsletter")}))
    house.store.write(Write(lambda tx: house.vault.change_state(tx, "main", ann.sid, lambda _: stop)))
    seen.append(generation())
    house.store.write(Write(lambda tx: house.vault.set_mode(tx, "main", ann.sid, "restricted")))
    seen.append(generation())
    assert seen == [1, 2, 3, 4]
    state, mode, _ = house.store.read(lambda c: house.vault.state_of(c, "main", ann.sid))
    assert (state, mode) == (stop, "restricted")
    with pytest.raises(NotFound):
        house.store.read(lambda c: house.vault.state_of(c, "main", b"x" * 16))
    with pytest.raises(NotFound):
        house.store.write(Write(lambda tx: house.vault.set_mode(tx, "main", b"x" * 16, "live")))


def test_a_guard_is_written_once_however_often_the_job_runs(house: House) -> None:
    ann = house.admit()

    def write(eid: bytes) -> bool:
        stops = [Stop("newsletter"), Stop("marketing", "email")]
        done: bool = house.keys(
            lambda ktx: house.vault.guard(ktx, eid, "main", ann.sid, "objected", ktx.now, stops=stops)
        )
        return done

    assert write(b"1" * 16)
    assert not write(b"1" * 16)
    assert write(b"2" * 16)
    assert house.count(tables.guards) == 2


@pytest.mark.parametrize(
    "value", ["", "   ", "no-at-sign", "@example.org", "x" * 2000 + "@example.org", "a\ud800@b.org"]
)
def test_an_address_that_cannot_be_looked_up_is_refused_without_repeating_it(lite: House, value: str) -> None:
    with pytest.raises(Invalid) as refusal:
        lite.vault.tags.identifier("main", "email", value)
    assert value.strip() == "" or value not in f"{refusal.value!r} {refusal.value.gaps}"


def test_a_value_that_cannot_be_sealed_is_refused_without_repeating_it(lite: House) -> None:
    for value in ("secret\ud800", object(), 1 << 80):
        with pytest.raises(Invalid) as refusal:
            lite.stage(records=[NewRecord("newsletter", TERMS, {"x": value})])
        assert "secret" not in repr(refusal.value)
        assert refusal.value.__cause__ is None


def test_the_ids_of_a_dead_batch_are_not_reused_in_records(house: House) -> None:
    """A state's number that moved under a subject would change what they chose: the foreign key forbids it."""
    ann = house.admit()
    with pytest.raises(IntegrityError):
        house.store.write(Write(lambda tx: tx.execute(update(tables.subjects).values(state_id=999)).rowcount))
    assert house.mode(ann.sid) == "pending"


def test_the_newest_records_of_several_places_come_newest_first(house: House) -> None:
    times = {"newsletter": (10, 40, 20), "registration": (30, 50), "other": (99,)}
    terms = {point: Terms(TERMS.controller, TERMS.surface, point, TERMS.version) for point in times}
    records = [NewRecord("a", terms[point], {"at": at}, anchor_ms=at) for point, each in times.items() for at in each]
    ann = house.admit(records=records)
    held = house.store.read(lambda c: house.vault.records(c, "main", ann.sid))
    asked = {record.terms_id for record in held if record.terms.point != "other"} | {10_000}
    for most, expected in ((3, [50, 40, 30]), (16, [50, 40, 30, 20, 10])):
        newest = house.store.read(partial(house.vault.newest, tenant="main", sid=ann.sid, terms=asked, at_most=most))
        assert [record.anchor_ms for record in newest] == expected
    assert house.store.read(partial(house.vault.newest, tenant="main", sid=b"x" * 16, terms=asked, at_most=3)) == []
