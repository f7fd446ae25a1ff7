"""A person's second factor: the page that asks for a code after the password, and the one where it is set and removed.

Every step works without JavaScript. Tries at a code are limited by network and by person, and every refusal reads the
same. Clause ``protect.password``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Invalid, Unproven
from troth.use import totp
from troth.use.arrivals import TOTP, lacks_second
from troth.use.person_sessions import VOUCHED, Session
from troth.use.second_factor import recovery_after
from troth.web import cookies
from troth.web.account import ATTEMPTS, NO_STORE, ask_code, device_in, entrance, faults, welcome
from troth.web.bodies import read_form
from troth.web.pages import page, see_other, text
from troth.web.person import COOKIE, session_of, tenant_of
from troth.web.routes import Group, Limit, Route
from troth.web.views import FieldError, SecondFactorView

if TYPE_CHECKING:
    from troth.web.running import Running

HOME = "/account/second-factor"
TRIES = Limit(10, 600)  # at one person's codes, from wherever
TRIES_A_DAY = Limit(30, 86_400)  # of 10^6 codes, three of which fit at a time: one guess in ten thousand days


def limit_codes(request: Request, sid: bytes) -> None:
    """Count a try at a code, under the person."""
    request.state.shell.rates.hit("account.code", sid.hex(), TRIES)
    request.state.shell.rates.hit("account.code-day", sid.hex(), TRIES_A_DAY)


async def sign_in(request: Request, system: Running) -> Response:
    """The code after the password: in, or the same page again with one and the same refusal."""
    form = await read_form(request)
    sealed, code, language = form.one("ticket"), form.one("code"), request.state.visit.language
    try:
        ticket = system.second_factor.read(sealed)
        if ticket.tenant != tenant_of(request):
            raise Unproven("this sign-in began elsewhere", clause="protect.password")
    except Unproven:
        return entrance(request, system, [FieldError("", text(request, "account.halfway-over"))], 401)
    limit_codes(request, ticket.sid)
    coming = welcome(request, system)
    try:
        await run_in_threadpool(
            lambda: system.second_factor.finish(
                ticket,
                code,
                coming.cookie,
                device=device_in(request, system),
                was=coming.was,
                language=language,
            )
        )
    except Unproven:
        return ask_code(request, sealed, [FieldError("code", text(request, "fault.code"))], 401)
    return coming.response


async def home(request: Request, system: Running) -> Response:
    """Whether one is set, and what can be done about it."""
    return await factor(request, system)


async def factor(
    request: Request,
    system: Running,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    done: str = "",
    sealed: str = "",
    codes: Sequence[str] = (),
) -> Response:
    """The page, with what went wrong or what was done. A secret that was shown stays when its code did not fit."""
    session = session_of(request)
    view = await run_in_threadpool(look, system, session, sealed)
    return page(request, "account/second-factor.html", status=status, errors=errors, done=done, view=view, codes=codes)


def look(system: Running, session: Session, sealed: str) -> SecondFactorView:
    """What the page shows of somebody's second factor."""
    held = system.accounts.held(session.tenant, session.sid)
    after = recovery_after(system.policy)
    view = SecondFactorView(
        state="unset",
        since_ms=held[TOTP].since_ms if TOTP in held else 0,
        codes_left=system.second_factor.codes_left(session.tenant, session.sid, held),
        due_ms=system.recovery.due(held),
        after=after.text if after else "",
    )
    if not system.accounts.has_account(session.tenant, session.sid):
        return view.but(state="no-account")
    if lacks_second(session, held):
        return view.but(state="to-be-shown" if session.method == "link" else "unproven")
    if TOTP in held:
        return view.but(state="set")
    if session.method in VOUCHED:
        return view.but(state="unproven")
    if after is None:
        return view.but(state="not-offered")
    if sealed:
        secret = system.second_factor.secret_of(session, sealed)
    else:
        secret, sealed = system.second_factor.new_secret(session)
    whose = system.accounts.address(session.tenant, session.sid)
    address = totp.address(secret, system.versions.current(session.tenant).controller.name, whose)
    return view.but(secret=totp.spoken(secret), address=address, sealed=sealed)


