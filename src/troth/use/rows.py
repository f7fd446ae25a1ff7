"""What the gate reads of a person: one statement, so that state, records and keeping are of one snapshot.

Plain text, run on the thread's own driver connection: on the smallest read SQLAlchemy costs 3.7 times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from troth.store.engine import Database

# SQLite writes numbers as text by itself.
_SPANS = {
    "sqlite": (
        "(SELECT group_concat(x.state || ' ' || x.since_ms || ' ' || COALESCE(x.until_ms, ''), ';')"
        " FROM subject_states x WHERE x.tenant = s.tenant AND x.sid = s.sid)"
    ),
    "postgresql": (
        "(SELECT string_agg(x.state || ' ' || x.since_ms::text || ' ' || COALESCE(x.until_ms::text, ''), ';')"
        " FROM subject_states x WHERE x.tenant = s.tenant AND x.sid = s.sid)"
    ),
}
_COLUMNS = (
    "s.sid, s.state_id, s.mode, s.generation, s.last_use_ms, {spans},"
    " r.rid, r.terms_id, r.class, r.schema, r.anchor_ms, {ct}"
)
_RECORDS = "JOIN personal_records r ON r.tenant = s.tenant AND r.sid = s.sid"
ONE = "SELECT {columns} FROM subjects s LEFT {records} WHERE s.tenant = ? AND s.sid = ?"
PAGE = (
    "SELECT {columns} FROM (SELECT * FROM subjects WHERE tenant = ? AND sid > ? AND mode IN ('live', 'restricted')"
    " ORDER BY sid LIMIT ?) s LEFT {records} ORDER BY s.sid, r.rid"
)


MANY = "SELECT {columns} FROM subjects s LEFT {records} WHERE s.tenant = ? AND s.sid "
CHUNK = 64  # persons in one statement


class Held(NamedTuple):
    """One row: the person's state, and one record of theirs (``rid`` is None where there is none).

    ``spans`` is their states as text, ``name since until`` joined by ``;``: see ``spans_of``.
    """

    sid: bytes
    state_id: int
    mode: str
    generation: int
    last_use_ms: int
    spans: str | None
    rid: bytes | None
    terms_id: int
    class_: str
    schema: int
    anchor_ms: int
    ct: bytes | None


def _text(template: str, database: Database, ct: str) -> str:
    columns = _COLUMNS.format(spans=_SPANS[database.dialect], ct=ct)
    return database.sql(template.format(columns=columns, records=_RECORDS))


def one_person(database: Database) -> str:
    """``(tenant, sid) -> rows of Held``; no row where there is no such person."""
    return _text(ONE, database, "r.ct")


@lru_cache(maxsize=2 * CHUNK)
def _many(database: Database, count: int) -> str:
    if database.dialect == "postgresql":
        return _text(MANY, database, "r.ct") + "= ANY(%s)"
    return _text(MANY, database, "r.ct") + f"IN ({', '.join('?' * count)})"


def many_persons(database: Database, tenant: str, sids: list[bytes]) -> tuple[str, tuple[Any, ...]]:
    """Statement and values for rows of ``Held`` of up to ``CHUNK`` different persons, in no order."""
    if database.dialect == "postgresql":
        return _many(database, 0), (tenant, sids)
    return _many(database, len(sids)), (tenant, *sids)


def page_of_persons(database: Database, *, sealed: bool) -> str:
    """``(tenant, after, limit) -> rows of Held``; the limit counts persons. ``ct`` is None unless ``sealed``."""
    return _text(PAGE, database, "r.ct" if sealed else "NULL")


def spans_of(spans: str | None) -> Mapping[str, tuple[int, int | None]]:
    """State -> (since, until or None), in milliseconds UTC."""
    found: dict[str, tuple[int, int | None]] = {}
    for span in spans.split(";") if spans else ():
        state, since, until = span.split(" ")
        found[state] = (int(since), int(until) if until else None)
    return found
