"""A visitor at a website behind the front, in a real browser: nothing of others is loaded without a yes.

The other site is a real one on another origin that writes down what is asked of it. In the control the same page is
served without the front, and everything loads: so the zeros mean something.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser.conftest import FLAGS, Serve
from tests.browser.elsewhere import KINDS, WORKER, Elsewhere, elsewhere, everything
from tests.browser.test_accessible import findings
from tests.client.shop import policy
from troth.client.website import ASGI
from troth.policy.choices import choices
from troth.policy.site import Site, site_of

pytestmark = pytest.mark.browser

FRAMES_AND_IMAGES = frozenset(
    {"iframe", "by-iframe", "image", "by-image", "background", "preload", "svg-image", "by-srcdoc"}
    | {"prefetch", "by-prefetch"}  # CSP Level 3, 6.1.2: what any directive allows may be prefetched
)
ORIGIN_ONLY = {"iframe", "by-iframe", "object", "embed"}  # of a frame browsers report the origin, not the address


@dataclass
class Shop:
    """The vendor's site: ``url`` behind the front, ``bare`` without it."""

    other: Elsewhere
    site: Site
    url: str = ""
    bare: str = ""
    reports: list[dict[str, Any]] = field(default_factory=list)

    def pages(self) -> Starlette:
        """The application itself, which knows nothing of any of this and tries to set cookies."""

        async def page(request: Request) -> Response:
            html = everything(self.other.url) if request.url.path == "/everything" else PLAIN
            response = HTMLResponse(html, headers={"cache-control": "public, max-age=600", "etag": '"1"'})
            response.set_cookie("_tracker", "1234567890123456789012")
            return response

        async def worker(request: Request) -> Response:
            return Response(WORKER, media_type="text/javascript", headers={"cache-control": "public, max-age=600"})

        names = ["/", "/everything", "/products", "/search"]
        return Starlette(routes=[*(Route(name, page) for name in names), Route("/worker.js", worker)])

    def behind(self) -> Callable[..., Any]:
        """The application behind the front; what browsers report is read on its way in."""
        front = ASGI(self.pages(), lambda: self.site)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            async def listening() -> Any:
                message = await receive()
                if scope.get("path") == "/troth/report" and message.get("body"):
                    self.reports.append(json.loads(message["body"])["csp-report"])
                return message

            await front(scope, listening, send)

        return application


PLAIN = (
    "<!doctype html><html lang='en'><head><title>Shop</title>"
    "<meta name='viewport' content='width=device-width, initial-scale=1'></head>"
    "<body><main><h1>Shop</h1><p>Backups for everybody.</p><p><a href='/products'>Products</a></p></main></body></html>"
)


@pytest.fixture(scope="module")
def shop(serve: Serve) -> Iterator[Shop]:
    """The vendor's site and the other one."""
    with elsewhere() as other:
        made = Shop(other, site_of(policy(other.url)))
        made.url = serve(lambda _: made.behind())
        made.bare = serve(lambda _: made.pages())
        yield made


@pytest.fixture
def visitor(browser: Browser, shop: Shop) -> Iterator[BrowserContext]:
    """Somebody with a browser of their own."""
    shop.other.forget()
    shop.reports.clear()
    context = browser.new_context()
    context.set_default_timeout(20_000)
    yield context
    context.close()


def kept(page: Page) -> list[str]:
    """Everything that the site has left in this browser, but for cookies."""
    return page.evaluate(  # type: ignore[no-any-return]  # a list of strings by what it does
        """async () => [...Object.keys(localStorage), ...Object.keys(sessionStorage),
        ...(await indexedDB.databases()).map(d => d.name), ...(await caches.keys()),
        ...(await navigator.serviceWorker.getRegistrations()).map(r => r.scope)]"""
    )


def seen(shop: Shop) -> set[str]:
    """The kinds that were stopped, by what browsers reported."""
    return {r["blocked-uri"].rsplit("/", 1)[-1].split("?")[0].rsplit(".", 1)[0] for r in shop.reports}


def open_everything(page: Page, shop: Shop) -> frozenset[str]:
    """Open the page that loads everything, wait until each kind was loaded or stopped; what was loaded."""
    shop.other.forget()
    shop.reports.clear()
    page.goto(f"{shop.url}/everything")
    return settled(page, shop)


def settled(page: Page, shop: Shop) -> frozenset[str]:
    """Wait until each kind was loaded or reported as stopped; what was loaded."""
    page.wait_for_function("window.done === true")
    page.wait_for_load_state("networkidle")
    return shop.other.asked


def answer(page: Page, button: str) -> None:
    """Click one of the banner's answers."""
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_load_state()


