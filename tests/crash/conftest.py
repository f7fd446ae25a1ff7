"""The nursery of children to kill, one per test process, and installations for them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.shop import Shop

Order = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def order() -> Iterator[Order]:
    """Orders one child: what it is to do and when it is to die; gives what it said before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    into, out = process.stdin, process.stdout

    def send(shop: Shop, **wishes: Any) -> dict[str, Any]:
        place = {"folder": str(shop.folder), "data_url": shop.data_url, "keys_url": shop.keys_url}
        into.write(json.dumps({"plan": "mixed", "seed": 0, **place, **wishes}) + "\n")
        into.flush()
        answer: dict[str, Any] = json.loads(out.readline())
        return answer

    yield send
    into.close()
    process.wait(30)
    out.close()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Shop]:
    """An installation on SQLite."""
    shop = Shop(tmp_path / "troth")
    yield shop
    shop.close()
