"""Reading a published log: which file holds what, the entries in it, and the roots of its subtrees.

Format: c2sp.org/tlog-tiles. A tile that is partial in a log of one size may have been replaced by a wider one
when the log grew; whoever needs the narrow one takes the first hashes of the wide one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import msgspec

from troth.store.checkpoint import parse_checkpoint, parse_verifier_key
from troth.store.merkle import node_hash

WIDTH = 256
HASH = 32
ENTRIES = -1
"""The level of entry bundles: they lie below the hashes of level 0."""

_NAME = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class Framing(ValueError):
    """An entry bundle's lengths do not fit its bytes."""


class Tile(msgspec.Struct, frozen=True, order=True):
    """A place in the tree: level (``ENTRIES`` for bundles), number within it, and how many hashes it holds."""

    level: int
    number: int
    width: int

    @property
    def first(self) -> int:
        """The number of its first hash within the level."""
        return self.number * WIDTH

    @property
    def name(self) -> str:
        """Its path in the evidence folder: ``tile/0/x001/x234/067.p/5``."""
        rest, path = divmod(self.number, 1000)
        text = f"{path:03d}"
        while rest:
            rest, path = divmod(rest, 1000)
            text = f"x{path:03d}/{text}"
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{text}" + ("" if self.width == WIDTH else f".p/{self.width}")

    @classmethod
    def of(cls, name: str) -> Tile | None:
        """The tile of this path; None where the path is not the one spelling of a tile."""
        match = _NAME.fullmatch(name)
        if not match:
            return None
        number = int(match[2].replace("x", "").replace("/", ""))
        tile = cls(ENTRIES if match[1] == "entries" else int(match[1]), number, int(match[3] or WIDTH))
        return tile if tile.name == name and tile.level < 64 and tile.width <= WIDTH else None


def level_sizes(size: int) -> dict[int, int]:
    """Level -> how many hashes (or entries) a log of this size has there."""
    sizes, level = {ENTRIES: size} if size else {}, 0
    while size:
        sizes[level], level, size = size, level + 1, size // WIDTH
    return sizes


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile and bundle of a log of this size, level by level."""
    for level, count in level_sizes(size).items():
        for number in range(-(-count // WIDTH)):
            yield Tile(level, number, min(WIDTH, count - number * WIDTH))


def split_bundle(raw: bytes, width: int) -> Iterator[tuple[int, bytes]]:
    """(offset, entry) of each entry of a bundle; ``Framing`` where its lengths stop making sense."""
    at = 0
    for number in range(width):
        length = int.from_bytes(raw[at : at + 2], "big")
        if at + 2 > len(raw) or at + 2 + length > len(raw):
            raise Framing(f"entry {number} of {width} in this bundle begins at byte {at} and does not end")
        yield at, raw[at + 2 : at + 2 + length]
        at += 2 + length
    if at != len(raw):
        raise Framing(f"{len(raw) - at} bytes follow the last entry, from byte {at} on")


class Files:
    """The files of a log, wherever they lie: their names, and a way to read one."""

    def __init__(self, names: Iterable[str], read: Callable[[str], bytes]) -> None:
        """``read`` gives a file's bytes; what cannot be read is taken as empty, and so does not hold."""
        self.names: Collection[str] = frozenset(names)
        self._read = read
        self._held: dict[tuple[int, int], list[int]] = {}
        for name in self.names:
            if tile := Tile.of(name):
                self._held.setdefault((tile.level, tile.number), []).append(tile.width)

    @classmethod
    def in_folder(cls, folder: Path) -> Files:
        """The files of an evidence folder as they are now."""
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
        return cls(names, lambda name: (folder / name).read_bytes())

    def read(self, name: str) -> bytes:
        """A file's bytes; empty where it is not there or cannot be read."""
        try:
            return self._read(name)
        except (OSError, KeyError):
            return b""

    def holder(self, tile: Tile) -> Tile | None:
        """The tile whose file holds this one: itself, or the narrowest wider one."""
        wide = [width for width in self._held.get((tile.level, tile.number), ()) if width >= tile.width]
        return Tile(tile.level, tile.number, min(wide)) if wide else None


