"""The key store's second copy: on another disk, newest only, and brought up to date before anything is called gone.

K lost is everything lost, so it needs a copy; a copy that is older than an erasure would undo it, so an erasure is not
called unreadable, and no epoch is destroyed, before the copy followed. Between that it follows every ten minutes.
On PostgreSQL the rows are the cluster's own to replicate (synchronously), and the folder holds the epochs' files.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

from sqlalchemy import exists, select

from troth.errors import StartRefused, Unavailable
from troth.store.backup import sync_file, sync_folder
from troth.store.engine import Database
from troth.store.tables import buckets, epochs, heads
from troth.vault.keys import Keyring
from troth.vault.provider import FileProvider, overwrite, zeros

NAME = "keys.db"
NEW = f"{NAME}.new"  # what comes in its place
LEFT = (NEW, *(f"{NEW}-{suffix}" for suffix in ("journal", "wal", "shm")))
COUNTER = select(heads.c.counter)
LIVE = select(epochs.c.epoch, epochs.c.wrapped).where(  # an epoch under which nothing lies any more is being destroyed
    epochs.c.wrapped.is_not(None),
    (epochs.c.state != "draining") | exists().where(buckets.c.epoch == epochs.c.epoch),
)


class KeyCopy:
    """The copy in one folder; without a folder there is none, and nothing is done."""

    def __init__(self, ring: Keyring, folder: Path | None) -> None:
        self._ring = ring
        self._folder = folder
        self._turn = threading.Lock()
        self._asking = threading.Lock()
        self._next: Future[None] | None = None

    def refresh(self) -> None:
        """Bring the copy up to date; durable when this returns. ``Unavailable`` if it cannot be (held: replica).

        Whoever asks before one begins shares it: what they changed was committed before they asked.
        """
        if self._folder is None:
            return
        with self._asking:
            mine = self._next is None
            due = self._next = self._next or Future()
        if mine:
            with self._turn:
                with self._asking:
                    self._next = None  # who asks from here on has the next one
                self._carry_out(self._folder, due)
        due.result()

    def _carry_out(self, folder: Path, due: Future[None]) -> None:
        try:
            self._refresh(folder)
        except (OSError, sqlite3.Error) as fault:
            due.set_exception(Unavailable(f"held: the key store's second copy cannot be written ({fault})"))
        except BaseException as problem:
            due.set_exception(problem)
        else:
            due.set_result(None)

    def _refresh(self, folder: Path) -> None:
        sync_folder(folder)  # a disk that is away is not taken for an empty one
        keys = self._ring.database
        if isinstance(self._ring.provider, FileProvider):  # first: what the copy names must lie beside it
            with keys.connect() as connection:
                live = [(row.epoch, bytes(row.wrapped)) for row in connection.execute(LIVE)]
            for number, wrapped in live:
                self._ring.provider.mirror(number, wrapped)
        if keys.dialect == "sqlite":
            for name in LEFT:  # of a process that died here: the keys in it may be gone meanwhile
                overwrite(folder / name)
            beside = folder / NEW
            with keys.new_reader() as reader, closing(sqlite3.connect(beside)) as copy:
                beside.chmod(0o600)
                reader.backup(copy, pages=-1)
                copy.execute("PRAGMA journal_mode=DELETE")
            sync_file(beside)
            _replace(beside, folder / NAME)


def _replace(new: Path, old: Path) -> None:
    """Put ``new`` in the place of ``old``, whose bytes are overwritten: keys that are gone stood in it."""
    before = open(old, "r+b", buffering=0) if old.exists() else None  # noqa: SIM115 - it outlives its own name
    os.replace(new, old)
    sync_folder(old.parent)
    if before is not None:
        with before:
            zeros(before)


def require_newest(keys: Database, folder: Path | None) -> None:
    """At the start: refuse a key store that is older than its own second copy."""
    if folder is None or keys.dialect != "sqlite" or not (folder / NAME).exists():
        return
    with keys.connect() as connection:
        ours = connection.execute(COUNTER).scalar() or 0
    with closing(sqlite3.connect(f"file:{folder / NAME}?mode=ro", uri=True)) as copy:
        row = copy.execute("SELECT counter FROM heads").fetchone()
    if row is not None and row[0] > ours:
        raise StartRefused(
            f"the key store is older than its second copy in {folder}: it was put back from somewhere; take that copy "
            "instead (with the folder epochs beside it)"
        )
