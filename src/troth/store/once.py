"""INSERT … ON CONFLICT DO NOTHING, in the one spelling that SQLite and PostgreSQL share.

SQLAlchemy has a construct per dialect; importing both costs every start 20 ms, and neither compiles under the other.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Insert, Table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class InsertOnce(Insert):
    """An INSERT that does nothing where a unique key is taken: the row count says which it was."""

    inherit_cache = True


@compiles(InsertOnce)
def compile_once(element: InsertOnce, compiler: SQLCompiler, **options: Any) -> str:
    """The usual INSERT and the clause behind it."""
    insert: str = compiler.visit_insert(element, **options)  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
    return insert + " ON CONFLICT DO NOTHING"


def insert_once(table: Table) -> InsertOnce:
    """A prebuilt insert into ``table`` that leaves a taken key as it is. ``rowcount`` is 1 or 0."""
    # inline: no implied RETURNING, which would stand before the clause
    return InsertOnce(table).inline().execution_options(preserve_rowcount=True)
