"""Passwords that became known: a short list of our own, and a long one that an operator may bring. Never asked online.

The long one is a file of SHA-1 beginnings, sorted, in the data folder: looked up by binary search with a few reads and
no memory, whatever its size. SHA-1 is what such lists are published in; nothing here is kept secret by it. Source of
the demand: NIST SP 800-63B-4 3.1.1.2. Clause ``protect.password``.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from troth.errors import Damaged

FILE = "breached-passwords"  # in the data folder
OURS = Path(__file__).with_name("breached.txt")
MAGIC = b"troth-bp1\n"
SIZE = 10  # bytes of a SHA-1 that are kept: by chance one good password in 10**15 is refused
RUN = 500_000  # digests that are sorted in memory at once: some 40 MB
MERGED = 64  # files that are merged at once
LONGEST = 4096  # bytes of a line
HASHED = re.compile(rb"([0-9A-Fa-f]{40})(?::\d+)?")


def digest_of(password: bytes) -> bytes:
    """How a password stands in the file."""
    return hashlib.sha1(password, usedforsecurity=False).digest()[:SIZE]


def folded(password: str) -> str:
    """A password as our own list has it: no capitals, no spaces."""
    return "".join(password.casefold().split())


@lru_cache(maxsize=1)
def ours() -> frozenset[str]:
    """Our own list."""
    lines = OURS.read_text("utf-8").splitlines()
    return frozenset(folded(line) for line in lines if line and not line.startswith("#"))


class Breached:
    """Both lists. Safe to use from any thread; a list that is imported meanwhile counts from then on."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` is where the operator's list may lie."""
        self.file = None if folder is None else folder / FILE

    def holds(self, password: str) -> bool:
        """Whether this password, already in its normal form, became known."""
        if folded(password) in ours():
            return True
        if self.file is None:
            return False
        try:
            opened = self.file.open("rb")
        except FileNotFoundError:
            return False
        with opened:
            return stands_in(opened, digest_of(password.encode()))


def stands_in(opened: BinaryIO, digest: bytes) -> bool:
    """Binary search for one digest. ``Damaged`` where the file is not one of ours."""
    size = opened.seek(0, os.SEEK_END) - len(MAGIC)
    opened.seek(0)
    if size < 0 or size % SIZE or opened.read(len(MAGIC)) != MAGIC:
        raise Damaged("the list of known passwords is damaged: import it again")
    low, high = 0, size // SIZE
    while low < high:
        middle = (low + high) // 2
        opened.seek(len(MAGIC) + middle * SIZE)
        found = opened.read(SIZE)
        if found == digest:
            return True
        low, high = (middle + 1, high) if found < digest else (low, middle)
    return False


def digests(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The digests of a list: a line is 40 hexadecimal digits, perhaps with ``:count`` behind them, or a password."""
    for line in lines:
        line = line.rstrip(b"\r\n")
        hashed = HASHED.fullmatch(line)
        if hashed:
            yield bytes.fromhex(hashed[1].decode())[:SIZE]
        elif line and len(line) <= LONGEST:
            yield digest_of(line)


def write_list(lines: Iterable[bytes], folder: Path) -> int:
    """Make the operator's list of these lines, in place of the one before; how many different ones it holds.

    The memory needed does not grow with the list: sorted runs are written and then merged.
    """
    found = digests(lines)
    target, new = folder / FILE, folder / f"{FILE}.new"
    with tempfile.TemporaryDirectory(dir=folder, prefix=f"{FILE}-") as scratch, ExitStack() as ending:
        ending.callback(new.unlink, missing_ok=True)
        runs: list[Path] = []
        while run := sorted(set(islice(found, RUN))):
            runs.append(written(run, Path(scratch), len(runs)))
        made = len(runs)
        while len(runs) > MERGED:
            runs.append(written(merged(runs[:MERGED]), Path(scratch), made))
            runs, made = runs[MERGED:], made + 1
        count = 0
        with open(new, "wb", opener=private) as out:
            out.write(MAGIC)
            for digest in merged(runs):
                out.write(digest)
                count += 1
            out.flush()
            os.fsync(out.fileno())
        os.replace(new, target)
    return count


def private(path: str, flags: int) -> int:
    """Open a file that nobody else may read."""
    return os.open(path, flags, 0o600)


def written(run: Iterable[bytes], folder: Path, number: int) -> Path:
    """A sorted run as a file."""
    file = folder / str(number)
    with file.open("wb") as out:
        out.writelines(run)
    return file


def merged(runs: list[Path]) -> Iterator[bytes]:
    """Sorted runs as one, each digest once."""
    last = b""
    with ExitStack() as ending:
        files = [ending.enter_context(run.open("rb")) for run in runs]
        for digest in heapq.merge(*(pieces(file) for file in files)):
            if digest != last:
                last = digest
                yield digest


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """The digests of a run."""
    while piece := file.read(SIZE):
        yield piece
