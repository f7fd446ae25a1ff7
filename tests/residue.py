"""A search for what must not be there: every byte of every file under a folder, for values in any usual encoding.

``find(folder, values)`` says where each value stands: plain, in another case or alphabet of bytes, as base64 at any
alignment (also wrapped into lines), as hex, percent- or JSON-escaped, as a common hash, inside a compressed file, in a
cell of a SQLite database, or split over two of its pages. An empty list means: looked everywhere, found nothing.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import html
import json
import lzma
import os
import quopri
import shutil
import sqlite3
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

SHORTEST = 6  # bytes: shorter values stand in any file by chance
HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "sha3_512", "blake2b", "blake2s")
SQLITE = b"SQLite format 3\0"
WAL = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


class Found(NamedTuple):
    """Where a value stands: the file, the offset in what was searched, and how it is written there."""

    file: Path
    offset: int
    encoding: str


def find(folder: Path, values: Iterable[str | bytes]) -> list[Found]:
    """Every place under ``folder`` where one of ``values`` stands, in names and in contents. Links are not followed.

    Text is searched as a person's value (cases, alphabets, hashes); bytes as they are, in hex and in base64.
    """
    needles = spellings(values)
    for _ in range(50):
        with suppress(FileNotFoundError):  # a running system renames files: what was missed has another name by now
            return _found(folder, needles)
    raise RuntimeError(f"the files under {folder} never stand still")


def _found(folder: Path, needles: dict[bytes, str]) -> list[Found]:
    found: list[Found] = []
    for file in files(folder):
        name = os.fsencode(file.relative_to(folder))
        found += [Found(file, name.find(needle), f"name: {how}") for needle, how in needles.items() if needle in name]
        for view, content in views(file):
            found += [
                Found(file, content.find(needle), f"{view}{how}")
                for needle, how in needles.items()
                if needle in content
            ]
    return found


def files(folder: Path) -> list[Path]:
    """All plain files under ``folder``, in order."""
    return sorted(path for path in folder.rglob("*") if stat.S_ISREG(path.lstat().st_mode))


# --- how a value may be written ---


def spellings(values: Iterable[str | bytes]) -> dict[bytes, str]:
    """Bytes to look for, and what each of them is."""
    needles: dict[bytes, str] = {}
    for value in values:
        if len(value if isinstance(value, bytes) else value.encode()) < SHORTEST:
            raise ValueError(f"a value of fewer than {SHORTEST} bytes stands in any file by chance")
        for needle, how in _of_bytes(value) if isinstance(value, bytes) else _of_text(value):
            if len(needle) >= SHORTEST:
                needles.setdefault(needle, how)
    return needles


def _of_bytes(value: bytes) -> Iterator[tuple[bytes, str]]:
    yield value, "plain"
    yield value.hex().encode(), "hex"
    yield value.hex().upper().encode(), "HEX"
    for shift in range(3):
        yield _aligned(base64.b64encode, value, shift), "base64"
        yield _aligned(base64.urlsafe_b64encode, value, shift), "base64url"
    yield base64.b32encode(value).rstrip(b"="), "base32"
    yield value.hex().encode("utf-16-le"), "hex in utf-16"


def _aligned(encode: object, value: bytes, shift: int) -> bytes:
    """The part of a base64 text that is the same whatever stands before and behind the value."""
    assert callable(encode)
    encoded: bytes = encode(bytes(shift) + value)
    whole = (shift + len(value)) // 3 * 4
    return encoded[(0, 2, 3)[shift] : whole]


def _of_text(value: str) -> Iterator[tuple[bytes, str]]:
    forms = {
        "": value,
        "lower ": value.lower(),
        "upper ": value.upper(),
        "title ": value.title(),
        "composed ": unicodedata.normalize("NFC", value),
        "decomposed ": unicodedata.normalize("NFD", value),
    }
    for case, form in forms.items():
        plain = form.encode()
        for needle, how in _of_bytes(plain):
            yield needle, f"{case}{how}"
        for name in ("utf-16-le", "utf-16-be", "utf-32-le", "latin-1", "utf-7"):
            with suppress(UnicodeEncodeError):
                yield form.encode(name), f"{case}{name}"
        yield base64.b64encode(form.encode("utf-16-le")).rstrip(b"=")[:-1], f"{case}base64 of utf-16"
        yield quote(form, safe="").encode(), f"{case}percent"
        yield quote(form, safe="").lower().encode(), f"{case}percent"
        yield quote_plus(form, safe="").encode(), f"{case}form"
        yield quote(form, safe="@").encode(), f"{case}percent"
        yield json.dumps(form)[1:-1].encode(), f"{case}JSON"
        yield html.escape(form).encode(), f"{case}HTML"
        yield quopri.encodestring(plain).replace(b"=\n", b""), f"{case}quoted-printable"
        yield plain[::-1], f"{case}reversed"
    for form in {value, value.lower(), value.upper(), value.strip().lower(), value.partition("@")[0]}:
        for name in HASHES:
            digest = hashlib.new(name, form.encode()).digest()
            yield digest, name
            yield digest.hex().encode(), f"{name} in hex"
            yield digest.hex().upper().encode(), f"{name} in HEX"
            yield base64.b64encode(digest).rstrip(b"=")[:-1], f"{name} in base64"
            yield base64.urlsafe_b64encode(digest).rstrip(b"=")[:-1], f"{name} in base64url"


# --- how a file may be read ---


def views(file: Path) -> Iterator[tuple[str, bytes]]:
    """The file's content, and everything that can be made of it: (what it is, bytes)."""
    content = file.read_bytes()
    yield from _views(content)
    if content.startswith(SQLITE):
        yield from (("cell: ", cell) for cell in _cells(file))


