"""The ASGI application: finds the route, proves the caller, checks the form, and answers every error as a problem.

One pass through here, in this order, for every request: route, rate limit, length, caller, origin and token,
handler; then headers and the cookie filter for every answer, whoever made it. Nothing about a person is logged.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from troth.errors import NotFound, TrothError
from troth.web import bodies, cookies, language, problems, security
from troth.web.metrics import Metrics
from troth.web.pages import Pages, Visit
from troth.web.rates import Rates, network
from troth.web.routes import Caller, Group, Guard, Route, RouteTable
from troth.web.system import System

S = TypeVar("S", bound=System)
Hook = Callable[[], Awaitable[None]]


class Shell(Generic[S]):
    """An ASGI application over one system and its route groups."""

    def __init__(
        self,
        system: S,
        groups: Sequence[Group[S]],
        pages: Pages,
        metrics: Metrics,
        *,
        on_start: Sequence[Hook] = (),
        on_stop: Sequence[Hook] = (),
    ) -> None:
        """Join the groups; ValueError where two routes collide or a scope has no guard."""
        self.system = system
        self.table = RouteTable([route for group in groups for route in group.routes])
        self.guards: dict[str, Guard[S]] = {kind: guard for group in groups for kind, guard in group.guards.items()}
        self.pages = pages
        self.metrics = metrics
        self.rates = Rates(system.clock, system.randomness)
        self.on_start, self.on_stop = on_start, on_stop
        for route in self.table.routes:
            if route.guarded and route.guarded not in self.guards:
                raise ValueError(f"{route.method} {route.path}: nothing proves a caller of scope {route.scope!r}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI scope: a request, or the server's start and stop."""
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        if scope["type"] != "http":
            return  # no route speaks WebSocket: the server closes it
        began = time.perf_counter()
        scope.setdefault("state", {})
        bounded = security.BoundedBody(receive, 0)
        request = Request(scope, bounded)
        tls = security.is_tls(request, self.system.config.trusted_proxies)
        scope["state"].update(shell=self, visit=Visit(request, self.pages, self.system, tls=tls))
        route: Route[S] | None = None
        try:
            route, params = self.table.match(request.method, scope["path"])
            scope["path_params"] = params
            bounded.left = route.body
            response = await self.answer(request, route)
        except ClientDisconnect:
            return
        except TrothError as error:
            response = problems.answer(request, route, error)
        except Exception as fault:  # the rim: whatever happened inside becomes an incident without a personal value
            response = problems.answer(request, route, problems.record(fault))
        if asked := scope["state"]["visit"].asked:
            language.remember(response, request, self.system.policy, asked, tls=tls)
        security.protect(response, route, tls=tls)
        stripped = cookies.filter_cookies(response, self.system.policy, cookies.minted(request), tls=tls)
        if request.method == "HEAD":
            response = bodiless(response)
        try:
            await response(scope, receive, send)
        except ClientDisconnect:
            pass
        finally:
            self.metrics.count(route, request.method, response.status_code, time.perf_counter() - began, stripped)

    async def answer(self, request: Request, route: Route[S]) -> Response:
        """Everything before the handler, and the handler."""
        config = self.system.config
        if route.scope == "local" and not security.is_local(request, config.trusted_proxies):
            raise NotFound("there is nothing at this address")
        if route.limit is not None:
            address = security.client_address(request, config.trusted_proxies)
            self.rates.hit(route.path, network(address), route.limit)
        if route.changes:
            security.check_length(request, route.body)
        caller: Caller | None = None
        if route.guarded:
            found = await self.guards[route.guarded](request, self.system, route.detail)
            if isinstance(found, Response):
                return found
            request.state.visit.caller = caller = found
        if route.changes and not route.cross_site:
            await self.check_form(request, route, caller)
        return await route.handler(request, self.system)

    async def check_form(self, request: Request, route: Route[S], caller: Caller | None) -> None:
        """Refuse a changing request from elsewhere, and a signed-in one without its session's token."""
        if caller is not None and caller.kind == "product":
            return  # proven by a key in a header, which no other page can make a browser send
        security.check_origin(request, self.system.config)
        if caller is not None:
            given = request.headers.get(security.CSRF_HEADER)
            if given is None:
                given = (await bodies.read_form(request)).one(security.CSRF_FIELD)
            security.check_token(caller, given)

    async def lifespan(self, receive: Receive, send: Send) -> None:
        """Run the hooks at start and stop."""
        await receive()
        try:
            for hook in self.on_start:
                await hook()
        except Exception as fault:
            problems.record(fault)
            await send({"type": "lifespan.startup.failed", "message": type(fault).__name__})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for hook in self.on_stop:
            await hook()
        await send({"type": "lifespan.shutdown.complete"})


def bodiless(response: Response) -> Response:
    """The same answer for HEAD: its headers, without its body."""
    kept: Mapping[str, str] = response.headers
    empty = Response(status_code=response.status_code)
    empty.raw_headers = list(response.raw_headers)
    if "content-length" not in kept and not hasattr(response, "body_iterator"):
        empty.headers["content-length"] = str(len(response.body))
    return empty
