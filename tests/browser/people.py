"""The example vendor with a real mail server, behind a real port, for people who come with a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Page

from tests.clauses.vendor import Person, Vendor
from troth.cli.demo import EXAMPLE
from troth.cli.postbox import Postbox
from troth.cli.setting import demonstration_config
from troth.cli.walk import link_in
from troth.web.running import Running, start


class Reached(Vendor):
    """A vendor who is reached under the address that the port got."""

    def __init__(self, folder: Path, box: Postbox, serve: Callable[..., str]) -> None:
        self.url = ""
        self.reach = serve
        super().__init__(folder, box, EXAMPLE.read_text("utf-8"))

    def _start(self) -> Running:
        made: list[Running] = []

        def make(url: str) -> Any:
            config = msgspec.structs.replace(demonstration_config(self.folder, 0, self.box.port), base_url=url)
            made.append(start(config, clock=self.clock))
            return made[0].app

        self.url = self.reach(make)
        return made[0]

    def link(self, to: str, path: str) -> str:
        """The newest link in a letter to this address that leads to this path, whole."""
        return self.url + link_in(self.letters(to, path)[-1], path)


def registered(vendor: Reached, page: Page, person: Person) -> None:
    """Somebody registers with the form, confirms, asks for a link and opens their account with it."""
    page.goto(f"{vendor.url}/forms/registration")
    for label, value in (
        ("First name", person.first),
        ("Last name", person.last),
        ("E-mail address", person.email),
        ("Company", person.company),
    ):
        page.get_by_label(label).first.fill(value)
    for box in page.locator("select[required]").all():
        box.select_option(index=1)
    for text in page.locator("textarea[required], input[type=text][required]").all():
        if not text.input_value():
            text.fill("work")
    page.get_by_role("button", name="Register").click()
    page.goto(vendor.link(person.email, "/confirm/"))
    page.get_by_role("button", name="Confirm").click()
    by_link(vendor, page, person)


def by_link(vendor: Reached, page: Page, person: Person) -> None:
    """A link asked for and opened."""
    page.goto(f"{vendor.url}/privacy")
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_role("button", name="Send the link").click()
    page.goto(vendor.link(person.email, "/privacy/open/"))
    page.get_by_role("button", name="Open").click()
    page.wait_for_url(f"{vendor.url}/privacy/data")
