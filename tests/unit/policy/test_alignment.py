"""Laying pins on a text accounts for every pin and every sentence, whatever happened to the text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from troth.policy.alignment import Pin, align, digest, read_sentences
from troth.policy.diagnostics import Report
from troth.policy.document import Block, Span
from troth.policy.parse import read_blocks

WORDS = st.sampled_from(
    ["we", "keep", "your", "data", "for", "a", "year", "and", "then", "it", "goes", "You", "may", "ask", "us"]
)
SENTENCE = st.lists(WORDS, min_size=1, max_size=6).map(lambda ws: " ".join(ws).capitalize() + ".")
TEXTS = st.lists(SENTENCE, min_size=0, max_size=8)


def blocks(sentences: list[str], *, wide: bool = False) -> tuple[Block, ...]:
    return read_blocks((" " if wide else "\n\n").join(sentences), "t", Report({}))


def pins(of: tuple[Block, ...]) -> list[Pin]:
    return [Pin(f"s{i}", s.words, s.sha256) for i, s in enumerate(read_sentences(of), 1)]


@given(TEXTS, TEXTS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_pin_and_every_sentence_is_accounted_for_exactly_once(old: list[str], new: list[str], wide: bool) -> None:
    pinned, now = pins(blocks(old, wide=wide)), blocks(new, wide=wide)
    found = align(pinned, now)
    assert sorted([*found.kept, *found.moved, *found.changed, *found.gone]) == sorted(p.name for p in pinned)
    laid = [s.span for group in (found.kept, found.moved, found.changed) for s in group.values()]
    laid += [s.span for s in found.new]
    assert len(laid) == len(set(laid))
    words = {(span.block, i) for span in laid for i in range(span.start, span.end)}
    everything = {(s.span.block, i) for s in read_sentences(now) for i in range(s.span.start, s.span.end)}
    assert {(b, i) for b, i in everything if now[b].text[i] != " "} <= words
    by_name = {p.name: p for p in pinned}
    for name, sentence in (*found.kept.items(), *found.moved.items()):
        assert sentence.sha256 == by_name[name].sha256
    for name, sentence in found.changed.items():
        assert sentence.sha256 != by_name[name].sha256


@given(TEXTS, st.booleans())
@settings(max_examples=100, deadline=None)
def test_an_unchanged_text_keeps_everything(text: list[str], wide: bool) -> None:
    now = blocks(text, wide=wide)
    pinned = pins(now)
    found = align(pinned, now)
    assert list(found.kept) == [p.name for p in pinned]
    assert not (found.moved)
    assert not (found.changed)
    assert not (found.gone)
    assert not (found.new)


@given(st.lists(SENTENCE, min_size=2, max_size=8, unique=True), st.data())
@settings(max_examples=200, deadline=None)
def test_one_inserted_sentence_is_one_new_sentence(text: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    found = align(pins(blocks(text)), blocks([*text[:at], "Something nobody said before.", *text[at:]]))
    assert len(found.new) == 1
    assert len(found.kept) == len(text)
    assert not (found.moved)
    assert not (found.changed)
    assert not (found.gone)


def test_a_hash_covers_the_words_and_where_their_links_lead() -> None:
    (one,) = blocks(["See [this](https://a.example/) and [that](/b)."])
    (other,) = blocks(["See [this](https://a.example/) and [that](/c)."])
    first = Span(0, 0, len("See this"))
    whole = Span(0, 0, len(one.text))
    assert one.text == other.text
    assert digest((one,), first) == digest((other,), first)
    assert digest((one,), whole) != digest((other,), whole)
