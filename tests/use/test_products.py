"""A product asks before it uses an account, and whatever is not a proven yes is a no with its entry."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import Table, func, select

from tests.use.house import House
from troth.errors import Denied, Invalid, NotFound, Unavailable, Unproven
from troth.policy.model import Grant
from troth.store import Write
from troth.store.tables import personal_records, products, subjects
from troth.use.products import Asked, Product, Products
from troth.world import DAY_MS

REFERENCE = "customer-4711/åäö"


@pytest.fixture
def door(house: House) -> Products:
    return Products(house.store, house.vault, house.versions, house.gate)


@pytest.fixture
def product(door: Products) -> Product:
    return door.create("main", "the desktop product")[0]


def grant(house: House, sid: bytes) -> None:
    house.change(sid, grants=frozenset({Grant("newsletter", "email", "newsletter-1")}))


def test_a_key_proves_its_product_until_it_ends_and_is_kept_only_as_a_hash(house: House, door: Products) -> None:
    made, key = door.create("main", "the desktop product")
    assert door.prove(key) == made
    for wrong in ("", key[:-1], key + "x", "troth_" + "A" * 43, "\udcff"):
        with pytest.raises(Unproven):
            door.prove(wrong)
    stored = house.store.read(lambda c: c.execute(select(products)).all())
    assert key not in str(stored)
    assert door.end(made.id)
    assert not door.end(made.id)
    with pytest.raises(Unproven):
        door.prove(key)
    assert [entry["kind"] for entry in house.entries("product.created", "product.ended")] == [
        "product.created",
        "product.ended",
    ]


def test_a_declared_use_of_a_registered_account_is_allowed_with_its_entry(
    house: House, door: Products, product: Product
) -> None:
    assert door.register(product, REFERENCE).created
    decided = door.decide(product, Asked(REFERENCE, "account", ("email", "name")))
    assert (decided.allowed, decided.clauses, decided.gaps) == (True, ("purpose.provide",), ())
    (entry,) = house.entries("decision.made")
    assert (entry["eid"], entry["actor"], entry["purpose"]) == (decided.entry, product.actor, "account")
    assert entry["facts"] == {"allowed": True, "clauses": ["purpose.provide"], "gaps": [], "fields": 2}
    assert "subject" in entry


def test_an_unknown_reference_is_answered_in_the_same_shape_with_a_no(
    house: House, door: Products, product: Product
) -> None:
    decided = door.decide(product, Asked("nobody", "account", ("email",)))
    assert not decided.allowed
    assert decided.clauses
    assert decided.gaps == ("record:account.reference",)
    (entry,) = house.entries("decision.made")
    assert "subject" not in entry
    assert "nobody" not in str(entry)


def test_a_consent_and_an_objection_change_the_next_answer(house: House, door: Products, product: Product) -> None:
    door.register(product, REFERENCE)
    asked = Asked(REFERENCE, "newsletter", ("email",), "email")
    assert "grant:newsletter" in door.decide(product, asked).gaps
    sid = door.find("main", REFERENCE)
    assert sid is not None
    grant(house, sid)
    assert door.decide(product, asked).allowed
    house.stop(sid, "marketing")
    assert "stop:marketing" in door.decide(product, asked).gaps


@pytest.mark.parametrize(
    ("purpose", "fields"),
    [("account", ("phone",)), ("support", ("email",)), ("anything at all", ("email",)), ("account", ())],
)
def test_what_is_not_declared_for_accounts_is_a_no(
    door: Products, product: Product, purpose: str, fields: tuple[str, ...]
) -> None:
    door.register(product, REFERENCE)
    assert not door.decide(product, Asked(REFERENCE, purpose, fields)).allowed


def test_nothing_that_a_product_sends_is_repeated_in_the_ledger(house: House, door: Products, product: Product) -> None:
    door.register(product, "ann@example.org")
    decided = door.decide(product, Asked("ann@example.org", "ann@example.org", ("ann@example.org",), "ann@example.org"))
    assert "ann@" not in f"{house.entries()} {decided}"


def test_the_reference_is_kept_sealed_and_found_by_nothing_else(house: House, door: Products, product: Product) -> None:
    door.register(product, REFERENCE)
    house.store.write(Write(lambda tx: None))
    for file in house.config.folder.rglob("*"):
        if file.is_file():
            assert b"customer-4711" not in file.read_bytes(), file.name


def test_registering_again_changes_nothing_and_two_at_once_make_one_person(
    house: House, door: Products, product: Product
) -> None:
    threads = [threading.Thread(target=door.register, args=(product, REFERENCE)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not door.register(product, REFERENCE).created

    def count(table: Table) -> int:
        return int(house.store.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))

    assert (count(subjects), count(personal_records)) == (1, 1)
    assert len(house.entries("intake.accepted")) == 1
    assert len(house.entries("product.reported")) == 8


def test_an_account_that_has_ended_is_used_no_more_and_erased_in_time(
    house: House, door: Products, product: Product
) -> None:
    with pytest.raises(NotFound):
        door.register(product, REFERENCE, active=False)
    door.register(product, REFERENCE)
    assert door.decide(product, Asked(REFERENCE, "account", ("email",))).allowed
    door.register(product, REFERENCE, active=False)
    assert door.decide(product, Asked(REFERENCE, "account", ("email",))).gaps == ("phase",)
    house.clock.advance(31 * DAY_MS)
    assert door.decide(product, Asked(REFERENCE, "account", ("email",))).gaps == ("keep:account",)


def test_an_erased_account_is_nobodys(house: House, door: Products, product: Product) -> None:
    door.register(product, REFERENCE)
    sid = door.find("main", REFERENCE)
    assert sid is not None
    house.erase(sid)
    decided = door.decide(product, Asked(REFERENCE, "account", ("email",)))
    assert (decided.allowed, decided.gaps) == (False, ("record:account.reference",))


def test_products_of_another_tenant_see_nothing(door: Products, product: Product) -> None:
    door.register(product, REFERENCE)
    other = door.create("other", "a product elsewhere")[0]
    assert not door.decide(other, Asked(REFERENCE, "account", ("email",))).allowed


@pytest.mark.parametrize("reference", ["", " x", "x" * 300, "a\0b", "a\nb"])
def test_a_reference_that_does_not_fit_is_refused(door: Products, product: Product, reference: str) -> None:
    with pytest.raises(Invalid):
        door.register(product, reference)
    assert not door.decide(product, Asked(reference, "account", ("email",))).allowed


def test_a_product_on_a_surface_that_collects_no_accounts_is_refused(door: Products) -> None:
    elsewhere = door.create("main", "a site", surface="site:www")[0]
    with pytest.raises(Denied):
        door.register(elsewhere, REFERENCE)


def test_a_yes_about_somebody_who_changed_meanwhile_is_taken_back(
    house: House, door: Products, product: Product
) -> None:
    door.register(product, REFERENCE)
    sid = door.find("main", REFERENCE)
    assert sid is not None
    grant(house, sid)
    answers = door._answers
    changed: list[bool] = []

    def slow(*args: object) -> object:
        found = answers(*args)  # type: ignore[arg-type]  # passed on as they came
        if not changed:
            changed.append(True)
            house.stop(sid, "newsletter")
        return found

    door._answers = slow  # type: ignore[method-assign,assignment]  # the moment between deciding and recording
    decided = door.decide(product, Asked(REFERENCE, "newsletter", ("email",), "email"))
    assert not decided.allowed
    assert [entry["facts"]["allowed"] for entry in house.entries("decision.made")] == [False]


def test_many_questions_are_one_write_and_an_entry_each(house: House, door: Products, product: Product) -> None:
    door.register(product, REFERENCE)
    asked = [Asked(REFERENCE if even else "nobody", "account", ("email",)) for even in (True, False) * 20]
    decided = door.decide_many(product, asked)
    assert [each.allowed for each in decided] == [True, False] * 20
    assert len({each.entry for each in decided}) == 40


def test_the_answer_is_the_same_on_an_event_loop(house: House, door: Products, product: Product) -> None:
    door.register(product, REFERENCE)

    async def ask() -> list[bool]:
        questions = [door.adecide(product, Asked(REFERENCE, "account", ("email",))) for _ in range(10)]
        return [each.allowed for each in await asyncio.gather(*questions)]

    assert asyncio.run(ask()) == [True] * 10
    assert len(house.entries("decision.made")) == 10


def test_without_a_ledger_there_is_no_answer(house: House, door: Products, product: Product) -> None:
    door.register(product, REFERENCE)
    house.store.close()
    with pytest.raises(Unavailable):
        door.decide(product, Asked(REFERENCE, "account", ("email",)))
