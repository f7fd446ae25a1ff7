"""Files that were brought in, collection points and sessions of staff, as the console shows and ends them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.world import Caller, member
from tests.clauses.moving import as_csv, bring, rows_of
from tests.clauses.test_looks import console
from tests.clauses.vendor import TENANT, Browser, Person, Vendor, vendor_at
from troth.cli.setting import TENANTS
from troth.collect.importing import runs
from troth.collect.intake import Submission
from troth.errors import Conflict, Invalid, NotFound, TrothError
from troth.store import Write
from troth.use.operators import Operator
from troth.use.sessions import IDLE_MS, start
from troth.web.console.points import HEIGHT, bars
from troth.world import DAY_MS

HOUR_MS = 3_600_000


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """The example vendor with its tenants."""
    with vendor_at(tmp_path / "vendor", tenants=TENANTS) as found:
        yield found


@pytest.fixture
def officer(vendor: Vendor) -> tuple[Caller, Operator]:
    """A privacy officer who has joined."""
    _, boss = member(vendor, "boss", "administrator")
    made: tuple[Caller, Operator] = member(vendor, "olga", "officer", boss)
    return made


def token(browser: Browser) -> str:
    return next(c.attributes["value"] for c in browser.page.controls if c.name == "csrf_token")


# --- files ---


def test_a_file_is_shown_with_what_became_of_its_rows_and_no_value_of_theirs(
    vendor: Vendor, officer: tuple[Caller, Operator]
) -> None:
    ann, ben = Person(), Person()
    rows = [*rows_of([ann], status=""), *rows_of([ben], status="disabled"), *rows_of([Person()], status="x")]
    report = bring(vendor, as_csv(rows))
    (listed,) = vendor.system.store.read(lambda c: runs.listed(c, TENANT))
    assert listed.rows == 3
    assert listed.run.counts.why == {"disabled": 1, "status": 1}
    browser = console(vendor, officer[0])
    browser.open("/console/imports")
    shown = browser.answer.text
    assert report.run in shown
    for words in ("3 of 3 rows", "it is disabled there: 1", "its status is not known here: 1", "done"):
        assert words in shown, words
    assert not any(marker in shown for who in (ann, ben) for marker in who.markers)
    assert vendor.system.store.read(lambda c: runs.listed(c, "harbour")) == []


def test_a_file_is_taken_back_when_it_is_asked_for_twice_with_a_reason(
    vendor: Vendor, officer: tuple[Caller, Operator]
) -> None:
    people = [Person(), Person()]
    report = bring(vendor, as_csv(rows_of(people)))
    browser = console(vendor, officer[0])
    path = f"/console/imports/{report.run}/undo"
    browser.open("/console/imports")
    csrf = token(browser)
    assert browser.send(path, csrf_token=csrf, why="trial").status == 422  # not sure
    assert browser.send(path, csrf_token=csrf, sure="yes").status == 422  # no reason
    assert browser.send(path, csrf_token=csrf, sure="yes", why="because").status == 422
    assert vendor.entries("import.undo-asked") == []
    assert browser.send(path, csrf_token=csrf, sure="yes", why="wrong-file").status == 200
    assert "being taken back" in browser.answer.text
    asked = json.loads(vendor.entries("import.undo-asked")[0])
    assert asked["actor"] == officer[1].actor
    assert asked["facts"] == {"run": report.run, "why": "wrong-file"}
    assert vendor.count("subjects") == 2
    vendor.system.work()
    assert vendor.count("subjects") == 0
    browser.open("/console/imports")
    assert "taken back" in browser.answer.text
    assert browser.send(path, csrf_token=csrf, sure="yes", why="trial").status == 409
    assert vendor.system.work() == 0


def test_a_job_that_was_cut_off_goes_on_and_one_that_is_done_is_left_alone(vendor: Vendor) -> None:
    report = bring(vendor, as_csv(rows_of([Person()])))
    undoing, id_ = vendor.system.undoing, bytes.fromhex(report.run)
    undoing.ask(TENANT, id_, actor="system", why="trial")
    undoing.ask(TENANT, id_, actor="system", why="trial")  # twice is once
    undoing.undo(TENANT, id_)  # somebody was faster, by the command
    vendor.system.work()
    assert vendor.rows("SELECT count(*) FROM jobs WHERE state = 'failed'") == [(0,)]
    with pytest.raises(Conflict):
        undoing.ask(TENANT, id_, actor="system", why="trial")
    with pytest.raises(NotFound):
        undoing.ask("harbour", id_, actor="system", why="trial")
    with pytest.raises(Invalid):
        undoing.ask(TENANT, id_, actor="system", why="")


# --- collection points ---


def test_what_comes_in_what_is_turned_away_and_what_waits_is_counted_by_point(vendor: Vendor) -> None:
    vendor.submit("newsletter", Person())
    vendor.clock.advance(DAY_MS * 8)  # nobody said yes in time
    vendor.submit("newsletter", Person())
    found = {traffic.point: traffic for traffic in vendor.system.traffic.of(TENANT)}
    assert (found["newsletter"].unconfirmed, found["newsletter"].expired) == (1, 1)
    vendor.clock.advance(3 * HOUR_MS)
    vendor.join("registration", Person())
    vendor.submit("newsletter", Person())
    vendor.submit("registration", Person(), tenant="harbour")
    intake = vendor.system.intake
    for point, surface, values in (
        ("newsletter", "site:www", {"name": "A", "email": "a@example.org", "shoe_size": "44"}),
        ("newsletter", "product:desktop", {"name": "A", "email": "a@example.org"}),
        ("newsletter", "site:www", {"name": "A", "email": "nothing"}),
        ("no-such-point", "site:www", {}),
    ):
        with pytest.raises(TrothError):
            intake.take(Submission(TENANT, surface, point, dict(values)))

    found = {traffic.point: traffic for traffic in vendor.system.traffic.of(TENANT)}
    newsletter, registration = found["newsletter"], found["registration"]
    assert (newsletter.last_hour, newsletter.last_day) == (1, 2)
    assert newsletter.hours[-4:] == [1, 0, 0, 1]
    assert (newsletter.unconfirmed, newsletter.expired) == (2, 0)  # retention has erased whom nobody confirmed
    assert (registration.last_day, sum(registration.confirmed), registration.unconfirmed) == (1, 1, 0)
    assert {(each.code, each.clause): day for each, _, day in newsletter.refused} == {
        ("undeclared", "collect.newsletter"): 1,
        ("denied", "scope.services"): 1,
        ("invalid", "collect.newsletter"): 1,
    }
    harbours = {traffic.point: traffic for traffic in vendor.system.traffic.of("harbour")}
    assert (harbours["registration"].last_day, harbours["newsletter"].last_day) == (1, 0)
    assert not harbours["newsletter"].refused

    browser = console(vendor, member(vendor, "boss", "administrator")[0])
    browser.open("/console/points")
    page = browser.answer.text
    assert browser.answer.status == 200
    assert "no-such-point" not in page
    assert "<svg" in page
    assert "shoe_size" not in page
    assert {"site.count", "site.view"} <= set(vendor.system.policy.points)
    assert "site." not in page, "visits are counted on a page of their own; here their rows would always be empty"


def test_refusals_of_yesterday_are_forgotten(vendor: Vendor) -> None:
    with pytest.raises(TrothError):
        vendor.system.intake.take(Submission(TENANT, "site:www", "newsletter", {"x": "y"}))
    refusals = vendor.system.intake.refusals
    assert [counts[1:] for counts in refusals.of(TENANT, "newsletter")] == [(1, 1)]
    vendor.clock.advance(2 * HOUR_MS)
    assert [counts[1:] for counts in refusals.of(TENANT, "newsletter")] == [(0, 1)]
    vendor.clock.advance(DAY_MS)
    assert refusals.of(TENANT, "newsletter") == []


def test_looking_at_the_board_counts_as_no_refusal(vendor: Vendor) -> None:
    vendor.system.inspector.now()  # it tries what must be refused
    assert all(not traffic.refused for traffic in vendor.system.traffic.of(TENANT))


def test_bars_show_whatever_is_not_nothing() -> None:
    drawn = bars([0, 1, 1000])
    assert [bar.height for bar in drawn] == [0, 2, HEIGHT]
    assert [bar.x for bar in drawn] == [0, 10, 20]
    assert all(bar.height == 0 for bar in bars([0] * 24))


# --- sessions of staff ---


def test_an_administrator_ends_a_colleagues_session_and_others_end_their_own_only(vendor: Vendor) -> None:
    boss, who = member(vendor, "boss", "administrator")
    sam, sams = member(vendor, "sam", "support", who)
    stranger, _ = member(vendor, "boss", "administrator", tenant="mill")
    sign_in = vendor.system.sign_in
    places = {each.name: each.place for each in sign_in.open_sessions(who)}
    assert set(places) == {"boss", "sam"}
    assert {each.name for each in sign_in.open_sessions(sams)} == {"sam"}

    browser = console(vendor, sam)
    browser.open("/console/sessions")
    assert places["boss"] not in browser.answer.text
    assert browser.send("/console/sessions/end", session=places["boss"]).status == 200
    assert "troth_console" in browser.cookies
    assert console(vendor, boss).open("/console").status == 200
    assert not vendor.system.desk("mill").sign_in.end_session(
        vendor.system.desk("mill").operators.all()[0], places["sam"]
    )

    ours = console(vendor, boss)
    ours.open("/console/sessions")
    assert places["sam"] in ours.answer.text
    ours.send("/console/sessions/end", session=places["sam"])
    assert ours.answer.status == 200
    browser.open("/console")
    assert browser.address == "/console/sign-in"
    ended = json.loads(vendor.entries("operator.signed-out")[-1])
    assert (ended["actor"], ended["facts"]) == (who.actor, {"operator": sams.id.hex(), "sessions_ended": 1})
    there = vendor.browser(host="mill.managed.localhost")
    name, _, value = stranger.headers["cookie"].partition("=")
    there.cookies[name] = value
    assert there.open("/console/sessions").status == 200
    assert "sam" not in there.answer.text.replace("same", "")


def test_as_many_sessions_are_counted_as_are_shown(vendor: Vendor) -> None:
    boss, who = member(vendor, "boss", "administrator")
    vendor.clock.advance(IDLE_MS)  # this browser was left
    name, cookie = boss.headers["cookie"].partition("=")[0], "another-browser"
    vendor.system.store.write(Write(lambda tx: start(tx, cookie, who.id, TENANT, vendor.system.randomness)))
    browser = vendor.browser()
    browser.cookies[name] = cookie
    browser.open("/console/account")
    assert "Signed in at one place" in browser.page.text
    assert len(vendor.system.sign_in.open_sessions(who)) == 1


def test_who_ends_the_own_session_is_out(vendor: Vendor) -> None:
    boss, who = member(vendor, "boss", "administrator")
    browser = console(vendor, boss)
    browser.open("/console/sessions")
    (own,) = vendor.system.sign_in.open_sessions(who)
    browser.send("/console/sessions/end", session=own.place)
    assert browser.address == "/console/sign-in"
    browser.open("/console")
    assert browser.address == "/console/sign-in"
