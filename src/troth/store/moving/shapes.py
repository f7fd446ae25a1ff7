"""A table's rows as lines of JSON and back, driven by its columns: no table is named here.

A line is an object with one member for each column, in the columns' order. Bytes are base64, times are milliseconds
UTC, NULL is null. The same rows give the same bytes whichever store they lie in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, LargeBinary, Select, Table, Text, func, select

from troth.store.engine import Database

PAGE = 1000

_TYPES: tuple[tuple[type[Any], Any], ...] = (  # a bigger integer is an integer too: it stands first
    (BigInteger, Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]),
    (Integer, Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]),
    (Boolean, bool),
    (LargeBinary, bytes),
    (Text, str),
)
_ENCODE = msgspec.json.Encoder().encode


class Shape:
    """One table's rows as lines. Rows are structures with the columns' keys as attributes, in the columns' order."""

    def __init__(self, table: Table) -> None:
        """``TypeError`` for a column of a type that has no form here."""
        self.table = table
        fields = [(str(column.key), _type(column)) for column in table.columns]
        names = {str(column.key): str(column.name) for column in table.columns}
        made = msgspec.defstruct(str(table.name), fields, rename=names, forbid_unknown_fields=True)
        self.row: type[msgspec.Struct] = made
        self._decode = msgspec.json.Decoder(made).decode

    @property
    def file(self) -> str:
        """The name of the table's file."""
        return f"{self.table.name}.jsonl"

    def line(self, row: Any) -> bytes:
        """A row (a sequence of values in the columns' order, or a structure) as its line."""
        return _ENCODE(row if isinstance(row, msgspec.Struct) else self.row(*row)) + b"\n"

    def read(self, line: bytes) -> Any:
        """A line's row; ``ValueError`` that names members and never a value."""
        row = self._decode(line)
        if _ENCODE(row) + b"\n" != line:
            raise ValueError("it is not written as an export writes it")
        return row

    def rows(self, connection: Connection) -> Iterator[Any]:
        """Every row, in the order of its key, some at a time."""
        yield from connection.execute(self._ordered(connection)).yield_per(PAGE)

    def count(self, connection: Connection) -> int:
        """How many rows there are."""
        return connection.execute(select(func.count()).select_from(self.table)).scalar_one()

    def _ordered(self, connection: Connection) -> Select[Any]:
        """By the key's bytes. PostgreSQL orders texts by a language's rules unless it is told otherwise."""
        foreign = connection.dialect.name == "postgresql"
        by = [
            column.collate("C") if foreign and isinstance(column.type, Text) else column
            for column in self.table.primary_key
        ]
        return select(self.table).order_by(*by)


def _type(column: Column[Any]) -> Any:
    for of, as_ in _TYPES:
        if isinstance(column.type, of):
            return as_ | None if column.nullable else as_
    raise TypeError(f"{column.table.name}.{column.name} has a type that cannot move: say how in store/moving/shapes.py")


def snapshot(database: Database) -> Connection:
    """A connection for reading whole tables, on PostgreSQL in one snapshot. Close it.

    K is read elsewhere by point reads only, so that its log can be overwritten; nobody erases while a system moves.
    """
    connection = database.connect()
    if database.dialect == "postgresql":
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return connection
