"""Backups of D: one consistent picture with its ledger, never keys and never tiles; checked before it is called done.

A backup is a folder: the data, and ``manifest.json``, written last. SQLite is copied in one step under a read snapshot,
beside a server that writes; PostgreSQL by COPY of every table in one REPEATABLE READ snapshot, which needs no
program of the server's. A keyed hash under a secret of K binds the manifest to this installation, and the manifest
binds every byte: a backup that was altered, or is another installation's, is not restored.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import inspect, select
from sqlalchemy.engine import make_url

from troth.errors import Invalid, StartRefused, Unavailable
from troth.store import tables
from troth.store.checkpoint import BadCheckpoint, Signer, parse_checkpoint
from troth.store.engine import Database, Dialect, driver, open_database
from troth.store.merkle import Frontier
from troth.store.open import Store

FORM = "troth-backup-1"
MANIFEST = "manifest.json"
DATA = "data.db"
PIECE = 1 << 20

TREE = select(tables.tree.c.size, tables.tree.c.root, tables.tree.c.frontier, tables.tree.c.checkpoint)
HEAD = select(tables.heads.c.size, tables.heads.c.root, tables.heads.c.data_epoch)
VERSION = "SELECT version_num FROM alembic_version"


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup."""

    name: str
    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds. ``size`` and ``root`` are the log's in D's picture; ``head_size`` is what K remembered after
    it was taken: a key store that remembers less is older than the backup.
    """

    form: str
    dialect: str
    tables: str
    made_ms: int
    policy: str
    size: int
    root: str
    frontier: str
    checkpoint: str
    head_size: int
    data_epoch: int
    files: tuple[File, ...]
    mac: str = ""

    def sealed(self, key: bytes) -> Manifest:
        """The manifest with its keyed hash."""
        return msgspec.structs.replace(self, mac=self._mac(key))

    def holds(self, key: bytes) -> bool:
        """Whether the keyed hash is right."""
        return hmac.compare_digest(self.mac, self._mac(key))

    def _mac(self, key: bytes) -> str:
        plain = msgspec.json.encode(msgspec.structs.replace(self, mac=""), order="sorted")
        return hmac.digest(key, plain, "sha256").hex()


def take(store: Store, folder: Path, key: bytes) -> Manifest:
    """Write a backup into ``folder``, which is made or is empty. Durable and checked when this returns.

    Raises ``Invalid`` for a folder with something in it, ``Unavailable`` where it cannot be written: then nothing is
    left in it that could be taken for a backup.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Invalid(f"{folder.name} holds something already: each backup has a new folder of its own")
    store.publish()  # so that K's head covers the picture
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made_ms = store.now()
        copied = _copy_sqlite(store.data, folder) if store.data.dialect == "sqlite" else _copy_postgresql(store, folder)
        head = store.read_keys(lambda connection: connection.execute(HEAD).one())
        manifest = Manifest(
            form=FORM,
            dialect=store.data.dialect,
            made_ms=made_ms,
            policy=store.policy_now(),
            head_size=head.size,
            data_epoch=head.data_epoch,
            files=tuple(_file(path) for path in sorted(folder.iterdir())),
            **copied,
        ).sealed(key)
        _write(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        sync_folder(folder)
        sync_folder(folder.parent)
    except BaseException as fault:
        for left in folder.glob("*"):
            left.unlink()
        if isinstance(fault, (OSError, sqlite3.Error)):
            raise Unavailable(f"the backup cannot be written: {fault}") from None
        raise
    return manifest


def read(folder: Path, key: bytes, dialect: Dialect) -> Manifest:
    """The manifest of a backup that is whole, and this installation's. ``StartRefused`` saying what is wrong."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except OSError:
        raise StartRefused(f"{folder} holds no finished backup: its {MANIFEST} is missing") from None
    except msgspec.DecodeError:
        raise StartRefused(f"the {MANIFEST} of this backup is damaged, or of another version of Troth") from None
    if manifest.form != FORM or not manifest.holds(key):
        raise StartRefused("this backup is not of this installation, or its manifest was altered")
    if manifest.dialect != dialect:
        raise StartRefused(f"this backup is of {manifest.dialect}, and the data lies in {dialect} here")
    for file in manifest.files:
        path = folder / file.name
        if not path.is_file() or _file(path) != file:
            raise StartRefused(f"the file {file.name} of this backup is missing or was altered")
    return manifest


def frontier_of(manifest: Manifest, signer: Signer) -> Frontier:
    """Where the log stood in the backup, by the head that was signed then. ``StartRefused`` if it does not hold."""
    frontier = Frontier.from_bytes(manifest.size, bytes.fromhex(manifest.frontier))
    try:
        found = parse_checkpoint(manifest.checkpoint, signer.public)
    except BadCheckpoint as fault:
        raise StartRefused(f"the backup's head is not signed by this installation's key: {fault}") from None
    if found != (signer.name, frontier.size, frontier.root()):
        raise StartRefused("the backup's signed head is not the one beside it")
    return frontier


def place(folder: Path, manifest: Manifest, url: str) -> Database:
    """Put the backup in D's place, whatever is there; D, open. To be repeated if it was broken off.

    Nobody else may have D open. ``Unavailable`` where there is no room: SQLite's old file is untouched then.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        _place_sqlite(folder / DATA, Path(parsed.database or ""))
        return open_database(url, "data")
    data = open_database(url, "data")
    try:
        data.claim()
        _place_postgresql(folder, manifest, data)
    except BaseException:
        data.close()
        raise
    return data


# --- SQLite ---


def _copy_sqlite(data: Database, folder: Path) -> dict[str, Any]:
    target = folder / DATA
    with data.new_reader() as reader, closing(sqlite3.connect(target)) as copy:
        os.chmod(target, 0o600)
        reader.backup(copy, pages=-1)  # in one step: a backup in pieces begins anew whenever somebody writes
        copy.execute("PRAGMA journal_mode=DELETE")
        found = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            raise Unavailable(f"the copy of the data is not sound ({found}): nothing was kept of it")
        size, root, frontier, checkpoint = copy.execute("SELECT size, root, frontier, checkpoint FROM tree").fetchone()
        version = copy.execute(VERSION).fetchone()[0]
    sync_file(target)
    return _facts(version, size, root, frontier, checkpoint)


def _place_sqlite(source: Path, target: Path) -> None:
    beside = target.with_name(target.name + ".restoring")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(source, beside)
        beside.chmod(0o600)
        sync_file(beside)
    except OSError as fault:
        beside.unlink(missing_ok=True)
        raise Unavailable(f"the backup cannot be put in place: {fault.strerror}") from None
    for name in (f"{target.name}-wal", f"{target.name}-shm"):
        target.with_name(name).unlink(missing_ok=True)  # of the data that goes: it must not be read into the new one
    os.replace(beside, target)
    sync_folder(target.parent)


# --- PostgreSQL ---


def _copy_postgresql(store: Store, folder: Path) -> dict[str, Any]:
    def copy(connection: Any) -> dict[str, Any]:
        raw = driver(connection)
        version = connection.exec_driver_sql(VERSION).scalar_one()
        tree = connection.execute(TREE).one()
        for table in tables.data.sorted_tables:
            named = _named(table, (column.name for column in table.columns))
            with raw.cursor() as cursor, cursor.copy(f"COPY {named} TO STDOUT (FORMAT BINARY)") as out:
                _write(folder / f"{table.name}.copy", out)
        return _facts(version, tree.size, tree.root, tree.frontier, tree.checkpoint)

    return store.read(copy)


def _place_postgresql(folder: Path, manifest: Manifest, data: Database) -> None:
    from troth.store.migrate import STEPS, upgrade

    with data.transaction() as connection:
        tables.data.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
    upgrade(data, STEPS / "data", manifest.tables)
    with data.transaction() as connection:
        raw = driver(connection)
        for table, columns in _of_that_version(connection):
            path = folder / f"{table.name}.copy"
            if not path.exists():
                continue  # a table that is younger than the backup
            with raw.cursor() as cursor, cursor.copy(f"COPY {_named(table, columns)} FROM STDIN (FORMAT BINARY)") as to:
                for piece in pieces(path):
                    to.write(piece)
            if table.autoincrement_column is not None:
                column = table.autoincrement_column.name
                highest = f"(SELECT coalesce(max({column}), 0) + 1 FROM {table.name})"  # noqa: S608 - names of ours
                ours = f"pg_get_serial_sequence('{table.name}', '{column}')"
                connection.exec_driver_sql(f"SELECT setval({ours}, {highest}, false) WHERE {ours} IS NOT NULL")


def _of_that_version(connection: Any) -> Iterator[tuple[Any, list[str]]]:
    """The tables that the database has now, each with the columns it has, in the order in which backups have them.

    A backup of an older version holds what that version had: steps add columns, and never change their order here.
    """
    found = inspect(connection)
    there = set(found.get_table_names())
    for table in tables.data.sorted_tables:
        if table.name in there:
            held = {column["name"] for column in found.get_columns(table.name)}
            yield table, [column.name for column in table.columns if column.name in held]


def _named(table: Any, columns: Iterable[str]) -> str:
    """A table with columns by name: names, since steps add columns at the end."""
    return f"{table.name} ({', '.join(chr(34) + name + chr(34) for name in columns)})"


# --- files ---


def _facts(version: str, size: int, root: bytes, frontier: bytes, checkpoint: str) -> dict[str, Any]:
    return {
        "tables": version,
        "size": size,
        "root": bytes(root).hex(),
        "frontier": bytes(frontier).hex(),
        "checkpoint": checkpoint,
    }


def _file(path: Path) -> File:
    digest, size = hashlib.sha256(), 0
    for piece in pieces(path):
        digest.update(piece)
        size += len(piece)
    return File(path.name, digest.hexdigest(), size)


def pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes, a megabyte at a time."""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _write(path: Path, content: Any) -> None:
    """A new private file, from bytes or from pieces of them; on the disk when this returns."""
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        for piece in (content,) if isinstance(content, bytes) else content:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """What was written to a file is on the disk when this returns."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def sync_folder(folder: Path) -> None:
    """The names in a folder are on the disk when this returns."""
    sync_file(folder)
