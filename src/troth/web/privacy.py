"""The person's own centre: proof by a link, then everything held, a copy, objecting, withdrawing, erasing, receipts.

Every step works without JavaScript. Clauses: ``rights.proof``, ``rights.access``, ``rights.portability``,
``rights.object-marketing``, ``consent.withdraw``, ``rights.erase``, ``rights.unsubscribe``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.collect.forms import is_email
from troth.errors import NotFound, Unproven
from troth.evidence.words import read_words
from troth.notice.brought import MEMBER
from troth.rights.access import OWN, Copy, as_csv, as_json
from troth.rights.objection import Via, stoppable
from troth.use.person_sessions import Session
from troth.vault.states import CLOSED
from troth.web import cookies
from troth.web.account import device_in, has_accounts
from troth.web.bodies import read_form
from troth.web.pages import page, see_other, text
from troth.web.person import COOKIE, LONG_COOKIE, end_of, person, proof_of, session_of, tenant_of
from troth.web.planned import became, planned
from troth.web.public import words_of
from troth.web.routes import Caller, Group, Limit, Route
from troth.web.views import (
    Card,
    Choice,
    ConsentLine,
    CorrectedView,
    FieldError,
    HeldField,
    HeldRecord,
    LookView,
    PasskeyLine,
    PersonView,
    ReceiptView,
    UsedView,
)

if TYPE_CHECKING:
    from troth.web.running import Running

ASKING = Limit(10, 60)
ONE_CLICK = Limit(3000, 60)  # mailbox providers click for many people from few addresses; a token is not guessed
ERASED = {"gone": ("privacy.erased", "privacy.erased-text"), "held": ("hold.title", "hold.ordered")}
CONSEQUENCES = (
    "privacy.erase-account",
    "privacy.erase-certificate",
    "privacy.erase-suppression",
    "privacy.erase-final",
)


async def ask_page(request: Request, system: Running) -> Response:
    """Ask for a link to one's own centre."""
    return page(request, "privacy/request.html", action="/privacy", sign_in=has_accounts(system))


async def ask(request: Request, system: Running) -> Response:
    """Take the address; the answer is the same for every address, and written before anything is looked up."""
    address = (await read_form(request)).one("email")
    if not is_email(address):
        fault = FieldError("email", text(request, "fault.email"))
        return page(request, "privacy/request.html", status=422, action="/privacy", errors=[fault], value=address)
    await system.requests.ask(tenant_of(request), address, request.state.visit.language)
    return see_other(request, "/privacy/sent")


async def asked(request: Request, system: Running) -> Response:
    """Says to look into one's mail."""
    return page(request, "check-mail.html", title_key="privacy.sent", text_key="privacy.sent-text")


async def look(request: Request, system: Running) -> Response:
    """The page behind the link; its button opens the centre."""
    token = request.path_params["token"]
    fresh = await run_in_threadpool(system.requests.look, token, tenant_of(request))
    if not fresh:
        raise Unproven("this link was used before: please ask for a new one", clause="rights.proof")
    return page(
        request,
        "confirm.html",
        action=f"/privacy/open/{token}",
        title_key="privacy.open",
        text_key="privacy.open-text",
        submit_key="privacy.open-submit",
        hidden={},
    )


async def enter(request: Request, system: Running) -> Response:
    """Use the link, once, and open the centre for half an hour."""
    cookie = cookies.mint(request, system.randomness)
    token, tenant = request.path_params["token"], tenant_of(request)
    session = await run_in_threadpool(system.requests.open, token, cookie, device_in(request, system), tenant)
    response = see_other(request, "/privacy/data")
    await end_of(request, system, response, but=session.sid)
    cookies.put(response, system.policy, COOKIE, cookie, tls=request.state.visit.tls)
    return response


async def leave(request: Request, system: Running) -> Response:
    """End the session of this browser."""
    response = see_other(request, "/")
    await end_of(request, system, response)
    return response


async def data(request: Request, system: Running) -> Response:
    """Everything held, read under the right of access, with its entry."""
    copy = await run_in_threadpool(copy_of, system, session_of(request))
    return page(request, "privacy/home.html", person=person_view(request, system, copy))


def copy_of(system: Running, session: Session) -> Copy:
    """The copy, whose entry names the sign-in it rests on."""
    return system.access.copy(session.tenant, session.sid, proof=proof_of(session))


