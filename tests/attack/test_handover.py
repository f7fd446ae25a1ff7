"""A hand-over that was forged, borrowed, bent or misspelled lets nobody in, and every refusal is the same."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from string import ascii_letters

import pytest

from tests.clauses.handing import LINK, Portal, arrive, portal_of, refused
from tests.clauses.vendor import Person, Vendor, vendor_at, word
from troth.cli.handover import pair
from troth.errors import Invalid, Unproven
from troth.use.handover_keys import public_bytes

REFERENCE = "customer-4711/åäö"


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """A vendor to whom nobody has come yet."""
    with vendor_at(tmp_path / "vendor") as found:
        yield found


@pytest.fixture
def portal(vendor: Vendor) -> Portal:
    """The product whose word is taken."""
    return portal_of(vendor)


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


def test_a_token_made_for_another_address_of_ours_is_refused(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    for audience in ("https://privacy.example.net", portal.url + "/", portal.url.upper(), "", "null"):
        assert refused(vendor, portal.signed(portal.claim(REFERENCE, audience=audience)))


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


@pytest.mark.parametrize("pem", ["", "no key", pair()[0], "ä\ud800"])
def test_what_is_no_public_key_is_refused_without_being_repeated(pem: str) -> None:
    with pytest.raises(Invalid) as caught:
        public_bytes(pem)
    assert not pem or pem not in caught.value.detail
