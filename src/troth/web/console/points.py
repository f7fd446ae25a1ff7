"""Collection points at work: what comes in, what is turned away and why, what waits for a yes. Figures only.

The chart is drawn here, as SVG; the same figures stand in a table beside it. Clause ``scope.closed-list``. Mechanism:
``intake.declared``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.collect.refusals import HOUR_MS, HOURS
from troth.collect.traffic import PointTraffic
from troth.web.console.rooms import fragment
from troth.web.console.views import HomeCard
from troth.web.pages import page, text
from troth.web.person import tenant_of
from troth.web.public import words_of
from troth.web.routes import Group, Route

if TYPE_CHECKING:
    from troth.web.running import Running

POINTS = "/console/points"
BAR, GAP, HEIGHT = 8, 2, 56  # of the chart, in its own units


@dataclass(frozen=True)
class Bar:
    """One hour in the chart: where it stands, and how high it is."""

    x: int
    height: int


def bars(hours: list[int]) -> list[Bar]:
    """The hours as bars; the highest fills the height, and whatever is not nothing can be seen."""
    most = max(hours, default=0) or 1
    heights = [max(2, count * HEIGHT // most) if count else 0 for count in hours]
    return [Bar(at * (BAR + GAP), height) for at, height in enumerate(heights)]


def title_of(request: Request, point: str) -> str:
    """What a point is called; its name made readable where the catalogue is silent."""
    key = f"point.{point}.title"
    catalogue = request.state.visit.pages.catalogue
    return text(request, key) if catalogue.has(key) else words_of(request).label(point)


async def points_page(request: Request, system: Running) -> Response:
    """Every point of the policy in force."""
    found = await run_in_threadpool(system.traffic.of, tenant_of(request))
    now = system.store.now()
    return page(
        request,
        "console/points.html",
        points=[(traffic, title_of(request, traffic.point), bars(traffic.hours)) for traffic in found],
        begins=[now - (HOURS - at) * HOUR_MS for at in range(HOURS)],
        since_ms=system.intake.refusals.since_ms,
        width=HOURS * (BAR + GAP),
        bar_width=BAR,
        height=HEIGHT,
    )


async def points_card(request: Request, system: Running) -> Markup | None:
    """How much came in within the last day, at all points."""
    found: list[PointTraffic] = await run_in_threadpool(system.traffic.of, tenant_of(request))
    return fragment(request, "points.html", count=sum(traffic.last_day for traffic in found))


CARDS = (HomeCard("points.title", 30, "points.read", points_card, POINTS),)
GROUP: Group[Running] = Group(
    "console.points", [Route("GET", POINTS, points_page, "scope.closed-list", "operator:points.read")]
)
