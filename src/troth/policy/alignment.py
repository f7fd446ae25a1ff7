"""Which pinned sentence is which sentence of the text now: by hash first, by place second.

A pin is a name, a number of words and a hash. Sentences that still have their hash and their order are the anchors;
those that have their hash only were moved; between two anchors the rest is matched in order, by its number of words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from difflib import SequenceMatcher

from troth.policy.document import Block, Span
from troth.policy.model import Value
from troth.policy.parse import fold
from troth.policy.sentences import sentences, words

_COUNTED = frozenset({"paragraph", "item", "row", "quote"})
_LARGEST = 60  # sentences between two anchors that are matched by their number of words; beyond it, by order alone


class Sentence(Value, frozen=True):
    """A sentence of the text: its words (as offsets of its block) and its hash."""

    span: Span
    words: int
    sha256: str


class Pin(Value, frozen=True):
    """A sentence as pinned in a bindings file."""

    name: str
    words: int
    sha256: str


class Alignment(Value, frozen=True):
    """``kept``, ``moved`` and ``changed`` give the sentence of each pin; ``gone`` pins have the place they stood at."""

    kept: dict[str, Sentence]
    moved: dict[str, Sentence]
    changed: dict[str, Sentence]
    gone: dict[str, Span]
    new: tuple[Sentence, ...]

    def sentence(self, name: str) -> Sentence | None:
        """The sentence this pin stands for now, or None where its words are gone."""
        return self.kept.get(name) or self.moved.get(name) or self.changed.get(name)


def digest(blocks: Sequence[Block], span: Span) -> str:
    """SHA-256 (lower-case hex) of the words of a span, folded, and of the targets of the links that begin in it."""
    block = blocks[span.block]
    targets = [
        target for target, place in zip(block.targets, block.places, strict=True) if span.start <= place < span.end
    ]
    return hashlib.sha256("\n".join([fold(block.text[span.start : span.end]), *targets]).encode()).hexdigest()


def sentence_of(blocks: Sequence[Block], span: Span) -> Sentence:
    """A span of words as a sentence."""
    count = len(words(blocks[span.block].text, span.start, span.end))
    return Sentence(span, count, digest(blocks, span))


def read_sentences(blocks: Sequence[Block]) -> tuple[Sentence, ...]:
    """Every sentence of the prose in order. Headings and code are none."""
    return tuple(
        sentence_of(blocks, Span(index, start, end))
        for index, block in enumerate(blocks)
        if block.kind in _COUNTED
        for start, end in sentences(block.text)
        if words(block.text, start, end)
    )


def align(pins: Sequence[Pin], blocks: Sequence[Block]) -> Alignment:
    """Lay the pins on the text. Every pin and every sentence is accounted for exactly once."""
    now = read_sentences(blocks)
    matcher = SequenceMatcher(None, [p.sha256 for p in pins], [s.sha256 for s in now], autojunk=False)
    kept: dict[int, Sentence] = {}
    gaps: list[tuple[list[int], list[int], int]] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            kept |= dict(zip(range(a, b), now[c:d], strict=True))
        else:
            gaps.append((list(range(a, b)), list(range(c, d)), c))
    moved = _moved(pins, now, gaps)
    changed: dict[int, Sentence] = {}
    gone: dict[int, Span] = {}
    new: list[Sentence] = []
    for lost, found, at in gaps:
        here = [now[i] for i in found]
        if lost and [p.words for p in (pins[i] for i in lost)] != [s.words for s in here]:
            here = _recut([pins[i] for i in lost], here, blocks) or here
        pairs = _pair([pins[i].words for i in lost], [s.words for s in here])
        for i, j in pairs.items():
            (kept if here[j].sha256 == pins[lost[i]].sha256 else changed)[lost[i]] = here[j]
        gone |= {pin: _place(now, at) for i, pin in enumerate(lost) if i not in pairs}
        new += [s for j, s in enumerate(here) if j not in pairs.values()]

    def named(found: dict[int, Sentence]) -> dict[str, Sentence]:
        return {pins[i].name: found[i] for i in sorted(found)}

    places = {pins[i].name: gone[i] for i in sorted(gone)}
    return Alignment(named(kept), named(moved), named(changed), places, tuple(new))


def _moved(
    pins: Sequence[Pin], now: Sequence[Sentence], gaps: list[tuple[list[int], list[int], int]]
) -> dict[int, Sentence]:
    """Pins whose hash stands in another gap; both are taken out of their gaps."""
    free: dict[str, list[int]] = {}
    for _, found, _ in gaps:
        for j in found:
            free.setdefault(now[j].sha256, []).append(j)
    moved: dict[int, Sentence] = {}
    taken: set[int] = set()
    for lost, _, _ in gaps:
        for i in list(lost):
            where = free.get(pins[i].sha256)
            if where:
                j = where.pop(0)
                moved[i] = now[j]
                taken.add(j)
                lost.remove(i)
    for _, found, _ in gaps:
        found[:] = [j for j in found if j not in taken]
    return moved


def _recut(pins: Sequence[Pin], here: Sequence[Sentence], blocks: Sequence[Block]) -> list[Sentence] | None:
    """The same words cut as they were when pinned: a changed letter can join or part two sentences."""
    if not here or len({s.span.block for s in here}) != 1 or sum(p.words for p in pins) != sum(s.words for s in here):
        return None
    block = here[0].span.block
    spans = [w for s in here for w in words(blocks[block].text, s.span.start, s.span.end)]
    ends = [s.span.end for s in here]
    cut: list[Sentence] = []
    first = 0
    start = here[0].span.start
    for pin in pins:
        if not pin.words:
            return None
        first += pin.words
        last = spans[first - 1][1]
        end = spans[first][0] if first < len(spans) else ends[-1]
        stop = len(blocks[block].text[start:end].rstrip()) + start if end > last else last
        cut.append(sentence_of(blocks, Span(block, start, stop)))
        start = end
    return cut


def _pair(pinned: Sequence[int], found: Sequence[int]) -> dict[int, int]:
    """Pins to sentences, in order, so that the numbers of words differ least: index of the pin -> of the sentence."""
    n, m = len(pinned), len(found)
    if n == m or max(n, m) > _LARGEST:
        return {i: i for i in range(min(n, m))}
    turned = n > m
    few, many = (found, pinned) if turned else (pinned, found)
    best: list[list[tuple[int, ...]]] = [[()] * (len(many) + 1) for _ in range(len(few) + 1)]
    costs = [[0] * (len(many) + 1)] + [[10**9] * (len(many) + 1) for _ in few]
    for i, count in enumerate(few, 1):
        for j, other in enumerate(many, 1):
            with_this = costs[i - 1][j - 1] + abs(count - other)
            if with_this < costs[i][j - 1]:
                costs[i][j], best[i][j] = with_this, (*best[i - 1][j - 1], j - 1)
            else:
                costs[i][j], best[i][j] = costs[i][j - 1], best[i][j - 1]
    pairs = dict(enumerate(best[-1][-1]))
    return {j: i for i, j in pairs.items()} if turned else pairs


def _place(now: Sequence[Sentence], at: int) -> Span:
    """An empty span where something stood: before the sentence that comes next, or after the last one."""
    if at < len(now):
        return Span(now[at].span.block, now[at].span.start, now[at].span.start)
    return Span(now[-1].span.block, now[-1].span.end, now[-1].span.end) if now else Span(0, 0, 0)


def part(blocks: Sequence[Block], whole: Sentence, pinned_words: int, pin: Pin, first: int) -> tuple[Span, bool]:
    """Words ``first`` (from 1) and following of a sentence, and whether they still have their hash.

    Where words were put in or taken out before them, they are looked for in the rest of the sentence.
    """
    span = whole.span
    tokens = words(blocks[span.block].text, span.start, span.end)
    count = pin.words
    offsets = [first - 1, first - 1 + len(tokens) - pinned_words, *range(max(0, len(tokens) - count) + 1)]
    for offset in offsets:
        if offset >= 0 and offset + count <= len(tokens):
            candidate = Span(span.block, tokens[offset][0], tokens[offset + count - 1][1])
            if digest(blocks, candidate) == pin.sha256:
                return candidate, True
    begin = min(first - 1, max(0, len(tokens) - 1))
    end = max(begin + 1, min(begin + count, len(tokens)))
    if not tokens:
        return span, False
    return Span(span.block, tokens[begin][0], tokens[end - 1][1]), False
