"""Verification of a published log, as numbered steps: what ``troth verify`` runs.

    1 key         log.pub is a well-formed key, and the trusted one if one is named
    2 checkpoint  the checkpoint is signed by it (c2sp.org/tlog-checkpoint)
    3 files       every file is one that a log of this size has, and none is missing (c2sp.org/tlog-tiles)
    4 tree        entries and tiles, recomputed, add up to the signed root (RFC 6962, section 2.1)
    5 content     entries are canonical, with known members of the right types
    6 order       ids occur once, times do not run backwards, references point backwards
    7 pairs       outcomes name their intents; intents without outcome are listed
    8 policy      every entry cites the version in force; versions follow each other by hash
    9 witnesses   older checkpoints kept elsewhere are beginnings of this log
   10 receipts    receipts prove their entries, and these are in this log
   11 database    the ledger's rows, its head and the head remembered in K agree with what is published

No step interprets bytes that an earlier one did not establish: where the tree does not hold, the entries are not
read. ``standalone.py`` takes the same steps without any of this code; the tests hold both to the same findings.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from troth.evidence.compare import Databases, compare_databases
from troth.evidence.entries import TOLERANCE_MS, BadEntry, Story, read_entry
from troth.evidence.receipts import BadReceipt, Receipt, fingerprint, parse_receipt, receipt_fault
from troth.evidence.report import Report, Step
from troth.evidence.tiles import ENTRIES, HASH, WIDTH, Files, Framing, Tile, level_sizes, split_bundle, tiles_of
from troth.store.checkpoint import parse_checkpoint, parse_verifier_key, verifier_key
from troth.store.merkle import EMPTY_ROOT, Frontier, leaf_hash

Progress = Callable[[Step, int, int], None]
"""Called with the step and how much of how much is done (entries or files)."""


class Head(msgspec.Struct, frozen=True):
    """A head: this log had ``size`` entries, with this root. An unsigned one convinces only whoever kept it."""

    origin: str
    size: int
    root: bytes
    signed: bool = True


HEAD_LINE = re.compile(r"(?<![0-9])(0|[1-9][0-9]{0,17}) ([A-Za-z0-9+/]{43}=)")
"""Size and root as mail footers and pages show them."""

UNSIGNED = " (what was kept is not signed: it convinces whoever kept it, and nobody else)"


def _silent(step: Step, done: int, of: int) -> None:
    """Nobody watches."""


def verify(
    files: Files,
    *,
    trusted: str | None = None,
    witnesses: Iterable[tuple[str, bytes]] = (),
    receipts: Iterable[tuple[str, bytes]] = (),
    databases: Databases | None = None,
    tolerance_ms: int = TOLERANCE_MS,
    hashes_only: bool = False,
    progress: Progress = _silent,
) -> Report:
    """Take all steps over a log's files.

    ``trusted`` is the verifier key that the caller knows from elsewhere (one line); without it, the report's
    fingerprint is to be compared by whoever reads it. ``witnesses`` and ``receipts`` are (name, bytes) pairs; a witness
    is a signed checkpoint, or any text with size and root in it. ``hashes_only``: the entries are not there (as in
    what is published to everybody), and steps 5 to 8 fall away.
    Findings are values; nothing is raised for bad evidence.
    """
    return _Verification(files, tolerance_ms, progress, hashes_only).run(
        trusted, list(witnesses), list(receipts), databases
    )


def verify_folder(
    folder: Path,
    *,
    trusted: str | None = None,
    witnesses: Iterable[tuple[str, bytes]] = (),
    receipts: Iterable[tuple[str, bytes]] = (),
    databases: Databases | None = None,
    hashes_only: bool = False,
    progress: Progress = _silent,
) -> Report:
    """``verify`` over a folder that may be growing: where something does not hold, all of it is looked at once more."""
    seen, kept = list(witnesses), list(receipts)

    def once() -> Report:
        files = Files.in_folder(folder)
        return verify(
            files,
            trusted=trusted,
            witnesses=seen,
            receipts=kept,
            databases=databases,
            hashes_only=hashes_only,
            progress=progress,
        )

    report = once()
    return report if report.ok else once()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    return Frontier().extend(leaves).root()


def roots_at(leaves: Sequence[bytes], sizes: Collection[int]) -> dict[int, bytes]:
    """The root at each of these sizes, as far as the leaves reach, in one pass."""
    found = {0: EMPTY_ROOT}
    frontier = Frontier()
    for leaf in leaves:
        if frontier.append(leaf).size in sizes:
            found[frontier.size] = frontier.root()
    return found


class _Verification:
    """The steps, each using what the earlier ones established."""

    def __init__(self, files: Files, tolerance_ms: int, progress: Progress, hashes_only: bool) -> None:
        self.files = files
        self.hashes_only = hashes_only
        self.tolerance_ms = tolerance_ms
        self.progress = progress
        self.report = Report(kinds={}, clauses={}, done={}, findings=[])
        self.name = ""
        self.public = b""
        self.head: Head | None = None
        self.leaves: list[bytes] = []  # established by the step "tree"
        self.readable = False  # whether every entry is there, as the tree has it

    def run(
        self,
        trusted: str | None,
        witnesses: list[tuple[str, bytes]],
        receipts: list[tuple[str, bytes]],
        databases: Databases | None,
    ) -> Report:
        if self.check_key(trusted):
            self.head = self.check_checkpoint()
            if self.head:
                self.check_files(self.head)
                if self.check_tree(self.head):
                    if self.readable:
                        self.check_entries(self.head)
                    self.check_witnesses(self.head, witnesses)
            self.check_receipts(receipts)
            if databases and self.head and "tree" in self.report.done:
                self.progress("database", 0, self.head.size)
                compare_databases(databases, self.public, self.leaves, self.report, self.newest)
        return self.report

    # 1
    def check_key(self, trusted: str | None) -> bool:
        raw = self.files.read("log.pub")
        try:
            line = raw.decode("utf-8").removesuffix("\n")
            self.name, self.public = parse_verifier_key(line)
            # Base64 has several spellings of the same bytes; only one of them is the key's.
            if line != verifier_key(self.name, self.public):
                raise ValueError("the verifier key is not in its one canonical spelling")
        except ValueError as fault:
            told = "it is not UTF-8" if isinstance(fault, UnicodeDecodeError) else str(fault)
            self.report.fault("key", told if raw else "it is missing or empty", file="log.pub")
            return False
        self.report.fingerprint = fingerprint(self.public)
        if trusted is not None and trusted.strip() != line:
            self.report.fault("key", "this is not the key that you trust", file="log.pub")
            return False
        told = "the trusted key" if trusted else "compare this fingerprint with the published one"
        self.report.done["key"] = f"{self.name}, {self.report.fingerprint} ({told})"
        return True

    # 2
    def check_checkpoint(self) -> Head | None:
        raw = self.files.read("checkpoint")
        try:
            head = self.read_head(raw)
        except ValueError as fault:
            self.report.fault("checkpoint", str(fault) if raw else "it is missing or empty", file="checkpoint")
            return None
        report = self.report
        report.origin, report.size, report.root = head.origin, head.size, head.root.hex()
        report.done["checkpoint"] = f"signed: {head.origin}, {head.size} entries, root {head.root.hex()}"
        return head

    def read_head(self, raw: bytes) -> Head:
        """A checkpoint signed by the log's key; ``ValueError`` says what does not hold."""
        try:
            return Head(*parse_checkpoint(raw.decode("utf-8"), self.public))
        except UnicodeDecodeError as fault:
            raise ValueError(f"byte {fault.start} is not UTF-8") from None

    def read_witness(self, raw: bytes, origin: str) -> list[Head]:
        """The heads in what somebody kept; ``ValueError`` if there is none, or a damaged one."""
        try:
            return [self.read_head(raw)]
        except ValueError:
            found = HEAD_LINE.findall(raw.decode("utf-8", "replace"))
            if not found:
                raise
        heads = [Head(origin, int(size), b64decode(root), False) for size, root in found]
        if [b64encode(head.root).decode() for head in heads] != [root for _, root in found]:
            raise ValueError("the root in it is not in its one canonical spelling")
        return heads

    def newest(self) -> int:
        """The size of the checkpoint that is published now; 0 if it does not hold."""
        try:
            return self.read_head(self.files.read("checkpoint")).size
        except ValueError:
            return 0

    # 3
    def check_files(self, head: Head) -> None:
        sizes = level_sizes(head.size)
        for name in sorted(set(self.files.names) - {"checkpoint", "log.pub"}):
            tile = Tile.of(name)
            if tile is None and any(
                part.startswith(".") or part.endswith((".tmp", ".new")) for part in name.split("/")
            ):
                self.report.note("files", "a temporary file, looked at by nobody", file=name)
            elif tile is None:
                self.report.fault("files", "this file is no part of a log: nothing vouches for it", file=name)
            elif tile.first + tile.width > sizes.get(tile.level, 0):
                self.report.note("files", "it reaches beyond the checkpoint: written, but not yet signed", file=name)
        for tile in tiles_of(head.size):
            if self.files.holder(tile) is None and not (self.hashes_only and tile.level == ENTRIES):
                self.report.fault("files", "it is missing", file=tile.name)
        if self.hashes_only:
            self.report.note("content", "not looked at, as you asked: the entries are not here")
        self.report.done["files"] = f"{len(self.files.names)} files"

    # 4
    def check_tree(self, head: Head) -> bool:
        """Two ways lead to the root: from the entries and from the tiles. Where they part, the root decides."""
        from_entries, from_tiles = self.hash_entries(head.size), self.hash_tiles(head.size)
        truth = next((way for way in (from_entries, from_tiles) if all(way) and root_of(way) == head.root), None)
        if truth is None:
            self.report.fault("tree", "neither the entries nor the tiles add up to the signed root")
            truth = from_tiles
        tiles = sorted(tile for name in self.files.names if (tile := Tile.of(name)))
        self.compare_bundles([tile for tile in tiles if tile.level == ENTRIES], truth)
        self.compare_tiles([tile for tile in tiles if tile.level != ENTRIES], truth)
        if self.report.faults("tree"):
            return False
        self.leaves = truth
        self.readable = all(from_entries) and not self.hashes_only
        what = "entries" if self.readable else "leaf hashes"
        self.report.done["tree"] = f"{head.size} {what} and all tiles add up to the signed root"
        return True

    def bundle(self, tile: Tile) -> list[tuple[str, int, int, bytes]]:
        """(file, entry number, offset, body) of what a bundle of the checkpoint's size holds, as far as it reads."""
        holder = self.files.holder(tile)
        if holder is None:
            return []
        found = []
        try:
            for number, (offset, body) in enumerate(split_bundle(self.files.read(holder.name), holder.width)):
                if number < tile.width:
                    found.append((holder.name, tile.first + number, offset, body))
        except Framing as fault:
            self.report.fault_once("tree", str(fault), file=holder.name)
        return found

    def hash_entries(self, size: int) -> list[bytes]:
        """The leaf hash of each entry; empty where the entry cannot be read."""
        leaves = [b""] * size
        for tile in tiles_of(size):
            if tile.level == ENTRIES:
                self.progress("tree", tile.first, size)
                for _, number, _, body in self.bundle(tile):
                    leaves[number] = leaf_hash(body)
        return leaves

    def hash_tiles(self, size: int) -> list[bytes]:
        """The leaf hashes that level 0 states; empty where a tile is too short."""
        leaves = [b""] * size
        for tile in tiles_of(size):
            holder = self.files.holder(tile) if tile.level == 0 else None
            raw = self.files.read(holder.name) if holder else b""
            for at in range(min(tile.width, len(raw) // HASH)):
                leaves[tile.first + at] = raw[at * HASH : (at + 1) * HASH]
        return leaves

    def compare_bundles(self, tiles: list[Tile], truth: list[bytes]) -> None:
        """Name each entry that is not the one signed, in every bundle that lies there, outdated ones too."""
        known = {leaf: number for number, leaf in enumerate(truth) if leaf}
        for tile in tiles:
            try:
                for number, (offset, body) in enumerate(split_bundle(self.files.read(tile.name), tile.width)):
                    seq, leaf = tile.first + number, leaf_hash(body)
                    if seq < len(truth) and leaf != truth[seq]:
                        moved = f": it was signed as entry {known[leaf]}" if leaf in known else ""
                        message = f"this is not the entry that was signed here{moved}"
                        self.report.fault("tree", message, file=tile.name, entry=seq, offset=offset)
            except Framing as fault:
                self.report.fault_once("tree", str(fault), file=tile.name)

    def compare_tiles(self, tiles: list[Tile], truth: list[bytes]) -> None:
        """Recompute every tile from the leaves and compare its bytes."""
        level, hashes = 0, truth
        while hashes:
            for tile in tiles:
                if tile.level == level:
                    self.compare_tile(tile, b"".join(hashes[tile.first : tile.first + tile.width]))
            complete = len(hashes) // WIDTH
            hashes = [root_of(hashes[number * WIDTH : (number + 1) * WIDTH]) for number in range(complete)]
            level += 1

    def compare_tile(self, tile: Tile, wanted: bytes) -> None:
        raw, length = self.files.read(tile.name), tile.width * HASH
        if len(raw) != length:
            message = f"the tile has {len(raw)} bytes instead of {length}"
            self.report.fault("tree", message, file=tile.name, offset=min(len(raw), length))
        wrong = next((at for at, (is_, must) in enumerate(zip(raw, wanted, strict=False)) if is_ != must), None)
        if wrong is not None:
            message = f"hash {wrong // HASH} of this tile is not the one that the log's entries give"
            self.report.fault("tree", message, file=tile.name, offset=wrong)

    # 5 to 8
    def check_entries(self, head: Head) -> None:
        """What the entries say, now that they are known to be those that were signed."""
        report, story = self.report, Story(self.tolerance_ms)
        for tile in (tile for tile in tiles_of(head.size) if tile.level == ENTRIES):
            self.progress("content", tile.first, head.size)
            for file, seq, offset, body in self.bundle(tile):
                if leaf_hash(body) != self.leaves[seq]:
                    report.fault("content", "it changed while it was being read", file=file, entry=seq)
                    continue
                try:
                    entry = read_entry(body)
                except BadEntry as fault:
                    report.fault("content", str(fault), file=file, entry=seq, offset=offset)
                    continue
                for step, message in story.take(seq, entry):
                    report.fault(step, message, file=file, entry=seq, offset=offset)
        for seq, version in story.unpublished():
            report.fault("policy", f"it cites version {version}, which was never published", entry=seq)
        report.kinds, report.clauses = dict(sorted(story.kinds.items())), dict(sorted(story.clauses.items()))
        report.open = story.open_intents()
        for intent in report.open:
            since = (story.latest_ms - intent.at_ms) // 1000
            told = f"{intent.kind} is open for {since} s before the last entry: its outcome is unknown"
            report.note("pairs", told, entry=intent.entry)
        times = f"times from {story.first_ms} to {story.latest_ms} (ms UTC)" if head.size else "no entries"
        report.done["content"] = f"{head.size} entries of {len(story.kinds)} kinds"
        report.done["order"] = times
        report.done["pairs"] = f"{story.closed} intents with outcome, {len(report.open)} open"
        report.done["policy"] = f"{len(story.versions)} versions published: {', '.join(story.versions) or 'none'}"

    # 9
    def check_witnesses(self, head: Head, witnesses: list[tuple[str, bytes]]) -> None:
        seen: list[tuple[str, Head]] = []
        for name, raw in witnesses:
            try:
                seen += [(name, old) for old in self.read_witness(raw, head.origin)]
            except ValueError as fault:
                self.report.fault("witnesses", str(fault), file=name)
        self.compare_heads("witnesses", head, seen)
        if witnesses:
            self.report.done["witnesses"] = f"{len(witnesses)} older checkpoints looked at"

    def compare_heads(self, step: Step, head: Head, seen: list[tuple[str, Head]]) -> None:
        """Name the heads that are not beginnings of this log: cut off, or another history under the same key."""
        known = roots_at(self.leaves, {old.size for _, old in seen})
        for name, old in seen:
            if old.origin != head.origin:
                self.report.fault(step, f"it is a checkpoint of another log: {old.origin}", file=name)
            elif old.size > head.size:
                told = f"ROLLBACK: it shows {old.size} entries, this log has only {head.size}"
                self.report.fault(step, told + ("" if old.signed else UNSIGNED), file=name)
            elif known[old.size] != old.root:
                told = f"SPLIT VIEW: at {old.size} entries it shows another root"
                told += ". The same key signed two histories" if old.signed else UNSIGNED
                self.report.fault(step, told, file=name)

    # 10
    def check_receipts(self, receipts: list[tuple[str, bytes]]) -> None:
        grounded = self.head is not None and "tree" in self.report.done
        for name, raw in receipts:
            try:
                receipt = parse_receipt(raw)
            except BadReceipt as fault:
                self.report.fault("receipts", f"block: {fault}", file=name)
                continue
            if problem := receipt_fault(receipt, self.name, self.public):
                self.report.fault("receipts", problem, file=name, entry=receipt.seq)
                continue
            if receipt.opening is None and b'"subject":"' in receipt.entry:
                self.report.note("receipts", "subject: not disclosed: nothing is said about whose it is", file=name)
            if grounded and self.head:
                self.place_receipt(name, receipt, self.head)
        if receipts:
            told = f"{len(receipts)} receipts looked at" + ("" if grounded else ", without log")
            self.report.done["receipts"] = told

    def place_receipt(self, name: str, receipt: Receipt, head: Head) -> None:
        """The receipt's checkpoint is a beginning of this log, and its entry stands here."""
        self.compare_heads("receipts", head, [(name, self.read_head(receipt.checkpoint.encode()))])
        if receipt.seq < head.size and self.leaves[receipt.seq] != leaf_hash(receipt.entry):
            self.report.fault("receipts", "log: this log holds another entry here", file=name, entry=receipt.seq)
