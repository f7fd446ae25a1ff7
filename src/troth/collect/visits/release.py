"""Which figures of a day may be shown: those that enough persons stand behind, and none that could be worked out.

A pure rule over one day of one surface. Hiding a small cell is not enough where its neighbours and their sum are shown:
what is missing from the sum is the small cell. So, where a dimension divides the day's views and one of its cells is
hidden, the smallest of those that could be shown is hidden with it: what is missing then has enough persons behind it
and more than one cell. The rule applied to its own result changes nothing. Sums over days and surfaces are sums of what
is shown, so that no two of them differ by something that is not. Clause: ``collect.ip-location``; mechanism:
``count.visits``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

WHOLE = "all"
"""The dimension whose one cell is the day's sum."""

DIVIDING = ("hour", "page", "referrer", "country", "campaign", "device")
"""Dimensions whose cells share the sum among them: each view has one value in each, be it the empty one."""

DIMENSIONS = (WHOLE, *DIVIDING, "event")


class Cell(NamedTuple):
    """A count: of which dimension and value, how often, and how many different visitors on that day."""

    dimension: str
    value: str
    views: int
    visitors: int


def released(cells: Iterable[Cell], at_least: int) -> list[Cell]:
    """The cells of one day and surface that may be shown."""
    by: dict[str, list[Cell]] = {}
    for cell in cells:
        by.setdefault(cell.dimension, []).append(cell)
    shown: list[Cell] = []
    for dimension, found in by.items():
        enough = [cell for cell in found if cell.visitors >= at_least]
        if dimension in DIVIDING and len(enough) < len(found) and enough:
            enough.remove(min(enough, key=smallness))
        shown += enough
    return shown


def smallness(cell: Cell) -> tuple[int, int, str]:
    """The order in which cells are hidden beside those that must be."""
    return cell.visitors, cell.views, cell.value


def in_steps(cells: Sequence[Cell], at_least: int) -> list[Cell]:
    """The cells of a day that is not over, in whole steps of the threshold.

    Who looks again and again sees a figure move when as many more have come, and never one person arrive.
    """
    return [
        Cell(cell.dimension, cell.value, step(cell.views, at_least), step(cell.visitors, at_least)) for cell in cells
    ]


def step(count: int, size: int) -> int:
    """``count`` rounded down to whole steps."""
    return count - count % size if size > 1 else count
