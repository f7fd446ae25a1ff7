"""A file as rows: CSV and JSON lines, in UTF-8, however their lines end. What cannot be read is said by line number.

A file is read twice: once as a whole, so that one that is broken is refused before anything is written, and once row
by row. Nothing said here holds anything of what stands in the file but the names of its columns.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from troth.collect.json_once import once
from troth.errors import Invalid

MAX_LINE = 1 << 20  # bytes: a line longer than that is no person
MAX_FIELD = 131_072  # characters of one value
MAX_COLUMNS = 1_000
BOM = b"\xef\xbb\xbf"

Shape = Literal["csv", "jsonl"]


@dataclass(frozen=True)
class Row:
    """One row: where it begins, and its values by column; ``fault`` says why it has none."""

    line: int
    cells: dict[str, str]
    fault: str = ""


@dataclass(frozen=True)
class Scanned:
    """A file that can be read to its end: its shape, its columns, its number of rows and the hash of its bytes."""

    path: Path
    shape: Shape
    delimiter: str
    columns: tuple[str, ...]
    rows: int
    sha256: bytes

    def __iter__(self) -> Iterator[Row]:
        """The rows, in order. Blank lines are none."""
        if self.shape == "jsonl":
            return _json_rows(self.path)
        return _csv_rows(self.path, self.delimiter, self.columns)


def scan(path: Path) -> Scanned:
    """Read a file to its end. ``Invalid`` with the one reason why it cannot be: never with a value of it."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
        return _scanned(path, digest.digest())
    except OSError as fault:
        raise Invalid(f"the file cannot be read: {fault.strerror}") from None
    except csv.Error:
        pass  # its words may quote the line
    raise Invalid("the file cannot be read as CSV")


def _scanned(path: Path, sha256: bytes) -> Scanned:
    first = next((line for _, line in _lines(path) if line.strip()), None)
    if first is None:
        raise Invalid("the file is empty")
    if first.lstrip().startswith("{"):
        columns: dict[str, None] = {}
        count = 0
        for row in _json_rows(path):
            count += 1
            columns.update(dict.fromkeys(row.cells))
            if len(columns) > MAX_COLUMNS:
                raise Invalid(f"the file has more than {MAX_COLUMNS} columns")
        return Scanned(path, "jsonl", "", tuple(columns), count, sha256)
    delimiter = next((mark for mark in ",;\t" if mark in first), ",")
    header = tuple(name.strip() for name in next((cells for _, cells in _records(path, delimiter)), []))
    _check_header(header)
    count = sum(1 for _ in _csv_rows(path, delimiter, header))
    return Scanned(path, "csv", delimiter, header, count, sha256)


def _check_header(header: tuple[str, ...]) -> None:
    if len(header) > MAX_COLUMNS:
        raise Invalid(f"the file has more than {MAX_COLUMNS} columns")
    places: dict[str, list[str]] = {}
    for at, name in enumerate(header, start=1):
        places.setdefault(name.casefold(), []).append(str(at))
    twice = [found for found in places.values() if len(found) > 1]
    if twice:
        raise Invalid(f"columns {' and '.join(twice[0])} have the same name: it is not clear which one is meant")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, each with its end. ``Invalid`` for what is no text."""
    with path.open("rb") as file:
        number = 0
        while part := file.readline(MAX_LINE + 1):
            number += 1
            if len(part) > MAX_LINE:
                raise Invalid(f"line {number} is longer than {MAX_LINE} bytes")
            if number == 1:
                part = part.removeprefix(BOM)
            text = _decoded(part)
            if text is None or "\0" in text:
                raise Invalid(f"line {number} is not UTF-8 text: export the file as CSV or JSON lines in UTF-8")
            yield number, text


def _decoded(part: bytes) -> str | None:
    """The text; None where it is none (an exception would hold the bytes)."""
    try:
        return part.decode()
    except UnicodeDecodeError:
        return None


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file, each with the number of its first line; a quoted value may go over several."""
    begins = at = 0

    def lines() -> Iterator[str]:
        nonlocal at
        for at, text in _lines(path):  # noqa: B007 - the reader asks for lines, and we for where it is
            yield text

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        begins = at + 1
        broken = False
        try:
            cells = next(reader, None)
        except csv.Error:
            broken, cells = True, None
        if broken:
            raise Invalid(
                f"line {begins}: the quotation marks do not match, or a value is longer than {MAX_FIELD} characters"
            )
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield begins, cells


def _csv_rows(path: Path, delimiter: str, header: tuple[str, ...]) -> Iterator[Row]:
    records = _records(path, delimiter)
    next(records, None)
    for line, cells in records:
        if len(cells) != len(header):
            yield Row(line, {}, "cells")
        else:
            yield Row(line, dict(zip(header, cells, strict=True)))


def _json_rows(path: Path) -> Iterator[Row]:
    for line, text in _lines(path):
        if text.strip():
            cells = _object(text)
            yield Row(line, {}, "json") if cells is None else Row(line, cells)


def _object(text: str) -> dict[str, str] | None:
    """The members of a line as texts; what is no text, number or truth stays as JSON. None where it is no object."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        once(pairs)
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=members, parse_int=str, parse_float=str)
        if not isinstance(value, dict):
            return None
        return {name.strip(): _text(member) for name, member in value.items()}
    except (ValueError, RecursionError):
        return None


def _text(member: Any) -> str:
    if member is None:
        return ""
    return member if isinstance(member, str) else json.dumps(member, ensure_ascii=False)
