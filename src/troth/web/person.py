"""Who is in their own centre: the person behind the cookie of a link, or behind that of a password.

A link's session is looked at first: it is the fresher proof. ``person:fresh`` takes a proof of the last half hour,
whichever it was: what cannot be undone is asked of nobody who merely left a browser open. ``person:strong`` asks for
the second factor too, where its owner set one. ``person:proven`` asks for all that changing how an account is entered
asks for: what somebody else says of who is there does not do. Clause ``rights.proof``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Unproven
from troth.use.person_sessions import LINK_LIFE_MS, LONG, Session
from troth.web import cookies
from troth.web.pages import see_other
from troth.web.routes import Caller

if TYPE_CHECKING:
    from troth.web.running import Running

COOKIE = "troth_session"
LONG_COOKIE = "troth_account"
FRESH = "fresh"
STRONG = "strong"
PROVEN = "proven"


async def person(request: Request, system: Running, detail: str) -> Caller | Response:
    """The person behind a session's cookie; without one, the way to get a link."""
    session = await find(request, system)
    if session is None:
        return see_other(request, "/privacy")
    if detail in (FRESH, STRONG) and session.created_ms <= system.clock.now() - LINK_LIFE_MS:
        return see_other(request, "/account/sign-in?again=1")
    if detail == STRONG and await run_in_threadpool(system.accounts.lacks_second, session):
        return see_other(request, "/account/second-factor")
    if detail == PROVEN and (way := await run_in_threadpool(missing, system, session)):
        return see_other(request, way)
    request.state.person = session
    return Caller("person", session.sid, "subject", csrf=session.csrf.hex(), session=session.hash)


def missing(system: Running, session: Session) -> str:
    """Where the person shows what changing the way into an account still asks of them; "" where nothing is missing."""
    try:
        system.accounts.require_proven(session)
    except Unproven as refusal:
        return "/account/second-factor" if refusal.gaps else "/account/sign-in?again=1"
    return ""


async def find(request: Request, system: Running) -> Session | None:
    """The session of this browser, the link's before the password's."""
    for name in (COOKIE, LONG_COOKIE):
        cookie = cookies.read(request, name, tls=request.state.visit.tls)
        if cookie is None:
            continue
        try:
            return await run_in_threadpool(system.requests.session, cookie, tenant_of(request))
        except Unproven:
            continue
    return None


def tenant_of(request: Request) -> str:
    """Whose people come to the host that this request came to."""
    tenant: str = request.state.visit.place.tenant
    return tenant


def session_of(request: Request) -> Session:
    """The session of a guarded request."""
    session: Session | None = getattr(request.state, "person", None)
    if session is None:
        raise Unproven("please ask for a link to your address first", clause="rights.proof")
    return session


def proof_of(session: Session) -> bytes | None:
    """The sign-in that an act rests on; a link's proof is never long ago, and is not named."""
    return session.proof if session.method in LONG else None


async def end_of(request: Request, system: Running, response: Response, *, but: bytes | None = None) -> None:
    """End what this browser's cookies open and ask it to forget them; ``but`` spares a password's session of theirs."""
    tls = request.state.visit.tls
    for name in (COOKIE, LONG_COOKIE):
        cookie = cookies.read(request, name, tls=tls)
        if cookie is None:
            continue
        if name == LONG_COOKIE and but is not None:
            try:
                if (await run_in_threadpool(system.requests.session, cookie, tenant_of(request))).sid == but:
                    continue
            except Unproven:
                pass
        await run_in_threadpool(system.requests.close, cookie)
        cookies.drop(response, name, tls=tls)
