"""Killed at random and at named moments while people ask for their rights: nothing is lost, doubled or half there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from tests.crash.rights_town import Town, faults, town
from tests.crash.rights_worker import LABELS
from troth.store import Write, tables


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A few people, for the sabotages: each leaves something wrong behind, which the next ones do not look at."""
    with town(tmp_path_factory.mktemp("village"), 8) as place:
        yield place


@pytest.mark.timeout(14_400)
@pytest.mark.parametrize(("times", "people"), [(40, 16), pytest.param(1000, 400, marks=pytest.mark.full)])
def test_no_death_loses_or_doubles_what_somebody_asked_for(tmp_path: Path, times: int, people: int) -> None:
    with town(tmp_path, people) as place:
        place.kill(times, seed=times)
        place.rest()
        assert faults(place) == []
        how = {name.removeprefix("killed ") for name in place.deaths if name.startswith("killed ")}
        assert how >= {"keys before", "keys after", "data before", "data after"}
        assert times < 100 or how >= set(LABELS)
        assert not any(name.startswith("failed") for name in place.deaths)
        assert sum(one.answer == "done" for one in place.asked) >= times
        assert any(one.answer == "" for one in place.asked), "nobody was left without an answer"


def test_an_answer_before_the_deed_would_be_seen(village: Town) -> None:
    """Sabotage: people are told that it is done before it is."""
    assert village.life(label="early", at=3, sabotage="early") == "killed"
    village.rest()
    assert any("lost" in fault for fault in faults(village))


def test_a_letter_that_is_sent_again_would_be_seen(village: Town) -> None:
    """Sabotage: a process that starts sends what another was sending when it died."""
    for at in (1, 2, 3):
        village.life(label="mail after", at=at)
        village.life(most=0, rest=60, sabotage="resend")
    assert "a letter arrived twice" in faults(village)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("rights_requests", "not as often in the register"),
        ("messages", "not as many letters"),
        ("guards", "its guards are others"),
    ],
)
def test_half_of_a_deed_would_be_seen(village: Town, table: str, fault: str) -> None:
    """Sabotage: of what a request leaves, one part is taken away."""
    village.life()
    village.rest()
    system = village.opened()
    gone = delete(tables.guards if table == "guards" else tables.data.tables[table])
    if table == "guards":
        system.store.write_keys(lambda ktx: ktx.execute(gone).rowcount)
    else:
        system.store.write(Write(lambda tx: tx.execute(gone).rowcount))
    system.close()
    assert any(fault in each for each in faults(village))
