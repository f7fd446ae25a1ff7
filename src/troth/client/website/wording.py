"""The words of the banner: one file for each language, chosen by what the browser prefers."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "words"
FIRST = "en"  # also where a browser prefers nothing that there is


class Words:
    """The words of one language. ``code`` is its tag, ``direction`` is ``ltr`` or ``rtl``."""

    def __init__(self, code: str, texts: dict[str, str]) -> None:
        self.code = code
        self.direction = texts["direction"]
        self._texts = texts

    def __call__(self, key: str, **values: str) -> str:
        """The text under ``key``; KeyError where there is none."""
        return self._texts[key].format(**values) if values else self._texts[key]


@functools.cache
def languages() -> dict[str, Words]:
    """Every language there is a file for."""
    files = sorted(FOLDER.glob("*.toml"))
    return {path.stem: Words(path.stem, tomllib.loads(path.read_text("utf-8"))) for path in files}


def preferred(accept_language: str) -> Words:
    """The words for an Accept-Language header (RFC 9110, 12.5.4); ``en`` where it names none that there is."""
    known = languages()
    wanted = []
    for place, each in enumerate(accept_language.split(",")[:20]):
        tag, _, weight = each.strip().partition(";")
        try:
            quality = float(weight.partition("=")[2]) if weight else 1.0
        except ValueError:
            continue
        wanted.append((-quality, place, tag.split("-")[0].strip().lower()))
    return next((known[tag] for quality, _, tag in sorted(wanted) if tag in known and quality < 0), known[FIRST])
