"""The statements by which a person's rows are counted, removed and looked for, made from the erasers once.

What is removed comes from the erasers; what is looked for comes from the tables themselves, so that a table that no
eraser knows keeps an erasure from being called done. Clause: ``rights.erase``. Mechanism: ``right.erase``.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    Connection,
    Delete,
    Select,
    Table,
    bindparam,
    delete,
    func,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from troth.rights.erasers import ERASERS, KEPT_BY_NUMBER, RECORDS, Rows
from troth.store.tables import data, personal_records, subjects, terms
from troth.store.tables import links as link_table
from troth.store.transaction import DataTx

CHUNK = 500  # rows a transaction: a person with 100,000 rows does not stop the writer for everybody else
MOST = 100  # rows of one kind that a plan counts; beyond, it says that there are more: an order takes the same time


def person(table: Table, extra: ColumnElement[bool] | None = None) -> ColumnElement[bool]:
    """The rows of one person in a table that carries tenant and sid."""
    where: ColumnElement[bool] = (table.c.tenant == bindparam("of_tenant")) & (table.c.sid == bindparam("of_sid"))
    return where if extra is None else where & extra


def whose(tenant: str, sid: bytes) -> dict[str, str | bytes]:
    """The parameters that ``person`` asks for."""
    return {"of_tenant": tenant, "of_sid": sid}


def _goes() -> Iterable[Rows]:
    return (part for eraser in ERASERS if eraser.action == "destroyed" for part in eraser.rows)


CHUNK_DELETES: dict[str, Delete] = {
    part.name: delete(part.table).where(
        person(part.table), part.key.in_(select(part.key).where(person(part.table)).limit(CHUNK).scalar_subquery())
    )
    for part in _goes()
    if part.key is not None
}
LAST_DELETES: dict[str, Delete] = {
    part.name: delete(part.table).where(person(part.table))
    for part in _goes()
    if part.key is None and part.table not in (link_table, subjects)
}
DROP_SUBJECT = delete(subjects).where(person(subjects))
DROP_LINKS = delete(link_table).where(person(link_table))
ORPHAN_LINKS = update(link_table).where(person(link_table, link_table.c.kind == "unsubscribe")).values(sid=None, ref="")


def _number(part: Rows, most: int) -> Select[int]:
    some = select(literal(1).label("one")).select_from(part.table).where(person(part.table, part.of)).limit(most)
    return select(func.count()).select_from(some.subquery())


LEFT = union_all(
    *(
        select(literal(str(table.name)).label("name"), _number(Rows(table), 1).scalar_subquery().label("number"))
        for table in data.sorted_tables
        if {"tenant", "sid"} <= set(table.c.keys()) and table.name not in KEPT_BY_NUMBER
    )
)
KINDS = union_all(
    *(
        select(
            literal(eraser.id).label("id"),
            literal(part.name).label("name"),
            _number(part, MOST + 1).scalar_subquery().label("number"),
        )
        for eraser in ERASERS
        if eraser.id != RECORDS
        for part in eraser.rows
    )
)
_OF_TERMS = (
    select(literal(1).label("one"))
    .select_from(personal_records)
    .where(person(personal_records, personal_records.c.terms_id == terms.c.id))
    .limit(MOST + 1)
    .correlate(terms)
    .subquery()
)
OF_POINTS = select(
    terms.c.point, select(func.count()).select_from(_OF_TERMS).correlate(terms).scalar_subquery().label("number")
)


def remaining(connection: Connection, tenant: str, sid: bytes) -> tuple[str, ...]:
    """The tables in which a look finds rows of this person, in order; empty when there are none."""
    found = connection.execute(LEFT, whose(tenant, sid)).all()
    return tuple(sorted(row.name for row in found if row.number))


def remove_chunk(tx: DataTx, tenant: str, sid: bytes, counts: dict[str, int]) -> bool:
    """Remove at most a chunk of each table that may have many, and count it; whether one of them may have more."""
    for name, statement in CHUNK_DELETES.items():
        gone = tx.execute(statement, whose(tenant, sid)).rowcount
        counts[name] = counts.get(name, 0) + gone
        if gone == CHUNK:
            return True  # and so may those behind it
    return False


def remove_last(tx: DataTx, tenant: str, sid: bytes, counts: dict[str, int]) -> tuple[str, ...]:
    """Remove the few rows that are left, take the person out of the links that stay, and look again.

    Returns the tables in which the look found something: the subject's own row goes only where there is none.
    """
    tx.execute(ORPHAN_LINKS, whose(tenant, sid))
    counts["links"] = tx.execute(DROP_LINKS, whose(tenant, sid)).rowcount
    for name, statement in LAST_DELETES.items():
        counts[name] = tx.execute(statement, whose(tenant, sid)).rowcount
    left = tuple(name for name in remaining(tx.connection, tenant, sid) if name != subjects.name)
    if not left:
        counts[str(subjects.name)] = tx.execute(DROP_SUBJECT, whose(tenant, sid)).rowcount
    return left
