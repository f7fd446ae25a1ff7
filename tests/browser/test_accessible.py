"""Every page passes axe, wide and narrow, light and dark, from left to right and from right to left (scope.accessible).

Screenshots go to ``artefacts/gallery`` for people to look at, when TROTH_GALLERY says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # the package has no types
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Serve
from tests.browser.pages import CONSOLE, Company, gallery_app
from tests.use.staff import Staff
from tests.web.gallery import SAMPLES

pytestmark = pytest.mark.browser

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
LOOKS = [
    ("en", 1280, "light"),
    ("ar", 320, "dark"),
    pytest.param(("ar", 1280, "light"), marks=pytest.mark.full),
    pytest.param(("en", 320, "light"), marks=pytest.mark.full),
    pytest.param(("en", 1280, "dark"), marks=pytest.mark.full),
]
GALLERY = Path(__file__).parents[2] / "artefacts" / "gallery"


@pytest.fixture(params=LOOKS, ids=str)
def look(request: pytest.FixtureRequest, browser: Browser) -> Iterator[tuple[Page, str, str]]:
    """A page in one language, width and colour scheme."""
    language, width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    yield context.new_page(), language, f"{language}-{width}-{scheme}"
    context.close()


@pytest.fixture(scope="module")
def gallery(serve: Serve) -> str:
    """The gallery's URL."""
    return serve(gallery_app)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[tuple[str, str, str]]:
    """The console's URL, an administrator's cookie, and an open invitation."""
    staff = Staff(tmp_path_factory.mktemp("company") / "troth")
    made: list[Company] = []

    def make(url: str) -> Any:
        made.append(Company(staff, url))
        return made[0].app()

    url = serve(make)
    ada = made[0].at_work()
    invitation = staff.operators.invite("bea", "auditor", ada.operator)
    yield url, ada.cookie, invitation
    staff.close()


def findings(page: Page) -> list[str]:
    """What axe finds, as readable lines."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]


def check(page: Page, address: str, name: str, errors: list[str]) -> list[str]:
    """Open a page, look at it, and say what is wrong with it."""
    page.goto(address)
    if os.environ.get("TROTH_GALLERY"):
        GALLERY.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(GALLERY / f"{name}.png"), full_page=True)
    wrong = [f"{name}: {one}" for one in findings(page)]
    across = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if across > 0:
        wrong.append(f"{name}: {across} pixels wider than the window")
    wrong += [f"{name}: {error}" for error in errors]
    errors.clear()
    return wrong


def listen(page: Page) -> list[str]:
    """Collects what the browser complains of: a blocked style or script, a missing file."""
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


def test_axe_finds_nothing_on_any_page(look: tuple[Page, str, str], gallery: str) -> None:
    page, language, name = look
    errors, wrong = listen(page), []
    for sample in SAMPLES:
        wrong += check(page, f"{gallery}/gallery/{sample}?lang={language}", f"{sample}-{name}", errors)
    assert wrong == []


def test_axe_finds_nothing_in_the_console(look: tuple[Page, str, str], company: tuple[str, str, str]) -> None:
    page, language, name = look
    url, cookie, invitation = company
    errors, wrong = listen(page), []
    for path in ("/console/sign-in", f"/console/invitation/{invitation}"):
        wrong += check(page, f"{url}{path}?lang={language}", f"console-{path.split('/')[2]}-{name}", errors)
    page.context.add_cookies([{"name": "troth_console", "value": cookie, "url": url}])
    for path in CONSOLE:
        wrong += check(page, f"{url}{path}?lang={language}", f"{path.strip('/').replace('/', '-')}-{name}", errors)
        assert page.url.startswith(f"{url}{path}"), "signed in"
    assert wrong == []


@pytest.mark.parametrize(
    "spoil",
    [
        "document.querySelector('label').remove()",
        "document.documentElement.removeAttribute('lang')",
        "document.querySelector('main p').style.color = '#ddd'",
        "document.querySelector('button').textContent = ''",
    ],
)
def test_a_spoilt_page_would_be_found(browser: Browser, gallery: str, spoil: str) -> None:
    page = browser.new_page()
    page.goto(f"{gallery}/gallery/newsletter")
    assert findings(page) == []
    page.evaluate(spoil)
    assert findings(page) != []
    page.close()


def test_everything_can_be_reached_and_seen_with_the_keyboard_alone(browser: Browser, gallery: str) -> None:
    page = browser.new_page()
    page.goto(f"{gallery}/gallery/newsletter")
    reached: list[str] = []
    outlined: list[str] = []
    for _ in range(20):
        page.keyboard.press("Tab")
        name, ring = page.evaluate(
            "[document.activeElement.name || document.activeElement.textContent.trim().slice(0, 30),"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        if reached and name == reached[0]:
            break
        reached.append(name)
        outlined.append(ring)
    page.close()
    assert reached[0] == "Skip to content"
    order = [reached.index(name) for name in ("name", "email", "consent", "Subscribe")]
    assert order == sorted(order)
    assert set(outlined[: order[-1] + 1]) == {"solid"}


def test_the_fault_in_a_form_is_where_the_keyboard_is(browser: Browser, gallery: str) -> None:
    page = browser.new_page()
    page.goto(f"{gallery}/gallery/registration-faulty")
    assert page.evaluate("document.activeElement.className") == "summary"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.name") == "last_name"
    page.close()


def test_pages_work_without_scripts_cookies_or_other_hosts(browser: Browser, gallery: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    elsewhere = []
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(gallery) else None)
    for sample in SAMPLES:
        answer = page.goto(f"{gallery}/gallery/{sample}")
        assert answer is not None
        assert answer.status == 200
        assert page.locator("h1").is_visible()
    assert elsewhere == []
    assert context.cookies() == []
    context.close()


def test_the_page_prints_without_its_furniture(browser: Browser, gallery: str) -> None:
    page = browser.new_page()
    page.goto(f"{gallery}/gallery/policy")
    page.emulate_media(media="print")
    assert not page.locator(".top nav").is_visible()
    assert page.locator("h1").is_visible()
    page.close()


def test_forced_colours_keep_the_marks(browser: Browser, gallery: str) -> None:
    context = browser.new_context(forced_colors="active")
    page = context.new_page()
    page.goto(f"{gallery}/gallery/board")
    assert page.evaluate("getComputedStyle(document.querySelector('.status')).borderTopWidth") == "1px"
    context.close()
