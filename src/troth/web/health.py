"""Whether the system is well (``/health``), its counts (``/metrics``, this machine only), and its API's document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from troth.web.bodies import json_answer
from troth.web.metrics import TEXT, Metrics
from troth.web.openapi import document
from troth.web.routes import Route
from troth.web.system import System


class Health(msgspec.Struct, frozen=True):
    """``ok``, or what is not as it must be. Names only: no value, no person, no path."""

    status: Literal["ok", "failing"]
    policy: str
    version: str
    faults: tuple[str, ...] = ()


async def health(request: Request, system: System) -> Response:
    """200 while everything is as it must be, else 503; never cached."""
    faults = tuple(system.faults())
    policy = system.policy
    state = Health("failing" if faults else "ok", policy.policy, policy.version, faults)
    return json_answer(state, 503 if faults else 200, {"cache-control": "no-store"})


def routes(metrics: Metrics, all_routes: Callable[[], Sequence[Route[Any]]]) -> list[Route[System]]:
    """The three routes. ``all_routes`` is asked when the document is, since it lists itself too."""

    async def counts(request: Request, system: System) -> Response:
        metrics.faults.set(len(system.faults()))
        return Response(metrics.exposition(), headers={"cache-control": "no-store"}, media_type=TEXT)

    async def openapi(request: Request, system: System) -> Response:
        made = document(system.policy, all_routes(), title=system.policy.controller.name, url=system.config.url)
        return json_answer(made)

    return [
        Route(
            "GET",
            "/health",
            health,
            "protect.storage",
            kind="api",
            summary="Whether the system is well",
            response=Health,
            statuses={200: "Everything is as it must be", 503: "Something is not"},
            telling=frozenset({503}),
        ),
        Route("GET", "/metrics", counts, "protect.storage", scope="local", kind="file"),
        Route(
            "GET",
            "/api/v1/openapi.json",
            openapi,
            "scope.closed-list",
            kind="api",
            summary="This document, made for the policy in force",
            response={"type": "object"},
        ),
    ]
