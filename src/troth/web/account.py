"""A registered person's account: signing in with a password, setting one, and seeing and ending one's sessions.

Every step works without JavaScript. Attempts are limited by network and by address, whether it is known or not, and
every refusal reads the same. Clause ``protect.password``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Invalid, Unproven
from troth.use.accounts import offered
from troth.use.closing import closable
from troth.use.devices import Device, device_of
from troth.use.looks import Look
from troth.use.person_sessions import PASSWORD_LIFE_MS, Session
from troth.web import cookies
from troth.web.bodies import read_form
from troth.web.pages import Words, page, see_other, text
from troth.web.person import COOKIE, LONG_COOKIE, session_of, tenant_of
from troth.web.routes import Group, Limit, Route
from troth.web.views import FieldError, LookView, SessionView

if TYPE_CHECKING:
    from troth.web.running import Running

HOME = "/account"
SIGN_IN = "/account/sign-in"
ATTEMPTS = Limit(10, 60)  # from one network
ATTEMPTS_ON_AN_ADDRESS = Limit(10, 600)  # on one address, from wherever, whether it is known or not
ATTEMPTS_IN_A_SESSION = Limit(10, 600)  # at the old password, by whoever holds the session
NO_STORE = "no-store"


def device_in(request: Request) -> Device:
    """What this browser says of itself, in two words."""
    return device_of(request.headers.get("user-agent", ""))


async def sign_in_page(request: Request, system: Running) -> Response:
    """The form."""
    return entrance(request)


def entrance(request: Request, errors: Sequence[FieldError] = (), status: int = 200, address: str = "") -> Response:
    """The form, with what went wrong; the password never comes back."""
    again = "again" in request.query_params
    return page(request, "account/sign-in.html", status=status, errors=errors, address=address, again=again)


async def sign_in(request: Request, system: Running) -> Response:
    """Let somebody in, with a fresh session, or show the form again with one and the same refusal."""
    form = await read_form(request)
    address, password = form.one("email"), "".join(form.get("password", []))
    counted = unicodedata.normalize("NFKC", address).strip().casefold()
    request.state.shell.rates.hit("account.address", counted, ATTEMPTS_ON_AN_ADDRESS)
    tls = request.state.visit.tls
    cookie = cookies.mint(request, system.randomness)
    welcome = see_other(request, HOME)
    cookies.put(welcome, system.policy, LONG_COOKIE, cookie, tls=tls, seconds=PASSWORD_LIFE_MS // 1000)
    cookies.drop(welcome, COOKIE, tls=tls)  # whoever's centre this browser showed: from here on it is this person's
    was = [found for name in (COOKIE, LONG_COOKIE) if (found := cookies.read(request, name, tls=tls))]
    try:
        await run_in_threadpool(
            lambda: system.accounts.sign_in(
                tenant_of(request), address, password, cookie, device=device_in(request), was=was
            )
        )
    except Unproven:
        return entrance(request, [FieldError("", text(request, "account.refused"))], 401, address)
    return welcome


async def home(request: Request, system: Running) -> Response:
    """The password's state, and every session that is open."""
    return await account(request, system)


async def account(
    request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200, done: str = ""
) -> Response:
    """The page, with what went wrong or what was done."""
    session = session_of(request)
    since, has_account, found = await run_in_threadpool(look, system, session)
    outlook = await run_in_threadpool(system.closing.outlook, session.tenant, session.sid)
    looked = await run_in_threadpool(system.looks.of_person, session.tenant, session.sid)
    views = [
        SessionView(
            place=each.place,
            begun_ms=each.created_ms,
            seen_ms=each.seen_ms,
            method=each.method,
            browser=device.browser if device else "",
            system=device.system if device else "",
            own=each.hash == session.hash,
        )
        for each, device in found
    ]
    return page(
        request,
        "account/home.html",
        status=status,
        errors=errors,
        done=done,
        since_ms=since,
        outlook=outlook,
        closable=closable(system.policy) and outlook.account,
        can_set=has_account and outlook.closed_ms is None and (session.method == "link" or since is not None),
        has_account=has_account,
        ask_old=session.method != "link",
        sessions=views,
        looks=looks_of(request, looked),
    )