def test_without_the_front_every_kind_loads(visitor: BrowserContext, shop: Shop) -> None:
    page = visitor.new_page()
    page.goto(f"{shop.bare}/everything")
    assert shop.other.wait(KINDS) == KINDS


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_the_first_visit_leaves_nothing_and_asks_nobody_else(browser: Browser, shop: Shop, scripts: bool) -> None:
    shop.other.forget()
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{shop.url}/")
    page.wait_for_load_state("networkidle")
    assert page.get_by_role("button", name="Refuse all").is_visible()
    assert context.cookies() == []
    assert [url for url in asked if not url.startswith(shop.url + "/")] == []
    if scripts:
        assert kept(page) == []
    page.goto(f"{shop.url}/everything")
    page.wait_for_load_state("networkidle")
    assert shop.other.asked == frozenset()
    assert context.cookies() == []
    context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_after_a_no_there_is_one_cookie_the_same_for_everybody(browser: Browser, shop: Shop, scripts: bool) -> None:
    values = []
    for _ in range(2):
        context = browser.new_context(java_script_enabled=scripts)
        page = context.new_page()
        page.goto(f"{shop.url}/products")
        answer(page, "Refuse all")
        assert page.url == f"{shop.url}/products"
        assert page.get_by_role("button", name="Refuse all").count() == 0
        assert page.get_by_role("link", name="Privacy choices").is_visible()
        (cookie,) = context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("troth_choice", True, "Lax")
        values.append(cookie["value"])
        context.close()
    assert values == [shop.site.choices.value(())] * 2


def test_before_an_answer_and_after_a_no_nothing_is_loaded_and_each_kind_is_reported(
    visitor: BrowserContext, shop: Shop
) -> None:
    page = visitor.new_page()
    assert open_everything(page, shop) == frozenset()
    answer(page, "Refuse all")
    assert open_everything(page, shop) == frozenset()
    assert seen(shop) >= KINDS - ORIGIN_ONLY
    whole = [r["effective-directive"] for r in shop.reports if r["blocked-uri"] == shop.other.url]
    assert {"frame-src", "object-src"} <= set(whole)  # alike ones are reported once


def test_after_a_partial_yes_exactly_what_it_allows_is_loaded(visitor: BrowserContext, shop: Shop) -> None:
    page = visitor.new_page()
    page.goto(f"{shop.url}/")
    page.get_by_text("Choose one by one").click()
    page.get_by_label("Yes, show me videos.").check()
    answer(page, "Save these choices")
    assert open_everything(page, shop) == FRAMES_AND_IMAGES
    assert {c["name"] for c in visitor.cookies(shop.url)} == {"troth_choice"}


def test_what_was_taken_back_is_not_loaded_any_more(visitor: BrowserContext, shop: Shop) -> None:
    page = visitor.new_page()
    page.goto(f"{shop.url}/products")
    answer(page, "Accept all")
    assert open_everything(page, shop) == FRAMES_AND_IMAGES
    page.goto(f"{shop.url}/products")
    page.get_by_role("link", name="Privacy choices").click()
    answer(page, "Refuse all")
    assert [c["name"] for c in visitor.cookies(shop.url)] == ["troth_choice"]
    shop.other.forget()
    assert open_everything(page, shop) == frozenset()
    page.reload()
    assert settled(page, shop) == frozenset()
    page.goto(f"{shop.url}/products")
    page.go_back()
    assert settled(page, shop) == frozenset()
    for _ in range(4):  # back to the page that had loaded everything
        page.go_back()
        page.wait_for_load_state("networkidle")
    assert shop.other.asked == frozenset()
    second = visitor.new_page()
    assert open_everything(second, shop) == frozenset()


def test_what_was_taken_back_is_not_loaded_on_a_second_visit_nor_by_a_tab_that_was_open(
    browser: Browser, shop: Shop, tmp_path: Path
) -> None:
    """The same browser profile on disk, with its cache, closed and opened again."""
    path = shutil.which("chromium")

    def opened() -> BrowserContext:
        return browser.browser_type.launch_persistent_context(str(tmp_path), executable_path=path, args=FLAGS)

    visit = opened()
    page, tab = visit.new_page(), visit.new_page()
    page.goto(f"{shop.url}/products")
    answer(page, "Accept all")
    assert open_everything(tab, shop) == FRAMES_AND_IMAGES
    page.get_by_role("link", name="Privacy choices").click()
    answer(page, "Refuse all")
    shop.other.forget()
    assert tab.locator("h1").inner_text() == "Everything", "a tab that was open keeps what it loaded"
    tab.reload()
    assert settled(tab, shop) == frozenset(), "until it is loaded anew"
    page.evaluate("location.href = '/everything'")
    page.wait_for_url(f"{shop.url}/everything")
    assert settled(page, shop) == frozenset(), "nor where a link leads"
    visit.close()
    visit = opened()
    page = visit.new_page()
    assert open_everything(page, shop) == frozenset()
    assert page.get_by_role("button", name="Refuse all").count() == 0, "and nothing is asked again"
    visit.close()


