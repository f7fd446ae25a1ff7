"""A house to test the vault in: on SQLite, and the same again on PostgreSQL (D and K in a cluster each).

On PostgreSQL the houses of a test process share two databases, emptied after each test: making new ones costs a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.postgres import Server
from tests.vault.house import House


@pytest.fixture(scope="session")
def databases(postgres_data: Server, postgres_keys: Server) -> tuple[str, str]:
    """URLs of D and K on PostgreSQL."""
    return postgres_data.database(), postgres_keys.database()


def empty(url: str) -> None:
    """Remove every row that a test left, but what migrations wrote."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        ).fetchall()
        # Without foreign keys for this session; TRUNCATE would make a new file for each table and index.
        steps: list[sql.Composable] = [sql.SQL("SET session_replication_role = replica")]
        steps += [sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for (name,) in found]
        connection.execute(sql.SQL("; ").join(steps))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """An installation that can be opened, closed and opened again."""
    house = House(tmp_path / "troth")
    if request.param == "postgresql":
        house.data_url, house.keys_url = request.getfixturevalue("databases")
    yield house
    house.close()
    for url in (house.data_url, house.keys_url):
        if url:
            empty(url)


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[House]:
    """An installation on SQLite, for what only files can show."""
    house = House(tmp_path / "troth")
    yield house
    house.close()