def looks_of(request: Request, found: Sequence[Look]) -> list[LookView]:
    """Who of staff looked, newest first."""
    visit = request.state.visit
    words = Words(visit.pages.catalogue, visit.language)
    return [
        LookView(look.at_ms, look.role, words.named("purpose", look.purpose), look.reason or "")
        for look in reversed(found)
    ]


def look(system: Running, session: Session) -> tuple[int | None, bool, list[tuple[Session, Device | None]]]:
    """What the page shows of somebody's account."""
    accounts, of = system.accounts, (session.tenant, session.sid)
    return accounts.password_since(*of), accounts.has_account(*of), accounts.sessions(*of)


async def set_password(request: Request, system: Running) -> Response:
    """Set or change the password: one page, one step."""
    form = await read_form(request)
    old, new = ("".join(form.get(name, [])) for name in ("old", "password"))
    session, language = session_of(request), request.state.visit.language
    limit_old(request, session)
    try:
        await run_in_threadpool(lambda: system.accounts.set_password(session, old, new, language=language))
    except Invalid as fault:
        return await account(request, system, faults(request, fault), 422)
    return await account(request, system, done="account.password-saved")


async def remove_password(request: Request, system: Running) -> Response:
    """Go back to links alone."""
    form = await read_form(request)
    session = session_of(request)
    limit_old(request, session)
    try:
        await run_in_threadpool(system.accounts.remove_password, session, "".join(form.get("old", [])))
    except Invalid as fault:
        return await account(request, system, faults(request, fault, "remove-"), 422)
    return await account(request, system, done="account.password-removed")


def limit_old(request: Request, session: Session) -> None:
    """Count a try at the old password, under the person: a stolen session is no way to guess it."""
    if session.method != "link":
        request.state.shell.rates.hit("account.old", session.sid.hex(), ATTEMPTS_IN_A_SESSION)


async def end_session(request: Request, system: Running) -> Response:
    """End one of one's own sessions; the own one leads out."""
    place = (await read_form(request)).one("session")
    session = session_of(request)
    ended = await run_in_threadpool(system.accounts.end, session, place)
    if ended and place == session.place:
        return see_other(request, "/")
    return await account(request, system, done="account.session-ended" if ended else "account.session-over")


async def end_others(request: Request, system: Running) -> Response:
    """Sign out everywhere else."""
    await run_in_threadpool(system.accounts.end_others, session_of(request))
    return await account(request, system, done="account.others-ended")


def faults(request: Request, fault: Invalid, prefix: str = "") -> list[FieldError]:
    """The gaps of a refusal as faults beside their fields."""
    found = []
    for gap in fault.gaps:
        name, _, rule = gap.partition(": ")
        found.append(FieldError(prefix + name, text(request, f"fault.{rule}")))
    return found


def has_accounts(system: Running) -> bool:
    """Whether people can sign in here: the policy keeps accounts, and declares the cookie that it takes."""
    return offered(system.policy) and LONG_COOKIE in system.policy.cookies


CLAUSE = "protect.password"
GROUP: Group[Running] = Group(
    "account",
    [
        Route("GET", SIGN_IN, sign_in_page, CLAUSE, cache=NO_STORE, summary="Sign in"),
        Route("POST", SIGN_IN, sign_in, CLAUSE, limit=ATTEMPTS, cache=NO_STORE, summary="Sign in with a password"),
        Route("GET", HOME, home, CLAUSE, "person", summary="My password and my sessions"),
        Route("POST", "/account/password", set_password, CLAUSE, "person", summary="Set or change my password"),
        Route("POST", "/account/password/remove", remove_password, CLAUSE, "person", summary="Remove my password"),
        Route("POST", "/account/sessions/end", end_session, CLAUSE, "person", summary="End one of my sessions"),
        Route("POST", "/account/sessions/others", end_others, CLAUSE, "person", summary="End my other sessions"),
    ],
)
