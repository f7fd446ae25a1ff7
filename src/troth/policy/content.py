"""What a page may load, as the header a browser enforces: one Content-Security-Policy for each choice.

The browser is asked to load from the page's own origin and from the declared places that this browser agreed to
(``embed.registered``, ``cookie.consent``); it stops everything else itself, with scripts switched off too. The
vendor's own inline scripts and styles go on working: that is what the optional second header is for, which browsers
intersect with the first (CSP Level 3, 8.1). ``strict-dynamic`` is never written: it lets through whatever an allowed
script loads.

Pure text from a compiled policy; nothing of a request stands in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from troth.policy.model import Embed

#: Directive -> what a page may always load. ``data:`` and ``blob:`` are the page's own content, not a place.
BASE: Final[dict[str, str]] = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "media-src": "'self' data: blob:",
    "frame-src": "'self' blob:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "form-action": "'self'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "frame-ancestors": "'self'",
}

#: What an ``embed`` loads -> the directive that lets it.
DIRECTIVES: Final[dict[str, str]] = {
    "script": "script-src",
    "style": "style-src",
    "image": "img-src",
    "font": "font-src",
    "media": "media-src",
    "frame": "frame-src",
    "connect": "connect-src",
    "worker": "worker-src",
    "form": "form-action",
}

VARY: Final = "Cookie, Sec-GPC"


def consent_policy(embeds: Iterable[Embed], granted: frozenset[str], report: str = "") -> str:
    """The header for a browser that granted these purposes; ``report`` is the path for what was stopped."""
    sources = dict(BASE)
    for embed in embeds:
        if embed.essential or embed.purpose in granted:
            for load in embed.loads:
                sources[DIRECTIVES[load]] += f" {embed.origin}"
    written = "; ".join(f"{directive} {allowed}" for directive, allowed in sources.items())
    return f"{written}; report-uri {report}" if report else written


def hardening_policy(hashes: Sequence[str]) -> str:
    """The optional second header (level 3): of inline scripts only those with these hashes run; places are the first's.

    ``hashes`` are ``sha256-…`` in base64, as ``troth crawl`` finds them.
    """
    known = " ".join(f"'{each}'" for each in hashes)
    return f"script-src * data: blob: 'unsafe-eval' {known}".rstrip()


def caching(*, grants: bool) -> str:
    """Cache-Control of a page: what grants anything is never kept, or a cache would undo a withdrawal."""
    return "no-store" if grants else "private, no-cache"
