"""Websites under their hosts: each host its own pages, Troth's pages under all of them, and nothing for strangers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from tests.clauses.vendor import Vendor, vendor_at
from tests.web.visitor import Visitor
from troth.errors import StartRefused
from troth.web.hosting import Hosting
from troth.web.websites import views


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    """The example vendor, with its two sites."""
    with vendor_at(tmp_path_factory.mktemp("hosting") / "vendor") as found:
        yield found


def get(application: ASGIApp, host: str, path: str) -> tuple[int, str]:
    """Status and text of a page under a host."""
    with Visitor(application, base=f"http://{host}") as visitor:
        answer = visitor.request("GET", path)
    return answer.status_code, answer.text


def test_each_host_has_its_own_pages_and_troths_under_all_of_them(vendor: Vendor) -> None:
    hosting = vendor.system.hosting
    assert "Backups that you can restore" in get(hosting, "www.localhost", "/")[1]
    assert "What can we help with?" in get(hosting, "central.localhost", "/")[1]
    assert get(hosting, "central.localhost", "/shop/")[0] == 404
    for host in ("www.localhost", "central.localhost", "127.0.0.1"):
        assert get(hosting, host, "/policy")[0] == 200
        assert get(hosting, host, "/troth/choices")[0] == 200
        assert get(hosting, host, "/.well-known/gpc.json")[0] == 200
    assert "Backups that you can restore" not in get(hosting, "127.0.0.1", "/")[1]


def test_a_front_is_made_for_the_first_visitor_of_its_site_and_none_at_the_start(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = vendor.system
    with monkeypatch.context() as starting:
        for name in ("Front", "StaticFiles", "site_of"):
            starting.delattr(f"troth.web.hosting.{name}")
        hosting = Hosting(system, system.shell, system.shell.table, system.hosting.folders)
        hosting.tell()
        assert hosting.hosts == ("www.localhost", "central.localhost")
    get(hosting, "www.localhost", "/")
    get(hosting, "www.localhost", "/products/")
    assert set(hosting.fronts) == {"www.localhost"}
    front = hosting.fronts["www.localhost"]
    get(hosting, "www.localhost", "/")
    assert hosting.fronts["www.localhost"] is front, "what it counted is kept"
    assert [view.host for view in views(hosting)] == ["www.localhost", "central.localhost"]


@pytest.mark.parametrize("path", ["/../README.md", "/%2e%2e/README.md", "/assets/../../README.md", "//etc/passwd"])
def test_nothing_outside_of_the_folder_is_served(vendor: Vendor, path: str) -> None:
    status, text = get(vendor.system.hosting, "www.localhost", path)
    assert status == 404
    assert "two websites" not in text


def test_a_host_that_no_clause_names_serves_nothing(
    vendor: Vendor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "index.html").write_text("<html><body>shadow</body></html>")
    system = vendor.system
    hosting = Hosting(system, system.shell, system.shell.table, {"shadow.example.com": tmp_path})
    hosting.tell()
    assert "shadow.example.com" in caplog.text
    assert hosting.hosts == ()
    assert "shadow" not in get(hosting, "shadow.example.com", "/")[1]


def test_a_folder_that_is_not_there_is_said_at_the_start(vendor: Vendor, tmp_path: Path) -> None:
    system = vendor.system
    with pytest.raises(StartRefused, match=r"website of www\.localhost"):
        Hosting(system, system.shell, system.shell.table, {"www.localhost": tmp_path / "none"})
