"""YAML as a tree with the place of every key, and nothing else of YAML.

PyYAML's C loader composes; the schema, not YAML, says what a scalar means, so every scalar stays raw text. What
makes YAML surprising is refused: duplicate keys, anchors and aliases, tags, keys that are not plain text, more than
one document. Never raises: bad input gives diagnostics and, as far as it goes, a tree.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from troth.policy.diagnostics import Report
from troth.policy.document import MappingNode, Node, ScalarNode, SequenceNode
from troth.policy.model import Position

DEEPEST = 24  # levels; the deepest body has 9
LONGEST = 2_000_000  # characters of one YAML text
# A text without these holds no anchor, alias, tag or complex key, and nests no deeper than its indentation shows.
_SUSPECT = re.compile(r"[&*!?]|-[ \t]+-|^[ \t]{24}", re.MULTILINE)
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Composer:
    """Turns the composed tree of one text into ours, shifting places to where the text stands in its file."""

    def __init__(self, report: Report, file: str, first_line: int, first_column: int) -> None:
        self.report = report
        self.file = file
        self.line = first_line
        self.column = first_column

    def at(self, mark: Any) -> Position:
        return Position(self.line, self.column) if mark is None else self.place(mark.line, mark.column)

    def place(self, line: int, column: int) -> Position:
        return Position(self.line + line, self.column + column)

    def convert(self, node: yaml.Node, depth: int = 0) -> Node | None:
        mark = node.start_mark
        at = (
            Position(self.line, self.column)
            if mark is None
            else Position(self.line + mark.line, self.column + mark.column)
        )
        if isinstance(node, yaml.ScalarNode):
            return ScalarNode(node.value, at, bool(node.style))
        if depth >= DEEPEST:
            self.report.error("TOO_DEEP", self.file, at, f"nested more than {DEEPEST} levels")
            return None
        if isinstance(node, yaml.SequenceNode):
            items = [self.convert(item, depth + 1) for item in node.value]
            return SequenceNode(tuple([item for item in items if item is not None]), at)
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        for key, value in node.value:
            name = self.convert(key, depth + 1)
            if not isinstance(name, ScalarNode):
                if name is not None:
                    self.report.error("BAD_KEY", self.file, name.at, "a key is a word, not a list or a mapping")
                continue
            converted = self.convert(value, depth + 1)
            if name.text in entries:
                first = entries[name.text][0].at.line
                message = f'the key "{name.text[:60]}" stands here twice (first in line {first})'
                self.report.error("DUPLICATE_KEY", self.file, name.at, message)
            elif converted is not None:
                entries[name.text] = (name, converted)
        return MappingNode(tuple(entries.values()), at)


def compose(text: str, report: Report, file: str, *, first_line: int = 1, first_column: int = 1) -> Node | None:
    """The tree of ``text``, whose first character stands at (first_line, first_column) of ``file``.

    None where the text is empty or cannot be read; everything wrong with it is in ``report``.
    """
    composer = _Composer(report, file, first_line, first_column)
    start = Position(first_line, first_column)
    if len(text) > LONGEST:
        report.error("TOO_LONG", file, start, f"more than {LONGEST} characters of YAML")
        return None
    bad = _UNREADABLE.search(text)
    if bad:
        before = text[: bad.start()]
        line = before.count("\n")
        at = composer.place(line, bad.start() - (before.rfind("\n") + 1))
        report.error("BAD_CHARACTER", file, at, f"the character U+{ord(bad.group()):04X} cannot stand here")
        return None
    plain = _SUSPECT.search(text) is None and text.count("[") + text.count("{") <= DEEPEST
    if not plain and not _acceptable(text, composer):
        return None
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as fault:
        _report_fault(fault, composer)
        return None
    return None if node is None else composer.convert(node)


def _acceptable(text: str, composer: _Composer) -> bool:
    """Look at the events first: anchors, aliases and tags are refused before anything could be expanded."""
    fine = True
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    at = composer.at(event.start_mark)
                    composer.report.error("TOO_DEEP", composer.file, at, f"nested more than {DEEPEST} levels")
                    return False
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
                what = "a reference (*)" if isinstance(event, yaml.AliasEvent) else "an anchor (&)"
                message = f"{what} cannot be used: write the value where it is meant"
                composer.report.error("ANCHOR", composer.file, composer.at(event.start_mark), message)
                fine = False
            elif getattr(event, "tag", None) is not None:
                message = "a tag (!) cannot be used: the schema says what a value is"
                composer.report.error("TAG", composer.file, composer.at(event.start_mark), message)
                fine = False
    except yaml.YAMLError as fault:
        _report_fault(fault, composer)
        return False
    return fine


def _report_fault(fault: yaml.YAMLError, composer: _Composer) -> None:
    mark = getattr(fault, "problem_mark", None) or getattr(fault, "context_mark", None)
    problem = getattr(fault, "problem", None) or "it cannot be read"
    context = getattr(fault, "context", None)
    message = f"this is not YAML: {problem}" + (f" ({context})" if context else "")
    composer.report.error("YAML", composer.file, composer.at(mark), message)
