"""The box for small secrets: opens where it was meant to, and nowhere else."""

from __future__ import annotations

import pytest

from troth.errors import Damaged
from troth.vault.box import Box
from troth.world import SystemRandomness

CHANCE = SystemRandomness()
BOX = Box(bytes(32), CHANCE)


def test_what_was_sealed_opens_and_looks_different_each_time() -> None:
    one, other = BOX.seal(b"secret", b"about"), BOX.seal(b"secret", b"about")
    assert one != other
    assert b"secret" not in one
    assert BOX.open(one, b"about") == BOX.open(other, b"about") == b"secret"


def test_it_opens_only_for_what_it_is_about_and_with_its_key() -> None:
    sealed = BOX.seal(b"secret", b"ann")
    with pytest.raises(Damaged):
        BOX.open(sealed, b"bob")
    with pytest.raises(Damaged):
        Box(b"\1" * 32, CHANCE).open(sealed, b"ann")


def test_one_flipped_bit_or_a_missing_end_is_noticed() -> None:
    sealed = BOX.seal(b"secret", b"ann")
    for place in range(len(sealed)):
        spoilt = bytearray(sealed)
        spoilt[place] ^= 1
        with pytest.raises(Damaged):
            BOX.open(bytes(spoilt), b"ann")
        with pytest.raises(Damaged):
            BOX.open(sealed[:place], b"ann")
