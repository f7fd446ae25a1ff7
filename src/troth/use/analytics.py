"""The figures of visits: what may be shown of them, and nothing that could be worked out to more.

Past days hold only what may be shown (``collect.visits.closing``); the day that lasts is put through the same rule
here, and moves in whole steps of the threshold. A figure over several days or surfaces is the sum of what each may
show: a visitor who comes on two days counts on both, since nothing tells that it was the same. Days and hours are UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec
from sqlalchemy import Connection, bindparam, func, select

from troth.collect.visits.closing import by_surface
from troth.collect.visits.release import DIMENSIONS, WHOLE, Cell, in_steps, released
from troth.collect.visits.rules import AT_LEAST, Rules
from troth.errors import Invalid
from troth.store import Store
from troth.store.tables import visit_cells, visit_counts, visit_seen
from troth.world import DAY_MS

MOST_DAYS = 400
MOST_ROWS = 100  # values of a dimension in a report; a CSV has all

IN_TIME = (
    visit_counts.c.day >= bindparam("since"),
    visit_counts.c.day <= bindparam("until"),
    visit_counts.c.day.not_in(bindparam("open_days", expanding=True)),
)
SUMS = (
    select(
        visit_counts.c.cell,
        func.sum(visit_counts.c.views).label("views"),
        func.sum(visit_counts.c.visitors).label("visitors"),
    )
    .where(*IN_TIME)
    .group_by(visit_counts.c.cell)
    .subquery()
)
CELLS = (
    select(visit_cells.c.surface, visit_cells.c.dimension, visit_cells.c.value, SUMS.c.views, SUMS.c.visitors)
    .join(SUMS, SUMS.c.cell == visit_cells.c.id)
    .where(visit_cells.c.tenant == bindparam("of_tenant"))
)
DAYS = (
    select(visit_cells.c.surface, visit_counts.c.day, visit_counts.c.views, visit_counts.c.visitors)
    .join(visit_cells, visit_cells.c.id == visit_counts.c.cell)
    .where(
        visit_counts.c.cell.in_(  # few: looked for in them, and not joined to each of many rows
            select(visit_cells.c.id).where(
                visit_cells.c.tenant == bindparam("of_tenant"), visit_cells.c.dimension == WHOLE
            )
        ),
        *IN_TIME,
    )
)
OPEN_DAYS = select(visit_seen.c.day).distinct()


def said(description: str) -> msgspec.Meta:
    """What a member means, for the interface's schema."""
    return msgspec.Meta(description=description)


class Line(msgspec.Struct, frozen=True):
    """One figure."""

    value: Annotated[str, said("the page, host, country …; empty: none was told")]
    views: Annotated[int, said("how often")]
    visitors: Annotated[int, said("by how many visitors, each counted once a day")]


class Day(msgspec.Struct, frozen=True):
    """One day."""

    day: Annotated[int, said("days since 1970-01-01, UTC")]
    views: int
    visitors: int


class Report(msgspec.Struct, frozen=True):
    """The figures of a period. What fewer than ``at_least`` visitors stand behind on a day is in none of them."""

    since: Annotated[int, said("the first day, in days since 1970-01-01, UTC")]
    until: Annotated[int, said("the last day")]
    surface: Annotated[str, said("the surface; empty: all of them")]
    at_least: Annotated[int, said("how many visitors stand behind each figure of a day, at the least")]
    views: int
    visitors: int
    days: tuple[Day, ...]
    dimensions: Annotated[dict[str, tuple[Line, ...]], said("hour, page, referrer, country, campaign, device, event")]


class Analytics:
    """Reads figures. Nothing here opens a seal: no person stands in them."""

    def __init__(self, store: Store, rules: Callable[[], Rules | None], tenant: str) -> None:
        self.store = store
        self.rules = rules
        self.tenant = tenant

    def of(self, tenant: str) -> Analytics:
        """The figures of another tenant: none, since the hosts that are counted are the policy's, and no tenant's."""
        return self if tenant == self.tenant else Analytics(self.store, lambda: None, tenant)

    def today(self) -> int:
        """The day that lasts, in days since 1970."""
        return self.store.now() // DAY_MS

    def surfaces(self) -> tuple[str, ...]:
        """The surfaces whose visits are counted."""
        rules = self.rules()
        points = [point for point in (rules.count, rules.view) if point] if rules else []
        return tuple(sorted({surface for point in points for surface in point.surfaces}))

    def report(self, since: int, until: int, surface: str = "", contains: str = "", most: int = MOST_ROWS) -> Report:
        """The figures from ``since`` to ``until`` (both days are in); ``Invalid`` where the period does not fit."""
        if not 0 <= since <= until or until - since > MOST_DAYS:
            raise Invalid(f"a period ends on or after its first day, and has at most {MOST_DAYS} days")
        rules = self.rules()
        at_least = rules.at_least if rules else AT_LEAST
        cells, days = self.store.read(lambda connection: self._read(connection, since, until, at_least))
        by: dict[str, dict[str, list[int]]] = {name: {} for name in DIMENSIONS}
        for of, cell in cells:
            if surface in ("", of) and contains.lower() in cell.value.lower():
                add(by[cell.dimension].setdefault(cell.value, [0, 0]), cell)
        course: dict[int, list[int]] = {}
        for of, day, cell in days:
            if surface in ("", of):
                add(course.setdefault(day, [0, 0]), cell)
        return Report(
            since,
            until,
            surface,
            at_least,
            sum(count[0] for count in course.values()),
            sum(count[1] for count in course.values()),
            tuple(Day(day, *course.get(day, (0, 0))) for day in range(since, until + 1)),
            {name: lines(by[name], most, in_order=name == "hour") for name in DIMENSIONS if name != WHOLE},
        )

    def _read(
        self, connection: Connection, since: int, until: int, at_least: int
    ) -> tuple[list[tuple[str, Cell]], list[tuple[str, int, Cell]]]:
        """(surface, cell) over the period, and (surface, day, the day's sum)."""
        open_days = [day for day in connection.execute(OPEN_DAYS).scalars() if since <= day <= until]
        given = {"since": since, "until": until, "of_tenant": self.tenant, "open_days": open_days}
        cells = [
            (row.surface, Cell(row.dimension, row.value, int(row.views), int(row.visitors)))
            for row in connection.execute(CELLS, given)
        ]
        days = [
            (row.surface, row.day, Cell(WHOLE, "", row.views, row.visitors)) for row in connection.execute(DAYS, given)
        ]
        for day in open_days:
            for surface, cell in self._unclosed(connection, day, at_least):
                cells.append((surface, cell))
                if cell.dimension == WHOLE:
                    days.append((surface, day, cell))
        return cells, days

    def _unclosed(self, connection: Connection, day: int, at_least: int) -> Iterator[tuple[str, Cell]]:
        """What may be shown of a day that is not closed."""
        for surface, found in by_surface(connection, self.tenant, day):
            for cell in in_steps(released((cell for cell, _ in found), at_least), at_least):
                yield surface, cell


def add(count: list[int], cell: Cell) -> None:
    """Add a cell's figures."""
    count[0] += cell.views
    count[1] += cell.visitors


def lines(found: dict[str, list[int]], most: int, *, in_order: bool) -> tuple[Line, ...]:
    """The figures of a dimension: the largest first, or in the order of their values."""
    made = [Line(value, *counts) for value, counts in found.items()]
    made.sort(key=(lambda one: one.value) if in_order else (lambda one: (-one.views, one.value)))
    return tuple(made[:most])
