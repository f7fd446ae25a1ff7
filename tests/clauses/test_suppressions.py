"""A newsletter tool that is kept asks before it sends, and learns who is spared: no more, and nobody else's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at, word
from troth.cli.setting import TENANTS
from troth.errors import Invalid
from troth.evidence.checks.keeping import data_files, holds_any
from troth.use.suppressions import MOST_ADDRESSES
from troth.web.api_products import CHECKS

PATH = "/api/v1/suppressions/check"


def tool(vendor: Vendor, tenant: str = TENANT) -> str:
    """The key of a newsletter tool."""
    return vendor.system.products.create(tenant, "Newsletter tool", scopes=["suppressions"])[1]


def asked(vendor: Vendor, key: str, *addresses: str, purpose: str = "newsletter", host: str = "localhost") -> Any:
    """The question over HTTP: the answer."""
    body = {"purpose": purpose, "addresses": list(addresses)}
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return vendor.browser(host=host).http.request("POST", PATH, json=body, headers=headers)


def may(vendor: Vendor, key: str, *addresses: str, purpose: str = "newsletter") -> list[bool]:
    """Whether each may be written to."""
    answer = asked(vendor, key, *addresses, purpose=purpose)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"may"}
    return list(answer.json()["may"])


SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    lambda email: f" {email} ",
    lambda email: email.replace("@", "+summer@"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_who_objected_is_spared_under_every_spelling_and_after_their_erasure(
    vendor: Vendor, spelling: Callable[[str], str]
) -> None:
    key, ann, ben, nobody = tool(vendor), Person(), Person(), f"{word()}@elsewhere.example.org"
    anns = vendor.join("newsletter", ann)
    vendor.join("newsletter", ben)
    assert may(vendor, key, spelling(ann.email), ben.email, nobody) == [True, True, True]
    vendor.system.objections.object(TENANT, anns, "newsletter")
    assert may(vendor, key, nobody, spelling(ann.email), ben.email) == [True, False, True]
    vendor.system.erasures.erase(TENANT, anns)
    assert may(vendor, key, ben.email, spelling(ann.email)) == [True, False]


def test_an_objection_to_all_marketing_covers_the_newsletter_and_not_the_other_way_round(vendor: Vendor) -> None:
    key, ann, ben = tool(vendor), Person(), Person()
    vendor.system.objections.object(TENANT, vendor.join("newsletter", ann), "marketing")
    vendor.system.objections.object(TENANT, vendor.join("newsletter", ben), "newsletter")
    assert may(vendor, key, ann.email, ben.email) == [False, False]
    assert may(vendor, key, ann.email, ben.email, purpose="marketing") == [False, True]
    assert may(vendor, key, ann.email, ben.email, purpose="account") == [True, True]


def test_whose_data_is_set_aside_is_not_written_to_until_it_is_taken_up(vendor: Vendor) -> None:
    key, ann = tool(vendor), Person()
    sid = vendor.join("newsletter", ann)
    vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    assert may(vendor, key, ann.email) == [False]
    vendor.system.restrictions.lift(TENANT, sid)
    assert may(vendor, key, ann.email) == [True]


def test_what_is_no_address_is_not_written_to(vendor: Vendor) -> None:
    assert may(vendor, tool(vendor), "", "nobody", "a@b@c", "x@example.org\r\nBcc: y@example.org") == [False] * 4


def test_nothing_of_the_question_is_stored_or_logged(vendor: Vendor, caplog: pytest.LogCaptureFixture) -> None:
    key, ann, nobody = tool(vendor), Person(), f"{word()}@{word()}.example.org"
    vendor.system.objections.object(TENANT, vendor.join("newsletter", ann), "newsletter")
    vendor.system.work()
    before = vendor.everything()
    with caplog.at_level(logging.DEBUG):
        assert may(vendor, key, ann.email, nobody) == [False, True]
    assert vendor.everything() | {"tree": ""} == before | {"tree": ""}
    assert ann.email not in caplog.text
    assert nobody not in caplog.text
    assert not [file for file in data_files(vendor.system.inspector.inspection()) if holds_any(file, {nobody.encode()})]


def test_an_objection_at_one_controller_is_none_at_another(tmp_path: Path) -> None:
    with vendor_at(tmp_path / "vendor", tenants=TENANTS) as vendor:
        ann, ours, theirs = Person(), tool(vendor), tool(vendor, "harbour")
        vendor.system.objections.object(TENANT, vendor.join("newsletter", ann), "marketing")
        assert may(vendor, ours, ann.email) == [False]
        at_theirs = "harbour.managed.localhost"
        assert asked(vendor, theirs, ann.email, host=at_theirs).json() == {"may": [True]}
        assert asked(vendor, ours, ann.email, host=at_theirs).status_code == 401


def test_only_a_key_that_covers_it_asks_and_only_about_declared_purposes(vendor: Vendor) -> None:
    _, shop = vendor.system.products.create(TENANT, "Shop")
    assert asked(vendor, shop, "a@example.org").status_code == 403
    assert asked(vendor, "", "a@example.org").status_code == 401
    key = tool(vendor)
    answer = asked(vendor, key, "a@example.org", purpose="profiling")
    assert (answer.status_code, answer.json()["clause"]) == (422, "rights.object-marketing")
    assert asked(vendor, key).status_code == 422
    assert asked(vendor, key, *["a@example.org"] * (MOST_ADDRESSES + 1)).status_code == 422
    other = vendor.browser().http.request(
        "POST", "/api/v1/decisions", json={}, headers={"authorization": f"Bearer {key}"}
    )
    assert other.status_code == 403  # and it is good for nothing else
    with pytest.raises(Invalid):
        vendor.system.products.create(TENANT, "Greedy", scopes=["everything"])


def test_asking_is_slowed_down(vendor: Vendor) -> None:
    key = tool(vendor)
    answers = [asked(vendor, key, "a@example.org").status_code for _ in range(CHECKS.count + 1)]
    assert answers == [200] * CHECKS.count + [429]
