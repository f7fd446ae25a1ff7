"""A store to test: on SQLite, and the same again on PostgreSQL (D and K in a cluster each)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.postgres import Server
from tests.store.shop import Shop


@contextmanager
def on_postgresql(folder: Path, data: Server, keys: Server) -> Iterator[Shop]:
    """An installation on two servers, closed and given back at the end."""
    shop = Shop(folder)
    shop.data_url, shop.keys_url = urls = data.database(), keys.database()
    yield shop
    shop.close()
    data.give_back(urls[0])
    keys.give_back(urls[1])


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest) -> Shop:
    """An installation that can be opened, closed and opened again: on each of the two."""
    name = "lite" if request.param == "sqlite" else "pg"
    found: Shop = request.getfixturevalue(name)
    return found


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Shop]:
    """An installation on SQLite, for what only files can show."""
    shop = Shop(tmp_path / "troth")
    yield shop
    shop.close()


@pytest.fixture
def pg(tmp_path: Path, postgres_data: Server, postgres_keys: Server) -> Iterator[Shop]:
    """An installation on PostgreSQL, for what only a server can do."""
    with on_postgresql(tmp_path / "troth", postgres_data, postgres_keys) as shop:
        yield shop
