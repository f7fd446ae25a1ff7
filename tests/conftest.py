"""What every test may use. Each folder adds its own fixtures in a ``conftest.py`` of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--full``: also the long runs."""
    parser.addoption("--full", action="store_true", default=False, help="also the long runs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--full`` the long runs are skipped, visibly. A browser comes last in whatever process it runs.

    Playwright keeps an event loop running on the main thread until the process ends: no test after it could run one.
    """
    items.sort(key=lambda item: item.path.parent.name == "browser")
    if config.getoption("--full"):
        return
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="a long run: --full"))


@pytest.fixture(scope="session")
def postgres_data() -> Iterator[Server]:
    """A PostgreSQL cluster for D, one per test process."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_keys() -> Iterator[Server]:
    """Another cluster, for K."""
    server = Server()
    yield server
    server.stop()
