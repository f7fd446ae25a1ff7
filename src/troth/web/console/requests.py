"""The register of requests at the console: what waits, by deadline, and the steps that answer it.

A person is named by the exact address they gave, once, where a request is recorded or proven; the register itself
shows ids and times. Clauses: ``rights.proof``, ``rights.complain``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast, get_args

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Conflict, Denied, Invalid, NotFound, Unproven
from troth.policy.model import RightKind
from troth.rights.calendar import came_in, day
from troth.rights.objection import stoppable
from troth.rights.plan import Plan
from troth.rights.procedures import ALARMS, Step
from troth.rights.register import BEHALF, DELAYS, REASONS, ROADS, Case
from troth.rights.restriction import GROUNDS
from troth.use.roles import may
from troth.web.bodies import Form, read_form
from troth.web.console.erasures import PATH as ERASURES
from troth.web.console.guard import ConsoleSystem, caller_of
from troth.web.console.rooms import fragment, id_in
from troth.web.console.views import HomeCard
from troth.web.forms import field_errors
from troth.web.pages import page, see_other, text
from troth.web.person import tenant_of
from troth.web.planned import planned
from troth.web.public import words_of
from troth.web.routes import Group, Route
from troth.web.views import Choice, FieldError
from troth.world import DAY_MS

if TYPE_CHECKING:
    from troth.web.running import Running

PATH = "/console/requests"
HOWS = ("document", "call", "link", "proof of authority")
FIELDS = ("kind", "road", "received", "email", "on_behalf")
KINDS: tuple[str, ...] = get_args(RightKind)
CLAUSE = "rights.proof"
READ, HANDLE = "operator:requests.read", "operator:requests.handle"


async def register(request: Request, system: Running) -> Response:
    """What is open, and what was answered last."""
    return await listing(request, system)


async def listing(
    request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200, form: Form | None = None
) -> Response:
    """The page of the register, with the form that records another request."""
    tenant = tenant_of(request)
    waiting = await run_in_threadpool(system.procedures.waiting, tenant)
    ended = await run_in_threadpool(system.procedures.ended, tenant)
    return page(
        request,
        "console/requests.html",
        status=status,
        waiting=waiting,
        ended=ended,
        late=[case.id for case in waiting if case.late(system.clock.now())],
        soon=[case.id for case in waiting if case.due_ms < system.clock.now() + ALARMS[0] * DAY_MS],
        handle=may(caller_of(request).role, "requests.handle"),
        kinds=[kind for kind in KINDS if kind in system.policy.rights],
        roads=[road for road in ROADS if road not in ("centre", "product")],
        behalf=BEHALF,
        today=day(system.clock.now(), zone_of(request, system)),
        day=partial(day, zone=zone_of(request, system)),
        errors=errors,
        typed={name: form.one(name) if form else "" for name in FIELDS},
    )


async def record(request: Request, system: Running) -> Response:
    """Record a request that came by another road, with the day it came in."""
    form = await read_form(request)
    try:
        received = came_in(form.one("received"), system.clock.now(), zone_of(request, system))
        sid = await run_in_threadpool(found, system, tenant_of(request), form.one("email"))
        step = await run_in_threadpool(
            lambda: system.procedures.record(
                tenant_of(request),
                cast("RightKind", form.one("kind")),
                received,
                road=form.one("road"),
                actor=caller_of(request).actor,
                sid=sid,
                on_behalf=form.one("on_behalf") or None,
                language=system.policy.language,
            )
        )
    except Invalid as fault:
        return await listing(request, system, field_errors(fault, words_of(request)), 422, form)
    return see_other(request, f"{PATH}/{step.case.id.hex()}")


async def look(request: Request, system: Running) -> Response:
    """One request: how it stands, and the steps that are open."""
    return await showing(request, system)


async def showing(
    request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200, done: str = ""
) -> Response:
    """The page of one request."""
    case = await run_in_threadpool(system.procedures.get, tenant_of(request), id_in(request))
    now, words, zone = system.clock.now(), words_of(request), zone_of(request, system)
    extensible = case.extensible_until(zone)
    plan = await run_in_threadpool(to_come, system, case)
    return page(
        request,
        "console/request.html",
        status=status,
        case=case,
        late=case.late(now),
        handle=may(caller_of(request).role, "requests.handle"),
        may_extend=case.open and case.extended_ms is None and now < extensible,
        extensible=day(extensible, zone),
        day=partial(day, zone=zone),
        hows=HOWS,
        delays=DELAYS,
        reasons=REASONS,
        grounds=GROUNDS,
        plan=[] if plan is None else planned(plan, words),
        purposes=[Choice(p, words.named("purpose", p)) for p in stoppable(system.policy)],
        filed_by=await run_in_threadpool(filed_by, system, case),
        errors=errors,
        done=done,
    )


def to_come(system: Running, case: Case) -> Plan | None:
    """What doing an erasure that waits would do; None where none waits, or it is not shown yet who asks."""
    if case.kind != "erasure" or not case.open or case.sid is None or case.proven_ms is None:
        return None
    try:
        return system.erasures.draw(case.tenant, case.sid)
    except NotFound:
        return None  # erased meanwhile by another road


def filed_by(system: Running, case: Case) -> list[str]:
    """The names of the products that filed it: of a user whom we do not know, they know who it is."""
    if not case.products:
        return []
    return [product.name for product, _ in system.products.all(case.tenant) if product.id.hex() in case.products]


async def prove(request: Request, system: Running) -> Response:
    """Note how it was shown who asks; the document itself is looked at and never kept."""
    form, rid = await read_form(request), id_in(request)

    def act() -> Step:
        sid = found(system, tenant_of(request), form.one("email"))
        if sid is None:
            raise Invalid("nobody is held under this address", gaps=("/email: unknown",))
        return system.procedures.prove(tenant_of(request), rid, sid, form.one("how"), actor=caller_of(request).actor)

    return await step(request, system, act)


async def extend(request: Request, system: Running) -> Response:
    """Two months more, told with a reason."""
    return await answer(request, system, system.procedures.extend)


async def refuse(request: Request, system: Running) -> Response:
    """Refuse, with a reason and the way to complain."""
    return await answer(request, system, system.procedures.refuse)


async def answer(request: Request, system: Running, take: Callable[..., Step]) -> Response:
    """Take a step that the person is told of with a reason, by mail or on paper."""
    form, rid = await read_form(request), id_in(request)
    told = {"printed": form.ticked("printed"), "language": system.policy.language}
    actor, tenant = caller_of(request).actor, tenant_of(request)
    return await step(request, system, lambda: take(tenant, rid, form.one("reason"), actor=actor, **told))


async def fulfil(request: Request, system: Running) -> Response:
    """Do what was asked."""
    form, rid = await read_form(request), id_in(request)
    return await step(
        request,
        system,
        lambda: system.procedures.fulfil(
            tenant_of(request),
            rid,
            actor=caller_of(request).actor,
            ground=form.one("ground"),
            purpose=form.one("purpose"),
            language=system.policy.language,
        ),
    )


async def step(request: Request, system: Running, act: Callable[[], Step]) -> Response:
    """Take a step; back to the request, or to the erasure that took it along."""
    try:
        done = await run_in_threadpool(act)
    except Invalid as fault:
        return await showing(request, system, field_errors(fault, words_of(request)), 422)
    except (Conflict, Denied, Unproven) as refusal:
        return await showing(request, system, [FieldError("", text(request, refused(refusal)))], 409)
    if done.case.kind == "erasure" and done.case.state == "fulfilled":
        return see_other(request, f"{ERASURES}/{done.result}")
    return see_other(request, f"{PATH}/{done.case.id.hex()}")


def refused(refusal: Exception) -> str:
    """The catalogue's sentence for a step that cannot be taken now."""
    if isinstance(refusal, Denied):
        return "requests.not-told"
    return "requests.not-proven" if isinstance(refusal, Unproven) else "requests.too-late"


