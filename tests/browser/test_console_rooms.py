"""The console's rooms in a real browser over the real system: usable, accessible, and told to whom they are about."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page

from tests.attack.world import STAFF, Caller, by_link, member, subscribe
from tests.browser.conftest import Serve
from tests.browser.test_accessible import GALLERY, LOOKS, findings, listen
from tests.clauses.moving import as_csv, bring, rows_of
from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at
from troth.cli.setting import TENANTS
from troth.collect.intake import Submission
from troth.config import Hook
from troth.errors import TrothError
from troth.store import DataTx, Write
from troth.use.hooks import DEADLINE_MS, HOOK_JOB, Waiting

pytestmark = pytest.mark.browser
REASON = "She rang about her invoice on Monday"


@dataclass
class Premises:
    """The vendor at work, where it is reached, and who is there."""

    vendor: Vendor
    url: str
    staff: dict[str, Caller]
    ann: Person


@pytest.fixture(scope="module")
def premises(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> Iterator[Premises]:
    """A vendor with staff of every role, and somebody who is registered and subscribed."""
    with vendor_at(tmp_path_factory.mktemp("premises") / "vendor", tenants=TENANTS) as vendor:
        ann = Person()
        vendor.join("registration", ann)
        subscribe(vendor, ann)
        _, boss = member(vendor, "boss", "administrator")
        staff = {role: member(vendor, role, role, boss)[0] for role in STAFF}
        bring(vendor, as_csv([*rows_of([Person(), Person()], status=""), *rows_of([Person()], status="disabled")]))
        trouble(vendor)
        url = serve(lambda _: vendor.system.shell)
        yield Premises(vendor, url, staff, ann)


def trouble(vendor: Vendor) -> None:
    """Submissions over some hours, and some that are turned away."""
    for turn in range(3):
        for _ in range(turn + 1):
            vendor.submit("newsletter", Person())
        with contextlib.suppress(TrothError):
            vendor.system.intake.take(Submission(TENANT, "site:www", "newsletter", {"name": "A", "shoe_size": "44"}))
        vendor.clock.advance(5 * 60_000)
    vendor.system.hooks.tools = {"newsletter-tool": Hook("https://tool.example.com/", "Newsletter tool", TENANT)}

    def unheard(tx: DataTx) -> None:
        for event, age_ms in (("erasure.ordered", DEADLINE_MS + 1), ("objection.made", 60_000)):
            due = Waiting(TENANT, "newsletter-tool", event, bytes(16), tx.now - age_ms)
            tx.enqueue(HOOK_JOB, due.ref, run_ms=tx.now + DEADLINE_MS)

    vendor.system.store.write(Write(unheard))


@pytest.fixture(params=LOOKS, ids=str)
def look(request: pytest.FixtureRequest, browser: Browser) -> Iterator[tuple[Page, str, str]]:
    """A page in one language, width and colour scheme."""
    language, width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    yield context.new_page(), language, f"{language}-{width}-{scheme}"
    context.close()


def enter(page: Page, premises: Premises, caller: Caller) -> None:
    """Come with this caller's cookie."""
    name, _, value = caller.headers["cookie"].partition("=")
    page.context.clear_cookies()
    page.context.add_cookies([{"name": name, "value": value, "url": premises.url}])


def judge(page: Page, name: str, errors: list[str]) -> list[str]:
    """What is wrong with the page that is shown."""
    if os.environ.get("TROTH_GALLERY"):
        GALLERY.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(GALLERY / f"{name}.png"), full_page=True)
    wrong = [f"{name}: {one}" for one in findings(page)]
    across = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    wrong += [f"{name}: {across} pixels wider than the window"] if across > 0 else []
    wrong += [f"{name}: {error}" for error in errors if "Failed to load resource" not in error]  # 4xx, on purpose
    errors.clear()
    return wrong


def find(page: Page, value: str, purpose: str) -> None:
    """The form, filled in with the keyboard alone."""
    page.locator("#field-value").fill(value)
    page.locator(f"input[name=purpose][value={purpose}]").focus()
    page.keyboard.press("Space")
    page.locator("#field-reason").fill(REASON)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_looking_at_somebody_and_being_told_of_it(look: tuple[Page, str, str], premises: Premises) -> None:
    page, language, name = look
    errors, wrong = listen(page), []
    enter(page, premises, premises.staff["support"])
    page.goto(f"{premises.url}/console/people?lang={language}")
    wrong += judge(page, f"people-{name}", errors)
    find(page, premises.ann.email, "account")
    assert premises.ann.first in page.content()
    wrong += judge(page, f"people-seen-{name}", errors)
    find(page, premises.ann.email, "support")
    assert "scope.closed-list" in page.content()  # no clause that is in force permits it yet
    assert premises.ann.first not in page.content()
    wrong += judge(page, f"people-denied-{name}", errors)
    find(page, f"x{premises.ann.email}", "account")
    assert page.locator("#value-fault").count() == 1
    wrong += judge(page, f"people-nobody-{name}", errors)
    enter(page, premises, by_link(premises.vendor, premises.ann, "ann"))
    for path in ("/privacy/data", "/account"):
        page.goto(f"{premises.url}{path}?lang={language}")
        assert REASON in page.content()
        wrong += judge(page, f"told{path.replace('/', '-')}-{name}", errors)
    assert wrong == []


ROOMS = {
    "officer": ("/console", "/console/points", "/console/tools", "/console/imports"),
    "administrator": ("/console", "/console/sessions", "/console/operators"),
}


