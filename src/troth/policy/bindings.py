"""Bindings: declarations for prose that belongs to somebody else, laid on its sentences by hash.

A bindings file is YAML with these members::

    front:     what a literate policy has as front matter
    clauses:   the declarations; ``binds`` names the words each one makes executable, as s12 (a sentence) or
               s12/3-9 (its words 3 to 9)
    ignored:   sentences that are no part of the policy
    examples:  questions and the answers expected (optional)
    text:      one line for each sentence in order, ``s12: <words> <sha256>``, and one for each part that is bound;
               written by ``pin``, never by hand

``bind`` makes the same ``Document`` that ``parse`` makes of a literate policy. Three things can have happened to a
text, and each is told once, at its place: TEXT_CHANGED (other words stand there, or none), TEXT_MOVED (the same words
stand elsewhere, the clause still binds them) and UNBOUND (a sentence that no clause binds).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from troth.policy.alignment import Alignment, Pin, Sentence, align, part, sentence_of
from troth.policy.coverage import place
from troth.policy.diagnostics import Report, did_you_mean
from troth.policy.document import (
    Block,
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
from troth.policy.parse import read_blocks, read_lines
from troth.policy.sentences import words
from troth.policy.yaml_nodes import compose

_MEMBERS = ("front", "clauses", "ignored", "examples", "text")
_NAME = re.compile(r"(s\d{1,7})(?:/(\d{1,5})-(\d{1,5}))?")
_PIN = re.compile(r"(\d{1,6}) ([0-9a-f]{64})")


def bind(text: str, filename: str, bindings: str, bindings_name: str = "bindings.yaml") -> Document:
    """Lay the declarations of ``bindings`` on ``text``. Never raises: what is wrong stands in ``diagnostics``."""
    text, bindings = read_lines(text), read_lines(bindings)
    report = Report({filename: text, bindings_name: bindings})
    blocks = read_blocks(text, filename, report)
    document = Document(
        filename=filename,
        text=text,
        front=None,
        front_file=bindings_name,
        blocks=blocks,
        clauses=(),
        examples=(),
        files={filename: text, bindings_name: bindings},
        bindings=bindings,
    )
    root = compose(bindings, report, bindings_name)
    if not isinstance(root, MappingNode):
        if root is not None or not bindings.strip():
            report.error("BAD_BINDINGS", bindings_name, Position(1, 1), "a bindings file is a mapping")
        return _with(document, diagnostics=report.found())
    return _Laying(document, root, bindings_name, report).lay()


def _with(document: Document, **changes: object) -> Document:
    members = {name: getattr(document, name) for name in Document.__struct_fields__}
    return Document(**(members | changes))


class _Laying:
    """One text under one bindings file."""

    def __init__(self, document: Document, root: MappingNode, name: str, report: Report) -> None:
        self.document = document
        self.blocks: Sequence[Block] = document.blocks
        self.root = root
        self.name = name
        self.report = report
        self.pins, self.parts = _read_pins(root.get("text"), name, report)
        self.alignment: Alignment = align(self.pins, self.blocks)
        self.counts = {pin.name: pin.words for pin in self.pins}
        self.bound: set[str] = set()
        self.broken: dict[str, list[tuple[int, int, Span]]] = {}

    def lay(self) -> Document:
        for key, _ in self.root.entries:
            if key.text not in _MEMBERS:
                message = f'"{key.text[:60]}" is no member of a bindings file'
                hint = did_you_mean(key.text, _MEMBERS) or f"members are {', '.join(_MEMBERS)}"
                self.report.error("UNKNOWN_KEY", self.name, key.at, message, hint=hint)
        clauses = tuple(self._clauses())
        ignored = tuple(
            span for item in self._list("ignored") if isinstance(item, ScalarNode) for span in self.spans(item)
        )
        self._tell()
        front = self.root.get("front")
        return _with(
            self.document,
            front=front if isinstance(front, MappingNode) else None,
            clauses=clauses,
            examples=tuple(self._examples()),
            ignored=ignored,
            diagnostics=self.report.found(),
        )

    def _list(self, member: str) -> tuple[Node, ...]:
        node = self.root.get(member)
        if node is None or (isinstance(node, ScalarNode) and node.empty):
            return ()
        if isinstance(node, SequenceNode):
            return node.items
        self.report.error("BAD_BINDINGS", self.name, node.at, f'"{member}" is a list')
        return ()

    def _clauses(self) -> Iterable[ClauseBlock]:
        items = self._list("clauses")
        for i, item in enumerate(items):
            if not isinstance(item, MappingNode):
                self.report.error("BAD_CLAUSE", self.name, item.at, "a clause is a mapping: an id and one verb")
                continue
            wanted = item.get("binds")
            names = wanted.items if isinstance(wanted, SequenceNode) else (wanted,)
            spans = [span for name in names if isinstance(name, ScalarNode) for span in self.spans(name)]
            entries = tuple((key, value) for key, value in item.entries if key.text != "binds")
            end = items[i + 1].at.line if i + 1 < len(items) else item.at.line + 1
            yield ClauseBlock(MappingNode(entries, item.at), self.name, item.at.line, end, tuple(spans))

    def _examples(self) -> Iterable[ExampleBlock]:
        for item in self._list("examples"):
            if isinstance(item, MappingNode):
                entries = tuple((key, value) for key, value in item.entries if key.text != "after")
                node = MappingNode(entries, item.at)
                yield ExampleBlock(node, self.name, item.at.line, item.at.line + 1, item.text("after"))
            else:
                message = "an example is a mapping of given, ask and expect"
                self.report.error("BAD_EXAMPLE", self.name, item.at, message)

    def spans(self, name: ScalarNode) -> list[Span]:
        """The words a name stands for in the text as it is now."""
        match = _NAME.fullmatch(name.text)
        backwards = match is not None and match[2] and not 1 <= int(match[2]) <= int(match[3])
        if match is None or backwards or match[1] not in self.counts or (match[2] and name.text not in self.parts):
            known = [*self.counts, *self.parts]
            hint = did_you_mean(name.text, known) or "pin the text first: troth check TEXT --bindings FILE --pin"
            self.report.error("UNKNOWN_SPAN", self.name, name.at, f'"{name.text[:60]}" is not pinned', hint=hint)
            return []
        whole = match[1]
        self.bound.add(whole)
        sentence = self.alignment.sentence(whole)
        if sentence is None:
            return [self.alignment.gone[whole]]
        if not match[2]:
            return [sentence.span]
        first, last = int(match[2]), int(match[3])
        span, same = part(self.blocks, sentence, self.counts[whole], self.parts[name.text], first)
        if not same and whole in self.alignment.changed:
            self.broken.setdefault(whole, []).append((first, last, span))
        return [span]

    def _tell(self) -> None:
        """What happened to the text, each thing once."""
        found = self.alignment
        for name, sentence in found.changed.items():
            spans = [
                span
                for first, last, span in sorted(set(self.broken.get(name, [])))
                if not any(
                    first <= a and b <= last and (a, b) != (first, last) for a, b, _ in self.broken.get(name, [])
                )
            ]
            for span in spans or [sentence.span]:
                self._finding("error", "TEXT_CHANGED", span, f"the words pinned as {name} read otherwise now")
        for name, span in found.gone.items():
            self._finding("error", "TEXT_CHANGED", span, f"the sentence pinned as {name} stood here and is gone")
        for name, sentence in found.moved.items():
            self._finding("warning", "TEXT_MOVED", sentence.span, f"the sentence pinned as {name} stood elsewhere")
        for sentence in found.new:
            self._unbound(sentence, None)
        for name in self.counts:
            present = found.sentence(name)
            if name not in self.bound and present is not None and name not in found.changed:
                self._unbound(present, name)

    def _unbound(self, sentence: Sentence, name: str | None) -> None:
        hint = "bind it to a clause, or list it under ignored"
        if name is None:
            hint = "pin the text (troth check TEXT --bindings FILE --pin), then bind it to a clause or ignore it"
        paste = f"- id: \n  binds: [{name or 's…'}]\n  informs: {{}}"
        self._finding("error", "UNBOUND", sentence.span, "no clause binds this sentence", hint=hint, paste=paste)

    def _finding(self, severity: str, code: str, span: Span, message: str, *, hint: str = "", paste: str = "") -> None:
        at = place(self.document, span.block, span.start) if self.blocks else Position(1, 1)
        tell = self.report.error if severity == "error" else self.report.warning
        if not hint:
            hint = "read it again, change the declaration if the meaning changed, then pin the text"
        tell(code, self.document.filename, at, message, hint=hint, paste=paste)


def _read_pins(node: Node | None, name: str, report: Report) -> tuple[list[Pin], dict[str, Pin]]:
    """The pins of whole sentences in order, and those of parts by name."""
    pins: list[Pin] = []
    parts: dict[str, Pin] = {}
    if node is None or (isinstance(node, ScalarNode) and node.empty):
        return pins, parts
    if not isinstance(node, MappingNode):
        report.error("BAD_BINDINGS", name, node.at, '"text" is a mapping of pins')
        return pins, parts
    for key, value in node.entries:
        match = _NAME.fullmatch(key.text)
        pinned = _PIN.fullmatch(value.text) if isinstance(value, ScalarNode) else None
        if match is None or pinned is None:
            message = f'"{key.text[:60]}" is not a pin; a pin is "s12: <words> <sha256>"'
            report.error("BAD_PIN", name, key.at, message, hint="let troth check --pin write this part of the file")
            continue
        pin = Pin(key.text, int(pinned[1]), pinned[2])
        if match[2]:
            parts[key.text] = pin
        else:
            pins.append(pin)
    return pins, parts


def pin(text: str, bindings: str) -> tuple[str, tuple[str, ...]]:
    """The bindings file with its ``text`` member written anew for this text, and notes on what a person should read.

    Names stay with their sentences: kept, moved and changed ones keep theirs, new ones get fresh names, and names of
    sentences that are gone are dropped (the note says which clauses lost them). Meant for the maintainer of a bindings
    file, after reading what TEXT_CHANGED and UNBOUND point at.
    """
    text, bindings = read_lines(text), read_lines(bindings)
    report = Report({})
    blocks = read_blocks(text, "text", report)
    root = compose(bindings, report, "bindings")
    table = root.get("text") if isinstance(root, MappingNode) else None
    pins, parts = _read_pins(table, "bindings", report)
    found = align(pins, blocks)
    notes = [f"{name} reads otherwise now" for name in found.changed]
    notes += [f"{name} is gone" for name in found.gone] + [f"{name} was moved" for name in found.moved]
    named = [(sentence, name) for group in (found.kept, found.moved, found.changed) for name, sentence in group.items()]
    free = max((int(name[1:]) for name in [p.name for p in pins]), default=0) + 1
    for number, sentence in enumerate(sorted(found.new, key=lambda s: s.span), start=free):
        named.append((sentence, f"s{number}"))
        if pins:
            notes.append(f"s{number} is new")
    counts = {p.name: p.words for p in pins}
    used = _used_parts(root)
    lines = []
    for sentence, name in sorted(named, key=lambda pair: pair[0].span):
        lines.append(f"  {name}: {sentence.words} {sentence.sha256}")
        for whole, first, last in used:
            if whole == name:
                lines.append(_pin_part(blocks, sentence, counts, parts, (name, first, last), notes))
    head = re.split(r"^text:", bindings, maxsplit=1, flags=re.MULTILINE)[0].rstrip("\n")
    return "\n".join([*([head] if head else []), "text:", *lines]) + "\n", tuple(notes)


def _pin_part(
    blocks: Sequence[Block],
    sentence: Sentence,
    counts: dict[str, int],
    parts: dict[str, Pin],
    wanted: tuple[str, int, int],
    notes: list[str],
) -> str:
    name, first, last = wanted
    key = f"{name}/{first}-{last}"
    tokens = words(blocks[sentence.span.block].text, sentence.span.start, sentence.span.end)
    if not 1 <= first <= last <= len(tokens):
        notes.append(f"{key} does not exist: the sentence has {len(tokens)} words")
        first, last = 1, len(tokens)
    start = min(first, len(tokens)) - 1
    span = Span(sentence.span.block, tokens[start][0], tokens[last - 1][1]) if tokens else sentence.span
    if key in parts and parts[key].sha256 != sentence_of(blocks, span).sha256:
        notes.append(f"{key} reads otherwise now; see whether it still is words {first} to {last}")
    now = sentence_of(blocks, span)
    return f"  {key}: {now.words} {now.sha256}"


def _used_parts(root: Node | None) -> list[tuple[str, int, int]]:
    """The parts of sentences that clauses (or ``ignored``) name, in order, each once."""
    found: dict[tuple[str, int, int], None] = {}
    if not isinstance(root, MappingNode):
        return []
    clauses = root.get("clauses")
    items = clauses.items if isinstance(clauses, SequenceNode) else ()
    wanted = [item.get("binds") for item in items if isinstance(item, MappingNode)] + [root.get("ignored")]
    for node in wanted:
        for name in node.items if isinstance(node, SequenceNode) else (node,):
            match = _NAME.fullmatch(name.text) if isinstance(name, ScalarNode) else None
            if match and match[2]:
                found[(match[1], int(match[2]), int(match[3]))] = None
    return sorted(found)


def numbered(text: str, bindings: str) -> str:
    """The text's sentences with their names and the number of every word, for whoever writes bindings."""
    text = read_lines(text)
    report = Report({})
    blocks = read_blocks(text, "text", report)
    root = compose(bindings, report, "bindings")
    pins, _ = _read_pins(root.get("text") if isinstance(root, MappingNode) else None, "bindings", report)
    found = align(pins, blocks)
    names = {s.span: n for group in (found.kept, found.moved, found.changed) for n, s in group.items()}
    lines = []
    for span, name in sorted([*names.items(), *((s.span, "(new)") for s in found.new)]):
        block = blocks[span.block]
        numbers = " ".join(
            f"{i}·{block.text[s:e]}" for i, (s, e) in enumerate(words(block.text, span.start, span.end), 1)
        )
        lines.append(f"{name} (line {block.line}) {numbers}")
    return "\n".join(lines) + "\n"
