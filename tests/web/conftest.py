"""A standing vendor and a visitor for the tests of the web."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.web import gallery, vendor
from tests.web.visitor import Visitor
from troth.web.app import build
from troth.web.routes import Group

Open = Callable[..., Visitor]


@pytest.fixture
def system() -> vendor.Standing:
    """The standing vendor."""
    return vendor.Standing()


@pytest.fixture
def visit(system: vendor.Standing) -> Iterator[Open]:
    """``visit(*groups)``: an application over the vendor with these route groups, and a visitor to it."""
    visitors = []

    def start(*groups: Group[vendor.Standing], address: str = "127.0.0.1") -> Visitor:
        visitor = Visitor(build(system, [gallery.GROUP, *groups]), address=address)
        visitors.append(visitor)
        return visitor

    yield start
    for visitor in visitors:
        visitor.close()
