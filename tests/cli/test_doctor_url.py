"""``troth doctor URL``: the level a website reaches, and what leaks, told from outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from click.testing import CliRunner

from tests.client.shop import site_file
from troth.cli.looking import closes
from troth.cli.serve import doctor
from troth.client.website import WSGI

PAGE = b"<!doctype html><html><body><script src='https://ads.example.net/x.js'></script>Shop</body></html>"


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def vendor(environ: Any, start: Any) -> list[bytes]:
    """A site that does what sites do."""
    headers = [("Content-Type", "text/html"), ("Cache-Control", "public"), ("Set-Cookie", "_ga=1"), ("ETag", '"1"')]
    start("200 OK", [*headers, ("NEL", "{}"), ("Age", "30")])
    return [PAGE]


@contextmanager
def served(application: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_bare_site_is_told_everything_that_leaks() -> None:
    with served(vendor) as url:
        done = CliRunner().invoke(doctor, [url])
    assert done.exit_code == 1
    assert "level 0" in done.output
    for said in ("ads.example.net: loaded", '"_ga"', "Cache-Control", "ETag", "NEL", "a cache answered", "no question"):
        assert said in done.output


def test_the_same_site_behind_the_front_is_as_it_must_be(tmp_path: Path) -> None:
    with served(WSGI(vendor, site_file(tmp_path))) as url:
        done = CliRunner().invoke(doctor, [url])
    assert done.exit_code == 0, done.output
    assert "level 2" in done.output
    assert "kept out until somebody agrees: ads.example.net" in done.output


def test_a_site_that_is_only_watched_is_level_one(tmp_path: Path) -> None:
    with served(WSGI(vendor, site_file(tmp_path))) as url:
        done = CliRunner().invoke(doctor, [f"{url}new/"])
    assert done.exit_code == 1
    assert "level 1: watched only" in done.output


def test_known_scripts_only_are_level_three(tmp_path: Path) -> None:
    with served(WSGI(vendor, site_file(tmp_path), hashes=["sha256-abc="])) as url:
        assert "level 3" in CliRunner().invoke(doctor, [url]).output


@pytest.mark.parametrize(
    "header",
    [
        "default-src *; object-src 'none'; base-uri 'self'; form-action 'self'",
        "default-src 'self'; script-src 'strict-dynamic'; object-src 'none'; base-uri 'self'; form-action 'self'",
        "default-src 'self'; img-src https:; object-src 'none'; base-uri 'self'; form-action 'self'",
        "script-src 'self'",
        "",
    ],
)
def test_a_policy_that_lets_everybody_in_closes_nothing(header: str) -> None:
    assert not closes(header)


def test_an_address_that_is_none_is_said() -> None:
    assert CliRunner().invoke(doctor, ["ftp://example.org"]).exit_code == 2
    assert "does not answer" in CliRunner().invoke(doctor, ["http://127.0.0.1:1/"]).output
