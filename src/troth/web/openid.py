"""Signing in at the vendor's own OpenID provider, and back into one's privacy centre. Clause ``rights.proof``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from troth.errors import NotFound, Unproven
from troth.rights.openid import OpenIdSignIn
from troth.web import cookies
from troth.web.account import ATTEMPTS, NO_STORE, entrance
from troth.web.pages import see_other, text
from troth.web.person import COOKIE, end_of, tenant_of
from troth.web.routes import Group, Route
from troth.web.views import FieldError

if TYPE_CHECKING:
    from troth.web.running import Running

LEAVE = "/account/openid"
RETURN = "/account/openid/return"


def offered(request: Request, system: Running) -> bool:
    """Whether a provider is configured, and this host is our own: a tenant's people are not the provider's."""
    return system.openid is not None and tenant_of(request) == system.config.tenant


def configured(request: Request, system: Running) -> OpenIdSignIn:
    """The way in, where the operator has configured a provider."""
    if system.openid is None or not offered(request, system):
        raise NotFound("there is nothing at this address")
    return system.openid


async def leave(request: Request, system: Running) -> Response:
    """Off to the provider, with a fresh cookie that its answer must come back with."""
    openid = configured(request, system)
    cookie = cookies.mint(request, system.randomness)
    response = RedirectResponse(await run_in_threadpool(openid.ask, cookie), 303)
    cookies.put(response, system.policy, COOKIE, cookie, tls=request.state.visit.tls)
    return response


async def back(request: Request, system: Running) -> Response:
    """Back with an answer: into the centre for half an hour, or to the ways in with one and the same refusal."""
    openid, query = configured(request, system), request.query_params
    before = cookies.read(request, COOKIE, tls=request.state.visit.tls) or ""
    cookie = cookies.mint(request, system.randomness)
    said = (query.get("state", ""), query.get("code", ""), query.get("iss", ""))
    try:
        session = await run_in_threadpool(openid.open, *said, before, cookie)
    except Unproven:
        return entrance(request, system, [FieldError("", text(request, "account.openid-refused"))], 401)
    response = see_other(request, "/privacy/data")
    await end_of(request, system, response, but=session.sid)
    cookies.put(response, system.policy, COOKIE, cookie, tls=request.state.visit.tls)
    return response


CLAUSE = "rights.proof"
GROUP: Group[Running] = Group(
    "openid",
    [
        Route("GET", LEAVE, leave, CLAUSE, limit=ATTEMPTS, cache=NO_STORE, summary="Sign in at the vendor's own"),
        Route("GET", RETURN, back, CLAUSE, limit=ATTEMPTS, cache=NO_STORE, summary="Signed in at the vendor's own"),
    ],
)
