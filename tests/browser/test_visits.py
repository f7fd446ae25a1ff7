"""The tag in a real browser on a site with a strict policy of its own; figures as staff and visitors see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.test_accessible import LOOKS, findings
from tests.clauses.vendor import Vendor, vendor_at
from tests.collect.visits.days import fill
from tests.collect.visits.door import BROWSER
from tests.use.staff import PHRASE
from troth.policy.choices import choices
from troth.store.tables import ledger, visit_cells, visit_counts
from troth.use import totp
from troth.web.running import Running

pytestmark = pytest.mark.browser

STRICT = b"default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'"
PAGE = b"""<!doctype html><html lang="en"><title>%s</title><script src="/t.js" defer></script>
<a id="away" href="http://other.example.net/x?y=1">away</a> <a id="file" href="/site/setup.zip" download>file</a>
<a id="next" href="/site/next">next</a></html>"""


class Site:
    """A site of the vendor's own in front of Troth, as a reverse proxy would join them."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/site"):
            await self.inner(scope, receive, send)
            return
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", STRICT)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE % scope["path"].encode()})


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    """A vendor with five weeks of visits behind it."""
    with vendor_at(tmp_path_factory.mktemp("visits") / "vendor") as found:
        fill(found.system, found.clock, 35, 400)
        yield found


@pytest.fixture(scope="module")
def url(vendor: Vendor, serve: Callable[..., str]) -> str:
    return serve(lambda _: Site(vendor.system.app))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(user_agent=BROWSER)
    yield made
    made.close()


def cells(system: Running) -> Mapping[tuple[str, str], int]:
    """(dimension, value) -> views, of today."""
    today = system.analytics.today()
    statement = visit_cells.join(visit_counts, visit_cells.c.id == visit_counts.c.cell).select()
    rows = system.store.read(lambda c: c.execute(statement.where(visit_counts.c.day == today)).all())
    return {(row.dimension, row.value): row.views for row in rows}


def told(page: Page, act: Callable[[], object]) -> dict[str, Any]:
    """What the tag says when this is done, as it arrives."""
    with page.expect_response(lambda answer: answer.url.endswith("/c")) as found:
        act()
    assert found.value.status == 204
    said = found.value.request.post_data_json
    assert isinstance(said, dict)
    return said


def choose(page: Page, url: str, answer: str) -> None:
    """Answer the questions on the page of choices."""
    page.goto(url + "/troth/choices")
    page.click(f"button[value={answer}]")


def test_the_tag_says_pages_and_nothing_that_points_at_somebody(
    vendor: Vendor, url: str, context: BrowserContext
) -> None:
    page = context.new_page()
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(url) else None)
    first = "/site/welcome/ann%40example.org?utm_source=spring&utm_medium=mail&gclid=abc&email=ann@example.org#frag"
    assert told(page, lambda: page.goto(url + first)) == {"page": "/site/welcome/…", "campaign": "spring / mail"}
    assert told(page, lambda: page.evaluate("history.pushState({}, '', '/site/part/two?q=1')")) == {
        "page": "/site/part/two"
    }
    assert told(page, lambda: page.evaluate("history.back()"))["page"] == "/site/welcome/…"
    assert told(page, lambda: page.evaluate("troth('signup')")) == {"page": "/site/welcome/…", "event": "signup"}
    away = "document.getElementById('away').addEventListener('click', e => e.preventDefault())"
    page.evaluate(away)
    assert told(page, lambda: page.click("#away")) == {
        "page": "/site/welcome/…",
        "event": "outbound:other.example.net",
    }
    assert told(page, lambda: page.click("#file"))["event"] == "download:/site/setup.zip"
    assert told(page, lambda: page.click("#next")) == {"page": "/site/next"}  # our own host is no referrer
    assert elsewhere == []
    assert context.cookies() == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert cells(vendor.system)["page", "/site/part/two"] == 1


def test_a_page_from_elsewhere_names_its_host_and_a_page_brought_back_counts_again(
    url: str, context: BrowserContext
) -> None:
    page = context.new_page()
    said = told(page, lambda: page.goto(url + "/site/landing", referer="http://news.example.org/article?id=7"))
    assert said == {"page": "/site/landing", "referrer": "news.example.org"}
    back = "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
    assert told(page, lambda: page.evaluate(back)) == {"page": "/site/landing"}


