"""People with a real browser: sign up, add a passkey, sign out, sign in with it, remove it; or have no scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Serve
from tests.browser.people import Reached, by_link, registered
from tests.browser.test_accessible import check, listen
from tests.browser.test_passkeys import AUTHENTICATOR
from tests.clauses.test_accounts import PHRASE
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
