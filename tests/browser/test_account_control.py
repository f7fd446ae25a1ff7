"""In a real browser, with scripts and without: correct, change the address, close, come back; all of it in the copy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.test_accessible import findings
from tests.clauses.vendor import Person
from troth.cli.demo import EXAMPLE, served
from troth.cli.walk import Show, Stage, link_in
from troth.rights.address import PROOF_PATH, STOP_PATH

pytestmark = pytest.mark.browser

PHRASE = "eleven herons over the quay"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The example vendor, served, with a mail server."""
    with served(tmp_path_factory.mktemp("control") / "data", 0, EXAMPLE, None, Show(quiet=True)) as stage:
        yield stage


def letter(stage: Stage, before: int, to: str, path: str) -> str:
    """The link of a letter that comes to this address after ``before`` others."""
    while True:
        for each in stage.box.letters[before:]:
            if to in each.recipients and path in each.text:
                return link_in(each, path)
        stage.box.wait(len(stage.box.letters) + 1)


def button(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_person_controls_their_account(stage: Stage, browser: Browser, scripts: bool) -> None:
    ann, new, home = Person(), Person().email, f"http://localhost:{stage.port}"
    context = browser.new_context(java_script_enabled=scripts)
    page, wrong = context.new_page(), []

    def look() -> None:
        if scripts:
            wrong.extend(findings(page))

    page.goto(f"{home}/forms/registration")
    for label, value in (("First name", ann.first), ("Last name", ann.last), ("E-mail address", ann.email)):
        page.get_by_label(label).fill(value)
    before = len(stage.box.letters)
    button(page, "Register")
    page.goto(home + letter(stage, before, ann.email, "/confirm/"))
    button(page, "Confirm")

    page.goto(f"{home}/privacy")
    page.get_by_label("E-mail address").fill(ann.email)
    before = len(stage.box.letters)
    button(page, "Send the link")
    page.goto(home + letter(stage, before, ann.email, "/privacy/open/"))
    button(page, "Open")
    page.goto(f"{home}/account")
    page.get_by_label("New password").fill(PHRASE)
    button(page, "Set the password")

    page.get_by_role("link", name="Correct", exact=True).first.click()
    page.get_by_role("link", name="Register").click()
    look()
    page.get_by_label("Telephone").fill("call me")
    button(page, "Correct it")
    assert page.get_by_role("alert").is_visible()
    page.get_by_label("Telephone").fill("+353 1 444 0199")
    button(page, "Correct it")
    assert page.get_by_role("heading", name="It is corrected").is_visible()

    page.goto(f"{home}/privacy/correct")
    look()
    page.get_by_role("link", name="Change the e-mail address").click()
    page.get_by_label("New e-mail address").fill(new)
    look()
    before = len(stage.box.letters)
    button(page, "Send the link")
    assert letter(stage, before, ann.email, STOP_PATH)
    page.goto(home + letter(stage, before, new, PROOF_PATH))
    look()
    button(page, "Use this address")
    assert page.get_by_role("heading", name="Your address is changed").is_visible()

    page.goto(f"{home}/account/close")
    look()
    page.get_by_label("Yes, close my account").check()
    before = len(stage.box.letters)
    button(page, "Close my account")
    assert page.get_by_role("heading", name="Your account is closed").is_visible()
    assert letter(stage, before, new, "/privacy")  # the letter goes to the address that counts now
    page.goto(f"{home}/account")
    assert page.url == f"{home}/privacy"

    page.goto(f"{home}/account/sign-in")
    page.get_by_label("E-mail address").fill(ann.email)
    page.get_by_label("Password", exact=True).fill(PHRASE)
    button(page, "Sign in")
    assert page.get_by_text("The address or the password is not right").first.is_visible()  # the old one finds nothing
    page.get_by_label("E-mail address").fill(new)
    page.get_by_label("Password", exact=True).fill(PHRASE)
    button(page, "Sign in")
    look()
    button(page, "Come back")
    assert page.get_by_role("heading", name="Welcome back").is_visible()

    cookies = "; ".join(f"{c['name']}={c['value']}" for c in context.cookies())
    with urlopen(Request(f"{home}/privacy/copy.json", headers={"Cookie": cookies}), timeout=30) as answer:
        copy = json.load(answer)
    assert [fields for each in copy["corrections"] for fields in each["fields"]] == ["phone", "email"]
    assert {record["values"]["email"] for record in copy["records"]} == {new}
    closed = next(state for state in copy["states"] if state["state"] == "account.closed")
    assert closed["until"] > closed["since"]
    assert wrong == []
    context.close()


def test_the_pages_look_as_they_should(stage: Stage, tmp_path: Path) -> None:
    """A page of the gallery is there for each template of this part, so that axe and people see it."""
    from tests.web.gallery import SAMPLES
    from troth.web.pages import TEMPLATES

    shown = {template for template, _ in SAMPLES.values()}
    here = {str(p.relative_to(TEMPLATES)) for folder in ("account", "privacy") for p in (TEMPLATES / folder).glob("*")}
    parts = {"privacy/layout.html", "privacy/held.html", "privacy/looks.html"}
    parts |= {"account/closed.html", "account/parts.html"}
    assert here - parts <= shown
