"""Markdown -> Document: the prose as blocks with their lines, and the declarations that stand under them.

A fenced ``yaml clause`` block binds the paragraph, list item or table above it; ``words`` narrows that. Raw HTML is
not interpreted: what a reader can see is what is bound and counted.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Sequence
from typing import TypeAlias

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

from troth.policy.diagnostics import Report, did_you_mean
from troth.policy.document import (
    Block,
    BlockKind,
    ClauseBlock,
    Document,
    ExampleBlock,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    Span,
)
from troth.policy.model import Position
from troth.policy.yaml_nodes import compose

Link: TypeAlias = tuple[str, int]  # a target, and the offset in the block's text where its words begin

LONGEST = 4_000_000  # characters of one policy
LONGEST_BLOCK = 60_000  # characters of one paragraph: inline Markdown is not linear in hostile hands
_SPACE = re.compile(r"\s+")


@dataclasses.dataclass(frozen=True)
class Fence:
    """A fenced block as found: ``column`` is where its content's lines begin, ``candidates`` the prose it is under."""

    info: str
    content: str
    line: int
    end: int
    column: int
    closed: bool
    candidates: tuple[int, ...]
    under_heading: bool


@dataclasses.dataclass
class _Scan:
    front: Token | None = None
    blocks: list[Block] = dataclasses.field(default_factory=list)
    fences: list[Fence] = dataclasses.field(default_factory=list)


def fold(text: str) -> str:
    """Text as bindings and ``words`` compare it: NFC, runs of white space as one space, none at the ends."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", text)).strip()


def read_lines(text: str) -> str:
    """The text with every line ended by a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_blocks(text: str, filename: str, report: Report) -> tuple[Block, ...]:
    """The prose alone, for a text whose declarations stand elsewhere. Fenced blocks of any kind are ``code``."""
    scan = _scan(read_lines(text), filename, report)
    return tuple(scan.blocks)


def parse(text: str, filename: str = "policy.md") -> Document:
    """Read a literate policy. Never raises: what is wrong stands in ``diagnostics``."""
    text = read_lines(text)
    report = Report({filename: text})
    scan = _scan(text, filename, report)
    front = _front(scan.front, report, filename)
    clauses: list[ClauseBlock] = []
    unread: list[Span] = []
    examples: list[ExampleBlock] = []
    for fence in scan.fences:
        kind = _kind(fence, report, filename)
        if kind is None:
            continue
        at = Position(fence.line, fence.column)
        if not fence.closed:
            report.error("UNCLOSED_BLOCK", filename, at, "this block is never closed; end it with ```")
        node = compose(fence.content, report, filename, first_line=fence.line + 1, first_column=fence.column)
        if kind == "clause" and not isinstance(node, MappingNode):
            unread += _candidates(fence, scan.blocks)
        if kind == "example":
            if isinstance(node, MappingNode | SequenceNode):
                last = clauses[-1].node.text("id") if clauses else None
                examples.append(ExampleBlock(node, filename, fence.line, fence.end, last))
            elif node is not None or not fence.content.strip():
                message = "an example is a mapping of given, ask and expect (or a list of such)"
                report.error("BAD_EXAMPLE", filename, at, message)
        elif isinstance(node, MappingNode):
            spans = _bind(fence, node, scan.blocks, report, filename)
            if not spans:
                unread += _candidates(fence, scan.blocks)
            clauses.append(ClauseBlock(node, filename, fence.line, fence.end, spans))
        elif node is not None or not fence.content.strip():
            message = "a clause is a mapping: an id and one verb"
            report.error("BAD_CLAUSE", filename, at, message, paste="```yaml clause\nid: \ninforms: {}\n```")
    return Document(
        filename=filename,
        text=text,
        front=front,
        front_file=filename,
        blocks=tuple(scan.blocks),
        clauses=tuple(clauses),
        examples=tuple(examples),
        files={filename: text},
        ignored=tuple(unread),  # that they are unbound follows from what was told about the block
        diagnostics=report.found(),
    )


def _front(token: Token | None, report: Report, filename: str) -> MappingNode | None:
    if token is None:
        return None
    node = compose(token.content, report, filename, first_line=2)
    if isinstance(node, MappingNode):
        return node
    if node is not None:
        report.error("BAD_FRONT_MATTER", filename, node.at, "the front matter is a mapping of settings")
    return None


