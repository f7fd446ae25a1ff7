"""The single file as an outsider uses it: copied away, run by path, with nothing of Troth in reach."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evidence.checkers import STANDALONE
from tests.evidence.log import SECRET, Log, block, write


@pytest.fixture
def verifier(tmp_path: Path) -> Path:
    return Path(shutil.copy(STANDALONE, tmp_path / "verifier.py"))


@pytest.fixture
def folder(log: Log, tmp_path: Path) -> Path:
    return write(log.files(), tmp_path / "evidence")


def run(verifier: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(verifier), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=verifier.parent,
        timeout=60,
        check=False,
    )


def test_it_imports_only_the_standard_library_and_cryptography() -> None:
    tree = ast.parse(STANDALONE.read_text())
    found = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    found |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert found - set(sys.stdlib_module_names) == {"cryptography"}
    assert all(node.level == 0 for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    assert "socket" not in found
    assert "subprocess" not in found


def test_good_evidence_exits_0_and_every_step_is_told(verifier: Path, folder: Path, log: Log, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(block(log.receipt(3, 100, SECRET)))
    (tmp_path / "footer.txt").write_bytes(log.checkpoint(50))
    ran = run(
        verifier, folder, "--key", log.key, "--receipt", tmp_path / "r.json", "--witness", tmp_path / "footer.txt"
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = ran.stdout.splitlines()
    assert [line.split()[:3] for line in told[:10]] == [
        [str(number), step, "ok"]
        for number, step in enumerate(
            ["key", "checkpoint", "files", "tree", "content", "order", "pairs", "policy", "witnesses", "receipts"], 1
        )
    ]
    assert "The evidence holds." in told
    assert "cannot show that nothing was left out" in told[-1]


def test_a_fault_exits_1_and_says_where(verifier: Path, folder: Path, log: Log) -> None:
    path = folder / "tile/entries/000"
    raw = bytearray(path.read_bytes())
    raw[len(log.bodies[0]) + 20] ^= 1
    path.write_bytes(bytes(raw))
    ran = run(verifier, folder)
    assert ran.returncode == 1
    assert f"tile/entries/000, entry 1, byte {len(log.bodies[0]) + 2}: this is not the entry" in ran.stdout
    assert " 5 content    not done" in ran.stdout
    assert "THE EVIDENCE DOES NOT HOLD." in ran.stdout


def test_the_report_as_json_has_the_same_facts(verifier: Path, folder: Path, log: Log) -> None:
    told = json.loads(run(verifier, folder, "--json").stdout)
    assert told["ok"] is True
    assert (told["origin"], told["size"], told["root"]) == (log.name, len(log.bodies), log.root().hex())
    assert told["kinds"]["erase.done"] == told["kinds"]["erase.ordered"]
    (folder / "checkpoint").write_bytes(b"x")
    ran = run(verifier, folder, "--json")
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["ok"]) == (1, False)
    assert told["findings"][0]["step"] == "checkpoint"
    assert told["findings"][0]["file"] == "checkpoint"


def test_a_receipt_can_be_checked_without_the_log(verifier: Path, log: Log, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(block(log.receipt(3, secret=SECRET)))
    (tmp_path / "log.pub").write_text(log.key + "\n")
    for key in (log.key, "log.pub"):
        ran = run(verifier, "--key", key, "--receipt", "r.json")
        assert ran.returncode == 0, ran.stdout + ran.stderr
    other = Log(seed=b"o" * 32)
    ran = run(verifier, "--key", other.key, "--receipt", "r.json")
    assert ran.returncode == 1
    assert "key: the receipt names another key" in ran.stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["nowhere"], ["--receipt", "r.json"], ["--key", "x"], [".", "--receipt", "missing.json"], ["--more"]],
)
def test_what_it_cannot_do_exits_2_with_one_clear_line(verifier: Path, arguments: list[str]) -> None:
    ran = run(verifier, *arguments)
    assert ran.returncode == 2
    assert "error:" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_hashes_alone_can_be_checked(verifier: Path, folder: Path, log: Log, tmp_path: Path) -> None:
    shutil.rmtree(folder / "tile/entries")
    assert run(verifier, folder).returncode == 1
    (tmp_path / "letter.eml").write_bytes(log.checkpoint(50))
    ran = run(verifier, folder, "--hashes-only", "--witness", "letter.eml")
    assert ran.returncode == 0, ran.stdout
    assert "leaf hashes and all tiles add up" in ran.stdout
    assert "not looked at, as you asked" in ran.stdout


def test_an_empty_folder_is_no_evidence(verifier: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run(verifier, tmp_path / "empty")
    assert ran.returncode == 1
    assert "log.pub: it is missing" in ran.stdout
