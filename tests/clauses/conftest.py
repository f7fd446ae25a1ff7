"""A system that one person has walked through, and copies of it to break."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clauses.vendor import Vendor, vendor_at
from troth.cli.demo import EXAMPLE, served
from troth.cli.setting import demonstration_config
from troth.cli.walk import Show, walk
from troth.evidence.board import BoardRow
from troth.web.running import Running, start
from troth.world import Clock

Open = Callable[..., Running]


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder after the demonstration's walk: Annabeth was erased, Ben stays."""
    folder = tmp_path_factory.mktemp("walked") / "data"
    with served(folder, 0, EXAMPLE, None, Show(quiet=True)) as stage:
        walk(stage)
        stage.system.retention.run()
    return folder


@pytest.fixture
def copy(walked: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be broken."""
    folder = tmp_path / "data"
    shutil.copytree(walked, folder)
    return folder


@pytest.fixture
def opened(copy: Path) -> Iterator[Open]:
    """Opens the copy (once per test, unless closed)."""
    systems: list[Running] = []

    def open_(clock: Clock | None = None) -> Running:
        systems.append(start(demonstration_config(copy, 0, 9), clock=clock))
        return systems[-1]

    yield open_
    for system in systems:
        system.close()


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """A vendor to whom nobody has come yet, on a clock of the test's own."""
    with vendor_at(tmp_path / "vendor") as found:
        yield found


def row(system: Running, clause: str) -> BoardRow:
    """How one clause stands on the board computed now."""
    return next(r for r in system.inspector.now().rows if r.clause == clause)
