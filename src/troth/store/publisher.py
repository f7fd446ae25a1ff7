"""Publishes the log: tiles to the disk, their head remembered in K, then the checkpoint.

K remembers the highest head that anyone may have seen, so that a D that was rolled back is noticed when it starts
(STORAGE, invariant 15). A thread of its own does this within a second of each commit; a commit never waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, bindparam, select, update

from troth.errors import StartRefused
from troth.store import tables
from troth.store.checkpoint import BadCheckpoint, Signer, parse_checkpoint
from troth.store.engine import Database, driver
from troth.store.faults import plainly
from troth.store.head import read_head
from troth.store.merkle import Frontier, leaf_hash
from troth.store.once import insert_once
from troth.store.tiles import PAGE, Head, Tiles
from troth.store.transaction import KeyTx

log = logging.getLogger("troth.store")

PAUSE_SECONDS = 0.5
"""Between two publications: within the second that an entry may wait. Each costs a turn of the writer and syncs."""

_HEAD = select(tables.heads.c.size, tables.heads.c.root, tables.heads.c.counter)
_FIRST = insert_once(tables.heads)
_RAISE = (
    update(tables.heads)
    .where(tables.heads.c.one == 1, tables.heads.c.size <= bindparam("new_size"))
    .values(size=bindparam("new_size"), root=bindparam("new_root"), counter=tables.heads.c.counter + 1)
)
_CHECKPOINT = select(tables.tree.c.checkpoint)
_SIZE = select(tables.tree.c.size)
_BODIES = (
    select(tables.ledger.c.body)
    .where(tables.ledger.c.seq >= bindparam("first"), tables.ledger.c.seq < bindparam("end"))
    .order_by(tables.ledger.c.seq)
)


def remember(tx: KeyTx, head: Head) -> None:
    """Raise K's head to ``head``; ``ValueError`` if K knows of a larger one."""
    tx.execute(_FIRST, {"one": 1, "size": 0, "root": Frontier().root(), "counter": 0, "data_epoch": 1})
    if tx.execute(_RAISE, {"new_size": head.size, "new_root": head.root}).rowcount != 1:
        raise ValueError("K remembers a larger log than the one to publish")


class Publisher:
    """Keeps a folder of tiles up with D. ``publish`` may be called from any thread but the writer's."""

    def __init__(
        self,
        folder: Path,
        data: Database,
        signer: Signer,
        write_keys: Callable[[Callable[[KeyTx], None]], None],
        abort: Callable[[str], None],
    ) -> None:
        self.tiles = Tiles(folder, signer)
        self.fault: str | None = None
        self.published = -1
        """Size of the head that this process published last; -1 before the first time."""
        self._data = data
        self._write_keys = write_keys
        self._abort = abort
        self._turn = threading.Lock()
        self._due = threading.Event()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="troth-publisher", daemon=True)

    def start(self) -> None:
        """Start the thread; publish what the last run left."""
        self._due.set()
        self._thread.start()

    def poke(self) -> None:
        """There is something new to publish; returns at once."""
        self._due.set()

    def publish(self) -> int:
        """Publish up to the newest commit, now; returns the size. Raises what keeps it from being published."""
        with self._turn:
            try:
                with self._data.connect() as connection:
                    if connection.execute(_SIZE).scalar_one() == self.published:
                        self.fault = None
                        return self.published
                    head = self.tiles.extend(connection)
                self._write_keys(lambda tx: remember(tx, head))
                self.tiles.announce(head)
            except OSError as problem:
                self.fault = f"the log cannot be published ({type(problem).__name__} {problem.errno})"
                if problem.errno == 5:  # EIO: a failed sync, after which nothing that is read back can be trusted
                    self._abort(self.fault)
                raise
            self.fault = None
            self.published = head.size
            return head.size

    def close(self) -> None:
        """Stop the thread."""
        self._closing.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            self._due.wait()
            if self._closing.is_set():
                return
            self._due.clear()
            try:
                self.publish()
            except Exception as problem:  # the disk may have room again, the server may come back: try on
                if not self._failing:
                    log.error("the log cannot be published: %s", plainly(problem))
                self._failing = True
                self.fault = self.fault or f"the log cannot be published ({plainly(problem)})"
                self._due.set()
            else:
                self._failing = False
            self._closing.wait(PAUSE_SECONDS)


# --- at the start ---


def check_head(data: Database, keys: Database, tiles: Tiles, *, rebuild: bool = False) -> None:
    """Refuse to start unless D continues the log that K remembers and the tiles hold it.

    Costs the tiles' edge and the entries since: the tiles' hashes must make K's root, and with the entries after
    them D's own. With ``rebuild`` the tiles are written anew from D, every entry being hashed.
    """
    with keys.connect() as connection:
        row = connection.execute(_HEAD).first()
    size, root = (row.size, bytes(row.root)) if row else (0, Frontier().root())
    require_newest_keys(tiles, size)
    with data.connect() as connection:
        head = read_head(driver(connection))
        if head is None or head.size < size:
            raise StartRefused(
                f"the data store holds {head.size if head else 0} entries, but {size} were published: it is an older "
                "copy; restore it with the restore command, which applies what happened since"
            )
        _check_signature(connection, tiles.signer, head.frontier)
        frontier = Frontier() if rebuild else _published(tiles, size)
        at_size = frontier.copy() if frontier.size == size else None
        for first in range(frontier.size, head.size, PAGE):
            for body in connection.execute(_BODIES, {"first": first, "end": min(first + PAGE, head.size)}).scalars():
                frontier.append(leaf_hash(bytes(body)))
                if frontier.size == size:
                    at_size = frontier.copy()
        if at_size is None or at_size.root() != root:
            what = "the ledger's entries" if rebuild else "the published tiles"
            raise StartRefused(f"{what} do not make the root that was published: they were changed, or are older")
        if (frontier.size, frontier.root()) != (head.size, head.frontier.root()):
            raise StartRefused("the ledger's entries do not make its own signed root: an entry was changed or lost")
    if rebuild:
        tiles.clear()


def require_newest_keys(tiles: Tiles, remembered: int) -> None:
    """Refuse a key store that remembers less than was announced: an older copy would bring erased people's keys back.

    K remembers a head before its checkpoint is announced, so this never happens by itself.
    """
    if tiles.announced() > remembered:
        raise StartRefused(
            f"the key store remembers {remembered} published entries, but {tiles.announced()} were announced: it is an "
            "older copy; put its newest copy in place"
        )


def _published(tiles: Tiles, size: int) -> Frontier:
    if size and not (tiles.folder / "tile").exists():
        raise StartRefused("the published tiles are missing: put them back, or rebuild them from the data store")
    try:
        return tiles.load(size).copy()
    except (OSError, ValueError) as fault:
        raise StartRefused(f"the published tiles do not hold the log ({fault}): rebuild them from D") from fault


def _check_signature(connection: Connection, signer: Signer, frontier: Frontier) -> None:
    text = connection.execute(_CHECKPOINT).scalar_one()
    try:
        found = parse_checkpoint(text, signer.public)
    except BadCheckpoint as fault:
        raise StartRefused(f"the ledger's head is not signed by this installation's key: {fault}") from fault
    if found != (signer.name, frontier.size, frontier.root()):
        raise StartRefused("the ledger's signed head is not the one beside it: the tree row was changed")
