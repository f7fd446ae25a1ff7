"""The one route table: every address with its method, handler, types, statuses, scope and the clause it serves.

OpenAPI is written from this table and the shell dispatches by it, so that neither can say what the other does
not. A route group is what one layer contributes; the composition root joins the groups.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from troth.errors import NotAllowed, NotFound
from troth.policy.model import CompiledPolicy

S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)

Handler = Callable[[Request, S_contra], Awaitable[Response]]
Schema = dict[str, Any]
Declared = Callable[[CompiledPolicy], Schema]
"""A JSON Schema that the policy in force declares: it changes when the policy does."""

KIB = 1024


@dataclass(frozen=True)
class Limit:
    """At most ``count`` requests from one address within ``seconds``."""

    count: int
    seconds: int


@dataclass(frozen=True)
class Caller:
    """Who a guard has found the caller to be. ``csrf`` is the token that this caller's forms carry, "" for none."""

    kind: Literal["person", "operator", "product"]
    id: bytes
    actor: str  # as it stands in the ledger: "subject", "operator:<hex>", "product:<hex>"
    role: str = ""
    name: str = ""  # an operator's own login name, shown to that operator only
    csrf: str = ""
    scopes: frozenset[str] = frozenset()
    session: bytes = b""  # SHA-256 of the session's cookie


Guard = Callable[[Request, S, str], Awaitable[Caller | Response]]
"""Finds the caller for a scope: ``(request, system, detail) -> Caller``, or the answer instead (a redirect to
sign-in); raises ``Unproven`` or ``Forbidden``. ``detail`` is what stands after the colon in ``operator:approve``."""


@dataclass(frozen=True)
class Route(Generic[S_contra]):
    """One line of the table.

    - ``scope``: ``public``, ``local`` (this machine only), or a guarded kind with an optional detail: ``person``,
      ``person:fresh``, ``operator``, ``operator:<permission>``, ``product``, ``product:<permission>``.
    - ``kind``: ``page`` is for people (HTML, forms, errors as pages); ``api`` is in the OpenAPI document and always
      answers problem+json; ``file`` is neither.
    - ``request``/``response``: a msgspec Struct, or a callable giving the schema that the policy declares.
    - ``statuses``: what success means, status -> one line; the refusals follow from the route itself.
    - ``telling``: those of them that are failures and yet answer with ``response`` (an unwell system's health).
    - ``params``/``query``/``headers``: JSON Schemas of what stands outside the body (``required`` inside a query or
      header schema marks it as such).
    - ``cache``: the Cache-Control value; empty means ``no-store`` behind a guard and ``no-cache`` elsewhere.
    - ``cross_site``: takes POSTs from anywhere (one-click unsubscribe by a mail provider); never with a session.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler[S_contra]
    clause: str
    scope: str = "public"
    kind: Literal["page", "api", "file"] = "page"
    summary: str = ""
    request: Any = None
    response: Any = None
    media: str = "application/json"
    statuses: Mapping[int, str] = field(default_factory=lambda: {200: "Done"})
    telling: frozenset[int] = frozenset()
    params: Mapping[str, Schema] = field(default_factory=dict)
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    limit: Limit | None = None
    body: int = 64 * KIB
    cache: str = ""
    cross_site: bool = False

    @property
    def guarded(self) -> str:
        """The kind of guard: ``person``, ``operator``, ``product``, or "" where anybody may come."""
        kind = self.scope.partition(":")[0]
        return "" if kind in ("public", "local") else kind

    @property
    def detail(self) -> str:
        """What stands after the colon of the scope."""
        return self.scope.partition(":")[2]

    @property
    def changes(self) -> bool:
        """True where the method changes something."""
        return self.method != "GET"

    @property
    def caching(self) -> str:
        """The Cache-Control value of this route's answers."""
        return self.cache or ("no-store" if self.guarded else "no-cache")


@dataclass(frozen=True)
class Group(Generic[S]):
    """What one layer adds to the web: its routes, and the guards for scopes that it knows how to prove."""

    name: str
    routes: Sequence[Route[S]]
    guards: Mapping[str, Guard[S]] = field(default_factory=dict)


Methods = dict[str, Route[S]]


class RouteTable(Generic[S]):
    """All routes, found by path in constant time where the path has no parameters."""

    def __init__(self, routes: Iterable[Route[S]]) -> None:
        """Index ``routes``; ValueError where two claim the same method and path, or a scope is unknown."""
        self.routes = tuple(routes)
        self.fixed: dict[str, Methods[S]] = {}
        self.open: dict[str, tuple[re.Pattern[str], Mapping[str, Any], Methods[S]]] = {}
        for route in self.routes:
            if "{" in route.path:
                pattern, _, convertors = compile_path(route.path)
                methods = self.open.setdefault(route.path, (pattern, convertors, {}))[2]
            else:
                methods = self.fixed.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"two routes claim {route.method} {route.path}")
            if route.cross_site and route.guarded:
                raise ValueError(f"{route.path}: a guarded route may not take forms from other sites")
            methods[route.method] = route

    def has(self, path: str) -> bool:
        """Whether some route answers under this path."""
        return path in self.fixed or any(pattern.fullmatch(path) for pattern, _, _ in self.open.values())

    def match(self, method: str, path: str) -> tuple[Route[S], dict[str, Any]]:
        """The route and its path parameters. Raises ``NotFound``, or ``NotAllowed`` with the methods there are."""
        params: dict[str, Any] = {}
        methods = self.fixed.get(path)
        if methods is None:
            for pattern, convertors, found in self.open.values():
                hit = pattern.fullmatch(path)  # its $ would let an end of line pass
                if hit:
                    params = {name: convertors[name].convert(value) for name, value in hit.groupdict().items()}
                    methods = found
                    break
            else:
                raise NotFound("there is nothing at this address")
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = {*methods, *({"HEAD"} if "GET" in methods else ())}
            raise NotAllowed(
                f"this address takes {', '.join(sorted(allowed))} and nothing else", methods=tuple(sorted(allowed))
            )
        return route, params
