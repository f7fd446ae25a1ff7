"""Whoever is found due and then adds or chooses something is not erased by a run that did not see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vault.house import TERMS, House
from troth.errors import Conflict
from troth.policy.model import State
from troth.rights.erasure import Erasures, Seen
from troth.store.transaction import Write
from troth.vault import NewRecord


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[House]:
    """An installation with nobody in it."""
    house = House(tmp_path / "troth")
    yield house
    house.close()


def seen(house: House, sid: bytes) -> Seen:
    rows = house.store.read(lambda c: house.vault.records(c, "main", sid))
    return frozenset((row.rid, row.generation) for row in rows)


def erasures(house: House) -> Erasures:
    versions: Any = None  # an order needs none
    return Erasures(house.store, house.vault, versions, house.clock, house.store.randomness)


def test_who_is_as_they_were_found_is_erased(lite: House) -> None:
    ann = lite.admit()
    erasures(lite).order("main", ann.sid, cause="retention", as_seen=seen(lite, ann.sid))
    assert lite.mode(ann.sid) == "erasing"


def test_a_record_that_came_meanwhile_keeps_the_person(lite: House) -> None:
    ann = lite.admit()
    found = seen(lite, ann.sid)
    lite.admit(None, sid=ann.sid, identifiers={}, records=[NewRecord("account", TERMS, {"new": 1})])
    with pytest.raises(Conflict):
        erasures(lite).order("main", ann.sid, cause="retention", as_seen=found)
    assert lite.mode(ann.sid) == "pending"
    assert len(lite.contents(ann.sid)) == 2


def test_a_choice_made_meanwhile_keeps_the_person(lite: House) -> None:
    ann = lite.admit()
    found = seen(lite, ann.sid)
    lite.store.write(Write(lambda tx: lite.vault.change_state(tx, "main", ann.sid, lambda _: State(bound="x"))))
    with pytest.raises(Conflict):
        erasures(lite).order("main", ann.sid, cause="retention", as_seen=found)
    assert lite.contents(ann.sid)
