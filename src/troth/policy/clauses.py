"""From the blocks of a document to clauses with one verb and a typed body each, and the front matter."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from troth.policy.bodies import (
    VERBS,
    Asserts,
    Body,
    ClauseEnvelope,
    Defines,
    Forbids,
    FrontMatter,
    Informs,
    Permits,
    Requires,
)
from troth.policy.diagnostics import Report, did_you_mean
from troth.policy.document import ClauseBlock, Document, MappingNode, Node, ScalarNode
from troth.policy.model import Position
from troth.policy.reading import Context, listing, members, read

T = TypeVar("T", bound=Body)

#: Keys that may stand beside the id without a verb: they are obligations (``requires``).
_IMPLIED = ("every", "has", "when", "then")

_FRONT = """---
policy: example
version: 2026-01-15
effective: 2026-02-15
controller: {name: Example Ltd, contact: privacy@example.com, country: IE}
language: en
surfaces: [site:www]
notice_period: 30 days
---"""


class ReadClause(msgspec.Struct, frozen=True):
    """A clause as read: its verb's body, its envelope, its words, and where faults in it are told.

    ``sound`` is False where something in its body could not be read: what follows from that is not told again.
    """

    id: str
    verb: str
    body: Body
    envelope: ClauseEnvelope
    block: ClauseBlock
    node: Node
    prose: str
    context: Context
    sound: bool = True

    @property
    def at(self) -> Position:
        """Where its id stands."""
        key = self.block.node.get("id")
        return key.at if key is not None else self.block.node.at

    @property
    def open(self) -> bool:
        """Whether what it permits is open: a clause that nothing enforces opens nothing."""
        return self.envelope.not_enforced is None

    def of(self, kind: type[T]) -> T | None:
        """The body, if it is of this verb."""
        return self.body if isinstance(self.body, kind) else None

    @property
    def permits(self) -> Permits | None:
        """The body of ``permits``."""
        return self.of(Permits)

    @property
    def requires(self) -> Requires | None:
        """The body of ``requires``."""
        return self.of(Requires)

    @property
    def forbids(self) -> Forbids | None:
        """The body of ``never``."""
        return self.of(Forbids)

    @property
    def asserts(self) -> Asserts | None:
        """The body of ``asserts``."""
        return self.of(Asserts)

    @property
    def defines(self) -> Defines | None:
        """The body of ``define``."""
        return self.of(Defines)

    def error(self, code: str, at: Position, message: str, *, hint: str = "", paste: str = "") -> None:
        """Take down a fault in this clause; a default without a place is told at the clause's id."""
        self.context.error(code, at if at.line else self.at, message, hint, paste)


def read_front(document: Document, report: Report) -> FrontMatter | None:
    """The settings at the head, or None where they are missing or unusable."""
    if document.front is None:
        if not any(d.severity == "error" and d.file == document.front_file for d in report.found()):
            message = "the front matter is missing: the policy's name, version, effective date and controller"
            report.error("NO_FRONT_MATTER", document.front_file, Position(1, 1), message, paste=_FRONT)
        return None
    return read(document.front, FrontMatter, Context(report, document.front_file))


def read_clauses(document: Document, report: Report) -> tuple[ReadClause, ...]:
    """All clauses that could be read, in the order of the file, each id once."""
    found: dict[str, ReadClause] = {}
    for block in document.clauses:
        clause = _read(block, document.prose(block), Context(report, block.file))
        if clause is None:
            continue
        if clause.id in found:
            first = found[clause.id]
            where = f"{first.block.file}:{first.at.line}"
            clause.error("DUPLICATE_ID", clause.at, f'the id "{clause.id}" is taken (first at {where})')
        else:
            found[clause.id] = clause
    return tuple(found.values())


def _read(block: ClauseBlock, prose: str, context: Context) -> ReadClause | None:
    node = _with_verb(block.node)
    envelope = read(node, ClauseEnvelope, context)
    verbs = [key for key, _ in node.entries if key.text in VERBS]
    for second in verbs[1:]:
        message = f'a clause has one verb; "{verbs[0].text}" stands here already'
        context.error("TWO_VERBS", second.at, message, "write a clause of its own for it")
    if not verbs:
        misspelt = any(did_you_mean(key.text, VERBS) for key, _ in node.entries if key.text != "id")
        if not misspelt:  # otherwise the unknown key was told, with the verb that was meant
            at = node.get("id") or node
            message = f"the clause has no verb: {listing(VERBS)}"
            context.error("NO_VERB", at.at, message, paste="informs: {}")
    if envelope is None or not verbs:
        return None
    verb = verbs[0].text
    value = node.get(verb)
    if value is None:
        return None
    kind = VERBS[verb]
    before = context.report.errors
    body = read(value, kind, context)
    if body is None:
        return None
    sound = context.report.errors == before
    if sound and kind is not Informs and not _says_something(body):
        sound = False
        message = f'"{verb}" says nothing: {listing(m.name for m in members(kind))} is expected under it'
        context.error("EMPTY", value.at, message)
    return ReadClause(str(envelope.id), verb, body, envelope, block, value, prose, context, sound)


def _with_verb(node: MappingNode) -> MappingNode:
    """``every … has`` and ``when … then`` beside the id are read as what they are: obligations."""
    moved = tuple((key, value) for key, value in node.entries if key.text in _IMPLIED)
    if not moved or any(key.text in VERBS for key, _ in node.entries):
        return node
    rest = tuple((key, value) for key, value in node.entries if key.text not in _IMPLIED)
    verb = ScalarNode("requires", moved[0][0].at)
    return MappingNode((*rest, (verb, MappingNode(moved, moved[0][0].at))), node.at)


def _says_something(body: Body) -> bool:
    return any(getattr(body, m.attribute) not in (None, (), {}) for m in members(type(body)))
