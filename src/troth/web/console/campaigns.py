"""Campaigns at the console: write an issue, see it as it will arrive, send it off, hold it, read what became of it.

All of it works without scripts. Who reads or receives an issue is not shown anywhere: counts are. Clauses:
``rights.unsubscribe``, ``rights.object-marketing``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Conflict, Invalid
from troth.use.campaign import Campaign
from troth.web.bodies import Form, read_form
from troth.web.console.guard import ConsoleSystem, caller_of
from troth.web.console.rooms import fragment, id_in
from troth.web.console.views import HomeCard
from troth.web.pages import page, see_other, text
from troth.web.person import tenant_of
from troth.web.public import words_of
from troth.web.routes import Group, Limit, Route
from troth.web.views import Choice, FieldError

if TYPE_CHECKING:
    from troth.web.running import Running

PATH = "/console/campaigns"
SCOPE = "operator:campaigns.send"
CLAUSE = "rights.unsubscribe"
LARGEST = 512 * 1024  # an issue in a script of which each letter takes six bytes of a form
TESTS = Limit(20, 3600)  # a test is a letter to a person: they are few
OPEN = ("scheduled", "running", "paused")


async def listing(request: Request, system: Running) -> Response:
    """What was written and sent, and the form for another issue."""
    return await list_page(request, system)


async def list_page(
    request: Request, system: Running, errors: Sequence[FieldError] = (), form: Form | None = None
) -> Response:
    """The page of all campaigns, with what was typed where that cannot be sent."""
    found = await run_in_threadpool(system.campaigns.all, tenant_of(request))
    words = words_of(request)
    templates = [Choice(one.id, words.named("purpose", one.purpose)) for one in system.campaigns.templates()]
    typed = {name: form.one(name) if form else "" for name in ("template", "subject", "source")}
    status = 422 if errors else 200
    return page(
        request,
        "console/campaigns.html",
        status=status,
        campaigns=found,
        templates=templates,
        errors=errors,
        typed=typed,
    )


async def write(request: Request, system: Running) -> Response:
    """Keep a new issue as a draft."""
    form = await read_form(request)
    try:
        made = await run_in_threadpool(
            system.campaigns.draft,
            tenant_of(request),
            form.one("template"),
            form.one("subject"),
            form.one("source"),
        )
    except Invalid as fault:
        return await list_page(request, system, faults(request, fault), form)
    return see_other(request, f"{PATH}/{made.id.hex()}")


async def look(request: Request, system: Running) -> Response:
    """One campaign: its words as they arrive, how it stands, what can be done."""
    return await look_page(request, system)


async def look_page(
    request: Request,
    system: Running,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    form: Form | None = None,
    done: str = "",
) -> Response:
    """The page of one campaign."""
    tenant = tenant_of(request)
    campaign = await run_in_threadpool(system.campaigns.get, tenant, id_in(request))
    progress = await run_in_threadpool(system.campaigns.progress, campaign)
    said = campaign.said
    return page(
        request,
        "console/campaign.html",
        status=status,
        campaign=campaign,
        progress=progress,
        preview=Markup(said.html or ""),  # noqa: S704  # made of escaped words and tags of ours (use/issue.py)
        plain=said.text,
        errors=errors,
        done=done,
        typed={
            "subject": form.one("subject") if form and "subject" in form else campaign.subject,
            "source": form.one("source") if form and "source" in form else campaign.source,
        },
    )


async def rewrite(request: Request, system: Running) -> Response:
    """Other words for a draft."""
    form = await read_form(request)

    def act(tenant: str, cid: bytes) -> Campaign:
        return system.campaigns.rewrite(tenant, cid, form.one("subject"), form.one("source"))

    return await step(request, system, act, form)


async def try_out(request: Request, system: Running) -> Response:
    """Send the issue to one subscriber's address, without saying whether it is one."""
    form, actor = await read_form(request), caller_of(request).actor
    address = form.one("email")
    try:
        await run_in_threadpool(system.campaigns.test, tenant_of(request), id_in(request), address, actor)
    except Invalid:
        return await look_page(request, system, [FieldError("email", text(request, "fault.email"))], 422)
    except Conflict:
        return await look_page(request, system, [FieldError("", text(request, "campaigns.gone-on"))], 409)
    return await look_page(request, system, done="campaigns.tested")


