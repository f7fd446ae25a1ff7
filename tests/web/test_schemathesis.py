"""What the document of the interface says is what the interface does, for data that fits and data that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import ROOT, Serving, environment, serving, set_up, troth

PROXIED = 'trusted_proxies = ["127.0.0.1"]\nbase_url = "http://127.0.0.1"\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The example vendor, behind a declared proxy."""
    with serving(set_up(tmp_path_factory.mktemp("interface") / "data", PROXIED)) as server:
        yield server


@pytest.fixture(scope="module")
def key(served: Serving) -> str:
    """A product's key."""
    return troth("product", "a product of the tests", "--data", served.folder).stdout.strip()


def run(served: Serving, key: str, folder: Path, *, seed: int, examples: int) -> None:
    """Schemathesis with every check, on fitting and misfitting data; fails with its report."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/api/v1/openapi.json"),
        *("--url", served.url, "--header", f"Authorization: Bearer {key}"),
        *("--checks", "all", "--mode", "all", "--workers", "2", "--continue-on-failure", "--no-color"),
        *("--seed", str(seed), "--max-examples", str(examples), "--report-json-path", str(folder / "report.json")),
    ]
    hooked = environment(SCHEMATHESIS_HOOKS="tests.web.from_everywhere")
    hooked["PYTHONPATH"] += f":{ROOT}"
    done = subprocess.run(command, env=hooked, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "429 Too Many Requests" not in done.stdout, "the limits hid what lies behind them"


def test_what_the_interface_says_is_what_it_does(served: Serving, key: str, tmp_path: Path) -> None:
    run(served, key, tmp_path, seed=1, examples=25)
    assert served.get("/health").json()["status"] == "ok"


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 8))
def test_it_does_so_for_many_more(served: Serving, key: str, tmp_path: Path, seed: int) -> None:
    run(served, key, tmp_path, seed=seed, examples=500)


def test_nothing_in_the_interface_is_left_out(served: Serving) -> None:
    document = json.loads(served.get("/api/v1/openapi.json").body)
    assert set(document["paths"]) == {
        "/health",
        "/api/v1/openapi.json",
        "/api/v1/policy",
        "/api/v1/points/{point}",
        "/api/v1/submissions",
        "/api/v1/rights/links",
        "/api/v1/board",
        "/api/v1/subjects/{reference}",
        "/api/v1/decisions",
    }
