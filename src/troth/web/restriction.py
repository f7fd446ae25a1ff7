"""Setting one's data aside, in one's own centre: why, since when, and taking it back. Clause ``rights.restrict``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Conflict
from troth.rights.restriction import CLAUSE, GROUNDS
from troth.web.bodies import read_form
from troth.web.pages import page, see_other, text
from troth.web.person import session_of
from troth.web.routes import Group, Route
from troth.web.views import Choice, FieldError

if TYPE_CHECKING:
    from troth.web.running import Running

PATH = "/privacy/restrict"


async def look(request: Request, system: Running) -> Response:
    """The page: the four grounds, or what holds now."""
    return await restricting(request, system)


async def restricting(
    request: Request, system: Running, errors: tuple[FieldError, ...] = (), status: int = 200
) -> Response:
    """The page, with faults if the form came back empty."""
    session = session_of(request)
    held = await run_in_threadpool(system.restrictions.of, session.tenant, session.sid)
    right = system.policy.rights.get("restriction")
    return page(
        request,
        "privacy/restrict.html",
        status=status,
        action=PATH,
        errors=errors,
        held=held,
        hold=await run_in_threadpool(system.holds.of, session.tenant, session.sid),
        told=right.told.text if right and right.told else "",
        grounds=[Choice(ground, text(request, f"restrict.ground-{ground}")) for ground in GROUNDS],
    )


async def restrict(request: Request, system: Running) -> Response:
    """Set it aside; in force when this answers."""
    ground = (await read_form(request)).one("ground")
    if ground not in GROUNDS:
        return await restricting(request, system, (FieldError("ground", text(request, "fault.choose")),), 422)
    session, language = session_of(request), request.state.visit.language
    await run_in_threadpool(
        lambda: system.restrictions.restrict(session.tenant, session.sid, ground, language=language)
    )
    return see_other(request, PATH)


async def lift(request: Request, system: Running) -> Response:
    """Take it back: the data is used again as before."""
    session = session_of(request)
    await run_in_threadpool(system.restrictions.lift, session.tenant, session.sid)
    return see_other(request, PATH)


async def keep(request: Request, system: Running) -> Response:
    """Say no to an announced end."""
    session = session_of(request)
    with contextlib.suppress(Conflict):  # it ended in this very moment: the page says so
        await run_in_threadpool(system.restrictions.keep, session.tenant, session.sid)
    return see_other(request, PATH)


GROUP: Group[Running] = Group(
    "restriction",
    [
        Route("GET", PATH, look, CLAUSE, "person", summary="Whether my data is set aside"),
        Route("POST", PATH, restrict, CLAUSE, "person", summary="Set my data aside"),
        Route("POST", PATH + "/lift", lift, CLAUSE, "person", summary="Use my data again"),
        Route("POST", PATH + "/keep", keep, CLAUSE, "person", summary="Say no to an announced end"),
    ],
)