def test_after_a_yes_the_browser_has_a_history_of_its_own_and_can_end_it(
    vendor: Vendor, url: str, context: BrowserContext, tmp_path: Path
) -> None:
    asked = choices(vendor.system.policy)
    page = context.new_page()
    choose(page, url, "all")
    told(page, lambda: page.goto(url + "/site/first"))
    told(page, lambda: page.goto(url + "/site/second"))
    [visitor] = [cookie for cookie in context.cookies() if cookie["name"] == "troth_visitor"]
    assert (visitor["httpOnly"], visitor["sameSite"]) == (True, "Lax")
    page.goto(url + "/privacy/visits")
    assert "/site/second" in page.inner_text("main")
    looks_well(page, tmp_path)
    page.click("button.danger")
    assert page.url.endswith("done=1")
    assert "/site/second" not in page.inner_text("main")
    left = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
    assert left == {asked.cookie: asked.value(set(asked.purposes) - {"analytics"})}, "no other answer is changed"
    told(page, lambda: page.goto(url + "/site/third"))
    assert {cookie["name"] for cookie in context.cookies()} == {asked.cookie}


def test_a_no_on_the_page_of_choices_ends_the_history_at_once_without_scripts(
    vendor: Vendor, url: str, context: BrowserContext, browser: Browser
) -> None:
    page = context.new_page()
    choose(page, url, "all")
    told(page, lambda: page.goto(url + "/site/first"))
    left = context.storage_state()
    token = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "troth_visitor")
    bare = browser.new_context(java_script_enabled=False, storage_state=left)
    choose(bare.new_page(), url, "none")
    assert {cookie["name"] for cookie in bare.cookies()} == {choices(vendor.system.policy).cookie}
    bare.close()
    assert not vendor.system.visitors.known(token)


def test_a_no_in_another_way_ends_the_history_with_the_next_page(
    vendor: Vendor, url: str, context: BrowserContext
) -> None:
    asked = choices(vendor.system.policy)
    page = context.new_page()
    choose(page, url, "all")
    told(page, lambda: page.goto(url + "/site/first"))
    token = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "troth_visitor")
    assert vendor.system.visitors.known(token)
    context.add_cookies([{"name": asked.cookie, "value": asked.value([]), "url": url}])
    told(page, lambda: page.goto(url + "/site/second"))
    assert not vendor.system.visitors.known(token)
    assert {cookie["name"] for cookie in context.cookies()} == {asked.cookie}
    kinds = vendor.system.store.read(lambda c: c.execute(ledger.select().order_by(ledger.c.seq)).all())
    assert [row.kind for row in kinds][-3:] == ["consent.withdrawn", "erase.ordered", "erase.done"]


@pytest.fixture(scope="module")
def operator(vendor: Vendor) -> str:
    """The cookie of somebody at the console who may read figures."""
    system = vendor.system
    token = system.operators.first("ada")
    invited = system.operators.invited(token)
    secret, sealed = system.sign_in.new_secret(invited)
    code = totp.code(secret, totp.step_at(vendor.clock.now()))
    system.sign_in.join_by_password(token, PHRASE, sealed, code, "a-cookie-of-this-test")
    return "a-cookie-of-this-test"


def looks_well(page: Page, folder: Path, name: str = "page") -> None:
    """No finding of axe, nothing wider than the window; a picture to look at."""
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_the_figures_are_readable_for_everybody(
    browser: Browser, url: str, operator: str, tmp_path: Path, look: tuple[str, int, Any]
) -> None:
    language, width, scheme = look
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
    )
    context.add_cookies([{"name": "troth_console", "value": operator, "url": url}])
    page = context.new_page()
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(url) else None)
    page.goto(f"{url}/console/visits?lang={language}")
    looks_well(page, tmp_path, f"visits-{language}-{width}-{scheme}")
    assert elsewhere == []
    assert page.locator("svg rect.visitors").count() > 20
    page.goto(f"{url}/console?lang={language}")
    looks_well(page, tmp_path, f"home-{language}-{width}-{scheme}")
    context.close()


def test_the_filters_work_without_javascript(browser: Browser, url: str, operator: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies([{"name": "troth_console", "value": operator, "url": url}])
    page = context.new_page()
    page.goto(url + "/console/visits")
    page.fill("#contains", "blog")
    page.select_option("#surface", "site:www")
    page.click("main button[type=submit]")
    pages = page.locator("section[aria-labelledby=of-page] tbody th").all_inner_texts()
    assert pages
    assert all("blog" in one for one in pages)
    context.close()
