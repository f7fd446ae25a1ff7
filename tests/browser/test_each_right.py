"""A person goes through each right, over the real server and a real mail server: by the keyboard alone, or unscripted.

See what is held and take it along, put it right, withdraw, object, set it aside and be told before that ends, know what
runs by itself, and be erased. With scripts every page of the way passes axe, wide and narrow, light and dark.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema_rs
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # the package has no types
from playwright.sync_api import Browser, Locator, Page

from tests.browser.conftest import Serve
from tests.browser.people import Reached, registered
from tests.browser.test_accessible import RULES, listen
from tests.clauses.vendor import TENANT, Person
from troth.cli.setting import postbox
from troth.world import DAY_MS

pytestmark = pytest.mark.browser

LOOKS = [(1280, "light"), (320, "dark")]
MORE_LOOKS = [(1280, "dark"), (320, "light")]  # with --full
MOST_TABS = 90
COPY = Path(__file__).parents[2] / "docs" / "reference" / "copy.schema.json"
FAR = "+353 1 444 0199"


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[Reached]:
    """The example vendor behind a real port, with a real mail server."""
    with postbox() as box:
        made = Reached(tmp_path_factory.mktemp("rights") / "vendor", box, serve)
        yield made
        made.close()


@dataclass
class Way:
    """One person's way: what they press, and what is wrong with the pages they see."""

    page: Page
    scripts: bool
    looks: list[tuple[int, str]]
    wrong: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def press(self, role: str, name: str | re.Pattern[str]) -> None:
        """A link or button of this name, and the page that it leads to."""
        with self.page.expect_navigation():
            self.push(role, name)

    def push(self, role: str, name: str | re.Pattern[str], key: str = "Enter") -> None:
        """What has this name: reached with the keyboard and pressed, or clicked where nothing runs."""
        target = self.page.get_by_role(role, name=name, exact=True).first  # type: ignore[arg-type]  # a role's name
        if self.scripts:
            self.reach(target)
            self.page.keyboard.press(key)
        else:
            target.click()

    def choose(self, role: str, name: str) -> None:
        """A box or one of several."""
        self.push(role, name, "Space")

    def write(self, label: str, value: str) -> None:
        """A field, whatever stood in it."""
        target = self.page.get_by_label(label).first
        if self.scripts:
            self.reach(target)
            self.page.keyboard.press("Control+A")
            self.page.keyboard.type(value)
        else:
            target.fill(value)

    def reach(self, target: Locator) -> None:
        """Tab until the focus is there, and to be seen there."""
        assert target.count() == 1, target
        for _ in range(MOST_TABS):
            ring = target.evaluate("e => e === document.activeElement && getComputedStyle(e).outlineStyle")
            if ring:
                if ring == "none":
                    self.wrong.append(f"{self.page.url}: nobody sees that {target} has the focus")
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{target} cannot be reached with the keyboard on {self.page.url}")

    def look(self, name: str) -> None:
        """What axe finds on the page as it stands, in each width and light; and what is wider than the window."""
        self.seen.append(name)
        if not self.scripts:
            return
        self.page.evaluate(Axe().axe_script)
        for width, scheme in self.looks:
            self.page.set_viewport_size({"width": width, "height": 800})
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of the two words
            found = self.page.evaluate("options => axe.run(options)", {**RULES, "resultTypes": ["violations"]})
            for one in found["violations"]:
                self.wrong += [f"{name} {width} {scheme}: {one['id']}: {node['html']}" for node in one["nodes"]]
            across = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if across > 0:
                self.wrong.append(f"{name}: {across} pixels wider than {width}")
        self.page.set_viewport_size({"width": 1280, "height": 800})

    def file(self, link: str, into: Path) -> Path:
        """What a link gives as a file."""
        with self.page.expect_download() as waiting:
            self.push("link", link)
        file = into / waiting.value.suggested_filename
        waiting.value.save_as(file)
        return file

    def heading(self, name: str) -> None:
        """The page is the one with this heading."""
        assert self.page.get_by_role("heading", name=name, exact=True, level=1).is_visible(), self.page.content()


def by_link(vendor: Reached, way: Way, person: Person, *, look: bool = False) -> None:
    """A link asked for and opened, from the first page on."""
    way.page.goto(f"{vendor.url}/privacy")
    way.write("E-mail address", person.email)
    way.press("button", "Send the link")
    way.page.goto(vendor.link(person.email, "/privacy/open/"))
    if look:
        way.look("the link's page")
    way.press("button", "Open")
    way.page.wait_for_url(f"{vendor.url}/privacy/data")


