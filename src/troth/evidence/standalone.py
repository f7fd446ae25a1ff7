#!/usr/bin/env python3
"""Check the evidence of a Troth log: one file, for people who trust neither the operator nor Troth's code.

Needs Python 3.11 and the package ``cryptography``; imports nothing else, reads nothing but the files named, and
opens no connection. It is a second writing, on purpose: nothing here is shared with the code that wrote the log.

    python standalone.py FOLDER [--key VKEY] [--receipt FILE ...] [--witness CHECKPOINT ...] [--hashes-only] [--json]

FOLDER is the published evidence (``checkpoint``, ``log.pub``, ``tile/...``). Without FOLDER, receipts are checked
against ``--key`` alone. A witness is a checkpoint that you kept, or any text (a mail, a page) with a line of it:
size and root. ``--hashes-only`` is for a folder without the entries, as it is published to everybody.

The steps, in order; a step whose ground has gone is said to be not done, never skipped:

    1 key         log.pub is a well-formed key, and the one you trust if you name it with --key
    2 checkpoint  the checkpoint is signed by that key: so many entries, this root (C2SP tlog-checkpoint)
    3 files       every file is one that a log of this size has, and none is missing (C2SP tlog-tiles)
    4 tree        every entry and every tile, recomputed, adds up to the signed root (RFC 6962, section 2.1)
    5 content     every entry is canonical, with known members of the right types
    6 order       ids occur once, times do not run backwards, references point to earlier entries
    7 pairs       every outcome names its intent; intents without outcome are listed as open
    8 policy      every entry cites a version that was published before, and no version was changed afterwards
    9 witnesses   every older checkpoint that somebody kept is a beginning of this log
   10 receipts    every receipt given proves its entry, and the entry is in this log

Exit status 0: no fault. 1: at least one fault. 2: the command was not understood.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import html.parser
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

STEPS = ("key", "checkpoint", "files", "tree", "content", "order", "pairs", "policy", "witnesses", "receipts")
WIDTH = 256  # hashes in a full tile (C2SP tlog-tiles)
HASH = 32
TOLERANCE_MS = 60_000  # several writers may commit in another order than they read the clock
MAX_NOTE = 1_000_000
UNSIGNED = " (what you kept is not signed: it convinces you, and nobody else)"
RECEIPT_FORMAT = "troth-receipt-1"

# An intent stays open until one of these entries refers to it.
ENDED = {"message.sent", "message.refused", "message.bounced", "message.cancelled", "message.unknown"}
OUTCOMES = {
    "erase.ordered": {"erase.done"},
    "epoch.destroy.ordered": {"epoch.destroyed"},
    "message.queued": ENDED | {"message.sending", "message.deferred"},
    "message.sending": ENDED | {"message.deferred"},
    "message.deferred": ENDED | {"message.sending"},
    "disclosure.intended": {"disclosure.made", "disclosure.failed", "disclosure.unknown"},
    "moved.away": {"moved.in", "moved.back"},
}
# These may not stand alone: each must refer to its intent, and an intent has at most one of them.
MUST_ANSWER = {
    "erase.done": "erase.ordered",
    "epoch.destroyed": "epoch.destroy.ordered",
    "moved.in": "moved.away",
    "moved.back": "moved.away",
}

HEX16 = re.compile(r"[0-9a-f]{32}")
HEX32 = re.compile(r"[0-9a-f]{64}")
KIND = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*")
ACTOR = re.compile(r"system|subject|visitor|(operator|product|delegate):[0-9a-f]+")
NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
TILE = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
HEAD_LINE = re.compile(r"(?<![0-9])(0|[1-9][0-9]{0,17}) ([A-Za-z0-9+/]{43}=)")
SUBJECT_MEMBER = re.compile(rb',"subject":"([0-9a-f]{64})","v":1\}\Z')


@dataclass(frozen=True)
class Finding:
    """Something to say about a place: a ``fault`` fails the check, a ``note`` is for the reader."""

    step: str
    level: str
    message: str
    file: str = ""
    entry: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        place = self.file
        if self.entry is not None:
            place += f"{', ' if place else ''}entry {self.entry}"
        if self.offset is not None:
            place += f"{', ' if place else ''}byte {self.offset}"
        return f"{place}: {self.message}" if place else self.message


@dataclass
class Report:
    """What was checked and found. ``done`` maps each step that was carried out to one line on its result."""

    origin: str = ""
    size: int = 0
    root: str = ""
    fingerprint: str = ""
    kinds: dict[str, int] = field(default_factory=dict)
    open: list[dict[str, Any]] = field(default_factory=list)
    done: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No fault was found."""
        return not any(finding.level == "fault" for finding in self.findings)

    def fault(self, step: str, message: str, **place: Any) -> None:
        """Add a fault at a place."""
        self.findings.append(Finding(step, "fault", message, **place))

    def note(self, step: str, message: str, **place: Any) -> None:
        """Add something that the reader should know and that is no fault."""
        self.findings.append(Finding(step, "note", message, **place))

    def faulty(self, step: str) -> bool:
        """Whether this step found a fault."""
        return any(finding.step == step and finding.level == "fault" for finding in self.findings)


class Bad(Exception):
    """These bytes are not what they should be; the text says why."""


# --- RFC 6962: the tree ---


