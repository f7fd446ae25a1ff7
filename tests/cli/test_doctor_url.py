"""``troth doctor URL``: the level a website reaches, and what leaks, told from outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from click.testing import CliRunner

from tests.client.shop import site_file
from troth.cli.enforced import ANY, KNOWN, MARKED, closes, inline, lets, policies
from troth.cli.looking import Look, look
from troth.cli.markup import Load
from troth.cli.serve import doctor
from troth.client.website import WSGI

PAGE = b"<!doctype html><html><body><script src='https://ads.example.net/x.js'></script>Shop</body></html>"


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def vendor(environ: Any, start: Any) -> list[bytes]:
    """A site that does what sites do."""
    headers = [("Content-Type", "text/html"), ("Cache-Control", "public"), ("Set-Cookie", "_ga=1"), ("ETag", '"1"')]
    reports = '{"endpoints": [{"url": "https://reports.example.net/r"}]}'
    start("200 OK", [*headers, ("Report-To", reports), ("Age", "30")])
    return [PAGE]


def answering(page: str, *headers: tuple[str, str]) -> Any:
    """A site of one page."""

    def application(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/html"), *headers])
        return [page.encode()]

    return application


def seen(application: Any) -> Look:
    """What is found at a site."""
    with served(application) as url:
        return look(url)


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
    for said in (
        "before a choice, with the signal: ads.example.net is loaded",
        'before a choice, with the signal: the cookie "_ga" is set',
        "Cache-Control",
        "ETag",
        "report to reports.example.net",
        "a cache answered",
        "no question and no way",
    ):
        assert said in done.output
    assert "after a no" not in done.output, "nobody could say no there"


def test_the_same_site_behind_the_front_is_as_it_must_be(tmp_path: Path) -> None:
    with served(WSGI(vendor, site_file(tmp_path))) as url:
        done = CliRunner().invoke(doctor, [url])
    assert done.exit_code == 0, done.output
    assert "level 2" in done.output
    assert "kept out before a choice: ads.example.net" in done.output


def test_a_site_that_is_only_watched_is_level_one(tmp_path: Path) -> None:
    with served(WSGI(vendor, site_file(tmp_path))) as url:
        done = CliRunner().invoke(doctor, [f"{url}new/"])
    assert done.exit_code == 1
    assert "level 1: watched only" in done.output


def test_known_scripts_only_are_level_three(tmp_path: Path) -> None:
    with served(WSGI(vendor, site_file(tmp_path), hashes=["sha256-abc="])) as url:
        assert "level 3" in CliRunner().invoke(doctor, [url]).output


# --- nothing is said that was not seen ---


def test_what_is_declared_as_essential_is_neither_kept_out_nor_a_fault(tmp_path: Path) -> None:
    page = "<iframe src='https://pay.example.net/1'></iframe><img src='https://videos.example.net/1.png'>"
    session = ("Set-Cookie", "sessionid=q7Zb2kXw9LmN4pRt6vYc1A; Path=/")
    found = seen(WSGI(answering(f"<body>{page}</body>", session), site_file(tmp_path)))
    assert (found.essential, found.stopped, found.faults) == ({"pay.example.net"}, {"videos.example.net"}, [])


def test_an_undeclared_place_that_the_header_lets_in_is_loaded() -> None:
    header = "default-src 'self' https://ads.example.net; object-src 'none'; base-uri 'self'; form-action 'self'"
    found = seen(answering(PAGE.decode(), ("Content-Security-Policy", header)))
    assert found.level == 4, "no inline script runs, but that is not all there is to it"
    assert any("ads.example.net is loaded" in fault for fault in found.faults)
    assert not found.stopped


def test_a_policy_that_closes_little_still_stops_what_it_names() -> None:
    found = seen(answering(PAGE.decode(), ("Content-Security-Policy", "script-src 'self'")))
    assert (found.level, found.stopped) == (0, {"ads.example.net"})
    assert not any("ads.example.net" in fault for fault in found.faults)


def test_a_policy_written_into_the_page_counts_from_where_it_stands() -> None:
    meta = "<meta http-equiv='Content-Security-Policy' content=\"script-src 'self'\">"
    assert seen(answering(f"<head>{meta}</head>{PAGE.decode()}")).stopped == {"ads.example.net"}
    assert not seen(answering(f"{PAGE.decode()}{meta}")).stopped


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ([("X-Cache", "Miss from cloudfront")], False),
        ([("X-Cache", "TCP_MISS, MISS")], False),
        ([("CF-Cache-Status", "BYPASS"), ("Age", "0")], False),
        ([("X-Varnish-Hits", "0")], False),
        ([("X-Cache", "Hit from cloudfront")], True),
        ([("X-Cache", "MISS, TCP_HIT")], True),
        ([("CF-Cache-Status", "REVALIDATED")], True),
        ([("Age", "3")], True),
    ],
)
def test_a_cache_is_named_where_one_says_that_it_answered(headers: list[tuple[str, str]], answered: bool) -> None:
    faults = seen(answering("Shop", *headers)).faults
    assert any("a cache answered" in fault for fault in faults) == answered


def test_what_is_ended_is_not_set_and_who_reports_to_itself_tells_nobody() -> None:
    own = ("Reporting-Endpoints", 'troth="/troth/report"')
    faults = seen(answering("Shop", ("Set-Cookie", "_ga=x; Max-Age=0"), ("Set-Cookie", "b="), own)).faults
    assert not any("cookie" in fault or "told to report" in fault for fault in faults)


@pytest.mark.parametrize(("worker", "told"), [("/troth-sw.js", False), ("/sw.js", True)])
def test_troths_own_worker_is_not_taken_for_the_sites(worker: str, told: bool) -> None:
    faults = seen(answering(f"<script>navigator.serviceWorker.register('{worker}')</script>")).faults
    assert any("service worker" in fault for fault in faults) == told


def test_a_style_that_speaks_of_the_question_is_no_question() -> None:
    faults = seen(answering("<style>.troth-banner, .troth-link {color: red}</style>")).faults
    assert any("no question and no way" in fault for fault in faults)
    assert not any("it asks" in fault for fault in faults)


def test_who_asks_again_after_a_no_and_with_the_signal_is_told() -> None:
    def forgetful(environ: Any, start: Any) -> list[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            start("303 See Other", [("Location", "/"), ("Set-Cookie", "choice=no"), ("Set-Cookie", "number=1")])
            return []
        start("200 OK", [("Content-Type", "text/html"), *([("Set-Cookie", "_ga=1")] * ("HTTP_COOKIE" in environ))])
        return [b"<form method=post action=/troth/choices></form>"]

    faults = seen(forgetful).faults
    assert "after a no: it asks again" in faults
    assert "it asks, although the browser's signal (Sec-GPC) has answered" in faults
    assert 'after a no: the cookie "_ga" is set: declare it as essential, or stop it' in faults
    assert "a no is answered 303 with 2 cookies; it must be 303 with one" in faults


def test_a_no_is_said_to_the_site_itself_and_to_nobody_else() -> None:
    asked: list[str] = []

    def elsewhere(environ: Any, start: Any) -> list[bytes]:
        asked.append(environ["REQUEST_METHOD"])
        return list(vendor(environ, start))

    with served(elsewhere) as url:
        faults = seen(answering(f"<a href='{url}troth/choices'>choices</a>")).faults
    assert not asked
    assert any("no way to the choices" in fault for fault in faults)


def test_an_answer_that_is_a_fault_is_said_to_be_one() -> None:
    def broken(environ: Any, start: Any) -> list[bytes]:
        start("502 Bad Gateway", [("Content-Type", "text/html")])
        return [b"<a href='http://['>broken</a><img src='//[x'>"]

    assert any(fault.startswith("the address answers 502") for fault in seen(broken).faults)


@pytest.mark.parametrize(("fresh", "level"), [(True, 4), (False, 2)])
def test_a_mark_that_stays_the_same_marks_nothing(fresh: bool, level: int) -> None:
    numbers = count()

    def marked(environ: Any, start: Any) -> list[bytes]:
        nonce = f"'nonce-{next(numbers) if fresh else 7}'"
        rest = "object-src 'none'; base-uri 'self'; form-action 'self'"
        header = f"default-src 'self'; script-src {nonce} 'unsafe-inline'; {rest}"
        start("200 OK", [("Content-Type", "text/html"), ("Content-Security-Policy", header)])
        return [b"Shop"]

    assert seen(marked).level == level


# --- what a policy stops ---


@pytest.mark.parametrize(
    "header",
    [
        "default-src *; object-src 'none'; base-uri 'self'; form-action 'self'",
        "default-src 'self'; script-src 'strict-dynamic'; object-src 'none'; base-uri 'self'; form-action 'self'",
        "default-src 'self'; img-src https:; object-src 'none'; base-uri 'self'; form-action 'self'",
        "default-src *; default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'",
        "script-src 'self'",
        "",
    ],
)
def test_a_policy_that_lets_everybody_in_closes_nothing(header: str) -> None:
    assert not any(map(closes, policies([header])))


@pytest.mark.parametrize(
    ("header", "runs"),
    [
        ("default-src 'self'", MARKED),
        ("default-src 'self' 'unsafe-inline'", ANY),
        ("img-src 'self'", ANY),
        ("script-src 'unsafe-inline' 'sha256-abc='", KNOWN),
        ("script-src 'nonce-abc'", MARKED),
        ("script-src 'nonce-abc'; script-src-attr 'unsafe-inline'", ANY),
        ("script-src 'self'; script-src-elem 'unsafe-inline'", ANY),
    ],
)
def test_which_inline_scripts_run(header: str, runs: int) -> None:
    (policy,) = policies([header])
    assert inline(policy) == runs


@pytest.mark.parametrize(
    ("header", "let_in"),
    [
        ("script-src https://a.example.net", True),
        ("script-src https://*.example.net", True),
        ("script-src a.example.net:*", True),
        ("script-src https://a.example.net/x/", True),
        ("script-src https://a.example.net/y/", False),
        ("script-src https://a.example.net:8443", False),
        ("script-src https://example.net", False),
        ("script-src https:", True),
        ("default-src 'none'", False),
        ("script-src-elem 'none'; script-src *", False),
        ("img-src 'none'", True),
        ("script-src *, default-src 'self'", False),
    ],
)
def test_what_is_let_in_is_read_as_a_browser_reads_it(header: str, let_in: bool) -> None:
    load = Load("script-src", urlsplit("https://a.example.net/x/1.js"))
    assert lets(policies([header]), load, "https://www.example.com/") == let_in


def test_an_address_that_is_none_is_said() -> None:
    assert CliRunner().invoke(doctor, ["ftp://example.org"]).exit_code == 2
    for none in ("http://127.0.0.1:1/", "http://[", "http://127.0.0.1:x/"):
        assert "does not answer" in CliRunner().invoke(doctor, [none]).output
