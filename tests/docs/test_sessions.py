"""Every console session in README, tutorial, how-to and examples is run, in a copy; the tutorial's changes are made.

``./run COMMAND`` is run as ``python -m troth.cli COMMAND``, which is what that script does once it has installed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.clauses.vendor import TENANT, Person, vendor_at
from tests.docs.reading import RUNNABLE, Block, Command, blocks, change, commands
from tests.seed import ROOT
from troth.cli import troth
from troth.cli.setting import postbox
from troth.cli.walk import ANN, answers, link_in
from troth.collect.intake import Submission
from troth.config import read_config
from troth.web.running import start

TUTORIAL = ROOT / "docs" / "tutorial" / "first-hour.md"
ANSWERS = "Quill and Sons\nprivacy@quill.example\nlocalhost\n\nlink\n"  # to the five questions
PATIENCE = 60.0
STAYS = {"serve": "Troth serves", "demo": "It runs"}


def sessions(path: Path) -> list[Block]:
    """The blocks of a document that do something, in order."""
    return [block for block in blocks(path.read_text("utf-8")) if block.kind in ("console", "diff")]


def test_the_script_runs_what_the_tests_run_for_it() -> None:
    assert 'exec "$venv/bin/python" -m troth.cli "$@"' in (ROOT / "run").read_text("utf-8")
    assert sum(bool(sessions(path)) for path in RUNNABLE) >= 4


class Desk:
    """Somebody who sits before a copy of the repository and a data folder, and types what the documents say."""

    def __init__(self, place: Path, data: Path) -> None:
        self.place = place
        self.data = data

    def type(self, command: Command) -> None:
        """Run one command, and hold it to what the document shows."""
        program, *words = command.words
        assert program in ("./run", "troth", "pip"), f"line {command.line}: {program} is not a command of ours"
        if program == "pip" or words == ["test"]:
            return
        words = [str(self.data) if word == "DIR" else word for word in words]
        if words[0] in STAYS and "--once" not in words:
            self.stay(words)
            return
        asked = ANSWERS if words[0] == "init" else "y\n"
        done = subprocess.run(
            [sys.executable, "-m", "troth.cli", *words],
            cwd=self.place,
            env=self.environment,
            input=asked,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == int(command.fails), f"line {command.line}: {' '.join(command.words)}\n{said}"
        assert "Traceback" not in said
        for line in command.shown:
            assert line in said, f"line {command.line} shows what is not printed: {line}\n{said}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TROTH_")}
        return kept | {"PYTHONPATH": str(self.place / "src"), "PYTHONUNBUFFERED": "1"}

    def stay(self, words: list[str]) -> None:
        """Start what stays, wait until it says that it runs, look at it, and end it as a person does."""
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "troth.cli", *words, "--port", str(port)],
            cwd=self.place,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        watch = threading.Timer(PATIENCE, process.kill)
        watch.start()
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if STAYS[words[0]] in line:
                    break
            assert process.poll() is None, "".join(said)
            self.look(port)
            process.send_signal(signal.SIGINT)
            process.communicate()
            assert process.returncode in (0, 130, -signal.SIGINT), "".join(said)
        finally:
            watch.cancel()
            process.kill()
            process.wait()

    def look(self, port: int) -> None:
        """The policy can be read; where the policy declares a city, the form asks for it and the interface takes it."""
        assert "clause" in get(port, "/policy")
        if "city:" in (self.place / "policies" / "example" / "policy.md").read_text("utf-8"):
            assert 'name="city"' in get(port, "/forms/newsletter")
            assert '"city"' in get(port, "/api/v1/points/newsletter")


def get(port: int, path: str) -> str:
    """A page, by HTTP."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": "localhost", "Accept": "text/html, application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, path
        return answer.read().decode()
    finally:
        connection.close()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the commands read."""
    place = tmp_path_factory.mktemp("copy")
    for name in ("src", "policies"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "tests").symlink_to(ROOT / "tests")
    (place / "people.csv").write_text("name,email,evidence\nBea,bea@example.org,2024-05-06 07:08:09\n", "utf-8")
    (place / "phrase.txt").write_text("nine boxes and a lamp on the stair\n", "utf-8")
    (place / "unsubscribed.csv").write_text("email\ncy@example.org\n", "utf-8")
    return place


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder as ``troth init`` makes it, in which ann@example.org has joined the newsletter."""
    folder = tmp_path_factory.mktemp("system") / "data"
    asked = ["--name", "Quill and Sons", "--contact", "privacy@quill.example", "--hosts", "localhost", "--policy", ""]
    made = CliRunner().invoke(troth, ["init", str(folder), *asked, "--sign-in", "link"])
    assert made.exit_code == 0, made.output
    with postbox() as box:
        settings = folder / "troth.toml"
        settings.write_text(settings.read_text("utf-8").replace("port = 25\n", f"port = {box.port}\n"), "utf-8")
        system = start(read_config(folder, environment={}))
        try:
            point = system.policy.points["newsletter"]
            assert point.consent is not None
            values = answers(point, ANN | {"email": "ann@example.org"})
            surface = point.surfaces[0]
            consents = frozenset({point.consent.id})
            system.intake.take(Submission(TENANT, surface, point.id, values, consents=consents))
            system.work()
            token = link_in(box.wait(1)[0], "/confirm/").removeprefix("/confirm/")
            system.confirmation.confirm(token)
        finally:
            system.close()
        yield folder


def erasing(path: Path) -> bool:
    """Whether what is typed erases the person that the other documents speak of: these come last."""
    return "subject erase" in path.read_text("utf-8")


TYPED: list[Path] = [p for p in RUNNABLE if sessions(p) and p != TUTORIAL]
TYPED.sort(key=erasing)


@pytest.mark.parametrize("path", TYPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_says_to_type_works(path: Path, repository: Path, data: Path) -> None:
    desk = Desk(repository, data)
    for block in sessions(path):
        for command in commands(block):
            desk.type(command)


def test_the_first_hour_is_as_it_is_told(tmp_path: Path, data: Path) -> None:
    for name in ("src", "policies"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    policy = tmp_path / "policies" / "example" / "policy.md"
    desk = Desk(tmp_path, data)
    changed = 0
    for block in sessions(TUTORIAL):
        if block.kind == "diff":
            policy.write_text(change(policy.read_text("utf-8"), block), "utf-8")
            changed += 1
            continue
        for command in commands(block):
            desk.type(command)
    assert changed == 3
    the_copy_shows_the_city(tmp_path / "vendor", policy.read_text("utf-8"))


def the_copy_shows_the_city(folder: Path, policy: str) -> None:
    """With the tutorial's policy: taken in, in the person's copy, and erased."""
    with vendor_at(folder, policy) as vendor:
        ann = Person()
        sid = vendor.join("newsletter", ann, city="Ballinspittle-under-Wood")
        copy = vendor.system.access.copy(TENANT, sid)
        assert {held.values.get("city") for held in copy.records} == {"Ballinspittle-under-Wood"}
        certificate = vendor.system.erasures.erase(TENANT, sid)
        assert certificate.state == "gone"
        vendor.close()
        for file in folder.rglob("*"):
            assert not file.is_file() or b"Ballinspittle" not in file.read_bytes(), file.name
        vendor.again()


def test_a_change_that_fits_nowhere_or_twice_is_an_error() -> None:
    (block,) = blocks("```diff\n a\n-b\n+c\n```\n")
    assert change("x\na\nb\ny", block) == "x\na\nc\ny"
    for text in ("x", "a\nb\na\nb"):
        with pytest.raises(AssertionError, match="times"):
            change(text, block)
