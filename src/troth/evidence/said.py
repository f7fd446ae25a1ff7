"""What a check found, as a key and plain values, so that everybody reads it in their own language.

The words stand in ``words/<language>.toml`` under ``found``. Values are counts, ids, versions and paths: never a
personal value, and never a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from troth.evidence.words import Words, read_words


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sentence: the key of its words without ``found.``, and what fills its places."""

    key: str
    values: dict[str, str | int] = {}


def say(key: str, **values: str | int) -> Said:
    """A sentence. Each ``key`` is written out in full where it is said, so that a test can hold it to its words."""
    return Said(key, values)


def told(said: Iterable[Said], words: Words | None = None) -> str:
    """The sentences in one line, each once, in this language; in English if none is given."""
    spoken = words or read_words()

    def placed(
        value: str | int,
    ) -> str | int:  # an id keeps its own direction inside a sentence that runs the other way
        return f"\u2068{value}\u2069" if spoken.direction == "rtl" and isinstance(value, str) else value

    sentences = (
        spoken.text(f"found.{one.key}", **{name: placed(value) for name, value in one.values.items()}) for one in said
    )
    return spoken.text("found.join").join(dict.fromkeys(sentences))
