"""The example vendor's own public pages, served by the whole system, pass axe; and nothing loads from elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Serve
from tests.browser.test_accessible import check, listen
from troth.config import Config
from troth.vault.provider import FileProvider
from troth.web.running import Running, start
from troth.world import SystemRandomness

pytestmark = pytest.mark.browser

POLICY = Path(__file__).parents[2] / "policies" / "example" / "policy.md"
PAGES = (
    "/",
    "/policy",
    "/policy/versions",
    "/policy/clauses/collect.newsletter",
    "/forms/newsletter",
    "/forms/registration",
    "/sent",
    "/privacy",
    "/evidence",
    "/evidence/verify",
)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[str]:
    """The example vendor's URL."""
    folder = tmp_path_factory.mktemp("vendor")
    shutil.copy(POLICY, folder / "policy.md")
    config = Config(data_folder=str(folder), demonstration=True)
    key = config.path(config.root_key)
    key.parent.mkdir(parents=True)
    FileProvider.create(key, SystemRandomness())
    running: list[Running] = []

    def make(url: str) -> object:
        running.append(start(msgspec.structs.replace(config, base_url=url)))
        return running[0].shell

    yield serve(make)
    running[0].close()


@pytest.mark.parametrize(("language", "width", "scheme"), [("en", 1280, "light"), ("ar", 320, "dark")])
def test_axe_finds_nothing_on_the_vendors_pages(
    browser: Browser, vendor: str, language: str, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    errors, wrong = listen(page), []
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(vendor) else None)
    for path in PAGES:
        name = "vendor-" + (path.strip("/").replace("/", "-") or "home")
        wrong += check(page, f"{vendor}{path}?lang={language}", f"{name}-{language}-{width}-{scheme}", errors)
    assert wrong == []
    assert elsewhere == []
    assert context.cookies() == []
    context.close()


def test_a_form_is_sent_without_scripts_and_leads_on(browser: Browser, vendor: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{vendor}/forms/newsletter")
    page.get_by_role("button", name="Subscribe").click()
    assert page.get_by_role("alert").is_visible()
    assert page.title().startswith("Please check:")
    page.get_by_label("Name").fill("Ann Lee")
    page.get_by_label("E-mail address").fill("ann.lee@example.org")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Subscribe").click()
    page.wait_for_url(f"{vendor}/sent")
    assert page.get_by_role("heading", name="Please look at your mail").is_visible()
    context.close()
