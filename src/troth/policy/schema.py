"""The JSON Schema of the declarations and the reference manual, both generated from ``bodies``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from troth.policy import categories, examples, vocabulary
from troth.policy.bodies import VERBS, Between, Bits, Body, ClauseEnvelope, FrontMatter, Informs, Name, Pattern, Word
from troth.policy.durations import REGEX
from troth.policy.lints import LINTS
from troth.policy.model import Duration
from troth.policy.reading import LONGEST_NAME, NAME, Member, members, options

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_PERIODS = {
    "30 days": "exactly 30 times 24 hours; seconds, minutes, hours and weeks are exact too",
    "1 month": "a calendar month: from 31 January to the last day of February",
    "2 years": "24 calendar months",
    "1 year and 6 months": "parts are added",
}
_VERB_MEANINGS = {
    "permits": "makes a use possible; nothing is possible by silence",
    "requires": "an obligation that a mechanism fulfils and evidence shows",
    "never": "a prohibition; it beats `permits` of equal or wider scope",
    "asserts": "a theorem about the other clauses, proven when compiling",
    "define": "what words mean: terms, states, events, surfaces, purposes",
    "informs": "published text only",
}


def json_schema() -> dict[str, Any]:
    """The schema of a clause (JSON Schema 2020-12); ``$defs`` holds every body and the front matter."""
    definitions: dict[str, Any] = {}
    _define(FrontMatter, definitions)
    for verb_body in VERBS.values():
        _define(verb_body, definitions)
    envelope = _object(ClauseEnvelope, definitions)
    for verb, kind in VERBS.items():
        envelope["properties"][verb] = _reference(kind)
    envelope["properties"]["informs"] = {"anyOf": [_reference(Informs), {"type": "null"}]}
    envelope["oneOf"] = [{"required": [verb]} for verb in VERBS]
    return {"$schema": _DRAFT, "title": "A clause of a Troth policy", **envelope, "$defs": definitions}


def _reference(kind: type[Body]) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _define(kind: type[Body], definitions: dict[str, Any]) -> None:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # bodies refer to each other
        definitions[kind.__name__] = _object(kind, definitions)


def _object(kind: type[Body], definitions: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for member in members(kind):
        properties[member.name] = {**_type(member.kind, member.marks, definitions), "description": member.says}
    schema: dict[str, Any] = {
        "type": "object",
        "description": _docstring(kind),
        "properties": properties,
        "additionalProperties": False,
    }
    required = [member.name for member in members(kind) if member.required]
    return {**schema, "required": required} if required else schema


def _type(kind: Any, marks: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    choices = options(kind)
    if len(choices) > 1:
        return {"anyOf": [_type(choice, marks, definitions) for choice in choices]}
    only = choices[0]
    origin = get_origin(only)
    if origin is Literal:
        return {"enum": list(get_args(only))}
    if origin is tuple:
        item = _type(get_args(only)[0], (), definitions)
        return {"anyOf": [{"type": "array", "items": item}, item]}
    if origin is dict:
        key, value = get_args(only)
        schema = {"type": "object", "additionalProperties": _type(value, (), definitions)}
        return schema if key is Word else {**schema, "propertyNames": _type(key, (), definitions)}
    if isinstance(only, type) and issubclass(only, Body):
        _define(only, definitions)
        return _reference(only)
    between = next((m for m in marks if isinstance(m, Between)), Between(0, 10**9))
    pattern = next((m for m in marks if isinstance(m, Pattern)), None)
    scalars: dict[Any, dict[str, Any]] = {
        Any: {},
        bool: {"type": "boolean"},
        int: {"type": "integer", "minimum": between.low, "maximum": between.high},
        Duration: {"type": "string", "pattern": f"^{REGEX}$"},
        Bits: {"type": "string", "pattern": "^[1-9][0-9]{0,4} bits$"},
        Name: {"type": "string", "pattern": f"^{NAME.pattern}$", "maxLength": LONGEST_NAME},
        Word: {"type": "string", "pattern": f"^{pattern.regex}$"} if pattern else {"type": ["string", "number"]},
    }
    return scalars[only]


# --- the manual ---


def manual() -> str:
    """The reference manual as Markdown."""
    return "\n".join(_manual()) + "\n"


def _manual() -> Iterator[str]:
    yield "# The policy language: reference"
    yield ""
    yield "Generated from the descriptions the compiler reads files by (`src/troth/policy/bodies`); do not edit."
    yield "Regenerate with `python -m tests.language.regenerate`."
    yield ""
    yield "## The file"
    yield ""
    yield "One Markdown file. Its front matter holds the settings; a fenced block `yaml clause` under a paragraph,"
    yield "list item or table binds these words; a block inside a list item is indented. Wherever a list is expected,"
    yield "a single value stands for a list of one. Keys that are not described here are errors."
    yield ""
    yield from _table(FrontMatter, "Front matter")
    yield from _table(ClauseEnvelope, "A clause", skip=tuple(VERBS))
    yield "The verb is the key:"
    yield ""
    yield "| verb | meaning | under it |"
    yield "|---|---|---|"
    for verb, kind in VERBS.items():
        under = ", ".join(f"`{member.name}`" for member in members(kind))
        yield f"| [`{verb}`](#{verb}) | {_VERB_MEANINGS[verb]} | {under} |"
    yield ""
    yield "`every … has` and `when … then` may stand beside the id without a verb: they are obligations."
    yield ""
    done: set[str] = set()
    for verb, kind in VERBS.items():
        yield from _table(kind, verb)
        for body in _reachable(kind):
            if body.__name__ not in done:
                done.add(body.__name__)
                yield from _table(body, f"`{_title(body)}`", level=3)
    yield from _words()


def _words() -> Iterator[str]:
    yield from _list("Periods", _PERIODS)
    yield from _list("Lints", LINTS)
    yield "A lint is silenced where it speaks, with a reason: `silence: {VAGUE_TERM: the law's own word}`; for all of a"
    yield "policy in the front matter. A silence that nothing needs is told (STALE_SILENCE). Errors cannot be silenced."
    yield ""
    yield from _list("Legal bases", vocabulary.BASES)
    purposes = {
        name: f"{what} ({dpv or 'no DPV term'}{', below ' + parent if parent else ''})"
        for name, (parent, dpv, _, what) in vocabulary.PURPOSES.items()
    }
    yield from _list("Purposes that need no definition", purposes)
    yield from _list("Guards", {**vocabulary.GUARDS, "{operators: N}": "approvals", "{at_most: N}": "no more than N"})
    yield from _list("Events", vocabulary.EVENTS)
    yield "Each collection point has three events of its own: `POINT.accepted`, `POINT.confirmed`, `POINT.withdrawn`."
    yield ""
    yield from _list("Categories of data", categories.CATEGORIES)
    mechanisms = {
        name: what + (" (to come)" if name in vocabulary.PLANNED else "")
        for name, what in vocabulary.MECHANISMS.items()
    }
    yield from _list("Mechanisms", mechanisms)
    yield "## Examples"
    yield ""
    yield "A fenced block `yaml example` holds one example or a list of them; each is put to the policy as it compiles."
    yield ""
    yield "```"
    syntax = inspect.getdoc(examples) or ""
    yield from (line.strip() for line in syntax.split("::", 1)[1].split("\n\nSeveral")[0].strip().split("\n"))
    yield "```"


def _table(kind: type[Body], title: str, *, level: int = 2, skip: tuple[str, ...] = ()) -> Iterator[str]:
    yield f"{'#' * level} {title}"
    yield ""
    yield _docstring(kind)
    yield ""
    shown = [member for member in members(kind) if member.name not in skip]
    if shown:
        yield "| key | value | meaning |"
        yield "|---|---|---|"
        for member in shown:
            name = f"**`{member.name}`**" if member.required else f"`{member.name}`"
            yield f"| {name} | {_value(member)} | {member.says.replace('|', chr(92) + '|')} |"
        yield ""
        if any(member.required for member in shown):
            yield "Keys in bold must be there."
            yield ""


def _value(member: Member) -> str:
    pattern = next((mark for mark in member.marks if isinstance(mark, Pattern)), None)
    between = next((mark for mark in member.marks if isinstance(mark, Between)), None)
    if pattern:
        return pattern.say
    text = " or ".join(_kind(choice) for choice in options(member.kind))
    if between:
        text += f" from {between.low} to {between.high}"
    if member.default not in (None, (), {}, False) and not isinstance(member.default, Body):
        text += f"; `{str(member.default).lower() if isinstance(member.default, bool) else member.default}` if left out"
    return text


def _kind(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in get_args(kind))
    if origin is tuple:
        inner = " or ".join(_kind(choice) for choice in options(get_args(kind)[0]))
        return f"list of: {inner}"
    if origin is dict:
        return "names, each with " + " or ".join(_kind(choice) for choice in options(get_args(kind)[1]))
    if isinstance(kind, type) and issubclass(kind, Body):
        return f"`{_title(kind)}`"
    names = {bool: "`true`, `false`", int: "number", Duration: "period", Bits: "bits", Name: "name", Word: "text"}
    return names.get(kind, "see below")


def _title(kind: type[Body]) -> str:
    name = kind.__name__.removesuffix("Body")
    return "".join(f" {c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def _reachable(kind: type[Body]) -> Iterator[type[Body]]:
    """The bodies below this one, each before those it holds, in the order of the descriptions."""
    for member in members(kind):
        for body in _bodies_in(member.kind):
            yield body
            yield from _reachable(body)


def _bodies_in(kind: Any) -> Iterator[type[Body]]:
    for choice in options(kind):
        if isinstance(choice, type) and issubclass(choice, Body):
            yield choice
        elif get_origin(choice) is tuple:
            yield from _bodies_in(get_args(choice)[0])
        elif get_origin(choice) is dict:
            yield from _bodies_in(get_args(choice)[1])


def _list(title: str, words: dict[str, str]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    for name, what in words.items():
        yield f"- `{name}`: {what}"
    yield ""


def _docstring(kind: type[Body]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())
