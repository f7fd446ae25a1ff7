"""Passkeys with a real browser and a virtual authenticator: joining, signing in, and answers that were used before."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Serve
from tests.browser.pages import Company
from tests.use.staff import Staff

pytestmark = pytest.mark.browser

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[tuple[str, Company]]:
    """A company without anybody yet, and its URL."""
    staff = Staff(tmp_path_factory.mktemp("company") / "troth")
    made: list[Company] = []

    def make(url: str) -> Any:
        made.append(Company(staff, url))
        return made[0].app()

    url = serve(make)
    yield url, made[0]
    staff.close()


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


def test_joining_and_signing_in_with_a_passkey(company: tuple[str, Company], page: Page) -> None:
    url, office = company
    page.goto(f"{url}/console/invitation/{office.operators.first('ada')}")
    page.get_by_role("button", name="Make a passkey and join").click()
    page.wait_for_url(f"{url}/console")
    assert page.get_by_text("ada", exact=True).is_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{url}/console/sign-in")

    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or "") if request.method == "POST" else None)
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{url}/console")
    kinds = [entry["kind"] for entry in office.staff.entries("operator")]
    assert kinds == [
        "operator.invited",
        "operator.joined",
        "operator.signed-in",
        "operator.signed-out",
        "operator.signed-in",
    ]
    replayed(url, sent[-1], office)

    page.goto(f"{url}/console/account")
    assert page.get_by_role("heading", name="One passkey").is_visible()


def replayed(url: str, body: str, office: Company) -> None:
    """The very answer that let somebody in does not let anybody in again, nor does it when altered."""
    for form in (body, body.replace("signature", "signature2"), body[:-40]):
        request = urllib.request.Request(f"{url}/console/sign-in/passkey", form.encode(), method="POST")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=20)
        assert caught.value.code == 401
        caught.value.close()
    signed_in = office.staff.entries("operator.signed-in")
    assert len(signed_in) == 2


def test_without_an_authenticator_the_page_says_so(company: tuple[str, Company], browser: Browser) -> None:
    url, _ = company
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {"options": AUTHENTICATOR | {"hasResidentKey": False, "isUserVerified": False}},
    )
    page.goto(f"{url}/console/sign-in")
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_text("The passkey was not used.").wait_for()
    assert page.url == f"{url}/console/sign-in"
    context.close()


def test_without_scripts_the_password_is_offered_and_the_reason_said(
    company: tuple[str, Company], browser: Browser
) -> None:
    url, _ = company
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/console/sign-in")
    assert page.get_by_text("This browser runs no scripts").is_visible()
    assert not page.get_by_role("button", name="Use a passkey").is_visible()
    assert page.get_by_label("Password", exact=True).is_visible()
    context.close()
