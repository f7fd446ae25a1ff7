"""The console's own pages: home with its cards, staff, approvals, one's own account."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Conflict, Invalid, NotFound, Unproven
from troth.use.approvals import Approval
from troth.use.operators import Operator
from troth.use.roles import ROLES, may
from troth.web.bodies import read_form
from troth.web.console.entrance import ROUTES as ENTRANCE
from troth.web.console.guard import SIGN_IN_PATH, ConsoleSystem, caller_of, desk_of, operator_guard, operator_of
from troth.web.console.views import ApprovalLine, HomeCard, ShownCard
from troth.web.forms import field_errors
from troth.web.pages import Visit, page, see_other, text
from troth.web.public import words_of
from troth.web.routes import Group, Route
from troth.web.views import FieldError


def id_in(request: Request) -> bytes:
    """The 16-byte id in the path; ``NotFound`` for anything else."""
    try:
        found = bytes.fromhex(request.path_params["id"])
    except ValueError:
        found = b""
    if len(found) != 16:
        raise NotFound("there is nothing at this address")
    return found


def fragment(request: Request, name: str, **context: object) -> Markup:
    """Part of a page, rendered from ``templates/console/cards/<name>``: escaped there, safe here."""
    visit: Visit = request.state.visit
    return Markup(visit.pages.render(visit, f"console/cards/{name}", context))  # noqa: S704  # autoescaped template


# --- approvals ---


async def lines(request: Request, system: ConsoleSystem) -> list[ApprovalLine]:
    """The approvals that wait, as this operator may treat them."""
    caller = caller_of(request)
    desk = desk_of(request, system)
    found = await run_in_threadpool(desk.approvals.open)
    names = {operator.id: operator.name for operator in await run_in_threadpool(desk.operators.all)}
    giver = may(caller.role, "approvals.give")
    return [
        ApprovalLine(
            id=one.id.hex(),
            act=one.act,
            ref=one.ref,
            asked_by=names.get(one.asked_by, ""),
            asked_ms=one.asked_ms,
            expires_ms=one.expires_ms,
            given=len(one.given_by),
            needed=one.needed,
            state=one.state,
            may_give=giver and one.state == "asked" and caller.id != one.asked_by and caller.id not in one.given_by,
            may_refuse=one.state == "asked" and (caller.id == one.asked_by or giver),
        )
        for one in found
    ]


async def approvals_page(request: Request, system: ConsoleSystem) -> Response:
    """What waits for a second operator."""
    return page(request, "console/approvals.html", lines=await lines(request, system))


async def give(request: Request, system: ConsoleSystem) -> Response:
    """Approve."""
    return await decide(request, system, give=True)


async def refuse(request: Request, system: ConsoleSystem) -> Response:
    """Refuse, or take back what one asked."""
    return await decide(request, system, give=False)


async def decide(request: Request, system: ConsoleSystem, *, give: bool) -> Response:
    """Approve or refuse as the signed-in operator."""
    operator, approval = await operator_of(request, system), id_in(request)

    def act() -> Approval:
        approvals = desk_of(request, system).approvals
        step = approvals.give if give else approvals.refuse
        return step(approval, operator)

    await run_in_threadpool(act)
    return see_other(request, "/console/approvals")


async def approvals_card(request: Request, system: ConsoleSystem) -> Markup | None:
    """How much waits for this operator."""
    found = await lines(request, system)
    return fragment(request, "approvals.html", waiting=len(found), mine=sum(1 for line in found if line.may_give))


async def staff_card(request: Request, system: ConsoleSystem) -> Markup | None:
    """How many people can sign in, and how many were invited."""
    found = await run_in_threadpool(desk_of(request, system).operators.all)
    counts = {state: sum(1 for one in found if one.state == state) for state in ("active", "invited")}
    return fragment(request, "staff.html", counts=counts)


OWN_CARDS = (
    HomeCard("console.approvals", 10, "", approvals_card, "/console/approvals"),
    HomeCard("console.operators", 90, "operators.read", staff_card, "/console/operators"),
)


# --- staff ---


async def operators_page(request: Request, system: ConsoleSystem) -> Response:
    """Everybody who can sign in, was invited, or could once."""
    return await staff(request, system)


async def staff(
    request: Request,
    system: ConsoleSystem,
    errors: Sequence[FieldError] = (),
    status: int = 200,
    link: str = "",
    invited: str = "",
) -> Response:
    """The page of staff, with a fresh link or with what went wrong."""
    return page(
        request,
        "console/operators.html",
        status=status,
        operators=await run_in_threadpool(desk_of(request, system).operators.all),
        roles=ROLES,
        manage=may(caller_of(request).role, "operators.manage"),
        link=link,
        invited=invited,
        errors=errors,
    )


def invitation_link(request: Request, token: str) -> str:
    """Where an invitation is accepted: at the host of those who invite."""
    return f"{request.state.visit.place.url}/console/invitation/{token}"


async def invite(request: Request, system: ConsoleSystem) -> Response:
    """Invite somebody: their link is shown once, on this very answer."""
    form, by = await read_form(request), await operator_of(request, system)
    name, role = form.one("name"), form.one("role")
    try:
        token = await run_in_threadpool(desk_of(request, system).operators.invite, name, role, by)
    except Invalid as fault:
        return await staff(request, system, field_errors(fault, words_of(request)), 422)
    except Conflict:
        return await staff(request, system, [FieldError("name", text(request, "fault.taken"))], 409)
    return await staff(request, system, link=invitation_link(request, token), invited=name)


async def invite_again(request: Request, system: ConsoleSystem) -> Response:
    """A new link for somebody who lost their means of signing in."""
    by, who = await operator_of(request, system), id_in(request)
    operators = desk_of(request, system).operators
    token = await run_in_threadpool(operators.invite_again, who, by)
    invited = await run_in_threadpool(operators.get, who)
    return await staff(request, system, link=invitation_link(request, token), invited=invited.name)


async def end(request: Request, system: ConsoleSystem) -> Response:
    """Let somebody in no more."""
    by, who = await operator_of(request, system), id_in(request)
    await run_in_threadpool(desk_of(request, system).operators.end, who, by)
    return see_other(request, "/console/operators")


# --- one's own account ---


async def account_page(request: Request, system: ConsoleSystem) -> Response:
    """One's own means of signing in, and where one is signed in."""
    return await account(request, system)


