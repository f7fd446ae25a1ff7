"""Closing one's account: what follows is told with its dates, holds at once, and can be taken back until they come."""

from __future__ import annotations

import datetime as dt
import json
import threading

import pytest

from tests.clauses.conftest import row
from tests.clauses.handing import portal_of
from tests.clauses.test_accounts import OTHER, PHRASE, act, member, sign_in
from tests.clauses.vendor import BEGIN, TENANT, Browser, Person, Vendor
from tests.residue import find
from troth.errors import Conflict, Denied
from troth.use.person_sessions import LINK_LIFE_MS
from troth.use.products import Asked
from troth.world import DAY_MS

DAYS = 30  # as the policy says


def close(browser: Browser, **values: str) -> int:
    """The page's form sent: the status."""
    browser.open("/account/close")
    return browser.send("/account/close", **({"sure": "yes"} | values)).status


def read(vendor: Vendor, sid: bytes, purpose: str, *fields: str) -> dict[str, object]:
    return vendor.system.gate.open(purpose).read(TENANT, sid, frozenset(fields)).values


def sid_of(vendor: Vendor, person: Person) -> bytes:
    return vendor.system.vault.find(TENANT, "email", person.email) or b""


def date(ms: int) -> str:
    """As pages write a day."""
    at = dt.datetime.fromtimestamp(ms / 1000, tz=dt.UTC)
    return f"{at.day} {at:%B %Y}"


