"""The clause board: one row a clause, and the badge that is only shown when all of it is green.

A status is computed by the clause's own check, elsewhere; here is only what a row says and what colour that is.
Clause: ``scope.compliance``. Mechanism: ``evidence.board``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from troth.evidence.said import Said, told
from troth.evidence.words import Words

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

    ``entries`` counts the ledger's entries that cite it, ``last_ms`` is the time of the newest evidence (UTC
    milliseconds), None where there is none. ``reason`` says what the checks found: in English, and in ``said`` so
    that it can be told in any language; for NOT ENFORCED it is the policy's own sentence, and ``said`` is empty.
    """

    clause: str
    status: Status
    entries: int
    reason: str
    last_ms: int | None = None
    said: tuple[Said, ...] = ()
    mechanisms: tuple[str, ...] = ()

    @property
    def colour(self) -> Colour:
        """Green for PASS and TEXT ONLY, red for FAIL, amber for what was not exercised or is not enforced."""
        return COLOURS[self.status]

    def found(self, words: Words) -> str:
        """What the checks found, in this language; the policy's own sentence stays as it is."""
        return told(self.said, words) if self.said else self.reason

    def limits(self, words: Words) -> str:
        """What the evidence of a clause that passes cannot show; nothing for any other status."""
        if self.status != "PASS":
            return ""
        return " ".join(dict.fromkeys(words.text(f"limits.{name}") for name in self.mechanisms))


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
