"""``/api/v1`` for the vendor's own pages: the policy's points, submissions, links to one's centre, the board.

Requests are checked against schemas that the policy in force declares: declaring a field changes the interface, and
an undeclared one is refused with the clause it would need. Clauses: ``scope.closed-list``, ``consent.at-submission``.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from troth.collect.forms import clean, is_email, json_schema, point_of
from troth.collect.intake import Accepted, Submission, only_by_consent
from troth.errors import Denied, Invalid, NotFound, Undeclared
from troth.notice.shown import notice_for
from troth.policy.model import CompiledPolicy, Point
from troth.store import Idempotency
from troth.web.bodies import faults_of, json_answer, read_json, read_raw_json
from troth.web.person import tenant_of
from troth.web.routes import Group, Limit, Route, Schema

if TYPE_CHECKING:
    from troth.web.running import Running

KEY: Schema = {"type": "string", "minLength": 8, "maxLength": 200, "pattern": "^[\\x21-\\x7e]+$"}
IS_KEY = re.compile("[\\x21-\\x7e]{8,200}")
LANGUAGE: Schema = {"type": "string", "minLength": 2, "maxLength": 12, "pattern": "^[A-Za-z-]+$"}
IS_LANGUAGE = re.compile("[A-Za-z-]{2,12}")
ADDRESS: Schema = {"type": "string", "maxLength": 254, "format": "email"}
SENDING = Limit(60, 60)
ASKING = Limit(10, 60)


class PolicyFacts(msgspec.Struct, frozen=True):
    """The version in force."""

    policy: str
    version: str
    effective: str
    sha256: str
    points: tuple[str, ...]


class LinkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose link to send."""

    email: Annotated[str, msgspec.Meta(extra_json_schema=ADDRESS)]
    language: Annotated[str, msgspec.Meta(extra_json_schema=LANGUAGE)] = "en"


class LinkAsked(msgspec.Struct, frozen=True):
    """The same answer for every address."""

    entry: str
    at: int


def open_points(policy: CompiledPolicy) -> list[Point]:
    """The points that take submissions from people: those with a mailed confirmation."""
    return [point for point in policy.points.values() if f"{point.id}.confirm" in policy.templates]


def submission_schema(policy: CompiledPolicy) -> Schema:
    """What ``POST /api/v1/submissions`` takes under this version: one alternative per collection point."""
    return {"oneOf": [point_schema(point) for point in open_points(policy)] or [False]}


def point_schema(point: Point) -> Schema:
    """A submission to one point."""
    consents: Schema = {"type": "array", "maxItems": 0}
    if point.consent:
        consents = {"type": "array", "maxItems": 1, "items": {"const": point.consent.id}}
    required = ["point", "surface", "values"]
    if only_by_consent(point):
        required.append("consents")
        consents["minItems"] = 1
    return {
        "type": "object",
        "title": point.id,
        "additionalProperties": False,
        "required": required,
        "properties": {
            "point": {"const": point.id},
            "surface": {"enum": sorted(point.surfaces)},
            "values": json_schema(point),
            "consents": consents,
            "version": {"type": "string", "description": "the version that was shown"},
            "notice": {"type": "string", "description": "the hash of the notice that was shown"},
            "language": LANGUAGE,
        },
    }


def facts_schema(policy: CompiledPolicy) -> Schema:
    """What describes one collection point."""
    return {
        "type": "object",
        "required": ["point", "clause", "version", "notice", "schema", "uses"],
        "properties": {
            "point": {"enum": [point.id for point in open_points(policy)]},
            "clause": {"type": "string"},
            "version": {"const": policy.version},
            "notice": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "ask": {"type": ["string", "null"]},
            "consent": {"type": ["string", "null"]},
            "schema": {"type": "object"},
            "uses": {"type": "array", "items": {"type": "object"}},
        },
    }


async def policy_facts(request: Request, system: Running) -> Response:
    """The version in force, by its hash."""
    policy = system.policy
    points = tuple(point.id for point in open_points(policy))
    return json_answer(PolicyFacts(policy.policy, policy.version, policy.effective, policy.sha256, points))


async def point_facts(request: Request, system: Running) -> Response:
    """One collection point: its schema, and the notice that must be shown beside whatever form is made of it."""
    policy = system.policy
    point = point_of(policy, request.path_params["point"])
    notice = notice_for(policy, point)
    return json_answer(
        {
            "point": point.id,
            "clause": point.clause,
            "version": policy.version,
            "notice": notice.sha256,
            "ask": notice.ask,
            "consent": point.consent.id if point.consent else None,
            "schema": json_schema(point),
            "uses": msgspec.to_builtins(notice.lines),
        }
    )


