"""Legal holds at the console: set, seen with their end, and lifted; by number, since no name stands here.

The person is named by the exact address that the officer was given, once, where a hold is set. Clause:
``retain.while-used``. Mechanism: ``retain.due``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Conflict, Invalid, NotFound
from troth.rights.calendar import day
from troth.rights.hold import CLAUSE, MOST_DAYS, REASONS, SOON_MS, Hold
from troth.use.roles import may
from troth.web.bodies import Form, read_form
from troth.web.console.guard import ConsoleSystem, caller_of
from troth.web.console.rooms import fragment, id_in
from troth.web.console.views import HomeCard
from troth.web.forms import field_errors
from troth.web.pages import page, see_other, text
from troth.web.person import tenant_of
from troth.web.public import words_of
from troth.web.routes import Group, Route
from troth.web.views import FieldError

if TYPE_CHECKING:
    from troth.web.running import Running

PATH = "/console/holds"
READ, HANDLE = "operator:requests.read", "operator:requests.handle"
FIELDS = ("email", "reason", "days")


async def look(request: Request, system: Running) -> Response:
    """The holds that stand, the nearest end first."""
    return await listing(request, system)


async def listing(
    request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200, form: Form | None = None
) -> Response:
    """The page, with the form that sets another."""
    found = await run_in_threadpool(system.holds.all, tenant_of(request))
    return page(
        request,
        "console/holds.html",
        status=status,
        holds=found,
        soon=[one.entry for one in found if one.until_ms < system.clock.now() + SOON_MS],
        handle=may(caller_of(request).role, "requests.handle"),
        day=partial(day, zone=system.config.zone_of(tenant_of(request))),
        reasons=REASONS,
        most=MOST_DAYS,
        errors=errors,
        typed={name: form.one(name) if form else "" for name in FIELDS},
    )


async def hold(request: Request, system: Running) -> Response:
    """Hold somebody's data, or set the reason and the end of their hold anew."""
    form, tenant, actor = await read_form(request), tenant_of(request), caller_of(request).actor
    days = int(form.one("days")) if form.one("days").isascii() and form.one("days").isdecimal() else 0

    def act() -> Hold:
        sid = system.vault.find(tenant, "email", form.one("email"))
        if sid is None:
            raise Invalid("nobody is held under this address", clause=CLAUSE, gaps=("/email: unknown",))
        return system.holds.set(tenant, sid, form.one("reason"), days, actor=actor)

    try:
        await run_in_threadpool(act)
    except Invalid as fault:
        return await listing(request, system, field_errors(fault, words_of(request)), 422, form)
    except (Conflict, NotFound):
        return await listing(request, system, [FieldError("email", text(request, "holds.not-now"))], 409, form)
    return see_other(request, PATH)


async def lift(request: Request, system: Running) -> Response:
    """End a hold now; what waited for it goes on."""
    actor, number = caller_of(request).actor, id_in(request)
    await run_in_threadpool(lambda: system.holds.lift(tenant_of(request), number, actor=actor))
    return see_other(request, PATH)


async def today(request: Request, system: ConsoleSystem) -> Markup | None:
    """How many stand, and which of them ends within 30 days."""
    running = cast("Running", system)
    found: list[Hold] = await run_in_threadpool(running.holds.all, tenant_of(request))
    soon = [one for one in found if one.until_ms < running.clock.now() + SOON_MS]
    zone = running.config.zone_of(tenant_of(request))
    return fragment(request, "holds.html", count=len(found), soon=soon, day=partial(day, zone=zone))


CARD = HomeCard("holds.title", 8, "requests.read", today, PATH)
GROUP: Group[Running] = Group(
    "console-holds",
    [
        Route("GET", PATH, look, CLAUSE, READ, summary="The legal holds that stand"),
        Route("POST", PATH, hold, CLAUSE, HANDLE, summary="Hold somebody's data, or set the end anew"),
        Route("POST", PATH + "/{id}/lift", lift, CLAUSE, HANDLE, summary="End a hold now"),
    ],
)
