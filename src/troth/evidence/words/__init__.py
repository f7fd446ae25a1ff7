"""The words on receipts, proofs and the board: ``<language>.toml`` beside this file.

The web lays its own catalogue over them, and a vendor's over both.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from troth.policy.writing import direction

FOLDER = Path(__file__).parent
"""Holds one TOML file a language, with the tables ``receipt``, ``proof``, ``found`` and ``limits``."""


class Words(NamedTuple):
    """A language and how to get its texts: ``text("receipt.title", origin="log.example.org")``."""

    language: str
    direction: str
    text: Callable[..., str]


@lru_cache(maxsize=8)
def read_words(language: str = "en") -> Words:
    """Our own texts in this language, or in English where it is not among ours."""
    file = FOLDER / f"{language}.toml"
    spoken = language if language.isalpha() and file.is_file() else "en"
    texts = dict(_flatten(tomllib.loads((FOLDER / f"{spoken}.toml").read_text("utf-8"))))

    def text(key: str, /, **values: object) -> str:
        return texts[key].format_map(values)

    return Words(spoken, direction(spoken), text)


def _flatten(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        key = prefix + name
        found += [(key, value)] if isinstance(value, str) else _flatten(value, f"{key}.")
    return found
