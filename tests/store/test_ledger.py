"""Entries: one spelling, no personal data, and a commitment that only the right secret opens."""

from __future__ import annotations

import hmac
import json
import os
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.shop import NOON, Shop, bodies, faults, faults_in, naming
from troth.store.engine import open_database
from troth.store.ledger import MAX_BODY, EntryDraft, make_entry, opening_key, opens
from troth.store.writer import Write
from troth.world import SetClock

EID = bytes(range(16))
SECRET = bytes(range(32))
DRAFT = EntryDraft("intake.accepted", "collect.newsletter", "intake.declared", "visitor", "newsletter")


def canonical(members: dict[str, Any]) -> bytes:
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


facts = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.one_of(
        st.integers(-(2**53), 2**53),
        st.booleans(),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
        st.lists(st.integers(0, 9), max_size=3),
    ),
    max_size=4,
)


@given(facts)
def test_an_entrys_bytes_are_what_any_json_library_writes_in_canonical_form(given_facts: dict[str, Any]) -> None:
    draft = EntryDraft("a.b", "c.d", "e.f", facts=given_facts, refers=EID)
    entry = make_entry(draft, EID, NOON, "2026-01-15", SECRET)
    assert canonical(json.loads(entry.body)) == entry.body
    assert entry.leaf == sha256(b"\x00" + entry.body).digest()


def test_the_commitment_is_the_one_that_is_written_down() -> None:
    entry = make_entry(DRAFT, EID, NOON, "2026-01-15", SECRET)
    members = json.loads(entry.body)
    subject = members.pop("subject")
    key = hmac.digest(SECRET, b"open" + EID, "sha256")
    assert subject == hmac.digest(key, sha256(canonical(members)).digest(), "sha256").hex()
    assert members["purpose"] == "newsletter"
    assert members["actor"] == "visitor"


def test_a_receipts_key_opens_its_own_entry_and_no_other_of_the_same_person() -> None:
    first = make_entry(DRAFT, EID, NOON, "v", SECRET)
    second = make_entry(DRAFT, bytes(16), NOON, "v", SECRET)
    key = opening_key(SECRET, EID)
    assert opens(key, first.body)
    assert not opens(key, second.body)
    assert not opens(opening_key(bytes(32), EID), first.body)
    assert not opens(key, make_entry(DRAFT, EID, NOON, "v").body)


def test_sabotage_an_entry_changed_after_the_fact_does_not_open() -> None:
    entry = make_entry(DRAFT, EID, NOON, "v", SECRET)
    changed = entry.body.replace(b'"newsletter"', b'"advertising"')
    assert changed != entry.body
    assert not opens(opening_key(SECRET, EID), changed)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_a_secret_of_another_length_is_refused_since_two_would_open_the_same(secret: bytes) -> None:
    with pytest.raises(ValueError, match="exactly 32 bytes"):
        make_entry(DRAFT, EID, NOON, "v", secret)


@pytest.mark.parametrize("fact", [1.5, b"bytes", {"nested": 1}, None, [1.5], [[[1]]]])
def test_facts_that_have_more_than_one_spelling_are_refused(fact: Any) -> None:
    with pytest.raises(ValueError, match="facts are"):
        make_entry(EntryDraft("a.b", "c", "m", facts={"x": fact}), EID, NOON, "v")


def test_an_entry_that_no_bundle_could_hold_fails_alone(shop: Shop) -> None:
    store = shop.open()

    def too_large(tx: Any) -> None:
        tx.append(EntryDraft("a.b", "c", "m", facts={"x": "x" * MAX_BODY}))

    with pytest.raises(ValueError, match="more than 65535"):
        store.write(Write(too_large))
    store.write(naming(os.urandom(16)))
    assert faults(store) == []


def test_the_ledgers_time_never_goes_back_even_when_the_clock_does(shop: Shop) -> None:
    clock = SetClock(NOON)
    shop.clock = clock
    store = shop.open()
    for step in (0, 1000, -500_000, 250_000, 300_000, -1_000_000):
        clock.advance(step)
        store.write(naming(os.urandom(16)))
    times = [json.loads(body)["at"] for body in bodies(store)]
    assert times == sorted(times)
    assert times[1] == times[2] > times[0]
    assert faults(store) == []
    shop.close()
    clock.now_ms = NOON - 10_000_000
    shop.open().write(naming(os.urandom(16)))
    assert faults(shop.open()) == []


def test_the_policy_in_force_stands_in_the_entry(shop: Shop) -> None:
    store = shop.open()
    versions = iter(["2026-01-15", "2026-02-15"])
    store.policy_version = lambda: next(versions)
    store.write(naming(os.urandom(16)))
    store.write(naming(os.urandom(16)))
    assert [json.loads(body)["policy"] for body in bodies(store)] == ["2026-01-15", "2026-02-15"]


@pytest.mark.parametrize(
    ("finding", "damage"),
    [
        ("effects without entry", "DELETE FROM ledger WHERE seq = 2"),
        ("entries without effect", "DELETE FROM products WHERE id = (SELECT id FROM products LIMIT 1)"),
        ("do not run from 0", "UPDATE ledger SET seq = 7 WHERE seq = 2"),
        ("do not make the tree's root", "UPDATE ledger SET body = CAST(body || ' ' AS BLOB) WHERE seq = 1"),
        ("the ledger's time goes back", "UPDATE ledger SET at_ms = 5 WHERE seq = 1"),
    ],
)
def test_sabotage_the_check_over_effects_and_entries_sees_each_damage(lite: Shop, finding: str, damage: str) -> None:
    store = lite.open()
    for _ in range(3):
        store.write(naming(os.urandom(16)))
    with store.data.connect() as connection:
        assert faults_in(connection) == []
    lite.close()
    database = open_database(lite.config.data_database, "data")
    with database.transaction() as connection:
        connection.exec_driver_sql(damage)
        found = faults_in(connection)
    database.close()
    assert any(finding in fault for fault in found)
