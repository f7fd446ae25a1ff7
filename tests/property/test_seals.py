"""No seal opens in another place than its own, whatever the places are called (STORAGE, invariant 7)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from troth.errors import Damaged, Invalid
from troth.vault.records import associated, pack, seal, unseal
from troth.vault.wrapping import framed, unwrap, wrap
from troth.world import SystemRandomness

CHANCE = SystemRandomness()
KEY = bytes(range(32))
CIPHER = AESGCM(KEY)

# Few letters and short names on purpose: the parts of one place should look like the joined parts of another.
names = st.text("ab/\0", max_size=4)
ids = st.binary(min_size=16, max_size=16) | st.sampled_from([b"a" * 16, b"b" * 16, bytes(16)])
places = st.tuples(names, ids, names, ids, names, st.integers(-2, 300) | st.integers(-(2**62), 2**62))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
contents = st.dictionaries(st.text(max_size=12), values, max_size=5)


@given(places, places, contents)
def test_a_seal_opens_in_its_own_place_and_in_no_other(place: Any, other: Any, value: dict[str, Any]) -> None:
    sealed = seal(CIPHER, CHANCE, pack(value), *place)
    assert unseal(CIPHER, sealed, *place) == value
    if other != place:
        with pytest.raises(Damaged):
            unseal(CIPHER, sealed, *other)


@given(places, st.integers(0, 5), st.data())
def test_a_seal_does_not_open_where_a_single_part_differs(place: Any, part: int, data: st.DataObject) -> None:
    other = list(place)
    other[part] = data.draw((names, ids, names, ids, names, st.integers(0, 9))[part].filter(lambda v: v != place[part]))
    sealed = seal(CIPHER, CHANCE, b"\x80", *place)
    with pytest.raises(Damaged):
        unseal(CIPHER, sealed, *other)


@given(places, places)
def test_two_places_have_two_names(place: Any, other: Any) -> None:
    assert (associated(*place) == associated(*other)) == (place == other)


@given(places, contents, st.data())
def test_a_changed_seal_does_not_open(place: Any, value: dict[str, Any], data: st.DataObject) -> None:
    sealed = seal(CIPHER, CHANCE, pack(value), *place)
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    flipped = bytearray(sealed)
    flipped[at // 8] ^= 1 << at % 8
    shortened = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    for wrong in (bytes(flipped), shortened, sealed + b"\0", sealed[1:]):
        with pytest.raises(Damaged):
            unseal(CIPHER, wrong, *place)
    with pytest.raises(Damaged):
        unseal(AESGCM(KEY[::-1]), sealed, *place)


@given(st.binary(max_size=15) | st.binary(min_size=17, max_size=40), ids)
def test_ids_of_another_length_name_no_place(odd: bytes, right: bytes) -> None:
    for sid, rid in ((odd, right), (right, odd)):
        with pytest.raises(ValueError, match="16 bytes"):
            associated("main", sid, "c", rid, "t", 1)


parts = st.lists(st.text(max_size=4) | st.integers(-(2**63), 2**63 - 1), max_size=4)


@given(parts, parts)
def test_a_wrapped_key_opens_in_its_own_context_only(context: list[str | int], other: list[str | int]) -> None:
    wrapped = wrap(KEY, b"k" * 32, CHANCE, *context)
    assert unwrap(KEY, wrapped, "it", *context) == b"k" * 32
    if framed(*context) != framed(*other):
        with pytest.raises(Damaged):
            unwrap(KEY, wrapped, "it", *other)


@given(st.lists(st.text("ab", max_size=3), max_size=4), st.lists(st.text("ab", max_size=3), max_size=4))
def test_framing_is_one_to_one(one: list[str], other: list[str]) -> None:
    assert (framed(*one) == framed(*other)) == (one == other)


@given(st.text())
def test_what_cannot_be_sealed_is_refused_without_its_content(text: str) -> None:
    marked = {"field": f"Marker7fQ2{text}\ud800"}
    with pytest.raises(Invalid) as refusal:
        pack(marked)
    assert "Marker7fQ2" not in repr(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__
