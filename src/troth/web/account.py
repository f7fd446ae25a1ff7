"""A registered person's account: signing in with a password, setting one, and seeing and ending one's sessions.

Every step works without JavaScript. Attempts are limited by network and by address, whether it is known or not, and
every refusal reads the same. Clause ``protect.password``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.collect.country import country_of
from troth.errors import Conflict, Invalid, Unproven
from troth.use.accounts import needs_no_old, offered
from troth.use.arrivals import TOTP, lacks_second
from troth.use.closing import closable
from troth.use.compromise import REMIND, REMINDER
from troth.use.credentials import PASSWORD, Held
from troth.use.devices import Device, device_of
from troth.use.looks import Look
from troth.use.person_passkeys import KIND
from troth.use.person_sessions import PASSWORD_LIFE_MS, Session
from troth.use.second_factor import Halfway, recovery_after
from troth.web import cookies
from troth.web.bodies import read_form
from troth.web.pages import Words, page, see_other, text
from troth.web.person import COOKIE, LONG_COOKIE, session_of, tenant_of
from troth.web.routes import Group, Limit, Route
from troth.web.security import client_address
from troth.web.views import FieldError, LookView, SessionView

if TYPE_CHECKING:
    from troth.web.running import Running

HOME = "/account"
SIGN_IN = "/account/sign-in"
ATTEMPTS = Limit(10, 60)  # from one network
ATTEMPTS_ON_AN_ADDRESS = Limit(10, 600)  # on one address, from wherever, whether it is known or not
ATTEMPTS_IN_A_SESSION = Limit(10, 600)  # at the old password, by whoever holds the session
NO_STORE = "no-store"


def device_in(request: Request, system: Running) -> Device:
    """What this browser says of itself, in two words, and the country it comes from; its address goes no further."""
    country = country_of(system.locations, client_address(request, system.config.trusted_proxies))
    return device_of(request.headers.get("user-agent", ""), country)


async def sign_in_page(request: Request, system: Running) -> Response:
    """The ways in."""
    return entrance(request, system)


def entrance(
    request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200, address: str = ""
) -> Response:
    """The ways in, with what went wrong; the password never comes back. The passkey's question names nobody."""
    again = "again" in request.query_params
    question = system.passkeys[tenant_of(request)].keys.ask_to_sign_in()
    return page(
        request,
        "account/sign-in.html",
        status=status,
        errors=errors,
        address=address,
        again=again,
        question=question,
        openid=system.openid is not None and tenant_of(request) == system.config.tenant,
    )


class Welcome(NamedTuple):
    """What lets a browser in: the fresh cookie, the answer that sets it, and the cookies that it came with."""

    cookie: str
    response: Response
    was: list[str]


