"""The store as the layers above see it: write, read, publish. ``open_store`` puts it together."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError

from troth.config import Config
from troth.errors import StartRefused, Unavailable
from troth.store import tables
from troth.store.batch import Executor
from troth.store.checkpoint import Named, Signer
from troth.store.engine import Database, open_database, refuse_shared
from troth.store.lock import FolderLock, Handler, Listener, require_no_restore
from troth.store.migrate import migrate
from troth.store.moving.away import refuse_away
from troth.store.publisher import Publisher, check_head
from troth.store.transaction import KeyTx, Lane, Write
from troth.store.writer import Writer
from troth.world import Clock, Randomness

log = logging.getLogger("troth.store")

T = TypeVar("T")

_RELEASE = update(tables.jobs).where(tables.jobs.c.state == "leased").values(state="ready", lease_ms=None)
_CHECKPOINT = select(tables.tree.c.checkpoint)


def end_process(reason: str) -> None:
    """End the process at once: a failed sync leaves nothing that could be trusted."""
    log.critical("%s", reason)
    sys.stderr.write(f"troth: {reason}\n")
    sys.stderr.flush()
    os._exit(70)


class Store:
    """D and K, their one writer, and the ledger. Made by ``open_store``; safe to use from any thread."""

    def __init__(
        self,
        folder: Path,
        data: Database,
        keys: Database,
        clock: Clock,
        randomness: Randomness,
        signer: Signer,
        *,
        abort: Callable[[str], None] = end_process,
        lock: FolderLock | None = None,
    ) -> None:
        self.folder = folder
        self.data = data
        self.keys = keys
        self.clock = clock
        self.randomness = randomness
        self.signer = signer
        self.policy_version: str | Callable[[], str] = ""
        self.executor = Executor(data, keys, clock, randomness, signer, self.policy_now, abort)
        self.writer = Writer(self.executor)
        self.publisher = Publisher(folder / "evidence", data, signer, self.write_keys, abort)
        self._lock = lock
        self._listener: Listener | None = None
        self._closed = False
        self._truncating = threading.Lock()
        self._truncation: Future[bool] | None = None

    def start(self) -> None:
        """Start the writer and the publisher."""
        self.writer.committed.append(self.publisher.poke)
        self.writer.start()
        self.publisher.start()

    def policy_now(self) -> str:
        """The version of the policy that entries cite now."""
        version = self.policy_version
        return version if isinstance(version, str) else version()

    # --- writing ---

    def submit(self, write: Write[T]) -> Future[T]:
        """Queue a write. Raises ``Busy`` (its lane is full) or ``Unavailable`` before anything is done."""
        return self.writer.submit(write)

    def write(self, write: Write[T]) -> T:
        """Carry out a write and wait until it is durable.

        Raises what its steps raised; ``Unavailable`` if the ledger cannot be written (nothing was done);
        ``Unknown`` if it is not known whether it was done; ``Conflict`` for a key that came with another request.
        """
        if self.writer.here():
            raise RuntimeError("a step of a write cannot wait for another write")
        return self.writer.submit(write).result()

    async def awrite(self, write: Write[T]) -> T:
        """As ``write``, awaited. Cancelling the waiter does not cancel the write."""
        return await self.writer.asubmit(write)

    def write_keys(self, step: Callable[[KeyTx], T]) -> T:
        """A transaction of K alone, for what concerns no subject's effect in D (a day key, an epoch, the head).

        May also be called from a step that writes D: its K transaction then commits before D's.
        """

        def work() -> T:
            with self.keys.transaction() as connection:
                return step(KeyTx(connection, self.executor.now()))

        return work() if self.writer.here() else self.writer.control(work).result()

    def truncate_keys(self) -> bool:
        """Overwrite K's write-ahead log, so that deleted keys are gone from its files. False: not done (a reader).

        Whoever asks before one begins shares it: what they deleted was committed before they asked.
        """
        if self.writer.here():
            return self.keys.checkpoint("TRUNCATE")
        with self._truncating:
            due = self._truncation
            if due is None:
                due = self._truncation = self.writer.control(self._truncate)
        return due.result()

    def _truncate(self) -> bool:
        with self._truncating:
            self._truncation = None  # who asks from here on has the next one
        return self.keys.checkpoint("TRUNCATE")

    def truncate_data(self) -> bool:
        """As ``truncate_keys``, for D: a value that was replaced is gone from its files too."""

        def work() -> bool:
            return self.data.checkpoint("TRUNCATE")

        return work() if self.writer.here() else self.writer.control(work).result()

    # --- reading ---

    def read(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` on one snapshot of D. It cannot write; it may run twice if the connection was lost.

        Raises ``Unavailable`` if D cannot be reached.
        """
        return _on(self.data, fn)

    def read_keys(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` on K in autocommit: point reads only, so that K's log can be truncated. Raises as ``read``."""
        return _on(self.keys, fn)

    # --- state ---

    @property
    def fault(self) -> str | None:
        """Why the ledger cannot be written now; None when all is well."""
        return self.writer.fault

    def require_available(self, lane: Lane = Lane.READ) -> None:
        """Raise ``Unavailable`` or ``Busy`` before a read whose block could not be recorded (promise 3)."""
        if self.writer.fault is not None:
            raise Unavailable("the ledger cannot be written: nothing is read or written until it can")
        self.writer.admits(lane)

    @property
    def size(self) -> int:
        """How many entries the ledger held at the last commit."""
        head = self.executor.head
        return head.size if head else 0

    def now(self) -> int:
        """The ledger's time: milliseconds UTC, never before the newest entry's."""
        return self.executor.now()

    def seal(self) -> None:
        """From here on every write is refused with ``Unavailable``: the system moved away, and its log with it."""
        self.writer.seal()

    def publish(self) -> int:
        """Publish the log's tiles up to the newest commit, now; returns the published size.

        Not to be called from a step of a write. Raises ``OSError`` if the folder cannot be written.
        """
        if self.writer.here():
            raise RuntimeError("a step of a write cannot wait for a publication")
        return self.publisher.publish()

    def listen(self, handler: Handler) -> None:
        """Answer the requests of other processes that come to this data folder (``lock.forward``)."""
        self._listener = Listener(self.folder, handler)

    def close(self) -> None:
        """Finish what waits, publish it, and close every connection. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._listener is not None:
            self._listener.close()
        self.publisher.close()
        try:
            if self.writer.fault is None:
                self.publisher.publish()
        except Exception as problem:  # whatever it is, the rest is closed; the next start publishes
            log.error("the log could not be published at the end: %s", type(problem).__name__)
        self.writer.close()
        for database in (self.keys, self.data):
            try:
                if not self.writer.dead:
                    database.checkpoint("TRUNCATE")
            finally:
                database.close()
        if self._lock is not None:
            self._lock.release()


def _on(database: Database, fn: Callable[[Connection], T]) -> T:
    """Run ``fn`` on a reading connection, a second time if the first was lost while it lay in the pool."""
    try:
        with database.connect() as connection:
            return fn(connection)
    except DBAPIError as problem:
        if database.fault(problem) != "lost":
            raise
    try:
        with database.connect() as connection:
            return fn(connection)
    except DBAPIError as problem:
        if database.fault(problem) != "lost":
            raise
        raise Unavailable(f"the {database.role} database cannot be reached: try again later") from None


def open_store(
    config: Config,
    clock: Clock,
    randomness: Randomness,
    signer_factory: Callable[[Database], Signer],
    *,
    abort: Callable[[str], None] = end_process,
    rebuild_tiles: bool = False,
    moved_away: bool = False,
    restoring: bool = False,
) -> Store:
    """Open both databases, bring them up to date, check the log's head, and start the writer.

    ``abort`` ends the process when a write or sync failed. ``rebuild_tiles`` writes the published tiles anew from D.
    ``moved_away`` opens a system that moved away, which otherwise is refused, and only such a one is opened for.
    ``restoring``: this is the restore that the folder waits for.
    Raises ``Locked`` if another process works on the folder (then ``lock.forward``), and ``StartRefused`` with one
    clear reason if anything is not as it must be.
    """
    folder = config.folder
    lock = FolderLock(folder)
    opened: list[Database] = []
    try:
        if not restoring:
            require_no_restore(folder)
        data = open_database(config.data_database, "data")
        opened.append(data)
        keys = open_database(config.keys_database, "keys")
        opened.append(keys)
        refuse_shared(data, keys)
        for database in opened:
            database.claim()
            migrate(database, database.role)
        if not moved_away:
            with data.connect() as connection:
                refuse_away(connection)
        if not keys.checkpoint("TRUNCATE"):
            raise StartRefused("the key store's log could not be overwritten: another process reads it")
        signer = named_as_before(data, signer_factory(keys))
        store = Store(folder, data, keys, clock, randomness, signer, abort=abort, lock=lock)
        store.executor.start()
        release_leases(data)
        check_head(data, keys, store.publisher.tiles, rebuild=rebuild_tiles)
    except BaseException:
        for database in opened:
            database.close()
        lock.release()
        raise
    store.start()
    return store


def named_as_before(data: Database, signer: Signer) -> Signer:
    """The signer under the log's own name: a log keeps the one it began with, whatever address it is served at now.

    The name is part of what the checkpoint signs; ``check_head`` verifies it.
    """
    with data.connect() as connection:
        text = connection.execute(_CHECKPOINT).scalar()
    name = text.partition("\n")[0] if text else signer.name
    return signer if name == signer.name else Named(signer, name)


def release_leases(data: Database) -> None:
    """Whoever leased a job before this process is gone: its jobs are ready again."""
    with data.transaction() as connection:
        connection.execute(_RELEASE)
