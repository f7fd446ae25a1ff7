"""The example vendor's two sites as the demonstration serves them: for everybody, and loading nothing from anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.test_accessible import findings
from troth.cli.demo import EXAMPLE, served
from troth.cli.walk import Show, Stage

pytestmark = pytest.mark.browser

WWW = ["/", "/products/", "/downloads/", "/blog/", "/blog/restore-first/", "/shop/"]
CENTRAL = ["/", "/guides/"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demonstration, served."""
    with served(tmp_path_factory.mktemp("sites") / "data", 0, EXAMPLE, None, Show(quiet=True)) as found:
        yield found


@pytest.fixture(params=[(1280, "light"), (320, "dark")], ids=str)
def visitor(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    """Somebody with a wide or a narrow window."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, locale="en")
    yield context
    context.close()


def look(page: Page, address: str) -> None:
    """Open a page; nothing is asked of anybody else, nothing kept, nothing wrong with it."""
    asked: list[str] = []
    note = lambda request: asked.append(urlsplit(request.url).netloc)  # noqa: E731  # given to the browser and taken back
    page.on("request", note)
    answer = page.goto(address)
    page.wait_for_load_state("networkidle")
    page.remove_listener("request", note)
    assert answer is not None
    assert answer.status == 200
    assert set(asked) == {urlsplit(address).netloc}
    assert page.context.cookies() == []
    assert findings(page) == []
    across = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert across <= 0


def test_every_page_of_both_sites(visitor: BrowserContext, stage: Stage, tmp_path_factory: Any) -> None:
    page = visitor.new_page()
    for name, paths in (("www", WWW), ("central", CENTRAL)):
        for path in paths:
            look(page, f"http://{name}.localhost:{stage.port}{path}")
            if path in ("/", "/downloads/"):
                width = page.viewport_size["width"] if page.viewport_size else 0
                shot = f"site-{name}-{width}{path.replace('/', '-')}.png"
                page.screenshot(path=Path(tmp_path_factory.getbasetemp()) / shot)


def test_a_link_that_leads_away_is_marked_and_one_that_stays_is_not(visitor: BrowserContext, stage: Stage) -> None:
    page = visitor.new_page()
    page.goto(f"http://www.localhost:{stage.port}/downloads/")
    after = "e => getComputedStyle(e, '::after').content"
    assert "↗" in page.get_by_role("link", name="handbooks of Debian").evaluate(after)
    assert page.get_by_role("link", name="Products").evaluate(after) == "none"


def test_a_language_is_remembered_after_a_yes_and_forgotten_after_a_no(browser: Browser, stage: Stage) -> None:
    context = browser.new_context(locale="en")
    page = context.new_page()
    home = f"http://www.localhost:{stage.port}"
    page.goto(f"{home}/policy?lang=ar")
    assert context.cookies() == [], "nobody has agreed yet"
    page.goto(f"{home}/shop/")
    page.get_by_role("button", name="Accept all").click()
    page.wait_for_url(f"{home}/shop/")
    page.goto(f"{home}/policy?lang=ar")
    page.goto(f"{home}/privacy")
    assert page.locator("html").get_attribute("lang") == "ar"
    assert {c["name"]: c["value"] for c in context.cookies()}["troth_language"] == "ar"
    page.goto(f"{home}/shop/")
    page.get_by_role("link", name="Privacy choices").click()
    page.get_by_role("button", name="Refuse all").click()
    page.wait_for_load_state()
    assert [c["name"] for c in context.cookies()] == ["troth_choice"]
    page.goto(f"{home}/privacy")
    assert page.locator("html").get_attribute("lang") == "en"
    context.close()
