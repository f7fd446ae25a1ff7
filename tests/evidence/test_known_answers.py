"""Answers known from elsewhere: the tree of Certificate Transparency's own tests, a note from the Go project's
documentation, and figures worked out by hand from the texts of RFC 6962 and C2SP.
"""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.evidence.checkers import standalone
from tests.evidence.log import Log, tile_path
from troth.evidence import tiles
from troth.evidence.verify import root_of, roots_at
from troth.store.checkpoint import BadCheckpoint, format_checkpoint, parse_checkpoint, parse_verifier_key
from troth.store.merkle import leaf_hash, verify_inclusion

# The eight leaves that every implementation of RFC 6962 is tested with, and the roots of their trees.
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")] + [
    bytes(range(0x60, 0x70))
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

NOTE_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def reference() -> Log:
    log = Log()
    for leaf in LEAVES:
        log.append(leaf)
    return log


@pytest.mark.parametrize("size", range(1, 9))
def test_all_three_writings_of_the_tree_give_the_published_roots(size: int) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    assert root_of(hashes).hex() == ROOTS[size - 1]
    assert standalone.roots(hashes, {size})[size].hex() == ROOTS[size - 1]
    assert reference().root(size).hex() == ROOTS[size - 1]


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert root_of([]).hex() == standalone.roots([], {0})[0].hex() == Log().root().hex() == EMPTY


def test_one_pass_gives_the_roots_of_all_sizes() -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    wanted = set(range(9))
    roots = {size: bytes.fromhex(root) for size, root in enumerate([EMPTY, *ROOTS])}
    assert standalone.roots(hashes, wanted) == roots
    assert roots_at(hashes, wanted) == roots


def test_the_proof_worked_out_by_hand_holds_and_its_neighbours_do_not() -> None:
    """RFC 6962, section 2.1.3: for seven leaves, the path of d3 is c, g, l (d2's hash; d0 d1; d4 d5 d6)."""

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\x01" + left + right).digest()

    a, b, c, d, e, f, j = (hashlib.sha256(b"\x00" + leaf).digest() for leaf in LEAVES[:7])
    g, h, i = node(a, b), node(c, d), node(e, f)
    k, last = node(g, h), node(i, j)
    root = node(k, last)
    assert root.hex() == ROOTS[6]
    assert reference().path(3, 7) == [c, g, last]
    assert reference().path(6, 7) == [i, k]
    assert standalone.root_from_proof(3, 7, d, [c, g, last]) == root
    assert verify_inclusion(d, 3, 7, [c, g, last], root)
    for index, proof in ((2, [c, g, last]), (3, [c, g]), (3, [c, g, last, last]), (7, [c, g, last]), (-1, [])):
        assert standalone.root_from_proof(index, 7, d, proof) != root
        assert not verify_inclusion(d, index, 7, proof, root)


def test_the_key_of_a_published_note_is_read_as_its_authors_meant_it() -> None:
    key = standalone.parse_key(NOTE_KEY)
    assert (key.name, key.id.hex(), key.text) == ("PeterNeumann", "c74f20a3", NOTE_KEY)
    assert parse_verifier_key(NOTE_KEY) == ("PeterNeumann", key.public)


def test_a_published_note_has_a_good_signature_and_is_still_no_checkpoint() -> None:
    """Its signature verifies (else the complaint would be about that); its text is not origin, size and root."""
    key = standalone.parse_key(NOTE_KEY)
    with pytest.raises(standalone.Bad, match="origin, size, root"):
        standalone.parse_checkpoint(NOTE.encode(), key)
    with pytest.raises(standalone.Bad, match="signature by this log's key is wrong"):
        standalone.parse_checkpoint(NOTE.replace("answer", "Answer").encode(), key)
    with pytest.raises(BadCheckpoint):
        parse_checkpoint(NOTE, key.public)


