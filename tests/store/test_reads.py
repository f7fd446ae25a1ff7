"""Reads are recorded before their answers leave: in blocks, without names, and refused if the person changed."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from tests.store.shop import NOON, Shop, bodies
from tests.store.test_writer import held, refuse_entries
from troth.errors import Busy, Conflict, Unavailable
from troth.store import tables
from troth.store.open import Store
from troth.store.reads import Read, Reads, opened
from troth.store.transaction import DataTx
from troth.store.writer import CAPACITY, Lane, Write
from troth.world import DAY_MS


def seal(eid: bytes, day: int, content: bytes) -> bytes:
    """Not a seal, but bytes that no longer are the content's: enough for what is tested here."""
    return bytes(b ^ 0x55 for b in eid[:1] * 0 + content)


def unseal(content: bytes) -> bytes:
    return seal(b"", 0, content)


def people(store: Store, count: int, mode: str = "live") -> list[bytes]:
    """So many subjects, in generation 1."""
    sids = [os.urandom(16) for _ in range(count)]

    def body(tx: DataTx) -> None:
        state = tx.execute(select(tables.states.c.id).where(tables.states.c.canonical == "{}")).scalar()
        if state is None:
            state = tx.execute(insert(tables.states).values(canonical="{}").returning(tables.states.c.id)).scalar()
        row = {"tenant": "main", "state_id": state, "mode": mode, "generation": 1, "created_ms": 0, "last_use_ms": 0}
        tx.execute(insert(tables.subjects), [{**row, "sid": sid} for sid in sids])

    store.write(Write(body))
    return sids


def change(store: Store, sid: bytes, **values: Any) -> None:
    def body(tx: DataTx) -> None:
        subjects = tables.subjects
        tx.execute(update(subjects).where(subjects.c.sid == sid).values(**values))

    store.write(Write(body))


def read_of(sid: bytes, generation: int = 1, mode: str = "live") -> Read:
    return Read("main", sid, generation, "newsletter", "purpose.newsletter", mode)


def blocks(store: Store) -> list[tuple[dict[str, Any], list[bytes]]]:
    """Each block's entry, with who stands beside it."""
    found = []
    beside = {
        bytes(row.eid): bytes(row.ct) for row in store.read(lambda c: c.execute(select(tables.read_blocks)).all())
    }
    for entry in map(json.loads, bodies(store)):
        if entry["kind"].startswith("read."):
            sealed = beside.pop(bytes.fromhex(entry["eid"]))
            assert sha256(sealed).hexdigest() == entry["facts"]["aux"]
            found.append((entry, [sid for _, sid, _, _ in opened(unseal(sealed))]))
    assert not beside
    return found


def test_reads_of_one_transaction_are_one_entry_that_names_nobody(shop: Shop) -> None:
    store = shop.open()
    sids = people(store, 20)
    reads = Reads(store, seal)
    eid = store.write(Write(lambda tx: reads.append(tx, [read_of(sid) for sid in sids]), lane=Lane.READ))
    ((entry, who),) = blocks(store)
    assert who == sids
    assert (entry["kind"], entry["eid"]) == ("read.block", eid.hex())
    assert entry["facts"]["n"] == 20
    assert entry["facts"]["purposes"] == [["newsletter", 20]]
    assert entry["clause"] == "purpose.newsletter"
    assert not any(sid.hex() in body.decode() or sid in body for sid in sids for body in bodies(store))
    day = store.read(lambda c: c.execute(select(tables.read_blocks.c.day)).scalar())
    assert day == NOON // DAY_MS


@pytest.mark.parametrize("changed", [{"generation": 2}, {"mode": "erasing"}, {"mode": "restricted"}, {"mode": "void"}])
def test_a_person_who_changed_since_the_read_is_refused_and_nothing_is_recorded(
    shop: Shop, changed: dict[str, Any]
) -> None:
    store = shop.open()
    one, two = people(store, 2)
    reads = Reads(store, seal)
    both = [read_of(one), read_of(two)]  # read in generation 1
    change(store, one, **changed)
    with pytest.raises(Conflict):
        reads.record(both)
    assert blocks(store) == []
    assert reads.record([read_of(two)])
    assert [who for _, who in blocks(store)] == [[two]]


def test_a_person_who_is_gone_is_refused_and_leaves_no_entry(shop: Shop) -> None:
    store = shop.open()
    reads = Reads(store, seal)
    with pytest.raises(Conflict):
        reads.record([read_of(os.urandom(16))])
    with pytest.raises(Conflict):
        reads.record([read_of(people(store, 1)[0])._replace(tenant="another")])
    assert blocks(store) == []


def test_a_rights_procedure_reads_a_restricted_person_as_such(shop: Shop) -> None:
    store = shop.open()
    (sid,) = people(store, 1, mode="restricted")
    reads = Reads(store, seal)
    with pytest.raises(Conflict):
        reads.record([read_of(sid)])
    assert reads.record([read_of(sid, mode="restricted")])


def test_a_job_that_scans_is_one_entry(shop: Shop) -> None:
    store = shop.open()
    sids = people(store, 300)
    eid = Reads(store, seal).record([read_of(sid) for sid in sids])
    ((entry, who),) = blocks(store)
    assert (entry["kind"], entry["facts"]["n"], who) == ("read.scan", 300, sids)
    assert entry["eid"] == eid.hex()


def test_no_read_is_admitted_that_could_not_be_recorded(shop: Shop) -> None:
    store = shop.open()
    (sid,) = people(store, 1)
    reads = Reads(store, seal)
    reads.admit()
    refuse_entries(store, True)
    try:
        with pytest.raises(Unavailable):
            reads.record([read_of(sid)])
        with pytest.raises(Unavailable):
            reads.admit()
        assert blocks(store) == []
    finally:
        refuse_entries(store, False)


def test_a_full_lane_refuses_before_anything_is_read(lite: Shop) -> None:
    store = lite.open()
    (sid,) = people(store, 1)
    reads = Reads(store, seal)
    with held(store):
        for _ in range(CAPACITY[Lane.READ]):
            store.submit(Write(lambda tx: None, lane=Lane.READ))
        with pytest.raises(Busy):
            reads.admit()
        with pytest.raises(Busy):
            reads.record([read_of(sid)])
    assert blocks(store) == []


def test_sabotage_a_block_whose_names_were_changed_no_longer_has_its_hash(lite: Shop) -> None:
    store = lite.open()
    one, two = people(store, 2)
    Reads(store, seal).record([read_of(one)])
    assert len(blocks(store)) == 1
    forged = unseal(store.read(lambda c: bytes(c.execute(select(tables.read_blocks.c.ct)).scalar_one()))).replace(
        one, two
    )

    def body(tx: DataTx) -> None:
        tx.execute(text("UPDATE read_blocks SET ct = :ct"), {"ct": seal(b"", 0, forged)})

    store.write(Write(body))
    with pytest.raises(AssertionError):
        blocks(store)
