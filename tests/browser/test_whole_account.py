"""A person's whole account, over the real server and a real mail server, with scripts and a passkey, or with neither.

Sign up, verify, add a passkey, sign in, change the address, see and end a session, close, come back, and find all of
it in one's copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import Serve
from tests.browser.people import Reached, by_link, registered
from tests.browser.test_account_control import PHRASE, button
from tests.browser.test_passkeys import AUTHENTICATOR
from tests.clauses.vendor import Person
from troth.cli.setting import postbox
from troth.rights.address import PROOF_PATH
from troth.world import DAY_MS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[Reached]:
    """The example vendor behind a real port, with a real mail server."""
    with postbox() as box:
        made = Reached(tmp_path_factory.mktemp("whole") / "vendor", box, serve)
        yield made
        made.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts and a passkey", "neither"])
def test_an_account_from_signing_up_to_coming_back(vendor: Reached, browser: Browser, scripts: bool) -> None:
    ann, new, home = Person(), Person().email, vendor.url
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    if scripts:
        session = context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    registered(vendor, page, ann)
    add_means(page, home, scripts)
    button(page, "Leave")
    sign_in(page, home, ann.email, scripts)

    end_the_other_session(vendor, browser, page, ann)

    page.goto(f"{home}/privacy/correct")
    page.get_by_role("link", name="Change the e-mail address").click()
    page.get_by_label("New e-mail address").fill(new)
    button(page, "Send the link")
    page.goto(vendor.link(new, PROOF_PATH))
    button(page, "Use this address")
    assert page.get_by_role("heading", name="Your address is changed").is_visible()

    page.goto(f"{home}/account/close")
    page.get_by_label("Yes, close my account").check()
    button(page, "Close my account")
    assert page.get_by_role("heading", name="Your account is closed").is_visible()
    vendor.clock.advance(3 * DAY_MS)
    sign_in(page, home, new, scripts)
    button(page, "Come back")
    assert page.get_by_role("heading", name="Welcome back").is_visible()

    copy = copy_of(context, home)
    assert {record["values"]["email"] for record in copy["records"]} == {new}
    assert [field for each in copy["corrections"] for field in each["fields"]] == ["email"]
    closed = next(state for state in copy["states"] if state["state"] == "account.closed")
    assert closed["until"] - closed["since"] == 3 * DAY_MS
    assert [key["name"] for key in copy["account"]["passkeys"]] == (["at my desk"] if scripts else [])
    assert (copy["account"]["password"] is None) is scripts
    assert [each["method"] for each in copy["account"]["sessions"]] == ["passkey" if scripts else "password"]
    assert {message["template"] for message in copy["messages"]} >= {"registration.confirm", "rights.address-new"}
    context.close()


def add_means(page: Page, home: str, scripts: bool) -> None:
    """A passkey where scripts run, else a password."""
    if scripts:
        page.goto(f"{home}/account/passkeys")
        page.get_by_label("Name of the passkey").fill("at my desk")
        button(page, "Add a passkey")
        page.get_by_text("The passkey was added.").wait_for()
    else:
        page.goto(f"{home}/account")
        page.get_by_label("New password").fill(PHRASE)
        button(page, "Set the password")


def sign_in(page: Page, home: str, address: str, scripts: bool) -> None:
    """With the one or the other."""
    page.goto(f"{home}/account/sign-in")
    if scripts:
        button(page, "Use a passkey")
    else:
        page.get_by_label("E-mail address").fill(address)
        page.get_by_label("Password", exact=True).fill(PHRASE)
        button(page, "Sign in")
    page.wait_for_url(f"{home}/account")


def end_the_other_session(vendor: Reached, browser: Browser, page: Page, person: Person) -> None:
    """Somebody with the mailbox opened the centre elsewhere: the session is seen, ended, and over."""
    other = browser.new_context(java_script_enabled=False)
    elsewhere = other.new_page()
    by_link(vendor, elsewhere, person)
    page.goto(f"{vendor.url}/account")
    others = page.locator("article", has_not_text="this one").get_by_role("button", name="End this session", exact=True)
    assert others.count() == 1
    others.click()
    elsewhere.goto(f"{vendor.url}/privacy/data")
    assert elsewhere.url == f"{vendor.url}/privacy"  # asked to prove themselves again
    other.close()


def copy_of(context: BrowserContext, home: str) -> dict[str, Any]:
    """The copy that this browser's person is given."""
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in context.cookies())
    with urlopen(Request(f"{home}/privacy/copy.json", headers={"Cookie": cookies}), timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
