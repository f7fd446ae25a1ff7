"""What the document of the interface says is what the interface does, for data that fits and data that does not."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.served import ROOT, Serving, environment, serving, set_up, troth
from tests.web.vendor import Standing
from troth.config import Config
from troth.web import serve
from troth.web.app import build
from troth.web.bodies import json_answer
from troth.web.routes import Group, Route, Schema

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


def run(url: str, key: str, folder: Path, *, seed: int, examples: int) -> None:
    """Schemathesis with every check, on fitting and misfitting data; fails with its report."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/api/v1/openapi.json"),
        *("--url", url, "--header", f"Authorization: Bearer {key}"),
        *("--checks", "all", "--mode", "all", "--workers", "2", "--continue-on-failure", "--no-color"),
        *("--seed", str(seed), "--max-examples", str(examples), "--report-json-path", str(folder / "report.json")),
    ]
    hooked = environment(SCHEMATHESIS_HOOKS="tests.web.from_everywhere")
    hooked["PYTHONPATH"] += f":{ROOT}"
    done = subprocess.run(command, env=hooked, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "429 Too Many Requests" not in done.stdout, "the limits hid what lies behind them"


def test_what_the_interface_says_is_what_it_does(served: Serving, key: str, tmp_path: Path) -> None:
    run(served.url, key, tmp_path, seed=1, examples=25)
    assert served.get("/health").json()["status"] == "ok"


async def lie(request: Request, system: Standing) -> Response:
    """Answers what its document does not say."""
    return json_answer({"point": 7}, 202)


LIE: Schema = {"type": "object", "required": ["point"], "properties": {"point": {"type": "string"}}}
LYING: Group[Standing] = Group(
    "lying", [Route("GET", "/api/v1/lie", lie, "scope.closed-list", kind="api", summary="A lie", response=LIE)]
)


def test_sabotage_an_answer_that_the_document_does_not_know_is_found(tmp_path: Path) -> None:
    config = Config(port=0)
    bound = serve.listen(config)
    running = serve.server(build(Standing(config=config), [LYING]), config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not running.started:
        thread.join(0.01)
        assert thread.is_alive()
    try:
        with pytest.raises(AssertionError, match="Undocumented status code"):
            run(f"http://127.0.0.1:{bound.getsockname()[1]}", "", tmp_path, seed=1, examples=2)
    finally:
        running.should_exit = True
        thread.join(20)
        bound.close()


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 8))
def test_it_does_so_for_many_more(served: Serving, key: str, tmp_path: Path, seed: int) -> None:
    run(served.url, key, tmp_path, seed=seed, examples=500)


def test_nothing_in_the_interface_is_left_out(served: Serving) -> None:
    document = json.loads(served.get("/api/v1/openapi.json").body)
    assert set(document["paths"]) == {
        "/health",
        "/api/v1/openapi.json",
        "/api/v1/policy",
        "/api/v1/points/{point}",
        "/api/v1/submissions",
        "/api/v1/rights/links",
        "/api/v1/rights/requests",
        "/api/v1/rights/requests/{request}",
        "/api/v1/board",
        "/api/v1/subjects/{reference}",
        "/api/v1/decisions",
        "/api/v1/activity",
        "/api/v1/suppressions/check",
        "/api/v1/visits",
    }
