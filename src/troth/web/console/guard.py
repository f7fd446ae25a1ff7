"""Who is at the console: the operator behind the cookie, their role, and what the console needs of the system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Forbidden, Unproven
from troth.use.approvals import Approvals
from troth.use.operators import Operator, Operators
from troth.use.roles import SCOPES, may
from troth.use.sign_in import SignIn
from troth.web import cookies
from troth.web.pages import see_other
from troth.web.problems import wants_page
from troth.web.routes import Caller
from troth.web.system import System

COOKIE = "troth_console"
SIGN_IN_PATH = "/console/sign-in"


@dataclass(frozen=True)
class Desk:
    """What one tenant's staff work with: who they are, how they come in, what they approve. Nothing of another's."""

    operators: Operators
    sign_in: SignIn
    approvals: Approvals


class ConsoleSystem(System, Protocol):
    """A running system with staff."""

    def desk(self, tenant: str) -> Desk:
        """The desk of this tenant's staff."""
        ...


def desk_of(request: Request, system: ConsoleSystem) -> Desk:
    """The desk of those whose host this request came to."""
    return system.desk(request.state.visit.place.tenant)


async def operator_guard(request: Request, system: ConsoleSystem, detail: str) -> Caller | Response:
    """The operator behind the cookie, if their role covers ``detail``; people are led to the sign-in."""
    cookie = cookies.read(request, COOKIE, tls=request.state.visit.tls)
    session = await run_in_threadpool(desk_of(request, system).sign_in.session, cookie) if cookie else None
    if session is None:
        if wants_page(request, None):
            return see_other(request, SIGN_IN_PATH)
        raise Unproven("sign in at the console first", clause="protect.password")
    caller = Caller(
        "operator",
        session.operator,
        f"operator:{session.operator.hex()}",
        role=session.role,
        name=session.name,
        csrf=session.csrf.hex(),
        scopes=SCOPES.get(session.role, frozenset()),
        session=session.hash,
    )
    request.state.visit.caller = caller
    if not may(session.role, detail):
        raise Forbidden(f"this takes the scope {detail}, which the role {session.role} does not have")
    return caller


def caller_of(request: Request) -> Caller:
    """The signed-in operator of a guarded request."""
    caller: Caller | None = request.state.visit.caller
    if caller is None:
        raise Unproven("sign in at the console first")
    return caller


async def operator_of(request: Request, system: ConsoleSystem) -> Operator:
    """The signed-in operator as the layers below know them."""
    return await run_in_threadpool(desk_of(request, system).operators.get, caller_of(request).id)