def sid_of(request: Request) -> bytes:
    """The signed-in person."""
    caller: Caller = request.state.visit.caller
    return caller.id


def person_view(request: Request, system: Running, copy: Copy) -> PersonView:
    """The copy, laid out for reading."""
    words = words_of(request)
    visit = request.state.visit
    records = tuple(
        HeldRecord(
            title=words.named("point", held.point + ".title"),
            collected_ms=held.collected,
            version=held.version,
            fields=tuple(HeldField(words.label(name), str(value)) for name, value in held.values.items()),
            purposes=tuple(sorted({words.named("purpose", use.purpose) for use in held.uses})),
            keeping="; ".join(held.kept),
            recipients=tuple(sorted({words.named("recipient", u.recipient) for u in held.uses if u.recipient})),
            source=text(request, "privacy.source-person") if held.source == OWN else held.source,
        )
        for held in copy.records
    )
    consents = tuple(
        ConsentLine(
            words=record["dpv:hasNotice"]["troth:words"] or record.get(MEMBER, {}).get("troth:how", ""),
            state=record["troth:state"],
            since_ms=since_of(record),
            withdraw=f"/privacy/withdraw/{purpose_of(record)}" if record["troth:state"] == "Given" else "",
            receipt=f"/consent/receipts/{record['dct:identifier']}",
        )
        for record in copy.consents
    )
    downloads = tuple(
        Card(visit.href(f"/privacy/copy.{ending}"), text(request, f"privacy.copy-{ending}"))
        for ending in ("html", "json", "zip")
    )
    stops = tuple(words.named("purpose", str(stop["purpose"])) for stop in copy.objections)
    corrected = tuple(
        CorrectedView(
            words.listed([words.label(name) for name in each["fields"]]),
            words.named("point", f"{each['point']}.title"),
            each["at"],
        )
        for each in copy.corrections
    )
    looks = tuple(
        LookView(look["at"], look["role"], words.named("purpose", look["purpose"]), look["reason"] or "")
        for look in copy.looks
    )
    waiting = copy.account["waiting"]
    return PersonView(
        records,
        consents,
        stops,
        downloads,
        password_since_ms=copy.account["password"],
        closed_ms=next((s["since"] for s in copy.states if s["state"] == CLOSED and s["until"] is None), None),
        waiting=waiting["address"] if waiting else "",
        corrections=corrected,
        activity=tuple(
            UsedView(used["product"], words.named("event", used["event"]), used["at"], used["until"])
            for used in copy.account["activity"]
        ),
        looks=looks,
        passkeys=tuple(PasskeyLine(key["name"], key["added"]) for key in copy.account["passkeys"]),
        second_factor_since_ms=copy.account["second_factor"],
        devices=[
            (", ".join(d[word] or "?" for word in ("browser", "system", "country")), d["seen"])
            for d in copy.account["devices"]
        ],
    )


def since_of(record: dict[str, Any]) -> int:
    """When the last event of a consent record was, in UTC milliseconds."""
    last: str = record["troth:events"][-1]["dct:date"]["@value"]
    return round(dt.datetime.fromisoformat(last).timestamp() * 1000)


def purpose_of(record: dict[str, Any]) -> str:
    """The purpose that a consent record is for."""
    purpose: str = record["dpv:hasProcess"]["dpv:hasPurpose"][0]["dct:title"]
    return purpose


async def download(request: Request, system: Running) -> Response:
    """The copy as a file: JSON, CSV in a zip, or one readable page."""
    ending = request.path_params["ending"]
    if ending not in ("json", "zip", "html"):
        raise NotFound("the copy comes as html, json or zip", clause="rights.portability")
    copy = await run_in_threadpool(copy_of, system, session_of(request))
    if ending == "html":
        response = page(request, "privacy/copy.html", person=person_view(request, system, copy), copy=copy)
    elif ending == "json":
        response = Response(as_json(copy), media_type="application/json")
    else:
        response = Response(await run_in_threadpool(as_csv, copy), media_type="application/zip")
    response.headers["content-disposition"] = f'attachment; filename="my-data.{ending}"'
    return response


async def object_page(request: Request, system: Running) -> Response:
    """What can be objected to, and what has been."""
    return await objecting(request, system)


