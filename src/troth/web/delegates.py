"""Access to one's account for others: given, taken up, used and ended, each by whoever is signed in as themselves.

Clause ``protect.password-sharing``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Conflict, Invalid
from troth.rights.delegation import LONGEST_NAME, Delegation, declared
from troth.rights.rectification import Correctable
from troth.use.person_sessions import Session
from troth.web.account import faults
from troth.web.account_data import SEEN, correct_view
from troth.web.bodies import read_form
from troth.web.forms import field_errors
from troth.web.pages import page, text
from troth.web.person import session_of
from troth.web.public import words_of
from troth.web.routes import Group, Limit, Route
from troth.web.security import CSRF_FIELD
from troth.web.views import Card, DelegateView, FieldError

if TYPE_CHECKING:
    from troth.web.running import Running

HOME = "/account/delegates"
WISHES = Limit(10, 86_400)  # invitations of one person: each may be a letter to somebody


async def home(request: Request, system: Running) -> Response:
    """Whom one gave access, and what one was given."""
    return await delegates(request, system)


async def delegates(
    request: Request,
    system: Running,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    done: str = "",
    typed: Mapping[str, str] | None = None,
) -> Response:
    """The page, with what went wrong or what was done."""
    session, terms = session_of(request), declared(system.policy)
    given, held = await run_in_threadpool(look, request, system, session)
    return page(
        request,
        "account/delegates.html",
        status=status,
        errors=errors,
        done=done,
        scopes=terms.scopes if terms else (),
        lasts=terms.lasts.text if terms else "",
        given=given,
        held=held,
        longest=LONGEST_NAME,
        typed=typed or {},
    )


def look(request: Request, system: Running, session: Session) -> tuple[list[DelegateView], list[DelegateView]]:
    """What one gave and what one was given, ready to be shown."""
    tenant, words = session.tenant, words_of(request)
    given = [view(each, each.place, each.name) for each in system.delegations.given(tenant, session.sid)]
    held = []
    for place, each in system.delegations.held(tenant, session.sid).items():
        ways = [
            Card(request.state.visit.href(f"{HOME}/{place}/{point.id}"), words.named("point", f"{point.id}.title"))
            for point in (system.acting.points(tenant, each) if each.accepted_ms else ())
        ]
        held.append(view(each, place, each.own, ways))
    return given, held


def view(one: Delegation, place: str, name: str, ways: Sequence[Card] = ()) -> DelegateView:
    """One access, by the name that it has for whoever looks."""
    return DelegateView(place, name, one.scope, one.since_ms, one.until_ms, bool(one.accepted_ms), tuple(ways))


async def invite(request: Request, system: Running) -> Response:
    """Invite somebody: the answer is the same whosever the address is."""
    form, session = await read_form(request), session_of(request)
    request.state.shell.rates.hit("delegates", session.sid.hex(), WISHES)
    typed = {name: form.one(name) for name in ("email", "name", "own", "scope")}
    language = request.state.visit.language
    try:
        await run_in_threadpool(
            lambda: system.delegations.invite(
                session, typed["email"], typed["name"], typed["own"], typed["scope"], language=language
            )
        )
    except Invalid as fault:
        return await delegates(request, system, faults(request, fault), 422, typed=typed)
    return await delegates(request, system, done="delegates.invited")


async def accept(request: Request, system: Running) -> Response:
    """Take up what one was given."""
    place = (await read_form(request)).one("delegate")
    await run_in_threadpool(system.delegations.accept, session_of(request), place)
    return await delegates(request, system, done="delegates.accepted")


async def end(request: Request, system: Running) -> Response:
    """End what one gave, or give up what one was given."""
    place = (await read_form(request)).one("delegate")
    there = await run_in_threadpool(system.delegations.end, session_of(request), place)
    return await delegates(request, system, done="delegates.ended" if there else "delegates.over")


async def account(request: Request, system: Running) -> Response:
    """One place of another's account; the look is written down before it is shown."""
    return await acting(request, system)


async def acting(
    request: Request,
    system: Running,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    typed: Mapping[str, str] | None = None,
    done: str = "",
) -> Response:
    """The page, to be read or corrected as the access says, with what went wrong or what was done."""
    session, place, point = session_of(request), request.path_params["delegate"], request.path_params["point"]
    one, told = await run_in_threadpool(system.acting.look, session, place, point)
    return page(
        request,
        "account/delegate.html",
        status=status,
        errors=errors,
        done=done,
        whose=one.own,
        acts=one.scope == "act",
        action=f"{HOME}/{place}/{point}",
        correct=correct_view(request, told, typed or {}, errors),
        held=held_fields(request, told),
        until_ms=one.until_ms,
    )


def held_fields(request: Request, told: Correctable) -> list[tuple[str, str]]:
    """What is held there, by its labels."""
    words = words_of(request)
    return [(words.label(f.name, f.category), told.values[f.name]) for f in told.point.fields if f.name in told.values]


async def correct(request: Request, system: Running) -> Response:
    """Correct what is held there, in one's own name."""
    form, session, place = await read_form(request), session_of(request), request.path_params["delegate"]
    point = request.path_params["point"]
    typed = {field: form.one(field) for field in form if field not in (CSRF_FIELD, SEEN)}
    try:
        done = await run_in_threadpool(system.acting.change, session, place, point, typed, form.one(SEEN))
    except Conflict:
        return await acting(request, system, [FieldError("", text(request, "correct.moved"))], 409)
    except Invalid as fault:
        return await acting(request, system, field_errors(fault, words_of(request)), 422, typed)
    return await acting(request, system, done="delegates.corrected" if done.records else "correct.nothing")


CLAUSE = "protect.password-sharing"
GROUP: Group[Running] = Group(
    "delegates",
    [
        Route("GET", HOME, home, CLAUSE, "person", summary="Who may act in my account"),
        Route("POST", HOME, invite, CLAUSE, "person:proven", summary="Give somebody access to my account"),
        Route("POST", f"{HOME}/accept", accept, CLAUSE, "person:strong", summary="Take up access I was given"),
        Route("POST", f"{HOME}/end", end, CLAUSE, "person", summary="End access I gave or was given"),
        Route(
            "GET", HOME + "/{delegate}/{point}", account, CLAUSE, "person:strong", summary="Look at another's account"
        ),
        Route(
            "POST", HOME + "/{delegate}/{point}", correct, CLAUSE, "person:strong", summary="Correct another's account"
        ),
    ],
)
