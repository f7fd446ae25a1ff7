"""Figures inside the prose: ``{effective}``, ``{controller.contact}``, ``{keep.for}``.

A name is looked for in the front matter first, then in the declarations of the clauses that stand at the words.
What is found nowhere stays as it is written, braces and all, and ``unknown`` names it for the lint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from troth.policy.model import CompiledPolicy, Duration

NAME = re.compile(r"\{([a-z][a-z0-9_-]*(?:\.[a-z0-9_:-]+)*)\}")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def names(text: str) -> tuple[str, ...]:
    """The names that stand in braces in a text, in order."""
    return tuple(match[1] for match in NAME.finditer(text))


def interpolate(policy: CompiledPolicy, text: str, clauses: Sequence[str] = ()) -> str:
    """The text with its names replaced; ``clauses`` are those whose words it is."""

    def value(match: re.Match[str]) -> str:
        found = figure(policy, match[1], clauses)
        return match[0] if found is None else found

    return NAME.sub(value, text)


def unknown(policy: CompiledPolicy, text: str, clauses: Sequence[str] = ()) -> tuple[str, ...]:
    """The names in a text that stand for nothing."""
    return tuple(name for name in names(text) if figure(policy, name, clauses) is None)


def figure(policy: CompiledPolicy, name: str, clauses: Sequence[str] = ()) -> str | None:
    """What a name stands for, as words of the policy's language; None if nothing."""
    head, _, rest = name.partition(".")
    if name == "effective":
        return date(policy.effective, policy.language)
    if name == "affiliates":
        return ", ".join(policy.affiliates) or None
    if name in ("version", "policy", "language"):
        return str(getattr(policy, name))
    if name == "notice_period":
        return policy.notice_period.text
    if head == "controller" and rest in ("name", "contact", "country", "address"):
        return str(getattr(policy.controller, rest)) or None
    for clause in clauses:
        if clause in policy.clauses:
            found = _look(policy.clauses[clause].body, name.split("."))
            if found is not None:
                return found
    return None


def date(iso: str, language: str) -> str:
    """A date for readers: in words where the language is English, as YYYY-MM-DD elsewhere."""
    year, month, day = (int(part) for part in iso.split("-"))
    return f"{day} {_MONTHS[month - 1]} {year}" if language.split("-")[0] == "en" else iso


def _look(body: object, path: Sequence[str]) -> str | None:
    """The first figure under this path; keys between two of its parts may be left out."""
    if not path:
        return _words(body)
    for key, value in _members(body):
        if key.rstrip("_") == path[0]:
            found = _look(value, path[1:])
            if found is not None:
                return found
    for _, value in _members(body):
        found = _look(value, path)
        if found is not None:
            return found
    return None


def _members(body: object) -> Iterator[tuple[str, Any]]:
    if isinstance(body, msgspec.Struct) and not isinstance(body, Duration):
        yield from ((name, getattr(body, name)) for name in body.__struct_fields__)
    elif isinstance(body, Mapping):
        yield from ((str(key), value) for key, value in body.items())
    elif isinstance(body, list | tuple):
        yield from (("", value) for value in body)


def _words(body: object) -> str | None:
    if isinstance(body, Duration):
        return body.text
    if isinstance(body, Mapping) and isinstance(body.get("text"), str):
        return str(body["text"])
    if isinstance(body, bool):
        return None
    if isinstance(body, str | int):
        return str(body)
    if isinstance(body, list | tuple) and body and all(isinstance(item, str) for item in body):
        return ", ".join(body)
    return None