async def set_factor(request: Request, system: Running) -> Response:
    """Set it, with the first code of the app; the recovery codes are shown on the answer, and never again."""
    form = await read_form(request)
    sealed, code = form.one("sealed"), form.one("code")
    session, language = session_of(request), request.state.visit.language
    try:
        codes = await run_in_threadpool(lambda: system.second_factor.set(session, sealed, code, language=language))
    except Invalid as fault:
        stale = any(gap.endswith(": stale") for gap in fault.gaps)
        return await factor(request, system, faults(request, fault), 422, sealed="" if stale else sealed)
    return await answered(request, system, "account.second-factor-set", codes)


async def renew(request: Request, system: Running) -> Response:
    """New recovery codes; those before are worth nothing from here on."""
    session, language = session_of(request), request.state.visit.language
    codes = await run_in_threadpool(lambda: system.second_factor.renew_codes(session, language=language))
    return await answered(request, system, "account.codes-renewed", codes)


async def remove(request: Request, system: Running) -> Response:
    """Ask for no codes any more."""
    session, language = session_of(request), request.state.visit.language
    await run_in_threadpool(lambda: system.second_factor.remove(session, language=language))
    return await answered(request, system, "account.second-factor-removed")


async def answered(request: Request, system: Running, done: str, codes: Sequence[str] = ()) -> Response:
    """The page as the session stands now: what was just done changed it."""
    request.state.person = await run_in_threadpool(system.requests.again, session_of(request))
    return await factor(request, system, done=done, codes=codes)


async def show(request: Request, system: Running) -> Response:
    """A code shown in a session that a link opened: from here on it has another cookie, and may do more."""
    session, code = session_of(request), (await read_form(request)).one("code")
    limit_codes(request, session.sid)
    device, language = device_in(request, system), request.state.visit.language
    cookie = cookies.mint(request, system.randomness)
    try:
        await run_in_threadpool(
            lambda: system.second_factor.show(session, code, cookie, device=device, language=language)
        )
    except Unproven:
        return await factor(request, system, [FieldError("code", text(request, "fault.code"))], 422)
    response = see_other(request, "/account")
    cookies.put(response, system.policy, COOKIE, cookie, tls=request.state.visit.tls)
    return response


async def lost(request: Request, system: Running) -> Response:
    """Begin to wait for one's second factor to go."""
    session, language = session_of(request), request.state.visit.language
    await run_in_threadpool(lambda: system.recovery.ask(session, language=language))
    return await factor(request, system, done="account.recovery-asked")


async def keep(request: Request, system: Running) -> Response:
    """Stop the waiting: the second factor stays."""
    there = await run_in_threadpool(system.recovery.stop, session_of(request))
    return await factor(request, system, done="account.recovery-stopped" if there else "account.recovery-none")


CLAUSE = "protect.password"
FRESH = "person:fresh"
GROUP: Group[Running] = Group(
    "second-factor",
    [
        Route(
            "POST",
            "/account/sign-in/code",
            sign_in,
            CLAUSE,
            limit=ATTEMPTS,
            cache=NO_STORE,
            summary="The code after the password",
        ),
        Route("GET", HOME, home, CLAUSE, "person", summary="My second factor"),
        Route("POST", HOME, set_factor, CLAUSE, FRESH, summary="Set a second factor"),
        Route("POST", f"{HOME}/codes", renew, CLAUSE, FRESH, summary="New recovery codes"),
        Route("POST", f"{HOME}/remove", remove, CLAUSE, FRESH, summary="Remove my second factor"),
        Route("POST", f"{HOME}/code", show, CLAUSE, "person", limit=ATTEMPTS, summary="Show a code"),
        Route("POST", f"{HOME}/lost", lost, CLAUSE, FRESH, summary="My second factor is lost"),
        Route("POST", f"{HOME}/keep", keep, CLAUSE, "person", summary="Keep my second factor"),
    ],
)
