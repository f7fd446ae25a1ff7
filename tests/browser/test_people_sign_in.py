"""People with a real browser: sign up, add a passkey, sign out, sign in with it, remove it; or have no scripts."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Serve
from tests.browser.people import Reached, by_link, registered
from tests.browser.test_accessible import GALLERY, check, listen
from tests.browser.test_passkeys import AUTHENTICATOR
from tests.clauses.test_accounts import PHRASE
from tests.clauses.test_second_factor import App
from tests.clauses.vendor import Person
from troth.cli.setting import postbox

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[Reached]:
    """The example vendor, for all tests here: each brings people of its own."""
    with postbox() as box:
        made = Reached(tmp_path_factory.mktemp("people") / "vendor", box, serve)
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that has an authenticator."""
    context = browser.new_context()
    made = context.new_page()
    session = context.new_cdp_session(made)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    yield made
    context.close()


def test_from_signing_up_to_removing_the_passkey(vendor: Reached, page: Page) -> None:
    ann, url = Person(), vendor.url
    registered(vendor, page, ann)
    page.goto(f"{url}/account")
    page.get_by_role("link", name="See, add and remove passkeys").click()
    page.get_by_label("Name of the passkey").fill("at my desk")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_text("The passkey was added.").wait_for()
    errors = listen(page)
    assert check(page, f"{url}/account/passkeys", "account-passkeys", errors) == []
    page.get_by_role("button", name="Leave").click()

    page.goto(f"{url}/account/sign-in")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{url}/account")
    assert page.get_by_text("your passkey").is_visible()
    page.goto(f"{url}/privacy/data")
    assert page.get_by_text("at my desk").is_visible()

    page.goto(f"{url}/account/passkeys")
    page.get_by_role("button", name="Remove this passkey").click()
    page.get_by_text("The passkey is removed.").wait_for()
    page.get_by_role("button", name="Leave").click()
    page.goto(f"{url}/account/sign-in")
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_text("The passkey was not accepted.").wait_for()
    assert len(vendor.letters(ann.email, "a passkey was")) == 2


def test_without_scripts_the_page_says_so_and_the_password_works(vendor: Reached, browser: Browser) -> None:
    ben, url = Person(), vendor.url
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    registered(vendor, page, ben)
    page.goto(f"{url}/account/passkeys")
    assert page.get_by_text("This browser runs no scripts").is_visible()
    assert not page.get_by_role("button", name="Add a passkey").is_visible()
    page.goto(f"{url}/account")
    page.get_by_label("New password").fill(PHRASE)
    page.get_by_role("button", name="Set the password").click()
    page.get_by_role("button", name="Leave").click()
    page.goto(f"{url}/account/sign-in")
    assert page.get_by_text("This browser runs no scripts").is_visible()
    page.get_by_label("E-mail address").fill(ben.email)
    page.get_by_label("Password").fill(PHRASE)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{url}/account")
    context.close()


def test_a_second_factor_without_scripts_and_what_its_pages_look_like(vendor: Reached, browser: Browser) -> None:
    dora, url = Person(), vendor.url
    vendor.join("registration", dora)
    context = browser.new_context(java_script_enabled=False, viewport={"width": 320, "height": 800})
    page = context.new_page()
    by_link(vendor, page, dora)
    page.goto(f"{url}/account")
    page.get_by_label("New password").fill(PHRASE)
    page.get_by_role("button", name="Set the password").click()
    page.get_by_role("link", name="See and change it").click()
    plain = page.locator(".secret code").inner_text().replace(" ", "")
    app = App(vendor, base64.b32decode(plain))
    page.get_by_label("Code from your app").fill(app.code())
    page.get_by_role("button", name="Set the second factor").click()
    codes = page.locator("section li code").all_inner_texts()
    assert len(codes) == 10
    wrong = look(page, "second-factor-set")
    page.get_by_role("button", name="Leave").click()

    page.goto(f"{url}/account/sign-in")
    page.get_by_label("E-mail address").fill(dora.email)
    page.get_by_label("Password").fill(PHRASE)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Code from your app").fill("no code")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("This code does not fit").first.wait_for()
    wrong += look(page, "code-refused")
    page.get_by_label("Code from your app").fill(codes[0].lower())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/account")
    page.get_by_role("button", name="Leave").click()

    by_link(vendor, page, dora)
    page.goto(f"{url}/account/second-factor")
    wrong += look(page, "second-factor-asked")
    page.get_by_role("button", name="Both are lost").click()
    wrong += look(page, "second-factor-waits")
    page.get_by_role("button", name="Stop this").click()
    assert page.get_by_text("Your second factor stays").is_visible()
    assert wrong == []
    context.close()


def look(page: Page, name: str) -> list[str]:
    """What is wrong with the page one is on: by its size, as no script may run on it."""
    if os.environ.get("TROTH_GALLERY"):
        GALLERY.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(GALLERY / f"{name}.png"), full_page=True)
    wide = max(box["x"] + box["width"] for one in page.locator("main *").all() if (box := one.bounding_box()))
    return [f"{name}: {wide} pixels wide"] if wide > 320 else []


@pytest.mark.parametrize(("language", "width", "scheme"), [("en", 1280, "light"), ("ar", 320, "dark")])
def test_axe_finds_nothing_on_the_pages_of_ones_account(
    vendor: Reached, browser: Browser, language: str, width: int, scheme: str
) -> None:
    cleo = Person()
    vendor.join("registration", cleo)
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    by_link(vendor, page, cleo)
    errors, wrong = listen(page), []
    for path in ("/account", "/account/passkeys", "/account/second-factor", "/account/sign-in"):
        name = f"person{path.replace('/', '-')}-{language}-{width}-{scheme}"
        wrong += check(page, f"{vendor.url}{path}?lang={language}", name, errors)
    assert wrong == []
    context.close()
