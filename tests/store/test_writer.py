"""The writer: what is acknowledged is durable and stands in the ledger; what fails, fails alone."""

from __future__ import annotations

import os

from tests.store.shop import Shop, faults, naming, products


def test_a_write_and_its_entry_are_there_after_closing_and_opening_again(shop: Shop) -> None:
    store = shop.open()
    pids = [os.urandom(16) for _ in range(20)]
    for pid in pids:
        assert store.write(naming(pid)) == pid
    assert products(store) == set(pids)
    assert faults(store) == []
    shop.close()
    assert products(shop.open()) == set(pids)
    assert faults(shop.open()) == []
