"""Invariant 14: backups of many days, each restored in turn: nobody un-erased, nothing forgotten, no mail again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.clauses.drill import Drill, gone, holds
from tests.clauses.vendor import TENANT, Person, Vendor
from troth.policy.model import Stop
from troth.world import DAY_MS


@dataclass
class Fates:
    """What became of people, by day."""

    joined: list[tuple[int, bytes, Person]] = field(default_factory=list)
    erased: dict[bytes, Person] = field(default_factory=dict)
    objected: set[bytes] = field(default_factory=set)
    withdrew: set[bytes] = field(default_factory=set)
    restricted: set[bytes] = field(default_factory=set)


def live_a_day(vendor: Vendor, day: int, fates: Fates) -> None:
    """Four come in; of those of the days before one goes, one objects, one withdraws, one is set aside."""
    system = vendor.system
    for _ in range(4):
        person = Person()
        fates.joined.append((day, vendor.join("newsletter", person), person))
    free = [(sid, p) for of, sid, p in fates.joined if of < day and sid not in marked(fates)]
    if len(free) >= 4:
        (one, ann), (two, _), (three, _), (four, _) = free[:4]
        system.erasures.erase(TENANT, one, actor="system")
        fates.erased[one] = ann
        system.objections.object(TENANT, two, "marketing")
        fates.objected.add(two)
        system.objections.object(TENANT, three, "newsletter")
        fates.withdrew.add(three)
        system.restrictions.restrict(TENANT, four, "claims")
        fates.restricted.add(four)
    vendor.submit("newsletter", Person())  # and a letter waits in the queue of every backup


def marked(fates: Fates) -> set[bytes]:
    return set(fates.erased) | fates.objected | fates.withdrew | fates.restricted


@pytest.mark.parametrize("days", [4, pytest.param(30, marks=pytest.mark.full)])
def test_backups_of_many_days_each_restored_bring_nobody_back_and_forget_nothing(
    vendor: Vendor, tmp_path: Path, days: int
) -> None:
    drill, fates, backups = Drill(vendor, tmp_path), Fates(), []
    for day in range(days):
        live_a_day(vendor, day, fates)
        backups.append(drill.backup())
        vendor.letters()
        vendor.clock.advance(DAY_MS // 2)
        vendor.system.work()
        vendor.clock.advance(DAY_MS // 2)
    sent = len(vendor.letters())
    assert len(fates.erased) == days - 1
    done = len(vendor.entries("erase.done"))
    find = vendor.system.vault.find
    over = {sid for _, sid, person in fates.joined if find(TENANT, "email", person.email) is None}
    assert set(fates.erased) <= over, "and whom retention erased after they withdrew"
    for day, backup in enumerate(backups):
        drill.restore(backup)
        assert [letter.subject for letter in vendor.letters()[sent:]] == [], "a letter went out again"
        for of, sid, person in fates.joined:
            if sid in over:
                gone(vendor, sid, person)
            if of > day or sid in over:
                continue
            assert vendor.system.vault.find(TENANT, "email", person.email) == sid
            state, mode, _ = vendor.system.store.read(lambda c, of=sid: vendor.system.vault.state_of(c, TENANT, of))  # type: ignore[misc]  # mypy cannot see through a default
            assert (Stop("marketing") in state.stops) == (sid in fates.objected)
            assert (Stop("newsletter") in state.stops) == (sid in fates.withdrew)
            assert (mode == "restricted") == (sid in fates.restricted)
            assert bool(state.grants) == (sid not in fates.objected | fates.withdrew)
        assert len(vendor.entries("erase.done")) == done
    holds(vendor)
