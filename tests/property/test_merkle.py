"""The Merkle tree, held to the definition in RFC 6962 section 2.1 written down as plainly as it can be."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.store import merkle
from troth.store.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    subtree_of,
    verify_consistency,
    verify_inclusion,
)

# The test data of the certificate-transparency reference implementation: leaves, and the root of each prefix.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOT_OF_ONE = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
ROOT_OF_EIGHT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def mth(data: list[bytes]) -> bytes:
    """MTH of RFC 6962, as it stands there."""
    if not data:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return sha256(b"\x01" + mth(data[:k]) + mth(data[k:])).digest()


def path(m: int, data: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962."""
    if len(data) == 1:
        return []
    k = 1
    while k * 2 < len(data):
        k *= 2
    return [*path(m, data[:k]), mth(data[k:])] if m < k else [*path(m - k, data[k:]), mth(data[:k])]


def subproof(m: int, data: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962."""
    if m == len(data):
        return [] if whole else [mth(data)]
    k = 1
    while k * 2 < len(data):
        k *= 2
    if m <= k:
        return [*subproof(m, data[:k], whole), mth(data[k:])]
    return [*subproof(m - k, data[k:], False), mth(data[:k])]


def root_of(data: list[bytes]) -> bytes:
    return Frontier().extend(leaf_hash(one) for one in data).root()


def test_the_published_test_data_gives_the_published_roots() -> None:
    assert root_of([]) == EMPTY_ROOT
    assert root_of(LEAVES[:1]).hex() == ROOT_OF_ONE
    assert root_of(LEAVES).hex() == ROOT_OF_EIGHT


some_data = st.lists(st.binary(max_size=8), min_size=1, max_size=80)


@settings(max_examples=150, deadline=None)
@given(some_data, st.data())
def test_roots_and_proofs_are_those_of_the_definition(data: list[bytes], pick: st.DataObject) -> None:
    hashes = [leaf_hash(one) for one in data]
    subtree = subtree_of(hashes)
    size = len(data)
    root = root_of(data)
    assert root == mth(data)
    index = pick.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, subtree)
    assert proof == path(index, data)
    assert verify_inclusion(hashes[index], index, size, proof, root)
    old = pick.draw(st.integers(1, size))
    consistent = consistency_proof(old, size, subtree)
    assert consistent == subproof(old, data, True)
    assert verify_consistency(old, size, mth(data[:old]), root, consistent)
    assert verify_consistency(0, size, EMPTY_ROOT, root, [])


@settings(max_examples=150, deadline=None)
@given(some_data, st.data())
def test_a_proof_with_one_changed_bit_convinces_nobody(data: list[bytes], pick: st.DataObject) -> None:
    hashes = [leaf_hash(one) for one in data]
    size, root = len(data), mth(data)
    index = pick.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, subtree_of(hashes))

    def flipped(value: bytes) -> bytes:
        bit = pick.draw(st.integers(0, 255))
        return bytes(b ^ (1 << bit % 8) if at == bit // 8 else b for at, b in enumerate(value))

    assert not verify_inclusion(flipped(hashes[index]), index, size, proof, root)
    assert not verify_inclusion(hashes[index], index, size, proof, flipped(root))
    assert not verify_inclusion(hashes[index], index, size, [*proof, root], root)
    if proof:
        place = pick.draw(st.integers(0, len(proof) - 1))
        bad = [flipped(step) if at == place else step for at, step in enumerate(proof)]
        assert not verify_inclusion(hashes[index], index, size, bad, root)
        assert not verify_inclusion(hashes[index], index, size, proof[:-1], root)
        old = pick.draw(st.integers(1, size - 1))
        consistent = consistency_proof(old, size, subtree_of(hashes))
        assert not verify_consistency(old, size, flipped(mth(data[:old])), root, consistent)
        assert not verify_consistency(old, size, mth(data[:old]), flipped(root), consistent)
        assert not verify_consistency(old, size, mth(data[:old]), root, consistent[:-1])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 255, 256, 257])
def test_every_leaf_of_a_tree_is_proven_at_its_place_and_nowhere_else(size: int) -> None:
    data = [at.to_bytes(2, "big") for at in range(size)]
    hashes = [leaf_hash(one) for one in data]
    root = mth(data)
    for index in range(0, size, max(1, size // 20)):
        proof = inclusion_proof(index, size, subtree_of(hashes))
        places = [at for at in range(size) if verify_inclusion(hashes[index], at, size, proof, root)]
        assert places == [index]


@given(st.lists(st.binary(max_size=4), max_size=40), st.lists(st.binary(max_size=4), max_size=40))
def test_a_frontier_that_was_written_down_goes_on_as_if_it_had_not_been(first: list[bytes], then: list[bytes]) -> None:
    kept = Frontier().extend(leaf_hash(one) for one in first)
    again = Frontier.from_bytes(kept.size, kept.to_bytes())
    assert again.extend(leaf_hash(one) for one in then).root() == mth(first + then)


def test_a_frontier_whose_hashes_do_not_fit_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="do not belong"):
        Frontier(3, [bytes(32)])
    with pytest.raises(ValueError, match="do not belong"):
        Frontier.from_bytes(1, bytes(31))
    with pytest.raises(ValueError, match="not in the tree"):
        inclusion_proof(1, 1, subtree_of([bytes(32)]))
    with pytest.raises(ValueError, match="larger"):
        consistency_proof(2, 1, subtree_of([bytes(32)]))


def test_sabotage_a_tree_without_the_prefix_of_inner_nodes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merkle, "node_hash", lambda left, right: sha256(left + right).digest())
    assert any(root_of(LEAVES[:size]) != mth(LEAVES[:size]) for size in range(9))
