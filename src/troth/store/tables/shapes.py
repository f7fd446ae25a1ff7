"""What all tables have in common: the two databases, the names of constraints, the columns' types."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, LargeBinary, MetaData, Table
from sqlalchemy.schema import SchemaItem

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

data = MetaData(naming_convention=NAMES)
keys = MetaData(naming_convention=NAMES)

Id = LargeBinary(16)
Ms = BigInteger
ROWID = BigInteger().with_variant(Integer, "sqlite")


def composite(name: str, meta: MetaData, *parts: SchemaItem) -> Table:
    """A table keyed by its own columns: WITHOUT ROWID on SQLite, where the key is the storage order."""
    return Table(name, meta, *parts, sqlite_with_rowid=False)
