"""Every table that can hold rows of a person is emptied of them: the list is the tables themselves."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text, insert

from tests.clauses.vendor import TENANT, Person, Vendor
from troth.store import Write, tables
from troth.store.tables import shapes

WITH_SID = [table for table in tables.data.sorted_tables if "sid" in table.c]
KEPT = {"erasures"}  # the certificate itself: that it was done, when, and what it does not cover


def filler(column: Column[Any], sid: bytes) -> Any:
    """Some value that fits."""
    if column.name in ("tenant", "sid"):
        return TENANT if column.name == "tenant" else sid
    if isinstance(column.type, LargeBinary):
        return secrets.token_bytes(column.type.length or 32)
    if isinstance(column.type, Integer):
        return 1
    return "x"


def put(vendor: Vendor, table: Table, sid: bytes) -> None:
    """A row of this person, if they have none there."""
    if held(vendor, table, sid):
        return
    row = {c.key: filler(c, sid) for c in table.c if c.name == "sid" or not (c.nullable or c.server_default)}
    if table is tables.holds:
        row["ended_ms"] = 1  # one that stands would keep the person, as it must
    vendor.system.store.write(Write(lambda tx: tx.execute(insert(table), row).rowcount))


def held(vendor: Vendor, table: Table, sid: bytes) -> int:
    return int(str(vendor.rows(f"SELECT count(*) FROM {table.name} WHERE sid = :sid", sid=sid)[0][0]))


def left(vendor: Vendor, sid: bytes, of: Sequence[Table] = WITH_SID) -> set[str]:
    """The tables that still hold a row of this person."""
    return {table.name for table in of if held(vendor, table, sid)}


def test_an_erasure_leaves_no_row_in_any_table_that_can_hold_one(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    sid, other = (vendor.join("registration", person) for person in (ann, ben))
    vendor.letters()
    for table in WITH_SID:
        if table.name not in KEPT:
            put(vendor, table, sid)
            put(vendor, table, other)
    everywhere = {table.name for table in WITH_SID} - KEPT
    assert left(vendor, sid) == left(vendor, other) == everywhere
    assert vendor.system.erasures.erase(TENANT, sid).state == "gone"
    assert left(vendor, sid) == KEPT
    assert left(vendor, other) == everywhere, "and nobody else's"


def test_a_table_that_erasing_does_not_know_would_be_seen(vendor: Vendor) -> None:
    """Sabotage: a new table with rows of people, of which nobody has told the erasure."""
    sid = vendor.join("registration", Person())
    forgotten = Table("forgotten", MetaData(), Column("tenant", Text, nullable=False), Column("sid", shapes.Id))
    vendor.system.store.write(Write(lambda tx: forgotten.create(tx.connection)))
    put(vendor, forgotten, sid)
    assert vendor.system.erasures.erase(TENANT, sid).state == "gone"
    assert left(vendor, sid, [*WITH_SID, forgotten]) == KEPT | {"forgotten"}