def found(system: Running, tenant: str, address: str) -> bytes | None:
    """The person with exactly this address; None where there is none, or no address was given."""
    return system.vault.find(tenant, "email", address) if address.strip() else None


def zone_of(request: Request, system: Running) -> dt.tzinfo:
    """Where the days of this host's controller are counted."""
    return system.config.zone_of(tenant_of(request))


async def today(request: Request, system: ConsoleSystem) -> Markup | None:
    """What is late, what is due within ten days, what is open."""
    running = cast("Running", system)
    waiting: list[Case] = await run_in_threadpool(running.procedures.waiting, tenant_of(request))
    now = running.clock.now()
    counts: dict[str, Any] = {
        "open": len(waiting),
        "soon": sum(now <= case.due_ms < now + ALARMS[0] * DAY_MS for case in waiting),
        "late": sum(case.late(now) for case in waiting),
    }
    return fragment(
        request,
        "requests.html",
        counts=counts,
        first=waiting[0] if waiting else None,
        day=partial(day, zone=zone_of(request, running)),
    )


CARD = HomeCard("requests.title", 5, "requests.read", today, PATH)
GROUP: Group[Running] = Group(
    "console-requests",
    [
        Route("GET", PATH, register, CLAUSE, READ, summary="The register of requests"),
        Route("POST", PATH, record, CLAUSE, HANDLE, summary="Record a request that came by another road"),
        Route("GET", PATH + "/{id}", look, CLAUSE, READ, summary="One request"),
        Route("POST", PATH + "/{id}/prove", prove, CLAUSE, HANDLE, summary="Note how it was shown who asks"),
        Route("POST", PATH + "/{id}/extend", extend, CLAUSE, HANDLE, summary="Take two months more"),
        Route("POST", PATH + "/{id}/refuse", refuse, "rights.complain", HANDLE, summary="Refuse, with a reason"),
        Route("POST", PATH + "/{id}/fulfil", fulfil, CLAUSE, HANDLE, summary="Do what was asked"),
    ],
)
