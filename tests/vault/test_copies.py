"""The key store's second copy: it follows before anything is called gone, and an older key store does not start."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tests.residue import find
from tests.vault.house import ANN, House
from troth.config import Config
from troth.errors import StartRefused, Unavailable
from troth.vault.epochs import Epochs, Settle


class Copied(House):
    """A house whose keys are copied to another folder."""

    @property
    def copy(self) -> Path:
        return self.folder.parent / "copy"

    @property
    def config(self) -> Config:
        return msgspec.structs.replace(super().config, keys_copy=str(self.copy))

    def epochs(self, settle: Settle = lambda tx, epoch, how: None) -> Epochs:
        """The roller as the composition root makes it: the copy follows before an epoch ends."""
        return Epochs(self.store, self.vault.keyring, settle, self.vault.copy.refresh)


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Copied]:
    house = Copied(tmp_path / "troth")
    house.copy.mkdir(mode=0o700)
    yield house
    house.close()


def in_copy(house: Copied, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(house.copy / "keys.db")) as copy:
        return copy.execute(statement).fetchall()


def test_an_erasure_is_gone_from_the_copy_before_it_is_called_gone(copied: Copied) -> None:
    ann, bob = copied.admit(), copied.admit("bob@example.org")
    copied.vault.copy.refresh()
    wrapped = [row[0] for row in in_copy(copied, "SELECT wrapped FROM data_keys")]
    mine = [bytes(each) for each in wrapped if isinstance(each, bytes)]
    assert find(copied.copy, mine)
    copied.erase(ann.sid)
    assert {row[0] for row in in_copy(copied, "SELECT sid FROM data_keys")} == {bob.sid}
    live = [bytes(row[0]) for row in in_copy(copied, "SELECT wrapped FROM data_keys") if isinstance(row[0], bytes)]
    assert find(copied.copy, [each for each in mine if each not in live]) == []


def test_while_the_copy_is_away_nothing_is_called_gone_and_no_epoch_is_made(copied: Copied) -> None:
    ann = copied.admit()
    away = copied.copy.with_name("away")
    copied.copy.rename(away)
    with pytest.raises(Unavailable, match="held"):
        copied.erase(ann.sid)
    with pytest.raises(Unavailable, match="cannot be written"):
        copied.vault.keyring.provider.create_epoch(9)
    away.rename(copied.copy)
    copied.vault.scrub()
    assert in_copy(copied, "SELECT count(*) FROM data_keys") == [(0,)]


def test_what_was_lost_comes_back_from_the_copy_and_an_older_key_store_does_not_start(copied: Copied) -> None:
    ann = copied.admit()
    copied.close()
    old = copied.folder.parent / "old.db"
    shutil.copy(copied.folder / "keys" / "keys.db", old)
    bob = copied.admit("bob@example.org")
    copied.store.publish()
    copied.vault.copy.refresh()
    copied.close()
    keys = copied.folder / "keys"
    for name in ("keys.db-wal", "keys.db-shm"):
        (keys / name).unlink(missing_ok=True)
    shutil.copy(old, keys / "keys.db")
    with pytest.raises(StartRefused, match="older"):
        copied.open()
    shutil.copy(copied.copy / "keys.db", keys / "keys.db")
    shutil.rmtree(keys / "epochs")
    shutil.copytree(copied.copy / "epochs", keys / "epochs")
    assert copied.contents(ann.sid)[0]["email"] == ANN
    assert copied.contents(bob.sid)


def test_an_epoch_is_destroyed_in_the_copy_too(copied: Copied) -> None:
    ann, bob = copied.admit(), copied.admit("bob@example.org")
    copied.vault.copy.refresh()
    (secret,) = [file.read_bytes() for file in (copied.copy / "epochs").iterdir()]
    copied.erase(ann.sid)
    assert copied.epochs().roll() is not None
    copied.vault.copy.refresh()
    assert find(copied.folder.parent, [secret]) == []
    assert len(list((copied.copy / "epochs").iterdir())) == 1
    assert copied.contents(bob.sid)


def test_who_asks_while_the_copy_is_made_shares_the_next_one(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty erasures at once cost two copies, not twenty; and each has a copy that began after it asked."""
    copy = copied.vault.copy
    make, begun, asked, go = copy._refresh, threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    made: list[set[int]] = []
    asking: set[int] = set()

    def slowly(folder: Path) -> None:
        made.append(set(asking))
        begun.release()
        assert go.wait(20)
        make(folder)

    def ask(number: int) -> set[int]:
        asking.add(number)
        asked.release()
        before = len(made)
        copy.refresh()
        return set().union(*made[before:])

    monkeypatch.setattr(copy, "_refresh", slowly)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(ask, 0)
        assert begun.acquire(timeout=20)
        others = {number: pool.submit(ask, number) for number in range(1, 20)}
        for _ in range(20):
            assert asked.acquire(timeout=20)
        go.set()
        first.result(20)
        for number, answer in others.items():
            assert number in answer.result(20)
    assert 2 <= len(made) <= 4, "whoever asked late may have had one more"


def test_a_copy_that_cannot_be_made_is_refused_to_everybody_who_waited(copied: Copied) -> None:
    copied.open()
    copied.copy.rename(copied.copy.with_name("away"))
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(copied.vault.copy.refresh) for _ in range(8)]
        assert [type(each.exception(20)) for each in waiting] == [Unavailable] * 8
