"""``troth import``: what it says, how it ends, and that no value of a file is ever said."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.clauses.moving import as_csv, rows_of
from tests.clauses.vendor import Person
from troth.cli import troth
from troth.cli.moving import progress
from troth.config import read_config
from troth.errors import Conflict, Invalid, NotFound, StartRefused
from troth.web.running import start

ANN, BEN = Person(), Person()
SOURCE = ("--source", "the old shop")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system of one's own, set up as anybody would."""
    folder = tmp_path_factory.mktemp("moving") / "system"
    asked = ["--name", "Acme Ltd", "--contact", "privacy@acme.example", "--hosts", "localhost", "--policy", ""]
    assert CliRunner().invoke(troth, ["init", str(folder), *asked, "--sign-in", "link"]).exit_code == 0
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two rows, one of which is held."""
    path = tmp_path / "people.csv"
    path.write_bytes(
        as_csv([*rows_of([ANN], shoe="44"), *[one | {"evidence": ""} for one in rows_of([BEN], shoe="45")]])
    )
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(troth, ["import", *map(str, words)])


def said_nothing_of(result: Result) -> bool:
    told = result.output + repr(result.exception)
    return not any(marker in told for person in (ANN, BEN) for marker in person.markers)


def test_a_dry_run_and_a_run_and_its_undoing_say_counts_lines_and_columns(system: Path, file: Path) -> None:
    dry = run("people", file, "--data", system, *SOURCE, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.output
    told = json.loads(dry.output)
    assert (told["dry"], told["run"], told["taken"], told["held"], told["dropped"]) == (True, "", 1, 1, ["shoe"])
    assert told["held_rows"] == [{"line": 3, "reason": "evidence"}]

    wet = run("people", file, "--data", system, *SOURCE)
    assert wet.exit_code == 0, wet.output
    assert "1 taken, 0 known already, 0 suppressed, 1 held, of 2 rows (table)" in wet.output
    assert "line 3 is held: it does not say when the person agreed" in wet.output
    assert "shoe" in wet.output
    name = wet.output.partition("run ")[2][:32]

    undone = run("undo", name, "--data", system, "--yes", "--json")
    assert undone.exit_code == 0, undone.output
    assert json.loads(undone.output) == {"run": name, "erased": 1, "invalidated": 0, "left": [], "unfinished": 0}
    again = run("undo", name, "--data", system, "--yes")
    assert isinstance(again.exception, Conflict)
    assert all(map(said_nothing_of, (dry, wet, undone, again)))


def test_nothing_of_the_file_goes_into_a_log(system: Path, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert run("people", file, "--data", system, *SOURCE, "--dry-run").exit_code == 0
    assert run("suppressions", file, "--data", system, "--dry-run").exit_code == 0
    assert run("consents", file, "--data", system, *SOURCE, "--dry-run").exit_code == 0
    assert not any(marker in caplog.text for person in (ANN, BEN) for marker in person.markers)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b'email\n"', b"a,a\n", b"name\nAnn\n"])
def test_a_file_that_cannot_be_taken_is_one_line_and_writes_nothing(
    system: Path, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    result = run("people", path, "--data", system, *SOURCE)
    assert isinstance(result.exception, Invalid)
    assert "\n" not in result.exception.detail


def test_a_header_that_is_a_person_is_not_repeated(system: Path, tmp_path: Path) -> None:
    path = tmp_path / "headerless"
    path.write_text(f"{ANN.email},{ANN.first}\n{BEN.email},{BEN.first}\n")
    result = run("people", path, "--data", system, *SOURCE)
    assert isinstance(result.exception, Invalid)
    assert said_nothing_of(result)


def test_while_the_folder_is_served_it_is_refused_in_one_line(system: Path, file: Path) -> None:
    running = start(read_config(system))
    try:
        result = run("people", file, "--data", system, *SOURCE)
    finally:
        running.close()
    assert isinstance(result.exception, StartRefused)
    assert "another Troth process" in result.exception.detail
    assert "stop it" in result.exception.detail
    assert "\n" not in result.exception.detail


def test_what_is_no_run_is_refused(system: Path) -> None:
    assert isinstance(run("undo", "nonsense", "--data", system, "--yes").exception, Invalid)
    assert isinstance(run("undo", "00" * 16, "--data", system, "--yes").exception, NotFound)
    assert run("undo", "00" * 16, "--data", system).exit_code != 0  # nobody said yes to the question


class Terminal(io.StringIO):
    """What somebody at a terminal sees."""

    def isatty(self) -> bool:
        return True


def test_at_a_terminal_it_shows_how_far_it_is_and_at_which_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", seen := Terminal())
    with progress(quiet=False) as watching:
        assert watching is not None
        watching(100, 400)
        watching(400, 400)
    assert "400/400" in seen.getvalue()
    assert "rows/s" in seen.getvalue()
    with progress(quiet=True) as watching:
        assert watching is None
