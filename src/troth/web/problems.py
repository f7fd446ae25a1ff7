"""Errors as answers: RFC 9457 problem+json for programs, the same facts as a page for people.

A refusal of Troth's own keeps its words: they name clauses and fields, never values. Anything else is a fault of
ours: the caller gets an incident number, the log gets the number, the kind of fault and the places in the code,
and never the fault's message, which may hold what somebody typed. People read the catalogue's words for the kind of
refusal, and for the clause that refuses where it has any; the English detail is for programs.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import NotAllowed, TrothError
from troth.web.routes import Route

if TYPE_CHECKING:
    from troth.web.catalogue import Catalogue

PROBLEM = "application/problem+json"
TYPE_BASE = "/problems/"

log = logging.getLogger("troth.web")


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457's members, and what Troth adds: the clause that refuses, what is missing, the incident's number."""

    type: str
    title: str
    status: int
    detail: str = ""
    clause: str = ""
    gaps: tuple[str, ...] = ()
    incident: str = ""


class Incident(TrothError):
    """A fault of ours, known to the outside by its number only."""

    code = "internal"

    def __init__(self, number: str) -> None:
        super().__init__("The fault is ours and was noted. If you write to us, this number helps to find it.")
        self.number = number


def record(fault: BaseException) -> Incident:
    """Log an unexpected fault by number, kind and places; returns what the caller is told."""
    number = secrets.token_hex(4)
    places = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}"
        for frame in traceback.extract_tb(fault.__traceback__)[-8:]
    ]
    log.error("incident %s: %s at %s", number, type(fault).__name__, " < ".join(reversed(places)))
    return Incident(number)


def problem(error: TrothError) -> Problem:
    """The error as RFC 9457 members."""
    return Problem(
        type=TYPE_BASE + error.code,
        title=error.title,
        status=error.status,
        detail=error.detail,
        clause=error.clause or "",
        gaps=error.gaps,
        incident=error.number if isinstance(error, Incident) else "",
    )


def extra_headers(error: TrothError) -> dict[str, str]:
    """The headers that go with this refusal: Allow, Retry-After, WWW-Authenticate."""
    if isinstance(error, NotAllowed):
        return {"allow": ", ".join(error.methods)}
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        return {"retry-after": str(retry_after)}
    if error.status == 401:
        return {"www-authenticate": "Bearer"}
    return {}


class ShownGap(NamedTuple):
    """What is missing, for people: a name of the policy's or the form's own, and the catalogue's words about it."""

    name: str
    key: str


def shown_gap(catalogue: Catalogue, gap: str) -> ShownGap:
    """A gap without its English: the place it names, and the catalogue's key of what is wrong there, if it has one.

    ``/email: required`` has both; ``operators:2`` is a name; ``/: is not valid UTF-8`` has neither.
    """
    name, separated, rule = gap.partition(": ")
    key = f"fault.{rule}"
    return ShownGap(name.strip("/"), key if separated and catalogue.has(key) else "")


def wants_page(request: Request, route: Route[Any] | None) -> bool:
    """True where a person is looking: an HTML page is answered rather than problem+json."""
    if route is not None and route.kind == "api":
        return False
    return "text/html" in request.headers.get("accept", "")


def answer(request: Request, route: Route[Any] | None, error: TrothError) -> Response:
    """The error as this caller reads it best."""
    headers = extra_headers(error)
    if wants_page(request, route):
        from troth.web.pages import page

        headers.pop("www-authenticate", None)
        catalogue = request.state.visit.pages.catalogue
        special = f"error.{error.code}.at.{error.clause}"
        made = page(
            request,
            "error.html",
            status=error.status,
            problem=problem(error),
            text_key=special if catalogue.has(special) else f"error.{error.code}.text",
            gaps=[gap for gap in (shown_gap(catalogue, gap) for gap in error.gaps) if gap.name or gap.key],
        )
        made.headers.update(headers)
        return made
    return Response(msgspec.json.encode(problem(error)), error.status, headers, PROBLEM)
