"""The console's page about websites: what browsers said they stopped is counted, written so that nothing of it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attack.world import host_of, member
from tests.clauses.vendor import TENANT, Vendor, vendor_at
from tests.web.visitor import Visitor
from troth.cli.setting import TENANTS
from troth.web.app import build
from troth.web.routes import Group, Route
from troth.web.websites import show, views

PIXEL = {
    "document-uri": "http://www.localhost/shop/<b>?who=ann",
    "effective-directive": "img-src",
    "blocked-uri": "https://ads.example.net/pixel",
}


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """The vendor, after one report and two stripped cookies."""
    with vendor_at(tmp_path / "vendor", tenants=TENANTS) as found:
        with Visitor(found.system.hosting, base="http://www.localhost") as guest:
            sent = guest.request("POST", "/troth/report", content=json.dumps({"csp-report": PIXEL}).encode())
        assert sent.status_code == 204
        found.system.hosting.fronts["www.localhost"].stripped["undeclared"] += 2
        yield found


def test_what_was_reported_and_stripped_is_counted(vendor: Vendor) -> None:
    www = next(view for view in views(vendor.system.hosting) if view.host == "www.localhost")
    found = [(hint.path, hint.directive, hint.blocked, count) for hint, count in www.hints]
    assert found == [("/shop/<b>", "img-src", "https://ads.example.net", 1)]
    assert (www.enforced, www.stripped) == (True, [("undeclared", 2)])


@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_page_shows_it(vendor: Vendor, language: str) -> None:
    look: Group[Any] = Group("look", [Route("GET", "/look", show, "scope.third-party")])
    with Visitor(build(vendor.system, [look])) as staff:
        page = staff.request("GET", f"/look?lang={language}")
    assert page.status_code == 200
    assert "/shop/&lt;b&gt;" in page.text
    assert "https://ads.example.net" in page.text
    assert "central.localhost" in page.text


def test_nobody_else_sees_it(vendor: Vendor) -> None:
    with Visitor(vendor.system.hosting, base="http://www.localhost") as guest:
        answer = guest.request("GET", "/console/websites")
    assert answer.status_code == 401
    assert "ads.example.net" not in answer.text


@pytest.mark.parametrize(("tenant", "shown"), [(TENANT, True), ("mill", False)])
def test_a_tenants_staff_are_told_nothing_of_our_websites(vendor: Vendor, tenant: str, shown: bool) -> None:
    staff, _ = member(vendor, "ada", "administrator", tenant=tenant)
    with Visitor(vendor.system.shell, base=f"http://{host_of(vendor, tenant)}") as browser:
        page = browser.request("GET", "/console/websites", headers=staff.headers)
    assert page.status_code == 200
    assert ("ads.example.net" in page.text) is shown
    assert ("No website is served here." in page.text) is not shown
