"""Rolling the epoch: nobody who stays loses a key, and no old copy of the key store opens anybody who went."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from tests.residue import find
from tests.vault.house import MINUTE, House, admission, bytes_of
from tests.vault.key_service import KeyService
from troth.errors import Busy, Conflict, Damaged, TrothError, Unavailable
from troth.evidence.entries import Story, read_entry
from troth.store import tables
from troth.store.transaction import KeyTx
from troth.vault import buckets
from troth.vault.buckets import context_of
from troth.vault.epochs import LATEST_MS
from troth.vault.index import inner, permute
from troth.vault.keys import INDEX
from troth.vault.keys import context_of as key_context
from troth.vault.provider import FileProvider
from troth.vault.wrapping import WRAPPED, unwrap
from troth.world import SystemRandomness

HOUR = 60 * MINUTE
VALUES = [f"p{n}@example.org" for n in range(9)]


def people(house: House) -> list[bytes]:
    """Nine who are proven; one of them objected; a letter waits; the last stays unproven."""
    sids = [house.admit(email).sid for email in VALUES]
    for sid in sids[:-1]:
        house.prove(sid)
    house.keys(lambda ktx: house.vault.suppress(ktx, "main", sids[1], "newsletter"))
    house.vault.transit_seal(b"a letter")
    return sids


def kinds(house: House) -> list[str]:
    ledger = tables.ledger.c
    rows = house.store.read(lambda c: c.execute(select(ledger.kind).order_by(ledger.seq)).scalars().all())
    return [kind for kind in rows if kind.startswith("epoch")]


def there(house: House, sids: list[bytes], values: list[str]) -> None:
    """Everything of these people opens and is found, by what lies on the disk now."""
    for sid, value in zip(sids, values, strict=True):
        assert house.contents(sid)[0]["email"] == value
        assert len(house.vault.opening("main", sid)) == 32
        if value != VALUES[-1]:
            assert house.vault.find("main", "email", value) == sid


def test_an_epoch_is_rolled_and_everybody_who_stays_is_there(house: House) -> None:
    sids = people(house)
    waiting = house.vault.transit_seal(b"a letter")
    house.erase(sids[0])
    told: list[Any] = []
    house.clock.advance(MINUTE)
    rolled = house.epochs(lambda tx, epoch, how: told.append((epoch, how))).roll()
    assert rolled is not None
    assert rolled.destroyed is not None
    assert rolled.epoch == 2
    assert (rolled.rekeyed, rolled.destroyed.surety) == (2, "file_best_effort")  # a data bucket and a tag bucket
    assert told == [(1, rolled.destroyed)]
    assert kinds(house) == ["epoch.destroy.ordered", "epoch.destroyed"]
    for _ in range(2):
        there(house, sids[1:], VALUES[1:])
        assert house.vault.find("main", "email", VALUES[0]) is None
        assert house.vault.suppressed("main", "email", VALUES[1], "newsletter")
        assert house.vault.transit_open(waiting) == b"a letter"
        house.close()
    house.admit("next@example.org")
    house.keys(lambda ktx: house.vault.suppress(ktx, "main", sids[2], "newsletter"))  # from the tag's other half
    assert house.vault.suppressed("main", "email", VALUES[2], "newsletter")
    story = Story()
    bodies = house.store.read(
        lambda c: c.execute(select(tables.ledger.c.body).order_by(tables.ledger.c.seq)).scalars().all()
    )
    assert [fault for n, body in enumerate(bodies) for fault in story.take(n, read_entry(bytes(body)))] == []
    assert story.open_intents() == ()


def test_nothing_is_rolled_when_nothing_was_erased_and_not_before_its_hour(house: House) -> None:
    sids = people(house)
    epochs = house.epochs()
    house.clock.advance(30 * 24 * HOUR)
    assert epochs.roll(after_ms=HOUR) is None
    house.erase(sids[0])
    assert epochs.roll(after_ms=HOUR) is None
    house.clock.advance(HOUR - 1)
    assert epochs.roll(after_ms=HOUR) is None
    assert not epochs.standing().overdue(house.store.now())
    house.clock.advance(1)
    assert epochs.roll(after_ms=HOUR) is not None
    house.clock.advance(LATEST_MS * 3)
    assert not epochs.standing().overdue(house.store.now())
    assert epochs.roll(after_ms=HOUR) is None
    house.erase(sids[1])
    house.clock.advance(LATEST_MS + 1)
    assert epochs.standing().overdue(house.store.now())


def test_only_buckets_in_which_something_was_destroyed_get_another_key(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "ROOM", 3)
    sids = people(house)
    k = tables.data_keys.c

    def wrapped() -> dict[bytes, bytes]:
        rows = house.store.read_keys(lambda c: c.execute(select(k.sid, k.wrapped)).all())
        return {row.sid: row.wrapped for row in rows}

    before = wrapped()
    house.erase(sids[0])
    rolled = house.epochs().roll()
    assert rolled is not None
    assert rolled.rekeyed == 2
    after = wrapped()
    assert {sid for sid in after if after[sid] != before[sid]} == set(sids[1:3])
    there(house, sids[1:], VALUES[1:])


@pytest.mark.parametrize("gone", ["class", "day", "suppression"])
def test_whatever_key_was_destroyed_the_next_roll_covers_it(house: House, gone: str) -> None:
    ann = house.admit(classes=("account",))
    sealed = house.vault.transit_seal(b"a letter")
    house.keys(lambda ktx: house.vault.suppress(ktx, "main", ann.sid, "newsletter"))
    ring, vault = house.vault.keyring, house.vault
    steps = {
        "class": lambda ktx: ring.destroy_class(ktx.connection, "main", ann.sid, "account"),
        "day": lambda ktx: vault.drop_days(ktx, "transit", 99_999),
        "suppression": lambda ktx: vault.lift(ktx, "main", ann.sid, "newsletter"),
    }
    assert sealed
    house.keys(steps[gone])
    rolled = house.epochs().roll()
    assert rolled is not None
    assert rolled.rekeyed == 1
    assert house.contents(ann.sid)


def test_a_compartment_is_rolled_too(house: House) -> None:
    """The keys of somebody whose data is set aside lie in a bucket of their own."""
    ann, bob = house.admit("ann@example.org"), house.admit("bob@example.org")
    ring = house.vault.keyring

    def aside(ktx: KeyTx) -> None:
        connection = ktx.connection
        row = dict(connection.execute(select(tables.buckets).where(tables.buckets.c.kind == "data")).mappings().one())
        epoch = ring.buckets.open_epoch(connection, 1)
        key = ring.new_key()
        from troth.vault.wrapping import wrap

        there = context_of("data", 1, "restricted", 1, 1)
        row |= {"compartment": "restricted", "generation": 1, "wrapped": wrap(epoch, key, SystemRandomness(), *there)}
        connection.execute(insert(tables.buckets), row)
        for class_ in ("", "newsletter"):
            old = ring.key_in(connection, "main", bob.sid, class_)
            assert old is not None
            moved = wrap(key, old, SystemRandomness(), *key_context("main", bob.sid, class_, 1, "restricted", 1))
            k = tables.data_keys
            connection.execute(
                update(k)
                .where(k.c.sid == bob.sid, k.c.class_ == class_)
                .values(compartment="restricted", wrapped=moved, generation=1)
            )

    house.keys(aside)
    assert house.contents(bob.sid)
    house.keys(lambda ktx: ring.destroy_class(ktx.connection, "main", bob.sid, ""))
    rolled = house.epochs().roll()
    assert rolled is not None
    assert rolled.rekeyed == 1
    house.close()
    assert house.contents(bob.sid)
    assert house.contents(ann.sid)
    found = house.store.read_keys(lambda c: c.execute(select(tables.buckets.c.epoch).distinct()).scalars().all())
    assert found == [2]


# --- invariant 10: what is on the disk ---


def test_after_a_roll_no_dead_wrapped_key_is_in_the_files_of_the_key_store(lite: House) -> None:
    """Invariant 10. Busy is not done: while a reader holds the log, the old epoch stays."""
    sids = people(lite)
    dead: list[bytes] = []
    for table in (tables.data_keys, tables.buckets, tables.epochs):
        wrapped = select(table.c.wrapped)
        dead += bytes_of(lite.store.read_keys(lambda c, asked=wrapped: c.execute(asked).all()))  # type: ignore[misc]  # mypy cannot see through a default
    dead += bytes_of(lite.store.read_keys(lambda c: c.execute(select(tables.tags.c.tag)).all()))
    keys = lite.folder / "keys"
    lite.erase(sids[0])
    with closing(sqlite3.connect(keys / "keys.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM data_keys").fetchone()
        with pytest.raises(Unavailable, match="repeated"):
            lite.epochs().roll()
        assert find(keys, dead), "an open reader keeps copies: it must not be called done"
        assert kinds(lite) == []
    assert lite.epochs().roll() is not None
    live = set(bytes_of(lite.store.read_keys(lambda c: c.execute(select(tables.tags.c.tag)).all())))
    live |= set(bytes_of(lite.store.read_keys(lambda c: c.execute(select(tables.data_keys.c.wrapped)).all())))
    assert find(keys, [each for each in dead if each not in live]) == []


def test_the_epochs_own_file_is_gone_and_a_copy_of_the_folder_is_what_undoes_it(lite: House) -> None:
    """What a file can promise, and what it cannot: the certificate names both."""
    sids = people(lite)
    (file,) = (lite.folder / "keys" / "epochs").iterdir()
    secret = file.read_bytes()
    kept = lite.folder / "kept"
    lite.erase(sids[0])
    shutil.copytree(lite.folder / "keys", kept)
    lite.epochs().roll()
    (new,) = (lite.folder / "keys" / "epochs").iterdir()
    assert new.name != file.name
    assert find(lite.folder / "keys", [secret]) == []
    provider = FileProvider.open(lite.key_file, SystemRandomness())
    with closing(sqlite3.connect(kept / "keys.db")) as copy:
        wrapped = copy.execute("SELECT wrapped FROM epochs").fetchone()[0]
    with pytest.raises(Damaged, match="not there"):
        provider.open_epoch(1, wrapped)
    assert len(FileProvider.open(kept / "root.key", SystemRandomness()).open_epoch(1, wrapped)) == 32


def test_an_epoch_of_before_they_had_files_is_left_and_never_called_destroyed(house: House) -> None:
    sids = people(house)
    provider = house.vault.keyring.provider
    assert isinstance(provider, FileProvider)

    def as_it_was(ktx: KeyTx) -> None:
        from troth.vault.wrapping import wrap

        key = house.vault.keyring.buckets.open_epoch(ktx.connection, 1)
        old = wrap(provider._wrapping, key, SystemRandomness(), "epoch", 1)
        assert len(old) == WRAPPED
        ktx.execute(update(tables.epochs).values(wrapped=old))

    house.keys(as_it_was)
    house.close()
    house.erase(sids[0])
    told: list[Any] = []
    house.clock.advance(MINUTE)
    rolled = house.epochs(lambda tx, epoch, how: told.append(how)).roll()
    assert rolled is not None
    assert rolled.destroyed is None
    assert told == [None]
    assert kinds(house) == ["epoch.left"]
    there(house, sids[1:], VALUES[1:])
    old = house.keys(lambda ktx: house.vault.cover(ktx, "main", sids[1]))
    house.clock.advance(MINUTE)
    late = house.admit("new@example.org").sid
    new = house.keys(lambda ktx: house.vault.cover(ktx, "main", late))
    assert (old, new) == ((2, True), (2, False))
    assert house.keys(lambda ktx: house.vault.cover(ktx, "main", b"n" * 16)).open, "nothing says that it was not old"


# --- invariant 12 ---


def test_while_an_epoch_drains_nothing_is_put_under_it(house: House) -> None:
    """Invariant 12, in the middle of a real roll: a bucket that has not moved takes nobody, and all is well after."""
    sids = people(house)
    house.erase(sids[0])
    epochs = house.epochs()
    epochs._provide()
    house.keys(epochs._turn_over)
    with pytest.raises(Busy):
        house.store.write(admission(house.stage("late@example.org")))
    there(house, sids[1:], VALUES[1:])
    with pytest.raises(Conflict, match="older epoch"):
        epochs.require_moved()
    assert epochs.roll() is not None
    house.admit("late@example.org")
    there(house, sids[1:], VALUES[1:])


@pytest.mark.parametrize(
    "statement",
    [
        update(tables.data_keys).values(generation=7),
        update(tables.tags).values(generation=7),
        update(tables.data_keys).values(wrapped=b"x" * 60),
        update(tables.buckets).where(tables.buckets.c.kind == "tag").values(wrapped=b"x" * 60),
        update(tables.day_keys).values(wrapped=b"x" * 60),
    ],
)
def test_an_epoch_under_which_something_does_not_open_is_never_destroyed(house: House, statement: Any) -> None:
    sids = people(house)
    house.erase(sids[0])
    house.keys(lambda ktx: ktx.execute(statement).rowcount)
    house.close()
    with pytest.raises((TrothError, Conflict)):
        house.epochs().roll()
    assert "epoch.destroyed" not in kinds(house)
    assert house.count(tables.epochs, tables.epochs.c.state == "destroyed") == 0


# --- invariant 11 ---


@pytest.fixture
def service(tmp_path: Path) -> Iterator[KeyService]:
    """A key service in its own process and folder."""
    service = KeyService(tmp_path / "service")
    yield service
    service.stop()


def opened_by(old: Path, service: KeyService, live: list[bytes], sids: list[bytes]) -> int:
    """How many keys of these people an old copy of K gives, with the live root and every live bucket key."""
    opened = 0
    with closing(sqlite3.connect(old)) as copy:
        epochs = dict(copy.execute("SELECT epoch, wrapped FROM epochs").fetchall())
        for tenant, sid, class_, number, place, generation, wrapped, epoch, above in copy.execute(
            "SELECT d.tenant, d.sid, d.class, d.bucket, d.compartment, d.generation, d.wrapped, b.epoch, b.wrapped"
            " FROM data_keys d JOIN buckets b ON b.kind = 'data' AND b.number = d.bucket"
        ):
            if sid not in sids:
                continue
            tried = list(live)
            try:
                raw = service.open_epoch(epoch, epochs[epoch])
                tried.append(unwrap(raw, above, "it", *context_of("data", number, place, generation, epoch)))
            except (Damaged, TypeError):
                pass
            for key in tried:
                for g in range(1, 9):
                    try:
                        unwrap(key, wrapped, "it", *key_context(tenant, sid, class_, number, place, g))
                    except Damaged:
                        continue
                    opened += 1
    return opened


def confirmed_by(old: Path, service: KeyService, live: list[bytes], index: bytes, values: list[str]) -> int:
    """How many of these addresses an old copy of K confirms, with the live root and every live bucket key."""
    confirmed = 0
    with closing(sqlite3.connect(old)) as copy:
        epochs = dict(copy.execute("SELECT epoch, wrapped FROM epochs").fetchall())
        tried = list(live)
        for number, generation, epoch, above in copy.execute(
            "SELECT number, generation, epoch, wrapped FROM buckets WHERE kind = 'tag'"
        ):
            try:
                raw = service.open_epoch(epoch, epochs[epoch])
                tried.append(unwrap(raw, above, "it", *context_of("tag", number, "normal", generation, epoch)))
            except (Damaged, TypeError):
                continue
        tags = {tag for (tag,) in copy.execute("SELECT tag FROM tags")}
        for value in values:
            hashed = inner(index, "identifier", "main", "email", value)
            confirmed += any(permute(key, hashed) in tags for key in tried)
    return confirmed


def test_no_old_copy_of_the_key_store_opens_or_confirms_anybody_erased(tmp_path: Path, service: KeyService) -> None:
    """Invariant 11: every copy ever made, with the live root, after the service destroyed the epoch."""
    house = House(tmp_path / "troth")
    house.provider = service
    copies: list[Path] = []

    def copy() -> Path:
        copies.append(tmp_path / f"copy-{len(copies)}.db")
        with closing(sqlite3.connect(house.folder / "keys" / "keys.db")) as live:
            live.execute("VACUUM INTO ?", (str(copies[-1]),))
        return copies[-1]

    sids = people(house)
    copy()
    gone: list[int] = []
    for n in (0, 3, 4):
        house.erase(sids[n])
        copy()
        gone.append(n)
        house.clock.advance(HOUR)
        rolled = house.epochs().roll()
        assert rolled is not None
        assert rolled.destroyed is not None
        assert rolled.destroyed.surety == "service"
        copy()
    ring = house.vault.keyring
    with ring.database.connect() as connection:
        rows = connection.execute(select(tables.buckets.c.kind, tables.buckets.c.number)).all()
        held = [ring.buckets.peek(connection, kind, number) for kind, number in rows]
    live = [bucket.key for bucket in held if bucket is not None]
    index = ring.secret(INDEX)
    erased, values = [sids[n] for n in gone], [VALUES[n] for n in gone]
    stay = [sid for n, sid in enumerate(sids) if n not in gone]
    assert [opened_by(one, service, live, erased) for one in copies] == [0] * len(copies)
    assert [confirmed_by(one, service, live, index, values) for one in copies] == [0] * len(copies)
    assert opened_by(copies[-1], service, live, stay) == 2 * 2 * len(stay), "those who stay are opened by both ways"
    assert confirmed_by(copies[-1], service, live, index, [VALUES[1]]) == 1
    house.close()


def test_before_the_epoch_ends_an_old_copy_does_open(tmp_path: Path, service: KeyService) -> None:
    """The search above would find it: the same attack on a copy whose epoch lives."""
    house = House(tmp_path / "troth")
    house.provider = service
    sids = people(house)
    house.close()
    shutil.copy(house.folder / "keys" / "keys.db", tmp_path / "copy.db")
    index = house.vault.keyring.secret(INDEX)
    house.erase(sids[0])
    assert opened_by(tmp_path / "copy.db", service, [], sids[:1]) == 2
    assert confirmed_by(tmp_path / "copy.db", service, [], index, VALUES[:1]) == 1
    house.close()


@pytest.mark.full
def test_a_roll_with_many_people_costs_milliseconds_a_bucket(lite: House) -> None:
    """100,000 subjects in 25 buckets, 10 of them shed; printed, and held to a generous bound."""
    ring = lite.vault.keyring
    first: list[bytes] = []
    for start in range(0, 100_000, 1000):

        def step(ktx: KeyTx, start: int = start) -> None:
            for n in range(1000):
                sid = (start + n).to_bytes(16, "big")
                ring.add_subject(ktx.connection, "main", sid, ring.new_key(), {"account": ring.new_key()}, ktx.now)

        lite.keys(step)
        if start % 10_000 == 0:
            first.append(start.to_bytes(16, "big"))
    for sid in first:
        lite.keys(lambda ktx, sid=sid: lite.vault.destroy(ktx, "main", sid))
    began, cpu = time.perf_counter(), time.process_time()
    rolled = lite.epochs().roll()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    assert rolled is not None
    print(f"100,000 subjects: {rolled} in {took * 1000:.0f} ms, {used * 1000 / rolled.rekeyed:.1f} ms CPU a bucket")
    assert rolled.rekeyed >= 9
    assert used < 20
