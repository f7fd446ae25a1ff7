"""Coming signed in from one of the vendor's products: a page with a button, and the centre behind it.

The hand-over arrives in a link or in a form that the product's page sends. Neither signs anybody in: whatever opens
links ahead of people presses no button, and the button's form comes from our own page. Clause: ``rights.proof``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.web import cookies
from troth.web.bodies import read_form
from troth.web.pages import page, see_other
from troth.web.person import COOKIE, end_of, tenant_of
from troth.web.privacy import ASKING
from troth.web.routes import Group, Route

if TYPE_CHECKING:
    from troth.web.running import Running

FIELD = "token"
OPEN = "/privacy/handover/open"


async def arrive(request: Request, system: Running) -> Response:
    """The page behind a link from a product; its button opens the centre."""
    return await offer(request, system, request.path_params["token"])


async def arrive_by_form(request: Request, system: Running) -> Response:
    """The same page, for a product that sends the hand-over in a form, so that it stands in no address."""
    return await offer(request, system, (await read_form(request)).one(FIELD))


async def lost(request: Request, system: Running) -> Response:
    """Who comes back to the form's address without its form (another language was chosen) can ask for a link."""
    return see_other(request, "/privacy")


async def offer(request: Request, system: Running, token: str) -> Response:
    """The button, if the hand-over would be taken now. Changes nothing."""
    await run_in_threadpool(system.handovers.look, token, tenant_of(request))
    return page(
        request,
        "confirm.html",
        action=OPEN,
        title_key="privacy.open",
        text_key="privacy.handover-text",
        submit_key="privacy.open-submit",
        hidden={FIELD: token},
    )


async def enter(request: Request, system: Running) -> Response:
    """Take the hand-over, once, and open the centre for half an hour."""
    token = (await read_form(request)).one(FIELD)
    cookie = cookies.mint(request, system.randomness)
    session = await run_in_threadpool(system.handovers.open, token, cookie, tenant_of(request))
    response = see_other(request, "/privacy/data")
    await end_of(request, system, response, but=session.sid)
    cookies.put(response, system.policy, COOKIE, cookie, tls=request.state.visit.tls)
    return response


GROUP: Group[Running] = Group(
    "handover",
    [
        Route(
            "GET",
            "/privacy/handover/{token}",
            arrive,
            "rights.proof",
            cache="no-store",
            summary="Handed over by a product: look",
        ),
        Route("GET", "/privacy/handover", lost, "rights.proof", summary="Handed over, without the product's form"),
        Route(
            "POST",
            "/privacy/handover",
            arrive_by_form,
            "rights.proof",
            cache="no-store",
            cross_site=True,
            limit=ASKING,
            summary="Handed over by a product's form: look",
        ),
        Route(
            "POST",
            OPEN,
            enter,
            "rights.proof",
            cache="no-store",
            limit=ASKING,
            summary="Handed over by a product: open",
        ),
    ],
)
