"""Killed on the way: what is half there does not open, and moving again ends as if nothing had happened."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.clauses.vendor import BEGIN
from tests.moving.conftest import Left
from tests.moving.house import PHRASE, begin, board, bring, config_at, decisions, looked_through
from tests.seed import ROOT
from troth.cli.setting import demonstration_config
from troth.errors import Damaged, Invalid, StartRefused
from troth.evidence.verify import verify_folder
from troth.store.moving.away import away
from troth.vault import open_vault
from troth.vault.moving import arriving
from troth.vault.moving.arriving import Arriving
from troth.vault.moving.leaving import leave
from troth.world import SetClock, SystemRandomness


def some(value: float) -> ParameterSet:
    """A moment for the long run."""
    return pytest.param(value, marks=pytest.mark.full)


def killed(way: str, source: Path, to: Path, at: int) -> bool:
    """Whether the process was killed at this moment; False if it came to its end before."""
    command = [sys.executable, "-m", "tests.moving.dying", way, str(source), str(to), str(at)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr.decode()[-2000:]
    return ended.returncode != 0


def moments(way: str, source: Path, to: Path) -> int:
    """How many moments there are until the end, the last one just behind the last COMMIT or file."""
    command = [sys.executable, "-m", "tests.moving.dying", way, str(source), str(to), "100000"]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=True).stdout)


@pytest.fixture(scope="module")
def last(left: Left, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The last moment of an import."""
    place = tmp_path_factory.mktemp("moments") / "new"
    config_at(place)
    return moments("in", left.final, place)


@pytest.fixture(scope="module")
def settled(left: Left, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system that moved in and may move on. Not to be changed."""
    place = tmp_path_factory.mktemp("settled") / "old"
    bring(left.final, config_at(place))
    begin(demonstration_config(place, 0, 9)).close()
    return place


@pytest.fixture(scope="module")
def last_file(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The last moment of an export."""
    place = tmp_path_factory.mktemp("moments")
    shutil.copytree(settled, place / "old")
    return moments("out", place / "old", place / "out")


def whole(left: Left, folder: Path) -> None:
    """The system is there, with everything."""
    system = begin(demonstration_config(folder, 0, 9))
    try:
        assert board(system) == left.board
        assert decisions(system) == left.decisions
        assert (
            system.store.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM ledger WHERE kind='moved.in'").scalar())
            == 1
        )
        system.store.publish()
        assert verify_folder(folder / "evidence", receipts=left.lived.receipts).ok
    finally:
        system.close()


@pytest.mark.parametrize("part", [0.03, some(0.3), 0.6, some(0.9)])
def test_killed_while_it_moves_in_nothing_opens_and_the_next_try_is_whole(
    left: Left, last: int, tmp_path: Path, part: float
) -> None:
    config = config_at(tmp_path / "new")
    assert killed("in", left.final, tmp_path / "new", max(1, round(last * part)))
    with pytest.raises(StartRefused):
        begin(config)
    assert bring(left.final, config) > 0
    whole(left, tmp_path / "new")


@pytest.mark.parametrize("before", [0, 1, some(2), 3, some(4)])
def test_killed_at_its_very_end_it_is_ready_or_is_ended_by_the_next_try(
    left: Left, last: int, tmp_path: Path, before: int
) -> None:
    config = config_at(tmp_path / "new")
    assert killed("in", left.final, tmp_path / "new", last - before)
    if before == 0:  # behind the COMMIT that makes it ready
        whole(left, tmp_path / "new")
        return
    with pytest.raises(StartRefused, match="being moved into"):
        begin(config)
    bring(left.final, config)
    whole(left, tmp_path / "new")


def test_killed_twice_and_then_let_be_it_is_whole(left: Left, last: int, tmp_path: Path) -> None:
    config_at(tmp_path / "new")
    assert killed("in", left.final, tmp_path / "new", last // 2)
    assert killed("in", left.final, tmp_path / "new", last // 3)
    assert not killed("in", left.final, tmp_path / "new", 100_000)
    whole(left, tmp_path / "new")


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_killed_at_any_moment_of_moving_in(left: Left, last: int, tmp_path: Path) -> None:
    for at in range(1, last + 1):
        folder = tmp_path / str(at)
        config = config_at(folder)
        assert killed("in", left.final, folder, at)
        if at < last:
            with pytest.raises(StartRefused):
                begin(config)
            bring(left.final, config)
        whole(left, folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize("before", [0, 1, some(7), some(30), 50, some(70)])
def test_killed_while_it_moves_out_it_stays_or_says_that_it_left(
    settled: Path, last_file: int, tmp_path: Path, before: int
) -> None:
    old, out = tmp_path / "old", tmp_path / "out"
    shutil.copytree(settled, old)
    assert killed("out", old, out, max(1, last_file - before))
    with pytest.raises(Invalid, match="no whole export"):
        looked_through(out)
    config = demonstration_config(old, 0, 9)
    store, vault = open_vault(config, SetClock(BEGIN), SystemRandomness(), moved_away=True)
    gone = store.read(away) is not None
    store.close()
    if gone:
        with pytest.raises(StartRefused, match="moved away"):
            begin(config)
    else:
        begin(config).close()
    store, vault = open_vault(config, SetClock(BEGIN), SystemRandomness(), moved_away=True)
    leave(store, vault, config, tmp_path / "again", PHRASE, final=True)
    store.close()
    assert looked_through(tmp_path / "again").manifest.final
    ledger = (tmp_path / "again" / "ledger.jsonl").read_bytes()
    assert ledger.count(b'"moved.away"') == 2  # of the first move, and of this one: never a third


def test_sabotage_an_import_that_is_marked_ready_before_it_was_compared_is_told(
    left: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is read back: a row that the store swallowed stops the move, and nothing opens."""
    config = config_at(tmp_path / "new")
    fill = Arriving._fill

    def lossy(place: Arriving, database: object, shape: object, steps: object) -> None:
        fill(place, database, shape, steps)  # type: ignore[arg-type]  # passed on as they are
        if shape.table.name == "guards":  # type: ignore[attr-defined]  # a shape
            with place._keys.transaction() as connection:
                assert connection.exec_driver_sql("DELETE FROM guards WHERE id = (SELECT max(id) FROM guards)").rowcount

    monkeypatch.setattr(arriving.Arriving, "_fill", lossy)
    with Arriving(looked_through(left.final), config, SetClock(BEGIN), SystemRandomness()) as place:
        place.write()
        with pytest.raises(Damaged, match="guards was not written"):
            place.compare()
    with pytest.raises(StartRefused, match="being moved into"):
        begin(config)
