"""A commit is on the disk when it returns: set on every connection, then asserted, and a weaker setting refused."""

from __future__ import annotations

import sqlite3
from typing import Any

from troth.errors import StartRefused

LOG_LIMIT = 16 << 20
"""Bytes of write-ahead log; what is more is moved into the database between two batches."""

_SQLITE_PRAGMAS = (
    "PRAGMA busy_timeout=5000",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA mmap_size=0",
    "PRAGMA wal_autocheckpoint=0",
    # The file keeps this size when the log begins anew after a checkpoint: writing over what is there syncs in half the
    # time that growing takes, since the file system has nothing of its own to write (0.11 against 0.23 ms).
    f"PRAGMA journal_size_limit={LOG_LIMIT}",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cache_size=-8192",
)


def prepare_sqlite(raw: sqlite3.Connection, *, writes: bool) -> None:
    """Set what every SQLite connection needs, then assert that it holds. Raises ``StartRefused``."""
    for pragma in _SQLITE_PRAGMAS:
        raw.execute(pragma)
    if writes:
        raw.execute("PRAGMA journal_mode=WAL")
    else:
        raw.execute("PRAGMA query_only=ON")
    assert_durable_sqlite(raw)


def assert_durable_sqlite(raw: sqlite3.Connection) -> None:
    """Raise ``StartRefused`` unless a COMMIT on this connection is on the disk when it returns."""
    if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        raise StartRefused("the database cannot use a write-ahead log here (a network file system?)")
    if raw.execute("PRAGMA synchronous").fetchone()[0] < 2:
        raise StartRefused("synchronous is weaker than FULL: a commit could be lost with the power")
    if raw.execute("PRAGMA secure_delete").fetchone()[0] != 1:
        raise StartRefused("secure_delete is off: deleted keys would stay in the file")


def prepare_postgresql(raw: Any, *, writes: bool) -> None:
    """Make a reader unable to write. Raises ``StartRefused`` unless a COMMIT is durable when it returns."""
    statement = (
        "SELECT current_setting('synchronous_commit'), current_setting('fsync'), "
        "current_setting('full_page_writes'), current_setting('server_encoding')"
    )
    commit, fsync, pages, encoding = raw.execute(statement).fetchone()
    if not writes:
        raw.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    raw.commit()
    if commit not in ("on", "remote_apply"):
        raise StartRefused(f"PostgreSQL's synchronous_commit is {commit}: it must be on")
    if fsync != "on" or pages != "on":
        raise StartRefused("PostgreSQL runs with fsync or full_page_writes off: a commit could be lost")
    if encoding != "UTF8":
        raise StartRefused(f"the PostgreSQL database's encoding is {encoding}: it must be UTF8")
