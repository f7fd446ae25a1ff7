"""An export looked through before anything of it is used: every file, every row, and the log recomputed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from troth.errors import Damaged
from troth.store.checkpoint import BadCheckpoint, parse_checkpoint
from troth.store.merkle import Frontier, leaf_hash
from troth.store.moving.away import AWAY, KINDS
from troth.store.moving.folder import compare, lines
from troth.store.moving.manifest import Manifest
from troth.store.moving.shapes import Shape
from troth.store.tables import heads, ledger, tree
from troth.store.tables.moving import moving

Watching: TypeAlias = Callable[[int, int], None]
"""Told how many rows of how many are done."""

STEP = 2000  # rows between two tellings


class Steps:
    """Counts rows for somebody who watches."""

    def __init__(self, watching: Watching | None, total: int) -> None:
        self._watching = watching
        self._total = total
        self._done = 0

    def took(self, rows: Iterator[Any]) -> Iterator[Any]:
        """The rows, counted as they go by."""
        for row in rows:
            self._done += 1
            if self._watching is not None and self._done % STEP == 0:
                self._watching(self._done, self._total)
            yield row


def rows(folder: Path, manifest: Manifest, shape: Shape) -> Iterator[Any]:
    """A table's rows from its file; ``Damaged`` naming file and line where one is not as it was written."""
    file = manifest.file(shape.file)
    number = 0
    for number, line in enumerate(lines(folder, file), 1):
        try:
            row = shape.read(line)
        except (msgspec.MsgspecError, ValueError) as fault:
            raise Damaged(f"{file.name}, line {number}, is no row of this table ({_why(fault)})") from None
        yield row
    if number != file.rows:
        raise Damaged(f"{file.name} has {number} rows, the manifest says {file.rows}")


def check(folder: Path, manifest: Manifest, public: bytes, watching: Watching | None = None) -> None:
    """Read everything once. ``Damaged`` at the first thing that does not fit; nothing is written anywhere."""
    steps = Steps(watching, manifest.rows)
    log = _Log(manifest, public)
    looks: dict[str, Callable[[Any], None]] = {ledger.name: log.entry, tree.name: log.tree, heads.name: log.head}
    for table in moving():
        shape = Shape(table)
        look = looks.get(table.name)
        for row in steps.took(rows(folder, manifest, shape)):
            if look is not None:
                look(row)
    log.end()
    for file in manifest.files:
        if file.rows is None:
            compare(folder, file)


class _Log:
    """The log as it goes by: entries, then its head as D signed it, then its head as K remembers it."""

    def __init__(self, manifest: Manifest, public: bytes) -> None:
        self._manifest = manifest
        self._public = public
        self._frontier = Frontier()
        self._moved = ""
        self._seen: set[str] = set()

    def entry(self, row: Any) -> None:
        if row.seq != self._frontier.size:
            raise Damaged(f"entry {self._frontier.size} of the log is missing")
        self._frontier.append(leaf_hash(row.body))
        if row.kind in KINDS:
            self._moved = row.kind

    def tree(self, row: Any) -> None:
        self._seen.add("tree")
        head = (self._frontier.size, self._frontier.root())
        if (row.size, row.root) != head or row.frontier != self._frontier.to_bytes():
            raise Damaged("the entries do not make the root that stands beside them: one was altered or lost")
        try:
            signed = parse_checkpoint(row.checkpoint, self._public)
        except BadCheckpoint as fault:
            raise Damaged(f"the log's checkpoint does not hold: {fault}") from None
        if signed != (self._manifest.log.origin, *head):
            raise Damaged("the log's checkpoint speaks of another log than this one")

    def head(self, row: Any) -> None:
        self._seen.add("heads")
        if (row.size, row.root) != (self._frontier.size, self._frontier.root()):
            raise Damaged("the key store remembers another head of the log")

    def end(self) -> None:
        told = self._manifest.log
        if self._seen != {"tree", "heads"}:
            raise Damaged("the export holds no head of the log")
        if (told.size, told.root) != (self._frontier.size, self._frontier.root().hex()):
            raise Damaged("the manifest speaks of another log than the entries make")
        if self._manifest.final != (self._moved == AWAY):
            raise Damaged("the manifest and the log do not agree on whether the old system moved away")


def _why(fault: Exception) -> str:
    """The member at fault: msgspec quotes types and paths, never contents."""
    return "not UTF-8" if isinstance(fault, UnicodeDecodeError) else str(fault)
