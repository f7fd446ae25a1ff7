"""A whole system taken out of a folder, into databases that are empty, under this place's own root key.

Everything was looked through before (``export.check``). While it is written both databases bear the mark
``moving`` in the place of their version, so that nothing opens them; whoever was killed begins anew. The mark goes when
what was written has been read back and compared with what was exported: K's first, D's in the transaction of the entry
``moved.in``. Killed between the two, the next import compares again and ends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import Any, Literal

from sqlalchemy import Connection, TextClause, insert, text
from sqlalchemy.exc import DBAPIError

from troth.config import Config
from troth.errors import Conflict, Damaged, Invalid, Unavailable
from troth.store.engine import Database, driver, open_database, refuse_shared
from troth.store.faults import plainly
from troth.store.head import append_batch, read_head
from troth.store.ledger import make_entry
from troth.store.lock import FolderLock
from troth.store.migrate import HEADS, METADATA, MOVING, move_in, moved_in, version
from troth.store.moving.away import IN, away, draft, policy_at
from troth.store.moving.checking import Steps, Watching
from troth.store.moving.shapes import Shape, snapshot
from troth.store.tables.moving import moving
from troth.store.tiles import Tiles
from troth.vault.moving.comparing import compare_table, open_sample
from troth.vault.moving.export import Export
from troth.vault.moving.rewrapping import REWRAP
from troth.vault.provider import FileProvider
from troth.world import Clock, Randomness

CHUNK = 2000  # rows a statement
COMMIT = 20_000  # rows a transaction, about: what a write-ahead log holds at once


class Arriving:
    """The empty place that a system moves into: a context that holds its folder and both databases."""

    def __init__(self, export: Export, config: Config, clock: Clock, randomness: Randomness) -> None:
        """Nothing is opened before the context is entered."""
        self.export = export
        self.config = config
        self._clock = clock
        self._randomness = randomness
        self._ending = ExitStack()
        self._shapes = [Shape(table) for table in moving()]

    def __enter__(self) -> Arriving:
        """``Locked``, ``StartRefused``, ``Conflict`` (it is not empty), ``Invalid`` (the export is only a copy)."""
        self.export.require_final()
        settings = self.export.manifest.settings
        if self.config.tenant != settings.tenant:
            raise Invalid(f"the system's tenant is {settings.tenant!r}: say so in troth.toml")
        if missing := sorted(settings.tenants.keys() - self.config.tenants.keys()):
            raise Invalid(f"the system is run for {missing[0]!r} too: say so in troth.toml, [tenants.{missing[0]}]")
        with ExitStack() as opening:
            lock = FolderLock(self.config.folder)
            opening.callback(lock.release)
            self._data = open_database(self.config.data_database, "data")
            opening.callback(self._data.close)
            self._keys = open_database(self.config.keys_database, "keys")
            opening.callback(self._keys.close)
            refuse_shared(self._data, self._keys)
            for database in (self._data, self._keys):
                database.claim()
            self.state = self._found()
            if self.state == "written":
                self.root = self._root()
            self._ending = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def write(self, watching: Watching | None = None) -> None:
        """Write every row, K first, and the published log. Skipped where an earlier import had come to its end."""
        if self.state == "written":
            return
        for database in (self._data, self._keys):  # D first: it is what a start looks at first
            move_in(database, database.role)
            database.checkpoint("TRUNCATE")
        self.root = self._root()
        steps = Steps(watching, self.export.manifest.rows)
        for database in (self._keys, self._data):
            for shape in self._of(database):
                self._fill(database, shape, steps)
            self._set_sequences(database)
            database.checkpoint("TRUNCATE")
            database.analyse()
        tiles = Tiles(self.config.folder / "evidence", self.export.signer)
        tiles.clear()
        with snapshot(self._data) as connection:
            tiles.announce(tiles.extend(connection))

    def compare(self, watching: Watching | None = None) -> int:
        """Read back what was written and compare it with what was exported; how many records were opened as a sample.

        ``Damaged`` where anything is not the same, or a record does not open under the keys that came with it.
        """
        steps = Steps(watching, self.export.manifest.rows)
        for database in (self._keys, self._data):
            with snapshot(database) as connection:
                for shape in self._of(database):
                    compare_table(self.export, shape, steps.took(shape.rows(connection)), self.root)
        return open_sample(self._data, self._keys, self.root, self._clock, self._randomness)

    def finish(self) -> None:
        """Mark both databases ready: K, then D with the entry that says so."""
        with self._keys.transaction() as connection:
            moved_in(connection, "keys")
        with self._data.transaction() as connection:
            self._enter(connection)
            moved_in(connection, "data")

    # --- steps ---

    def _found(self) -> Literal["empty", "written"]:
        """Whether there is nothing, or an import that was killed at its very end. ``Conflict``: it is a system."""
        found = (version(self._data), version(self._keys))
        if found == (MOVING, HEADS["keys"]):
            return "written"
        if all(each in (None, MOVING) for each in found):
            return "empty"
        raise Conflict("there is a system here already: a system is moved into empty databases only, named by no other")

    def _root(self) -> FileProvider:
        """The root key of this place; made where there is none yet, once nothing can begin here but the move."""
        path = self.config.path(self.config.root_key)
        copy = self.config.path(self.config.keys_copy) if self.config.keys_copy else None
        if self.state == "empty" and not path.exists():
            return FileProvider.create(path, self._randomness, copy)
        return FileProvider.open(path, self._randomness, copy)

    def _of(self, database: Database) -> list[Shape]:
        return [shape for shape in self._shapes if shape.table.metadata is METADATA[database.role]]

    def _fill(self, database: Database, shape: Shape, steps: Steps) -> None:
        statement = insert(shape.table)
        keys = [column.key for column in shape.table.columns]
        left = steps.took(self._rewrapped(shape))
        more = True
        while more:
            try:
                with database.transaction() as connection:
                    for _ in range(COMMIT // CHUNK):
                        chunk = [{key: getattr(row, key) for key in keys} for row in islice(left, CHUNK)]
                        more = len(chunk) == CHUNK
                        if chunk:
                            connection.execute(statement, chunk)
                        if not more:
                            break
            except DBAPIError as fault:
                raise Unavailable(
                    f"{shape.table.name} cannot be written ({plainly(fault)}): nothing opens what is there; make room "
                    "or mend it, and import again"
                ) from None
            database.checkpoint("PASSIVE")

    def _rewrapped(self, shape: Shape) -> Iterator[Any]:
        rewrap = REWRAP.get(shape.table.name)
        found = self.export.rows(shape)
        if rewrap is None:
            return found
        return (rewrap(row, self.export.over, self.root) for row in found)

    def _set_sequences(self, database: Database) -> None:
        """PostgreSQL numbers rows by a counter beside the table, which knows nothing of rows that came numbered."""
        if database.dialect != "postgresql":
            return
        with database.transaction() as connection:
            for shape in self._of(database):
                column = shape.table.autoincrement_column
                if column is not None:
                    connection.execute(_next_number(shape.table.name, column.name))

    def _enter(self, connection: Connection) -> None:
        """The entry ``moved.in``, the first of this place, in the open transaction."""
        raw = driver(connection)
        head, left = read_head(raw), away(connection)
        if head is None or left is None:
            raise Damaged("the log that was written has no end")
        now = max(self._clock.now(), head.at_ms)
        made = draft(IN, left.eid, export=self.export.manifest.id)
        entry = make_entry(made, self._randomness.bytes(16), now, policy_at(connection, now))
        append_batch(self._data, raw, head, [entry], self._randomness.bytes(16), now, self.export.signer)


def _next_number(table: str, column: str) -> TextClause:
    return text(
        f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), coalesce(max({column}), 1), count(*) > 0) "  # noqa: S608 - names of our own tables
        f"FROM {table}"
    )
