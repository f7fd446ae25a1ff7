"""Writing into a page that streams past: something first in its body, something last, nothing kept back for long.

The page is bytes in a superset of ASCII (every encoding a browser takes but UTF-16). What looks like a tag inside a
comment, a script, a style or a title is none.
"""

from __future__ import annotations

import re
from typing import Final

HELD: Final = 256 * 1024  # of a head that never ends; then what belongs first goes last

_OPENING: Final = re.compile(
    rb"<!--.*?(?:-->|\Z)|<(script|style|title|noscript|template)\b.*?(?:</\1\s*>|\Z)|(<body(?=[\s/>])(?:[^>\"']|\"[^\"]*\"|'[^']*')*>)",
    re.IGNORECASE | re.DOTALL,
)
_CLOSING: Final = re.compile(rb"</body\s*>", re.IGNORECASE)
_END: Final = b"</body"


class Weaver:
    """One page going by. ``feed`` each piece, then ``finish``."""

    def __init__(self, first: bytes, last: bytes) -> None:
        self._first, self._last = first, last
        self._held = b""
        self._begun = False

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece; what can go out now."""
        self._held += piece
        if not self._begun:
            return self._before()
        return self._within()

    def finish(self) -> bytes:
        """The page is over: everything that is left, with whatever had no place before."""
        first = b"" if self._begun else self._first
        closing = list(_CLOSING.finditer(self._held))
        place = closing[-1].start() if closing else len(self._held)
        out = self._held[:place] + first + self._last + self._held[place:]
        self._held = b""
        return out

    def _before(self) -> bytes:
        for found in _OPENING.finditer(self._held):
            if found[2]:
                out = self._held[: found.end()] + self._first
                self._held = self._held[found.end() :]
                self._begun = True
                return out + self._within()
        if len(self._held) > HELD:
            self._begun, self._last = True, self._first + self._last
            return self._within()
        return b""

    def _within(self) -> bytes:
        """All but what may be the page's end: from its last closing tag, or from the beginning of one."""
        lower = self._held.lower()
        at = lower.rfind(_END)
        if at < 0 or len(lower) - at > HELD:
            begun = next((n for n in range(len(_END) - 1, 0, -1) if lower.endswith(_END[:n])), 0)
            at = len(lower) - begun
        out, self._held = self._held[:at], self._held[at:]
        return out
