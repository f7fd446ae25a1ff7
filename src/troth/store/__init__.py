"""Everything that touches a disk: both databases, their one writer, the ledger and its tiles, durable jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from troth.store.ledger import Entry, EntryDraft
    from troth.store.open import Store, open_store
    from troth.store.writer import DataTx, Idempotency, KeyTx, Lane, Write

__all__ = ["DataTx", "Entry", "EntryDraft", "Idempotency", "KeyTx", "Lane", "Store", "Write", "open_store"]

_FROM = {
    "Entry": "ledger",
    "EntryDraft": "ledger",
    "Store": "open",
    "open_store": "open",
    "DataTx": "writer",
    "Idempotency": "writer",
    "KeyTx": "writer",
    "Lane": "writer",
    "Write": "writer",
}


def __getattr__(name: str) -> object:
    """Public names are loaded when first used: a verifier of proofs needs no database."""
    if name not in _FROM:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"troth.store.{_FROM[name]}"), name)