async def submit(request: Request, system: Running) -> Response:
    """Take a submission in. With an Idempotency-Key, a repetition gives the first answer again."""
    body = await read_raw_json(request)
    if not isinstance(body, dict):
        raise Invalid("the body does not have the declared shape", gaps=("/: must be an object",))
    try:
        point = point_of(system.policy, str(body.get("point", "")))
    except NotFound as unknown:  # the address is right, what is sent is not
        raise Undeclared(unknown.detail, clause=unknown.clause, gaps=("/point: not declared",)) from None
    values = body.get("values")
    submission_values: dict[str, Any] = values if isinstance(values, dict) else {}
    with system.intake.counting(tenant_of(request), point.id):
        clean(point, submission_values)  # an undeclared field is more than a misfit: it names the clause it would need
        faults = faults_of(body, point_schema(point))
        if faults:
            raise Invalid("the body does not have the declared shape", gaps=faults)
        check_place(request, body["surface"])
    submission = Submission(
        tenant=tenant_of(request),
        surface=body["surface"],
        point=point.id,
        values=submission_values,
        language=body.get("language", "en"),
        control="api",
        version=body.get("version"),
        notice=body.get("notice"),
        consents=frozenset(body.get("consents", ())),
    )
    accepted = await system.intake.accept(submission, idempotency(request, body, f"submissions/{tenant_of(request)}"))
    return json_answer(accepted, 201)


def check_place(request: Request, surface: str) -> None:
    """``Denied`` where a tenant's host is sent what belongs to a surface that is not the tenant's."""
    here = request.state.visit.place.surface
    if here and surface != here:
        raise Denied(
            "this host takes submissions of its own surface and of no other",
            clause="scope.services",
            gaps=(f"surface:{surface}",),
        )


def idempotency(request: Request, body: Any, scope: str) -> Idempotency | None:
    """The caller's key and the request's hash, or None where no key was sent. In another ``scope`` it is another."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not IS_KEY.fullmatch(given[0]):
        raise Invalid(
            "an idempotency key is sent once and has 8 to 200 visible ASCII characters",
            gaps=("Idempotency-Key: 8 to 200 visible ASCII characters, once",),
        )
    content = msgspec.json.encode(body, order="sorted")
    return Idempotency(
        scope,
        hashlib.sha256(given[0].encode()).digest(),
        hashlib.sha256(content).digest(),
    )


async def ask_link(request: Request, system: Running) -> Response:
    """Send a person the link to their own centre. Known and unknown addresses get the same answer."""
    asked = await read_json(request, LinkRequest)
    if not is_email(asked.email):
        raise Invalid("this is no e-mail address", gaps=("/email: email",))
    if not IS_LANGUAGE.fullmatch(asked.language):
        raise Invalid("this names no language", gaps=("/language: pattern",))
    answer = await system.requests.ask(tenant_of(request), asked.email, asked.language)
    return json_answer(LinkAsked(answer.entry, answer.at), 202)


async def board(request: Request, system: Running) -> Response:
    """The clause board."""
    found = await system.board()
    return json_answer([msgspec.to_builtins(row) for row in found.rows])


BOARD_SCHEMA: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["clause", "status", "entries", "reason"],
        "properties": {
            "clause": {"type": "string"},
            "status": {"enum": ["PASS", "FAIL", "NOT EXERCISED", "NOT ENFORCED", "TEXT ONLY"]},
            "entries": {"type": "integer"},
            "reason": {"type": "string"},
            "last_ms": {"type": ["integer", "null"]},
            "said": {
                "type": "array",
                "description": "the reason by key and values, for whoever shows it in another language",
                "items": {"type": "object", "properties": {"key": {"type": "string"}, "values": {"type": "object"}}},
            },
            "mechanisms": {"type": "array", "items": {"type": "string"}},
        },
    },
}

GROUP: Group[Running] = Group(
    "api",
    [
        Route(
            "GET",
            "/api/v1/policy",
            policy_facts,
            "changes.publish",
            kind="api",
            summary="The version in force",
            response=PolicyFacts,
        ),
        Route(
            "GET",
            "/api/v1/points/{point}",
            point_facts,
            "consent.at-submission",
            kind="api",
            summary="A collection point: schema and notice",
            response=facts_schema,
        ),
        Route(
            "POST",
            "/api/v1/submissions",
            submit,
            "consent.at-submission",
            kind="api",
            limit=SENDING,
            summary="Send a submission",
            request=submission_schema,
            response=Accepted,
            statuses={201: "Taken in, durable, with its ledger entry"},
            headers={"Idempotency-Key": KEY},
        ),
        Route(
            "POST",
            "/api/v1/rights/links",
            ask_link,
            "rights.proof",
            kind="api",
            limit=ASKING,
            summary="Send the link to a person's own centre",
            request=LinkRequest,
            response=LinkAsked,
            statuses={202: "Taken in; the answer is the same for every address"},
        ),
        Route(
            "GET",
            "/api/v1/board",
            board,
            "scope.compliance",
            kind="api",
            summary="The clause board",
            response=BOARD_SCHEMA,
        ),
    ],
)
