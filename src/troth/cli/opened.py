"""A system opened by a command that does not serve it; refused with one clear sentence while another process does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from troth.config import read_config

if TYPE_CHECKING:
    from troth.web.running import Running


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Running]:
    """The system of a data folder; ``Locked`` (exit 2) while another process works on it."""
    from troth.web.running import start

    system = start(read_config(folder))
    try:
        yield system
    finally:
        system.close()
