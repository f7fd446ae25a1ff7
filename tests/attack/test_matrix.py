"""Every endpoint x every caller x somebody else's things: no access, no hint. And what must be noticed is noticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal
from unittest.mock import patch

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.attack.matrix import Matrix
from tests.attack.world import build
from tests.clauses.vendor import TENANT, vendor_at
from troth.cli.setting import TENANTS
from troth.errors import NotFound
from troth.web.bodies import json_answer
from troth.web.routes import Route, RouteTable

PLACES = [
    (TENANT, TENANT),
    ("harbour", "mill"),
    (TENANT, "harbour"),
    pytest.param(("mill", TENANT), marks=pytest.mark.full),
]


@pytest.fixture(scope="module", params=PLACES)
def any_matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """The same at the host of one tenant, with all that is another's."""
    here, there = request.param
    with vendor_at(tmp_path_factory.mktemp("matrix") / "vendor", tenants=TENANTS) as vendor:
        made = Matrix(build(vendor, here=here, there=there))
        yield made
        made.close()


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """A system with everybody in it, and what asks it."""
    with vendor_at(tmp_path_factory.mktemp("matrix") / "vendor") as vendor:
        made = Matrix(build(vendor))
        yield made
        made.close()


def test_nobody_gets_further_than_they_may_and_nobody_is_told_of(any_matrix: Matrix) -> None:
    assert list(any_matrix.faults()) == []


@pytest.fixture
def spoiled(matrix: Matrix) -> Iterator[Callable[..., Iterator[str]]]:
    """Faults of the same system with one route put in another's place, or added."""
    table = matrix.shell.table

    def spoil(method: Literal["GET", "POST"], path: str, **changes: Any) -> Iterator[str]:
        found = [route for route in table.routes if (route.method, route.path) == (method, path)]
        others = [route for route in table.routes if route not in found]
        made = [dataclasses.replace(route, **changes) for route in found] or [Route(method, path, **changes)]
        matrix.shell.table = RouteTable([*made, *others])
        return Matrix.faults(matrix)

    yield spoil
    matrix.shell.table = table


async def telling(request: Request, system: Any) -> Response:
    """Says more about what is there than about what is not."""
    entry = request.path_params["entry"]
    rows = system.store.read(lambda c: c.exec_driver_sql("SELECT eid FROM ledger").scalars().all())
    if bytes.fromhex(entry) in {bytes(row) for row in rows}:
        raise NotFound("this receipt is somebody else's")
    raise NotFound("there is no such receipt")


async def repeating(request: Request, system: Any) -> Response:
    """Repeats what it was asked by."""
    raise NotFound(f"there is no receipt {request.path_params['entry']}")


async def slow(request: Request, system: Any) -> Response:
    """Says the same of both, and works longer on what is there."""
    entry = bytes.fromhex(request.path_params["entry"])
    rows = system.store.read(lambda c: c.exec_driver_sql("SELECT eid FROM ledger").scalars().all())
    if entry in {bytes(row) for row in rows}:
        system.store.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM ledger").scalar())
    raise NotFound("there is no such receipt")


async def everybody(request: Request, system: Any) -> Response:
    """Answers whoever comes."""
    return json_answer({})


@pytest.mark.parametrize(
    ("method", "path", "changes", "told"),
    [
        ("GET", "/privacy/receipts", {"scope": "public", "handler": everybody}, ["GET /privacy/receipts for nobody"]),
        ("GET", "/console/operators", {"scope": "operator"}, ["GET /console/operators for support"]),
        ("GET", "/privacy/erase", {"scope": "person"}, ["GET /privacy/erase for password"]),
        ("GET", "/receipts/{entry}", {"handler": telling}, ["for link, entry"]),
        ("GET", "/receipts/{entry}", {"handler": repeating}, ["repeats what was asked"]),
        ("GET", "/receipts/{entry}", {"handler": slow}, ["other work"]),
        (
            "GET",
            "/privacy/new/{thing}",
            {"handler": everybody, "clause": "rights.access"},
            ["GET /privacy/new/{thing}: who may come", "what does thing name"],
        ),
        ("POST", "/privacy/new", {"handler": everybody, "clause": "rights.access"}, ["what does its form hold"]),
        ("GET", "/new", {"handler": everybody, "clause": "x.y", "scope": "operator:new"}, ["GET /new: who may come"]),
    ],
)
def test_sabotage(
    spoiled: Callable[..., Iterator[str]], method: str, path: str, changes: dict[str, Any], told: list[str]
) -> None:
    found = spoiled(method, path, **changes)
    for part in told:
        assert any(part in fault for fault in found), part  # in this order


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """One tenant's host, and everybody of another tenant at it."""
    with vendor_at(tmp_path_factory.mktemp("apart") / "vendor", tenants=TENANTS) as vendor:
        made = Matrix(build(vendor, here="harbour", there="mill"))
        yield made
        made.close()


@pytest.mark.parametrize(
    ("part", "name", "told"),
    [
        ("requests", "session", "POST /privacy/leave for ben"),
        ("products", "prove", "POST /api/v1/decisions for stranger-product"),
        ("confirmation", "look", "GET /confirm/{token} for nobody, token:confirm"),
        ("requests", "look", "GET /privacy/open/{token} for nobody, token:centre"),
        ("addresses", "look", "GET /account/address/stop/{token} for nobody, token:address-stop"),
        ("handovers", "look", "GET /privacy/handover/{token} for nobody, token:handover"),
    ],
)
def test_sabotage_what_does_not_look_at_the_tenant_is_noticed(apart: Matrix, part: str, name: str, told: str) -> None:
    of = getattr(apart.system, part)
    kept = getattr(of, name)
    with patch.object(of, name, lambda *about: kept(*about[:-1])):  # the tenant is what comes last
        assert any(fault.startswith(told) for fault in apart.faults())


def test_sabotage_one_desk_for_all_staff_is_noticed(apart: Matrix) -> None:
    everybodys = apart.system.desks["mill"]
    with patch.object(apart.system, "desk", lambda tenant: everybodys):
        wanted = "POST /console/sign-out for stranger-administrator"
        assert any(fault.startswith(wanted) for fault in apart.faults())
