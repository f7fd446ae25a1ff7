"""OpenAPI 3.1 from the route table: what is dispatched is what is documented, schemas of the policy included.

The document is made for the policy in force: declaring a field changes it. Clause ``scope.closed-list``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from troth.policy.model import CompiledPolicy
from troth.web.problems import PROBLEM, Problem
from troth.web.routes import Route, Schema

REFS = "#/components/schemas/{name}"
SECURITY = {
    "product": {"type": "http", "scheme": "bearer", "description": "A product's key"},
    "operator": {"type": "apiKey", "in": "cookie", "name": "troth_console", "description": "An operator's session"},
    "person": {
        "type": "apiKey",
        "in": "cookie",
        "name": "troth_session",
        "description": "A person's own privacy centre",
    },
}
REFUSALS = {
    400: "The request is malformed",
    401: "The caller has not shown who they are",
    403: "The policy, the role or the origin does not permit this",
    404: "There is nothing here, or nothing that this caller may know of",
    405: "This address does not take this method",
    408: "The request did not arrive in time",
    409: "This contradicts what is recorded",
    413: "The body is too large",
    415: "This kind of body is not read",
    422: "The body does not have the declared shape, or holds what no clause declares",
    429: "Too many requests",
    431: "The headers are too large",
    500: "A fault inside, known by its incident number",
    503: "Too busy, or the ledger cannot be written: nothing was read or written",
}


def document(policy: CompiledPolicy, routes: Iterable[Route[Any]], *, title: str, url: str) -> Schema:
    """The OpenAPI 3.1 document of the ``api`` routes under ``policy``."""
    chosen = [route for route in routes if route.kind == "api"]
    types = {kind for route in chosen for kind in (route.request, route.response) if is_struct(kind)}
    ordered = [Problem, *sorted(types, key=lambda kind: str(kind))]
    schemas, components = msgspec.json.schema_components(ordered, ref_template=REFS)
    by_type = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in chosen:
        path = template_path(route.path)
        paths.setdefault(path, {})[route.method.lower()] = operation(route, policy, by_type)
    used = {route.guarded for route in chosen if route.guarded}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": policy.version,
            "x-policy": policy.policy,
            "x-policy-sha256": policy.sha256,
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {name: scheme for name, scheme in SECURITY.items() if name in used},
        },
    }


def is_struct(kind: Any) -> bool:
    """True for a type that msgspec describes; callables are schemas that the policy declares."""
    return kind is not None and not isinstance(kind, dict) and (isinstance(kind, type) or hasattr(kind, "__origin__"))


def template_path(path: str) -> str:
    """Starlette's ``{name:convertor}`` as OpenAPI's ``{name}``."""
    parts = []
    for part in path.split("/"):
        parts.append("{" + part[1:-1].partition(":")[0] + "}" if part.startswith("{") else part)
    return "/".join(parts)


def operation(route: Route[Any], policy: CompiledPolicy, by_type: dict[Any, Schema]) -> Schema:
    """One method of one path."""
    made: Schema = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [route.clause.partition(".")[0]],
        "x-clause": route.clause,
        "responses": responses(route, policy, by_type),
    }
    parameters = [
        *(parameter(name, "path", schema, required=True) for name, schema in path_schemas(route).items()),
        *(parameter(name, "query", schema) for name, schema in route.query.items()),
        *(parameter(name, "header", schema) for name, schema in route.headers.items()),
    ]
    if parameters:
        made["parameters"] = parameters
    if route.request is not None:
        schema = schema_for(route.request, policy, by_type)
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if route.guarded:
        made["security"] = [{route.guarded: []}]
    return made


def operation_id(route: Route[Any]) -> str:
    """A stable name: the method and the path's words."""
    words = [word.strip("{}").partition(":")[0] for word in route.path.split("/") if word]
    return "-".join([route.method.lower(), *words]).replace(".", "-")


def path_schemas(route: Route[Any]) -> dict[str, Schema]:
    """A schema for every path parameter: declared, or any non-empty string."""
    names = [part[1:-1].partition(":")[0] for part in route.path.split("/") if part.startswith("{")]
    return {name: dict(route.params.get(name, {"type": "string", "minLength": 1})) for name in names}


def parameter(name: str, place: str, schema: Schema, *, required: bool = False) -> Schema:
    """One parameter; ``required`` may stand inside the schema of a query or header parameter."""
    schema = dict(schema)
    wanted = bool(schema.pop("required", required)) or required
    return {"name": name, "in": place, "required": wanted, "schema": schema}


def schema_for(kind: Any, policy: CompiledPolicy, by_type: dict[Any, Schema]) -> Schema:
    """The schema of a request or response: a Struct's, a literal one, or what the policy declares."""
    if is_struct(kind):
        return by_type[kind]
    return dict(kind) if isinstance(kind, dict) else dict(kind(policy))


def responses(route: Route[Any], policy: CompiledPolicy, by_type: dict[Any, Schema]) -> Schema:
    """Every status that this route can answer: its own, and the refusals that follow from what it is."""
    found: Schema = {}
    for status, words in route.statuses.items():
        entry: Schema = {"description": words}
        if status < 400:
            if route.response is not None and status != 204:
                entry["content"] = {route.media: {"schema": schema_for(route.response, policy, by_type)}}
        else:
            entry["content"] = {PROBLEM: {"schema": by_type[Problem]}}
            if status in route.telling:
                entry["content"][route.media] = {"schema": schema_for(route.response, policy, by_type)}
        found[str(status)] = entry
    for status in refusals(route):
        found.setdefault(
            str(status), {"description": REFUSALS[status], "content": {PROBLEM: {"schema": by_type[Problem]}}}
        )
    return dict(sorted(found.items()))


def refusals(route: Route[Any]) -> Sequence[int]:
    """The refusals that this route can give, whatever its handler does."""
    statuses = [400, 405, 431, 500, 503]
    if route.guarded:
        statuses += [401, 403]
    if "{" in route.path or route.scope == "local":
        statuses.append(404)
    if route.changes:
        statuses += [403, 408, 409, 413]
    if route.request is not None:
        statuses += [415, 422]
    if route.query or route.headers or route.params:
        statuses.append(422)
    if route.limit is not None:
        statuses.append(429)
    return sorted(set(statuses))
