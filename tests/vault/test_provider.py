"""The key file: made private, and each way in which it can be wrong gets one clear refusal that says what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vault.house import House
from troth.errors import Damaged, StartRefused
from troth.vault.provider import FileProvider
from troth.world import SystemRandomness

CHANCE = SystemRandomness()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key file that is as it must be."""
    path = tmp_path / "keys" / "root.key"
    FileProvider.create(path, CHANCE)
    return path


def line(path: Path) -> str:
    return path.read_text().splitlines()[-1]


def test_a_new_key_file_is_private_and_opens_again(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    first, second = FileProvider.open(key, CHANCE), FileProvider.open(key, CHANCE)
    assert second.unwrap(first.wrap(b"k" * 32, b"here"), b"here", "it") == b"k" * 32
    assert second.open_epoch(1, first.create_epoch(1)) != first.open_epoch(1, first.create_epoch(1))


def test_a_loose_folder_is_made_private_with_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    FileProvider.create(folder / "root.key", CHANCE)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_wrapped_opens_in_its_place_only(key: Path) -> None:
    provider = FileProvider.open(key, CHANCE)
    wrapped = provider.wrap(b"k" * 32, b"here")
    epoch = provider.create_epoch(1)
    with pytest.raises(Damaged, match="the thing"):
        provider.unwrap(wrapped, b"there", "the thing")
    with pytest.raises(Damaged):
        provider.open_epoch(2, epoch)
    for at in range(len(wrapped)):
        flipped = bytearray(wrapped)
        flipped[at] ^= 1
        with pytest.raises(Damaged):
            provider.unwrap(bytes(flipped), b"here", "it")


def replaced(text: Callable[[str], str]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.write_text(text(path.read_text()))

    return spoil


def swapped_check(text: str) -> str:
    form, key, check = text.splitlines()[-1].split()
    return f"{form} {key} {check[::-1]}\n"


def scramble(path: Path) -> None:
    path.write_bytes(os.urandom(300))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda path: path.unlink(), r"is missing: put its copy back, or run `troth init`"),
    "readable by the group": (lambda path: path.chmod(0o640), r"others can reach the key file .* `chmod 600 "),
    "readable by all": (lambda path: path.chmod(0o604), r"others can reach the key file"),
    "in a loose folder": (lambda path: path.parent.chmod(0o750), r"folder of the key file: run `chmod 700 "),
    "empty": (replaced(lambda _: ""), r"is not a key file of Troth"),
    "of another kind": (replaced(lambda _: "-----BEGIN PRIVATE KEY-----\n"), r"is not a key file of Troth"),
    "of a later form": (replaced(lambda text: text.replace("root-1", "root-2")), r"is not a key file of Troth"),
    "two keys": (replaced(lambda text: text + text.splitlines()[-1]), r"is not a key file of Troth"),
    "not text": (scramble, r"is not a key file of Troth"),
    "huge": (replaced(lambda text: text + "#" * 100_000), r"is not a key file of Troth"),
    "mistyped": (replaced(lambda text: re.sub(r"(?<=-1 )(.)", lambda m: "0" if m[1] != "0" else "1", text)), "damaged"),
    "cut off": (replaced(lambda text: text.replace(text.split()[-2], text.split()[-2][:-2])), r"damaged"),
    "with a wrong check": (replaced(swapped_check), r"damaged \(its check value does not fit\): put its copy back"),
    "not hex": (replaced(lambda text: text.replace(text.split()[-2], "z" * 64)), r"damaged"),
    "a folder": (make_folder, r"not a plain file"),
    "a pipe": (make_pipe, r"not a plain file"),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_key_file_is_refused_with_what_to_do(key: Path, how: str) -> None:
    whole = line(key).split()[1]
    spoil, told = WRONG[how]
    spoil(key)
    with pytest.raises(StartRefused, match=told) as refusal:
        FileProvider.open(key, CHANCE)
    assert whole[:16] not in str(refusal.value)
    assert str(key.parent) in str(refusal.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_another_user_is_refused(key: Path) -> None:
    os.chown(key, 12345, 12345)
    with pytest.raises(StartRefused, match="belongs to another user"):
        FileProvider.open(key, CHANCE)


def test_a_key_file_is_never_overwritten(key: Path) -> None:
    before = key.read_bytes()
    with pytest.raises(StartRefused, match="never overwritten"):
        FileProvider.create(key, CHANCE)
    assert key.read_bytes() == before


def test_a_key_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where the folder should be")
    with pytest.raises(StartRefused, match="cannot be made"):
        FileProvider.create(tmp_path / "keys" / "root.key", CHANCE)


def test_the_key_of_another_system_does_not_open_this_key_store(house: House) -> None:
    ann = house.admit()
    house.close()
    house.key_file.rename(house.key_file.with_name("right.key"))
    FileProvider.create(house.key_file, CHANCE)
    for _ in range(2):  # and refusing changes nothing
        with pytest.raises(StartRefused, match="not the one that this key store was made with: put the right key"):
            house.open()
    house.key_file.with_name("right.key").rename(house.key_file)
    assert house.contents(ann.sid)