async def account(
    request: Request, system: ConsoleSystem, errors: Sequence[FieldError] = (), status: int = 200, done: str = ""
) -> Response:
    """The page of one's own account, with what went wrong or what was done."""
    operator, sign_in = await operator_of(request, system), desk_of(request, system).sign_in

    def look() -> dict[str, object]:
        return {
            "passkeys": sign_in.passkey_count(operator.id),
            "password": sign_in.has_password(operator.id),
            "sessions": sign_in.session_count(operator.id),
            "question": sign_in.passkeys.ask_to_register(operator.id, operator.name),
        }

    found = await run_in_threadpool(look)
    return page(request, "console/account.html", status=status, operator=operator, errors=errors, done=done, **found)


async def change_password(request: Request, system: ConsoleSystem) -> Response:
    """Change one's own password; nobody can change another's."""
    form, operator = await read_form(request), await operator_of(request, system)
    old, new = "".join(form.get("old", [])), "".join(form.get("password", []))
    digest = caller_of(request).session
    try:
        await run_in_threadpool(desk_of(request, system).sign_in.change_password, operator, old, new, digest)
    except Invalid as fault:
        return await account(request, system, field_errors(fault, words_of(request)), 422)
    return await account(request, system, done="console.password-changed")


async def add_passkey(request: Request, system: ConsoleSystem) -> Response:
    """Add a passkey to one's own account."""
    form, operator = await read_form(request), await operator_of(request, system)
    try:
        adding = desk_of(request, system).sign_in.add_passkey
        await run_in_threadpool(adding, operator, form.one("ceremony"), form.one("answer"))
    except Unproven:
        return await account(request, system, [FieldError("", text(request, "console.passkey-refused"))], 422)
    return await account(request, system, done="console.passkey-added")


async def sessions_page(request: Request, system: ConsoleSystem) -> Response:
    """Where staff are signed in, as far as it is this operator's to see."""
    return await open_sessions(request, system)


async def open_sessions(request: Request, system: ConsoleSystem, done: str = "") -> Response:
    """The page of sessions, with what was done."""
    operator = await operator_of(request, system)
    found = await run_in_threadpool(desk_of(request, system).sign_in.open_sessions, operator)
    return page(request, "console/sessions.html", sessions=found, own=caller_of(request).session, done=done)


async def end_session(request: Request, system: ConsoleSystem) -> Response:
    """End one of them; the own one leads to the sign-in."""
    place, operator = (await read_form(request)).one("session"), await operator_of(request, system)
    ended = await run_in_threadpool(desk_of(request, system).sign_in.end_session, operator, place)
    if ended == caller_of(request).session:
        return see_other(request, SIGN_IN_PATH)
    return await open_sessions(request, system, "account.session-ended" if ended else "account.session-over")


async def end_other_sessions(request: Request, system: ConsoleSystem) -> Response:
    """Sign out everywhere else."""
    operator: Operator = await operator_of(request, system)
    await run_in_threadpool(desk_of(request, system).sign_in.end_other_sessions, operator, caller_of(request).session)
    return await account(request, system, done="console.sessions-ended")


def group(cards: Sequence[HomeCard] = OWN_CARDS) -> Group[ConsoleSystem]:
    """The console's routes and its guard. ``cards`` are shown on its home page, in their order, by scope."""
    ordered = sorted(cards, key=lambda card: (card.order, card.title_key))

    async def home(request: Request, system: ConsoleSystem) -> Response:
        role, shown = caller_of(request).role, []
        for card in ordered:
            if may(role, card.scope):
                content = await card.render(request, system)
                if content is not None:
                    shown.append(ShownCard(text(request, card.title_key), content, card.href))
        return page(request, "console/home.html", cards=shown)

    return Group(
        "console",
        [
            *ENTRANCE,
            Route("GET", "/console", home, "protect.storage", "operator"),
            Route("GET", "/console/approvals", approvals_page, "protect.storage", "operator"),
            Route("POST", "/console/approvals/{id}/give", give, "protect.storage", "operator:approvals.give"),
            Route("POST", "/console/approvals/{id}/refuse", refuse, "protect.storage", "operator"),
            Route("GET", "/console/operators", operators_page, "protect.storage", "operator:operators.read"),
            Route("POST", "/console/operators", invite, "protect.storage", "operator:operators.manage"),
            Route(
                "POST", "/console/operators/{id}/invite", invite_again, "protect.storage", "operator:operators.manage"
            ),
            Route("POST", "/console/operators/{id}/end", end, "protect.storage", "operator:operators.manage"),
            Route("GET", "/console/sessions", sessions_page, "protect.password", "operator"),
            Route("POST", "/console/sessions/end", end_session, "protect.password", "operator"),
            Route("GET", "/console/account", account_page, "protect.password", "operator"),
            Route("POST", "/console/account/password", change_password, "protect.password", "operator"),
            Route("POST", "/console/account/passkey", add_passkey, "protect.password", "operator"),
            Route("POST", "/console/account/sessions", end_other_sessions, "protect.password", "operator"),
        ],
        {"operator": operator_guard},
    )
