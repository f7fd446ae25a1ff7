"""Killed at any touch of a key file: the second copy never brings a destroyed key back, and never loses a live one.

The killing is SIGKILL by a forked process itself, before each opening, renaming, removing and syncing of a file of the
key store or of its copy, and between the making of an epoch's file and the writing of it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.residue import find
from tests.vault.house import MINUTE
from tests.vault.test_copies import Copied
from troth.errors import Damaged, StartRefused
from troth.store import tables
from troth.vault import copies, provider

TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.truncate"}
BOB = "bob@example.org"
MOMENTS = 80  # in which it can end, at the least


class Killed:
    """One death: the folder it left, and what had been said before."""

    def __init__(self, folder: Path, ended: str, said: list[str]) -> None:
        self.folder = folder
        self.house = Copied(folder / "troth")
        self.house.clock.advance(MINUTE)
        self.ended = ended
        self.said = said


def prepared(folder: Path) -> tuple[bytes, bytes, bytes, bytes]:
    """Ann and Bob in a house whose copy is empty still: their ids, Ann's wrapped key, and the epoch's secret."""
    house = Copied(folder / "troth")
    house.copy.mkdir(mode=0o700, parents=True)
    ann, bob = house.admit(), house.admit(BOB)
    house.close()
    shutil.rmtree(house.copy)
    house.copy.mkdir(mode=0o700)
    with closing(sqlite3.connect(house.folder / "keys" / "keys.db")) as keys:
        ((wrapped,),) = keys.execute("SELECT wrapped FROM data_keys WHERE sid = ? AND class = ''", (ann.sid,))
    (secret,) = [file.read_bytes() for file in (house.folder / "keys" / "epochs").iterdir()]
    return ann.sid, bob.sid, bytes(wrapped), secret


def life(house: Copied, ann: bytes, say: Callable[[str], None]) -> None:
    """The copy is made; Ann is erased; the epoch is rolled."""
    house.vault.copy.refresh()
    say("copied")
    house.erase(ann)
    say("erased")
    assert house.epochs().roll() is not None
    say("rolled")


def die_at(number: int, folder: Path) -> None:
    """From here on this process counts what it does to files of keys, and is gone before the given one."""
    left, own = number, threading.get_ident()

    def touch() -> None:
        nonlocal left
        left -= threading.get_ident() == own  # the publisher syncs as well, whenever it likes
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in TOUCHES and isinstance(args[0], (str, os.PathLike)):
            name = os.fspath(args[0])
            if name.startswith(str(folder / "copy")) or "/keys/epochs" in name:
                touch()

    sys.addaudithook(hook)
    for name in ("fsync", "fdopen"):
        done = getattr(os, name)

        def counted(*args: Any, _done: Any = done, **more: Any) -> Any:
            touch()
            return _done(*args, **more)

        setattr(os, name, counted)


def killed(made: Path, folder: Path, ann: bytes, at: int) -> Killed:
    """A copy of a house, and a process that dies in it."""
    shutil.copytree(made, folder)
    child = os.fork()
    if child == 0:
        try:
            file = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            house = Copied(folder / "troth")
            house.clock.advance(MINUTE)
            house.open()
            said: list[int] = []
            die_at(at, folder)
            life(house, ann, lambda word: said.append(os.write(file, f"{word}\n".encode())))
            os._exit(0)
        except BaseException as problem:
            sys.stderr.write(f"{type(problem).__name__}: {problem}\n")
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    ended = "killed" if os.WIFSIGNALED(status) else "survived" if status == 0 else "failed"
    return Killed(folder, ended, (folder / "said").read_text().split())


def from_the_copy(one: Killed, where: Path) -> Copied:
    """The house after its key store was lost and the second copy put in its place."""
    shutil.copytree(one.folder, where)
    house = Copied(where / "troth")
    keys = house.folder / "keys"
    for name in ("keys.db", "keys.db-wal", "keys.db-shm"):
        (keys / name).unlink(missing_ok=True)
    shutil.copy(house.copy / "keys.db", keys / "keys.db")
    shutil.rmtree(keys / "epochs")
    shutil.copytree(house.copy / "epochs", keys / "epochs")
    return house


def faults(one: Killed, made: tuple[bytes, bytes, bytes, bytes]) -> Iterator[str]:
    """Everything that is not as it must be after this death."""
    ann, bob, wrapped, secret = made
    house, copy = one.house, one.house.copy
    if one.ended == "failed":
        yield "it failed"
    if "erased" in one.said and find(copy, [wrapped]):
        yield "called erased, and in the copy"
    if "rolled" in one.said and find(one.folder, [secret]):
        yield "called destroyed, and still there"
    epochs = house.folder / "keys" / "epochs"
    before = {file.name for file in epochs.iterdir() if file.read_bytes() == secret}
    house.vault.copy.refresh()
    if not before and find(epochs, [secret]):
        yield "the copy brought a destroyed key back"
    if house.contents(bob)[0]["email"] != BOB:
        yield "a live key is lost"
    house.store.publish()
    house.vault.copy.refresh()
    house.close()
    yield from lost(one, made, one.folder.with_name(f"{one.folder.name}-refreshed"))
    if house.mode(ann) is not None:
        house.erase(ann)
    house.epochs().roll()
    house.vault.copy.refresh()
    if find(one.folder, [wrapped, secret]):
        yield "a destroyed key is left over"
    if {file.name for file in copy.iterdir()} != {"keys.db", "epochs"}:
        yield "something is left in the copy"
    house.close()


def lost(one: Killed, made: tuple[bytes, bytes, bytes, bytes], where: Path) -> Iterator[str]:
    """What the second copy alone, as the death left it, brings back and what it does not."""
    ann, bob, _, _ = made
    house = from_the_copy(one, where)
    try:
        try:
            house.open()
        except (StartRefused, Damaged):
            yield "a live key is lost with the key store"
            return
        if house.contents(bob)[0]["email"] != BOB:
            yield "a live key is lost with the key store"
        if "erased" in one.said and house.vault.look("main", ann) != (0, 0):
            yield "an erased person is in the copy"
    finally:
        house.close()


def deaths(folder: Path, moments: Iterable[int]) -> tuple[set[str], int, set[str]]:
    """What is wrong after deaths at these moments; the last one that there was; what had been said by then."""
    made = prepared(folder / "made")
    found: set[str] = set()
    seen: set[str] = set()
    at = 0
    for at in moments:
        one = killed(folder / "made", folder / str(at), made[0], at)
        seen.add(" ".join(one.said))
        if "copied" in one.said:
            found |= set(lost(one, made, folder / f"{at}-copy"))
        found |= set(faults(one, made))
        if one.ended != "killed":
            break
    return found, at, seen


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.full)])
def test_killed_at_any_touch_of_a_key_file_nothing_comes_back_and_nothing_is_lost(tmp_path: Path, step: int) -> None:
    found, last, seen = deaths(tmp_path, itertools.count(1, step))
    assert found == set()
    assert last > MOMENTS
    assert {"", "copied", "copied erased", "copied erased rolled"} <= seen


def test_a_file_that_had_its_name_before_it_was_whole_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sabotage: a secret is written under its own name, and whatever lies there is taken for one."""
    monkeypatch.setattr(provider, "_beside", lambda path: path)
    monkeypatch.setattr(provider, "_read_secret", lambda path: path.read_bytes() if path.exists() else None)
    assert "a live key is lost with the key store" in deaths(tmp_path, range(5, 9))[0]


def test_an_epoch_that_is_mirrored_while_it_is_destroyed_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sabotage: every epoch is mirrored that is not called destroyed yet."""
    every = select(tables.epochs.c.epoch, tables.epochs.c.wrapped).where(tables.epochs.c.wrapped.is_not(None))
    monkeypatch.setattr(copies, "LIVE", every)
    assert "the copy brought a destroyed key back" in deaths(tmp_path, range(MOMENTS - 3, MOMENTS + 12, 2))[0]
