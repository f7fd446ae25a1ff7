"""A receipt: the proof of one entry, for the person it concerns to keep.

The evidence block is JSON in exactly one spelling (members sorted, indented by one, ASCII, ``<>&`` escaped), so that
it can stand in a page, and so that no byte of it can change without being noticed:

    format      troth-receipt-1
    entry       the entry's body, as text
    seq         its number in the log, from 0
    proof       the inclusion proof, from the leaf upward (hex)
    checkpoint  a signed checkpoint of the log that the proof leads to
    key         the log's verifier key (c2sp.org/signed-note)
    opening     if the subject is disclosed: what opens this entry's commitment and no other's (hex)

Mechanism: ``evidence.ledger``.
"""

from __future__ import annotations

import json
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import msgspec

from troth.errors import Busy, NotFound, Unavailable
from troth.evidence.entries import BadEntry, read_entry, shown_as
from troth.evidence.tiles import PublishedLog
from troth.store.checkpoint import parse_checkpoint, verifier_key
from troth.store.ledger import opens
from troth.store.merkle import inclusion_proof, leaf_hash, verify_inclusion

FORMAT = "troth-receipt-1"
BLOCK_START = '<script type="application/json" id="evidence">\n'
BLOCK_END = "\n</script>"


class BadReceipt(ValueError):
    """The bytes are no receipt; the text says why."""


class _Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The evidence block as it is written."""

    checkpoint: str
    entry: str
    format: str
    key: str
    proof: list[str]
    seq: int
    opening: str | msgspec.UnsetType = msgspec.UNSET


class Receipt(msgspec.Struct, frozen=True):
    """The evidence for one entry. ``shown`` is what its page displays of the entry, None for a bare block."""

    entry: bytes
    seq: int
    proof: tuple[bytes, ...]
    checkpoint: str
    key: str
    opening: bytes | None = None
    shown: dict[str, str] | None = None


def fingerprint(public: bytes) -> str:
    """SHA-256 of the log's 32 key bytes, in groups of eight hex digits: to be published apart from the log."""
    digest = sha256(public).hexdigest()
    return " ".join(digest[at : at + 8] for at in range(0, 64, 8))


def make_receipt(log: PublishedLog, seq: int, *, entry: bytes | None = None, opening: bytes | None = None) -> Receipt:
    """The receipt for entry ``seq`` of a published log.

    ``entry`` is the body that the caller expects there (as D holds it); ``opening`` discloses the subject.
    ``Busy``: no signed checkpoint covers the entry yet (it will within a second). ``Unavailable``: what is
    published does not prove it; no receipt is given that would not hold. ``NotFound``: there is no such number.
    """
    if seq < 0:
        raise NotFound("no entry has this number")
    if seq >= log.size:
        raise Busy("the entry is recorded, and not yet in a signed checkpoint: ask again in a second", retry_after=1)
    try:
        body = log.entry(seq)
        proof = tuple(inclusion_proof(seq, log.size, log.subtree))
        held = verify_inclusion(leaf_hash(body), seq, log.size, proof, log.root)
    except (OSError, IndexError, ValueError, TypeError) as fault:
        raise Unavailable("the published log cannot be read here: run `troth verify`") from fault
    if not held or (entry is not None and entry != body):
        raise Unavailable("the published log does not prove this entry: run `troth verify`")
    if opening is not None and not opens(opening, body):
        raise Unavailable("the opening does not fit the entry: run `troth verify`")
    return Receipt(body, seq, proof, log.checkpoint, log.key, opening)


def block(receipt: Receipt) -> str:
    """The evidence block in its one spelling, without a newline at its end."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "entry": receipt.entry.decode("utf-8"),
        "seq": receipt.seq,
        "proof": [step.hex() for step in receipt.proof],
        "checkpoint": receipt.checkpoint,
        "key": receipt.key,
    }
    if receipt.opening is not None:
        value["opening"] = receipt.opening.hex()
    return _spell(value)


def _spell(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Shown(HTMLParser):
    """Collects the text of the elements that carry ``data-member``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._member: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._member = dict(attrs).get("data-member")
        if self._member is not None:
            self.found[self._member] = ""

    def handle_data(self, data: str) -> None:
        if self._member is not None:
            self.found[self._member] += data

    def handle_endtag(self, tag: str) -> None:
        self._member = None


def parse_receipt(raw: bytes) -> Receipt:
    """Read a receipt, a bare block or the page around one. ``BadReceipt`` if it is not in its one spelling."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise BadReceipt(f"byte {fault.start} is not UTF-8") from None
    shown: dict[str, str] | None = None
    if text.startswith("{"):
        text = text.removesuffix("\n")
    else:
        page, _, rest = text.partition(BLOCK_START)
        text, end, after = rest.partition(BLOCK_END)
        if not end or BLOCK_START in after:
            raise BadReceipt("there is not exactly one evidence block in this page")
        reader = _Shown()
        reader.feed(page)
        shown = reader.found
    try:
        found = msgspec.json.decode(text, type=_Block)
        canonical = _spell(msgspec.to_builtins(found))
    except (ValueError, RecursionError):
        raise BadReceipt("the evidence block does not have the members of a receipt") from None
    if canonical != text:
        raise BadReceipt("the evidence block is not in its one canonical spelling")
    if found.format != FORMAT:
        raise BadReceipt("this is another format of receipt than is known here")
    hashes = [*found.proof, *([found.opening] if found.opening is not msgspec.UNSET else [])]
    try:
        raw_hashes = [bytes.fromhex(text) for text in hashes]
    except ValueError:
        raise BadReceipt("a hash in the evidence block is not hex") from None
    if [one.hex() for one in raw_hashes] != hashes or any(len(one) != 32 for one in raw_hashes):
        raise BadReceipt("a hash in the evidence block is not 64 lower-case hex digits")
    opening = raw_hashes.pop() if found.opening is not msgspec.UNSET else None
    entry = found.entry.encode("utf-8")
    return Receipt(entry, found.seq, tuple(raw_hashes), found.checkpoint, found.key, opening, shown)


def receipt_fault(receipt: Receipt, name: str, public: bytes) -> str:
    """What does not hold in a receipt under the key ``name``, ``public``: ``step: reason``; empty if all holds."""
    if receipt.key != verifier_key(name, public):
        return "key: the receipt names another key than the one it is checked against"
    try:
        _, size, root = parse_checkpoint(receipt.checkpoint, public)
    except ValueError as fault:
        return f"signature: {fault}"
    if not verify_inclusion(leaf_hash(receipt.entry), receipt.seq, size, receipt.proof, root):
        return "proof: the entry, its number and the proof do not lead to the signed root"
    try:
        members = read_entry(receipt.entry).members()
    except BadEntry as fault:
        return f"entry: {fault}"
    if receipt.shown not in (None, {member: shown_as(value) for member, value in members.items()}):
        return "page: what the page shows is not what its evidence says"
    if receipt.opening is not None and not opens(receipt.opening, receipt.entry):
        return "subject: the opening does not fit the commitment"
    return ""
