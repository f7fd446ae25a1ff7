"""A disk that is full, a ledger that cannot be written: nothing is acknowledged that is not there, nothing half done.

What can be waited out is answered with 503 and waited out; what cannot ends the process with one line, and the next
start finds everything that was ever acknowledged.
"""

from __future__ import annotations

import http.client
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.attack.conftest import MARKER
from tests.attack.test_requests import refused
from tests.disks import small_disk
from tests.served import Answer, Serving, begin, environment, serving, set_up, troth

NOBODY = 65534
NUMBERS = itertools.count()
PROXIED = 'trusted_proxies = ["127.0.0.1"]\n'


def submit(server: Serving) -> Answer:
    """Somebody signs up, each from an address of their own."""
    number = next(NUMBERS)
    values = {"name": MARKER, "email": f"{MARKER}.{number}@example.org"}
    body = {"point": "newsletter", "surface": "site:www", "values": values, "consents": ["newsletter"]}
    return server.send("/api/v1/submissions", body, x_forwarded_for=f"198.18.{number // 250}.{number % 250}")


def taken(folder: Path) -> tuple[int, int, int]:
    """How many submissions the ledger tells of, how many persons there are, and how many confirmations to send."""
    with closing(sqlite3.connect(f"file:{folder}/data/data.db?mode=ro", uri=True)) as reading:
        accepted, persons, letters = (
            reading.execute(f"SELECT count(*) FROM {what}").fetchone()[0]
            for what in ("ledger WHERE kind = 'intake.accepted'", "subjects", "messages")
        )
    return accepted, persons, letters


def until_refused(server: Serving, most: int = 2000) -> int:
    """Submit until it is refused with 503; how many were acknowledged."""
    for count in range(most):
        answer = submit(server)
        if answer.status != 201:
            refused(answer, 503)
            return count
    raise AssertionError("it was never refused")


def quiet(server: Serving) -> None:
    """Nothing of anybody, and no traceback, in what the process wrote."""
    assert MARKER not in server.said
    assert "Traceback" not in server.said


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    with small_disk(tmp_path, "3m") as disk:
        yield disk


def test_a_full_disk_is_waited_out(small: Path, tmp_path: Path) -> None:
    folder = set_up(small / "data", PROXIED)
    with serving(folder, log=tmp_path / "log") as server:
        acknowledged = until_refused(server)
        assert acknowledged > 0
        told: list[int] = []
        while 503 not in told and len(told) < 50:  # the writer looks for room by itself, and may find a little
            answer = submit(server)
            acknowledged += answer.status == 201
            if answer.status != 201:
                refused(answer, 503)
            told.append(server.get("/health").status)
        assert 503 in told
        assert server.get("/policy").status == 200
        assert taken(folder) == (acknowledged,) * 3
        subprocess.run(["mount", "-o", "remount,size=30m", str(small)], check=True)
        while (answer := submit(server)).status == 503:  # the writer looks again by itself
            refused(answer, 503)
        assert answer.status == 201
        assert taken(folder) == (acknowledged + 1,) * 3
        assert server.get("/health").status == 200
        assert server.stop() == 0
    quiet(server)
    assert "The evidence holds." in troth("verify", folder).stdout


def test_a_write_that_fails_ends_the_process_and_loses_nothing(tmp_path: Path) -> None:
    folder = set_up(tmp_path / "data", PROXIED)
    with serving(folder) as first:
        assert submit(first).status == 201
    room = max(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 512 + 300
    server = begin(folder, prefix=("sh", "-c", f'ulimit -f {room}; exec "$@"', "sh"))
    acknowledged = 1
    try:
        while submit(server).status == 201:
            acknowledged += 1
    except (OSError, http.client.HTTPException):
        pass  # it has gone in the middle of an answer
    assert server.process.wait(60) == 70
    quiet(server)
    assert "the process ends so that nothing untrue is said" in server.said.splitlines()[-1]
    assert acknowledged > 1
    with serving(folder) as again:
        accepted, persons, letters = taken(folder)
        assert acknowledged <= accepted <= acknowledged + 1  # the last one may be there, its answer was never sent
        assert accepted == persons == letters
        assert submit(again).status == 201
        assert again.stop() == 0
    quiet(again)
    assert "The evidence holds." in troth("verify", folder).stdout


def test_a_ledger_that_somebody_else_holds_is_waited_for(tmp_path: Path) -> None:
    folder = set_up(tmp_path / "data", PROXIED)
    with serving(folder) as server:
        assert submit(server).status == 201
        key = troth("product", "the held up", "--data", folder).stdout.strip()
        before = taken(folder)
        with closing(sqlite3.connect(folder / "data" / "data.db", isolation_level=None)) as holding:
            holding.execute("BEGIN IMMEDIATE")
            refused(submit(server), 503)
            question = {"reference": "4711", "purpose": "account", "fields": ["email"]}
            refused(server.send("/api/v1/decisions", question, authorization=f"Bearer {key}"), 503)
            assert server.get("/health").json()["faults"] == ["ledger"]
            holding.execute("ROLLBACK")
        assert taken(folder) == before
        while submit(server).status == 503:
            pass
        assert taken(folder)[0] == before[0] + 1
        assert server.get("/health").status == 200
    quiet(server)


@pytest.fixture
def nobody() -> tuple[str, ...]:
    """What turns a command into one of a user who owns nothing here."""
    prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    try:
        able = subprocess.run([*prefix, sys.executable, "-c", "import troth"], env=environment(), check=False)
    except OSError:
        pytest.skip("there is no setpriv here")
    if able.returncode:
        pytest.skip("another user cannot run this Python")
    return prefix


def test_a_data_folder_that_cannot_be_written_is_one_clear_line(used: Path, nobody: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as place:  # not pytest's own: that is kept to its owner
        folder = Path(place) / "data"
        shutil.copytree(used, folder)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        Path(place).chmod(0o755)
        for kept in (folder / "data", folder):
            kept.chmod(0o500)
            with pytest.raises(AssertionError) as ended:
                begin(folder, prefix=nobody, log=Path(place) / "log")
            told = str(ended.value)
            assert told.startswith("troth: ")
            assert len([line for line in told.splitlines() if line.startswith("troth: ")]) == 1
            assert "Traceback" not in told
            kept.chmod(0o700)
