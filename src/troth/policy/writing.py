"""In which direction a language is written."""

from __future__ import annotations

from typing import Literal

# ISO 639 codes of languages whose usual script runs from right to left (Unicode: Arabic, Hebrew, Thaana)
_RIGHT_TO_LEFT = frozenset({"ar", "dv", "fa", "he", "ps", "ur", "yi"})


def direction(language: str) -> Literal["rtl", "ltr"]:
    """``rtl`` or ``ltr`` for a language tag such as ``ar`` or ``en-GB``."""
    return "rtl" if language.split("-")[0].lower() in _RIGHT_TO_LEFT else "ltr"
