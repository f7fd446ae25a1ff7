"""What was good once, or for somebody else, or for another page, is good for nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clauses.vendor import Browser, Person, Vendor, vendor_at


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """A vendor to whom nobody has come yet."""
    with vendor_at(tmp_path / "vendor") as found:
        yield found


def token_of(browser: Browser) -> str:
    """The token that this session's forms carry."""
    browser.open("/privacy/object")
    return next(c.attributes["value"] for c in browser.page.controls if c.name == "csrf_token")


def test_a_link_for_one_thing_opens_no_other(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("newsletter", ann)
    token = vendor.token(ann.email)
    thief, before = vendor.browser(), vendor.everything()
    for path in ("/privacy/open/", "/console/invitation/"):
        assert thief.open(path + token).status in (401, 404)
        assert thief.send(path + token).status in (401, 403, 404, 422)
    assert thief.send("/unsubscribe/" + token).status in (401, 404)
    assert vendor.everything() == before
    vendor.confirm(ann.email)  # and it is still good for what it was made for


def test_a_confirmation_sent_twice_is_taken_once(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("newsletter", ann)
    token = vendor.token(ann.email)
    browser = vendor.browser()
    browser.open(f"/confirm/{token}")
    assert browser.send().status == 200
    before = len(vendor.entries("intake.confirmed"))
    assert browser.send(f"/confirm/{token}").status == 200
    assert len(vendor.entries("intake.confirmed")) == before


def test_another_persons_token_moves_nothing_in_ones_own_session(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    vendor.join("newsletter", ann)
    vendor.join("newsletter", ben)
    anns, bens = vendor.centre(ann), vendor.centre(ben)
    stolen = token_of(bens)
    before = vendor.count("subject_states"), len(vendor.entries("objection.made"))
    anns.open("/privacy/object")
    for token in (stolen, "", "0" * 64):
        assert anns.send("/privacy/object", csrf_token=token, purpose="newsletter").status == 403
    assert (vendor.count("subject_states"), len(vendor.entries("objection.made"))) == before
    assert anns.send("/privacy/object", csrf_token=token_of(anns), purpose="newsletter").status == 200
    assert len(vendor.entries("objection.made")) == before[1] + 1


def test_a_session_that_was_left_or_erased_opens_nothing(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    browser = vendor.centre(ann)
    kept = dict(browser.cookies)
    assert browser.send("/privacy/leave", csrf_token=token_of(browser)).status == 200
    browser.cookies.update(kept)
    browser.open("/privacy/data")
    assert browser.address == "/privacy"

    again = vendor.centre(ann)
    kept = dict(again.cookies)
    assert again.send("/privacy/erase", csrf_token=token_of(again), sure="on").status == 200
    again.cookies.update(kept)
    again.open("/privacy/data")
    assert again.address == "/privacy"
    assert vendor.system.vault.find("main", "email", ann.email) is None