@pytest.mark.parametrize("scripts", [True, False], ids=["by the keyboard", "without scripts"])
def test_a_person_goes_through_each_right(
    vendor: Reached, browser: Browser, scripts: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ann = Person()
    context = browser.new_context(java_script_enabled=scripts)
    context.set_default_timeout(15_000)
    way = Way(context.new_page(), scripts, LOOKS + (MORE_LOOKS if request.config.getoption("--full") else []))
    errors = listen(way.page)
    vendor.join("newsletter", ann)
    registered(vendor, way.page, ann)
    sid = vendor.system.vault.find(TENANT, "email", ann.email) or b""

    way.page.goto(f"{vendor.url}/privacy")
    way.look("asking for the link")
    by_link(vendor, way, ann, look=True)

    sees_and_takes_along(way, ann, tmp_path)
    puts_right(vendor, way, ann, sid)
    withdraws(vendor, way, ann, sid)
    objects(vendor, way, ann, sid)
    knows_what_runs_by_itself(way)
    sets_aside(vendor, way, ann, sid)
    is_erased(vendor, way, ann)

    assert way.wrong == []
    assert ["422" in error for error in errors] == [True, True]  # the two forms that were sent with a fault
    assert len(way.seen) == len(set(way.seen)) == 19
    context.close()


def sees_and_takes_along(way: Way, ann: Person, into: Path) -> None:
    """Access and portability: on the page, and as a page, as JSON and as tables."""
    way.heading("What we hold")
    shown = way.page.locator("main").inner_text()
    assert [each for each in (ann.email, ann.first, ann.last, ann.company) if each not in shown] == []
    way.look("what is held")
    page = way.file("As a page", into)
    assert ann.email in page.read_text("utf-8")
    copy = json.loads(way.file("As JSON", into).read_text("utf-8"))
    assert {record["values"]["email"] for record in copy["records"]} == {ann.email}
    schema = json.loads(COPY.read_text("utf-8"))
    assert list(jsonschema_rs.Draft202012Validator(schema).iter_errors(copy)) == []
    with zipfile.ZipFile(way.file("As CSV tables", into)) as tables:
        found = [row for name in tables.namelist() for row in csv.reader(io.StringIO(tables.read(name).decode()))]
    assert any(ann.email in cell for row in found for cell in row)
    here = way.page.url
    way.page.goto(page.as_uri())
    way.look("the copy as a page")
    way.page.goto(here)


def puts_right(vendor: Reached, way: Way, ann: Person, sid: bytes) -> None:
    """Rectification: a fault is named beside its field; then the new value counts and the old one is gone."""
    way.press("link", "Correct")
    way.heading("Correct")
    way.look("what can be corrected")
    way.press("link", re.compile("^Register"))
    way.write("Telephone", "call me")
    way.press("button", "Correct it")
    assert way.page.get_by_role("alert").is_visible()
    way.look("a correction with a fault")
    way.write("Telephone", FAR)
    way.press("button", "Correct it")
    way.heading("It is corrected")
    way.look("corrected")
    read = vendor.system.gate.open("account").read(TENANT, sid, frozenset({"phone"}))
    assert read.values == {"phone": FAR}


def withdraws(vendor: Reached, way: Way, ann: Person, sid: bytes) -> None:
    """Withdrawal: one button, as it took one to agree; nothing more is sent."""
    assert vendor.issues(sid, ann.email) == 1
    way.press("link", "What we hold")
    assert way.page.get_by_text(FAR).first.is_visible()
    way.press("button", "Withdraw")
    way.heading("What we hold")
    assert way.page.get_by_text("withdrawn", exact=True).first.is_visible()
    way.look("what is held after a withdrawal")
    assert vendor.issues(sid, ann.email) == 0


def objects(vendor: Reached, way: Way, ann: Person, sid: bytes) -> None:
    """Objection: nothing chosen is said so; what is chosen stops at once, and a letter says so."""
    way.press("link", "Object")
    way.heading("Object")
    way.press("button", "Object")
    assert way.page.get_by_role("alert").is_visible()
    way.look("an objection to nothing")
    way.choose("checkbox", "Telling you about our products")
    way.press("button", "Object")
    way.look("objected")
    assert {stop["purpose"] for stop in vendor.system.access.copy(TENANT, sid).objections} >= {"marketing"}
    assert vendor.letters(ann.email)[-1].subject == "Your objection is in force"
    way.press("link", "What we hold")
    assert way.page.get_by_role("heading", name="Your objections").is_visible()


def knows_what_runs_by_itself(way: Way) -> None:
    """Information on automations: all of them, and which were sent to whoever looks."""
    way.press("link", "What runs by itself")
    way.heading("What runs by itself")
    own = way.page.locator("article", has_text="Sent to you")
    assert own.count() >= 4  # two confirmations, the link, the newsletter's issue
    assert way.page.locator("article", has_text="newsletter").filter(has_text="Sent to you").count() >= 1
    way.look("what runs by itself")


def sets_aside(vendor: Reached, way: Way, ann: Person, sid: bytes) -> None:
    """Restriction: kept and not used; the end is announced, refused, announced again, and comes after its days."""
    restrictions, told = vendor.system.restrictions, "7 days after this"
    way.press("link", "Set aside")
    way.heading("Set aside")
    way.look("before it is set aside")
    way.choose("radio", "It is wrong, and you are looking into it")
    way.press("button", "Set my data aside")
    assert way.page.get_by_text("Your data is set aside since").is_visible()
    way.look("set aside")
    assert vendor.letters(ann.email)[-1].subject == "Your data is set aside"

    restrictions.announce(TENANT, sid, actor="operator")
    assert vendor.letters(ann.email, told)
    by_link(vendor, way, ann)
    way.press("link", "Set aside")
    assert way.page.get_by_role("heading", name="We want to take it up again").is_visible()
    way.look("told that it will end")
    way.press("button", "No, keep it set aside")
    vendor.clock.advance(8 * DAY_MS)
    vendor.system.work()
    assert restrictions.of(TENANT, sid)  # a no is a no

    restrictions.announce(TENANT, sid, actor="operator")
    vendor.letters()
    vendor.clock.advance(7 * DAY_MS - 60_000)
    vendor.system.work()
    assert restrictions.of(TENANT, sid)
    vendor.clock.advance(3_600_000)
    vendor.system.work()
    by_link(vendor, way, ann)
    way.press("link", "Set aside")
    assert way.page.get_by_role("button", name="Set my data aside").is_visible()  # it is used again


def is_erased(vendor: Reached, way: Way, ann: Person) -> None:
    """Erasure: said yes to, done at once, and proven to whoever holds the certificate's number."""
    way.press("link", "Erase")
    way.heading("Erase")
    way.look("before it is erased")
    way.choose("checkbox", "Yes, erase everything")
    way.press("button", "Erase my data")
    way.heading("Your data is erased")
    way.look("erased")
    assert vendor.system.vault.find(TENANT, "email", ann.email) is None
    way.page.goto(vendor.link(ann.email, "/privacy/certificate/"))
    way.heading("Certificate of an erasure")
    shown = way.page.locator("main").inner_text()
    assert not any(marker in shown for marker in ann.markers)
    way.look("the certificate")

    letters = len(vendor.letters(ann.email))
    way.page.goto(f"{vendor.url}/privacy/data")
    assert way.page.url == f"{vendor.url}/privacy"  # asked who they are, like anybody
    way.write("E-mail address", ann.email)
    way.press("button", "Send the link")
    way.look("the answer that everybody gets")
    assert len(vendor.letters(ann.email)) == letters
    way.page.goto(f"{vendor.url}/policy/automated")
    way.look("what runs by itself, for anybody")


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        ("document.querySelector('main button').tabIndex = -1", "cannot be reached"),
        ("document.querySelector('main button').style.outline = 'none'", "nobody sees"),
    ],
)
def test_what_the_keyboard_does_not_reach_or_nobody_sees_would_be_found(
    vendor: Reached, browser: Browser, spoil: str, found: str
) -> None:
    page = browser.new_page()
    page.goto(f"{vendor.url}/privacy")
    way = Way(page, True, LOOKS)
    page.evaluate(spoil)
    try:
        way.reach(page.get_by_role("button", name="Send the link"))
    except AssertionError as fault:
        way.wrong.append(str(fault))
    assert len(way.wrong) == 1
    assert found in way.wrong[0]
    page.close()
