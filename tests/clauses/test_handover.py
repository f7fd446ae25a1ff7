"""Signed in at a product, a person opens their own privacy centre without a mail: once, and within the minute."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
from sqlalchemy import text

from tests.clauses.conftest import row
from tests.clauses.handing import LINK, Portal, arrive, at_once, portal_of, refused
from tests.clauses.vendor import TENANT, Person, Vendor
from troth.cli.handover import pair
from troth.errors import NotFound, Unproven
from troth.rights import handover
from troth.store import Write, links
from troth.store.ledger import EntryDraft
from troth.use.handover_keys import public_bytes

REFERENCE = "customer-4711/åäö"


@pytest.fixture
def portal(vendor: Vendor) -> Portal:
    """The product that Ann is signed in to."""
    return portal_of(vendor)


# --- what is promised ---


def test_a_person_who_is_signed_in_at_a_product_opens_the_centre_with_one_button(
    vendor: Vendor, portal: Portal
) -> None:
    sid = portal.account(REFERENCE)
    browser = arrive(vendor, portal.token(REFERENCE))
    assert browser.address == "/privacy/data"
    assert browser.answer.status == 200
    assert REFERENCE in browser.answer.text
    (proven,) = vendor.entries("rights.proven")
    entry = json.loads(proven)
    assert (entry["clause"], entry["mechanism"], entry["actor"]) == ("rights.proof", "right.proof", "subject")
    assert entry["facts"] == {"by": "handover", "product": portal.product.id.hex()}
    assert proven in vendor.whose(vendor.system.vault.opening(TENANT, sid))


def test_everything_in_the_centre_works_as_after_a_link_in_a_mail(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    browser = arrive(vendor, portal.token(REFERENCE))
    for path in ("/privacy/copy.json", "/privacy/copy.zip", "/privacy/copy.html", "/privacy/receipts"):
        assert browser.open(path).status == 200
    browser.open("/privacy/object")
    assert browser.send("/privacy/object", purpose="marketing").status == 200
    assert len(vendor.entries("objection.made")) == 1
    browser.open("/privacy/erase")
    assert browser.send("/privacy/erase", sure="on").status == 200
    assert vendor.system.products.find(TENANT, REFERENCE) is None


def test_opening_the_link_signs_nobody_in_and_changes_nothing(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    token = portal.token(REFERENCE)
    scanner, before = vendor.browser(), vendor.everything()
    for _ in range(3):
        answer = scanner.open(LINK + token)
        assert answer.status == 200
        assert answer.header("cache-control") == "no-store"
        assert scanner.cookies == {}
    assert vendor.everything() == before
    scanner.send("/privacy/handover/open")
    assert scanner.address == "/privacy/data"


def test_a_products_own_form_brings_the_same_page_and_puts_nothing_into_an_address(
    vendor: Vendor, portal: Portal
) -> None:
    ann = Person()
    portal.account_with_address(REFERENCE, ann)
    browser, before = vendor.browser(), vendor.everything()
    form = {"token": portal.token(REFERENCE, ann.email)}
    elsewhere = {"accept": "text/html", "origin": "https://portal.example.net", "sec-fetch-site": "cross-site"}
    answer = browser.http.post("/privacy/handover", form, headers=elsewhere)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert vendor.everything() == before
    opening = browser.http.post("/privacy/handover/open", form, headers=elsewhere)
    assert opening.status_code == 403  # only our own page's button opens
    assert vendor.everything() == before
    assert browser.send("/privacy/handover?lang=ar", **form).status == 200
    assert 'dir="rtl"' in browser.answer.text
    assert vendor.browser().http.page("/privacy/handover?lang=en").headers["location"] == "/privacy?lang=en"
    browser.send("/privacy/handover/open")
    assert browser.address == "/privacy/data"


def test_an_address_must_be_the_one_on_file(vendor: Vendor, portal: Portal) -> None:
    ann, ben = Person(), Person()
    portal.account_with_address(REFERENCE, ann)
    portal.account_with_address("customer-2", ben)
    portal.account("customer-3")  # of whom we have no address
    vendor.join("newsletter", Person(email="carla@example.org"))
    assert arrive(vendor, portal.token(REFERENCE, ann.email.upper())).address == "/privacy/data"
    for reference, address in (
        (REFERENCE, ben.email),
        (REFERENCE, "carla@example.org"),
        (REFERENCE, "nobody@example.org"),
        (REFERENCE, "no address"),
        ("customer-3", "carla@example.org"),
        ("customer-3", ann.email),
    ):
        assert refused(vendor, portal.token(reference, address))


def test_what_was_let_in_stays_the_sessions_own_time(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    browser = arrive(vendor, portal.token(REFERENCE))
    vendor.clock.advance(29 * 60_000)
    assert browser.open("/privacy/data").status == 200
    vendor.clock.advance(60_000)
    browser.open("/privacy/data")
    assert browser.address == "/privacy"


# --- what is not promised ---


def test_a_token_is_good_for_a_minute_and_the_clocks_five_seconds(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    now = int(portal.now)
    for expires in (now + 66, now + 3600, now - 5, now - 3600, 0):
        assert refused(vendor, portal.signed(portal.claim(REFERENCE, expires=expires)))
    for at, expires in enumerate((now - 4, now + 65)):
        token = portal.signed(portal.claim(REFERENCE, expires=expires, nonce=str(at) * 32))
        assert arrive(vendor, token).address == "/privacy/data"
    late = portal.token(REFERENCE)
    vendor.clock.advance(55_000)
    assert refused(vendor, late)


def test_a_page_left_open_too_long_opens_nothing(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    browser = vendor.browser()
    assert browser.open(LINK + portal.token(REFERENCE)).status == 200
    vendor.clock.advance(60_000)
    assert browser.send("/privacy/handover/open").status == 401
    assert vendor.count("sessions") == 0


def test_a_token_lets_in_once_however_it_comes_again(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    token = portal.token(REFERENCE, nonce="once-and-never-again-1234567")
    waiting = vendor.browser()
    waiting.open(LINK + token)
    assert arrive(vendor, token).address == "/privacy/data"
    assert waiting.send("/privacy/handover/open").status == 401
    assert refused(vendor, token)
    again = portal.claim(REFERENCE, nonce="once-and-never-again-1234567")
    assert refused(vendor, portal.signed(again))  # the number counts, not the token's spelling
    vendor.system.retention.run()  # and what sweeps links leaves it while it matters
    assert refused(vendor, token)
    assert vendor.count("sessions") == 1
    assert len(vendor.entries("rights.proven")) == 1


def test_the_numbers_of_one_product_are_not_anothers(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    other = portal_of(vendor, "another product")
    for product in (portal, other):  # so that no product can use up what another is about to sign
        assert arrive(vendor, product.token(REFERENCE, nonce="n" * 32)).address == "/privacy/data"


def test_of_several_at_once_one_is_let_in(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    assert at_once(vendor.system, portal.token(REFERENCE)) == [False] * 7 + [True]
    assert vendor.count("sessions") == 1
    assert len(vendor.entries("rights.proven")) == 1


def test_without_the_mark_the_two_tests_above_would_notice(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    with patch.object(links, "use_up", lambda *_, **__: True):
        assert sum(at_once(vendor.system, portal.token(REFERENCE))) > 1
        token = portal.token(REFERENCE)
        assert arrive(vendor, token).address == arrive(vendor, token).address == "/privacy/data"


def test_where_the_session_cannot_be_written_the_number_is_not_used_up(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    token = portal.token(REFERENCE)
    with patch.object(handover, "begin", side_effect=ValueError("no room")), pytest.raises(ValueError, match="no room"):
        vendor.system.handovers.open(token, "cookie")
    assert vendor.count("links") == 0
    assert vendor.system.handovers.open(token, "cookie").tenant == TENANT


def test_an_unknown_reference_and_an_erased_person_are_refused(vendor: Vendor, portal: Portal) -> None:
    sid = portal.account(REFERENCE)
    for reference in ("customer-5", REFERENCE.upper(), REFERENCE + " ", f" {REFERENCE}", "\x00", "\u2028"):
        assert refused(vendor, portal.token(reference))
    token, waiting = portal.token(REFERENCE), vendor.browser()
    waiting.open(LINK + token)
    vendor.system.erasures.order(TENANT, sid)
    assert refused(vendor, token)
    assert waiting.send("/privacy/handover/open").status == 401
    vendor.system.erasures.erase(TENANT, sid)
    assert refused(vendor, token)
    assert vendor.count("sessions") == 0


def test_a_person_whose_erasure_is_ordered_between_the_look_and_the_write_is_not_let_in(
    vendor: Vendor, portal: Portal
) -> None:
    sid = portal.account(REFERENCE)
    token, check = portal.token(REFERENCE), vendor.system.handovers._check

    def slow(given: str, tenant: str | None = None) -> handover.Handed:
        found = check(given, tenant)
        vendor.system.erasures.order(TENANT, sid)
        return found

    with patch.object(vendor.system.handovers, "_check", slow), pytest.raises(Unproven):
        vendor.system.handovers.open(token, "cookie")
    assert vendor.count("sessions") == 0
    assert vendor.entries("rights.proven") == []


def set_scopes(vendor: Vendor, portal: Portal, kept: str) -> None:
    change = text("UPDATE products SET scopes = :kept WHERE id = :id")
    vendor.system.store.write(Write(lambda tx: tx.execute(change, {"kept": kept, "id": portal.product.id})))


def test_a_product_that_was_not_let_hand_over_or_no_longer_is_refused(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    keys, products = vendor.system.handover_keys, vendor.system.products
    without, _ = products.create(TENANT, "asks only")
    assert refused(vendor, portal.signed(portal.claim(REFERENCE, product=without.id.hex())))

    token = portal.token(REFERENCE)
    kept = vendor.rows("SELECT scopes FROM products WHERE id = :id", id=portal.product.id)[0][0]
    set_scopes(vendor, portal, str(kept).replace(',"handover"]', "]"))  # the key alone lets nobody in
    assert refused(vendor, token)
    set_scopes(vendor, portal, str(kept))
    vendor.system.handovers.look(token)  # it is not refused

    assert keys.stop(portal.product.id)
    assert not keys.stop(portal.product.id)
    assert refused(vendor, token)

    private, public = pair()
    keys.allow(portal.product.id, public_bytes(public))  # a new key
    assert refused(vendor, token)
    fresh = Portal(vendor, portal.product, private)
    assert arrive(vendor, fresh.token(REFERENCE)).address == "/privacy/data"

    products.end(portal.product.id)
    assert refused(vendor, fresh.token(REFERENCE))
    with pytest.raises(NotFound):
        keys.allow(portal.product.id, public_bytes(public))
    told = [json.loads(body)["facts"] for body in vendor.entries("product.handover")]
    assert [bool(facts["key"]) for facts in told] == [True, False, True]


def test_a_product_that_is_stopped_between_the_look_and_the_write_lets_nobody_in(
    vendor: Vendor, portal: Portal
) -> None:
    portal.account(REFERENCE)
    token, check = portal.token(REFERENCE), vendor.system.handovers._check

    def slow(given: str, tenant: str | None = None) -> handover.Handed:
        found = check(given, tenant)
        vendor.system.handover_keys.stop(portal.product.id)
        return found

    with patch.object(vendor.system.handovers, "_check", slow), pytest.raises(Unproven):
        vendor.system.handovers.open(token, "cookie")
    assert vendor.count("sessions") == 0


# --- the board ---


def test_a_hand_over_from_a_product_that_was_never_let_turns_the_clause_red(vendor: Vendor, portal: Portal) -> None:
    ben = Person()
    vendor.issues(vendor.join("newsletter", ben), ben.email)  # the clause has another mechanism, which shall pass
    portal.account(REFERENCE)
    arrive(vendor, portal.token(REFERENCE))
    vendor.clock.advance(1000)
    vendor.system.handover_keys.stop(portal.product.id)
    assert row(vendor.system, "rights.proof").status == "PASS"
    vendor.clock.advance(1000)
    facts = {"by": "handover", "product": portal.product.id.hex()}
    forged = EntryDraft("rights.proven", "rights.proof", "right.proof", "subject", facts=facts)
    vendor.system.store.write(Write(lambda tx: tx.append(forged)))  # what a careless programmer might do
    found = row(vendor.system, "rights.proof")
    assert found.status == "FAIL"
    assert "not let hand over" in found.reason
