"""People in the console: found by an exact identifier, looked at for a purpose and a reason, and told of it.

There is no list of people and no address of a page that is about one: each step names the person anew, by the
identifier that the operator was given. Clauses: ``protect.storage``, ``protect.password``. Mechanism:
``operator.sign-in``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Denied, Invalid, NotFound
from troth.use.looks import KINDS, Seen
from troth.use.operators import Operator
from troth.use.roles import purposes_of
from troth.web.bodies import Form, read_form
from troth.web.console.guard import caller_of, operator_of
from troth.web.console.rooms import fragment
from troth.web.console.views import HomeCard
from troth.web.forms import field_errors
from troth.web.pages import page, text
from troth.web.person import tenant_of
from troth.web.problems import shown_gap
from troth.web.public import words_of
from troth.web.routes import Group, Limit, Route
from troth.web.views import FieldError, SessionView

if TYPE_CHECKING:
    from troth.web.running import Running

PEOPLE = "/console/people"
CLAUSE, SCOPE = "protect.storage", "operator:subjects.find"
FROM_AN_ADDRESS = Limit(60, 60)
BY_AN_OPERATOR = Limit(30, 3600)  # looks and searches; whoever needs more has a reason to speak about


async def people_page(request: Request, system: Running) -> Response:
    """The form: whom, what for, why."""
    return shown(request)


def shown(
    request: Request,
    form: Form | None = None,
    *,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    seen: Seen | None = None,
    denied: Denied | None = None,
    done: str = "",
) -> Response:
    """The page, with what came of it."""
    catalogue = request.state.visit.pages.catalogue
    return page(
        request,
        "console/people.html",
        status=status,
        kinds=KINDS,
        purposes=purposes_of(caller_of(request).role),
        typed={name: form.one(name) if form else "" for name in ("kind", "value", "purpose", "reason")},
        errors=errors,
        seen=seen,
        sessions=[SessionView.of(*each) for each in (seen.sessions if seen else ())],
        denied=denied,
        gaps=[shown_gap(catalogue, gap) for gap in (denied.gaps if denied else ())],
        done=done,
    )


async def named(request: Request, system: Running) -> tuple[Form, Operator, bytes]:
    """The form, who sends it, and the person whom it names; counted before anything is looked up."""
    form, operator = await read_form(request), await operator_of(request, system)
    request.state.shell.rates.hit("console.people", operator.id.hex(), BY_AN_OPERATOR)
    sid = await run_in_threadpool(system.looks.find, tenant_of(request), form.one("kind"), form.one("value"), operator)
    return form, operator, sid


def not_here(request: Request) -> list[FieldError]:
    """Nobody has it."""
    return [FieldError("value", text(request, "people.nobody"))]


async def look(request: Request, system: Running) -> Response:
    """Look at one person's data, or be told why not."""
    form = await read_form(request)
    try:
        form, operator, sid = await named(request, system)
        purpose, reason = form.one("purpose"), form.one("reason")
        seen = await run_in_threadpool(system.looks.look, tenant_of(request), sid, operator, purpose, reason)
    except NotFound:
        return shown(request, form, errors=not_here(request), status=404)
    except Invalid as fault:
        return shown(request, form, errors=field_errors(fault, words_of(request)), status=422)
    except Denied as denied:
        return shown(request, form, denied=denied, status=403)
    return shown(request, form, seen=seen)


async def send_link(request: Request, system: Running) -> Response:
    """Let the person's own link be sent to the address on file; nobody here sees it."""
    form = await read_form(request)
    try:
        form, operator, _ = await named(request, system)
    except NotFound:
        return shown(request, form, errors=not_here(request), status=404)
    except Invalid as fault:
        return shown(request, form, errors=field_errors(fault, words_of(request)), status=422)
    if form.one("kind") != "email":
        return shown(request, form, errors=[FieldError("kind", text(request, "fault.choice"))], status=422)
    language = request.state.visit.language
    await system.requests.ask(tenant_of(request), form.one("value"), language, operator.actor)
    return shown(request, form, done="people.link-sent")


async def end_session(request: Request, system: Running) -> Response:
    """End one of the person's sessions for them."""
    form = await read_form(request)
    try:
        form, operator, sid = await named(request, system)
        place = form.one("session")
        ended = await run_in_threadpool(system.looks.end_session, tenant_of(request), sid, place, operator)
    except NotFound:
        return shown(request, form, errors=not_here(request), status=404)
    except Invalid as fault:
        return shown(request, form, errors=field_errors(fault, words_of(request)), status=422)
    return shown(request, form, done="account.session-ended" if ended else "account.session-over")


async def looks_card(request: Request, system: Running) -> Markup | None:
    """How often people's data was looked at in the last day."""
    count = await run_in_threadpool(system.looks.last_day, tenant_of(request))
    return fragment(request, "looks.html", count=count)


CARDS = (HomeCard("people.title", 20, "subjects.find", looks_card, PEOPLE),)
GROUP: Group[Running] = Group(
    "console.people",
    [
        Route("GET", PEOPLE, people_page, CLAUSE, SCOPE),
        Route("POST", PEOPLE, look, CLAUSE, SCOPE, limit=FROM_AN_ADDRESS),
        Route("POST", f"{PEOPLE}/link", send_link, "rights.proof", SCOPE, limit=FROM_AN_ADDRESS),
        Route("POST", f"{PEOPLE}/sessions", end_session, "protect.password", SCOPE, limit=FROM_AN_ADDRESS),
    ],
)
