"""Deleted keys are overwritten once for everybody who waits for it, and never for somebody who asked too late."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.store.shop import Shop
from tests.store.test_writer import until


def test_who_asks_before_it_begins_shares_it_and_who_asks_after_has_the_next(
    lite: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lite.open()
    begun: list[str] = []
    inside, go_on = threading.Event(), threading.Event()
    real = store.keys.checkpoint

    def checkpoint(mode: Any = "PASSIVE") -> bool:
        if mode == "TRUNCATE":
            begun.append(mode)
            inside.set()
            go_on.wait(30)
        return real(mode)

    monkeypatch.setattr(store.keys, "checkpoint", checkpoint)
    done: list[bool] = []

    def ask() -> None:
        done.append(store.truncate_keys())

    first = threading.Thread(target=ask)
    first.start()
    assert inside.wait(30)
    later = [threading.Thread(target=ask) for _ in range(8)]
    for thread in later:
        thread.start()
    until(lambda: store._truncation is not None)
    assert begun == ["TRUNCATE"]  # nobody of the eight was told that it was done: it began before they asked
    assert done == []
    go_on.set()
    for thread in (first, *later):
        thread.join(30)
    assert done == [True] * 9
    assert 2 <= len(begun) <= 4  # whoever came in time shared the second one
