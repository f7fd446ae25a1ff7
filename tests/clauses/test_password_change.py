"""A password is changed on one page, ended where others know it, and never for its age; who asks is reminded."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update

from tests.clauses.conftest import row
from tests.clauses.test_accounts import OTHER, PHRASE, act, member, sign_in
from tests.clauses.test_passkeys import sid_of
from tests.clauses.test_second_factor import guarded
from tests.clauses.vendor import TENANT, Person, Vendor
from troth.errors import Invalid
from troth.store import Write
from troth.store.tables import ledger
from troth.use.breached import write_list
from troth.web.control import perform
from troth.world import DAY_MS

CLAUSE = "protect.password-change"


def known(vendor: Vendor, *passwords: str) -> None:
    """A list that the operator brings, as ``troth passwords import`` does."""
    write_list([password.encode() for password in passwords], vendor.folder)


def test_a_password_in_a_list_that_was_brought_ends_at_the_next_sign_in(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    here, there = vendor.browser(), vendor.browser()
    sign_in(here, ann.email, PHRASE)
    known(vendor, PHRASE)
    assert sign_in(there, ann.email, PHRASE) == 409
    assert "This password became known" in there.page.text
    assert there.cookies == {}
    here.open("/account")
    assert here.address == "/privacy"  # what it had opened ended
    assert sign_in(there, ann.email, PHRASE) == 401  # and it is a password like any other wrong one
    (letter,) = vendor.letters(ann.email, "others know the password")
    assert PHRASE not in letter.text

    browser = vendor.centre(ann)
    assert act(browser, "/account/password", password=PHRASE) == 422
    assert act(browser, "/account/password", password=OTHER) == 200
    assert sign_in(vendor.browser(), ann.email, OTHER) == 200
    (entry,) = (json.loads(body) for body in vendor.entries("account.password-known"))
    first = json.loads(vendor.entries("account.password-set")[0])
    assert (entry["refers"], entry["facts"]["by"]) == (first["eid"], "list")


def test_a_wrong_password_that_stands_in_the_list_is_wrong_and_ends_nothing(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    known(vendor, OTHER)
    assert sign_in(vendor.browser(), ann.email, OTHER) == 401
    assert sign_in(vendor.browser(), Person().email, OTHER) == 401
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 200
    assert vendor.entries("account.password-known") == []


def test_with_a_second_factor_a_known_password_does_not_even_lead_to_its_question(vendor: Vendor) -> None:
    ann = Person()
    guarded(vendor, ann)
    known(vendor, PHRASE)
    browser = vendor.browser()
    assert sign_in(browser, ann.email, PHRASE) == 409
    assert "One more step" not in browser.page.text
    assert vendor.rows("SELECT kind FROM credentials WHERE kind = 'totp'") == [("totp",)]  # which stays


def test_the_operator_ends_one_or_all_and_sets_none(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    member(vendor, ann)
    member(vendor, ben)
    assert perform(vendor.system, {"do": "passwords.end", "email": ann.email}) == {"ended": 1}
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 401
    assert sign_in(vendor.browser(), ben.email, PHRASE) == 200
    assert perform(vendor.system, {"do": "passwords.end", "all": True}) == {"ended": 1}
    assert sign_in(vendor.browser(), ben.email, PHRASE) == 401
    assert [len(vendor.letters(person.email, "others know")) for person in (ann, ben)] == [1, 1]
    assert {json.loads(body)["facts"]["by"] for body in vendor.entries("account.password-known")} == {"operator"}
    with pytest.raises(Invalid):
        perform(vendor.system, {"do": "passwords.set", "email": ann.email, "password": OTHER})


def test_nothing_ends_a_password_for_its_age(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    for _ in range(5):
        vendor.clock.advance(300 * DAY_MS)
        assert sign_in(vendor.browser(), ann.email, PHRASE) == 200
        vendor.letters()
    assert vendor.letters(ann.email, "remind you once a year") == []
    assert vendor.entries("account.password-known") == []


def test_who_asks_is_reminded_once_a_year_and_who_asks_no_more_is_not(vendor: Vendor) -> None:
    ann = Person()
    browser = member(vendor, ann)
    assert act(browser, "/account/password/reminder", wish="yes") == 200
    assert "We remind you once a year" in browser.page.text
    assert vendor.system.access.copy(TENANT, sid_of(vendor, ann)).account["reminder"] == vendor.clock.now()
    vendor.clock.advance(364 * DAY_MS)
    assert vendor.system.compromise.sweep() == 0
    vendor.clock.advance(DAY_MS)
    assert (vendor.system.compromise.sweep(), vendor.system.compromise.sweep()) == (1, 0)
    assert len(vendor.letters(ann.email, "remind you once a year")) == 1
    vendor.clock.advance(365 * DAY_MS)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    assert act(browser, "/account/password/reminder", wish="no") == 200
    assert vendor.system.compromise.sweep() == 0
    wishes = [json.loads(body)["facts"]["wish"] for body in vendor.entries("account.reminder")]
    assert wishes == [1, 0]


def test_a_changed_password_begins_the_year_anew(vendor: Vendor) -> None:
    ann = Person()
    browser = member(vendor, ann)
    act(browser, "/account/password/reminder", wish="yes")
    vendor.clock.advance(200 * DAY_MS)
    act(vendor.centre(ann), "/account/password", password=OTHER)
    vendor.clock.advance(200 * DAY_MS)
    assert vendor.system.compromise.sweep() == 0
    vendor.clock.advance(165 * DAY_MS)
    assert vendor.system.compromise.sweep() == 1


def test_the_board_says_how_passwords_end(vendor: Vendor) -> None:
    assert row(vendor.system, CLAUSE).status == "NOT EXERCISED"
    member(vendor, Person())
    assert row(vendor.system, CLAUSE).status == "PASS"
    perform(vendor.system, {"do": "passwords.end", "all": True})
    assert row(vendor.system, CLAUSE).status == "PASS"


def test_sabotage_an_end_without_evidence_turns_the_clause_red(vendor: Vendor) -> None:
    member(vendor, Person())
    perform(vendor.system, {"do": "passwords.end", "all": True})
    ((body,),) = vendor.rows("SELECT body FROM ledger WHERE kind = 'account.password-known'")
    assert isinstance(body, bytes)
    aged = update(ledger).where(ledger.c.kind == "account.password-known")
    changed = aged.values(body=body.replace(b'"by":"operator"', b'"by":"age"'))
    vendor.system.store.write(Write(lambda tx: tx.execute(changed).rowcount))
    assert row(vendor.system, CLAUSE).status == "FAIL"
