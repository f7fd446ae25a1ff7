"""The pages that anybody may open: home, the policy with its versions and clauses, the forms, and confirming.

Nothing here sets a cookie or needs a script. Clauses: ``scope.readable``, ``consent.at-submission``,
``consent.refusal``, ``collect.newsletter``, ``collect.registration``, ``cookies.optional``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.collect.forms import point_of
from troth.collect.intake import Submission
from troth.collect.surfaces import surface_of
from troth.errors import Conflict, Invalid, TrothError, Undeclared
from troth.policy.model import Point
from troth.web.account import HOME, SIGN_IN, has_accounts
from troth.web.bodies import read_form
from troth.web.forms import CONSENT_FIELD, NOTICE_FIELD, VERSION_FIELD, field_errors, form_view
from troth.web.pages import Words, page, see_other, text
from troth.web.person import tenant_of
from troth.web.routes import Group, Limit, Route
from troth.web.views import Card, FieldError

if TYPE_CHECKING:
    from troth.web.running import Running

OWN_FIELDS = frozenset((VERSION_FIELD, NOTICE_FIELD, CONSENT_FIELD))
SUBMITTING = Limit(30, 60)


def words_of(request: Request) -> Words:
    """The catalogue in this request's language."""
    visit = request.state.visit
    return Words(visit.pages.catalogue, visit.language)


async def home(request: Request, system: Running) -> Response:
    """What one can do here."""
    visit = request.state.visit
    points = [
        Card(visit.href(f"/forms/{point.id}"), form.title, form.intro)
        for point in open_points(system, request)
        for form in [form_view(visit.policy, point, words_of(request), action="")]
    ]
    ways = [
        Card(visit.href(path), text(request, f"home.{name}"), text(request, f"home.{name}-text"))
        for name, path in (("policy", "/policy"), ("privacy", "/privacy"), ("evidence", "/evidence"))
    ]
    if has_accounts(system):
        ways.insert(
            1, Card(visit.href(SIGN_IN), text(request, "account.sign-in"), text(request, "account.sign-in-text"))
        )
    return page(request, "home.html", cards=[ways[0], *points, *ways[1:]])


def open_points(system: Running, request: Request) -> list[Point]:
    """The points that people fill in as forms on this surface: those that ask for an address."""
    try:
        surface = surface_of(system.policy, request.headers.get("host", ""), request.state.visit.place)
    except TrothError:
        return []
    points = system.policy.points.values()
    return [p for p in points if surface in p.surfaces and any(f.category.endswith(".email") for f in p.fields)]


async def show_form(request: Request, system: Running) -> Response:
    """A form, made from the policy's declaration; nothing is written by looking at it."""
    point = point_of(system.policy, request.path_params["point"])
    surface = surface_of(system.policy, request.headers.get("host", ""), request.state.visit.place)
    system.intake.check_surface(point, surface)
    return form_page(request, system, point)


def form_page(
    request: Request,
    system: Running,
    point: Point,
    values: Mapping[str, str] | None = None,
    errors: Sequence[FieldError] = (),
    status: int = 200,
) -> Response:
    """The form as first shown, or again with what the person sent and the faults beside it."""
    action = f"/forms/{point.id}"
    form = form_view(request.state.visit.policy, point, words_of(request), action=action, values=values, errors=errors)
    return page(request, "form.html", status=status, form=form)


async def take_form(request: Request, system: Running) -> Response:
    """Take a form in; faults come back beside their fields, a good one leads on by 303."""
    point = point_of(system.policy, request.path_params["point"])
    surface = surface_of(system.policy, request.headers.get("host", ""), request.state.visit.place)
    form = await read_form(request)
    sent = {name: form.one(name) for name in form if name not in OWN_FIELDS}
    ticked = form.ticked(CONSENT_FIELD) and point.consent is not None
    submission = Submission(
        tenant=tenant_of(request),
        surface=surface,
        point=point.id,
        values=dict(sent),
        language=request.state.visit.language,
        control="form: checkbox and button" if ticked else "form: button",
        version=form.one(VERSION_FIELD),
        notice=form.one(NOTICE_FIELD),
        consents=frozenset({point.consent.id} if ticked and point.consent else ()),
    )
    shown = sent | ({CONSENT_FIELD: "on"} if ticked else {})
    try:
        await system.intake.accept(submission)
    except Undeclared:
        raise
    except Conflict:
        changed = (FieldError("", text(request, "fault.policy-changed")),)
        return form_page(request, system, point, sent, changed, 409)
    except Invalid as fault:
        return form_page(request, system, point, shown, field_errors(fault, words_of(request)), 422)
    return see_other(request, "/sent")


async def sent_page(request: Request, system: Running) -> Response:
    """Says to look into one's mail: the same page for everybody."""
    return page(request, "check-mail.html")


async def look_confirm(request: Request, system: Running) -> Response:
    """The page behind a link in a mail. Only its button confirms: link scanners press none."""
    token = request.path_params["token"]
    found = await run_in_threadpool(system.confirmation.look, token, tenant_of(request))
    if found.done:
        return page(
            request, "done.html", title_key="confirm.already", text_key="confirm.already-text", values={}, links=[]
        )
    keys = {part: f"confirm.{found.point}.{part}" for part in ("title", "text", "submit")}
    words = words_of(request)
    chosen = {part: key if words.catalogue.has(key) else f"confirm.{part}" for part, key in keys.items()}
    return page(
        request,
        "confirm.html",
        action=f"/confirm/{token}",
        title_key=chosen["title"],
        text_key=chosen["text"],
        submit_key=chosen["submit"],
        hidden={},
        danger=False,
    )


async def do_confirm(request: Request, system: Running) -> Response:
    """Confirm. A second time changes nothing, and says so."""
    token = request.path_params["token"]
    confirmed = await run_in_threadpool(system.confirmation.confirm, token, tenant_of(request))
    links = [Card(request.state.visit.href("/privacy"), text(request, "home.privacy"), "")]
    if confirmed.point == "registration" and has_accounts(system):  # the centre asks for proof first
        links.append(
            Card(request.state.visit.href(HOME), text(request, "account.offer"), text(request, "account.offer-text"))
        )
    said = "confirm.already" if confirmed.already else "confirm.done"
    return page(request, "done.html", title_key=said, text_key=f"{said}-text", links=links)


GROUP: Group[Running] = Group(
    "public",
    [
        Route("GET", "/", home, "scope.readable", summary="What one can do here"),
        Route("GET", "/forms/{point}", show_form, "scope.readable", summary="A form from the policy"),
        Route("POST", "/forms/{point}", take_form, "consent.at-submission", limit=SUBMITTING, summary="Send a form"),
        Route("GET", "/sent", sent_page, "consent.at-submission", summary="Look into your mail"),
        Route("GET", "/confirm/{token}", look_confirm, "consent.at-submission", summary="Confirm an address: look"),
        Route("POST", "/confirm/{token}", do_confirm, "consent.at-submission", limit=SUBMITTING, summary="Confirm"),
    ],
)