def _kind(fence: Fence, report: Report, filename: str) -> str | None:
    words = fence.info.split()
    if len(words) < 2 or words[0].lower() not in ("yaml", "yml"):
        return None
    if words[0] == "yaml" and words[1] in ("clause", "example") and len(words) == 2:
        return words[1]
    hint = did_you_mean(words[1], ("clause", "example")) or "blocks are ```yaml clause and ```yaml example"
    message = f'a block "{fence.info[:60]}" is not known'
    report.error("UNKNOWN_BLOCK", filename, Position(fence.line, fence.column), message, hint=hint)
    return None


def _bind(fence: Fence, node: MappingNode, blocks: Sequence[Block], report: Report, filename: str) -> tuple[Span, ...]:
    """The words a clause stands under, narrowed by its ``words``."""
    wanted = node.get("words")
    if wanted is None:
        if fence.under_heading:
            return ()
        return _candidates(fence, blocks)
    spans = []
    for phrase in _phrases(wanted):
        span = find_words(phrase.text, fence.candidates, blocks)
        if span is None:
            message = f'the words "{fold(phrase.text)[:80]}" do not stand in the prose above'
            report.error("WORDS_NOT_FOUND", filename, phrase.at, message, hint=_nearest(phrase, fence, blocks))
        else:
            spans.append(span)
    return tuple(spans)


def _candidates(fence: Fence, blocks: Sequence[Block]) -> tuple[Span, ...]:
    return tuple(Span(i, 0, len(blocks[i].text)) for i in fence.candidates)


def _phrases(wanted: Node) -> list[ScalarNode]:
    if isinstance(wanted, ScalarNode):
        return [wanted]
    if isinstance(wanted, SequenceNode):
        return [item for item in wanted.items if isinstance(item, ScalarNode)]
    return []


def find_words(phrase: str, candidates: Sequence[int], blocks: Sequence[Block]) -> Span | None:
    """Where the phrase stands in these blocks; upper and lower case are told apart only where that decides."""
    phrase = fold(phrase)
    if not phrase:
        return None
    for exact in (True, False):
        for index in candidates:
            text = blocks[index].text if exact else blocks[index].text.lower()
            start = text.find(phrase if exact else phrase.lower())
            if start >= 0 and start + len(phrase) <= len(blocks[index].text):
                return Span(index, start, start + len(phrase))
    return None


def _nearest(phrase: ScalarNode, fence: Fence, blocks: Sequence[Block]) -> str:
    if not fence.candidates:
        return "there is no prose above this block"
    text = " … ".join(blocks[i].text for i in fence.candidates)
    return f"the prose above reads: {text[:160]}{'…' if len(text) > 160 else ''}"


# --- the walk over the Markdown tokens ---


def _scan(text: str, filename: str, report: Report) -> _Scan:
    if len(text) > LONGEST:
        report.error("TOO_LONG", filename, Position(1, 1), f"more than {LONGEST} characters")
        return _Scan()
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable("html_block").use(front_matter_plugin)
    markdown.disable("inline")  # inline content is parsed block by block, where its size is known
    try:
        tokens = markdown.parse(text)
        return _Walk(markdown, text, filename, report).walk(tokens)
    except RecursionError:
        report.error("TOO_DEEP", filename, Position(1, 1), "lists and quotations are nested too deeply to be read")
        return _Scan()


