"""A system that was lived in, and its exports, made once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clauses.vendor import vendor_at
from tests.moving.house import Lived, board, decisions, export, live
from troth.store.moving.manifest import Manifest


@dataclass(frozen=True)
class Left:
    """What is left of a system that moved away, and what it was."""

    old: Path
    copy: Path
    final: Path
    manifest: Manifest
    lived: Lived
    board: dict[str, str]
    decisions: dict[tuple[object, ...], object]
    letters: int


@pytest.fixture(scope="session")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Lived in, exported as a copy, exported for good. Not to be changed."""
    place = tmp_path_factory.mktemp("left")
    with vendor_at(place / "old") as vendor:
        lived = live(vendor)
        shown, decided = board(vendor.system), decisions(vendor.system)
        export(vendor.system, place / "copy", final=False)
        manifest = export(vendor.system, place / "final")
        letters = len(vendor.box.letters)
    return Left(place / "old", place / "copy", place / "final", manifest, lived, shown, decided, letters)


@pytest.fixture
def out(left: Left, tmp_path: Path) -> Path:
    """A copy of the final export, to be tampered with."""
    return Path(shutil.copytree(left.final, tmp_path / "out"))
