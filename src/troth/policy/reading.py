"""From YAML nodes to the bodies of ``bodies``: every fault reported at its place, nothing raised.

``read`` walks the type of a body and the node side by side. The readers for a type are built once and kept.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from troth.policy.bodies import Between, Bits, Body, Name, Pattern, Word
from troth.policy.diagnostics import Report, did_you_mean
from troth.policy.document import MappingNode, Node, ScalarNode, SequenceNode
from troth.policy.durations import parse_duration
from troth.policy.model import Duration, Position

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(?:[.:][a-z0-9][a-z0-9_-]*)*")
LONGEST_NAME: Final = 100
LONGEST_TEXT: Final = 20_000

B = TypeVar("B", bound=Body)


class Context(msgspec.Struct, frozen=True):
    """Where faults are told: the report and the file that the nodes stand in."""

    report: Report
    file: str

    def error(self, code: str, at: Position, message: str, hint: str = "", paste: str = "") -> None:
        """Take down one fault."""
        self.report.error(code, self.file, at, message, hint=hint, paste=paste)


class _Failed:
    """What a reader gives where it could not read; the fault is already in the report."""


FAILED: Final = _Failed()
Reader = Callable[[Node, Context], Any]


def read(node: Node, kind: type[B], context: Context) -> B | None:
    """The node as this body, or None where something that it needs is wrong or missing."""
    value = _reader(kind)(node, context)
    return None if isinstance(value, _Failed) else value


def written(name: str) -> str:
    """The name of a member as a policy writes it."""
    return name.rstrip("_")


class Member(msgspec.Struct, frozen=True):
    """One member of a body: its written name, its type without marks, its words, and whether it must be there."""

    name: str
    attribute: str
    kind: Any
    marks: tuple[Any, ...]
    says: str
    required: bool
    default: Any


@functools.cache
def members(kind: type[Body]) -> tuple[Member, ...]:
    """The members of a body in the order of its description (``at`` is not one: it is not written)."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for field in msgspec.structs.fields(kind):
        if field.name == "at":
            continue
        hint = hints[field.name]
        inner, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        required = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
        default = None if required else field.default
        if default is msgspec.NODEFAULT:
            default = field.default_factory()
        says = next((mark for mark in marks if isinstance(mark, str)), "")
        rest = tuple(mark for mark in marks if not isinstance(mark, str))
        found.append(Member(written(field.name), field.name, inner, rest, says, required, default))
    return tuple(found)