class _Walk:
    """Goes through the block tokens once, keeping track of containers and of what a fence would bind."""

    def __init__(self, markdown: MarkdownIt, text: str, filename: str, report: Report) -> None:
        self.inline = MarkdownIt("commonmark", {"html": False}).enable("table")
        self.source = text.split("\n")
        self.filename = filename
        self.report = report
        self.scan = _Scan()
        self.containers: list[str] = []
        self.group = 0
        self.above: list[int] = []  # what a fence here would bind
        self.introduction: int | None = None  # a paragraph ending in ":" just above a list or table
        self.members: list[int] = []  # of the list or table just read, outermost
        self.under_heading = False

    def walk(self, tokens: list[Token]) -> _Scan:
        opening: Token | None = None
        row: list[str] = []
        row_links: list[Link] = []
        row_source: list[str] = []
        for i, token in enumerate(tokens):
            kind = token.type
            if kind == "front_matter":
                self.scan.front = token
            elif kind == "fence":
                self.fence(token)
            elif kind == "code_block":
                self.add("code", "", token, ())
            elif kind == "tr_open":
                row, row_links, row_source, opening = [], [], [], token
            elif kind == "tr_close":
                self.add("row", " | ".join(row), opening or token, row_links, source=" | ".join(row_source))
            elif kind == "inline":
                words, links = self.words(token)
                if "table" in self.containers:
                    before = len(" | ".join([*row, ""]))
                    row.append(words)
                    row_links += [(target, before + offset) for target, offset in links]
                    row_source.append(token.content)
                else:
                    opened = tokens[i - 1]
                    self.add(self.kind(opened), words, opened, links, source=token.content)
            elif token.nesting == 1:
                self.open(token)
            elif token.nesting == -1:
                self.close(token)
        return self.scan

    def open(self, token: Token) -> None:
        name = token.type.removesuffix("_open")
        if name in ("bullet_list", "ordered_list", "table") and not self.inside_list():
            blocks = self.scan.blocks
            last = len(blocks) - 1
            introduced = self.above == [last] and not self.under_heading and blocks[last].text.endswith(":")
            self.introduction = last if introduced else None
            self.members = []
        if name == "table":
            self.group += 1
        if name == "list_item":
            self.above = []
        self.containers.append(name)

    def close(self, token: Token) -> None:
        name = token.type.removesuffix("_close")
        while self.containers:
            if self.containers.pop() == name:
                break
        if name in ("bullet_list", "ordered_list", "table") and not self.inside_list() and self.members:
            before = [] if self.introduction is None else [self.introduction]
            self.above = before + self.members
            self.under_heading = False

    def inside_list(self) -> bool:
        return any(c in ("bullet_list", "ordered_list", "table") for c in self.containers)

    def kind(self, before: Token) -> BlockKind:
        if before.type == "heading_open":
            return "heading"
        if "list_item" in self.containers:
            return "item"
        return "quote" if "blockquote" in self.containers else "paragraph"

    def add(
        self, kind: BlockKind, words: str, token: Token, links: Sequence[Link], *, source: str | None = None
    ) -> None:
        start, end = token.map or [0, 0]
        level = sum(c == "list_item" for c in self.containers)
        if kind == "heading":
            level = int(token.tag[1:])  # h1 to h6
        index = len(self.scan.blocks)
        self.scan.blocks.append(
            Block(
                kind=kind,
                text=words,
                source=token.content if source is None else source,
                line=start + 1,
                end=end + 1,
                level=level,
                group=self.group if kind == "row" else 0,
                targets=tuple(target for target, _ in links),
                places=tuple(offset for _, offset in links),
            )
        )
        if kind == "code":
            return
        self.above = [index]
        self.under_heading = kind == "heading"
        if self.inside_list():
            self.members.append(index)

    def words(self, token: Token) -> tuple[str, list[Link]]:
        """What a reader sees of an inline token, and its links in order."""
        if len(token.content) > LONGEST_BLOCK:
            at = Position((token.map or [0])[0] + 1, 1)
            message = f"a paragraph of more than {LONGEST_BLOCK} characters; its Markdown is taken as plain text"
            self.report.warning("LONG_PARAGRAPH", self.filename, at, message)
            return fold(token.content), []
        seen: list[str] = []
        links: list[Link] = []
        for outer in self.inline.parseInline(token.content):
            _collect(outer.children or [], seen, links)
        return fold("".join(seen)), links

    def fence(self, token: Token) -> None:
        start, end = token.map or [0, 0]
        content = token.content
        column = 1
        for number, line in enumerate(content.split("\n")):
            if line.strip() and start + 1 + number < len(self.source):
                column = max(1, len(self.source[start + 1 + number]) - len(line) + 1)
                break
        last = self.source[end - 1].strip() if 0 < end <= len(self.source) else ""
        closed = end - start >= 2 and last.lstrip("> ").startswith(token.markup[:3])
        info = token.info.split()
        if len(info) > 1 and info[0].lower() in ("yaml", "yml"):
            above = tuple(self.above)
            fence = Fence(token.info.strip(), content, start + 1, end + 1, column, closed, above, self.under_heading)
            self.scan.fences.append(fence)
        else:
            self.add("code", "", token, ())


def _collect(tokens: Sequence[Token], seen: list[str], links: list[Link]) -> None:
    for token in tokens:
        if token.type in ("text", "code_inline", "text_special"):
            seen.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            seen.append(" ")
        elif token.type == "link_open":
            links.append((str(token.attrs.get("href", "")), _offset(seen)))
        elif token.type == "image":
            links.append((str(token.attrs.get("src", "")), _offset(seen)))
            _collect(token.children or [], seen, links)


def _offset(seen: Sequence[str]) -> int:
    """Where the next word will stand once the text so far is folded."""
    so_far = "".join(seen)
    folded = len(fold(so_far))
    return folded + 1 if folded and so_far[-1:].isspace() else folded
