"""``troth serve`` as people run it: a process of its own on a data folder, asked over real HTTP."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from troth.vault.provider import FileProvider
from troth.world import SystemRandomness

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "policies" / "example" / "policy.md"
PATIENCE = 120.0  # seconds: the machine may be busy with other tests


def set_up(folder: Path, settings: str = "") -> Path:
    """A data folder with the example's policy, a root key and ``settings`` as its configuration."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(EXAMPLE, folder / "policy.md")
    (folder / "troth.toml").write_text(settings)
    FileProvider.create(folder / "keys" / "root.key", SystemRandomness())
    return folder


def environment(**more: str) -> dict[str, str]:
    """The environment for commands: this repository's source, compiled once; nothing of Troth's own settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TROTH_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | {"PYTHONPATH": str(ROOT / "src")} | more


def troth(*words: str | Path, expect: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. ``expect`` is the exit status it must have; None for any."""
    command = [sys.executable, "-m", "troth.cli", *map(str, words)]
    done = subprocess.run(
        command, env=environment(**more), capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=ROOT
    )
    assert expect in (None, done.returncode), f"exit {done.returncode}: {done.stdout}{done.stderr}"
    return done


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Serving:
    """A serving process and where it listens."""

    folder: Path
    process: subprocess.Popen[str]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """Everything it has written to stdout and stderr."""
        return self.log.read_text(errors="replace")

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            told = connection.getresponse()
            return Answer(told.status, {name.lower(): value for name, value in told.getheaders()}, told.read())
        finally:
            connection.close()

    def send(self, path: str, value: object, method: str = "POST", **headers: str) -> Answer:
        """JSON to the interface."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask(method, path, json.dumps(value).encode(), {"content-type": "application/json", **named})

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self.ask("GET", path, None, headers)

    def stop(self) -> int:
        """Ask it to end, and wait; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(PATIENCE)


def begin(folder: Path, *, prefix: Sequence[str] = (), log: Path | None = None, **more: str) -> Serving:
    """Start serving ``folder`` on a free port and wait until it says so. AssertionError where it ends instead."""
    log = log or folder.parent / f"{folder.name}.log"
    command = [*prefix, sys.executable, "-m", "troth.cli", "serve", "--data", str(folder), "--port", "0"]
    writing: IO[str]
    with log.open("w") as writing:
        process = subprocess.Popen(
            command, env=environment(PYTHONUNBUFFERED="1", **more), stdout=writing, stderr=writing, text=True, cwd=ROOT
        )
    until = time.monotonic() + PATIENCE
    while not (found := re.search(r"\(port (\d+)\)", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, "it does not start"
        time.sleep(0.01)  # a condition is waited for, not a time
    return Serving(folder, process, int(found[1]), log)


@contextmanager
def serving(folder: Path, **about: Any) -> Iterator[Serving]:
    """Served as long as the block lasts."""
    server = begin(folder, **about)
    try:
        yield server
    finally:
        server.stop()
