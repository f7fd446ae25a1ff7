"""The document of the interface: written from the route table, true to it, and changed by the policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.web import vendor
from tests.web.conftest import Open
from tests.web.vendor import Standing
from troth.policy.model import CompiledPolicy, Field
from troth.web.openapi import document, operation_id, template_path
from troth.web.routes import Caller, Group, Limit, Route, Schema


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked."""

    purpose: str
    fields: list[str] = []


class Answer(msgspec.Struct):
    """What is answered."""

    allowed: bool
    question: Question


async def nothing(request: Request, system: Standing) -> Response:
    return Response()


async def product(request: Request, system: Standing, detail: str) -> Caller:
    return Caller("product", b"\2" * 16, "product:02")


def newsletter(policy: CompiledPolicy) -> Schema:
    """The fields that the policy declares."""
    point = policy.points["newsletter"]
    return {
        "type": "object",
        "properties": {field.name: {"type": "string"} for field in point.fields},
        "additionalProperties": False,
    }


GROUP: Group[Standing] = Group(
    "api",
    [
        Route(
            "POST",
            "/api/v1/decisions",
            nothing,
            "purpose.basis",
            "product:ask",
            "api",
            request=Question,
            response=Answer,
            summary="May these fields be used?",
        ),
        Route("POST", "/api/v1/points/newsletter", nothing, "collect.newsletter", kind="api", request=newsletter),
        Route(
            "PUT",
            "/api/v1/subjects/{reference}",
            nothing,
            "scope.closed-list",
            "product",
            "api",
            params={"reference": {"type": "string", "maxLength": 80}},
            query={"dry": {"type": "boolean"}},
            headers={"idempotency-key": {"type": "string", "required": True}},
            statuses={204: "Stored"},
            limit=Limit(5, 60),
        ),
        Route("GET", "/page", nothing, "scope.readable"),
    ],
    {"product": product},
)


@pytest.fixture
def made() -> dict[str, Any]:
    """The document of these routes."""
    return document(vendor.POLICY, GROUP.routes, title="Example", url="https://example.org")


def responses(made: Mapping[str, Any], path: str, method: str) -> set[str]:
    return set(made["paths"][path][method]["responses"])


def test_the_document_holds_the_interface_and_nothing_else(made: dict[str, Any]) -> None:
    assert set(made["paths"]) == {
        "/api/v1/decisions",
        "/api/v1/points/newsletter",
        "/api/v1/subjects/{reference}",
    }
    assert made["openapi"] == "3.1.0"
    assert made["info"]["version"] == vendor.POLICY.version


def test_every_operation_names_its_clause(made: dict[str, Any]) -> None:
    for methods in made["paths"].values():
        for one in methods.values():
            assert "." in one["x-clause"]
            assert one["operationId"]


def test_structs_become_schemas_that_hold_what_they_hold(made: dict[str, Any]) -> None:
    decide = made["paths"]["/api/v1/decisions"]["post"]
    assert decide["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Question"}
    schema = made["components"]["schemas"]["Question"]
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid({"purpose": "x"})
    assert not validator.is_valid({"purpose": "x", "more": 1})


def test_a_field_added_to_the_policy_is_a_field_of_the_interface(made: dict[str, Any]) -> None:
    point = vendor.NEWSLETTER
    more = msgspec.structs.replace(point, fields=(*point.fields, Field("country", "user.location.country")))
    policy = msgspec.structs.replace(vendor.POLICY, points={"newsletter": more})
    changed = document(policy, GROUP.routes, title="Example", url="https://example.org")

    def fields(made: Mapping[str, Any]) -> set[str]:
        body = made["paths"]["/api/v1/points/newsletter"]["post"]["requestBody"]
        return set(body["content"]["application/json"]["schema"]["properties"])

    assert fields(changed) - fields(made) == {"country"}


def test_refusals_follow_from_what_a_route_is(made: dict[str, Any]) -> None:
    asked = responses(made, "/api/v1/decisions", "post")
    assert {"200", "401", "403", "405", "409", "413", "415", "422", "500", "503"} <= asked
    assert "429" not in asked
    put = responses(made, "/api/v1/subjects/{reference}", "put")
    assert {"204", "404", "422", "429"} <= put
    assert "415" not in put
    anybody = responses(made, "/api/v1/points/newsletter", "post")
    assert "401" not in anybody
    problem = made["paths"]["/api/v1/decisions"]["post"]["responses"]["403"]["content"]
    assert set(problem) == {"application/problem+json"}


def test_parameters_say_where_they_stand(made: dict[str, Any]) -> None:
    found = made["paths"]["/api/v1/subjects/{reference}"]["put"]["parameters"]
    assert [(one["name"], one["in"], one["required"]) for one in found] == [
        ("reference", "path", True),
        ("dry", "query", False),
        ("idempotency-key", "header", True),
    ]
    assert made["components"]["securitySchemes"]["product"]["scheme"] == "bearer"


def test_the_document_is_served_and_lists_itself(visit: Open) -> None:
    answer = visit(GROUP).get("/api/v1/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    paths = answer.json()["paths"]
    assert {"/health", "/api/v1/openapi.json", "/api/v1/decisions"} <= set(paths)
    assert "/page" not in paths


def test_every_reference_leads_somewhere(visit: Open) -> None:
    made = visit(GROUP).get("/api/v1/openapi.json").json()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"].removeprefix("#/components/schemas/") in made["components"]["schemas"]
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(made)


def test_names_and_paths_are_spelled_as_the_standard_wants() -> None:
    route = Route("GET", "/api/v1/openapi.json", nothing, "x.y")
    assert operation_id(route) == "get-api-v1-openapi-json"
    assert template_path("/evidence/{name:path}") == "/evidence/{name}"


def test_operation_ids_are_unique(visit: Open) -> None:
    made = visit(GROUP).get("/api/v1/openapi.json").json()
    found = [one["operationId"] for methods in made["paths"].values() for one in methods.values()]
    assert len(found) == len(set(found))
