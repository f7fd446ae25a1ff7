"""One check per mechanism: what it looks at, and the one sentence it says about what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from troth.evidence.inspection import Inspection
from troth.policy.model import CompiledClause


class Verdict(NamedTuple):
    """What a check found. ``reason`` holds counts, ids and versions: never a personal value."""

    status: Literal["PASS", "FAIL", "NOT EXERCISED"]
    reason: str


Check = Callable[[Inspection, CompiledClause], Verdict]


def passed(reason: str) -> Verdict:
    """It holds."""
    return Verdict("PASS", reason)


def failed(reason: str) -> Verdict:
    """It does not hold."""
    return Verdict("FAIL", reason)


def unseen(reason: str) -> Verdict:
    """Nothing has happened yet that could show it."""
    return Verdict("NOT EXERCISED", reason)


def unless(faults: Iterable[str], reason: str) -> Verdict:
    """PASS with ``reason`` unless there are faults; then FAIL with the first three of them."""
    found = list(faults)
    if not found:
        return passed(reason)
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return failed("; ".join(found[:3]) + more)
