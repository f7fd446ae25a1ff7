"""The keys that hang from a root, taken from under one and put under another. All others hang from these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from troth.errors import Damaged
from troth.store.tables import epochs, secrets
from troth.vault.provider import RootProvider
from troth.vault.wrapping import framed

Rewrap = Callable[[Any, RootProvider, RootProvider], Any]
"""A row with its key opened under the first root and wrapped under the second."""


def open_secret(row: Any, root: RootProvider) -> bytes:
    """The system's own secret of this row."""
    return root.unwrap(row.wrapped, framed("secret", row.name), f"the secret {row.name!r}")


def open_epoch(row: Any, root: RootProvider) -> bytes | None:
    """The epoch's key; None once it is destroyed."""
    return None if row.wrapped is None else root.open_epoch(row.epoch, row.wrapped)


def secret(row: Any, old: RootProvider, new: RootProvider) -> Any:
    """A row of ``secrets``."""
    return replace(row, wrapped=new.wrap(open_secret(row, old), framed("secret", row.name)))


def epoch(row: Any, old: RootProvider, new: RootProvider) -> Any:
    """A row of ``epochs``. A destroyed one has nothing to wrap."""
    key = open_epoch(row, old)
    return row if key is None else replace(row, provider=new.name, wrapped=new.adopt_epoch(row.epoch, key))


REWRAP: dict[str, Rewrap] = {secrets.name: secret, epochs.name: epoch}
OPEN: dict[str, Callable[[Any, RootProvider], bytes | None]] = {secrets.name: open_secret, epochs.name: open_epoch}


def require_same(table: str, told: Any, told_root: RootProvider, found: Any, found_root: RootProvider) -> None:
    """``Damaged`` unless two rows are one row, apart from what lies over their keys."""
    blank = {"wrapped": None} | ({"provider": ""} if table == epochs.name else {})
    same = replace(told, **blank) == replace(found, **blank)
    if not same or OPEN[table](told, told_root) != OPEN[table](found, found_root):
        raise Damaged(f"a row of {table} is not what was exported")
