"""What an exception of a database driver means for the batch in which it was raised."""

from __future__ import annotations

import sqlite3
from typing import Literal

from sqlalchemy.exc import DBAPIError

Fault = Literal["item", "refused", "lost", "fatal"]
"""``item``: only this statement failed. ``refused``: the store cannot take it now (full, locked, read-only).
``lost``: the connection is gone. ``fatal``: a write or sync failed, nothing that is read back can be trusted."""


def classify(problem: BaseException) -> Fault:
    """Which of the four a driver's exception is (also as SQLAlchemy wraps it); anything else is ``item``."""
    original = problem.orig if isinstance(problem, DBAPIError) else problem
    code = getattr(original, "sqlite_errorcode", None)
    if isinstance(code, int):
        primary = code & 0xFF
        if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return "fatal"
        refused = (
            sqlite3.SQLITE_FULL,
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_NOMEM,
        )
        return "refused" if primary in refused else "item"
    if isinstance(problem, DBAPIError) and problem.connection_invalidated:
        return "lost"
    state = getattr(original, "sqlstate", None)
    if isinstance(original, OSError):
        return "fatal"
    if type(original).__module__.startswith("psycopg"):
        if type(original).__name__ in ("OperationalError", "InterfaceError") and state is None:
            return "lost"
        if isinstance(state, str) and (state.startswith(("08", "57P")) or state in ("25P03",)):
            return "lost"
        if isinstance(state, str) and state.startswith(("53", "25006", "58", "XX")):
            return "refused"
    return "item"


def plainly(problem: BaseException) -> str:
    """An exception without the values it may carry."""
    original = getattr(problem, "orig", None) or problem
    code = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return f"{type(original).__name__}{f' {code}' if code else ''}"
