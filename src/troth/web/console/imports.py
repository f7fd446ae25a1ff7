"""Files that were brought in: how far each got, what became of its rows, and taking one back.

Rows are counted, never shown. Clauses: ``collect.*`` of the point. Mechanism: ``intake.declared``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.collect.importing import runs
from troth.collect.importing.undoing import WHY
from troth.errors import Conflict, Invalid
from troth.use.roles import may
from troth.web.bodies import read_form
from troth.web.console.guard import caller_of
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

IMPORTS = "/console/imports"
CLAUSE = "protect.storage"


async def imports_page(request: Request, system: Running) -> Response:
    """Every run of this tenant, the newest first."""
    return await shown(request, system)


async def shown(request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200) -> Response:
    """The page, with what went wrong."""
    found = await run_in_threadpool(system.store.read, partial(runs.listed, tenant=tenant_of(request)))
    return page(
        request,
        "console/imports.html",
        status=status,
        runs=found,
        why=WHY,
        undo=may(caller_of(request).role, "imports.undo"),
        errors=errors,
    )


async def undo(request: Request, system: Running) -> Response:
    """Let a run be taken back: asked twice, with a reason."""
    form = await read_form(request)
    if not form.ticked("sure"):
        return await shown(request, system, [FieldError("sure", text(request, "fault.sure"))], 422)
    asking = partial(system.undoing.ask, actor=caller_of(request).actor, why=form.one("why"))
    try:
        await run_in_threadpool(asking, tenant_of(request), id_in(request))
    except Invalid as fault:
        return await shown(request, system, field_errors(fault, words_of(request)), 422)
    except Conflict:
        return await shown(request, system, [FieldError("", text(request, "imports.undone-before"))], 409)
    return see_other(request, IMPORTS)


async def imports_card(request: Request, system: Running) -> Markup | None:
    """How many files were brought in; nothing where there were none."""
    found = await run_in_threadpool(system.store.read, partial(runs.listed, tenant=tenant_of(request)))
    return fragment(request, "imports.html", count=len(found)) if found else None


CARDS = (HomeCard("imports.title", 40, "imports.read", imports_card, IMPORTS),)
GROUP: Group[Running] = Group(
    "console.imports",
    [
        Route("GET", IMPORTS, imports_page, CLAUSE, "operator:imports.read"),
        Route("POST", IMPORTS + "/{id}/undo", undo, CLAUSE, "operator:imports.undo"),
    ],
)