async def objecting(
    request: Request, system: Running, errors: tuple[FieldError, ...] = (), status: int = 200
) -> Response:
    """The page of purposes, with faults if the form came back empty."""
    words = words_of(request)
    tenant, sid = tenant_of(request), sid_of(request)
    state = await run_in_threadpool(
        system.store.read, lambda connection: system.vault.state_of(connection, tenant, sid)[0]
    )
    stops = {stop.purpose for stop in state.stops}
    choices = [
        Choice(p, words.named("purpose", p), ticked=bool(stops & set(system.policy.ancestors(p))))
        for p in stoppable(system.policy)
    ]
    return page(
        request, "privacy/object.html", status=status, action="/privacy/object", purposes=choices, errors=errors
    )


async def do_object(request: Request, system: Running) -> Response:
    """Object to the ticked purposes; each is in force when this answers."""
    chosen = (await read_form(request)).get("purpose", [])
    if not chosen:
        return await objecting(request, system, (FieldError("purpose", text(request, "fault.choose")),), 422)
    for purpose in chosen:
        await run_in_threadpool(stop, system, session_of(request), purpose, request.state.visit.language)
    return page(
        request, "done.html", title_key="privacy.objected", text_key="privacy.objected-text", links=back(request)
    )


def stop(system: Running, session: Session, purpose: str, language: str) -> None:
    """One objection or withdrawal of a signed-in person."""
    system.objections.object(session.tenant, session.sid, purpose, language=language)


async def withdraw(request: Request, system: Running) -> Response:
    """Withdraw a consent: one button, as many steps as giving it took."""
    purpose, language = request.path_params["purpose"], request.state.visit.language
    await run_in_threadpool(stop, system, session_of(request), purpose, language)
    return see_other(request, "/privacy/data")


async def erase_page(request: Request, system: Running) -> Response:
    """What erasing means, what it will do in this very case, and the button."""
    return await before_erasing(request, system)


async def before_erasing(
    request: Request, system: Running, errors: Sequence[FieldError] = (), status: int = 200
) -> Response:
    """The page with the plan as it would be drawn now."""
    session = session_of(request)
    plan = await run_in_threadpool(system.erasures.draw, session.tenant, session.sid)
    return page(
        request,
        "privacy/erase.html",
        status=status,
        action="/privacy/erase",
        consequences=CONSEQUENCES,
        plan=planned(plan, words_of(request)),
        held=plan.held,
        errors=errors,
    )


async def erase(request: Request, system: Running) -> Response:
    """Erase everything; the answer comes when keys and rows are gone and looked for."""
    if not (await read_form(request)).ticked("sure"):
        return await before_erasing(request, system, [FieldError("sure", text(request, "fault.sure"))], 422)
    session, language = session_of(request), request.state.visit.language
    certificate = await run_in_threadpool(
        lambda: system.erasures.erase(session.tenant, session.sid, language=language, proof=proof_of(session))
    )
    title, words = ERASED.get(certificate.state, ("privacy.erasing", "privacy.erasing-text"))
    response = page(
        request,
        "done.html",
        title_key=title,
        text_key=words,
        values={"order": certificate.ordered, "rows": sum(certificate.rows.values())},
    )
    for name in (COOKIE, LONG_COOKIE):
        cookies.drop(response, name, tls=request.state.visit.tls)
    return response


async def certificate(request: Request, system: Running) -> Response:
    """What was seen of an erasure so far, for whoever has its number: it says nothing of whom."""
    found = await run_in_threadpool(
        system.erasures.certificate, hex_of(request.path_params["order"]), tenant_of(request)
    )
    times = [
        ("privacy.certificate-ordered", found.ordered_ms),
        ("privacy.certificate-unreadable", found.unreadable_ms),
        ("privacy.certificate-gone", found.gone_ms),
        ("privacy.certificate-destroyed", found.destroyed_ms),
    ]
    return page(
        request,
        "privacy/certificate.html",
        times=times,
        rows=sum(found.rows.values()),
        became=became(found, words_of(request)),
        held=found.held,
        plan=found.plan,
        destruction=found.destruction,
        not_covered=found.not_covered,
    )


def hex_of(text: str) -> bytes:
    """The 16 bytes of a number in an address; nothing where it is none."""
    try:
        return bytes.fromhex(text) if len(text) == 32 else b""
    except ValueError:
        return b""


async def receipts(request: Request, system: Running) -> Response:
    """The receipts of this person's entries."""
    found = await run_in_threadpool(system.receipts.of_person, tenant_of(request), sid_of(request))
    views = [
        ReceiptView(
            words_of(request).named("entry", line.kind), line.at_ms, line.clause, f"/receipts/{line.entry}", line.entry
        )
        for line in found
    ]
    return page(request, "privacy/receipts.html", receipts=views)


