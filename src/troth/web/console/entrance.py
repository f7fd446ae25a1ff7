"""Coming in and going out: the sign-in, invitations, signing out.

Both ways in work as forms; the passkey's needs a few lines of script (a passkey cannot be asked for without), the
password's needs none. Attempts are limited by address and by name, and every refusal reads the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Invalid, Unproven
from troth.use import totp
from troth.use.operators import Operator
from troth.use.sessions import LIFE_MS
from troth.web import cookies
from troth.web.bodies import read_form
from troth.web.console.guard import COOKIE, ConsoleSystem, caller_of, desk_of, operator_of
from troth.web.forms import field_errors
from troth.web.pages import page, see_other, text
from troth.web.public import words_of
from troth.web.routes import Limit, Route
from troth.web.views import FieldError

HOME = "/console"
ATTEMPTS = Limit(10, 60)  # from one address
ATTEMPTS_ON_A_NAME = Limit(10, 600)  # on one name, from wherever, whether it exists or not
NO_STORE = "no-store"


async def sign_in_page(request: Request, system: ConsoleSystem) -> Response:
    """The two ways in."""
    return await entrance(request, system)


async def entrance(
    request: Request, system: ConsoleSystem, errors: Sequence[FieldError] = (), status: int = 200, name: str = ""
) -> Response:
    """The sign-in page, with what went wrong."""
    question = await run_in_threadpool(desk_of(request, system).sign_in.passkeys.ask_to_sign_in)
    return page(request, "console/sign-in.html", status=status, question=question, errors=errors, name=name)


async def sign_in_by_password(request: Request, system: ConsoleSystem) -> Response:
    """Name, password and code."""
    form = await read_form(request)
    name, password, code = form.one("name"), "".join(form.get("password", [])), form.one("code")
    request.state.shell.rates.hit("console.name", name, ATTEMPTS_ON_A_NAME)
    return await let_in(
        request,
        system,
        lambda cookie: desk_of(request, system).sign_in.sign_in_by_password(name, password, code, cookie),
        name=name,
        refusal="console.refused",
    )


async def sign_in_by_passkey(request: Request, system: ConsoleSystem) -> Response:
    """The browser's answer to the ceremony."""
    form = await read_form(request)
    sealed, answer = form.one("ceremony"), form.one("answer")
    return await let_in(
        request,
        system,
        lambda cookie: desk_of(request, system).sign_in.sign_in_by_passkey(sealed, answer, cookie),
        refusal="console.passkey-refused",
    )


async def let_in(
    request: Request, system: ConsoleSystem, attempt: Callable[[str], Operator], *, refusal: str, name: str = ""
) -> Response:
    """Try, with a fresh cookie; lead on by 303, or show the page again with one and the same refusal."""
    tls = request.state.visit.tls
    cookie = cookies.mint(request, system.randomness)
    welcome = see_other(request, HOME)
    cookies.put(welcome, system.policy, COOKIE, cookie, tls=tls, seconds=LIFE_MS // 1000, same_site="strict")
    try:
        await run_in_threadpool(attempt, cookie)
    except Unproven:
        return await entrance(request, system, [FieldError("", text(request, refusal))], 401, name)
    return welcome


async def sign_out(request: Request, system: ConsoleSystem) -> Response:
    """End this session."""
    operator = await operator_of(request, system)
    await run_in_threadpool(desk_of(request, system).sign_in.sign_out, operator, caller_of(request).session)
    response = see_other(request, "/console/sign-in")
    cookies.drop(response, COOKIE, tls=request.state.visit.tls)
    return response


async def invitation_page(request: Request, system: ConsoleSystem) -> Response:
    """An invitation: looking at it uses nothing up."""
    return await invitation(request, system)


async def invitation(
    request: Request, system: ConsoleSystem, errors: Sequence[FieldError] = (), status: int = 200, sealed: str = ""
) -> Response:
    """The two ways to accept. A secret that was shown already stays the same when a field did not fit."""
    token = request.path_params["token"]
    operator = await run_in_threadpool(desk_of(request, system).operators.invited, token)
    question = await run_in_threadpool(
        desk_of(request, system).sign_in.passkeys.ask_to_register, operator.id, operator.name
    )
    if sealed:
        secret = desk_of(request, system).sign_in.secret_of(operator, sealed)
    else:
        secret, sealed = desk_of(request, system).sign_in.new_secret(operator)
    return page(
        request,
        "console/invitation.html",
        status=status,
        operator=operator,
        token=token,
        question=question,
        secret=totp.spoken(secret),
        address=totp.address(secret, request.state.visit.policy.controller.name, operator.name),
        sealed=sealed,
        errors=errors,
    )


async def accept_by_password(request: Request, system: ConsoleSystem) -> Response:
    """Accept with a password and an authenticator app."""
    form = await read_form(request)
    token, sealed, code = request.path_params["token"], form.one("sealed"), form.one("code")
    password = "".join(form.get("password", []))
    return await accept(
        request,
        system,
        lambda c: desk_of(request, system).sign_in.join_by_password(token, password, sealed, code, c),
        sealed,
    )


async def accept_by_passkey(request: Request, system: ConsoleSystem) -> Response:
    """Accept with a passkey."""
    form = await read_form(request)
    token, sealed, answer = request.path_params["token"], form.one("ceremony"), form.one("answer")
    return await accept(
        request, system, lambda cookie: desk_of(request, system).sign_in.join_by_passkey(token, sealed, answer, cookie)
    )


async def accept(
    request: Request, system: ConsoleSystem, attempt: Callable[[str], Operator], sealed: str = ""
) -> Response:
    """Accept an invitation and come in; a field that does not fit brings the page back with its fault."""
    tls = request.state.visit.tls
    cookie = cookies.mint(request, system.randomness)
    welcome = see_other(request, HOME)
    cookies.put(welcome, system.policy, COOKIE, cookie, tls=tls, seconds=LIFE_MS // 1000, same_site="strict")
    try:
        await run_in_threadpool(attempt, cookie)
    except Invalid as fault:
        stale = any(gap.endswith(": stale") for gap in fault.gaps)
        return await invitation(request, system, field_errors(fault, words_of(request)), 422, "" if stale else sealed)
    return welcome


ROUTES: list[Route[ConsoleSystem]] = [
    Route("GET", "/console/sign-in", sign_in_page, "protect.password", cache=NO_STORE),
    Route("POST", "/console/sign-in", sign_in_by_password, "protect.password", limit=ATTEMPTS, cache=NO_STORE),
    Route("POST", "/console/sign-in/passkey", sign_in_by_passkey, "protect.password", limit=ATTEMPTS, cache=NO_STORE),
    Route("POST", "/console/sign-out", sign_out, "protect.password", "operator"),
    Route("GET", "/console/invitation/{token}", invitation_page, "protect.password", limit=ATTEMPTS, cache=NO_STORE),
    Route("POST", "/console/invitation/{token}", accept_by_password, "protect.password", limit=ATTEMPTS),
    Route("POST", "/console/invitation/{token}/passkey", accept_by_passkey, "protect.password", limit=ATTEMPTS),
]