def test_a_checkpoint_reads_the_same_from_every_writing() -> None:
    log = reference()
    text = log.checkpoint(7).decode()
    assert text.split("\n")[:3] == [log.name, "7", base64.b64encode(bytes.fromhex(ROOTS[6])).decode()]
    seen = standalone.parse_checkpoint(text.encode(), standalone.parse_key(log.key))
    assert (seen.origin, seen.size, seen.root.hex()) == (log.name, 7, ROOTS[6])
    assert parse_checkpoint(text, log.public) == (log.name, 7, bytes.fromhex(ROOTS[6]))

    class Signer:
        name, public = log.name, log.public

        def sign(self, message: bytes) -> bytes:
            return log.private.sign(message)

    assert format_checkpoint(log.name, 7, bytes.fromhex(ROOTS[6]), Signer()) == text


@pytest.mark.parametrize(
    ("number", "path"),
    [
        (0, "000"),
        (7, "007"),
        (999, "999"),
        (1000, "x001/000"),
        (1234067, "x001/x234/067"),
        (10**9, "x001/x000/x000/000"),
    ],
)
def test_tiles_lie_where_the_specification_says(number: int, path: str) -> None:
    name = f"tile/3/{path}"
    assert tiles.Tile(3, number, 256).name == standalone.Tile(3, number, 256).name == name
    assert tiles.Tile.of(name) == tiles.Tile(3, number, 256)
    assert standalone.parse_tile(name) == standalone.Tile(3, number, 256)
    assert tile_path(number, 256) == path


@pytest.mark.parametrize(
    "name",
    [
        "tile/00/000",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/000.P/5",
        "tile/0/000\n",
        "Tile/0/000",
        "tile/0/٠٠٠",
    ],
)
def test_a_tile_has_one_name_only(name: str) -> None:
    assert tiles.Tile.of(name) is None
    assert standalone.parse_tile(name) is None


@pytest.mark.parametrize("module", [tiles, standalone], ids=["library", "standalone"])
def test_the_example_of_the_specification_has_the_tiles_it_counts(module: object) -> None:
    """70,000 entries: 273 full tiles and one of 112 on level 0; 1 full, one of 17 on level 1; one of 1 on level 2."""
    found: dict[tuple[int, bool], list[int]] = {}
    for tile in module.tiles_of(70_000):  # type: ignore[attr-defined]  # both modules have it; the parameter is either
        found.setdefault((tile.level, tile.width == 256), []).append(tile.width)
    assert len(found[0, True]) == len(found[-1, True]) == 273
    assert found[0, False] == found[-1, False] == [112]
    assert (len(found[1, True]), found[1, False], found[2, False]) == (1, [17], [1])
    assert set(found) == {(-1, True), (-1, False), (0, True), (0, False), (1, True), (1, False), (2, False)}


def test_a_log_of_one_full_tile_has_a_second_level_of_one(log: Log) -> None:
    names = {name for name in log.files(256) if name.startswith("tile/")}
    assert names == {"tile/entries/000", "tile/0/000", "tile/1/000.p/1"}
    assert names == {tile.name for tile in tiles.tiles_of(256)}


def test_an_entry_bundle_is_lengths_and_entries() -> None:
    raw = b"\x00\x01a\x00\x00\x00\x03xyz"
    assert [entry for _, entry in tiles.split_bundle(raw, 3)] == [b"a", b"", b"xyz"]
    assert list(standalone.split_bundle(raw, 3)) == [(0, b"a"), (3, b""), (5, b"xyz")]


def test_the_commitment_is_the_one_worked_out_here() -> None:
    """HMAC(k, SHA-256(body without subject)), k = HMAC(secret, "open" || id)."""
    import hmac

    secret, eid = b"s" * 32, bytes(range(16))
    without = b'{"actor":"subject","at":1,"eid":"' + eid.hex().encode() + b'","v":1}'
    k = hmac.new(secret, b"open" + eid, hashlib.sha256).digest()
    subject = hmac.new(k, hashlib.sha256(without).digest(), hashlib.sha256).hexdigest()
    body = without.replace(b',"v":1}', b',"subject":"' + subject.encode() + b'","v":1}')
    assert standalone.opens(body, k)
    assert not standalone.opens(body, k + b"\0")
    assert not standalone.opens(body.replace(b'"at":1', b'"at":2'), k)
    assert not standalone.opens(without, k)
    from troth.store.ledger import opens

    assert opens(k, body)
    assert not opens(k, body.replace(b'"at":1', b'"at":2'))