def test_the_signal_asks_nothing_and_loads_nothing(browser: Browser, shop: Shop) -> None:
    context = browser.new_context(extra_http_headers={"Sec-GPC": "1"})
    page = context.new_page()
    assert open_everything(page, shop) == frozenset()
    assert page.get_by_role("button", name="Refuse all").count() == 0
    assert page.get_by_role("link", name="Privacy choices: your browser's signal is honoured").is_visible()
    assert context.cookies() == []
    context.close()


LOOKS = [
    ("en", 1280, "light", "none"),
    ("ar", 320, "dark", "none"),
    ("en", 320, "light", "active"),
    pytest.param(("ar", 1280, "light", "none"), marks=pytest.mark.full),
    pytest.param(("en", 320, "dark", "none"), marks=pytest.mark.full),
    pytest.param(("en", 1280, "dark", "active"), marks=pytest.mark.full),
]


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_banner_and_choices_are_for_everybody(
    browser: Browser, shop: Shop, look: tuple[str, int, Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    language, width, scheme, forced = look
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, forced_colors=forced, locale=language
    )
    page = context.new_page()
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(l => { for (const e of l.getEntries())"
        " if (!e.hadRecentInput) window.shift += e.value })"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    for path, name in (("/", "banner"), ("/troth/choices", "choices")):
        page.goto(shop.url + path)
        page.wait_for_load_state("networkidle")
        if name == "banner":
            page.locator("summary").click()
        assert findings(page) == []
        across = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert across <= 0, "nothing stands outside of a narrow window"
        assert page.evaluate("window.shift") == 0
        page.screenshot(path=tmp_path_factory.getbasetemp() / f"{name}-{language}-{width}-{scheme}-{forced}.png")
    context.close()


def test_both_answers_have_the_same_weight_and_a_keyboard_reaches_them_first(
    visitor: BrowserContext, shop: Shop
) -> None:
    page = visitor.new_page()
    page.goto(f"{shop.url}/products")
    refuse, accept = (page.get_by_role("button", name=name) for name in ("Refuse all", "Accept all"))
    look = "e => (s => [s.color, s.backgroundColor, s.fontSize, s.fontWeight, s.border])(getComputedStyle(e))"
    assert refuse.evaluate(look) == accept.evaluate(look)
    one, other = refuse.bounding_box(), accept.bounding_box()
    assert one is not None
    assert other is not None
    assert (one["width"], one["height"], one["y"]) == (other["width"], other["height"], other["y"])
    assert one["height"] >= 24
    names = []
    for _ in range(3):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent"))
    assert names == ["Privacy policy", "Refuse all", "Accept all"]
    page.keyboard.press("Shift+Tab")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url == f"{shop.url}/products"
    assert page.get_by_role("button", name="Refuse all").count() == 0


def test_a_theme_in_the_sites_own_style_sheet_is_obeyed(visitor: BrowserContext, shop: Shop) -> None:
    page = visitor.new_page()
    colour = "e => getComputedStyle(e).backgroundColor"
    for path in ("/products", "/troth/choices"):
        page.goto(shop.url + path)
        page.add_style_tag(content=":root { --troth-button: rgb(1, 2, 3) }")  # in the head: before the question
        assert page.get_by_role("button", name="Refuse all").evaluate(colour) == "rgb(1, 2, 3)"


def test_with_cookies_blocked_the_question_covers_nothing_and_every_page_reads_the_same(
    browser: Browser, shop: Shop, tmp_path: Path
) -> None:
    (tmp_path / "Default").mkdir()
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(blocked))
    path = shutil.which("chromium")
    context = browser.browser_type.launch_persistent_context(str(tmp_path), executable_path=path, args=FLAGS)
    page = context.new_page()
    page.goto(f"{shop.url}/")
    answer(page, "Refuse all")
    assert context.cookies() == [], "the browser took none"
    assert page.get_by_role("button", name="Refuse all").is_visible(), "nothing could be remembered"
    box, heading = page.locator(".troth-banner").bounding_box(), page.get_by_role("heading", name="Shop").bounding_box()
    assert box is not None
    assert heading is not None
    assert box["y"] + box["height"] <= heading["y"]
    assert page.locator("main").inner_text() == "Shop\n\nBackups for everybody.\n\nProducts"
    context.close()


def test_the_flag_is_one_of_the_values_that_the_policy_enumerates(shop: Shop) -> None:
    found = choices(policy(shop.other.url))
    assert found.values() == shop.site.cookies["troth_choice"].choices