def test_the_page_says_what_follows_and_when_before_anything_happens(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    browser = member(vendor, ann)
    before = vendor.rows("SELECT state, until_ms FROM subject_states ORDER BY state")
    browser.open("/account/close")
    said = browser.page.text
    assert date(BEGIN + DAYS * DAY_MS) in said
    assert "Letting you return" in said
    assert "It stays as it is" in said  # the newsletter
    assert vendor.rows("SELECT state, until_ms FROM subject_states ORDER BY state") == before
    assert browser.send("/account/close").status == 422  # not without the box
    assert vendor.entries("account.closed") == []


def test_closed_it_serves_the_return_and_rights_and_nothing_else_at_once(vendor: Vendor) -> None:
    ann = Person()
    browser = member(vendor, ann)
    sid = sid_of(vendor, ann)
    assert read(vendor, sid, "account", "phone")
    assert close(browser) == 200
    assert f"until {date(BEGIN + DAYS * DAY_MS)}" in browser.page.text
    for purpose in ("account", "provide"):
        with pytest.raises(Denied):
            read(vendor, sid, purpose, "first_name")
    assert read(vendor, sid, "restore", "phone") == {"phone": ann.phone}
    assert read(vendor, sid, "rights", "email") == {"email": ann.email}
    (body,) = vendor.entries("account.closed")
    entry = json.loads(body)
    assert (entry["clause"], entry["mechanism"], entry["actor"]) == ("purpose.account", "account.control", "subject")
    assert body in vendor.whose(vendor.system.vault.opening(TENANT, sid))


def test_every_session_ends_and_a_letter_says_until_when_to_come_back(vendor: Vendor) -> None:
    ann = Person()
    browser = member(vendor, ann)
    elsewhere = vendor.browser()
    sign_in(elsewhere, ann.email, PHRASE)
    close(browser)
    assert "troth_session" not in browser.cookies
    assert vendor.count("sessions") == 0
    for each in (browser, elsewhere):
        each.open("/account")
        assert each.address == "/privacy"
    until = dt.datetime.fromtimestamp((BEGIN + DAYS * DAY_MS) / 1000, tz=dt.UTC).date().isoformat()
    (letter,) = vendor.letters(ann.email, "You closed your account")
    assert until in letter.text


def test_signing_in_to_a_closed_account_is_for_coming_back_or_ones_rights(vendor: Vendor) -> None:
    ann = Person()
    close(member(vendor, ann))
    sid, browser = sid_of(vendor, ann), vendor.browser()
    assert sign_in(browser, ann.email, PHRASE) == 200
    assert "You closed this account" in browser.page.text
    with pytest.raises(Denied):  # signing in alone opens nothing
        read(vendor, sid, "account", "first_name")
    assert act(browser, "/account/password", old=PHRASE, password=OTHER) == 409
    copy = json.loads(browser.open("/privacy/copy.json").body)
    assert {s["state"]: s["until"] for s in copy["states"]}["account.closed"] is None
    assert "You closed this account" in browser.http.request("GET", "/privacy/data", headers=jar(browser)).text
    browser.open("/account")
    assert browser.send("/account/return").status == 200
    assert read(vendor, sid, "account", "first_name") == {"first_name": ann.first}
    browser.open("/account")
    assert "You closed this account" not in browser.page.text
    assert len(vendor.entries("account.returned")) == 1
    vendor.clock.advance(DAYS * DAY_MS)
    assert vendor.system.retention.run().erased == 0
    copy = json.loads(vendor.centre(ann).open("/privacy/copy.json").body)
    assert {s["state"] for s in copy["states"] if s["until"] is None} == {"account.active"}


def jar(browser: Browser) -> dict[str, str]:
    return {"cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()), "accept": "text/html"}


def test_after_the_declared_days_it_is_erased_with_a_certificate_not_a_moment_before(vendor: Vendor) -> None:
    ann = Person()
    close(member(vendor, ann))
    vendor.clock.advance(DAYS * DAY_MS - 1)
    assert vendor.system.retention.run().erased == 0
    vendor.clock.advance(1)
    ran = vendor.system.retention.run()
    assert (ran.erased, ran.overdue) == (1, 0)
    assert len(vendor.letters(ann.email, "This is the certificate")) == 1
    assert [vendor.count(table) for table in ("subjects", "subject_states", "credentials")] == [0, 0, 0]
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 401
    assert find(vendor.folder, ann.markers) == []


def test_who_leaves_by_disuse_gets_no_certificate(vendor: Vendor) -> None:
    """Nobody asked for that erasure, and a letter after two years of silence may reach somebody else."""
    ann = Person()
    vendor.join("registration", ann)
    for days in (705, 105):
        vendor.clock.advance(days * DAY_MS)
        vendor.system.retention.run()
    assert vendor.count("subjects") == 0
    assert vendor.letters(ann.email, "This is the certificate") == []


def test_coming_back_too_late_is_refused_even_before_retention_has_run(vendor: Vendor) -> None:
    ann = Person()
    close(member(vendor, ann))
    browser = vendor.browser()
    vendor.clock.advance(DAYS * DAY_MS)
    sign_in(browser, ann.email, PHRASE)
    browser.open("/account")
    assert browser.send("/account/return").status == 409
    assert vendor.entries("account.returned") == []


def test_the_newsletter_of_somebody_who_closes_goes_on(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    browser = member(vendor, ann)
    sid = sid_of(vendor, ann)
    for point, values in (("registration", {"phone": "+353 1 444 0199"}), ("newsletter", {"name": "Ann"})):
        vendor.system.rectification.correct(TENANT, sid, point, values)
    close(browser)
    assert vendor.issues(sid, ann.email) == 1
    vendor.clock.advance(DAYS * DAY_MS)
    ran = vendor.system.retention.run()
    assert (ran.erased, ran.records) == (0, 1)
    assert vendor.rows("SELECT class FROM personal_records") == [("newsletter",)]
    assert vendor.count("credentials") == 0
    assert vendor.rows("SELECT point FROM corrections") == [("newsletter",)]


def test_nobody_but_the_person_opens_it_again(vendor: Vendor) -> None:
    """Neither a product that still lists the account, nor a sign-in, nor a link."""
    ann = Person()
    browser = member(vendor, ann)
    portal = portal_of(vendor)
    sid = portal.account("customer-2")
    asked = Asked("customer-2", "account", ("reference",))
    products = vendor.system.products
    assert products.decide(portal.product, asked).allowed
    vendor.system.closing.close(TENANT, sid)
    products.register(portal.product, "customer-2")  # the nightly list
    assert not products.decide(portal.product, asked).allowed
    close(browser)
    sign_in(vendor.browser(), ann.email, PHRASE)
    vendor.centre(ann)
    open_ = "SELECT count(*) FROM subject_states WHERE state = 'account.active' AND until_ms IS NULL"
    assert vendor.rows(open_) == [(0,)]


def test_what_the_vendor_ended_a_product_may_begin_again(vendor: Vendor) -> None:
    portal = portal_of(vendor)
    portal.account("customer-1")
    asked = Asked("customer-1", "account", ("reference",))
    vendor.system.products.register(portal.product, "customer-1", active=False)
    assert not vendor.system.products.decide(portal.product, asked).allowed
    vendor.system.products.register(portal.product, "customer-1")
    assert vendor.system.products.decide(portal.product, asked).allowed


def test_registering_anew_is_coming_back(vendor: Vendor) -> None:
    ann = Person()
    close(member(vendor, ann))
    vendor.join("registration", ann)
    sid = sid_of(vendor, ann)
    assert read(vendor, sid, "account", "first_name")
    assert vendor.system.closing.outlook(TENANT, sid).closed_ms is None


def test_closing_asks_for_a_fresh_proof_and_its_sessions_token(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    browser.open("/account/close")
    assert browser.send("/account/close", sure="yes", csrf_token="0" * 64).status == 403
    vendor.clock.advance(LINK_LIFE_MS)
    close(browser)
    assert browser.address.startswith("/account/sign-in")
    assert vendor.entries("account.closed") == []
    sign_in(browser, ann.email, PHRASE)
    assert close(browser) == 200
    (signed, *_) = reversed(vendor.entries("account.signed-in"))
    assert json.loads(vendor.entries("account.closed")[0])["refers"] == json.loads(signed)["eid"]


def test_who_has_no_account_has_none_to_close(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    browser = vendor.centre(ann)
    browser.open("/account/close")
    assert "You are not registered here" in browser.page.text
    with pytest.raises(Conflict):
        vendor.system.closing.close(TENANT, sid_of(vendor, ann))
    with pytest.raises(Conflict):
        vendor.system.closing.come_back(TENANT, sid_of(vendor, ann))


def test_of_several_closings_at_once_one_is_made(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    ready, told = threading.Barrier(5), []

    def shut() -> None:
        ready.wait()
        try:
            vendor.system.closing.close(TENANT, sid)
            told.append(True)
        except Conflict:
            told.append(False)

    threads = [threading.Thread(target=shut) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False] * 4 + [True]
    assert len(vendor.entries("account.closed")) == 1


def test_coming_back_during_an_erasure_is_refused(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    vendor.system.closing.close(TENANT, sid)
    vendor.system.erasures.order(TENANT, sid)
    with pytest.raises(Exception, match=r"no such person|being erased"):
        vendor.system.closing.come_back(TENANT, sid)
    assert vendor.entries("account.returned") == []


def test_the_board_says_how_many_and_notices_one_that_goes_on(vendor: Vendor) -> None:
    from tests.clauses.tampering import behind

    ann = Person()
    sid = vendor.join("registration", ann)
    read(vendor, sid, "account", "first_name")
    vendor.system.closing.close(TENANT, sid)
    found = row(vendor.system, "purpose.account")
    assert (found.status, "closed now: 1" in found.reason) == ("PASS", True), found.reason
    assert behind(vendor.folder, "UPDATE subject_states SET until_ms = NULL WHERE state = 'account.active'")
    assert row(vendor.system, "purpose.account").status == "FAIL"
