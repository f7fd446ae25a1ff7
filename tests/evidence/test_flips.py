"""One flipped bit in any stored entry, tile, checkpoint, key or receipt: found, and told where. 0 missed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import pytest

from tests.evidence.checkers import CHECKERS, Checker, Outcome
from tests.evidence.log import SECRET, Log, block, story
from troth.evidence.receipt_page import receipt_page
from troth.evidence.receipts import BLOCK_END, BLOCK_START, parse_receipt

POSITIONS = 10_000  # in all files together, for each verifier
PARTS = 4  # so that several processes can share the work
SIZES = (1, 9, 40, 258)  # one entry; a few; a narrow log; a full tile with two levels above
CONSENT = 3


class Corpus:
    """A log's files and receipts, and how to check them with one of them changed."""

    def __init__(self, size: int) -> None:
        log = story(size) if size > 1 else Log()
        if size == 1:
            log.publish(policy="")
        self.log = log
        self.files = log.files()
        older = max(1, len(log.bodies) - 5)
        for name, data in log.files(older).items():  # what an earlier size left behind
            if ".p/" in name:
                self.files.setdefault(name, data)
        number = CONSENT if size > CONSENT else 0
        secret = SECRET if number == CONSENT else None
        bare = block(log.receipt(number, secret=secret))
        page = receipt_page(parse_receipt(bare), "Something was recorded.").encode()
        self.receipts = {"receipt.json": bare, "receipt.html": page}
        self.witnesses = {"older.checkpoint": log.checkpoint(older)}

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """(name, first byte, end) of all that must not change."""
        for name, data in self.files.items():
            yield name, 0, len(data)
        if len(self.log.bodies) > 200:
            return  # what was kept elsewhere is checked after all entries were: the small logs do for that
        yield "older.checkpoint", 0, len(self.witnesses["older.checkpoint"])
        yield "receipt.json", 0, len(self.receipts["receipt.json"])
        page = self.receipts["receipt.html"]
        start = page.index(BLOCK_START.encode()) + len(BLOCK_START)
        yield "receipt.html", start, page.index(BLOCK_END.encode(), start)

    def check(self, checker: Checker, changed: str = "", raw: bytes = b"") -> Outcome:
        """Check everything; with a change, the folder and (if it is kept elsewhere) what was changed."""
        kept = [dict(self.witnesses), dict(self.receipts)]
        if changed:
            kept = [{changed: raw} if changed in named else {} for named in kept]
        files = self.files | ({changed: raw} if changed in self.files else {})
        witnesses, receipts = (list(named.items()) for named in kept)
        return checker(files, trusted=self.log.key, witnesses=witnesses, receipts=receipts)


@cache
def corpus(size: int) -> Corpus:
    return Corpus(size)


def positions(part: int) -> Iterator[tuple[Corpus, str, int, int]]:
    """Every file gets its share; files that are short are gone through bit by bit."""
    chance = random.Random(part)
    spans = [(corpus(size), *span) for size in SIZES for span in corpus(size).spans()]
    share = POSITIONS // PARTS // len(spans) + 1
    for these, name, start, end in spans:
        for _ in range(share):
            yield these, name, chance.randrange(start, end), chance.randrange(8)


@pytest.mark.parametrize("size", SIZES)
def test_untouched_evidence_has_no_fault(check: Checker, size: int) -> None:
    outcome = corpus(size).check(check)
    assert outcome.ok, outcome.faults
    assert outcome.done >= {"key", "checkpoint", "files", "tree", "content", "order", "pairs", "policy", "receipts"}


@pytest.mark.parametrize("part", range(PARTS))
def test_no_flipped_bit_is_missed_and_each_is_told_where(check: Checker, part: int) -> None:
    count = 0
    for these, name, at, bit in positions(part):
        data = (these.files | these.witnesses | these.receipts)[name]
        forged = bytearray(data)
        forged[at] ^= 1 << bit
        outcome = these.check(check, name, bytes(forged))
        assert not outcome.ok, (name, at, bit)
        assert outcome.names(name), (name, at, bit, outcome.faults)
        count += 1
    assert count >= POSITIONS // PARTS


def test_every_bit_of_the_short_files_is_covered(check: Checker) -> None:
    these = corpus(9)
    for name in ("checkpoint", "log.pub"):
        for at in range(len(these.files[name])):
            for bit in range(8):
                forged = bytearray(these.files[name])
                forged[at] ^= 1 << bit
                outcome = these.check(check, name, bytes(forged))
                assert not outcome.ok, (name, at, bit)
                assert outcome.names(name), (name, at, bit)


def test_a_flip_inside_an_entry_names_that_entry_and_no_other(check: Checker) -> None:
    these, name = corpus(258), "tile/entries/000"
    offsets, at = [], 0
    for body in these.log.bodies[:256]:
        offsets.append(at)
        at += 2 + len(body)
    for number in (0, 1, 100, 255):
        forged = bytearray(these.files[name])
        forged[offsets[number] + 12] ^= 4
        outcome = these.check(check, name, bytes(forged))
        tampered = [fault for fault in outcome.faults if fault.file == name]
        assert [(fault.entry, fault.offset) for fault in tampered] == [(number, offsets[number])]


def test_a_flip_inside_a_tile_names_the_byte_and_blames_no_entry(check: Checker) -> None:
    these = corpus(258)
    for name, at in (("tile/0/000", 32 * 77 + 5), ("tile/1/000.p/1", 31)):
        forged = bytearray(these.files[name])
        forged[at] ^= 1
        outcome = these.check(check, name, bytes(forged))
        assert [(fault.file, fault.entry, fault.offset) for fault in outcome.faults] == [(name, None, at)]


def test_both_verifiers_name_the_same_places() -> None:
    chance = random.Random(1)
    for _ in range(150):
        these = corpus(chance.choice(SIZES))
        name, start, end = chance.choice(list(these.spans()))
        data = (these.files | these.witnesses | these.receipts)[name]
        forged = bytearray(data)
        forged[chance.randrange(start, end)] ^= 1 << chance.randrange(8)
        one, two = (these.check(checker, name, bytes(forged)) for checker in CHECKERS.values())
        assert one.places == two.places, name
        assert one.steps == two.steps, name
