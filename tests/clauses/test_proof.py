"""Proof by a link: a stranger learns nothing, a link works once, and only for the person it was sent to."""

from __future__ import annotations

import re
import time

import httpx
import pytest

from tests.clauses.vendor import TENANT, Browser, Person, Vendor
from troth.errors import Unproven
from troth.rights.requests import LINK_MS
from troth.world import DAY_MS

CHECKPOINT = re.compile(rb"(?s)<[^<>]*>\d+ [A-Za-z0-9+/]{43}=<|\d+ [A-Za-z0-9+/]{43}=")


def plain(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """An answer without what changes with every entry of the ledger: ids, times, the newest checkpoint."""
    body = re.sub(rb'"entry":"[0-9a-f]{32}"|"at":\d+', b"", CHECKPOINT.sub(b"", answer.content))
    return answer.status_code, body, {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")}


def ask(browser: Browser, email: str) -> list[httpx.Response]:
    """Ask for a link, by the page and by the interface."""
    form = browser.http.post("/privacy", {"email": email}, headers={"accept": "text/html"})
    page = browser.http.page(form.headers["location"])
    return [form, page, browser.http.request("POST", "/api/v1/rights/links", json={"email": email})]


def test_a_known_and_an_unknown_address_get_the_same_answer_for_the_same_work(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    unknown = f"{'u' * ann.email.index('@')}@{ann.email.partition('@')[2]}"
    browser = vendor.browser()
    known, other = ask(browser, ann.email), ask(browser, unknown)
    assert [plain(answer) for answer in known] == [plain(answer) for answer in other]
    assert [answer.status_code for answer in known] == [303, 200, 202]
    # what is left to be done is a job of one size for each, and the ledger says nothing about whose
    jobs = vendor.rows("SELECT kind, ref, length(payload), state FROM jobs WHERE kind = 'rights.link'")
    assert len(jobs) == 4
    assert len(set(jobs)) == 1
    assert len({len(body) for body in vendor.entries("rights.asked")}) == 1
    assert vendor.whose(
        vendor.system.vault.opening(TENANT, vendor.system.vault.find(TENANT, "email", ann.email) or b"")
    )
    assert all(b'"subject"' not in body for body in vendor.entries("rights.asked"))

    assert len(vendor.letters(ann.email, "/privacy/open/")) == 2
    assert vendor.letters(unknown) == []


def test_a_known_and_an_unknown_address_take_the_same_time(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    took: dict[str, list[float]] = {ann.email: [], Person().email: []}
    for _ in range(25):
        for email, times in took.items():
            began = time.perf_counter()
            vendor.system.store.write(vendor.system.requests.ask_write(TENANT, email, "en"))
            times.append(time.perf_counter() - began)
    known, unknown = (sorted(times)[len(times) // 4] for times in took.values())
    assert 1 / 3 < known / unknown < 3  # the machine's noise; a look-up with its letter costs more than ten times


def test_a_link_opens_the_centre_once(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    first = vendor.centre(ann)
    assert first.open("/privacy/data").status == 200
    token = vendor.token(ann.email, "/privacy/open/")
    thief = vendor.browser()
    assert thief.open(f"/privacy/open/{token}").status == 401
    with pytest.raises(Unproven):
        vendor.system.requests.open(token, "another cookie")
    assert vendor.count("sessions") == 1


def test_looking_at_a_link_does_not_use_it_up(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, "en"))
    token = vendor.token(ann.email, "/privacy/open/")
    browser, before = vendor.browser(), vendor.everything()
    for _ in range(3):
        assert browser.open(f"/privacy/open/{token}").status == 200
    assert vendor.everything() == before
    browser.send()
    assert browser.address == "/privacy/data"


def test_a_link_is_good_for_an_hour_and_the_centre_for_half_of_one(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, "en"))
    token = vendor.token(ann.email, "/privacy/open/")
    browser = vendor.centre(ann)
    vendor.clock.advance(LINK_MS // 2)
    browser.open("/privacy/data")
    assert browser.address == "/privacy"
    vendor.clock.advance(LINK_MS // 2)
    with pytest.raises(Unproven):
        vendor.system.requests.open(token, "cookie")


def test_a_link_opens_nobody_elses_centre_and_a_session_nobody_elses_receipts(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    for person in (ann, ben):
        vendor.join("registration", person)
    anns, bens = vendor.centre(ann), vendor.centre(ben)
    assert ben.email not in anns.open("/privacy/data").text
    theirs = re.findall(r"/receipts/([0-9a-f]{32})", bens.open("/privacy/receipts").text)
    mine = re.findall(r"/receipts/([0-9a-f]{32})", anns.open("/privacy/receipts").text)
    assert theirs
    assert mine
    assert not set(mine) & set(theirs)
    assert anns.open(f"/receipts/{theirs[0]}").status == 404
    assert anns.open(f"/receipts/{mine[0]}").status == 200
    # a form of Ben's page, sent in Ann's session, does nothing
    bens.open("/privacy/erase")
    stolen = {c.name: c.attributes.get("value", "") for c in bens.page.controls if not c.shown and c.name}
    cookie = "; ".join(f"{k}={v}" for k, v in anns.cookies.items())
    answer = anns.http.post("/privacy/erase", {**stolen, "sure": "yes"}, headers={"cookie": cookie})
    assert answer.status_code == 403
    assert vendor.count("subjects") == 2


@pytest.mark.parametrize("address", ["not an address", "@", "a@", "x" * 2000, "\u202e@example.org"])
def test_an_address_that_can_be_nobodys_ends_quietly(vendor: Vendor, address: str) -> None:
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, address, "en"))
    assert vendor.letters() == []
    assert vendor.rows("SELECT kind FROM jobs WHERE kind = 'rights.link'") == []
    assert vendor.system.faults() == ()


def test_a_request_that_waited_too_long_to_be_read_ends_quietly(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, "en"))
    vendor.clock.advance(9 * DAY_MS)
    vendor.system.retention.run()
    assert vendor.letters(ann.email, "/privacy/open/") == []
    assert vendor.rows("SELECT kind FROM jobs WHERE kind = 'rights.link'") == []


def test_no_link_and_no_session_is_made_for_somebody_whose_erasure_was_ordered(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, "en"))
    token = vendor.token(ann.email, "/privacy/open/")
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, "en"))
    vendor.system.erasures.order(TENANT, sid)
    with pytest.raises(Unproven):
        vendor.system.requests.open(token, "cookie")
    letters = len(vendor.letters(ann.email, "/privacy/open/"))
    assert letters == 1
    assert vendor.count("sessions") == 0
    assert vendor.rows("SELECT count(*) FROM links WHERE sid = :sid", sid=sid) == [(0,)]