async def receipt(request: Request, system: Running) -> Response:
    """One receipt: a file that checks itself, offline, without us."""
    entry, visit = request.path_params["entry"], request.state.visit
    html = await run_in_threadpool(
        system.receipts.page,
        tenant_of(request),
        sid_of(request),
        entry,
        text(request, "receipt.sentence", name=visit.policy.controller.name),
        read_words(visit.language),
        visit.place.url,
    )
    headers = {"content-disposition": f'attachment; filename="receipt-{entry[:12]}.html"'}
    return Response(html, media_type="text/html", headers=headers)


async def consent_receipt(request: Request, system: Running) -> Response:
    """The receipt of a consent as JSON-LD (ISO/IEC TS 27560)."""
    found = await run_in_threadpool(
        system.receipts.consent, tenant_of(request), sid_of(request), request.path_params["record"]
    )
    return Response(found, media_type="application/ld+json")


def back(request: Request) -> list[Card]:
    """The way back to the centre."""
    return [Card(request.state.visit.href("/privacy/data"), text(request, "privacy.data"))]


async def unsubscribe_page(request: Request, system: Running) -> Response:
    """A GET only shows the button: mail scanners open links."""
    return page(
        request,
        "confirm.html",
        action=f"/unsubscribe/{request.path_params['token']}",
        title_key="unsubscribe.title",
        text_key="unsubscribe.text",
        submit_key="unsubscribe.submit",
        hidden={},
    )


async def unsubscribe(request: Request, system: Running) -> Response:
    """One click (RFC 8058) or the button: no cookie, no login, no redirect; the same answer a second time."""
    form = await read_form(request)
    via: Via = "one-click" if form.one("List-Unsubscribe") == "One-Click" else "unsubscribe"
    await run_in_threadpool(system.objections.unsubscribe, request.path_params["token"], via, tenant_of(request))
    return page(request, "done.html", title_key="unsubscribe.done", text_key="unsubscribe.done-text")


GROUP: Group[Running] = Group(
    "privacy",
    [
        Route("GET", "/privacy", ask_page, "rights.proof", summary="Ask for a link"),
        Route("POST", "/privacy", ask, "rights.proof", limit=ASKING, summary="Send me my link"),
        Route("GET", "/privacy/sent", asked, "rights.proof", summary="Look into your mail"),
        Route("GET", "/privacy/open/{token}", look, "rights.proof", summary="The link: look"),
        Route("POST", "/privacy/open/{token}", enter, "rights.proof", limit=ASKING, summary="The link: open"),
        Route("POST", "/privacy/leave", leave, "rights.proof", "person", summary="End the session"),
        Route("GET", "/privacy/data", data, "rights.access", "person", summary="What is held about me"),
        Route("GET", "/privacy/copy.{ending}", download, "rights.portability", "person", summary="My copy"),
        Route("GET", "/privacy/object", object_page, "rights.object-marketing", "person", summary="What I can stop"),
        Route("POST", "/privacy/object", do_object, "rights.object-marketing", "person", summary="Object"),
        Route("POST", "/privacy/withdraw/{purpose}", withdraw, "consent.withdraw", "person", summary="Withdraw"),
        Route("GET", "/privacy/erase", erase_page, "rights.erase", "person:fresh", summary="What erasing means"),
        Route("POST", "/privacy/erase", erase, "rights.erase", "person:fresh", summary="Erase me"),
        Route(
            "GET", "/privacy/certificate/{order}", certificate, "rights.erase", summary="What was seen of an erasure"
        ),
        Route("GET", "/privacy/receipts", receipts, "scope.compliance", "person", summary="My receipts"),
        Route("GET", "/receipts/{entry}", receipt, "scope.compliance", "person", summary="A receipt"),
        Route(
            "GET",
            "/consent/receipts/{record}",
            consent_receipt,
            "consent.at-submission",
            "person",
            summary="The receipt of a consent",
        ),
        Route("GET", "/unsubscribe/{token}", unsubscribe_page, "rights.unsubscribe", summary="Unsubscribe: look"),
        Route(
            "POST",
            "/unsubscribe/{token}",
            unsubscribe,
            "rights.unsubscribe",
            cross_site=True,
            limit=ONE_CLICK,
            summary="Unsubscribe",
        ),
    ],
    guards={"person": person},
)
