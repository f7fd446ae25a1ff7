"""The key store's second copy: it follows before anything is called gone, and an older key store does not start."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tests.residue import find
from tests.vault.house import ANN, House
from troth.config import Config
from troth.errors import StartRefused, Unavailable


class Copied(House):
    """A house whose keys are copied to another folder."""

    @property
    def copy(self) -> Path:
        return self.folder.parent / "copy"

    @property
    def config(self) -> Config:
        return msgspec.structs.replace(super().config, keys_copy=str(self.copy))


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
