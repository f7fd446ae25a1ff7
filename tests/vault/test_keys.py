"""The storeys of keys: what opens where, what is kept in memory and for how long, and what an epoch forbids."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import delete, insert, select, update

from tests.vault.house import ANN, MINUTE, TERMS, House, admission
from troth.errors import Busy, Damaged, Invalid, NotFound, StartRefused, Unavailable
from troth.store import tables
from troth.store.transaction import KeyTx, Write
from troth.vault import NewRecord, buckets
from troth.vault.cache import MAX_KEYS, TTL_MS, KeyCache
from troth.vault.keys import INDEX
from troth.world import DAY_MS


def spoil(house: House, statement: Any) -> None:
    """Change K behind the vault's back, and let it forget what it remembers."""
    house.keys(lambda ktx: ktx.execute(statement).rowcount)
    house.close()


def test_each_storey_is_wrapped_under_the_one_above(house: House) -> None:
    house.admit(classes=("consent",))
    k = tables.data_keys.c
    rows = house.store.read_keys(lambda c: c.execute(select(k.class_, k.wrapped).order_by(k.class_)).all())
    assert [row.class_ for row in rows] == ["", "consent", "newsletter"]
    assert {len(row.wrapped) for row in rows} == {60}
    assert house.count(tables.epochs, tables.epochs.c.state == "current") == 1
    kinds = house.store.read_keys(lambda c: sorted(c.execute(select(tables.buckets.c.kind)).scalars()))
    assert kinds == ["data", "day", "tag"]


@pytest.mark.parametrize("table", ["epochs", "buckets", "data_keys", "secrets", "day_keys"])
def test_an_altered_key_is_told_and_never_used(house: House, table: str) -> None:
    ann = house.admit()
    house.vault.transit_seal(b"waiting")
    sealed = house.vault.transit_seal(b"waiting")
    column = tables.keys.tables[table].c.wrapped
    rows = house.store.read_keys(lambda c: [bytes(w) for w in c.execute(select(column)).scalars()])
    for wrapped in rows:
        changed = update(tables.keys.tables[table]).where(column == wrapped)
        house.keys(lambda ktx, s=changed, w=wrapped: ktx.execute(s.values(wrapped=w[:-1] + bytes([w[-1] ^ 1]))))
    house.close()
    with pytest.raises((Damaged, StartRefused)) as refusal:  # noqa: PT012 - what fails first depends on the storey
        vault = house.open()
        vault.open("main", house.store.read(lambda c: vault.records(c, "main", ann.sid))[0])
        vault.transit_open(sealed)
    assert "altered or moved" in str(refusal.value) or "not the one" in str(refusal.value)


def test_a_key_moved_to_another_person_or_class_does_not_open_there(house: House) -> None:
    ann, bob = house.admit("ann@example.org"), house.admit("bob@example.org", classes=("account",))
    k = tables.data_keys.c
    mine = select(k.wrapped).where(k.sid == ann.sid, k.class_ == "newsletter").scalar_subquery()
    spoil(house, update(tables.data_keys).where(k.sid == bob.sid, k.class_ == "newsletter").values(wrapped=mine))
    with pytest.raises(Damaged):
        house.contents(bob.sid)
    other = select(k.wrapped).where(k.sid == bob.sid, k.class_ == "account").scalar_subquery()
    spoil(house, update(tables.data_keys).where(k.sid == bob.sid, k.class_ == "newsletter").values(wrapped=other))
    with pytest.raises(Damaged):
        house.contents(bob.sid)
    assert house.contents(ann.sid)


@pytest.mark.parametrize("name", ["check", INDEX])
def test_a_key_store_that_lost_a_secret_does_not_start(house: House, name: str) -> None:
    house.admit()
    spoil(house, delete(tables.secrets).where(tables.secrets.c.name == name))
    with pytest.raises(StartRefused, match="newest copy"):
        house.open()


def test_a_lost_epoch_key_is_told(house: House) -> None:
    ann = house.admit()
    spoil(house, update(tables.epochs).values(wrapped=None))
    with pytest.raises(StartRefused, match="epoch 1"):
        house.contents(ann.sid)


