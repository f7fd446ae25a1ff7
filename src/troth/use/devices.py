"""What a browser says of itself, in two coarse words: enough to know one's own session again, too little to follow it.

No version, no model, no language: "Firefox", "Linux". What is not known is "" and is shown as unknown.
"""

from __future__ import annotations

from typing import NamedTuple

MOST = 500  # characters that are looked at

# In this order: many say the name of another as well.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


class Device(NamedTuple):
    """A browser, the system it runs on, and the country it comes from (ISO 3166-1, two letters); "" is unknown."""

    browser: str
    system: str
    country: str = ""


def device_of(user_agent: str, country: str = "") -> Device:
    """The two words for a ``User-Agent`` header; nothing of the header itself is kept."""
    said = user_agent[:MOST]
    return Device(first(BROWSERS, said), first(SYSTEMS, said), country)


def first(words: tuple[tuple[str, str], ...], said: str) -> str:
    """The word of the first mark that stands in ``said``, or ""."""
    return next((word for mark, word in words if mark in said), "")
