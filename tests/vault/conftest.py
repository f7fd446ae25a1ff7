"""A house to test the vault in: on SQLite, and the same again on PostgreSQL (D and K in a cluster each)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server
from tests.vault.house import House


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """An installation that can be opened, closed and opened again."""
    house = House(tmp_path / "troth")
    servers: list[Server] = []
    if request.param == "postgresql":
        servers = [request.getfixturevalue(name) for name in ("postgres_data", "postgres_keys")]
        house.data_url, house.keys_url = (server.database() for server in servers)
    yield house
    house.close()
    for server, url in zip(servers, (house.data_url, house.keys_url), strict=False):
        server.give_back(url)


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[House]:
    """An installation on SQLite, for what only files can show."""
    house = House(tmp_path / "troth")
    yield house
    house.close()