def leaf_hash(data: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def roots(leaves: Iterable[bytes], wanted: Collection[int]) -> dict[int, bytes]:
    """The tree's root at each wanted size that is reached, from one pass over the leaf hashes."""
    found: dict[int, bytes] = {}
    stack: list[tuple[int, bytes]] = []  # (leaves below, hash) of the complete subtrees, from left to right
    if 0 in wanted:
        found[0] = hashlib.sha256(b"").digest()
    for size, leaf in enumerate(leaves, 1):
        stack.append((1, leaf))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            (count, right), (_, left) = stack.pop(), stack.pop()
            stack.append((count * 2, node_hash(left, right)))
        if size in wanted:
            root = stack[-1][1]
            for _, left in reversed(stack[:-1]):
                root = node_hash(left, root)
            found[size] = root
    return found


def root_from_proof(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to, or None if its length does not fit (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if node % 2 or node == last:
            found = node_hash(sibling, found)
            while node % 2 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return found if last == 0 else None


# --- C2SP signed-note and tlog-checkpoint ---


def strict_base64(text: str) -> bytes:
    """Decode base64 of which there is exactly one spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad("this is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Bad("this base64 is not in its one canonical spelling")
    return data


@dataclass(frozen=True)
class Key:
    """A log's public key: ``<name>+<key id>+<base64 of 0x01 and the Ed25519 key>``."""

    name: str
    id: bytes
    public: bytes

    @property
    def text(self) -> str:
        """The key as one line."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([1]) + self.public).decode()}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the 32 key bytes: what to compare with the fingerprint that was published elsewhere."""
        digest = hashlib.sha256(self.public).hexdigest()
        return " ".join(digest[at : at + 8] for at in range(0, 64, 8))


def parse_key(text: str) -> Key:
    """Read a verifier key; Bad says what does not fit."""
    parts = text.removesuffix("\n").split("+", 2)
    if len(parts) != 3 or not parts[0] or any(c.isspace() or c < " " for c in parts[0]):
        raise Bad("a key reads <name>+<key id>+<base64>")
    name, hex_id, encoded = parts
    data = strict_base64(encoded)
    if len(data) != 33 or data[0] != 1:
        raise Bad("the key is not an Ed25519 key of 32 bytes with the type byte 1")
    expected = hashlib.sha256(name.encode() + b"\n\x01" + data[1:]).digest()[:4]
    if hex_id != expected.hex():
        raise Bad(f"the key id is {hex_id!r}, but these key bytes under this name have {expected.hex()!r}")
    return Key(name, expected, data[1:])


@dataclass(frozen=True)
class Checkpoint:
    """A head: this log had so many entries, with this root. Unsigned ones convince only whoever kept them."""

    origin: str
    size: int
    root: bytes
    signed: bool = True


def parse_checkpoint(raw: bytes, key: Key) -> Checkpoint:
    """Read a checkpoint and verify its signature by ``key``; Bad says what does not fit."""
    if len(raw) > MAX_NOTE:
        raise Bad("a checkpoint is not that long")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Bad(f"byte {fault.start} is not UTF-8") from None
    if any(c < " " and c != "\n" for c in text):
        raise Bad("there is a control character in it")
    body, blank, signatures = text.rpartition("\n\n")
    body += "\n"
    if not blank or not signatures.endswith("\n"):
        raise Bad("it is not a note: text, an empty line, signature lines")
    signed = False
    for line in signatures[:-1].split("\n"):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or not parts[1]:
            raise Bad("a signature line does not read: dash, name, base64")
        data = strict_base64(parts[2])
        if (parts[1], data[:4]) != (key.name, key.id):
            continue  # another signer's: the note specification says to ignore what one cannot check
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(data[4:], body.encode())
        except (InvalidSignature, ValueError):
            raise Bad("the signature by this log's key is wrong") from None
        if signed:
            raise Bad("it is signed twice by the same key")
        signed = True
    if not signed:
        raise Bad(f"it carries no signature by {key.name}+{key.id.hex()}")
    lines = body[:-1].split("\n")
    if len(lines) < 3 or not all(lines) or not NUMBER.fullmatch(lines[1]):  # the format allows further, opaque lines
        raise Bad("its text is not: origin, size, root")
    root = strict_base64(lines[2])
    if len(root) != HASH:
        raise Bad("its root is not 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


def parse_witness(raw: bytes, key: Key, origin: str) -> list[Checkpoint]:
    """The heads in what somebody kept: a signed checkpoint, or lines of size and root in any text."""
    try:
        return [parse_checkpoint(raw, key)]
    except Bad:
        text = raw.decode("utf-8", "replace")
        heads = [Checkpoint(origin, int(m[1]), strict_base64(m[2]), False) for m in HEAD_LINE.finditer(text)]
        if not heads:
            raise
        return heads


# --- C2SP tlog-tiles: files ---


def index_path(number: int) -> str:
    """1234067 -> x001/x234/067."""
    path = f"{number % 1000:03d}"
    while number := number // 1000:
        path = f"x{number % 1000:03d}/{path}"
    return path


@dataclass(frozen=True, order=True)
class Tile:
    """A file's place in the tree: ``level`` -1 is an entry bundle."""

    level: int
    number: int
    width: int

    @property
    def name(self) -> str:
        """Its path in the folder."""
        level = "entries" if self.level < 0 else str(self.level)
        part = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{index_path(self.number)}{part}"


def parse_tile(name: str) -> Tile | None:
    """The tile of this name, or None: there is one spelling of each."""
    match = TILE.fullmatch(name)
    if not match:
        return None
    level = -1 if match[1] == "entries" else int(match[1])
    number = int(match[2].replace("x", "").replace("/", ""))
    tile = Tile(level, number, int(match[3] or WIDTH))
    return tile if tile.name == name and level < 64 and tile.width <= WIDTH else None


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile and bundle that a log of this size needs."""
    level, count = -1, size
    while count:
        yield from (Tile(level, number, WIDTH) for number in range(count // WIDTH))
        if count % WIDTH:
            yield Tile(level, count // WIDTH, count % WIDTH)
        if level >= 0:
            count //= WIDTH
        level += 1


def split_bundle(raw: bytes, width: int) -> Iterator[tuple[int, bytes]]:
    """The (offset, entry) pairs of an entry bundle; Bad where its framing ends."""
    at = 0
    for number in range(width):
        if at + 2 > len(raw):
            raise Bad(f"the bundle ends at byte {len(raw)}, before its entry {number} of {width}")
        length = int.from_bytes(raw[at : at + 2], "big")
        if at + 2 + length > len(raw):
            raise Bad(f"at byte {at} an entry of {length} bytes is announced, but the bundle ends at byte {len(raw)}")
        yield at, raw[at + 2 : at + 2 + length]
        at += 2 + length
    if at != len(raw):
        raise Bad(f"{len(raw) - at} bytes follow the last entry, from byte {at} on")


# --- entries ---


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _plain(value: Any, depth: int = 2) -> bool:
    if isinstance(value, list):
        return depth > 0 and all(_plain(item, depth - 1) for item in value)
    return isinstance(value, (str, int))  # bool is an int; there are no fractions and no nulls in an entry


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 300 and not any(c < " " for c in value)


MEMBERS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "v": ("1", lambda v: v is not True and v == 1 and isinstance(v, int)),
    "eid": ("32 hex digits", lambda v: isinstance(v, str) and HEX16.fullmatch(v) is not None),
    "at": ("milliseconds", lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 1 << 53),
    "kind": ("a dotted word", lambda v: isinstance(v, str) and KIND.fullmatch(v) is not None),
    "clause": ("text", _text),
    "mechanism": ("text", _text),
    "actor": (
        "system, subject, visitor, operator:id, product:id, delegate:id",
        lambda v: _text(v) and bool(ACTOR.fullmatch(v)),
    ),
    "policy": ("text", _text),
    "purpose": ("text", _text),
    "subject": ("64 hex digits", lambda v: isinstance(v, str) and HEX32.fullmatch(v) is not None),
    "refers": ("32 hex digits", lambda v: isinstance(v, str) and HEX16.fullmatch(v) is not None),
    "facts": (
        "an object of texts, whole numbers, truths, lists",
        lambda v: isinstance(v, dict) and all(map(_plain, v.values())),
    ),
}
REQUIRED = ("v", "eid", "at", "kind", "clause", "mechanism", "actor", "policy")


def parse_entry(body: bytes) -> dict[str, Any]:
    """Read an entry's body; Bad says what does not fit."""
    try:
        value = json.loads(body.decode("utf-8"))
        same = canonical(value) == body
    except (ValueError, RecursionError):
        raise Bad("it is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Bad("it is not an object")
    if not same:
        raise Bad("it is not in canonical form (sorted members, no spaces, each once)")
    if missing := [name for name in REQUIRED if name not in value]:
        raise Bad(f"it lacks {', '.join(missing)}")
    if unknown := sorted(set(value) - set(MEMBERS)):
        raise Bad(f"it has {len(unknown)} members that no entry has")
    for name, member in value.items():
        wanted, fits = MEMBERS[name]
        if not fits(member):
            raise Bad(f"its member {name!r} is not {wanted}")
    return value


def opens(body: bytes, opening: bytes) -> bool:
    """Whether ``opening`` opens the entry's commitment to its subject.

    subject = HMAC-SHA256(opening, SHA-256(body without its member subject)); keys are sorted, so that
    ``subject`` always stands just before ``v``.
    """
    match = SUBJECT_MEMBER.search(body)
    if not match or len(opening) != HASH:
        return False
    without = body[: match.start()] + b',"v":1}'
    digest = hmac.new(opening, hashlib.sha256(without).digest(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(digest.encode(), match[1])


# --- receipts ---

BLOCK_START = '<script type="application/json" id="evidence">\n'
BLOCK_END = "\n</script>"


@dataclass(frozen=True)
class Receipt:
    """The evidence block of a receipt; ``shown`` is what its page displays of the entry's members."""

    entry: bytes
    seq: int
    proof: tuple[bytes, ...]
    checkpoint: bytes
    key: str
    opening: bytes | None
    shown: dict[str, str] | None


class _Shown(html.parser.HTMLParser):
    """Collects the text of the elements that carry ``data-member``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.member: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.member = dict(attrs).get("data-member")
        if self.member is not None:
            self.found[self.member] = ""

    def handle_data(self, data: str) -> None:
        if self.member is not None:
            self.found[self.member] += data

    def handle_endtag(self, tag: str) -> None:
        self.member = None


def block_text(value: dict[str, Any]) -> str:
    """The one spelling of an evidence block: safe inside HTML, and the same from Python and JavaScript."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def parse_receipt(raw: bytes) -> Receipt:
    """Read a receipt, a JSON block or the page around it; Bad says what does not fit."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Bad(f"byte {fault.start} is not UTF-8") from None
    shown: dict[str, str] | None = None
    if not text.startswith("{"):
        if text.count(BLOCK_START) != 1:
            raise Bad("there is not exactly one evidence block in this page")
        page, _, rest = text.partition(BLOCK_START)
        block, end, _ = rest.partition(BLOCK_END)
        if not end:
            raise Bad("the evidence block does not end")
        reader = _Shown()
        reader.feed(page)
        text, shown = block, reader.found
    else:
        text = text.removesuffix("\n")
    try:
        value = json.loads(text)
        same = isinstance(value, dict) and block_text(value) == text
    except (ValueError, RecursionError):
        raise Bad("the evidence block is not JSON") from None
    if not same:
        raise Bad("the evidence block is not in its one canonical spelling")
    types = {"checkpoint": str, "entry": str, "format": str, "key": str, "proof": list, "seq": int}
    if set(value) - {"opening"} != set(types) or any(type(value[name]) is not kind for name, kind in types.items()):
        raise Bad("the evidence block does not have the members of a receipt")
    if value["format"] != RECEIPT_FORMAT:
        raise Bad("this is another format of receipt than this verifier knows")
    hashes = value["proof"] + ([value["opening"]] if "opening" in value else [])
    if not all(isinstance(item, str) and HEX32.fullmatch(item) for item in hashes):
        raise Bad("a hash in the evidence block is not 64 lower-case hex digits")
    try:
        entry, checkpoint = value["entry"].encode(), value["checkpoint"].encode()
    except UnicodeEncodeError:
        raise Bad("the evidence block is not text") from None
    opening = bytes.fromhex(value["opening"]) if "opening" in value else None
    proof = tuple(bytes.fromhex(item) for item in value["proof"])
    return Receipt(entry, value["seq"], proof, checkpoint, value["key"], opening, shown)


def shown_as(value: Any) -> str:
    """How a receipt's page shows a member of the entry."""
    return value if isinstance(value, str) else canonical(value).decode()


def check_receipt(raw: bytes, name: str, key: Key, report: Report) -> tuple[Receipt, Checkpoint] | None:
    """Check a receipt by itself: block, key, entry, page, signature, proof, subject. Faults go to the report."""
    step = "receipts"
    try:
        receipt = parse_receipt(raw)
    except Bad as fault:
        report.fault(step, f"block: {fault}", file=name)
        return None
    if receipt.key != key.text:
        message = "key: the receipt names another key than the one it is checked against"
        report.fault(step, message, file=name, entry=receipt.seq)
        return None
    try:
        checkpoint = parse_checkpoint(receipt.checkpoint, key)
    except Bad as fault:
        message = f"signature: in the receipt's checkpoint {fault}"
        report.fault(step, message, file=name, entry=receipt.seq)
        return None
    if root_from_proof(receipt.seq, checkpoint.size, leaf_hash(receipt.entry), receipt.proof) != checkpoint.root:
        message = "proof: the entry, its number and the proof do not lead to the signed root"
        report.fault(step, message, file=name, entry=receipt.seq)
        return None
    try:
        entry = parse_entry(receipt.entry)
    except Bad as fault:
        report.fault(step, f"entry: {fault}", file=name, entry=receipt.seq)
        return None
    if receipt.shown is not None and receipt.shown != {member: shown_as(value) for member, value in entry.items()}:
        report.fault(step, "page: what the page shows is not what its evidence says", file=name, entry=receipt.seq)
    if receipt.opening is None:
        if "subject" in entry:
            report.note(step, "subject: not disclosed, so nothing is said about whose entry it is", file=name)
    elif not opens(receipt.entry, receipt.opening):
        report.fault(step, "subject: the opening does not fit the commitment", file=name, entry=receipt.seq)
    return receipt, checkpoint


# --- the steps over a folder ---


class Check:
    """One check of one folder: the steps share what the earlier ones established."""

    def __init__(
        self,
        names: Collection[str],
        read: Callable[[str], bytes],
        tolerance_ms: int = TOLERANCE_MS,
        hashes_only: bool = False,
    ) -> None:
        self.hashes_only = hashes_only
        self.names = set(names)
        self.read = read
        self.tolerance_ms = tolerance_ms
        self.report = Report()
        self.key: Key | None = None
        self.head: Checkpoint | None = None
        self.files: dict[tuple[int, int], dict[int, str]] = {}  # (level, number) -> width -> name
        self.leaves: list[bytes] = []  # established by the step "tree"
        self.readable = False  # whether every entry is there, as the tree has it

    def run(
        self,
        trusted: str | None = None,
        receipts: Iterable[tuple[str, bytes]] = (),
        witnesses: Iterable[tuple[str, bytes]] = (),
    ) -> Report:
        """All steps in order."""
        receipts, witnesses = list(receipts), list(witnesses)
        self.check_key(trusted)
        if self.key:
            self.check_checkpoint(self.key)
        if self.head:
            self.check_files(self.head)
            self.check_tree(self.head)
            if not self.report.faulty("tree"):
                if self.readable:
                    self.check_entries(self.head)
                self.check_witnesses(self.head, witnesses)
        if self.key:
            self.check_receipts(self.key, self.head, receipts)
        return self.report

    def check_key(self, trusted: str | None) -> None:
        """Step 1."""
        try:
            if "log.pub" not in self.names:
                raise Bad("it is missing")
            self.key = parse_key(self.read("log.pub").decode("utf-8"))
        except (Bad, ValueError) as fault:
            self.report.fault("key", str(fault) if isinstance(fault, Bad) else "it is not UTF-8", file="log.pub")
            return
        self.report.fingerprint = self.key.fingerprint
        if trusted is not None and trusted.strip() != self.key.text:
            self.report.fault("key", "this is not the key that you trust", file="log.pub")
            self.key = None
            return
        told = "the key you named" if trusted else "compare this fingerprint with the published one"
        self.report.done["key"] = f"{self.key.name}, {self.key.fingerprint} ({told})"

    def check_checkpoint(self, key: Key) -> None:
        """Step 2."""
        try:
            if "checkpoint" not in self.names:
                raise Bad("it is missing")
            self.head = parse_checkpoint(self.read("checkpoint"), key)
        except Bad as fault:
            self.report.fault("checkpoint", str(fault), file="checkpoint")
            return
        report, head = self.report, self.head
        report.origin, report.size, report.root = head.origin, head.size, head.root.hex()
        report.done["checkpoint"] = f"signed: {head.origin}, {head.size} entries, root {head.root.hex()}"

    def check_files(self, head: Checkpoint) -> None:
        """Step 3."""
        report = self.report
        counts = self.counts(head.size)
        for name in sorted(self.names - {"checkpoint", "log.pub"}):
            tile = parse_tile(name)
            if tile is None and any(
                part.startswith(".") or part.endswith((".tmp", ".new")) for part in name.split("/")
            ):
                report.note("files", "a temporary file, looked at by nobody", file=name)
            elif tile is None:
                report.fault("files", "this file is no part of a log: nothing vouches for it", file=name)
            else:
                self.files.setdefault((tile.level, tile.number), {})[tile.width] = name
                if tile.number * WIDTH + tile.width > counts.get(tile.level, 0):
                    report.note("files", "it reaches beyond the checkpoint: written, but not yet signed", file=name)
        for tile in tiles_of(head.size):
            if not self.holder(tile) and not (self.hashes_only and tile.level == -1):
                report.fault("files", "it is missing", file=tile.name)
        if self.hashes_only:
            report.note("content", "not looked at, as you asked: the entries are not here")
        report.done["files"] = f"{len(self.names)} files"

    @staticmethod
    def counts(size: int) -> dict[int, int]:
        """Level -> how many hashes (or entries, level -1) a log of this size has there."""
        counts, level = {-1: size}, 0
        while size:
            counts[level], level, size = size, level + 1, size // WIDTH
        return counts

    def holder(self, tile: Tile) -> str | None:
        """The file that holds this tile: itself, or a wider one that replaced it."""
        held = self.files.get((tile.level, tile.number), {})
        return held[min(wide)] if (wide := [width for width in held if width >= tile.width]) else None

    def check_tree(self, head: Checkpoint) -> None:
        """Step 4. Two ways lead to the root, from the entries and from the tiles: where they part, the root decides."""
        report = self.report
        from_entries = self.hash_entries(head.size)
        from_tiles = self.hash_tiles(head.size)
        ways = [way for way in (from_entries, from_tiles) if all(way)]
        truth = next((way for way in ways if roots(way, {head.size}).get(head.size) == head.root), None)
        if truth is None:
            report.fault("tree", "neither the entries nor the tiles add up to the signed root")
            truth = from_tiles
        self.compare_entries(truth)
        self.compare_tiles(truth)
        if not report.faulty("tree"):
            self.leaves = truth
            self.readable = all(from_entries) and not self.hashes_only
            what = "entries" if self.readable else "leaf hashes"
            report.done["tree"] = f"{head.size} {what} and all tiles add up to the signed root"

    def split(self, name: str, first: int, width: int) -> Iterator[tuple[int, int, bytes]]:
        """(entry number, offset, entry) of a bundle's entries; where its framing ends is a fault, told once."""
        try:
            for number, (offset, body) in enumerate(split_bundle(self.read(name), width), first):
                yield number, offset, body
        except Bad as fault:
            finding = Finding("tree", "fault", str(fault), file=name)
            if finding not in self.report.findings:
                self.report.findings.append(finding)

    def bundle(self, tile: Tile) -> Iterator[tuple[str, int, int, bytes]]:
        """(file, entry number, offset, entry) of each entry that a bundle of the checkpoint's size holds."""
        name = self.holder(tile)
        held = parse_tile(name) if name else None
        if name and held:
            for number, offset, body in self.split(name, tile.number * WIDTH, held.width):
                if number < tile.number * WIDTH + tile.width:
                    yield name, number, offset, body

    def hash_entries(self, size: int) -> list[bytes]:
        """The leaf hash of each entry; empty where the entry cannot be read."""
        leaves = [b""] * size
        for tile in tiles_of(size):
            if tile.level == -1:
                for _, number, _, body in self.bundle(tile):
                    leaves[number] = leaf_hash(body)
        return leaves

    def hash_tiles(self, size: int) -> list[bytes]:
        """The leaf hashes that the tiles of level 0 state; empty where one cannot be read."""
        leaves = [b""] * size
        for tile in tiles_of(size):
            name = self.holder(tile) if tile.level == 0 else None
            raw = self.read(name) if name else b""
            for number in range(min(tile.width, len(raw) // HASH) if tile.level == 0 else 0):
                leaves[tile.number * WIDTH + number] = raw[number * HASH : (number + 1) * HASH]
        return leaves

    def compare_entries(self, truth: list[bytes]) -> None:
        """Name each entry that is not the one signed, and each bundle (also an outdated partial one) it stands in."""
        known = {leaf: number for number, leaf in enumerate(truth) if leaf}
        for (level, first), held in sorted(self.files.items()):
            for width, name in sorted(held.items()) if level == -1 else ():
                for number, offset, body in self.split(name, first * WIDTH, width):
                    if number >= len(truth) or (leaf := leaf_hash(body)) == truth[number]:
                        continue
                    message = "this is not the entry that was signed here"
                    if leaf in known:
                        message += f": it was signed as entry {known[leaf]}"
                    self.report.fault("tree", message, file=name, entry=number, offset=offset)

    def compare_tiles(self, truth: list[bytes]) -> None:
        """Recompute every tile from the leaves and compare its bytes."""
        level, hashes = 0, truth
        while hashes:
            for (at, number), held in sorted(self.files.items()):
                for width, name in sorted(held.items()):
                    if at == level:
                        wanted = b"".join(hashes[number * WIDTH : number * WIDTH + width])
                        self.compare_tile(name, wanted, complete=number * WIDTH + width <= len(hashes), width=width)
            full = [hashes[at : at + WIDTH] for at in range(0, len(hashes) - len(hashes) % WIDTH, WIDTH)]
            hashes = [roots(part, {WIDTH})[WIDTH] for part in full]
            level += 1

    def compare_tile(self, name: str, wanted: bytes, *, complete: bool, width: int) -> None:
        """Compare one tile's bytes with those that it should have."""
        raw = self.read(name)
        if len(raw) != width * HASH:
            message = f"the tile has {len(raw)} bytes instead of {width * HASH}"
            self.report.fault("tree", message, file=name, offset=min(len(raw), width * HASH))
        if raw[: len(wanted)] == wanted if not complete else raw == wanted:
            return
        first = next((at for at, pair in enumerate(zip(raw, wanted, strict=False)) if pair[0] != pair[1]), None)
        if first is not None:
            message = f"hash {first // HASH} of this tile is not the one that the log's entries give"
            self.report.fault("tree", message, file=name, offset=first)

    def check_entries(self, head: Checkpoint) -> None:
        """Steps 5 to 8: what the entries say, now that they are known to be those that were signed."""
        report, story = self.report, Story(self.report, self.tolerance_ms)
        for tile in tiles_of(head.size):
            if tile.level != -1:
                continue
            for name, number, offset, body in self.bundle(tile):
                if leaf_hash(body) != self.leaves[number]:
                    report.fault("content", "it changed while it was being read", file=name, entry=number)
                    continue
                try:
                    entry = parse_entry(body)
                except Bad as fault:
                    report.fault("content", str(fault), file=name, entry=number, offset=offset)
                    continue
                story.tell(number, entry, {"file": name, "entry": number, "offset": offset})
        story.end()
        report.kinds = dict(sorted(story.kinds.items()))
        report.open = story.open_intents()
        report.done["content"] = f"{head.size} entries of {len(story.kinds)} kinds"
        report.done["order"] = story.span()
        report.done["pairs"] = f"{story.closed} intents with outcome, {len(report.open)} open"
        report.done["policy"] = f"{len(story.versions)} versions published: {', '.join(story.versions) or 'none'}"

    def check_witnesses(self, head: Checkpoint, witnesses: list[tuple[str, bytes]]) -> None:
        """Step 9: a checkpoint kept by somebody must be a beginning of this log."""
        if not self.key:
            return
        seen: list[tuple[str, Checkpoint]] = []
        for name, raw in witnesses:
            try:
                seen += [(name, old) for old in parse_witness(raw, self.key, head.origin)]
            except Bad as fault:
                self.report.fault("witnesses", str(fault), file=name)
        self.compare_heads(head, seen, "witnesses")
        if witnesses:
            self.report.done["witnesses"] = f"{len(witnesses)} older checkpoints looked at"

    def compare_heads(self, head: Checkpoint, seen: list[tuple[str, Checkpoint]], step: str) -> None:
        """Say which of the checkpoints seen are not beginnings of this log."""
        known = roots(self.leaves, {old.size for _, old in seen})
        for name, old in seen:
            if old.origin != head.origin:
                self.report.fault(step, f"it is a checkpoint of another log: {old.origin}", file=name)
            elif old.size > head.size:
                message = f"ROLLBACK: it shows {old.size} entries, this log has only {head.size}"
                self.report.fault(step, message + ("" if old.signed else UNSIGNED), file=name)
            elif known[old.size] != old.root:
                message = f"SPLIT VIEW: at {old.size} entries it shows another root"
                message += ". The same key signed two histories" if old.signed else UNSIGNED
                self.report.fault(step, message, file=name)

    def check_receipts(self, key: Key, head: Checkpoint | None, receipts: list[tuple[str, bytes]]) -> None:
        """Step 10."""
        grounded = head is not None and not self.report.faulty("tree")
        for name, raw in receipts:
            checked = check_receipt(raw, name, key, self.report)
            if not checked or not grounded or head is None:
                continue
            receipt, seen = checked
            self.compare_heads(head, [(name, seen)], "receipts")
            if receipt.seq < head.size and self.leaves[receipt.seq] != leaf_hash(receipt.entry):
                self.report.fault("receipts", "log: this log holds another entry here", file=name, entry=receipt.seq)
        if receipts:
            self.report.done["receipts"] = f"{len(receipts)} receipts looked at" + ("" if grounded else ", without log")


@dataclass(frozen=True)
class Version:
    """A published version of the policy: its text's hash, from when it binds, when it was published."""

    digest: str
    effective: int
    published: int


class Story:
    """What the entries tell, one after the other: order, pairs and versions."""

    def __init__(self, report: Report, tolerance_ms: int) -> None:
        self.report = report
        self.tolerance_ms = tolerance_ms
        self.latest = 0
        self.first: int | None = None
        self.closed = 0
        self.kinds: dict[str, int] = {}
        self.seen: dict[str, tuple[int, str, int]] = {}  # eid -> number, kind, at
        self.open: dict[str, tuple[int, str, int]] = {}
        self.answered: set[str] = set()
        self.versions: dict[str, Version] = {}
        self.before: dict[str, dict[str, Any]] = {}  # versions cited before anything was published

    def tell(self, number: int, entry: dict[str, Any], place: dict[str, Any]) -> None:
        """Take the next entry."""
        eid, kind, at = entry["eid"], entry["kind"], entry["at"]
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if eid in self.seen:
            self.report.fault("order", f"its id was used before, by entry {self.seen[eid][0]}", **place)
        if at < self.latest - self.tolerance_ms:
            self.report.fault("order", f"its time is {self.latest - at} ms before that of an earlier entry", **place)
        self.latest, self.first = max(self.latest, at), at if self.first is None else self.first
        self.pair(entry, place)
        self.seen[eid] = (number, kind, at)
        if kind in OUTCOMES or kind.endswith((".ordered", ".intent")):
            self.open[eid] = (number, kind, at)
        self.policy(entry, place)

    def pair(self, entry: dict[str, Any], place: dict[str, Any]) -> None:
        """Join an outcome to its intent."""
        refers, kind = entry.get("refers", ""), entry["kind"]
        intent = self.seen.get(refers or "")
        if refers and not intent:
            self.report.fault("order", "it refers to an entry that does not stand before it", **place)
        if kind in MUST_ANSWER:
            if not intent or intent[1] != MUST_ANSWER[kind]:
                self.report.fault("pairs", f"{kind} must refer to its {MUST_ANSWER[kind]}, and does not", **place)
                return
            if refers in self.answered:
                self.report.fault("pairs", f"{kind} for entry {intent[0]} was recorded twice", **place)
            self.answered.add(refers)
        if intent and refers in self.open:
            ends = OUTCOMES.get(intent[1])
            if kind in ends if ends is not None else kind.split(".")[0] == intent[1].split(".")[0]:
                del self.open[refers]
                self.closed += 1

    def policy(self, entry: dict[str, Any], place: dict[str, Any]) -> None:
        """Follow the versions of the policy."""
        facts, cited = entry.get("facts", {}), entry["policy"]
        if entry["kind"] == "policy.published":
            self.publication(facts, entry["at"], place)
        elif not self.versions:
            self.before.setdefault(cited, place)
        elif cited and cited not in self.versions:
            self.report.fault("policy", f"it cites version {cited}, which had not been published", **place)
        elif cited:
            binding = {self.in_force(entry["at"] + by) for by in (-self.tolerance_ms, 0, self.tolerance_ms)}
            if cited not in binding:
                told = " or ".join(sorted(version or "none" for version in binding))
                self.report.fault("policy", f"it cites version {cited}, but {told} was in force", **place)
        if entry["kind"] == "policy.effective" and facts.get("version", cited) not in self.versions:
            self.report.fault("policy", "a version came into force that was not published", **place)

    def publication(self, facts: dict[str, Any], at: int, place: dict[str, Any]) -> None:
        """Take a version: it follows the one before by hash, changes none, and does not bind backwards."""
        version, digest, effective = (facts.get(name) for name in ("version", "sha256", "effective"))
        if not isinstance(version, str) or not isinstance(digest, str) or type(effective) is not int:
            self.report.fault("policy", "a publication states its version, sha256 and effective time", **place)
            return
        last = next(reversed(self.versions.values())).digest if self.versions else ""
        if facts.get("previous", "") != last:
            self.report.fault("policy", f"version {version} does not follow the hash of the version before it", **place)
        if version in self.versions:
            self.report.fault("policy", f"version {version} was published before: nothing is edited silently", **place)
            return
        if self.versions and effective < at - self.tolerance_ms:
            self.report.fault("policy", f"version {version} binds from a time before its publication", **place)
        self.versions[version] = Version(digest, effective, at)

    def in_force(self, at: int) -> str | None:
        """The version that binds at this time; the first one may bind from before its publication."""
        first = next(iter(self.versions), None)
        fitting = (
            (version.effective, name)
            for name, version in self.versions.items()
            if version.effective <= at and (name == first or version.published <= at)
        )
        return max(fitting, default=(0, None))[1]

    def end(self) -> None:
        """After the last entry."""
        for cited, place in self.before.items():
            if self.versions and cited and cited not in self.versions:
                self.report.fault("policy", f"it cites version {cited}, which was never published", **place)
        for number, kind, at in self.open.values():
            since = f"open for {(self.latest - at) // 1000} s before the last entry: its outcome is unknown"
            self.report.note("pairs", f"{kind} is {since}", entry=number)

    def open_intents(self) -> list[dict[str, Any]]:
        """The intents without outcome."""
        return [{"entry": number, "kind": kind, "at": at} for number, kind, at in self.open.values()]

    def span(self) -> str:
        """From when to when, in words."""
        return f"times from {self.first} to {self.latest} (ms UTC)" if self.first is not None else "no entries"


# --- the command ---


def check_folder(
    folder: Path,
    trusted: str | None = None,
    receipts: Iterable[tuple[str, bytes]] = (),
    witnesses: Iterable[tuple[str, bytes]] = (),
    tolerance_ms: int = TOLERANCE_MS,
    hashes_only: bool = False,
) -> Report:
    """Check the evidence in a folder."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError:
            return b""  # what cannot be read does not hold: the step that needed it says so

    return Check(names, read, tolerance_ms, hashes_only).run(trusted, receipts, witnesses)


def check_receipts_alone(trusted: str, receipts: Iterable[tuple[str, bytes]]) -> Report:
    """Check receipts against a key, without the log."""
    report = Report()
    try:
        key = parse_key(trusted.strip())
    except Bad as fault:
        report.fault("key", str(fault))
        return report
    report.fingerprint, report.done["key"] = key.fingerprint, f"{key.name}, {key.fingerprint} (the key you named)"
    receipts = list(receipts)
    for name, raw in receipts:
        check_receipt(raw, name, key, report)
    report.done["receipts"] = f"{len(receipts)} receipts looked at, without log"
    return report


def lines(report: Report, asked: Collection[str]) -> Iterator[str]:
    """The report for people: one line a step, its findings below it."""
    for number, step in enumerate(STEPS, 1):
        findings = [finding for finding in report.findings if finding.step == step]
        faults = sum(finding.level == "fault" for finding in findings)
        state = "FAULT" if faults else "ok" if step in report.done else "not done"
        if state == "not done" and step not in asked:
            state = "-"
        told = f"{faults} faults" if faults else report.done.get(step, "")
        yield f"{number:2} {step:<11}{state:<9}{told}".rstrip()
        for finding in findings[:50]:
            yield f"     {finding.level}: {finding}"
        if len(findings) > 50:
            yield f"     ... and {len(findings) - 50} more"
    yield "The evidence holds." if report.ok else "THE EVIDENCE DOES NOT HOLD."
    yield "It shows order, presence and pairing of what was recorded; it cannot show that nothing was left out."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Check the evidence of a Troth log without trusting anybody.")
    parser.add_argument("folder", nargs="?", type=Path, help="the evidence folder: checkpoint, log.pub, tile/")
    parser.add_argument("--key", help="the key that you trust: its one line, or a file that holds it")
    parser.add_argument("--receipt", nargs="+", action="extend", type=Path, default=[], help="receipts, HTML or JSON")
    parser.add_argument("--witness", nargs="+", action="extend", type=Path, default=[], help="checkpoints you kept")
    parser.add_argument("--hashes-only", action="store_true", help="the folder has no entries: steps 5 to 8 fall away")
    parser.add_argument("--tolerance", type=int, default=TOLERANCE_MS, help="how far times may run back, in ms")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    given = parser.parse_args(arguments)
    try:
        trusted = Path(given.key).read_text("utf-8") if given.key and Path(given.key).is_file() else given.key
        receipts = [(str(path), path.read_bytes()) for path in given.receipt]
        witnesses = [(str(path), path.read_bytes()) for path in given.witness]
        if given.folder is not None:
            if not given.folder.is_dir():
                parser.error(f"{given.folder} is not a folder")
            report = check_folder(given.folder, trusted, receipts, witnesses, given.tolerance, given.hashes_only)
        elif trusted and receipts and not witnesses:
            report = check_receipts_alone(trusted, receipts)
        else:
            parser.error("name a FOLDER, or --key and --receipt")
    except (OSError, UnicodeDecodeError) as fault:
        parser.error(f"cannot read: {fault}")
    if given.json:
        value = {**asdict(report), "ok": report.ok, "steps": list(STEPS)}
        print(json.dumps(value, indent=1, ensure_ascii=False))
    else:
        optional = {"witnesses"} if not witnesses else set()
        optional |= {"receipts"} if not receipts else set()
        optional |= set(STEPS[1:9]) if given.folder is None else set(STEPS[4:8]) if given.hashes_only else set()
        print("\n".join(lines(report, set(STEPS) - optional)))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