def options(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union without None; a single type gives itself; aliases and marks are looked through."""
    if get_origin(kind) is Annotated:
        return options(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(o for arg in get_args(kind) if arg is not type(None) for o in options(arg))
    return (kind,)


@functools.cache
def _reader(kind: Any, marks: tuple[Any, ...] = ()) -> Reader:
    choices = options(kind)
    if len(choices) > 1:
        return _one_of(choices)
    only = choices[0]
    origin = get_origin(only)
    if only is Any:
        return lambda node, context: node
    if origin is Literal:
        return _choice(get_args(only))
    if origin is tuple:
        return _several(_reader(get_args(only)[0]))
    if origin is dict:
        key, value = get_args(only)
        return _named(_reader(key), _reader(value))
    if isinstance(only, type) and issubclass(only, Body):
        return functools.partial(_body, only)
    scalar: dict[Any, Reader] = {
        bool: _flag,
        int: _number(next((m for m in marks if isinstance(m, Between)), Between(0, 10**9))),
        Duration: _period,
        Bits: _bits,
        Name: _name,
        Word: _word(next((m for m in marks if isinstance(m, Pattern)), None)),
    }
    return scalar[only]


def _scalar(node: Node, context: Context, wanted: str) -> ScalarNode | None:
    if not isinstance(node, ScalarNode):
        what = "a list" if isinstance(node, SequenceNode) else "a mapping"
        context.error("WRONG_SHAPE", node.at, f"{wanted} is expected here, not {what}")
    elif node.empty:
        context.error("EMPTY", node.at, f"{wanted} is expected here; nothing stands here")
    else:
        return node
    return None


def _flag(node: Node, context: Context) -> Any:
    scalar = _scalar(node, context, "true or false")
    if scalar is None:
        return FAILED
    if scalar.text in ("true", "false"):
        return scalar.text == "true"
    meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(scalar.text.lower())
    hint = (
        f'did you mean "{meant or scalar.text.lower()}"?' if meant or scalar.text.lower() in ("true", "false") else ""
    )
    context.error("NOT_A_CHOICE", node.at, f'true or false is expected here, not "{_short(scalar.text)}"', hint)
    return FAILED


def _number(between: Between) -> Reader:
    def number(node: Node, context: Context) -> Any:
        scalar = _scalar(node, context, "a whole number")
        if scalar is None:
            return FAILED
        if re.fullmatch(r"0|[1-9][0-9]{0,8}", scalar.text) and between.low <= int(scalar.text) <= between.high:
            return int(scalar.text)
        message = f'a whole number from {between.low} to {between.high} is expected here, not "{_short(scalar.text)}"'
        context.error("NOT_A_NUMBER", node.at, message)
        return FAILED

    return number


def _period(node: Node, context: Context) -> Any:
    scalar = _scalar(node, context, "a period")
    if scalar is None:
        return FAILED
    period = parse_duration(scalar.text)
    if period is None:
        message = f'a period such as "30 days" or "24 months" is expected here, not "{_short(scalar.text)}"'
        context.error(
            "BAD_PERIOD", node.at, message, "seconds, minutes, hours, days, weeks, months and years are known"
        )
        return FAILED
    return period


def _bits(node: Node, context: Context) -> Any:
    scalar = _scalar(node, context, "a number of bits")
    if scalar is None:
        return FAILED
    match = re.fullmatch(r"([1-9][0-9]{0,4}) bits", scalar.text)
    if match is None:
        context.error(
            "BAD_BITS", node.at, f'a number of bits such as "128 bits" is expected, not "{_short(scalar.text)}"'
        )
        return FAILED
    return Bits(int(match.group(1)))


def _name(node: Node, context: Context) -> Any:
    scalar = _scalar(node, context, "a name")
    if scalar is None:
        return FAILED
    if len(scalar.text) > LONGEST_NAME or NAME.fullmatch(scalar.text) is None:
        meant = re.sub(r"[^a-z0-9.:_-]+", "-", scalar.text.lower()).strip("-.:")[:LONGEST_NAME]
        hint = f'did you mean "{meant}"?' if NAME.fullmatch(meant) else ""
        message = f'"{_short(scalar.text)}" is not a name: lower-case letters, digits, - and _, parts joined by dots'
        context.error("BAD_NAME", node.at, message, hint)
        return FAILED
    return Name(scalar.text, scalar.at)


def _word(pattern: Pattern | None) -> Reader:
    def word(node: Node, context: Context) -> Any:
        scalar = _scalar(node, context, pattern.say if pattern else "text")
        if scalar is None:
            return FAILED
        if len(scalar.text) > LONGEST_TEXT:
            context.error("TOO_LONG", node.at, f"more than {LONGEST_TEXT} characters")
            return FAILED
        if pattern and re.fullmatch(pattern.regex, scalar.text) is None:
            context.error("BAD_TEXT", node.at, f'{pattern.say} is expected here, not "{_short(scalar.text)}"')
            return FAILED
        return Word(scalar.text, scalar.at)

    return word


def _choice(words: tuple[str, ...]) -> Reader:
    known = frozenset(words)

    def choice(node: Node, context: Context) -> Any:
        scalar = _scalar(node, context, listing(words))
        if scalar is None:
            return FAILED
        if scalar.text in known:
            return scalar.text
        message = f'"{_short(scalar.text)}" is not known here: {listing(words)} is expected'
        context.error("NOT_A_CHOICE", node.at, message, did_you_mean(scalar.text, words))
        return FAILED

    return choice


def _several(item: Reader) -> Reader:
    def several(node: Node, context: Context) -> Any:
        if not isinstance(node, SequenceNode):
            one = item(node, context)
            return FAILED if one is FAILED else (one,)
        values = [item(part, context) for part in node.items]
        return FAILED if any(value is FAILED for value in values) else tuple(values)

    return several


def _named(key: Reader, value: Reader) -> Reader:
    def named(node: Node, context: Context) -> Any:
        if not isinstance(node, MappingNode):
            if isinstance(node, ScalarNode) and node.empty:
                context.error("EMPTY", node.at, "names with what they stand for are expected here; nothing stands here")
            else:
                context.error("WRONG_SHAPE", node.at, "a mapping of names is expected here")
            return FAILED
        found = {}
        failed = False
        for name, part in node.entries:
            read_key, read_value = key(name, context), value(part, context)
            if read_key is FAILED or read_value is FAILED:
                failed = True
            else:
                found[read_key] = read_value
        return FAILED if failed else found

    return named


@functools.cache
def _readers(kind: type[Body]) -> tuple[dict[str, tuple[Member, Reader]], tuple[Member, ...]]:
    by_name = {m.name: (m, _reader(m.kind, m.marks)) for m in members(kind)}
    return by_name, tuple(m for m in members(kind) if m.required)


def _body(kind: type[Body], node: Node, context: Context) -> Any:
    by_name, required = _readers(kind)
    if isinstance(node, ScalarNode) and node.empty:
        node = MappingNode((), node.at)
    if not isinstance(node, MappingNode):
        context.error("WRONG_SHAPE", node.at, f"a mapping is expected here, with {listing(by_name)}")
        return FAILED
    values: dict[str, Any] = {"at": node.at}
    failed = False
    for key, value in node.entries:
        known = by_name.get(key.text)
        if known is None:
            message = f'the key "{_short(key.text)}" is not known here'
            hint = did_you_mean(key.text, by_name) or f"known here: {listing(by_name)}"
            context.error("UNKNOWN_KEY", key.at, message, hint)
            continue
        member, reader = known
        read_value = reader(value, context)
        if read_value is not FAILED:
            values[member.attribute] = read_value
        elif member.required:
            failed = True
    present = {key.text for key, _ in node.entries}
    for member in required:
        if member.name not in present:
            message = f'"{member.name}" is missing: {member.says}'
            context.error("MISSING_KEY", node.at, message, paste=f"{member.name}: ")
            failed = True
    return FAILED if failed else kind(**values)


def _one_of(choices: tuple[Any, ...]) -> Reader:
    """Alternatives are told apart by shape, and alternatives that are mappings by their keys."""
    bodies = [c for c in choices if isinstance(c, type) and issubclass(c, Body)]
    literals = [word for c in choices if get_origin(c) is Literal for word in get_args(c)]
    others = [c for c in choices if c not in bodies and get_origin(c) is not Literal]

    def one_of(node: Node, context: Context) -> Any:
        if isinstance(node, ScalarNode):
            if literals and (node.text in literals or not others):
                return _choice(tuple(literals))(node, context)
            if others:
                return _reader(others[0])(node, context)
        if bodies and isinstance(node, MappingNode):
            keys = set(node.keys())
            best = max(bodies, key=lambda body: sum(m.name in keys for m in members(body)))
            return _body(best, node, context)
        context.error("WRONG_SHAPE", node.at, f"{describe(choices)} is expected here")
        return FAILED

    return one_of


def describe(choices: Iterable[Any]) -> str:
    """Alternatives in words."""
    said: list[str] = []
    for choice in choices:
        if get_origin(choice) is Literal:
            said += get_args(choice)
        elif isinstance(choice, type) and issubclass(choice, Body):
            said.append("{" + ", ".join(m.name for m in members(choice)) + "}")
        elif choice is Duration:
            said.append("a period")
        else:
            said.append("a name" if choice is Name else "text")
    return listing(said)


def listing(words: Iterable[str]) -> str:
    """``a, b or c``."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else "nothing"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
