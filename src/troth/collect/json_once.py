"""JSON from outside has each member once: readers differ on which of two counts (RFC 8259, 4)."""

from __future__ import annotations

import json


def once(pairs: list[tuple[str, object]]) -> None:
    """Refuses an object with a repeated member by ``ValueError``; keeps nothing."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a repeated member")


READ_ONCE = json.JSONDecoder(object_pairs_hook=once, parse_int=str, parse_float=str)
"""Looks through a text and keeps nothing of it; ``ValueError`` where a member is repeated, or it is no JSON."""
