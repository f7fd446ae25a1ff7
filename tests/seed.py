"""Where the real policy's text is: outside this repository, in the neighbouring folder or where TROTH_SEED points."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACE = Path(os.environ.get("TROTH_SEED") or ROOT.parent / "shared" / "seed")
BINDINGS = ROOT / "policies" / "bindings" / "seed-2018.yaml"


def seed_file() -> Path:
    """The file of the real policy. Without it the test is skipped; in CI it fails."""
    found = [PLACE] if PLACE.is_file() else sorted(PLACE.glob("000_*.txt"))
    if not found:
        message = "the real policy's text is not here: set TROTH_SEED to its folder"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found[0]


def seed_text() -> str:
    """The text of the real policy."""
    return seed_file().read_text(encoding="utf-8")


def plain_words(text: str) -> list[str]:
    """The words of a text as people would compare them: lower case, without punctuation."""
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).replace("’", "'").lower())


def all_texts() -> list[str]:
    """Every text of that policy that is there, older versions too."""
    folder = seed_file().parent
    return [file.read_text(encoding="utf-8") for file in sorted(folder.rglob("*")) if file.suffix in (".txt", ".md")]
