"""The clause board: one row a clause, and the badge that is only shown when all of it is green.

A status is computed by the clause's own check, elsewhere; here is only what a row says and what colour that is.
Clause: ``scope.compliance``. Mechanism: ``evidence.board``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

Status = Literal["PASS", "FAIL", "NOT EXERCISED", "NOT ENFORCED", "TEXT ONLY"]
Colour = Literal["green", "amber", "red"]

COLOURS: dict[Status, Colour] = {
    "PASS": "green",
    "TEXT ONLY": "green",
    "NOT EXERCISED": "amber",
    "NOT ENFORCED": "amber",
    "FAIL": "red",
}


class BoardRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the evidence says about one clause.

    ``entries`` counts the ledger's entries that cite it, ``reason`` says what the check found, ``last_ms`` is the
    time of the newest evidence (UTC milliseconds), None where there is none.
    """

    clause: str
    status: Status
    entries: int
    reason: str
    last_ms: int | None = None

    @property
    def colour(self) -> Colour:
        """Green for PASS and TEXT ONLY, red for FAIL, amber for what was not exercised or is not enforced."""
        return COLOURS[self.status]


def badge(rows: Iterable[BoardRow]) -> bool:
    """Whether the claim of compliance may be shown: there is a row, and every row is green."""
    colours = {row.colour for row in rows}
    return colours == {"green"}


def tally(rows: Iterable[BoardRow]) -> dict[Status, int]:
    """How many clauses have each status; every status is there, also with 0."""
    counts: dict[Status, int] = dict.fromkeys(COLOURS, 0)
    for row in rows:
        counts[row.status] += 1
    return counts


def board_bytes(rows: Sequence[BoardRow]) -> bytes:
    """The rows as the one spelling of JSON that is published: a list, in the order given, members sorted."""
    return msgspec.json.encode([msgspec.to_builtins(row) for row in rows], order="sorted")


def board_digest(rows: Sequence[BoardRow]) -> str:
    """SHA-256 of ``board_bytes``, hex: what an entry of kind ``check.run`` may state of the board it found."""
    return sha256(board_bytes(rows)).hexdigest()