async def begin(request: Request, system: Running) -> Response:
    """Send it off, now or at a time."""
    form, actor = await read_form(request), caller_of(request).actor

    def act(tenant: str, cid: bytes) -> Campaign:
        return system.campaigns.begin(tenant, cid, actor, due(form.one("due")))

    return await step(request, system, act)


async def pause(request: Request, system: Running) -> Response:
    """Hold it."""
    actor = caller_of(request).actor
    return await step(request, system, lambda tenant, cid: system.campaigns.pause(tenant, cid, actor))


async def resume(request: Request, system: Running) -> Response:
    """Go on."""
    actor = caller_of(request).actor
    return await step(request, system, lambda tenant, cid: system.campaigns.resume(tenant, cid, actor))


async def stop(request: Request, system: Running) -> Response:
    """End it for good."""
    actor = caller_of(request).actor
    return await step(request, system, lambda tenant, cid: system.campaigns.stop(tenant, cid, actor))


async def step(
    request: Request, system: Running, act: Callable[[str, bytes], Campaign], form: Form | None = None
) -> Response:
    """Take a step and come back to the campaign, with what is in the way."""
    try:
        await run_in_threadpool(act, tenant_of(request), id_in(request))
    except Invalid as fault:
        return await look_page(request, system, faults(request, fault), 422, form)
    except Conflict:
        return await look_page(request, system, [FieldError("", text(request, "campaigns.gone-on"))], 409)
    return see_other(request, f"{PATH}/{id_in(request).hex()}")


def due(typed: str) -> int | None:
    """The time that was typed (UTC), in milliseconds; None for none. ``Invalid`` where it is no time."""
    if not typed.strip():
        return None
    try:
        at = dt.datetime.fromisoformat(typed.strip())
    except ValueError:
        raise Invalid("a time is written as 2026-03-31T09:00", gaps=("/due: when",)) from None
    return round((at if at.tzinfo else at.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def faults(request: Request, fault: Invalid) -> list[FieldError]:
    """The gaps of a refusal as faults beside their fields: places in the words, or what is missing at all."""
    found = []
    for gap in fault.gaps:
        name, _, rule = gap.lstrip("/").partition(": ")
        place, _, message = rule.partition(" ")
        if name in ("subject", "source") and message:
            line, _, column = place.partition(":")
            found.append(FieldError(name, text(request, "campaigns.fault", line=line, column=column, message=message)))
        else:
            found.append(FieldError(name, text(request, f"campaigns.missing.{rule}")))
    return found


async def today(request: Request, system: ConsoleSystem) -> Markup | None:
    """What is being sent or held."""
    running = cast("Running", system)
    found = await run_in_threadpool(running.campaigns.all, tenant_of(request))
    counts = {state: sum(one.state == state for one in found) for state in OPEN}
    return fragment(request, "campaigns.html", counts=counts)


CARD = HomeCard("campaigns.title", 15, "campaigns.send", today, PATH)
GROUP: Group[Running] = Group(
    "console-campaigns",
    [
        Route("GET", PATH, listing, CLAUSE, SCOPE, summary="Issues written and sent"),
        Route("POST", PATH, write, CLAUSE, SCOPE, summary="Write an issue", body=LARGEST),
        Route("GET", PATH + "/{id}", look, CLAUSE, SCOPE, summary="One issue"),
        Route("POST", PATH + "/{id}/write", rewrite, CLAUSE, SCOPE, summary="Rewrite a draft", body=LARGEST),
        Route("POST", PATH + "/{id}/test", try_out, CLAUSE, SCOPE, summary="Send it to one subscriber", limit=TESTS),
        Route("POST", PATH + "/{id}/begin", begin, CLAUSE, SCOPE, summary="Send it off"),
        Route("POST", PATH + "/{id}/pause", pause, CLAUSE, SCOPE, summary="Hold it"),
        Route("POST", PATH + "/{id}/resume", resume, CLAUSE, SCOPE, summary="Go on"),
        Route("POST", PATH + "/{id}/stop", stop, CLAUSE, SCOPE, summary="End it for good"),
    ],
)