@pytest.mark.parametrize("state", ["draining", "new", "destroyed"])
def test_nothing_is_put_under_an_epoch_that_is_not_current(house: House, state: str) -> None:
    """Invariant 12, of inserts: of a person, of a class, of a tag and of a day."""
    ann = house.admit()
    house.keys(lambda ktx: ktx.execute(update(tables.epochs).values(state=state)).rowcount)
    counts = [house.count(table) for table in (tables.data_keys, tables.tags, tables.day_keys)]
    new_class = house.stage(None, sid=ann.sid, identifiers={}, records=[NewRecord("account", TERMS, {})])
    tagged = house.stage(None, sid=ann.sid, identifiers={"reference": "new"}, records=[])
    for write in (admission(house.stage("bob@example.org")), admission(new_class), admission(tagged)):
        with pytest.raises((Busy, Unavailable)):
            house.store.write(write)
    with pytest.raises((Busy, Unavailable)):
        house.vault.transit_seal(b"x")
    with pytest.raises((Busy, Unavailable)):
        house.keys(lambda ktx: house.vault.suppress_value(ktx, "main", "email", "zoe@example.org", "newsletter"))
    assert [house.count(table) for table in (tables.data_keys, tables.tags, tables.day_keys)] == counts
    assert house.contents(ann.sid), "reading goes on"
    house.keys(lambda ktx: ktx.execute(update(tables.epochs).values(state="current")).rowcount)
    assert house.admit("bob@example.org")


def test_a_bucket_left_behind_in_an_older_epoch_takes_nobody(house: House) -> None:
    house.admit()

    def roll(ktx: KeyTx) -> None:
        ktx.execute(update(tables.epochs).values(state="draining"))
        ktx.execute(insert(tables.epochs), new_epoch(house, ktx.now))

    house.keys(roll)
    with pytest.raises(Busy, match="epoch"):
        house.store.write(admission(house.stage("bob@example.org")))


def new_epoch(house: House, now: int) -> dict[str, Any]:
    wrapped = house.vault.keyring.provider.create_epoch(2)
    return {"epoch": 2, "state": "current", "provider": "file", "wrapped": wrapped, "opened_ms": now}


def test_a_full_bucket_is_followed_by_another(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "ROOM", 3)
    people = [house.admit(f"p{n}@example.org") for n in range(8)]
    b = tables.buckets.c
    filled = house.store.read_keys(
        lambda c: c.execute(select(b.number, b.filled).where(b.kind == "data").order_by(b.number)).all()
    )
    assert filled == [(1, 3), (2, 3), (3, 2)]
    house.close()
    people.append(house.admit("last@example.org"))
    assert all(house.contents(one.sid) for one in people)
    house.erase(people[0].sid)
    house.admit("again@example.org")
    assert house.count(tables.buckets, b.kind == "data") == 4, "a place is never given out twice"


