"""The console's page about the websites that are served here: what browsers say they stopped, and what was stripped.

Hints, not evidence: anybody can send such a report. They are counted in memory since the start and name nobody.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response

from troth.client.website.reports import Hint
from troth.web.hosting import Hosting
from troth.web.pages import page
from troth.web.person import tenant_of
from troth.web.routes import Group, Route
from troth.web.system import System

MOST = 200  # rows; the most frequent


class WithSites(System, Protocol):
    """A running system that serves websites."""

    hosting: Hosting


class SiteView(NamedTuple):
    """One website: whether every page of it is enforced, and what its front counted."""

    host: str
    enforced: bool
    hints: list[tuple[Hint, int]]
    stripped: list[tuple[str, int]]
    more: int


def views(hosting: Hosting) -> list[SiteView]:
    """Each website that is served here."""
    found, site = [], hosting.site()
    for host in hosting.hosts:
        front = hosting.fronts.get(host)  # none before its first visitor: nothing was counted
        modes = site.modes.get(site.hosts[host], {})
        found.append(
            SiteView(
                host=host,
                enforced="observe" not in modes.values(),
                hints=front.hints.counts.most_common(MOST) if front else [],
                stripped=front.stripped.most_common() if front else [],
                more=front.hints.overflow if front else 0,
            )
        )
    return found


async def show(request: Request, system: WithSites) -> Response:
    """The page. The websites are our own: a tenant's staff see none."""
    sites = views(system.hosting) if tenant_of(request) == system.config.tenant else []
    return page(request, "console/websites.html", sites=sites)


GROUP: Group[Any] = Group("websites", [Route("GET", "/console/websites", show, "scope.third-party", "operator")])
