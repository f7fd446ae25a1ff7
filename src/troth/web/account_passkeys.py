"""A person's passkeys: signing in with one, and adding, naming and removing one's own.

A passkey needs a few lines of script, and nothing else here does: without it the page says so, and a password or a
link works as before. Whoever changes them has shown who they are within the last half hour. Clause
``protect.password``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Invalid, Unproven
from troth.use.passkeys import Question
from troth.use.person_passkeys import LONGEST_NAME, Passkey
from troth.use.person_sessions import Session
from troth.web.account import ATTEMPTS, NO_STORE, device_in, entrance, faults, welcome
from troth.web.bodies import read_form
from troth.web.pages import page, text
from troth.web.person import session_of, tenant_of
from troth.web.routes import Group, Route
from troth.web.views import FieldError

if TYPE_CHECKING:
    from troth.web.running import Running

HOME = "/account/passkeys"


async def sign_in(request: Request, system: Running) -> Response:
    """Let in whoever's passkey answers, with a fresh session, or show the form again with one and the same refusal."""
    form = await read_form(request)
    sealed, answer = form.one("ceremony"), form.one("answer")
    coming = welcome(request, system)
    try:
        await run_in_threadpool(
            lambda: system.passkeys[tenant_of(request)].sign_in(
                tenant_of(request),
                sealed,
                answer,
                coming.cookie,
                device=device_in(request, system),
                was=coming.was,
                language=request.state.visit.language,
            )
        )
    except Unproven:
        return entrance(request, system, [FieldError("", text(request, "console.passkey-refused"))], 401)
    return coming.response


async def home(request: Request, system: Running) -> Response:
    """One's passkeys, and the means to add one."""
    return await passkeys(request, system)


async def passkeys(
    request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200, done: str = ""
) -> Response:
    """The page, with what went wrong or what was done."""
    session, device = session_of(request), device_in(request, system)
    found, question, obstacle = await run_in_threadpool(look, system, session)
    names = (device.browser or text(request, "account.unknown-browser"), device.system)
    return page(
        request,
        "account/passkeys.html",
        status=status,
        errors=errors,
        done=done,
        passkeys=found,
        question=question,
        obstacle=obstacle,
        name=text(
            request, "account.device", browser=names[0], system=names[1] or text(request, "account.unknown-system")
        ),
        longest=LONGEST_NAME,
    )


def look(system: Running, session: Session) -> tuple[list[Passkey], Question | None, str]:
    """The passkeys, the question of the ceremony, and why there is none: a key of the catalogue."""
    found = system.passkeys[session.tenant].of(session.tenant, session.sid)
    if not system.accounts.has_account(session.tenant, session.sid):
        return found, None, "account.none"
    try:
        name = system.accounts.address(session.tenant, session.sid)
        name = name or system.versions.current(session.tenant).controller.name
        return found, system.passkeys[session.tenant].ask(session, name), ""
    except Unproven as fault:
        return found, None, "account.code-first" if "second-factor" in fault.gaps else "account.prove-first"


async def add(request: Request, system: Running) -> Response:
    """Add the passkey that the browser made."""
    form = await read_form(request)
    sealed, answer, name = form.one("ceremony"), form.one("answer"), form.one("name")
    session, language = session_of(request), request.state.visit.language
    try:
        await run_in_threadpool(
            lambda: system.passkeys[session.tenant].add(session, sealed, answer, name, language=language)
        )
    except Invalid as fault:
        return await passkeys(request, system, faults(request, fault), 422)
    except Unproven:
        return await passkeys(request, system, [FieldError("", text(request, "console.passkey-refused"))], 422)
    return await passkeys(request, system, done="console.passkey-added")


async def rename(request: Request, system: Running) -> Response:
    """Call one of one's passkeys something else."""
    form = await read_form(request)
    place, name = form.one("passkey"), form.one("name")
    try:
        there = await run_in_threadpool(system.passkeys[tenant_of(request)].rename, session_of(request), place, name)
    except Invalid as fault:
        return await passkeys(request, system, faults(request, fault, f"{place}-"), 422)
    return await passkeys(request, system, done="account.passkey-named" if there else "account.passkey-gone")


async def remove(request: Request, system: Running) -> Response:
    """Take one of one's passkeys away."""
    place = (await read_form(request)).one("passkey")
    session, language = session_of(request), request.state.visit.language
    there = await run_in_threadpool(lambda: system.passkeys[session.tenant].remove(session, place, language=language))
    return await passkeys(request, system, done="account.passkey-removed" if there else "account.passkey-gone")


CLAUSE = "protect.password"
FRESH = "person:fresh"
GROUP: Group[Running] = Group(
    "account-passkeys",
    [
        Route(
            "POST",
            "/account/sign-in/passkey",
            sign_in,
            CLAUSE,
            limit=ATTEMPTS,
            cache=NO_STORE,
            summary="Sign in with a passkey",
        ),
        Route("GET", HOME, home, CLAUSE, FRESH, summary="My passkeys"),
        Route("POST", HOME, add, CLAUSE, FRESH, summary="Add a passkey"),
        Route("POST", f"{HOME}/rename", rename, CLAUSE, FRESH, summary="Name one of my passkeys"),
        Route("POST", f"{HOME}/remove", remove, CLAUSE, FRESH, summary="Remove one of my passkeys"),
    ],
)
