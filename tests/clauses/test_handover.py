"""Signed in at a product, a person opens their own privacy centre without a mail: once, and within the minute."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64decode
from string import ascii_letters
from unittest.mock import patch
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text

from tests.clauses.conftest import row
from tests.clauses.handing import LINK, Portal, arrive, at_once, portal_of, somebody
from tests.clauses.vendor import TENANT, Person, Vendor, word
from troth.cli.handover import pair
from troth.errors import Invalid, NotFound, Unproven
from troth.rights import handover
from troth.store import Write
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


# --- attacks ---


def refused(vendor: Vendor, token: str) -> bool:
    """Whether this token is refused by every way in, in the one way, and leaves nothing behind."""
    browser, before = somebody(vendor), vendor.everything()
    page = {"accept": "text/html", "accept-language": "en"}
    answers = [
        browser.http.get(LINK + quote(token), headers=page) if token.strip(".") else None,
        browser.http.post("/privacy/handover", {"token": token}, headers=page),
        browser.http.post("/privacy/handover/open", {"token": token}, headers=page),
        browser.http.post("/privacy/handover/open", {"token": token}),
    ]
    assert vendor.everything() == before
    found = [answer for answer in answers if answer is not None]
    assert [answer.status_code for answer in found] == [401] * len(found)
    assert all("set-cookie" not in answer.headers for answer in found)
    assert "rights.proof" in found[0].text
    assert plain(found[-1]) == REFUSAL
    return True


def plain(answer: httpx.Response) -> dict[str, object]:
    told: dict[str, object] = answer.json()
    return told


REFUSAL: dict[str, object] = {
    "type": "/problems/unproven",
    "title": "Please show who you are",
    "status": 401,
    "detail": "this hand-over is not valid, or no longer: go back to where you are signed in and try again",
    "clause": "rights.proof",
}


def test_a_good_token_is_good_so_that_the_refusals_below_mean_something(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    assert arrive(vendor, portal.signed(portal.claim(REFERENCE))).address == "/privacy/data"


def test_a_forged_signature_is_refused(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    body, _, signature = portal.token(REFERENCE).partition(".")
    other = portal.signed(portal.claim("customer-2")).partition(".")[2]
    for forged in ("", "A" * len(signature), signature[:-4], signature + "AAAA", other, signature + "="):
        assert refused(vendor, f"{body}.{forged}")
    assert refused(vendor, body)
    for prefix in (b"", b"troth-handover-2."):
        assert refused(vendor, portal.signed(portal.claim(REFERENCE), prefix=prefix))


def test_another_products_key_signs_only_for_itself(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    other = portal_of(vendor, "another product")
    assert refused(vendor, portal.signed(portal.claim(REFERENCE), key=other.key))
    assert refused(vendor, portal.signed(portal.claim(REFERENCE, product=other.product.id.hex())))
    assert refused(vendor, portal.signed(portal.claim(REFERENCE, product="0" * 32)))


def test_a_product_of_another_tenant_hands_nobody_over(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    private, public = pair()
    elsewhere, _ = vendor.system.products.create("other", "a product elsewhere")
    vendor.system.handover_keys.allow(elsewhere.id, public_bytes(public))
    vendor.system.products.register(elsewhere, REFERENCE)
    assert refused(vendor, Portal(vendor, elsewhere, private).token(REFERENCE))


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
    with patch.object(handover, "mark", lambda *_: True):
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


def test_a_token_made_for_another_address_of_ours_is_refused(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    for audience in ("https://privacy.example.net", portal.url + "/", portal.url.upper(), "", "null"):
        assert refused(vendor, portal.signed(portal.claim(REFERENCE, audience=audience)))


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

    def slow(given: str) -> handover.Handed:
        found = check(given)
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

    def slow(given: str) -> handover.Handed:
        found = check(given)
        vendor.system.handover_keys.stop(portal.product.id)
        return found

    with patch.object(vendor.system.handovers, "_check", slow), pytest.raises(Unproven):
        vendor.system.handovers.open(token, "cookie")
    assert vendor.count("sessions") == 0


def test_a_claim_that_is_not_exactly_one_is_refused_though_signed(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    portal.account("customer-2")
    good = json.dumps(portal.claim(REFERENCE))
    contents: list[str | bytes] = [
        good.replace("{", '{"reference": "customer-2", ', 1),  # a member twice
        good.replace("}", ', "reference": "customer-2"}'),
        json.dumps(portal.claim(REFERENCE, admin=True)),
        json.dumps(portal.claim(REFERENCE, expires="soon")),
        json.dumps(portal.claim(REFERENCE, expires=1e300)),
        json.dumps(portal.claim(REFERENCE, expires=10**30)),
        json.dumps(portal.claim(REFERENCE, expires=True)),
        json.dumps(portal.claim(REFERENCE, nonce="short")),
        json.dumps(portal.claim(REFERENCE, nonce="n" * 31 + "\n")),
        json.dumps(portal.claim(REFERENCE, nonce="n" * 5000)),
        json.dumps(portal.claim(REFERENCE, product=portal.product.id.hex().upper())),
        json.dumps(portal.claim("r" * 2500)),
        json.dumps(portal.claim("r" * 201)),
        json.dumps(portal.claim("\ud800")),
        json.dumps(portal.claim(REFERENCE, address="")),
        *(json.dumps({k: v for k, v in portal.claim(REFERENCE).items() if k != name}) for name in portal.claim("")),
        good + " " * 4000,  # more than is read
        good + good,
        good[:-1],
        "[" * 2000,
        "[]",
        "null",
        "",
        b"\xff" + good.encode(),
        good.encode("utf-16"),
    ]
    for content in contents:
        assert refused(vendor, portal.signed(content))


def another_end(given: str) -> str:
    """A last character that other readers of base64url take for the same."""
    last = given[-1]
    (other, *_) = [c for c in ascii_letters if c != last and decoded(given[:-1] + c) == decoded(given)]
    return other


def decoded(given: str) -> bytes:
    return urlsafe_b64decode(given + "=" * (-len(given) % 4))


def test_a_token_that_is_not_exactly_spelled_is_refused(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    token = portal.token(REFERENCE)
    body, _, signature = token.partition(".")
    for wrong in (
        "",
        ".",
        "..",
        token + ".",
        f"{body}=.{signature}",
        f"{body}. {signature}",
        f"{body}\n.{signature}",
        token.replace(".", "!"),
        f"{body}.{signature[:-1]}{another_end(signature)}",
        "ä" + token,
        "A" * 5000 + "." + signature,
    ):
        assert refused(vendor, wrong)


def test_no_refusal_and_no_log_repeats_what_the_token_said(
    vendor: Vendor, portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ann, reference = Person(), word(20)
    portal.account_with_address(reference, ann)
    browser = vendor.browser()
    said = [caplog.text]
    for token in (
        portal.token(reference, "somebody." + ann.email),
        portal.signed(portal.claim(reference, address=ann.email, expires=5)),
        portal.signed(portal.claim(reference, address=ann.email) | {ann.first: ann.last}),
    ):
        said.append(browser.open(LINK + token).text)
        with pytest.raises(Unproven) as caught:
            vendor.system.handovers.open(token, "cookie")
        said.append(f"{caught.value!r} {caught.value.__cause__!r} {caught.value.detail} {caught.value.gaps}")
    arrive(vendor, portal.token(reference, ann.email))
    said += [
        caplog.text,
        *(body.decode() for body in (*vendor.entries("rights.proven"), *vendor.entries("access.prepared"))),
    ]
    for value in (ann.email, ann.first, ann.last, reference):
        assert value not in "\n".join(said)
    assert vendor.rows("SELECT sid, ref FROM links WHERE kind = 'handover'") == [(None, "")]


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


@pytest.mark.parametrize("pem", ["", "no key", pair()[0], "ä\ud800"])
def test_what_is_no_public_key_is_refused_without_being_repeated(pem: str) -> None:
    with pytest.raises(Invalid) as caught:
        public_bytes(pem)
    assert not pem or pem not in caught.value.detail
