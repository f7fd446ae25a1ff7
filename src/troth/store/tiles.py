"""The log as files that anyone can fetch and check without the database: C2SP tiles.

Formats: c2sp.org/tlog-tiles. ``checkpoint`` is the signed head; ``tile/<L>/<N>`` holds 256 hashes of level ``L``
(``tile/0`` are leaf hashes); ``tile/entries/<N>`` holds 256 entries, each after its length in two bytes; ``.p/<W>``
are the first ``W`` of a tile that is not full; ``log.pub`` is the key. Each file is written beside its place,
synced, and renamed into it; the checkpoint comes last, when everything it speaks of is on the disk. The folder lies
outside D and its backups, and can be rebuilt from D to the same bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, bindparam, select

from troth.errors import StartRefused
from troth.store import tables
from troth.store.checkpoint import Signer, parse_checkpoint, verifier_key
from troth.store.merkle import Frontier, leaf_hash

WIDTH = 256
PAGE = 4096

_TREE = select(tables.tree.c.size, tables.tree.c.root, tables.tree.c.checkpoint)
_BODIES = (
    select(tables.ledger.c.seq, tables.ledger.c.body)
    .where(tables.ledger.c.seq >= bindparam("first"), tables.ledger.c.seq < bindparam("end"))
    .order_by(tables.ledger.c.seq)
)


def tile_path(level: int | str, number: int, width: int = WIDTH) -> str:
    """Where a tile lies: ``tile/0/x001/234`` or, for its first ``width`` members, ``tile/0/x001/234.p/17``."""
    name = f"{number % 1000:03d}"
    while number >= 1000:
        number //= 1000
        name = f"x{number % 1000:03d}/{name}"
    return f"tile/{level}/{name}" + (f".p/{width}" if width < WIDTH else "")


def bundle(bodies: Iterable[bytes]) -> bytes:
    """Entries as a bundle holds them: each after its length as two bytes, highest first."""
    return b"".join(len(body).to_bytes(2, "big") + body for body in bodies)


def unbundle(joined: bytes) -> Iterator[bytes]:
    """The entries of a bundle; ``ValueError`` if it does not end where an entry ends."""
    at = 0
    while at < len(joined):
        end = at + 2 + int.from_bytes(joined[at : at + 2], "big")
        if at + 2 > len(joined) or end > len(joined):
            raise ValueError("the entry bundle ends inside an entry")
        yield joined[at + 2 : end]
        at = end


@dataclass
class Published:
    """What stands in a folder of tiles: the size, and the members of the tile that is open on each level."""

    size: int = 0
    open: list[list[bytes]] = field(default_factory=list)  # hashes, a list per level
    bodies: list[bytes] = field(default_factory=list)  # entries of the open bundle


@dataclass(frozen=True)
class Head:
    """A head of the log as D signed it."""

    size: int
    root: bytes
    checkpoint: str


class Tiles:
    """One folder of tiles. Not safe for several threads at once: its owner takes turns."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.folder = folder
        self.signer = signer
        self.state = Published()
        self._folders: set[Path] = set()  # whose names are to be synced
        self._last: dict[str, str] = {}  # per level, the open tile written last

    # --- writing ---

    def extend(self, connection: Connection) -> Head:
        """Write every tile up to the newest commit that ``connection`` (a snapshot of D) sees; not the checkpoint."""
        size, root, checkpoint = connection.execute(_TREE).one()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while self.state.size < size:
            first = self.state.size
            rows = connection.execute(_BODIES, {"first": first, "end": min(first + PAGE, size)}).all()
            if [row.seq for row in rows] != list(range(first, min(first + PAGE, size))):
                raise StartRefused(f"the ledger has a gap after entry {first}: restore D, or verify its copies")
            for row in rows:
                self._add(bytes(row.body))
        self._write_open()
        self._sync_folders()
        return Head(size, bytes(root), checkpoint)

    def announce(self, head: Head) -> None:
        """Make the checkpoint public; everything it speaks of must be on the disk, and remembered by K."""
        if not (self.folder / "log.pub").exists():
            self._write("log.pub", f"{verifier_key(self.signer.name, self.signer.public)}\n".encode())
        self._write("checkpoint", head.checkpoint.encode())
        self._sync_folders()

    def _add(self, body: bytes) -> None:
        state = self.state
        state.bodies.append(body)
        number = state.size // WIDTH
        state.size += 1
        if len(state.bodies) == WIDTH:
            self._write(tile_path("entries", number), bundle(state.bodies))
            self._drop_partials("entries", number)
            state.bodies.clear()
        member, level = leaf_hash(body), 0
        while True:
            if level == len(state.open):
                state.open.append([])
            hashes = state.open[level]
            hashes.append(member)
            if len(hashes) < WIDTH:
                return
            number = (state.size >> (8 * (level + 1))) - 1
            self._write(tile_path(level, number), b"".join(hashes))
            self._drop_partials(level, number)
            member = Frontier().extend(hashes).root()
            hashes.clear()
            level += 1

    def _write_open(self) -> None:
        state = self.state
        for level, hashes in enumerate(state.open):
            if hashes:
                self._write_once(tile_path(level, state.size >> (8 * (level + 1)), len(hashes)), b"".join(hashes))
        if state.bodies:
            self._write_once(tile_path("entries", state.size // WIDTH, len(state.bodies)), bundle(state.bodies))

    def _write_once(self, path: str, content: bytes) -> None:
        """An open tile, unless this is what was written last: the upper levels seldom change."""
        level = path.split("/")[1]
        if self._last.get(level) != path:
            self._write(path, content)
            self._last[level] = path

    def _drop_partials(self, level: int | str, number: int) -> None:
        """A full tile makes its partial ones superfluous (the format allows to drop them)."""
        folder = self.folder / (tile_path(level, number) + ".p")
        if folder.exists():
            self._sync_folders()  # the full tile's name first
            shutil.rmtree(folder)

    def _write(self, path: str, content: bytes) -> None:
        file = self.folder / path
        missing = [folder for folder in file.parents if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o755)
            self._folders.add(folder.parent)
        beside = file.with_name(file.name + ".new")
        with open(beside, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, file)
        self._folders.add(file.parent)

    def _sync_folders(self) -> None:
        for folder in self._folders:
            number = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)
        self._folders.clear()

    # --- reading back ---

    def load(self, size: int) -> Frontier:
        """Take up where the folder stands at ``size``; returns the frontier its hashes make.

        Raises ``FileNotFoundError`` or ``ValueError`` if a tile is missing or not of its length. Whether the
        hashes are the log's own is for the caller to compare with a root it trusts.
        """
        state = Published(size)
        levels: list[list[bytes]] = []
        level = 0
        while (size >> (8 * level)) > 0:
            count = size >> (8 * level)
            width = count % WIDTH
            levels.append(self._hashes(level, count // WIDTH, width) if width else [])
            level += 1
        frontier: list[bytes] = []
        for hashes in reversed(levels):
            frontier += Frontier().extend(hashes).hashes
        state.open = levels
        if size % WIDTH:
            state.bodies = self._bodies(size // WIDTH, size % WIDTH)
        self.state = state
        return Frontier(size, frontier)

    def announced(self) -> int:
        """The size that the folder's own checkpoint speaks of; 0 where there is none that this key signed."""
        try:
            text = (self.folder / "checkpoint").read_text("utf-8")
            return parse_checkpoint(text, self.signer.public)[1]
        except (OSError, ValueError):
            return 0

    def entries(self, number: int, width: int) -> list[bytes]:
        """The first ``width`` entries of a bundle, held to their leaf hashes. Raises as ``load``."""
        return self._bodies(number, width)

    def _hashes(self, level: int, number: int, width: int) -> list[bytes]:
        joined = self._read(level, number, width)
        if len(joined) < 32 * width:
            raise ValueError(f"{tile_path(level, number, width)} is too short")
        return [joined[at : at + 32] for at in range(0, 32 * width, 32)]

    def _bodies(self, number: int, width: int) -> list[bytes]:
        bodies = list(unbundle(self._read("entries", number, width)))
        if len(bodies) < width:
            raise ValueError(f"{tile_path('entries', number, width)} is too short")
        if [leaf_hash(body) for body in bodies[:width]] != self._hashes(0, number, width):
            raise ValueError(f"{tile_path('entries', number, width)} does not hold the entries of its hashes")
        return bodies[:width]

    def _read(self, level: int | str, number: int, width: int) -> bytes:
        """A tile, or the wider one that has replaced it."""
        for path in (tile_path(level, number, width), tile_path(level, number)):
            if (self.folder / path).exists():
                return (self.folder / path).read_bytes()
        partials = (self.folder / (tile_path(level, number) + ".p")).glob("*")
        for other in sorted(int(file.name) for file in partials if file.name.isdigit()):
            if other >= width:
                return (self.folder / tile_path(level, number, other)).read_bytes()
        raise FileNotFoundError(tile_path(level, number, width))

    def clear(self) -> None:
        """Begin anew: the next ``extend`` writes every tile from D."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.state = Published()
        self._last.clear()