def test_a_bucket_made_in_a_failed_write_leaves_no_key_behind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is given out again with another key: whoever wrapped under the first would have lost the person."""
    monkeypatch.setattr(buckets, "ROOM", 2)
    lost = house.stage("lost@example.org")

    def fail(ktx: KeyTx) -> None:
        for _ in range(3):
            house.vault.keyring.buckets.place(ktx.connection)
        lost.before(ktx)
        raise Invalid("rolled back")

    with pytest.raises(Invalid):
        house.store.write(Write(lambda tx: None, before=fail))
    people = [house.admit(f"p{n}@example.org") for n in range(5)]
    house.close()
    assert all(house.contents(one.sid) for one in people)
    assert all(house.vault.opening("main", one.sid) == one.opening for one in people)


def test_the_log_is_signed_by_one_key_for_good(house: House) -> None:
    signer = house.vault.keyring.signing_key("log", "example.org/log")
    house.close()
    again = house.vault.keyring.signing_key("log", "example.org/log")
    assert signer.public == again.public
    assert again.name == "example.org/log"
    Ed25519PublicKey.from_public_bytes(signer.public).verify(again.sign(b"root"), b"root")
    s = tables.secrets.c
    stored = house.store.read_keys(lambda c: c.execute(select(s.public).where(s.name == "signing:log")).scalar_one())
    assert bytes(stored) == signer.public
    assert house.vault.keyring.signing_key("other").public != signer.public


def test_a_secret_is_made_once_and_kept(house: House) -> None:
    first = house.vault.secret("answers")
    house.close()
    assert house.vault.secret("answers") == first
    assert len(first) == 32
    assert house.vault.secret("operators") != first


# --- days ---


def test_what_waits_is_sealed_under_its_day_and_dies_with_it(house: House) -> None:
    sealed = house.vault.transit_seal(b"a letter")
    today = house.clock.now() // DAY_MS
    assert int.from_bytes(sealed[:4], "big") == today
    assert b"letter" not in sealed
    house.clock.advance(DAY_MS)
    assert house.vault.transit_open(sealed) == b"a letter"
    later = house.vault.transit_seal(b"another")
    assert house.keys(lambda ktx: house.vault.drop_days(ktx, "transit", today + 1)) == 1
    with pytest.raises(NotFound):
        house.vault.transit_open(sealed)
    assert house.vault.transit_open(later) == b"another"
    for wrong in (b"", later[:20], later[:-1] + bytes([later[-1] ^ 1]), (today + 1).to_bytes(4, "big") + sealed[4:]):
        with pytest.raises(Damaged):
            house.vault.transit_open(wrong)


def test_a_block_of_reads_is_bound_to_its_entry_and_made_from_the_writers_thread(house: House) -> None:
    eid, other, day = b"e" * 16, b"f" * 16, house.clock.now() // DAY_MS
    sealed = house.store.write(Write(lambda tx: house.vault.seal_block(eid, day, b"who was read")))
    assert house.vault.open_block(eid, day, sealed) == b"who was read"
    with pytest.raises(Damaged):
        house.vault.open_block(other, day, sealed)
    with pytest.raises(NotFound):
        house.vault.open_block(eid, day - 1, sealed)
    with pytest.raises((Damaged, NotFound)):
        house.vault.transit_open(day.to_bytes(4, "big") + sealed)
    assert house.count(tables.day_keys) == 1


def test_a_day_key_made_in_a_step_is_the_one_that_counts(house: House) -> None:
    ring, day = house.vault.keyring, 20_000
    made = house.keys(lambda ktx: ring.day_key("reads", day, ktx.connection))
    assert ring.day_key("reads", day) == made
    assert house.keys(lambda ktx: ring.day_key("reads", day, ktx.connection)) == made


# --- memory ---


def test_a_key_is_remembered_for_a_minute_and_for_one_generation() -> None:
    cache, at = KeyCache(), ("main", b"s" * 16, "newsletter")
    cache.put(at, 3, b"k", 1_000, cache.mark())
    assert cache.get(at, 3, 1_000) == cache.get(at, None, 1_000) == b"k"
    assert cache.get(at, 3, 1_000 + TTL_MS - 1) == b"k"
    assert cache.get(at, 3, 1_000 + TTL_MS) is None
    assert cache.get(at, 4, 1_000) is None
    assert cache.get(("acme", *at[1:]), 3, 1_000) is None
    assert cache.get(at, 3, 999) is None, "a clock set back does not prolong a life"


def test_memory_holds_no_more_keys_than_it_may() -> None:
    cache = KeyCache()
    for n in range(MAX_KEYS + 100):
        cache.put(("main", n.to_bytes(16, "big"), "c"), 1, b"k", n, cache.mark())
    assert len(cache) == MAX_KEYS
    assert cache.get(("main", (99).to_bytes(16, "big"), "c"), 1, 99) is None
    assert cache.get(("main", (100).to_bytes(16, "big"), "c"), 1, 100) == b"k"


def test_a_key_that_was_being_read_while_it_was_destroyed_is_not_remembered() -> None:
    cache, at = KeyCache(), ("main", b"s" * 16, "newsletter")
    mark = cache.mark()
    cache.forget("main", b"s" * 16)
    cache.put(at, 1, b"k", 0, mark)
    assert cache.get(at, 1, 0) is None


def test_after_a_minute_the_key_store_is_asked_again(house: House) -> None:
    ann = house.admit()
    record = house.store.read(lambda c: house.vault.records(c, "main", ann.sid))[0]
    assert house.vault.open("main", record)["email"] == ANN
    house.keys(lambda ktx: ktx.execute(delete(tables.data_keys)).rowcount)  # behind the vault's back
    house.clock.advance(MINUTE - 1)
    assert house.vault.open("main", record)["email"] == ANN, "a cached key: the gate's own row decides, not this"
    house.clock.advance(1)
    with pytest.raises(NotFound):
        house.vault.open("main", record)


def test_a_key_of_another_generation_is_read_anew(house: House) -> None:
    ann = house.admit()
    house.contents(ann.sid)
    house.keys(lambda ktx: ktx.execute(delete(tables.data_keys)).rowcount)
    assert house.contents(ann.sid)
    house.store.write(Write(lambda tx: house.vault.set_mode(tx, "main", ann.sid, "restricted")))
    with pytest.raises(NotFound):
        house.contents(ann.sid)


def test_no_two_seals_and_no_two_keys_are_alike(house: House) -> None:
    people = [house.admit(f"p{n}@example.org") for n in range(20)]
    rows = house.store.read(lambda c: c.execute(select(tables.personal_records.c.ct)).scalars().all())
    assert len({bytes(ct)[:12] for ct in rows}) == 20
    keys = [house.vault.keyring.data_key("main", one.sid, c) for one in people for c in ("", "newsletter")]
    assert len(set(keys)) == 40
    assert all(a != b for a, b in itertools.pairwise(sorted(keys)))
