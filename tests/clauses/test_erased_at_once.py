"""Invariant 27: somebody with 100,000 rows is unreadable as fast as somebody with 10."""

from __future__ import annotations

import time
from secrets import token_bytes

import pytest
from sqlalchemy import text

from tests.clauses.vendor import TENANT, Person, Vendor
from troth.store import Write
from troth.store.engine import driver
from troth.store.transaction import DataTx

ROUNDS = 10
COLUMNS = "tenant, sid, rid, terms_id, class, schema, anchor_ms, eid, ct"
OTHER = text(
    "INSERT INTO terms (controller, surface, point, version)"
    " SELECT controller, surface, 'activity', version FROM terms WHERE point <> 'activity' LIMIT 1"
    " ON CONFLICT DO NOTHING"
)


def laden(vendor: Vendor, rows: int) -> bytes:
    """Somebody who subscribed and has an account, with this many rows of another kind beside.

    Two places with an address: whoever looks for the newest of both must not go through everything else.
    """
    ann = Person()
    vendor.join("newsletter", ann)
    sid = vendor.join("registration", ann)

    def add(tx: DataTx) -> None:
        tx.execute(OTHER)
        other = tx.execute(text("SELECT id FROM terms WHERE point = 'activity'")).scalar()
        mine = text(f"SELECT {COLUMNS} FROM personal_records WHERE sid = :s LIMIT 1")
        tenant, _, _, _, class_, schema, anchor, eid, _ = tuple(tx.execute(mine, {"s": sid}).one())
        batch = [(tenant, sid, token_bytes(16), other, class_, schema, anchor, eid, b"x" * 120) for _ in range(rows)]
        marks = ", ".join("?" * 9)
        driver(tx.connection).executemany(f"INSERT INTO personal_records ({COLUMNS}) VALUES ({marks})", batch)

    vendor.system.store.write(Write(add))
    vendor.system.store.writer.control(lambda: vendor.system.store.data.checkpoint("TRUNCATE")).result()
    return sid


def until_unreadable(vendor: Vendor, sid: bytes) -> float:
    """CPU seconds from the order to the keys' destruction, looked for (t1): other processes do not add to them."""
    erasures = vendor.system.erasures
    began = time.process_time()
    order = erasures.order(TENANT, sid, actor="system")
    row = erasures._order(order)
    erasures._make_unreadable(order, TENANT, sid, row["ordered_ms"])
    took = time.process_time() - began
    assert tuple(vendor.system.vault.look(TENANT, sid)) == (0, 0)
    assert erasures.certificate(order).unreadable_ms is not None
    return took


@pytest.mark.parametrize("rows", [10_000, pytest.param(100_000, marks=pytest.mark.full)])
def test_how_much_somebody_has_does_not_delay_the_moment_they_are_unreadable(vendor: Vendor, rows: int) -> None:
    """The best of each, taken in turns: what else this process does makes a run slower, never faster."""
    few = [laden(vendor, 10) for _ in range(ROUNDS)]
    many = [laden(vendor, rows) for _ in range(ROUNDS)]
    until_unreadable(vendor, laden(vendor, 10))  # the first pays for what is made once
    small, large = [], []
    for one, other in zip(few, many, strict=True):
        large.append(until_unreadable(vendor, other))
        small.append(until_unreadable(vendor, one))
    ratio = min(large) / min(small)
    print(f"t1: 10 rows {min(small) * 1000:.2f} ms, {rows} rows {min(large) * 1000:.2f} ms, ratio {ratio:.2f}")
    assert ratio <= 1.2
