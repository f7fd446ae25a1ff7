"""``/api/v1/rights/requests``: a product files a request for its user, and follows it. Clause: ``rights.proof``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.policy.model import CompiledPolicy
from troth.rights.filing import Filed, Filing
from troth.rights.register import BEHALF
from troth.use.products import MOST_REFERENCE, Product
from troth.web.api import KEY, LANGUAGE, SENDING, idempotency
from troth.web.bodies import json_answer, read_json
from troth.web.routes import Group, Route, Schema

if TYPE_CHECKING:
    from troth.web.running import Running

CLAUSE = "rights.proof"
NUMBER: Schema = {"type": "string", "minLength": 32, "maxLength": 32, "pattern": "^[0-9a-f]{32}$"}


def filing_schema(policy: CompiledPolicy) -> Schema:
    """What a request for a user holds under this version: the rights are those that the policy grants."""
    return {
        "type": "object",
        "title": "Filing",
        "additionalProperties": False,
        "required": ["reference", "kind"],
        "properties": {
            "reference": {"type": "string", "minLength": 1, "maxLength": MOST_REFERENCE},
            "kind": {"enum": sorted(policy.rights)},
            "on_behalf": {"enum": [*BEHALF, None], "description": "who asks for the user; null: they do themselves"},
            "language": LANGUAGE | {"description": "of the letters about it"},
        },
    }


async def post_request(request: Request, system: Running) -> Response:
    """Take down what a user asked for in the product; with an Idempotency-Key, a repetition gives the first answer."""
    asking: Product = request.state.product
    asked = await read_json(request, Filing)
    key = idempotency(request, asked, f"requests/{asking.id.hex()}")
    return json_answer(await run_in_threadpool(system.filings.file, asking, asked, key), 201)


async def get_request(request: Request, system: Running) -> Response:
    """How a request stands that this product filed."""
    asking: Product = request.state.product
    return json_answer(await run_in_threadpool(system.filings.follow, asking, request.path_params["request"]))


GROUP: Group[Running] = Group(
    "filing",
    [
        Route(
            "POST",
            "/api/v1/rights/requests",
            post_request,
            CLAUSE,
            "product:rights",
            "api",
            summary="File a request for the user of an account",
            request=filing_schema,
            response=Filed,
            statuses={201: "Taken down; the same right that waits already is the same request"},
            headers={"Idempotency-Key": KEY},
            limit=SENDING,
        ),
        Route(
            "GET",
            "/api/v1/rights/requests/{request}",
            get_request,
            CLAUSE,
            "product:rights",
            "api",
            summary="How a request stands that this product filed",
            response=Filed,
            params={"request": NUMBER},
        ),
    ],
)
