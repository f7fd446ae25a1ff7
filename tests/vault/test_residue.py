"""The search for what must be gone is itself tested: a copy planted in each kind of file is found, in each encoding."""

from __future__ import annotations

import base64
import gzip
import hashlib
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.residue import find

VALUE = "Zoë.Marker-7fQ2@example.org"
KEY = bytes.fromhex("b1f4a9d1c3e57f0842aa9b0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f41")

ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "upper": lambda v: v.upper().encode(),
    "lower": lambda v: v.lower().encode(),
    "decomposed": lambda v: v.replace("ë", "e\u0308").encode(),
    "utf-16": lambda v: v.encode("utf-16"),
    "utf-16 big-endian": lambda v: v.encode("utf-16-be"),
    "latin-1": lambda v: v.encode("latin-1"),
    "hex": lambda v: v.encode().hex().encode(),
    "HEX": lambda v: v.encode().hex().upper().encode(),
    "base64": lambda v: base64.b64encode(v.encode()),
    "base64 inside": lambda v: base64.b64encode(b"ab" + v.encode() + b"tail"),
    "base64 further inside": lambda v: base64.b64encode(b"a" + v.encode() + b"tail"),
    "base64url of lower": lambda v: base64.urlsafe_b64encode(b"{" + v.lower().encode() + b"}"),
    "base64 in lines": lambda v: base64.encodebytes(b"x" * 40 + v.encode() + b"y" * 40),
    "base32": lambda v: base64.b32encode(v.encode()),
    "percent": lambda v: quote(v, safe="").encode(),
    "JSON": lambda v: v.replace("ë", "\\u00eb").encode(),
    "quoted-printable": lambda v: v.replace("ë", "=C3=AB").encode(),
    "quoted-printable in lines": lambda v: v.replace("ë", "=C3=AB").replace("Marker", "Mar=\r\nker").encode(),
    "HTML": lambda v: f"<p>{v}</p>".encode(),
    "reversed": lambda v: v.encode()[::-1],
    "md5": lambda v: hashlib.md5(v.lower().encode()).hexdigest().encode(),
    "sha1": lambda v: hashlib.sha1(v.encode()).digest(),
    "sha256": lambda v: hashlib.sha256(v.lower().encode()).digest(),
    "sha256 in base64": lambda v: base64.b64encode(hashlib.sha256(v.encode()).digest()),
    "sha512": lambda v: hashlib.sha512(v.encode()).hexdigest().upper().encode(),
    "blake2b": lambda v: hashlib.blake2b(v.encode()).digest(),
}


def cell(path: Path, content: bytes) -> None:
    """In a row of a SQLite database."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
        database.execute("INSERT INTO t (b) VALUES (?)", (content,))
        database.commit()


def split_cell(path: Path, content: bytes) -> None:
    """In a row so long that the value lies over the edge of a page."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA page_size=4096")
        database.execute("CREATE TABLE t (b BLOB)")
        for before in range(8000, 8200, 4):
            database.execute("INSERT INTO t (b) VALUES (?)", (b"." * before + content + b"." * 50,))
        database.commit()


def dead_cell(path: Path, content: bytes) -> None:
    """In a row that was deleted without being overwritten."""
    cell(path, content)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA secure_delete=OFF")
        database.execute("DELETE FROM t")
        database.commit()


def zipped(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", b"before" + content + b"after")


def made_of(make: Callable[[bytes], bytes]) -> Callable[[Path, bytes], None]:
    """A file of what ``make`` makes of the value."""

    def write(path: Path, content: bytes) -> None:
        path.write_bytes(make(content))

    return write


KINDS: dict[str, Callable[[Path, bytes], None]] = {
    "text.log": made_of(lambda content: b"1 INFO " + content + b"\n"),
    "rows.db": cell,
    "long.db": split_cell,
    "dead.db": dead_cell,
    "entries.tile": made_of(lambda content: bytes(range(256)) * 9 + content),
    "old.log.gz": made_of(lambda content: gzip.compress(content * 2)),
    "packed": made_of(lambda content: zlib.compress(b"{" + content + b"}")),
    "bundle.zip": zipped,
    "twice.gz": made_of(lambda content: gzip.compress(zlib.compress(content))),
    ".hidden.tmp": made_of(lambda content: content),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with other people's things in it."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "noise.bin").write_bytes(hashlib.shake_256(b"noise").digest(200_000))
    cell(tmp_path / "clean.db", b"somebody.else@example.org")
    (tmp_path / "clean.log").write_text("7 INFO somebody.else@example.org\n" * 100)
    return tmp_path


def test_nothing_is_found_where_nothing_is(folder: Path) -> None:
    assert find(folder, [VALUE, KEY]) == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_value_is_found_in_each_encoding(folder: Path, encoding: str) -> None:
    planted = folder / "deep" / "er" / "file"
    planted.write_bytes(b"before it " + ENCODINGS[encoding](VALUE) + b" and behind")
    assert {one.file for one in find(folder, [VALUE])} == {planted}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["plain", "base64", "sha256"])
def test_a_copy_in_each_kind_of_file_is_found(folder: Path, kind: str, encoding: str) -> None:
    planted = folder / "deep" / kind
    KINDS[kind](planted, ENCODINGS[encoding](VALUE))
    assert {one.file for one in find(folder, [VALUE])} == {planted}


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_in_each_kind_of_file_is_found(folder: Path, kind: str) -> None:
    planted = folder / "deep" / kind
    KINDS[kind](planted, KEY)
    assert {one.file for one in find(folder, [KEY])} == {planted}


def test_what_is_in_a_write_ahead_log_only_is_found(folder: Path) -> None:
    path = folder / "busy.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        database.execute("CREATE TABLE t (b BLOB)")
        database.execute("INSERT INTO t VALUES (?)", (b"." * 9000 + KEY,))
        database.commit()
        assert {one.file.name for one in find(folder, [KEY])} == {"busy.db", "busy.db-wal"}
        assert VALUE.encode() not in path.read_bytes()


def test_a_value_over_the_edge_of_a_page_is_found_in_the_pages_too(folder: Path) -> None:
    """The rows may be gone while their pages are not: the joined pages are searched, not only the cells."""
    path = folder / "long.db"
    split_cell(path, KEY)
    views = {one.encoding for one in find(folder, [KEY])}
    assert {"pages: plain", "cell: plain"} <= views


def test_a_value_in_a_name_is_found(folder: Path) -> None:
    (folder / f"{VALUE}.txt").write_text("")
    assert next(one.encoding for one in find(folder, [VALUE])).startswith("name: ")


def test_links_are_not_followed_and_short_values_are_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "file"
    outside.write_text(VALUE)
    (folder / "link").symlink_to(outside)
    assert find(folder, [VALUE]) == []
    with pytest.raises(ValueError, match="by chance"):
        find(folder, ["ann"])
