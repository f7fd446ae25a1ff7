"""The figures of visits for staff: charts drawn here, tables beside them, CSV, and the same as an interface.

No script and no request to anybody else. Clauses: ``collect.ip-location``, ``purpose.patterns``.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any, Protocol

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Invalid
from troth.rights.access import harmless
from troth.use.analytics import Analytics, Report
from troth.web.bodies import json_answer
from troth.web.console.guard import ConsoleSystem
from troth.web.console.views import HomeCard
from troth.web.pages import Visit, page
from troth.web.person import tenant_of
from troth.web.routes import Group, Route

CLAUSE = "collect.ip-location"
SCOPE = "visits.read"
PERIODS = (7, 30, 90)
DEFAULT = 30
SHOWN = 10  # lines of a table on the page
ALL = 1_000_000
TABLES = ("page", "referrer", "country", "campaign", "device", "event")
QUERY: dict[str, Any] = {
    "since": {"type": "string", "format": "date", "description": "the first day (UTC); 30 days ago"},
    "until": {"type": "string", "format": "date", "description": "the last day (UTC); today"},
    "surface": {"type": "string", "description": "one surface; all of them where it is left out"},
    "contains": {"type": "string", "description": "only values that contain this"},
}


class CountingSystem(ConsoleSystem, Protocol):
    """A running system with figures of visits."""

    @property
    def analytics(self) -> Analytics:
        """The figures."""
        ...


def analytics_of(request: Request, system: CountingSystem) -> Analytics:
    """The figures of whose host this is."""
    return system.analytics.of(tenant_of(request))


def day_in(request: Request, name: str, default: int) -> int:
    """A day of the query, in days since 1970."""
    given = request.query_params.get(name, "")
    if not given:
        return default
    try:
        return (dt.date.fromisoformat(given) - dt.date(1970, 1, 1)).days
    except ValueError:
        raise Invalid(f"{name} is a day, such as 2026-03-02", gaps=(f"/{name}: date",)) from None


def iso(day: int) -> str:
    """A day since 1970 as people and browsers write it."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).isoformat()


async def report_of(request: Request, system: CountingSystem, most: int) -> Report:
    """The report that the query asks for."""
    analytics = analytics_of(request, system)
    until = day_in(request, "until", analytics.today())
    since = day_in(request, "since", until - DEFAULT + 1)
    query = request.query_params
    return await run_in_threadpool(
        analytics.report, since, until, query.get("surface", ""), query.get("contains", "")[:100], most
    )


async def dashboard(request: Request, system: CountingSystem) -> Response:
    """Everything on one page."""
    report = await report_of(request, system, SHOWN)
    today = system.analytics.today()
    query = {"surface": report.surface, "contains": request.query_params.get("contains", "")[:100]}
    return page(
        request,
        "console/visits.html",
        report=report,
        bars=bars([(iso(day.day), day.views, day.visitors) for day in report.days]),
        hours=bars(hours(report)),
        tables=TABLES,
        surfaces=analytics_of(request, system).surfaces(),
        since=iso(report.since),
        until=iso(report.until),
        today=today,
        periods=[(days, iso(today - days + 1), iso(today)) for days in PERIODS],
        query=query,
        lasting=report.until >= today,
    )


def hours(report: Report) -> list[tuple[str, int, int]]:
    """The day's hours, each with its figures; one that may not be shown has none."""
    found = {line.value: line for line in report.dimensions["hour"]}
    shown = [(f"{hour:02d}", found.get(f"{hour:02d}")) for hour in range(24)]
    return [(hour, line.views, line.visitors) if line else (hour, 0, 0) for hour, line in shown]


def bars(found: list[tuple[str, int, int]]) -> dict[str, Any]:
    """A chart of bars in a box 720 units wide and 160 high: each bar's place and height, and the line at the top."""
    top = nice(max((views for _, views, _ in found), default=0))
    width = 720 / max(len(found), 1)
    drawn = [
        {
            "label": label,
            "views": views,
            "visitors": visitors,
            "x": round(at * width + width * 0.1, 2),
            "width": round(width * 0.8, 2),
            "height": round(160 * views / top, 2),
            "inner": round(160 * min(visitors, views) / top, 2),
        }
        for at, (label, views, visitors) in enumerate(found)
    ]
    return {"bars": drawn, "top": top, "first": found[0][0] if found else "", "last": found[-1][0] if found else ""}


def nice(most: int) -> int:
    """The next round number from ``most`` on: what the line at the top says."""
    size: int = 10 ** max(len(str(most)) - 1, 0)
    return min(step * size for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * size >= most)


async def as_csv(request: Request, system: CountingSystem) -> Response:
    """Every figure of the period, as a table for spreadsheets."""
    report = await report_of(request, system, ALL)
    out = io.StringIO()
    write = csv.writer(out).writerow
    write(["dimension", "value", "views", "visitors"])
    for day in report.days:
        write(["day", iso(day.day), day.views, day.visitors])
    for name, lines in report.dimensions.items():
        for line in lines:
            write([name, harmless(line.value), line.views, line.visitors])
    name = f"visits-{iso(report.since)}-{iso(report.until)}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response("\ufeff" + out.getvalue(), 200, headers, "text/csv; charset=utf-8")


async def as_json(request: Request, system: CountingSystem) -> Response:
    """The same figures for programs."""
    return json_answer(await report_of(request, system, ALL))


async def card(request: Request, system: Any) -> Markup | None:
    """The last seven days, on the console's first page."""
    analytics = analytics_of(request, system)
    if not analytics.surfaces():
        return None
    today = analytics.today()
    report = await run_in_threadpool(analytics.report, today - 6, today)
    visit: Visit = request.state.visit
    content = visit.pages.render(visit, "console/cards/visits.html", {"report": report})
    return Markup(content)  # noqa: S704  # autoescaped template


CARD = HomeCard("visits.title", 50, SCOPE, card, "/console/visits")


GROUP: Group[Any] = Group(
    "visits of the console",
    [
        Route("GET", "/console/visits", dashboard, CLAUSE, f"operator:{SCOPE}"),
        Route("GET", "/console/visits.csv", as_csv, CLAUSE, f"operator:{SCOPE}", kind="file"),
        Route(
            "GET",
            "/api/v1/visits",
            as_json,
            CLAUSE,
            f"operator:{SCOPE}",
            kind="api",
            summary="The figures of visits that enough visitors stand behind",
            response=Report,
            query=QUERY,
        ),
    ],
)
