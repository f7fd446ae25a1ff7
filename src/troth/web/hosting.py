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
from troth.errors import StartRefused
from troth.policy.model import CompiledPolicy
from troth.policy.nginx import BANNER
from troth.policy.site import GPC, REPORT, Site, named, site_of
from troth.web import security
from troth.web.answering import Answering
from troth.web.collector import Counted
from troth.web.routes import RouteTable

#: What the front answers on every host, Troth's own pages among them.
OWN = frozenset({banner.CHOICES, banner.STYLE, BANNER, REPORT, GPC})

log = logging.getLogger("troth.web")


class Hosting:
    """An ASGI application: the sites by their hosts, and ``shell`` for everything else.

    A site's front is made when its first visitor comes. ``fronts``: those that were made, with what they counted.
    """

    def __init__(self, system: Counted, shell: ASGIApp, table: RouteTable[object], folders: Mapping[str, Path]) -> None:
        self.system, self.shell, self.table, self.folders = system, shell, table, folders
        self.fronts: dict[str, Front] = {}
        self._sites: dict[str, ASGIApp] = {}
        self._known: tuple[CompiledPolicy, Site] | None = None
        for host, folder in folders.items():
            if not folder.is_dir():
                raise StartRefused(f"the website of {host} is not there: sites names the folder {folder.name}")

    def site(self) -> Site:
        """The front's view of the version in force."""
        policy = self.system.policy
        if self._known is None or self._known[0] is not policy:
            self._known = (policy, site_of(policy))
        return self._known[1]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts whose sites are served here."""
        return tuple(host for host in self.folders if self._serves(host))

    def _serves(self, host: str) -> bool:
        return host in self.folders and any(host in hosts for hosts in self.system.policy.surfaces.values())

    def tell(self) -> None:
        """Say which hosts no clause names, and so serve nothing."""
        for host in sorted(set(self.folders) - set(self.hosts)):
            log.error("no clause names the host %s, so its website is not served", host)

    def _answering(self, host: str) -> ASGIApp:
        """What answers under a host: its site, or for "" the front of Troth's own pages."""
        if host not in self._sites:
            clock = self.system.clock
            front = Front(self.site, clock=lambda: clock.now() / 1000)
            inner = self.shell
            if host:
                self.fronts[host] = front
                inner = Starlette(routes=[Mount("/", StaticFiles(directory=self.folders[host], html=True))])
            self._sites[host] = Answering(self.system, inner, front)
        return self._sites[host]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One scope: to the site of its host, or to the shell."""
        await self._application(scope)(scope, receive, send)

    def _application(self, scope: Scope) -> ASGIApp:
        if scope["type"] != "http":
            return self.shell
        request = Request(scope)
        host = named(request.headers.get("host", ""))
        path = scope["path"]
        if self._serves(host) and (path == "/" or not self.table.has(path)):
            site = self._answering(host)
        elif path in OWN:
            site = self._answering("")
        else:
            return self.shell
        if security.is_tls(request, self.system.config.trusted_proxies):
            scope["scheme"] = "https"
        return site
