"""Passwords that became known: found in a list of any size, in any of its forms, with the same few reads."""

from __future__ import annotations

import hashlib
import io
import tempfile
import tracemalloc
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.cli.passwords import passwords as command
from troth.errors import Damaged, Invalid
from troth.use import breached
from troth.use.breached import FILE, MAGIC, OURS, SIZE, Breached, digest_of, folded, ours, write_list
from troth.use.passwords import LEAST, Passwords, fault_of

KNOWN = "a tortoise in the rhubarb"
FRESH = "eleven herons over the quay"

words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=30).filter(
    lambda word: not breached.HASHED.fullmatch(word.encode()) and word not in ours()
)


@settings(deadline=None, max_examples=150)
@given(st.lists(words, max_size=60), st.lists(words, max_size=20), st.integers(1, 9), st.integers(2, 4))
def test_the_search_finds_what_a_set_would(known: list[str], others: list[str], run: int, merged: int) -> None:
    with tempfile.TemporaryDirectory() as at, patch.multiple(breached, RUN=run, MERGED=merged):
        count = write_list([f"{word}\n".encode() for word in known], Path(at))
        lists, digests = Breached(Path(at)), {digest_of(word.encode()) for word in known}
        assert count == len(digests)
        for word in (*known, *others):
            assert lists.holds(word) == (digest_of(word.encode()) in digests or folded(word) in ours())
        content = (Path(at) / FILE).read_bytes().removeprefix(MAGIC)
        pieces = [content[at : at + SIZE] for at in range(0, len(content), SIZE)]
        assert pieces == sorted(digests)


def test_sabotage_a_list_that_is_not_sorted_would_be_noticed(tmp_path: Path) -> None:
    write_list([f"{word}\n".encode() for word in map(str, range(500))], tmp_path)
    content = (tmp_path / FILE).read_bytes().removeprefix(MAGIC)
    pieces = [content[at : at + SIZE] for at in range(0, len(content), SIZE)]
    (tmp_path / FILE).write_bytes(MAGIC + b"".join(reversed(pieces)))
    assert not all(Breached(tmp_path).holds(str(word)) for word in range(500))


@pytest.mark.parametrize("form", ["{word}\n", "{sha1}\n", "{SHA1}:42\r\n", "{sha1}:1"])
def test_a_line_may_be_a_password_or_its_hash_with_or_without_a_count(form: str, tmp_path: Path) -> None:
    sha1 = hashlib.sha1(KNOWN.encode()).hexdigest()
    write_list([form.format(word=KNOWN, sha1=sha1, SHA1=sha1.upper()).encode()], tmp_path)
    assert Breached(tmp_path).holds(KNOWN)
    assert not Breached(tmp_path).holds(FRESH)


def test_an_operators_password_and_a_persons_may_not_be_one_of_them(tmp_path: Path) -> None:
    write_list([KNOWN.encode()], tmp_path)
    checked = Passwords(Breached(tmp_path))
    with pytest.raises(Invalid) as caught:
        checked.hash(KNOWN, "ann")
    assert caught.value.gaps == ("password: breached",)
    assert KNOWN not in str(caught.value)
    assert checked.hash(FRESH, "ann").startswith("$argon2id$")
    assert Passwords().hash(KNOWN, "ann").startswith("$argon2id$")  # without the list nobody knows


@pytest.mark.parametrize("spelled", ["correct horse battery staple", "May the Force be with You", "tobeornottobe"])
def test_our_own_list_is_there_without_any_file(spelled: str) -> None:
    if fault_of(spelled, ""):
        return  # too short or guessed first anyway
    with pytest.raises(Invalid) as caught:
        Passwords().hash(spelled, "ann")
    assert caught.value.gaps == ("password: breached",)


def test_our_own_list_is_packed_and_holds_what_length_alone_lets_through() -> None:
    assert OURS.is_file()
    assert len(ours()) > 50
    assert [word for word in ours() if len(word) < LEAST - 4] == []


@pytest.mark.parametrize("content", [b"", b"troth", MAGIC + b"odd", b"another!!\n" + b"x" * SIZE])
def test_a_damaged_list_is_named_and_lets_nothing_through(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Damaged, match="import it again"):
        Breached(tmp_path).holds(FRESH)


def test_a_long_list_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        lines = (f"word number {number}\n".encode() for number in range(count))
        tracemalloc.start()
        write_list(lines, tmp_path)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    with patch.object(breached, "RUN", 2_000):
        short, long = peak(4_000), peak(40_000)
    assert long < 2.5 * short  # ten times the lines


def test_the_command_takes_a_list_in_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    (tmp_path / "troth.toml").write_text("")
    listed = tmp_path / "list.txt"
    listed.write_bytes(f"{KNOWN}\n{KNOWN}\nanother\n".encode())
    done = CliRunner().invoke(command, ["import", str(listed), "--data", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("2 passwords")
    assert Breached(tmp_path).holds(KNOWN)
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, "list.txt", "troth.toml"]
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    again = CliRunner().invoke(command, ["import", "-", "--data", str(tmp_path)], input=io.BytesIO(b"other words\n"))
    assert again.exit_code == 0
    assert not Breached(tmp_path).holds(KNOWN)  # in place of the one before