def test_figures_files_and_sessions(look: tuple[Page, str, str], premises: Premises) -> None:
    page, language, name = look
    errors, wrong = listen(page), []
    for role, paths in ROOMS.items():
        enter(page, premises, premises.staff[role])
        for path in paths:
            page.goto(f"{premises.url}{path}?lang={language}")
            for summary in page.locator("summary").all():
                summary.focus()
                page.keyboard.press("Enter")
            wrong += judge(page, f"{role}{path.replace('/', '-')}-{name}", errors)
    enter(page, premises, premises.staff["officer"])
    page.goto(f"{premises.url}/console/points?lang={language}")
    assert page.locator("svg.bars rect").count() >= 1
    page.goto(f"{premises.url}/console/tools?lang={language}")
    assert (page.locator("tbody tr").count(), page.locator(".status.red").count()) == (2, 1)
    assert page.locator("details[open]").count() == 0
    assert wrong == []


def test_an_erasure_is_seen_before_and_after(look: tuple[Page, str, str], premises: Premises) -> None:
    page, language, name = look
    errors, wrong, vendor, eve = listen(page), [], premises.vendor, Person()
    sid = vendor.join("registration", eve)
    now, officer = vendor.clock.now(), premises.staff["officer"]
    asked = vendor.system.procedures.record(TENANT, "erasure", now, road="letter", actor="system", sid=sid)
    vendor.system.procedures.prove(TENANT, asked.case.id, sid, "document", actor="system")
    enter(page, premises, officer)
    page.goto(f"{premises.url}/console/requests/{asked.case.id.hex()}?lang={language}")
    assert page.locator("table.board tbody tr").count() >= 10
    wrong += judge(page, f"erasure-planned-{name}", errors)
    with page.expect_navigation():
        page.locator("button.danger").press("Enter")
    assert "/console/erasures/" in page.url
    page.locator("summary").press("Enter")
    assert "troth-plan-1" in page.locator("pre").inner_text()
    wrong += judge(page, f"erasure-done-{name}", errors)
    page.goto(f"{premises.url}/console/erasures?lang={language}")
    assert page.locator("tbody tr").count() >= 1
    wrong += judge(page, f"erasures-{name}", errors)
    assert wrong == []


def test_a_hold_at_the_console_and_in_the_centre(look: tuple[Page, str, str], premises: Premises) -> None:
    page, language, name = look
    errors, wrong, dan = listen(page), [], Person()
    premises.vendor.join("registration", dan)
    enter(page, premises, premises.staff["officer"])
    page.goto(f"{premises.url}/console/holds?lang={language}")
    page.locator("#field-email").fill(dan.email)
    page.locator("input[name=reason][value=claims]").check()
    page.locator("#field-days").fill("20")
    with page.expect_navigation():
        page.locator("section form button").press("Enter")
    assert page.locator("tbody tr").count() >= 1
    assert dan.email not in page.content()
    for path in ("/console/holds", "/console"):
        page.goto(f"{premises.url}{path}?lang={language}")
        wrong += judge(page, f"holds{path.replace('/', '-')}-{name}", errors)
    enter(page, premises, by_link(premises.vendor, dan, "dan"))
    for path in ("/privacy/restrict", "/privacy/erase"):
        page.goto(f"{premises.url}{path}?lang={language}")
        assert page.locator("#hold").count() == 1
        wrong += judge(page, f"held{path.replace('/', '-')}-{name}", errors)
    page.locator("#field-sure").check()
    with page.expect_navigation():
        page.locator("button.danger").click()
    wrong += judge(page, f"held-ordered-{name}", errors)
    waits = next(each for each in premises.vendor.system.erasures.latest(TENANT) if each.state == "held")
    page.goto(f"{premises.url}/privacy/certificate/{waits.ordered}?lang={language}")
    assert page.locator("#hold").count() == 1
    wrong += judge(page, f"held-certificate-{name}", errors)
    assert wrong == []


def test_a_tenants_page_says_who_is_responsible(look: tuple[Page, str, str], premises: Premises) -> None:
    page, language, name = look
    errors = listen(page)
    there = premises.url.replace("localhost", TENANTS["harbour"].hosts[0])
    page.goto(f"{there}/?lang={language}")
    assert page.locator(".on-behalf").inner_text().count("Harbour Dental Practice") == 1
    assert judge(page, f"tenant-{name}", errors) == []


def test_an_issue_is_written_looked_at_and_sent_off(look: tuple[Page, str, str], premises: Premises) -> None:
    page, language, name = look
    errors, wrong = listen(page), []
    enter(page, premises, premises.staff["officer"])
    page.goto(f"{premises.url}/console/campaigns?lang={language}")
    page.locator("#field-subject").fill("Spring backups")
    page.locator("#field-source").fill("# Spring\n\n{greeting}\n\n- [our notes](https://vendor.example.org/notes)\n")
    wrong += judge(page, f"campaigns-{name}", errors)
    page.locator("#field-source").fill("Hello {nobody_knows}")
    with page.expect_navigation():
        page.locator("section form button").press("Enter")
    assert page.locator("[role=alert] a").count() == 1
    wrong += judge(page, f"campaigns-fault-{name}", errors)
    page.locator("#field-source").fill("# Spring\n\n{greeting}\n\n- [our notes](https://vendor.example.org/notes)\n")
    with page.expect_navigation():
        page.locator("section form button").press("Enter")
    assert page.locator(".issue a").get_attribute("href") == "https://vendor.example.org/notes"
    wrong += judge(page, f"campaign-draft-{name}", errors)
    with page.expect_navigation():
        page.locator("form[action*='/begin'] button").press("Enter")
    premises.vendor.system.work()
    page.reload()
    assert page.locator("form[action*='/pause']").count() == 1
    wrong += judge(page, f"campaign-running-{name}", errors)
    with page.expect_navigation():
        page.locator("form[action*='/stop'] button").press("Enter")
    wrong += judge(page, f"campaign-stopped-{name}", errors)
    assert wrong == []
