"""``troth export --all`` and ``troth import --all``: what is asked, what is said, how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.clauses.moving import as_csv, rows_of
from tests.clauses.vendor import Person
from troth.cli import troth
from troth.config import read_config
from troth.errors import Conflict, Invalid, StartRefused
from troth.web.running import start

ANN = Person()
PHRASE = "nine boxes and a lamp on the stair"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system as anybody sets it up, with one person in it."""
    place = tmp_path_factory.mktemp("made")
    asked = ["--name", "Acme Ltd", "--contact", "privacy@acme.example", "--hosts", "localhost", "--policy", ""]
    assert CliRunner().invoke(troth, ["init", str(place / "old"), *asked, "--sign-in", "link"]).exit_code == 0
    (place / "people.csv").write_bytes(as_csv(rows_of([ANN])))
    assert run("import", "people", place / "people.csv", "--data", place / "old", "--source", "x").exit_code == 0
    return place / "old"


@pytest.fixture
def old(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "old"))


@pytest.fixture
def phrase(tmp_path: Path) -> tuple[str, Path]:
    """A file with the passphrase, as an option."""
    (tmp_path / "phrase.txt").write_text(f"{PHRASE}\r\na second line\n")
    return "--passphrase-file", tmp_path / "phrase.txt"


def run(*words: object, typed: str = "", **environment: str) -> Result:
    return CliRunner().invoke(troth, [*map(str, words)], input=typed, env=environment)


def test_a_move_says_what_there_is_what_comes_next_and_what_to_delete(
    old: Path, tmp_path: Path, phrase: tuple[str, Path]
) -> None:
    out, new = tmp_path / "boxes", tmp_path / "new"
    left = run("export", "--all", out, "--final", "--data", old, *phrase)
    assert left.exit_code == 0, left.output
    assert "1 people, 1 records" in left.output
    assert f"troth import --all {out}" in left.output
    came = run("import", "--all", out, "--data", new, *phrase)
    assert came.exit_code == 0, came.output
    assert f"troth serve --data {new}" in came.output
    assert f"delete {out}" in came.output
    assert "1 records opened" in came.output
    assert not any(marker in left.output + came.output for marker in ANN.markers)
    config = read_config(new, environment={})
    assert config.tenant == "main"
    assert config.url == read_config(old, environment={}).url
    assert config.mail.sender == "privacy@acme.example"
    assert (new / "policy.md").read_bytes() == (old / "policy.md").read_bytes()
    assert ANN.email in run("subject", "access", ANN.email, "--data", new).output
    assert isinstance(run("operator", "--data", old).exception, StartRefused)
    assert run("verify", old).exit_code == run("verify", new).exit_code == 0


def test_the_passphrase_is_asked_twice_and_comes_from_the_environment(old: Path, tmp_path: Path) -> None:
    other = run("export", "--all", tmp_path / "a", "--data", old, typed=f"{PHRASE}\nsomething else entirely\n")
    assert other.exit_code != 0
    assert not (tmp_path / "a").exists()
    short = run("export", "--all", tmp_path / "a", "--data", old, TROTH_PASSPHRASE="too short")
    assert isinstance(short.exception, Invalid)
    assert not (tmp_path / "a").exists()
    typed = run("export", "--all", tmp_path / "a", "--data", old, typed=f"{PHRASE}\n{PHRASE}\n")
    assert typed.exit_code == 0, typed.output
    assert "copy" in typed.output
    whole = run("import", "--all", tmp_path / "a", "--check", "--json", TROTH_PASSPHRASE=PHRASE)
    assert whole.exit_code == 0, whole.output
    told = json.loads(whole.output)
    assert (told["whole"], told["final"], told["rows"]["subjects"]) == (True, False, 1)
    assert PHRASE not in typed.output + whole.output
    wrong = run("import", "--all", tmp_path / "a", "--check", typed="another phrase that is long\n")
    assert isinstance(wrong.exception, Invalid)
    assert "passphrase" in wrong.exception.detail


def test_a_copy_is_looked_through_and_not_moved_in_and_nothing_is_left_behind(
    old: Path, tmp_path: Path, phrase: tuple[str, Path]
) -> None:
    assert run("export", "--all", tmp_path / "copy", "--data", old, *phrase).exit_code == 0
    refused = run("import", "--all", tmp_path / "copy", "--data", tmp_path / "new", *phrase)
    assert isinstance(refused.exception, Invalid)
    assert "--final" in refused.exception.detail
    assert not (tmp_path / "new").exists()
    start(read_config(old)).close()


def test_a_move_that_was_thought_better_of_is_taken_back(old: Path, tmp_path: Path, phrase: tuple[str, Path]) -> None:
    assert isinstance(run("export", "--take-back", "--yes", "--data", old).exception, Conflict)
    assert run("export", "--all", tmp_path / "out", "--final", "--data", old, *phrase).exit_code == 0
    assert run("export", "--take-back", "--data", old, typed="n\n").exit_code != 0
    assert isinstance(run("operator", "--data", old).exception, StartRefused)
    assert run("export", "--take-back", "--data", old, typed="y\n").exit_code == 0
    assert ANN.email in run("subject", "access", ANN.email, "--data", old).output
    assert run("verify", old).exit_code == 0


def test_while_the_folder_is_served_it_is_not_exported(old: Path, tmp_path: Path, phrase: tuple[str, Path]) -> None:
    running = start(read_config(old))
    try:
        refused = run("export", "--all", tmp_path / "out", "--data", old, *phrase)
    finally:
        running.close()
    assert isinstance(refused.exception, StartRefused)
    assert "stop it, export" in refused.exception.detail
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_neither_filled_nor_configured(
    old: Path, tmp_path: Path, phrase: tuple[str, Path]
) -> None:
    assert run("export", "--all", tmp_path / "out", "--final", "--data", old, *phrase).exit_code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    refused = run("import", "--all", tmp_path / "out", "--data", tmp_path / "mine", *phrase)
    assert isinstance(refused.exception, Conflict)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    other = run("import", "--all", tmp_path / "out", "--data", old, *phrase)
    assert isinstance(other.exception, Conflict)
    assert "already" in other.exception.detail


def test_what_makes_no_sense_is_said(old: Path, tmp_path: Path) -> None:
    assert "say --all DIR" in run("export", "--data", old).output
    assert "say where" in run("import", "--all", old).output
    assert "stands for itself" in run("import", "--all", old, "people", old / "policy.md").output
    assert "--all DIR" in run("import").output
    missing = run("import", "--all", old, "--check", "--passphrase-file", tmp_path)
    assert missing.exit_code != 0