def _views(content: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    yield "", content
    if b"\n" in content:
        yield "unwrapped: ", content.replace(b"=\r\n", b"").replace(b"=\n", b"").translate(None, b"\r\n\t ")
    if content.startswith(SQLITE):
        size = struct.unpack(">H", content[16:18])[0]
        yield "pages: ", _joined(content, 65536 if size == 1 else size, 0, 0)
    if content.startswith(WAL):
        yield "pages: ", _joined(content, struct.unpack(">I", content[8:12])[0], 32, 24)
    if depth < 3:
        for inner in _unpacked(content):
            yield from ((f"unpacked: {view}", part) for view, part in _views(inner, depth + 1))


def _joined(content: bytes, page: int, start: int, header: int) -> bytes:
    """Pages without the pointer that an overflow page begins with: a value over two of them is whole again."""
    step = page + header
    return b"".join(content[at + header + 4 : at + step] for at in range(start, len(content), step))


def _unpacked(content: bytes) -> Iterator[bytes]:
    if content.startswith(b"\x1f\x8b"):
        with suppress(OSError, EOFError, zlib.error):
            yield gzip.decompress(content)
    if content[:1] == b"\x78":
        with suppress(zlib.error):
            yield zlib.decompress(content)
    if content.startswith(b"BZh"):
        with suppress(OSError, ValueError):
            yield bz2.decompress(content)
    if content.startswith(b"\xfd7zXZ"):
        with suppress(lzma.LZMAError):
            yield lzma.decompress(content)
    if content.startswith(b"PK\x03\x04"):
        with tempfile.TemporaryFile() as copy, suppress(zipfile.BadZipFile):
            copy.write(content)
            with zipfile.ZipFile(copy) as archive:
                yield from (archive.read(name) for name in archive.namelist())


def _cells(file: Path) -> Iterator[bytes]:
    """Every text and blob of the database as a reader would see it, read from a copy (so that nothing is touched)."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        for ending in ("", "-wal", "-journal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{file}{ending}", f"{copy}{ending}")
        with closing(sqlite3.connect(copy)) as database:
            database.text_factory = bytes
            for (table,) in database.execute(TABLES).fetchall():
                for row in database.execute(f'SELECT * FROM "{table.decode()}"'):
                    yield b"\0".join(cell for cell in row if isinstance(cell, bytes))
