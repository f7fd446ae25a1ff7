"""A house to test the vault in: on SQLite, and the same again on PostgreSQL (D and K in a cluster each)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vault.house import House


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """An installation that can be opened, closed and opened again."""
    house = House(tmp_path / "troth")
    drop: list[Callable[[], None]] = []
    if request.param == "postgresql":
        data, keys = request.getfixturevalue("postgres_data"), request.getfixturevalue("postgres_keys")
        house.data_url, house.keys_url = data.database(), keys.database()
        drop = [lambda: data.drop(house.data_url), lambda: keys.drop(house.keys_url)]
    yield house
    house.close()
    for one in drop:
        one()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[House]:
    """An installation on SQLite, for what only files can show."""
    house = House(tmp_path / "troth")
    yield house
    house.close()
