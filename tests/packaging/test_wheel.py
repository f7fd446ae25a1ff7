"""Installed from its wheel into an empty environment, beside nothing of this repository, Troth sets up and serves.

One test, because one installation takes most of a minute: whatever is to be seen in it is looked at here.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import pytest

from tests.served import PATIENCE, ROOT

MOST_PACKAGES = 60
MOST_BYTES = 165 * 1_000_000
NOT_COUNTED = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")

NEEDED = (
    "troth/policies/example.md",
    "troth/evidence/standalone.py",
    "troth/evidence/words/en.toml",
    "troth/web/catalogue/en.toml",
    "troth/web/catalogue/ar.toml",
    "troth/web/templates/layout.html",
    "troth/web/static/mark.svg",
    "troth/store/migrations/data/v0001_tables.py",
    "troth/store/migrations/keys/v0001_tables.py",
    "troth/py.typed",
)


def build(folder: Path) -> Path:
    """The wheel, built as a release is, without the network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_wheel_holds_all_that_runs_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(tmp_path)) as wheel:
        names = set(wheel.namelist())
    assert set(NEEDED) - names == set()
    source = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src" / "troth").rglob("*") if p.is_file()}
    source = {name for name in source if not name.endswith(".pyc")}
    assert source - names == set(), "something of the source is missing"
    strange = {n for n in names - source if ".dist-info/" not in n}
    assert strange == {"troth/policies/example.md"}


def install(folder: Path, wheel: Path) -> Path:
    """A fresh environment with the locked packages and the wheel; its folder of programs."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for what in (("--require-hashes", "-r", str(ROOT / "requirements.txt")), ("--no-deps", "--no-index", str(wheel))):
        done = subprocess.run([*pip, *what], capture_output=True, text=True, check=False, timeout=280)
        if done.returncode and os.environ.get("CI") != "true" and "onnection" in done.stderr:
            pytest.skip("the packages cannot be fetched from here")
        assert done.returncode == 0, done.stderr
    return folder / "bin"


def size(folder: Path) -> int:
    """What the files of a folder take on disk, in bytes, pip and setuptools not counted."""
    found = 0
    for each in folder.iterdir():
        if each.name.startswith(NOT_COUNTED):
            continue
        files = [each] if each.is_file() else [path for path in each.rglob("*") if path.is_file()]
        found += sum(path.lstat().st_blocks * 512 for path in files)
    return found


def test_it_installs_small_sets_up_and_serves(tmp_path: Path) -> None:
    programs = install(tmp_path / "env", build(tmp_path / "wheel"))
    (packages,) = (tmp_path / "env" / "lib").glob("python3*/site-packages")
    count = len([d for d in packages.glob("*.dist-info") if not d.name.startswith(NOT_COUNTED)])
    assert count <= MOST_PACKAGES
    assert size(packages) <= MOST_BYTES
    print(f"{count} packages, {size(packages) / 1e6:.0f} MB")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TROTH_", "PYTHON"))}

    def troth(*words: str) -> str:
        command = [str(programs / "troth"), *words]
        done = subprocess.run(
            command, cwd=elsewhere, env=kept, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    told = troth(
        *("init", "system", "--name", "Example Ltd", "--contact", "privacy@example.org", "--hosts", "localhost"),
        *("--policy", "", "--sign-in", "link"),
    )
    assert "/console/invitation/" in told
    assert oct((elsewhere / "system" / "keys" / "root.key").stat().st_mode & 0o777) == "0o600"
    log = tmp_path / "served.log"
    with log.open("w") as writing:
        process = subprocess.Popen(
            [str(programs / "troth"), "serve", "--data", "system", "--port", "0"],
            cwd=elsewhere,
            env=kept | {"PYTHONUNBUFFERED": "1"},
            stdout=writing,
            stderr=writing,
        )
    try:
        until = time.monotonic() + PATIENCE
        while not (found := re.search(r"\(port (\d+)\)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, "it does not start"
            time.sleep(0.01)  # a condition is waited for, not a time
        for path, holds in (("/", b"Example Ltd"), ("/policy", b"Example Ltd"), ("/evidence/verify.py", b"#")):
            connection = http.client.HTTPConnection("localhost", int(found[1]), timeout=PATIENCE)
            connection.request("GET", path, headers={"accept": "text/html", "accept-language": "en"})
            answer = connection.getresponse()
            assert answer.status == 200
            assert holds in answer.read()
            connection.close()
        assert "system: as it must be" in troth("doctor", "--data", "system")
    finally:
        process.terminate()
        process.wait(PATIENCE)
    assert "Traceback" not in log.read_text()
    assert "policy: as it must be" in troth("doctor", "--data", "system")
    assert " PASS, " in troth("demo", "--once")  # with the policy that the wheel brings
