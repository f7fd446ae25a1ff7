"""What a person does to their own account besides signing in: correct data, change the address, close it, come back.

Every step works without JavaScript. Answers about another address are the same whether it is somebody's or nobody's.
Clauses ``rights.rectify``, ``purpose.account``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Conflict, Invalid, NotFound, Undeclared
from troth.rights.address import PROOF, PROOF_PATH, STOP, STOP_PATH
from troth.rights.rectification import Correctable
from troth.use.closing import LETTER, Follows, Outlook
from troth.web import cookies
from troth.web.bodies import read_form
from troth.web.forms import field_errors, field_view
from troth.web.pages import page, see_other, text
from troth.web.person import COOKIE, LONG_COOKIE, proof_of, session_of, tenant_of
from troth.web.public import words_of
from troth.web.routes import Group, Limit, Route
from troth.web.security import CSRF_FIELD
from troth.web.views import Card, CorrectView, FieldError, FollowsView, HeldField

if TYPE_CHECKING:
    from troth.web.running import Running

PROVEN = "person:proven"  # who is found by another address has what a password of theirs opens, too
STRONG = "person:strong"
CORRECT = "/privacy/correct"
ADDRESS = "/account/address"
CLOSE = "/account/close"
SEEN = "seen-as"  # no declared field has a hyphen in its name
LINKS = Limit(10, 60)  # from one network
WISHES = Limit(5, 3600)  # of one person: each sends letters
WISHES_FOR_AN_ADDRESS = Limit(3, 3600)  # to one address, by whomever, whether it is known or not


# --- correcting ---


async def correct_list(request: Request, system: Running) -> Response:
    """The places where this person told something, and the way to the address; nothing is opened."""
    session, words = session_of(request), words_of(request)
    points = await run_in_threadpool(system.rectification.points, session.tenant, session.sid)
    href = request.state.visit.href
    cards = [
        Card(
            href(f"{CORRECT}/{point.id}"),
            words.named("point", f"{point.id}.title"),
            words.listed([words.label(f.name, f.category) for f in point.fields if not f.identifier]),
        )
        for point in points
        if not all(f.identifier for f in point.fields)
    ]
    if system.addresses.offered():
        cards.append(Card(href(ADDRESS), text(request, "correct.address"), text(request, "correct.address-text")))
    return page(request, "privacy/correct.html", cards=cards, correct=None, errors=())


async def correct_page(request: Request, system: Running) -> Response:
    """One place: what was told there, ready to be corrected."""
    return await correcting(request, system)


async def correcting(
    request: Request,
    system: Running,
    values: Mapping[str, str] | None = None,
    errors: Sequence[FieldError] = (),
    status: int = 200,
) -> Response:
    """The form as it stands, or again with what the person typed and the faults beside it."""
    session, name = session_of(request), request.path_params["point"]
    told = await run_in_threadpool(
        lambda: system.rectification.shown(session.tenant, session.sid, name, proof=proof_of(session))
    )
    view = correct_view(request, told, values or {}, errors)
    return page(request, "privacy/correct.html", status=status, cards=(), correct=view, errors=view.errors)


def correct_view(
    request: Request, told: Correctable, typed: Mapping[str, str], errors: Sequence[FieldError]
) -> CorrectView:
    """A place's fields, laid out: those to change, and those that the person is found by."""
    words, by_name = words_of(request), {error.name: error.message for error in errors}
    labels = {f.name: words.label(f.name, f.category) for f in told.point.fields}
    values = told.values | dict(typed)
    return CorrectView(
        action=f"{CORRECT}/{told.point.id}",
        title=words.named("point", f"{told.point.id}.title"),
        fields=tuple(
            field_view(f, words, values.get(f.name, ""), by_name.get(f.name, ""))
            for f in told.point.fields
            if not f.identifier
        ),
        found_by=tuple(
            HeldField(labels[f.name], told.values[f.name])
            for f in told.point.fields
            if f.identifier and f.name in told.values
        ),
        records=told.records,
        hidden={SEEN: told.seen},
        errors=tuple(FieldError(error.name, error.message, labels.get(error.name, "")) for error in errors),
    )


