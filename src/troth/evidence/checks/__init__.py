"""One check per mechanism: what it looks at, and the one sentence it says about what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say
from troth.policy.model import CompiledClause

TOLD = 3  # faults that are told one by one; the others are counted


class Verdict(NamedTuple):
    """What a check found, and the sentences that say it, in no language yet."""

    status: Literal["PASS", "FAIL", "NOT EXERCISED"]
    said: tuple[Said, ...]


Check = Callable[[Inspection, CompiledClause], Verdict]


def passed(*said: Said) -> Verdict:
    """It holds."""
    return Verdict("PASS", said)


def failed(*faults: Said) -> Verdict:
    """It does not hold: the first three faults, and how many more there are."""
    more = (say("more", count=len(faults) - TOLD),) if len(faults) > TOLD else ()
    return Verdict("FAIL", faults[:TOLD] + more)


def unseen(*said: Said) -> Verdict:
    """Nothing has happened yet that could show it."""
    return Verdict("NOT EXERCISED", said)


def unless(faults: Iterable[Said], *said: Said) -> Verdict:
    """PASS with ``said`` unless there are faults; then FAIL with these."""
    found = tuple(faults)
    return failed(*found) if found else passed(*said)
