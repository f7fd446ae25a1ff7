"""Killed in the middle and started again: the counts are those of an undisturbed run, and nobody is doubled."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.clauses.moving import as_csv, rows_of
from tests.clauses.vendor import BEGIN, TENANT, Person, vendor_at
from tests.collect.dying import CHUNK, ORDER
from tests.seed import ROOT
from troth.cli.setting import demonstration_config
from troth.collect.importing.carrying import scan
from troth.collect.importing.runs import Counts
from troth.store import Write
from troth.web.running import Running, start
from troth.world import SetClock

PEOPLE = [Person() for _ in range(240)]
SPARED = PEOPLE[150]  # somebody who says no in the first chunk and yes in the second
EXPECTED = Counts(taken=239, known=10, suppressed=2, held=1, why={"disabled": 1})


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a vendor to whom nobody has come, and the file beside it."""
    folder = tmp_path_factory.mktemp("killed")
    with vendor_at(folder / "empty"):
        pass
    rows = rows_of(PEOPLE, status="")
    no = rows_of([SPARED], status="unsubscribed")
    (folder / "people.csv").write_bytes(
        as_csv([*rows[:60], *no, *rows[60:], *rows[:10], *rows_of([Person()], status="disabled")])
    )
    return folder


def killed(folder: Path, file: Path, at: int) -> bool:
    """Whether the process was killed at this moment of its run; False if it came to its end before."""
    command = [sys.executable, "-m", "tests.collect.dying", str(folder), str(file), str(at)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr.decode()[-2000:]
    return ended.returncode != 0


def number(system: Running, statement: str, *, keys: bool = False) -> int:
    read = system.store.read_keys if keys else system.store.read
    return int(read(lambda c: c.exec_driver_sql(statement).scalar()) or 0)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6, 8, 9, 11, 14, 17, 20])
def test_killed_at_any_commit_and_gone_on_with_nobody_is_lost_or_doubled(empty: Path, tmp_path: Path, at: int) -> None:
    folder, file = tmp_path / "system", empty / "people.csv"
    shutil.copytree(empty / "empty", folder)
    assert killed(folder, file, at)
    system = start(demonstration_config(folder, 0, 9), clock=SetClock(BEGIN))
    try:
        report = system.importing.bring(ORDER, scan(file), chunk=CHUNK)
        assert report.counts == EXPECTED
        assert [one.reason for one in report.held] == ["disabled"]
        assert number(system, "SELECT count(*) FROM subjects") == 239
        for table in ("personal_records", "consent_records"):
            assert number(system, f"SELECT count(*) FROM {table}") == 239
            assert number(system, f"SELECT count(DISTINCT sid) FROM {table}") == 239
        assert number(system, "SELECT count(*) FROM ledger WHERE kind = 'intake.imported'") == 239
        assert number(system, "SELECT count(*) FROM ledger WHERE kind = 'import.begun'") == 1
        assert number(system, "SELECT count(*) FROM ledger WHERE kind = 'import.done'") == 1
        assert number(system, "SELECT count(*) FROM tags WHERE state = 'live'", keys=True) == 239
        assert number(system, "SELECT count(DISTINCT sid) FROM data_keys", keys=True) == 239
        assert system.vault.find(TENANT, "email", SPARED.email) is None
        for person in PEOPLE[::40]:
            sid = system.vault.find(TENANT, "email", person.email)
            assert sid is not None
            assert system.access.copy(TENANT, sid).records[0].values["email"] == person.email
        again = system.importing.bring(ORDER, scan(file), chunk=CHUNK)
        assert (again.counts.taken, again.counts.suppressed) == (0, 2)
    finally:
        system.close()


def test_killed_twice_and_gone_on_with_it_is_one_run(empty: Path, tmp_path: Path) -> None:
    folder, file = tmp_path / "system", empty / "people.csv"
    shutil.copytree(empty / "empty", folder)
    assert killed(folder, file, 7)
    assert killed(folder, file, 5)
    assert not killed(folder, file, 1000)
    system = start(demonstration_config(folder, 0, 9), clock=SetClock(BEGIN))
    try:
        assert number(system, "SELECT count(*) FROM subjects") == 239
        assert number(system, "SELECT count(*) FROM imports") == 1
        assert number(system, "SELECT next_row FROM imports WHERE state = 'done'") == 252
    finally:
        system.close()


def test_sabotage_a_run_that_forgets_how_far_it_was_counts_otherwise(empty: Path, tmp_path: Path) -> None:
    folder, file = tmp_path / "system", empty / "people.csv"
    shutil.copytree(empty / "empty", folder)
    assert killed(folder, file, 12)
    system = start(demonstration_config(folder, 0, 9), clock=SetClock(BEGIN))
    try:
        assert number(system, "SELECT next_row FROM imports") > 0
        system.store.write(Write(lambda tx: tx.execute(text("UPDATE imports SET next_row = 0, counts = '{}'"))))
        assert system.importing.bring(ORDER, scan(file), chunk=CHUNK).counts != EXPECTED
    finally:
        system.close()
