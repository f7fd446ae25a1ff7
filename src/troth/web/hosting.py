"""Websites of static files, each under its host, behind the front: what ``troth serve`` and the demonstration serve.

A host that no clause names serves nothing (clause ``scope.services``). What Troth itself answers (the policy, forms,
the privacy centre) it answers under these hosts too, but for the home page.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from troth.client.website import Front, banner
from troth.client.website.front import GPC
from troth.errors import StartRefused
from troth.policy.model import CompiledPolicy
from troth.policy.nginx import BANNER
from troth.policy.site import REPORT, Site, site_of
from troth.web import security
from troth.web.answering import Answering
from troth.web.collector import Counted
from troth.web.routes import RouteTable

#: What the front answers on every host, Troth's own pages among them.
OWN = frozenset({banner.CHOICES, banner.STYLE, BANNER, REPORT, GPC})

log = logging.getLogger("troth.web")


class Hosting:
    """An ASGI application: the sites by their hosts, and ``shell`` for everything else.

    ``fronts`` are the sites' fronts by host, with what they counted.
    """

    def __init__(self, system: Counted, shell: ASGIApp, table: RouteTable[object], folders: Mapping[str, Path]) -> None:
        self.system, self.shell, self.table = system, shell, table
        self.fronts: dict[str, Front] = {}
        self._sites: dict[str, ASGIApp] = {}
        self._own = Answering(system, shell, Front(self.site, clock=lambda: system.clock.now() / 1000))
        self._known: tuple[CompiledPolicy, Site] | None = None
        for host, folder in folders.items():
            front = Front(self.site, clock=lambda: system.clock.now() / 1000)
            self.fronts[host] = front
            if not folder.is_dir():
                raise StartRefused(f"the website of {host} is not there: sites names the folder {folder.name}")
            files = Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=True))])
            self._sites[host] = Answering(system, files, front)

    def site(self) -> Site:
        """The front's view of the version in force."""
        policy = self.system.policy
        if self._known is None or self._known[0] is not policy:
            self._known = (policy, site_of(policy))
        return self._known[1]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts whose sites are served here."""
        named = self.site().hosts
        return tuple(host for host in self._sites if host in named)

    def tell(self) -> None:
        """Say which hosts no clause names, and so serve nothing."""
        for host in sorted(set(self._sites) - set(self.hosts)):
            log.error("no clause names the host %s, so its website is not served", host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One scope: to the site of its host, or to the shell."""
        await self._application(scope)(scope, receive, send)

    def _application(self, scope: Scope) -> ASGIApp:
        if scope["type"] != "http":
            return self.shell
        request = Request(scope)
        host = request.headers.get("host", "").rsplit(":", 1)[0].lower()
        path = scope["path"]
        site: ASGIApp | None = self._own if path in OWN else None
        if host in self._sites and host in self.site().hosts and (path == "/" or not self.table.has(path)):
            site = self._sites[host]
        if site is None:
            return self.shell
        if security.is_tls(request, self.system.config.trusted_proxies):
            scope["scheme"] = "https"
        return site