async def correct(request: Request, system: Running) -> Response:
    """Correct what was told at one place, and wherever else the same value lies."""
    form, session, name = await read_form(request), session_of(request), request.path_params["point"]
    typed = {field: form.one(field) for field in form if field not in (CSRF_FIELD, SEEN)}
    try:
        done = await run_in_threadpool(
            lambda: system.rectification.correct(
                session.tenant, session.sid, name, typed, seen=form.one(SEEN), proof=proof_of(session)
            )
        )
    except Undeclared:
        raise
    except Conflict:
        return await correcting(request, system, {}, (FieldError("", text(request, "correct.moved")),), 409)
    except Invalid as fault:
        return await correcting(request, system, typed, field_errors(fault, words_of(request)), 422)
    words = words_of(request)
    where = words.listed([words.named("point", f"{point}.title") for point in done.points])
    return page(
        request,
        "done.html",
        title_key="correct.done" if done.records else "correct.nothing",
        text_key="correct.done-text" if done.records else "correct.nothing-text",
        values={"count": done.records, "where": where},
        links=[Card(request.state.visit.href("/privacy/data"), text(request, "privacy.data"))],
    )


# --- the address ---


async def address_page(request: Request, system: Running) -> Response:
    """Where a new address is named."""
    return await naming(request, system)


async def naming(
    request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200, typed: str = ""
) -> Response:
    """The form, and what waits for its proof."""
    if not system.addresses.offered():
        raise NotFound("no clause declares the letters that a change of address takes", clause="rights.rectify")
    session = session_of(request)
    waits = await run_in_threadpool(system.addresses.waiting, session.tenant, session.sid)
    return page(
        request, "account/address.html", status=status, action=ADDRESS, errors=errors, address=typed, waits=waits
    )


async def ask_address(request: Request, system: Running) -> Response:
    """Take the new address: links go out, and the answer is the same whosever it is."""
    address, session = (await read_form(request)).one("email"), session_of(request)
    rates = request.state.shell.rates
    rates.hit("address.person", session.sid.hex(), WISHES)
    rates.hit("address.new", unicodedata.normalize("NFKC", address).casefold(), WISHES_FOR_AN_ADDRESS)
    language = request.state.visit.language
    try:
        await run_in_threadpool(
            lambda: system.addresses.ask(
                session.tenant, session.sid, address, proof=proof_of(session), language=language
            )
        )
    except Invalid as fault:
        return await naming(request, system, field_errors(fault, words_of(request)), 422, address)
    return see_other(request, f"{ADDRESS}/sent")


async def address_sent(request: Request, system: Running) -> Response:
    """Says to look into the mail of the new address."""
    return page(request, "check-mail.html", title_key="address.sent", text_key="address.sent-text")


async def look_proof(request: Request, system: Running) -> Response:
    """The page behind the link to the new address; only its button proves."""
    return await looking(request, system, PROOF, PROOF_PATH, "address.confirm")


async def look_stop(request: Request, system: Running) -> Response:
    """The page behind the link to the old address; only its button stops."""
    return await looking(request, system, STOP, STOP_PATH, "address.stop")


async def looking(request: Request, system: Running, kind: str, path: str, key: str) -> Response:
    """A page with one button, for a link that would still do something."""
    token = request.path_params["token"]
    await run_in_threadpool(system.addresses.look, token, kind, tenant_of(request))
    return page(
        request,
        "confirm.html",
        action=f"{path}{token}",
        title_key=key,
        text_key=f"{key}-text",
        submit_key=f"{key}-submit",
        hidden={},
    )


async def prove_address(request: Request, system: Running) -> Response:
    """The new address counts from here on."""
    await run_in_threadpool(system.addresses.prove, request.path_params["token"], tenant_of(request))
    return page(request, "done.html", title_key="address.done", text_key="address.done-text", links=home(request))


async def stop_address(request: Request, system: Running) -> Response:
    """The change is dropped; nothing was changed."""
    await run_in_threadpool(system.addresses.stop, request.path_params["token"], tenant_of(request))
    return page(request, "done.html", title_key="address.stopped", text_key="address.stopped-text", links=home(request))


