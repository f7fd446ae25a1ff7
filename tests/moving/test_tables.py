"""Of every table it is said what becomes of it, and every column has a form: for tables that are still to come, too."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Float, Integer, MetaData, Table

from troth.store.moving.shapes import Shape
from troth.store.tables import data, keys
from troth.store.tables.moving import LAST, WAYS, dropped, moving
from troth.vault.moving.rewrapping import OPEN, REWRAP

TABLES = [*data.sorted_tables, *keys.sorted_tables]


def test_of_every_table_it_is_said_what_becomes_of_it() -> None:
    names = [table.name for table in TABLES]
    assert len(names) == len(set(names))
    assert sorted(names) == sorted(WAYS), "a new table: say in store/tables/moving.py what becomes of it in a move"


def test_a_table_that_nobody_spoke_of_stops_an_export() -> None:
    metadata = MetaData()
    Table("shoes", metadata, Column("id", Integer, primary_key=True))
    with pytest.raises(RuntimeError, match="shoes"):
        moving(metadata)


def test_what_does_not_move_as_it_is_says_why() -> None:
    assert [name for name, way in WAYS.items() if way.how != "carried" and not way.why] == []
    assert set(dropped()) == {"sessions"}


def test_what_hangs_from_the_root_is_wrapped_anew_and_nothing_else() -> None:
    assert {name for name, way in WAYS.items() if way.how == "rewrapped"} == set(REWRAP) == set(OPEN)


def test_parents_stand_before_their_children_and_the_log_last() -> None:
    names = [table.name for table in moving()]
    for table in moving():
        for key in table.foreign_keys:
            assert names.index(key.column.table.name) < names.index(table.name)
    assert names[-3:] == list(LAST)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_has_a_form_and_every_row_comes_back(table: Table) -> None:
    shape = Shape(table)
    kinds: dict[type, Any] = {int: -7, bytes: b"\x00\xff\x00", str: 'a "word"\u2028é\n', bool: True}
    full = [kinds[column.type.python_type] for column in table.columns]
    bare = [None if c.nullable else value for c, value in zip(table.columns, full, strict=True)]
    for row in (full, bare):
        line = shape.line(row)
        assert line.count(b"\n") == 1
        found = shape.read(line)
        assert [getattr(found, column.key) for column in table.columns] == row
        assert shape.line(found) == line


def test_a_type_that_has_no_form_is_told() -> None:
    with pytest.raises(TypeError, match=r"shoes\.size"):
        Shape(Table("shoes", MetaData(), Column("size", Float, primary_key=True)))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}\n",
        b'{"epoch":1,"state":"current","provider":"file","wrapped":null,"opened_ms":0,"destroyed_ms":null}\n',
        b'{"epoch":4294967296,"state":"","provider":"","wrapped":null,"opened_ms":0,"destroyed_ms":null,"destruction":null}\n',
        b'{"epoch":1, "state":"","provider":"","wrapped":null,"opened_ms":0,"destroyed_ms":null,"destruction":null}\n',
        b'{"epoch":1,"state":"","provider":"","wrapped":"*","opened_ms":0,"destroyed_ms":null,"destruction":null}\n',
        b'{"epoch":1,"state":"","provider":"","wrapped":null,"opened_ms":0,"destroyed_ms":null,"destruction":null,"x":1}\n',
        b'{"epoch":true,"state":"","provider":"","wrapped":null,"opened_ms":0,"destroyed_ms":null,"destruction":null}\n',
    ],
)
def test_a_line_that_an_export_would_not_write_is_none(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds: whoever reads a file says where it was
        Shape(keys.tables["epochs"]).read(line)
