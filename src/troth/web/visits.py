"""``/t.js``, and what a browser that agreed to be recognised can see and end: its own page, without any account.

Clauses: ``collect.navigation``, ``cookies.returning-visit``, ``consent.withdraw``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import NotFound
from troth.policy.choices import VISITOR, choices
from troth.rights.access import as_json
from troth.web import cookies
from troth.web.pages import page, see_other
from troth.web.person import tenant_of
from troth.web.routes import Group, Limit, Route
from troth.web.static import FOLDER, KINDS

if TYPE_CHECKING:
    from troth.web.running import Running

AN_HOUR = "public, max-age=3600"
LOOKING = Limit(30, 60)
SHOWN = 200  # lines of a history on its page: the newest; the file has all


@lru_cache(maxsize=1)
def tag() -> bytes:
    """The built tag."""
    return (FOLDER / "t.js").read_bytes()


async def serve_tag(request: Request, system: Running) -> Response:
    """The script that says which page was visited."""
    return Response(tag(), 200, {"cache-control": AN_HOUR}, KINDS[".js"])


def token_of(request: Request, system: Running) -> str | None:
    """The visitor's cookie; none at the host of a tenant, for whom nobody is recognised."""
    if tenant_of(request) != system.visits.tenant:
        return None
    return cookies.read(request, VISITOR, tls=request.state.visit.tls)


async def look(request: Request, system: Running) -> Response:
    """What is remembered of this browser."""
    token = token_of(request, system)
    copy = await run_in_threadpool(system.visitors.history, token) if token else None
    lines = sorted(
        (line for record in copy.records for values in record.values.values() for line in values) if copy else (),
        reverse=True,
    )
    answer = page(
        request,
        "privacy/visits.html",
        lines=[(line[:19], line[20:]) for line in lines[:SHOWN]],
        more=max(len(lines) - SHOWN, 0),
        words=[str(consent["dpv:hasNotice"]["troth:words"]) for consent in copy.consents] if copy else [],
        until=max((record.until or 0 for record in copy.records), default=0) if copy else 0,
        entry=copy.entry if copy else "",
        known=copy is not None,
        done="done" in request.query_params,
    )
    answer.headers["cache-control"] = "no-store"
    return answer


async def take(request: Request, system: Running) -> Response:
    """The same as a file."""
    token = token_of(request, system)
    copy = await run_in_threadpool(system.visitors.history, token) if token else None
    if copy is None:
        raise NotFound("nothing is remembered of this browser", clause="collect.navigation")
    headers = {"cache-control": "no-store", "content-disposition": 'attachment; filename="visits.json"'}
    return Response(as_json(copy), 200, headers, "application/json")


async def end(request: Request, system: Running) -> Response:
    """Take the yes back: what was remembered is erased, and this browser is recognised no more."""
    token = token_of(request, system)
    if token:
        await run_in_threadpool(system.visitors.withdraw, token)
    answer = see_other(request, "/privacy/visits?done=1")
    tls = request.state.visit.tls
    cookies.drop(answer, VISITOR, tls=tls)
    asked, rules = choices(system.policy), system.visits.rules()
    if asked.cookie and rules is not None and rules.ask is not None:
        chosen = asked.read(cookies.read(request, asked.cookie, tls=tls))
        if chosen.decided:
            left = chosen.granted - {rules.ask.purpose}
            cookies.put(answer, system.policy, asked.cookie, asked.value(left), tls=tls, seconds=asked.seconds)
    return answer


GROUP: Group[Running] = Group(
    "visits",
    [
        Route("GET", "/t.js", serve_tag, "collect.navigation", kind="file", cache=AN_HOUR),
        Route("GET", "/privacy/visits", look, "collect.navigation", limit=LOOKING),
        Route("GET", "/privacy/visits.json", take, "collect.navigation", kind="file", limit=LOOKING),
        Route("POST", "/privacy/visits/end", end, "consent.withdraw", limit=LOOKING),
    ],
)