def home(request: Request) -> list[Card]:
    """The way to one's own centre."""
    return [Card(request.state.visit.href("/privacy"), text(request, "home.privacy"))]


# --- closing, and coming back ---


async def close_page(request: Request, system: Running) -> Response:
    """What closing means, with its dates, and the button."""
    return await closing(request, system)


async def closing(request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200) -> Response:
    """The page; of an account that is closed already, how it stands."""
    session = session_of(request)
    outlook = await run_in_threadpool(system.closing.outlook, session.tenant, session.sid)
    lines = follows_view(request, outlook)
    return page(
        request,
        "account/close.html",
        status=status,
        action=CLOSE,
        errors=errors,
        outlook=outlook,
        follows=lines,
        letter=LETTER in system.policy.templates,
    )


def follows_view(request: Request, outlook: Outlook) -> list[FollowsView]:
    """What follows, place by place, in the reader's words."""
    words = words_of(request)

    def line(each: Follows) -> FollowsView:
        only = None if each.only is None else words.listed([words.named("purpose", p) for p in each.only])
        return FollowsView(words.named("point", f"{each.point}.title"), only, each.erased_ms)

    return [line(each) for each in outlook.follows]


async def close(request: Request, system: Running) -> Response:
    """Close the account: every session ends, this one too."""
    if not (await read_form(request)).ticked("sure"):
        return await closing(request, system, (FieldError("sure", text(request, "fault.sure")),), 422)
    session, language = session_of(request), request.state.visit.language
    outlook = await run_in_threadpool(
        lambda: system.closing.close(session.tenant, session.sid, proof=proof_of(session), language=language)
    )
    until = outlook.returns_until_ms
    response = page(
        request,
        "done.html",
        title_key="close.done",
        text_key="close.done-text" if until else "close.done-for-good",
        values={"until": words_of(request).date(until)} if until else {},
        links=[Card(request.state.visit.href("/account/sign-in"), text(request, "account.sign-in"))],
    )
    for name in (COOKIE, LONG_COOKIE):
        cookies.drop(response, name, tls=request.state.visit.tls)
    return response


async def come_back(request: Request, system: Running) -> Response:
    """Open the account again, as it was."""
    session = session_of(request)
    await run_in_threadpool(lambda: system.closing.come_back(session.tenant, session.sid, proof=proof_of(session)))
    links = [Card(request.state.visit.href("/account"), text(request, "account.title"))]
    return page(request, "done.html", title_key="close.returned", text_key="close.returned-text", links=links)


RECTIFY, ACCOUNT = "rights.rectify", "purpose.account"
GROUP: Group[Running] = Group(
    "account-data",
    [
        Route("GET", CORRECT, correct_list, RECTIFY, "person", summary="What I can correct"),
        Route("GET", CORRECT + "/{point}", correct_page, RECTIFY, "person", summary="Correct: the form"),
        Route("POST", CORRECT + "/{point}", correct, RECTIFY, "person", summary="Correct what I told you"),
        Route("GET", ADDRESS, address_page, RECTIFY, PROVEN, summary="Another address: the form"),
        Route("POST", ADDRESS, ask_address, RECTIFY, PROVEN, summary="Be found by another address"),
        Route("GET", f"{ADDRESS}/sent", address_sent, RECTIFY, "person", summary="Look into your mail"),
        Route("GET", PROOF_PATH + "{token}", look_proof, RECTIFY, cache="no-store", summary="Another address: look"),
        Route("POST", PROOF_PATH + "{token}", prove_address, RECTIFY, limit=LINKS, summary="Another address: prove"),
        Route("GET", STOP_PATH + "{token}", look_stop, RECTIFY, cache="no-store", summary="Stop a change: look"),
        Route("POST", STOP_PATH + "{token}", stop_address, RECTIFY, limit=LINKS, summary="Stop a change of address"),
        Route("GET", CLOSE, close_page, ACCOUNT, STRONG, summary="What closing my account means"),
        Route("POST", CLOSE, close, ACCOUNT, STRONG, summary="Close my account"),
        Route("POST", "/account/return", come_back, ACCOUNT, "person", summary="Come back to my account"),
    ],
)
