"""Erasures at the console: each with its signed plan and what became of it; numbers, counts and times, no name.

Clause: ``rights.erase``. Mechanism: ``right.erase``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.web.console.rooms import id_in
from troth.web.pages import page
from troth.web.person import tenant_of
from troth.web.planned import became
from troth.web.public import words_of
from troth.web.routes import Group, Route

if TYPE_CHECKING:
    from troth.web.running import Running

PATH = "/console/erasures"
CLAUSE = "rights.erase"
READ = "operator:requests.read"


async def listing(request: Request, system: Running) -> Response:
    """The newest erasures."""
    found = await run_in_threadpool(system.erasures.latest, tenant_of(request))
    return page(request, "console/erasures.html", erasures=found)


async def look(request: Request, system: Running) -> Response:
    """One erasure: what was planned, what became of it, and the plan as it was signed."""
    order, tenant = id_in(request), tenant_of(request)
    found = await run_in_threadpool(system.erasures.certificate, order, tenant)
    signed = await run_in_threadpool(system.erasures.planned, order, tenant)
    return page(
        request,
        "console/erasure.html",
        certificate=found,
        became=became(found, words_of(request)),
        held=found.held,
        signed=signed or "",
        rows=sum(found.rows.values()),
    )


GROUP: Group[Running] = Group(
    "console-erasures",
    [
        Route("GET", PATH, listing, CLAUSE, READ, summary="The newest erasures"),
        Route("GET", PATH + "/{id}", look, CLAUSE, READ, summary="One erasure: its plan, and what became of it"),
    ],
)
