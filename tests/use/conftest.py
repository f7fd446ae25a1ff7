"""The house that tests of ``use`` live in: on SQLite, and where it matters the same again on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.use.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An installation on SQLite."""
    house = House(tmp_path / "troth")
    yield house
    house.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """An installation on SQLite, then one on PostgreSQL."""
    if request.param == "sqlite":
        house = House(tmp_path / "troth")
        yield house
        house.close()
        return
    data, keys = request.getfixturevalue("postgres_data"), request.getfixturevalue("postgres_keys")
    urls = data.database(), keys.database()
    house = House(tmp_path / "troth", data_url=urls[0], keys_url=urls[1])
    yield house
    house.close()
    data.give_back(urls[0])
    keys.give_back(urls[1])
