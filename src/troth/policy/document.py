"""A policy as read, before it means anything: its words, its blocks of declarations, and where each one stands.

The literate form (``parse``) and the form with bindings (``bindings``) both make a ``Document``; from here on
nothing knows which of the two it was. Lines and columns count from 1; an ``end`` line is the first line *after*.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from troth.policy.diagnostics import Diagnostic
from troth.policy.model import Position, Value

BlockKind = Literal["heading", "paragraph", "item", "row", "quote", "html", "code"]


class ScalarNode(Value, frozen=True, gc=False):
    """A YAML scalar as raw text: ``NO`` stays ``NO`` and ``010`` stays ``010``; the schema types it."""

    text: str
    at: Position
    quoted: bool = False

    @property
    def empty(self) -> bool:
        """True for a value that was left out (``key:``) or written as null."""
        return not self.quoted and self.text in ("", "~", "null", "Null", "NULL")


class SequenceNode(Value, frozen=True, gc=False):
    """A YAML list."""

    items: tuple[Node, ...]
    at: Position


class MappingNode(Value, frozen=True, gc=False):
    """A YAML mapping in the order of the file. Keys are unique: the reader reports duplicates and keeps the first."""

    entries: tuple[tuple[ScalarNode, Node], ...]
    at: Position

    def get(self, key: str) -> Node | None:
        """The value under ``key``, or None."""
        return next((value for name, value in self.entries if name.text == key), None)

    def key(self, key: str) -> ScalarNode | None:
        """The key itself (for its place), or None."""
        return next((name for name, _ in self.entries if name.text == key), None)

    def keys(self) -> tuple[str, ...]:
        """The keys in the order of the file."""
        return tuple(name.text for name, _ in self.entries)

    def text(self, key: str) -> str | None:
        """The text of the scalar under ``key``, or None where it is absent, null or not a scalar."""
        value = self.get(key)
        return value.text if isinstance(value, ScalarNode) and not value.empty else None


Node: TypeAlias = ScalarNode | SequenceNode | MappingNode


class Block(Value, frozen=True, gc=False):
    """A piece of prose that a clause can bind: a paragraph, a list item's paragraph, a table row, a heading …

    ``text`` is what a reader sees: markup gone, white space folded to single spaces, Unicode NFC. ``source`` is
    the Markdown of it as written, and ``targets`` are the link targets in order; ``places`` says at which offset of
    ``text`` the words of each begin. Text and targets enter a binding's hash.
    ``group`` is shared by the rows of one table. ``level`` is a heading's level, otherwise the depth of lists.
    """

    kind: BlockKind
    text: str
    source: str
    line: int
    end: int
    level: int = 0
    group: int = 0
    targets: tuple[str, ...] = ()
    places: tuple[int, ...] = ()


class Span(Value, frozen=True, order=True, gc=False):
    """Words of a block: ``document.blocks[block].text[start:end]``."""

    block: int
    start: int
    end: int


class ClauseBlock(Value, frozen=True):
    """One declaration: its YAML, where it stands, and the words it makes executable.

    ``file`` is the file the YAML stands in (the policy, or the bindings). ``line`` to ``end`` are its lines there,
    the fences included. ``spans`` is empty for a clause without words (then it needs ``supplement``).
    """

    node: MappingNode
    file: str
    line: int
    end: int
    spans: tuple[Span, ...] = ()


class ExampleBlock(Value, frozen=True):
    """A ``yaml example``: one mapping of given, ask and expect, or a list of them. ``after`` is the clause above."""

    node: MappingNode | SequenceNode
    file: str
    line: int
    end: int
    after: str | None = None


class Document(Value, frozen=True):
    """A policy as read. ``files`` holds the text of every source by name, for diagnostics and for the hash."""

    filename: str
    text: str
    front: MappingNode | None
    front_file: str
    blocks: tuple[Block, ...]
    clauses: tuple[ClauseBlock, ...]
    examples: tuple[ExampleBlock, ...]
    files: dict[str, str]
    ignored: tuple[Span, ...] = ()
    bindings: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    def words(self, span: Span) -> str:
        """The words of a span."""
        return self.blocks[span.block].text[span.start : span.end]

    def prose(self, clause: ClauseBlock) -> str:
        """All words a clause binds, spans joined by a space."""
        return " ".join(self.words(span) for span in clause.spans)

    def whole(self, block: int) -> Span:
        """The span of all words of a block."""
        return Span(block, 0, len(self.blocks[block].text))

    def headings(self) -> Iterator[Block]:
        """The headings in order."""
        return (block for block in self.blocks if block.kind == "heading")
