"""Every word that a person sees, by key and language: ``catalogue/<language>.toml``.

A text may have ``{placeholders}`` and plural forms (a table of ``one``, ``other`` … as CLDR names them). English is
complete by definition; a test holds every other language to the same keys and placeholders. A vendor may add or
change texts with a folder of its own, which is laid over ours.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from troth.evidence import words

OURS = Path(__file__).parent / "catalogue"
FALLBACK = "en"
PLURALS = frozenset({"zero", "one", "two", "few", "many", "other"})

Entry = str | dict[str, str]


def plural_en(count: int) -> str:
    """CLDR's cardinal rule for English and its like."""
    return "one" if count == 1 else "other"


def plural_ar(count: int) -> str:
    """CLDR's cardinal rule for Arabic."""
    if count in (0, 1, 2):
        return ("zero", "one", "two")[count]
    if 3 <= count % 100 <= 10:
        return "few"
    return "many" if 11 <= count % 100 <= 99 else "other"


PLURAL_RULES: dict[str, Callable[[int], str]] = {"en": plural_en, "ar": plural_ar}


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Entry]]:
    """The texts of a TOML table as dotted keys; a table of plural forms is one entry."""
    for name, value in table.items():
        key = f"{prefix}.{name}" if prefix else name
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, Mapping) and value.keys() <= PLURALS and "other" in value:
            yield key, {form: str(words) for form, words in value.items()}
        elif isinstance(value, Mapping):
            yield from flatten(value, key)
        else:
            raise ValueError(f"{key} is neither a text nor a table of texts")


def placeholders(entry: Entry) -> frozenset[str]:
    """The names in braces, over all plural forms."""
    words = entry.values() if isinstance(entry, dict) else (entry,)
    return frozenset(name for text in words for _, name, _, _ in string.Formatter().parse(text) if name)


class Catalogue:
    """The texts of all languages. Immutable once read; safe to share between threads."""

    def __init__(self, languages: Mapping[str, Mapping[str, Entry]]) -> None:
        self.entries = {language: dict(entries) for language, entries in languages.items()}
        self.languages = tuple(sorted(self.entries, key=lambda language: (language != FALLBACK, language)))

    def has(self, key: str) -> bool:
        """True where the key has a text in the fallback language."""
        return key in self.entries[FALLBACK]

    def raw(self, language: str, key: str, count: object = None) -> str:
        """The text before its placeholders are filled. A key without text shows itself, which a test forbids."""
        spoken = language
        entry = self.entries.get(language, {}).get(key)
        if entry is None:
            spoken, entry = FALLBACK, self.entries[FALLBACK].get(key)
        if entry is None:
            return f"⟨{key}⟩"
        if isinstance(entry, str):
            return entry
        rule = PLURAL_RULES.get(spoken, plural_en)
        number = count if isinstance(count, int) else 2
        return entry.get(rule(number)) or entry["other"]

    def words(self, key: str, language: str) -> str:
        """The text before its placeholders are filled, for mails: KeyError rather than a letter without words."""
        entry = self.entries.get(language, {}).get(key) or self.entries[FALLBACK][key]
        return entry if isinstance(entry, str) else entry["other"]

    def text(self, language: str, key: str, /, **values: object) -> str:
        """The text in plain characters: for mails, titles and JSON."""
        raw = self.raw(language, key, values.get("count"))
        return raw.format_map(values) if "{" in raw else raw

    def html(self, language: str, key: str, /, **values: object) -> Markup:
        """The text for a page: the catalogue's own words and every value escaped; Markup values stay as they are."""
        raw = escape(self.raw(language, key, values.get("count")))
        if "{" not in raw:
            return raw
        return raw.format_map(values)  # Markup escapes what it is given

    def negotiate(self, asked: str | None, accept: str, default: str) -> str:
        """The language to speak: the one asked for by ``?lang=``, else by Accept-Language, else ``default``."""
        if asked in self.entries:
            return str(asked)
        for wanted in accepted(accept):
            if wanted in self.entries:
                return wanted
            short = wanted.partition("-")[0]
            if short in self.entries:
                return short
        return default if default in self.entries else FALLBACK


def accepted(header: str) -> list[str]:
    """The languages of an Accept-Language header, best first; malformed parts are skipped."""
    found: list[tuple[float, int, str]] = []
    for place, part in enumerate(header[:500].split(",")):
        language, _, quality = part.strip().partition(";")
        match = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", quality) if quality else None
        weight = float(match.group(1)) if match else (0.0 if quality else 1.0)
        if language and weight > 0:
            found.append((-weight, place, language.strip().lower()))
    return [language for _, _, language in sorted(found)]


def read_catalogue(*folders: Path) -> Catalogue:
    """Read our texts, the evidence's own among them, then lay each folder's ``<language>.toml`` over them."""
    languages: dict[str, dict[str, Entry]] = {}
    for folder in (words.FOLDER, OURS, *folders):
        for file in sorted(folder.glob("*.toml")):
            table = tomllib.loads(file.read_text("utf-8"))
            languages.setdefault(file.stem, {}).update(flatten(table))
    return Catalogue(languages)
