"""Where a sentence ends, in text that is already folded (NFC, single spaces).

Bindings and coverage count by sentences, so this must be stable more than clever: the same text always gives the
same cuts, and an abbreviation does not end a sentence.
"""

from __future__ import annotations

import re

# After these a full stop ends no sentence unless the text ends there.
_ABBREVIATIONS = frozenset(
    (
        *("e.g.", "i.e.", "ltd.", "inc.", "co.", "corp.", "llc.", "no.", "art.", "sec.", "para.", "mr.", "mrs."),
        *("ms.", "dr.", "st.", "vs.", "cf.", "approx.", "incl.", "tel."),
    )
)
_END = re.compile(r"[.!?…。！？؟]+[\"'”’»)\]]*(?=\s)")
_NEXT = re.compile(r"\s+[\"'“‘«(\[{]*(\S)")
_RUN = re.compile(r"\S+")  # one pattern for "holds a letter" would take quadratic time where none does
_LETTER = re.compile(r"\w")


def sentences(text: str) -> tuple[tuple[int, int], ...]:
    """The sentences of a folded text as (start, end) offsets, in order, without the spaces between them."""
    found = []
    start = 0
    for match in _END.finditer(text):
        following = _NEXT.match(text, match.end())
        if following is None:
            continue
        last = text[start : match.end()].rsplit(" ", 1)[-1].lower().lstrip("(\"'“‘«[")
        if last in _ABBREVIATIONS or following.group(1).islower():
            continue
        found.append((start, match.end()))
        start = match.end() + 1
    if text[start:].strip():
        found.append((start, len(text)))
    return tuple(found)


def words(text: str, start: int = 0, end: int | None = None) -> tuple[tuple[int, int], ...]:
    """The words between two offsets, as (start, end); a word holds at least one letter or digit."""
    runs = _RUN.finditer(text, start, len(text) if end is None else end)
    return tuple(run.span() for run in runs if _LETTER.search(run[0]))
