"""``/api/v1`` for the vendor's own products: say that an account exists, and ask before using data or writing.

A product proves itself by its key in the Authorization header. Clause: ``purpose.provide``. Mechanism:
``product.ask``. The client that products embed is ``troth.client``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Forbidden, Unproven
from troth.use.activity import MOST_TOKEN, Reported, Signed
from troth.use.products import MOST_REFERENCE, REFERENCE_PATTERN, Asked, Decided, Product, Registered
from troth.use.suppressions import SuppressionsAsked, SuppressionsTold
from troth.web.bodies import json_answer, read_json
from troth.web.person import tenant_of
from troth.web.routes import Caller, Group, Limit, Route, Schema

if TYPE_CHECKING:
    from troth.web.running import Running

REFERENCE: Schema = {"type": "string", "minLength": 1, "maxLength": MOST_REFERENCE, "pattern": f"^{REFERENCE_PATTERN}$"}

CHECKS = Limit(120, 60)


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said of an account: whether it is in use, or has ended."""

    active: bool = True


async def product(request: Request, system: Running, detail: str) -> Caller:
    """The product behind the key in ``Authorization: Bearer …``; ``Forbidden`` where it lacks the route's scope."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Unproven("send the product's key as Authorization: Bearer …")
    found = await run_in_threadpool(system.products.prove, key.strip(), tenant_of(request))
    if detail and detail not in found.scopes:
        raise Forbidden("this product's key does not cover this")
    request.state.product = found
    return Caller("product", found.id, found.actor, name=found.name, scopes=found.scopes)


async def put_subject(request: Request, system: Running) -> Response:
    """Say that an account exists and is in use, or that it has ended."""
    asking: Product = request.state.product
    body = await read_json(request, Account)
    reference = str(request.path_params["reference"])
    done = await run_in_threadpool(system.products.register, asking, reference, active=body.active)
    return json_answer(done, 201 if done.created else 200)


async def post_decision(request: Request, system: Running) -> Response:
    """Answer a question; its ledger entry is durable before the answer leaves."""
    asking: Product = request.state.product
    asked = await read_json(request, Asked)
    return json_answer(await system.products.adecide(asking, asked))


async def post_activity(request: Request, system: Running) -> Response:
    """Take a signed report of use; an entry for each use is durable before the answer leaves."""
    asking: Product = request.state.product
    told = await read_json(request, Signed)
    return json_answer(await run_in_threadpool(system.activities.report, asking, told.signed))


async def post_suppressions(request: Request, system: Running) -> Response:
    """Say of each address whether it may be written to. Nothing of the question is kept."""
    asking: Product = request.state.product
    asked = await read_json(request, SuppressionsAsked)
    return json_answer(await run_in_threadpool(system.suppressions.check, asking.tenant, asked))


GROUP: Group[Running] = Group(
    "products",
    [
        Route(
            "PUT",
            "/api/v1/subjects/{reference:path}",
            put_subject,
            "purpose.provide",
            "product:subjects",
            "api",
            summary="Say that an account exists and is in use, or has ended",
            request=Account,
            response=Registered,
            statuses={200: "It was known", 201: "It is new here"},
            params={"reference": REFERENCE},
        ),
        Route(
            "POST",
            "/api/v1/decisions",
            post_decision,
            "purpose.provide",
            "product:decisions",
            "api",
            summary="Ask whether fields of an account may be used for a purpose",
            request=Asked,
            response=Decided,
            statuses={200: "The answer, allowed or not"},
        ),
        Route(
            "POST",
            "/api/v1/activity",
            post_activity,
            "retain.while-used",
            "product:subjects",
            "api",
            summary="Report that accounts are used, in signed events of declared kinds",
            request=Signed,
            response=Reported,
            statuses={200: "Taken: how many events counted, and as what"},
            body=MOST_TOKEN + 1024,
        ),
        Route(
            "POST",
            "/api/v1/suppressions/check",
            post_suppressions,
            "rights.object-marketing",
            "product:suppressions",
            "api",
            summary="Ask which addresses may be written to",
            request=SuppressionsAsked,
            response=SuppressionsTold,
            statuses={200: "For each address, in the order asked"},
            limit=CHECKS,
            body=256 * 1024,
        ),
    ],
    guards={"product": product},
)
