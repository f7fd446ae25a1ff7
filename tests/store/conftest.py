"""A store to test: on SQLite, and the same again on PostgreSQL (D and K in a cluster each)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.shop import Shop


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """An installation that can be opened, closed and opened again."""
    shop = Shop(tmp_path / "troth")
    back: list[Callable[[], None]] = []
    if request.param == "postgresql":
        data, keys = request.getfixturevalue("postgres_data"), request.getfixturevalue("postgres_keys")
        shop.data_url, shop.keys_url = data.database(), keys.database()
        back = [lambda: data.give_back(shop.data_url), lambda: keys.give_back(shop.keys_url)]
    yield shop
    shop.close()
    for one in back:
        one()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Shop]:
    """An installation on SQLite, for what only files can show."""
    shop = Shop(tmp_path / "troth")
    yield shop
    shop.close()
