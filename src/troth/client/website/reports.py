"""What browsers say they stopped: hints for whoever keeps the site, cut at the door, counted and never believed.

Anybody can send one, so they are no evidence of anything. Of each remains the page's path, the directive, the origin
that was stopped, whether it was stopped or only noticed, the policy's version and the day: no query, no sample, no
address, no cookie. Both forms are read, that of ``report-uri`` and that of the Reporting API.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from troth.policy import cutting
from troth.policy.content import BASE

MOST_HINTS: Final = 2_000  # different ones a day; more are counted together
MOST_AT_ONCE: Final = 50
WORDS: Final = frozenset({"inline", "eval", "wasm-eval", "self", "data", "blob", "trusted-types-sink"})


class Hint(NamedTuple):
    """What remains of a report."""

    version: str
    day: str
    path: str
    directive: str
    blocked: str
    disposition: str


class Hints:
    """Counts of hints. ``overflow``: those for which there was no room any more; ``refused``: what was no report."""

    def __init__(self) -> None:
        self.counts: Counter[Hint] = Counter()
        self.overflow = 0
        self.refused = 0

    def take(self, body: bytes, host: str, version: str, day: str) -> None:
        """Read a body in either form; only what is about a page of ``host`` counts. Total: garbage is counted too."""
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            self.refused += 1
            return
        for each in (found if isinstance(found, list) else [found])[:MOST_AT_ONCE]:
            hint = read(each, host, version, day)
            if hint is None:
                self.refused += 1
            elif hint in self.counts or self._room(day):
                self.counts[hint] += 1
            else:
                self.overflow += 1

    def _room(self, day: str) -> bool:
        if len(self.counts) < MOST_HINTS:
            return True
        for old in [hint for hint in self.counts if hint.day != day]:
            del self.counts[old]
        return len(self.counts) < MOST_HINTS


def read(report: Any, host: str, version: str, day: str) -> Hint | None:
    """What remains of one report, or None where it is none, or about another site's page."""
    if not isinstance(report, dict):
        return None
    if "csp-report" in report:
        body, names = report["csp-report"], ("document-uri", "effective-directive", "blocked-uri")
    elif report.get("type") == "csp-violation":
        body, names = report.get("body"), ("documentURL", "effectiveDirective", "blockedURL")
    else:
        return None
    if not isinstance(body, dict):
        return None
    page, directive, blocked = (body.get(name) for name in names)
    directive = directive or body.get("violated-directive")
    if not (isinstance(page, str) and isinstance(directive, str) and isinstance(blocked, str)):
        return None
    try:
        at = urlsplit(page)
    except ValueError:
        return None
    if at.netloc != host:
        return None
    name = directive.split(" ")[0].removesuffix("-elem").removesuffix("-attr")
    disposition = "report" if body.get("disposition") == "report" else "enforce"
    return Hint(
        version, day, cutting.path(at.path) or "/", name if name in BASE else "other", origin(blocked), disposition
    )


def origin(blocked: str) -> str:
    """The origin of what was stopped, or the word that browsers say instead."""
    if blocked in WORDS:
        return blocked
    try:
        parts = urlsplit(blocked)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "other"
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname and len(parts.hostname) <= 253:
        return f"{parts.scheme}://{parts.hostname}{port}"
    return "other"
