"""A real browser and a real server: Debian's chromium through playwright, uvicorn on a free port of loopback."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from troth.config import Config
from troth.web.serve import listen, server

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Serve = Callable[..., str]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One chromium for all tests of this process. Its absence is a visible skip, and in CI a failure."""
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """``serve(make)``: runs ``make(base_url)``'s application on a free port until the module ends; gives its URL.

    The name is ``localhost``: what browsers hold to be trustworthy, and what a passkey can be bound to.
    """
    running = []

    def start(make: Callable[[str], Any]) -> str:
        bound = listen(Config(host="127.0.0.1", port=0))
        url = f"http://localhost:{bound.getsockname()[1]}"
        served = server(make(url), Config(host="127.0.0.1", port=0))
        thread = threading.Thread(target=served.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        running.append((served, thread, bound))
        while not served.started:
            thread.join(0.01)
            assert thread.is_alive(), "the server did not start"
        return url

    yield start
    for served, thread, bound in running:
        served.should_exit = True
        thread.join(20)
        bound.close()
