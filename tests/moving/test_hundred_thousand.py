"""Many people: brought in, killed in the middle, gone on with; moved to PostgreSQL, and nothing is otherwise there."""

from __future__ import annotations

import csv
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clauses.moving import AGREED
from tests.clauses.vendor import BEGIN, vendor_at
from tests.collect.dying import ORDER
from tests.collect.test_killed import killed
from tests.moving.house import begin, board, bring, config_at, decisions, export, hashes
from tests.postgres import Server
from troth.cli.setting import demonstration_config
from troth.collect.importing.carrying import scan
from troth.web.running import start
from troth.world import SetClock


def people(file: Path, count: int) -> Path:
    """A file with so many."""
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["name", "email", "evidence"])
        writer.writerows([f"Person Number{n}", f"number{n}@example.org", AGREED] for n in range(count))
    return file


class Timed:
    """Says how long each part took, and how much memory the process has come to."""

    def __init__(self) -> None:
        self.begun = time.monotonic()

    def say(self, what: str) -> None:
        now = time.monotonic()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{what}: {now - self.begun:.1f} s ({peak} MiB at the most so far)")
        self.begun = time.monotonic()


def moves(count: int, at: int, folder: Path, config: Callable[[], tuple[str, str]]) -> None:
    """The whole way of so many people; the first import is killed at its moment ``at``."""
    with vendor_at(folder / "old"):
        pass
    file = people(folder / "people.csv", count)
    timed = Timed()
    assert killed(folder / "old", file, at)
    timed.say("brought in until it was killed")
    system = start(demonstration_config(folder / "old", 0, 9), clock=SetClock(BEGIN))
    report = system.importing.bring(ORDER, scan(file))
    timed.say(f"gone on with behind row {report.resumed_at}")
    assert (report.counts.taken, report.counts.held, report.counts.known) == (count, 0, 0)
    assert 0 < (report.resumed_at or 0) < count
    decided = decisions(system)  # before the board: a scan exercises clauses
    seen = board(system)
    timed.say("board and decisions")
    manifest = export(system, folder / "out")
    system.close()
    timed.say("exported")
    new = config_at(folder / "new", urls=config())
    assert bring(folder / "out", new) > 0
    timed.say("looked through, written, read back and compared")
    system = begin(new)
    try:
        assert decisions(system) == decided
        assert board(system) == seen
        timed.say("board and decisions there")
        assert (
            hashes(export(system, folder / "again", final=False))["personal_records.jsonl"]
            == (hashes(manifest)["personal_records.jsonl"])
        )
    finally:
        system.close()
    assert any(each[1] == count for each in decided.values())


@pytest.mark.postgres
def test_two_thousand_people_come_in_and_move_to_postgresql(
    tmp_path: Path, postgres_data: Server, postgres_keys: Server
) -> None:
    moves(2_000, 60, tmp_path, lambda: (postgres_data.new_database(), postgres_keys.new_database()))


@pytest.mark.full
@pytest.mark.postgres
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_people_come_in_and_move_to_postgresql(
    tmp_path: Path, postgres_data: Server, postgres_keys: Server
) -> None:
    moves(100_000, 2_000, tmp_path, lambda: (postgres_data.new_database(), postgres_keys.new_database()))
