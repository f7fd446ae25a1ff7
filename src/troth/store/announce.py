"""Telling others of what happened to somebody: how the layers that do it ask the one that tells, which is above them.

Whoever acts prepares it before the transaction, while the person's keys are there, and tells it inside of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from troth.store.transaction import DataTx

Told: TypeAlias = Callable[[DataTx, bytes], None]
"""(transaction, the entry's id): what tells it, in the transaction of the entry."""
Announce: TypeAlias = Callable[[str, bytes, str], Told]
"""(tenant, sid, event) -> what tells it."""


def unheard(tenant: str, sid: bytes, event: str) -> Told:
    """Nobody asked to be told."""
    return lambda tx, eid: None