def welcome(request: Request, system: Running) -> Welcome:
    """The way into one's account, to be given to whoever proves that it is theirs."""
    tls = request.state.visit.tls
    cookie = cookies.mint(request, system.randomness)
    response = see_other(request, HOME)
    cookies.put(response, system.policy, LONG_COOKIE, cookie, tls=tls, seconds=PASSWORD_LIFE_MS // 1000)
    cookies.drop(response, COOKIE, tls=tls)  # whoever's centre this browser showed: from here on it is this person's
    was = [found for name in (COOKIE, LONG_COOKIE) if (found := cookies.read(request, name, tls=tls))]
    return Welcome(cookie, response, was)


async def sign_in(request: Request, system: Running) -> Response:
    """Let somebody in, with a fresh session, or show the form again with one and the same refusal."""
    form = await read_form(request)
    address, password = form.one("email"), "".join(form.get("password", []))
    counted = unicodedata.normalize("NFKC", address).strip().casefold()
    request.state.shell.rates.hit("account.address", counted, ATTEMPTS_ON_AN_ADDRESS)
    coming = welcome(request, system)
    try:
        found = await run_in_threadpool(
            lambda: system.accounts.sign_in(
                tenant_of(request),
                address,
                password,
                coming.cookie,
                device=device_in(request, system),
                was=coming.was,
                language=request.state.visit.language,
            )
        )
    except Unproven:
        return entrance(request, system, [FieldError("", text(request, "account.refused"))], 401, address)
    except Conflict:
        return page(request, "account/known.html", status=409)
    return ask_code(request, system.second_factor.ticket(found)) if isinstance(found, Halfway) else coming.response


def ask_code(request: Request, ticket: str, errors: Sequence[FieldError] = (), status: int = 200) -> Response:
    """The page between a password that was right and the code that is asked as well."""
    return page(request, "account/code.html", status=status, errors=errors, ticket=ticket)


async def home(request: Request, system: Running) -> Response:
    """The password's state, and every session that is open."""
    return await account(request, system)


async def account(
    request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200, done: str = ""
) -> Response:
    """The page, with what went wrong or what was done."""
    session = session_of(request)
    outlook = await run_in_threadpool(system.closing.outlook, session.tenant, session.sid)
    looked = await run_in_threadpool(system.looks.of_person, session.tenant, session.sid)
    held, has_account, found = await run_in_threadpool(look, system, session)
    since = held[PASSWORD].since_ms if PASSWORD in held else None
    no_old = needs_no_old(session, system.clock.now())
    return page(
        request,
        "account/home.html",
        status=status,
        errors=errors,
        done=done,
        since_ms=since,
        outlook=outlook,
        closable=closable(system.policy) and outlook.account,
        can_set=has_account
        and outlook.closed_ms is None
        and (no_old or since is not None)
        and not lacks_second(session, held),
        has_account=has_account,
        ask_old=not no_old,
        passkeys=sum(kind.startswith(KIND) for kind in held),
        second_factor=(TOTP in held, recovery_after(system.policy) is not None),
        lacks_second=lacks_second(session, held),
        due_ms=system.recovery.due(held),
        reminded=REMINDER in held,
        may_remind=REMIND in system.policy.templates,
        sessions=[SessionView.of(each, device, here=session.hash) for each, device in found],
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


def look(system: Running, session: Session) -> tuple[Held, bool, list[tuple[Session, Device | None]]]:
    """What the page shows of somebody's account."""
    accounts, of = system.accounts, (session.tenant, session.sid)
    return accounts.held(*of), accounts.has_account(*of), accounts.sessions(*of)


async def set_password(request: Request, system: Running) -> Response:
    """Set or change the password: one page, one step."""
    form = await read_form(request)
    old, new = ("".join(form.get(name, [])) for name in ("old", "password"))
    session, language = session_of(request), request.state.visit.language
    limit_old(request, system, session)
    try:
        await run_in_threadpool(lambda: system.accounts.set_password(session, old, new, language=language))
    except Invalid as fault:
        return await account(request, system, faults(request, fault), 422)
    return await account(request, system, done="account.password-saved")


async def remove_password(request: Request, system: Running) -> Response:
    """Go back to links alone."""
    form = await read_form(request)
    session = session_of(request)
    limit_old(request, system, session)
    try:
        await run_in_threadpool(system.accounts.remove_password, session, "".join(form.get("old", [])))
    except Invalid as fault:
        return await account(request, system, faults(request, fault, "remove-"), 422)
    return await account(request, system, done="account.password-removed")


async def remind(request: Request, system: Running) -> Response:
    """Be reminded once a year of changing the password, or no more."""
    wish, session = (await read_form(request)).one("wish") == "yes", session_of(request)
    language = request.state.visit.language
    await run_in_threadpool(lambda: system.compromise.remind(session, wish, language=language))
    return await account(request, system, done="account.reminder-on" if wish else "account.reminder-off")


def limit_old(request: Request, system: Running, session: Session) -> None:
    """Count a try at the old password, under the person: a stolen session is no way to guess it."""
    if not needs_no_old(session, system.clock.now()):
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
CHANGE = "protect.password-change"
GROUP: Group[Running] = Group(
    "account",
    [
        Route("GET", SIGN_IN, sign_in_page, CLAUSE, cache=NO_STORE, summary="Sign in"),
        Route("POST", SIGN_IN, sign_in, CLAUSE, limit=ATTEMPTS, cache=NO_STORE, summary="Sign in with a password"),
        Route("GET", HOME, home, CLAUSE, "person", summary="My password and my sessions"),
        Route("POST", "/account/password", set_password, CLAUSE, "person", summary="Set or change my password"),
        Route("POST", "/account/password/remove", remove_password, CLAUSE, "person", summary="Remove my password"),
        Route(
            "POST", "/account/password/reminder", remind, CHANGE, "person", summary="Remind me of changing my password"
        ),
        Route("POST", "/account/sessions/end", end_session, CLAUSE, "person", summary="End one of my sessions"),
        Route("POST", "/account/sessions/others", end_others, CLAUSE, "person", summary="End my other sessions"),
    ],
)
