"""Attacks on accounts: guessing, finding out who is here, a planted session, a session used again, another site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from tests.clauses.test_accounts import OTHER, PHRASE, act, member, sign_in, token
from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at
from tests.web.visitor import Visitor
from troth.store import Write
from troth.web.account import ATTEMPTS, ATTEMPTS_IN_A_SESSION, ATTEMPTS_ON_AN_ADDRESS

HTML = {"accept": "text/html"}


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """A vendor to whom nobody has come yet."""
    with vendor_at(tmp_path / "vendor") as found:
        yield found


def attempt(vendor: Vendor, email: str, password: str, address: str = "192.0.2.1", **headers: str) -> httpx.Response:
    """One attempt from a network of the attacker's choice."""
    with Visitor(vendor.system.shell, address=address, base="http://localhost") as visitor:
        return visitor.post("/account/sign-in", {"email": email, "password": password}, headers=HTML | headers)


def test_guessing_from_one_network_is_slowed_down(vendor: Vendor) -> None:
    answers = [attempt(vendor, Person().email, OTHER).status_code for _ in range(ATTEMPTS.count + 2)]
    assert answers == [401] * ATTEMPTS.count + [429] * 2


def test_guessing_at_one_address_from_many_networks_is_slowed_down_whether_it_is_known_or_not(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    for email in (ann.email, Person().email):
        spelled = [email, email.upper(), f" {email}"]
        answers = [
            attempt(vendor, spelled[at % 3], OTHER, address=f"198.51.100.{at}").status_code
            for at in range(ATTEMPTS_ON_AN_ADDRESS.count + 2)
        ]
        assert answers == [401] * ATTEMPTS_ON_AN_ADDRESS.count + [429] * 2
    assert attempt(vendor, ann.email, PHRASE, address="203.0.113.9").status_code == 429  # the right one waits as well
    assert vendor.centre(ann).answer.status == 200  # and their link still opens: nobody is locked out
    vendor.clock.advance(ATTEMPTS_ON_AN_ADDRESS.seconds * 1000)
    assert attempt(vendor, ann.email, PHRASE, address="203.0.113.9").status_code == 303


def test_the_limits_keep_no_address(vendor: Vendor) -> None:
    ann = Person()
    attempt(vendor, ann.email, OTHER)
    kept = repr(vars(vendor.system.shell.rates))
    assert ann.email not in kept
    assert "192.0.2.1" not in kept


def test_the_old_password_is_not_guessed_in_a_stolen_session(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    answers = [act(browser, "/account/password", old=OTHER, password=OTHER) for _ in range(ATTEMPTS_IN_A_SESSION.count)]
    assert answers == [422] * ATTEMPTS_IN_A_SESSION.count
    assert act(browser, "/account/password", old=PHRASE, password=OTHER) == 429
    assert act(browser, "/account/password/remove", old=PHRASE) == 429


@pytest.mark.parametrize("name", ["troth_account", "troth_session"])
def test_a_cookie_that_was_planted_before_is_not_the_session_afterwards(vendor: Vendor, name: str) -> None:
    ann = Person()
    member(vendor, ann)
    browser, thief = vendor.browser(), vendor.browser()
    planted = "p" * 43
    browser.cookies[name] = thief.cookies[name] = planted
    assert sign_in(browser, ann.email, PHRASE) == 200
    assert browser.address == "/account"
    assert browser.cookies.get("troth_account") != planted
    thief.open("/account")
    assert thief.address == "/privacy"


def test_the_thiefs_own_session_that_was_planted_ends_when_its_victim_signs_in(vendor: Vendor) -> None:
    ann, eve = Person(), Person()
    member(vendor, ann)
    member(vendor, eve)
    thief, browser = vendor.browser(), vendor.browser()
    sign_in(thief, eve.email, PHRASE)
    browser.cookies.update(thief.cookies)
    sign_in(browser, ann.email, PHRASE)
    browser.open("/privacy/data")
    assert ann.first in browser.page.text
    thief.open("/account")
    assert thief.address == "/privacy"


def test_the_link_that_let_them_in_before_is_over_when_they_sign_in(vendor: Vendor) -> None:
    ann = Person()
    browser = member(vendor, ann)
    kept = browser.cookies["troth_session"]
    assert sign_in(browser, ann.email, PHRASE) == 200
    thief = vendor.browser()
    thief.cookies["troth_session"] = kept
    thief.open("/account")
    assert thief.address == "/privacy"


def test_a_link_of_another_person_ends_what_this_browser_had_open(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    member(vendor, ann)
    vendor.join("registration", ben)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    kept = dict(browser.cookies)
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ben.email, "en"))
    browser.open(f"/privacy/open/{vendor.token(ben.email, '/privacy/open/')}")
    browser.send()
    assert ben.first in browser.page.text
    assert set(browser.cookies) == {"troth_session"}
    browser.cookies = kept
    browser.open("/account")
    assert browser.address == "/privacy"


def test_a_session_that_was_left_opens_nothing_again(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    kept, form = dict(browser.cookies), token(browser)
    assert act(browser, "/privacy/leave") == 200
    browser.cookies.update(kept)
    browser.open("/account")
    assert browser.address == "/privacy"
    browser.send("/account/password", csrf_token=form, old=PHRASE, password=OTHER)
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 200


@pytest.mark.parametrize(
    "path", ["/account/password", "/account/password/remove", "/account/sessions/end", "/account/sessions/others"]
)
def test_a_form_without_the_sessions_own_token_does_nothing(vendor: Vendor, path: str) -> None:
    ann, ben = Person(), Person()
    member(vendor, ann)
    member(vendor, ben)
    browser, other = vendor.browser(), vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    sign_in(other, ben.email, PHRASE)
    before = vendor.everything()
    for stolen in (token(other), "", "0" * 64):
        values = {"csrf_token": stolen, "old": PHRASE, "password": OTHER}
        assert browser.send(path, **values).status == 403
    assert vendor.everything() == before


def test_another_site_cannot_sign_somebody_in(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    assert attempt(vendor, ann.email, PHRASE, origin="http://evil.example").status_code == 403
    assert attempt(vendor, ann.email, PHRASE, **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert vendor.entries("account.signed-in") == []


def test_the_cookie_is_declared_random_and_no_script_reads_it(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    answer = attempt(vendor, ann.email, PHRASE)
    assert answer.headers["location"] == "/account"
    assert answer.headers["cache-control"] == "no-store"
    set_ = [header for header in answer.headers.get_list("set-cookie") if header.startswith("troth_account")]
    assert len(set_) == 1
    assert re.fullmatch(r"troth_account=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=1209600; Path=/; SameSite=lax", set_[0])


def test_a_very_long_or_empty_password_is_refused_like_any_other(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    for at, strange in enumerate(("x" * 20_000, "\u202e" * 20, "\U0001f511" * 300, "")):
        assert attempt(vendor, ann.email, strange, address=f"198.51.100.{at}").status_code == 401


def test_a_product_that_hands_somebody_over_does_not_get_to_set_their_password(vendor: Vendor) -> None:
    """A hand-over opens the centre; the mailbox, or the old password, is what a new password takes."""
    ann = Person()
    browser = member(vendor, ann)
    text_ = "UPDATE sessions SET method = 'handover'"
    vendor.system.store.write(Write(lambda tx: tx.execute(text(text_)).rowcount))
    assert act(browser, "/account/password", old="", password=OTHER) == 422
    assert act(browser, "/account/password/remove", old="") == 422
    assert "a product that you are signed in to" in browser.page.text
    assert act(browser, "/account/password", old=PHRASE, password=OTHER) == 200
    ben = Person()
    vendor.join("registration", ben)
    other = vendor.centre(ben)
    vendor.system.store.write(Write(lambda tx: tx.execute(text(text_)).rowcount))
    assert act(other, "/account/password", old="", password=OTHER) == 401
    assert vendor.count("credentials") == 1