class PublishedLog:
    """A log as it is published in a folder, read piece by piece: for receipts and for the evidence pages.

    What it gives is as published, not verified, except for the checkpoint's signature by the folder's own key.
    Raises ``BadCheckpoint`` (a ``ValueError``) where checkpoint or key do not hold.
    """

    def __init__(self, folder: Path) -> None:
        """Read the newest checkpoint; later growth of the folder is not seen."""
        self.folder = folder
        self.key = (folder / "log.pub").read_text("utf-8").strip()
        self.name, self.public = parse_verifier_key(self.key)
        self.checkpoint = (folder / "checkpoint").read_bytes().decode("utf-8")
        self.origin, self.size, self.root = parse_checkpoint(self.checkpoint, self.public)
        self._tile = lru_cache(maxsize=64)(self._read)

    def _read(self, level: int, number: int) -> bytes:
        width = min(WIDTH, level_sizes(self.size).get(level, 0) - number * WIDTH)
        exact = self.folder / Tile(level, number, width).name
        if exact.exists():
            return exact.read_bytes()
        part = exact.parent if width < WIDTH else None  # ``000.p``: a wider tile may have replaced this one
        wider = sorted((int(p.name), p) for p in part.glob("*") if p.name.isdigit()) if part else []
        for held, path in wider:
            if held > width:
                return path.read_bytes()
        return (self.folder / Tile(level, number, WIDTH).name).read_bytes()

    def entry(self, seq: int) -> bytes:
        """The body of entry ``seq``; ``IndexError`` if the checkpoint does not cover it."""
        if not 0 <= seq < self.size:
            raise IndexError(seq)
        at, wanted = 0, seq % WIDTH
        raw = self._tile(ENTRIES, seq // WIDTH)
        for _ in range(wanted):
            at += 2 + int.from_bytes(raw[at : at + 2], "big")
        return raw[at + 2 : at + 2 + int.from_bytes(raw[at : at + 2], "big")]

    def tile(self, tile: Tile) -> bytes:
        """The bytes of this tile, cut out of the wider one that has replaced it if need be."""
        raw = self._read(tile.level, tile.number)
        if tile.level != ENTRIES:
            return raw[: tile.width * HASH]
        end = 0
        for _ in range(tile.width):
            end += 2 + int.from_bytes(raw[end : end + 2], "big")
        return raw[:end] if self._whole(raw, end) else raw

    @staticmethod
    def _whole(raw: bytes, end: int) -> bool:
        """Whether what follows ``end`` is further entries; if not, the bundle is damaged, and to be shown as it is."""
        while end < len(raw):
            end += 2 + int.from_bytes(raw[end : end + 2], "big")
        return end == len(raw)

    def subtree(self, start: int, end: int) -> bytes:
        """The root of leaves ``start`` to ``end`` (exclusive), as RFC 6962 splits them."""
        count = end - start
        if count & (count - 1):
            middle = start + (1 << (count.bit_length() - 1))
            return node_hash(self.subtree(start, middle), self.subtree(middle, end))
        level = (count.bit_length() - 1) // 8
        span = 256**level
        number, at = divmod(start // span, WIDTH)
        raw = self._tile(level, number)
        hashes = [raw[n * HASH : (n + 1) * HASH] for n in range(at, at + count // span)]
        while len(hashes) > 1:
            hashes = [node_hash(*hashes[n : n + 2]) for n in range(0, len(hashes), 2)]
        return hashes[0]


def snapshot(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of exactly the files that the folder's newest checkpoint speaks of, while the log may grow.

    Wider tiles that have replaced partial ones are cut to size. Evidence that does not hold is given as it is: it
    is for a verifier to say so. ``FileNotFoundError`` names a tile that is missing.
    """
    try:
        log = PublishedLog(folder)
    except (OSError, ValueError):
        files = Files.in_folder(folder)
        yield from ((name, files.read(name)) for name in sorted(files.names))
        return
    yield "log.pub", (folder / "log.pub").read_bytes()
    yield "checkpoint", log.checkpoint.encode("utf-8")
    for tile in tiles_of(log.size):
        yield tile.name, log.tile(tile)
