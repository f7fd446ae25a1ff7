"""The page that lists what runs by itself, for everybody, and for a person with what they were sent.

Clauses: ``rights.automated``, ``rights.decisions``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.policy.model import CompiledPolicy
from troth.use.automations import Automation, Told, automations, decisions, sent_to
from troth.web.pages import page, text
from troth.web.person import session_of
from troth.web.public import words_of
from troth.web.routes import Group, Route

if TYPE_CHECKING:
    from troth.web.running import Running

PUBLIC, OWN = "/policy/automated", "/privacy/automated"
CLAUSE = "rights.automated"


@dataclass(frozen=True)
class AutomationView:
    """One line of the list. ``told`` is what the person who looks was sent of it."""

    id: str
    subject: str
    kind: str
    sets_off: str
    fields: str
    purpose: str
    stop: str
    clause: str
    told: Told | None = None


async def public(request: Request, system: Running) -> Response:
    """What runs by itself."""
    return listing(request, {})


async def own(request: Request, system: Running) -> Response:
    """The same, with what I was sent."""
    session = session_of(request)
    told = await run_in_threadpool(
        system.store.read, lambda connection: sent_to(connection, session.tenant, session.sid)
    )
    return listing(request, told)


def listing(request: Request, told: dict[str, Told]) -> Response:
    """The page, in the name of whoever answers at this host."""
    policy = request.state.visit.policy
    shown = [view(request, policy, one, told.get(one.id)) for one in automations(policy)]
    name = "privacy/automated.html" if request.state.visit.path.startswith("/privacy") else "automated.html"
    return page(request, name, automations=shown, decisions=decisions(policy))


def view(request: Request, policy: CompiledPolicy, one: Automation, told: Told | None) -> AutomationView:
    """One line, in the reader's words."""
    words = words_of(request)
    key = f"mail.{one.id}.subject"
    subject = words.catalogue.words(key, words.language) if words.catalogue.has(key) else one.id
    return AutomationView(
        one.id,
        filled(subject, policy.controller.name),
        text(request, f"automated.kind-{one.kind}"),
        text(request, f"sets-off.{one.id}") if words.catalogue.has(f"sets-off.{one.id}") else one.trigger,
        words.listed([words.label(name) for name in one.fields]),
        words.named("purpose", one.purpose),
        text(request, f"automated.stop-{one.stop}"),
        one.clause,
        told,
    )


def filled(subject: str, controller: str) -> str:
    """A letter's subject with our name in it, and an ellipsis where each person's own value would stand."""
    said = subject.replace("{controller}", controller)
    while "{" in said and "}" in said[said.index("{") :]:
        begin = said.index("{")
        said = said[:begin] + "…" + said[said.index("}", begin) + 1 :]
    return said


GROUP: Group[Running] = Group(
    "automated",
    [
        Route("GET", PUBLIC, public, CLAUSE, summary="What runs by itself"),
        Route("GET", OWN, own, CLAUSE, "person", summary="What runs by itself, and what I was sent"),
    ],
)
