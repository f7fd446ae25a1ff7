"""A served system to attack, and a clean data folder that others are copied from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import Serving, serving, set_up
from troth.config import read_config
from troth.web.running import start

MARKER = "qzx7marker"
"""Stands in every value that these tests send: nothing that a server writes to its terminal may hold it."""


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A system that answers while it is attacked. At the end it is well, and has written down nothing of anybody."""
    folder = set_up(tmp_path_factory.mktemp("attacked") / "data", 'trusted_proxies = ["127.0.0.1"]\n')
    with serving(folder) as server:
        yield server
        assert server.get("/health").json()["status"] == "ok"
    assert server.process.returncode == 0
    assert MARKER not in server.said
    assert "Traceback" not in server.said


@pytest.fixture(scope="session")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that a system has run in."""
    folder = set_up(tmp_path_factory.mktemp("used") / "data")
    system = start(read_config(folder, {}))
    system.operators.first("admin")
    system.close()
    return folder


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of another system."""
    folder = set_up(tmp_path_factory.mktemp("others") / "data")
    start(read_config(folder, {})).close()
    return folder
