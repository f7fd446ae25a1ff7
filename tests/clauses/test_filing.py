"""A product files a request for its user: it waits in the register like any other, and the product can follow it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.clauses.test_register_at_the_console import signed_in
from tests.clauses.vendor import TENANT, Person, Vendor
from troth.errors import Denied
from troth.rights.register import MONTH
from troth.use.products import Product
from troth.world import DAY_MS

PATH = "/api/v1/rights/requests"
ANN = "customer-4711"


class Shop:
    """One of the vendor's products, with its key."""

    def __init__(self, vendor: Vendor, name: str = "the shop", tenant: str = TENANT) -> None:
        self.vendor = vendor
        self.product, self.key = vendor.system.products.create(tenant, name)
        self.http = vendor.browser().http

    def ask(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, dict[str, Any]]:
        """What the interface answers."""
        headers = {"authorization": f"Bearer {self.key}", "accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        if key:
            headers["idempotency-key"] = key
        content = None if body is None else json.dumps(body).encode()
        got = self.http.request(method, path, content=content, headers=headers)
        return got.status_code, got.json()

    def file(self, reference: str = ANN, kind: str = "access", key: str = "", **more: str) -> dict[str, Any]:
        """A request that was taken down."""
        status, filed = self.ask("POST", PATH, {"reference": reference, "kind": kind, **more}, key)
        assert status == 201, filed
        return filed

    def follow(self, request: str) -> tuple[int, dict[str, Any]]:
        """How it stands."""
        return self.ask("GET", f"{PATH}/{request}")


@pytest.fixture
def shop(vendor: Vendor) -> Shop:
    made = Shop(vendor)
    vendor.system.products.register(made.product, ANN)
    return made


def test_it_waits_in_the_register_with_its_month(vendor: Vendor, shop: Shop) -> None:
    filed, now = shop.file(), vendor.clock.now()
    (case,) = vendor.system.procedures.waiting(TENANT)
    assert (case.id.hex(), case.road, case.received_ms, case.due_ms) == (
        filed["request"],
        "product",
        now,
        MONTH.after(now),
    )
    assert case.sid == vendor.system.products.find(TENANT, ANN)
    assert filed == {
        "request": case.id.hex(),
        "kind": "access",
        "state": "requested",
        "received": now,
        "due": case.due_ms,
        "by": "2026-04-02",
        "extended": False,
        "reason": None,
        "ended": None,
    }
    entry = json.loads(vendor.entries("rights.received")[-1])
    assert (entry["actor"], entry["facts"]["road"]) == (shop.product.actor, "product")


def test_the_product_follows_it_to_its_end(vendor: Vendor, shop: Shop) -> None:
    own, filed = vendor.system.procedures, shop.file()
    rid, sid = bytes.fromhex(filed["request"]), vendor.system.products.find(TENANT, ANN) or b""
    own.prove(TENANT, rid, sid, "call", actor="system")
    assert shop.follow(filed["request"])[1]["state"] == "proven"
    own.extend(TENANT, rid, "complex", actor="system", printed=True)
    status, told = shop.follow(filed["request"])
    assert (status, told["extended"], told["by"], told["reason"]) == (200, True, "2026-06-02", "complex")
    own.refuse(TENANT, rid, "law", actor="system", printed=True)
    status, told = shop.follow(filed["request"])
    assert (status, told["state"], told["reason"], told["ended"]) == (200, "refused", "law", vendor.clock.now())


def test_an_erasure_takes_the_request_with_it(vendor: Vendor, shop: Shop) -> None:
    own, filed = vendor.system.procedures, shop.file(kind="erasure")
    rid, sid = bytes.fromhex(filed["request"]), vendor.system.products.find(TENANT, ANN) or b""
    own.prove(TENANT, rid, sid, "call", actor="system")
    own.fulfil(TENANT, rid, actor="system")
    assert shop.follow(filed["request"])[0] == 404
    assert vendor.system.products.find(TENANT, ANN) is None


def test_a_key_is_no_proof_of_who_asks(vendor: Vendor, shop: Shop) -> None:
    filed = shop.file(kind="erasure")
    vendor.system.work()
    vendor.clock.advance(DAY_MS)
    vendor.system.work()
    assert shop.follow(filed["request"])[1]["state"] == "requested"
    assert vendor.system.products.find(TENANT, ANN) is not None


def test_a_repetition_is_the_same_request(vendor: Vendor, shop: Shop) -> None:
    first = shop.file(key="ticket-0001")
    vendor.clock.advance(DAY_MS)
    assert shop.file(key="ticket-0001") == first
    assert shop.file(key="ticket-0002") == first  # the same right asked again while it waits
    assert shop.ask("POST", PATH, {"reference": ANN, "kind": "erasure"}, "ticket-0001")[0] == 409
    assert len(vendor.system.procedures.waiting(TENANT)) == 1
    assert [len(vendor.entries(kind)) for kind in ("rights.received", "rights.repeated")] == [1, 1]


def test_what_came_by_letter_is_the_same_request_and_followed_by_who_asked_too(vendor: Vendor, shop: Shop) -> None:
    sid = vendor.system.products.find(TENANT, ANN)
    received = vendor.clock.now() - 3 * DAY_MS
    letter = vendor.system.procedures.record(TENANT, "access", received, road="letter", actor="system", sid=sid).case
    assert shop.follow(letter.id.hex())[0] == 404  # none of this product's
    assert shop.file()["received"] == received
    assert shop.follow(letter.id.hex())[0] == 200


def test_strangers_are_answered_like_anybody_and_no_product_follows_anothers(vendor: Vendor, shop: Shop) -> None:
    other = Shop(vendor, "the desk")
    known, unknown = shop.file(), shop.file("customer-0815")
    shown = {name: value for name, value in known.items() if name != "request"}
    assert shown == {name: value for name, value in unknown.items() if name != "request"}
    assert {one.sid is None for one in vendor.system.procedures.waiting(TENANT)} == {True, False}
    missing = other.follow("00" * 16)
    assert missing[0] == 404
    for request in (known["request"], unknown["request"]):
        status, told = other.follow(request)
        assert (status, told["detail"]) == (404, missing[1]["detail"])
    assert other.file()["request"] == known["request"]  # their user too: from here on theirs to follow
    assert other.follow(known["request"])[0] == 200


def test_nothing_of_the_user_stands_in_the_register_or_the_answer(vendor: Vendor, shop: Shop) -> None:
    filed = shop.file("customer-0815")
    held = repr(vendor.rows("SELECT * FROM rights_requests")) + repr(vendor.rows("SELECT * FROM ledger"))
    assert "customer-0815" not in held + json.dumps(filed)
    assert not any(marker in held for marker in Person().markers)


@pytest.mark.parametrize(
    "body",
    [
        {"reference": ANN},
        {"reference": ANN, "kind": "everything"},
        {"reference": ANN, "kind": "complaint"},  # granted by no clause
        {"reference": ANN, "kind": "access", "on_behalf": "a friend"},
        {"reference": "", "kind": "access"},
        {"reference": ANN, "kind": "access", "language": "../en"},
        {"reference": ANN, "kind": "access", "email": "ann@example.org"},
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_taken_down(vendor: Vendor, shop: Shop, body: dict[str, str]) -> None:
    before = vendor.everything()
    assert shop.ask("POST", PATH, body)[0] == 422
    assert vendor.everything() == before


def test_a_key_of_before_does_not_cover_it(vendor: Vendor, shop: Shop) -> None:
    narrow = Product(shop.product.id, TENANT, "the shop", frozenset({"subjects", "decisions"}))
    vendor.system.products.prove = lambda key, tenant=None: narrow  # type: ignore[method-assign]  # a key made before
    assert shop.ask("POST", PATH, {"reference": ANN, "kind": "access"})[0] == 403
    assert shop.follow("00" * 16)[0] == 403


def test_the_people_at_the_register_see_which_product_to_ask(vendor: Vendor, shop: Shop) -> None:
    desk = signed_in(vendor, "officer")
    for request in (shop.file()["request"], shop.file("customer-0815")["request"]):
        shown = desk.open(f"/console/requests/{request}").body.decode()
        assert "Filed by the product" in shown
        assert "the shop" in shown
    vendor.system.procedures.record(TENANT, "access", vendor.clock.now(), road="letter", actor="system")
    (letter,) = [one for one in vendor.system.procedures.waiting(TENANT) if one.road == "letter"]
    assert "Filed by the product" not in desk.open(f"/console/requests/{letter.id.hex()}").body.decode()


def test_a_parent_asks_and_shows_that_they_may(vendor: Vendor, shop: Shop) -> None:
    filed = shop.file(on_behalf="parent")
    (case,) = vendor.system.procedures.waiting(TENANT)
    assert (case.id.hex(), case.on_behalf) == (filed["request"], "parent")


def test_the_clock_that_is_behind_counts_for_up_to_a_day(vendor: Vendor, shop: Shop) -> None:
    right = vendor.clock.now()
    vendor.clock.advance(DAY_MS // 2)  # ahead, for a while
    vendor.system.work()
    vendor.clock.now_ms = right
    assert shop.file()["received"] == right


def test_no_letter_is_promised_to_who_has_no_address(vendor: Vendor, shop: Shop) -> None:
    own, rid = vendor.system.procedures, bytes.fromhex(shop.file()["request"])
    assert own.get(TENANT, rid).acknowledged_ms is None
    with pytest.raises(Denied):
        own.refuse(TENANT, rid, "law", actor="system")
    assert not own.refuse(TENANT, rid, "law", actor="system", printed=True).lettered  # or told by the product
    vendor.letters()
    assert vendor.rows("SELECT 1 FROM messages") == []
