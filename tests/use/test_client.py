"""A product asks a real server; and whatever is not an understood yes is a no."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from troth.client import Troth, Unreachable, allowed

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """A running server: where it is, and a product's key to it."""

    url: str
    key: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real server of the example policy in a process of its own."""
    folder = tmp_path_factory.mktemp("served") / "troth"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.use.serving", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        host, _, port = told["url"].removeprefix("http://").partition(":")
        _wait_for(host, int(port), process)
        yield Served(told["url"], told["key"])
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def _wait_for(host: str, port: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, port)) == 0:
                return
            threading.Event().wait(0.02)
    raise AssertionError("the server ended")


@pytest.fixture
def troth(served: Served) -> Iterator[Troth]:
    troth = Troth(served.url, served.key)
    yield troth
    troth.close()


def test_a_registered_account_may_be_used_for_what_the_policy_declares(troth: Troth) -> None:
    assert not troth.allowed("a-1", "provide", ["email", "name"])
    troth.register("a-1")
    answer = troth.ask("a-1", "provide", ["email", "name"])
    assert answer
    assert answer.clauses == ("purpose.provide",)
    assert len(answer.entry) == 32
    assert not troth.allowed("a-1", "marketing", ["email"])
    assert not troth.allowed("a-1", "provide", ["email", "shoe_size"])
    assert troth.ask("a-1", "provide", ["phone"]).gaps == ("field:phone",)


def test_an_account_that_has_ended_is_used_no_more(troth: Troth) -> None:
    troth.register("a-2")
    assert troth.allowed("a-2", "account", ["email"])
    troth.register("a-2", active=False)
    assert not troth.allowed("a-2", "account", ["email"])


@pytest.mark.parametrize("reference", ["4711", "a b", "ann/4711", "åäö", "100%", "?x=1#y", "a%2Fb"])
def test_any_reference_of_the_vendors_own_finds_its_way(troth: Troth, reference: str) -> None:
    troth.register(reference)
    assert troth.allowed(reference, "account", ["email"])


def test_a_request_of_a_user_is_filed_once_and_followed(troth: Troth) -> None:
    troth.register("a-5")
    filed = troth.file("a-5", "access", once="our-ticket-1")
    assert filed.state == "requested"
    assert len(filed.by) == len("2026-03-31")
    assert troth.file("a-5", "access", once="our-ticket-1") == filed == troth.follow(filed.request)
    with pytest.raises(Unreachable, match="409"):
        troth.file("a-5", "erasure", once="our-ticket-1")
    with pytest.raises(Unreachable, match="404"):
        troth.follow("0" * 32)
    with pytest.raises(Unreachable, match="422"):
        troth.file("a-5", "no right", once="our-ticket-2")


def test_one_question_without_a_connection_of_its_own(served: Served) -> None:
    with Troth(served.url, served.key) as troth:
        troth.register("a-3")
    assert allowed("a-3", "account", ["email"], url=served.url, key=served.key)
    assert not allowed("a-3", "account", ["email"], url=served.url, key="troth_wrong")


def test_many_threads_ask_at_once(troth: Troth) -> None:
    troth.register("a-4")
    answers: list[bool] = []

    def ask() -> None:
        answers.extend(troth.allowed("a-4", "account", ["email"]) for _ in range(10))
        troth.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 80


def test_a_wrong_key_is_no_answer_and_so_a_no(served: Served) -> None:
    troth = Troth(served.url, "troth_wrong")
    with pytest.raises(Unreachable, match="401"):
        troth.ask("a-1", "account", ["email"])
    with pytest.raises(Unreachable):
        troth.register("a-5")
    assert not troth.allowed("a-1", "account", ["email"])
    troth.close()


def test_nobody_there_is_a_no() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert not Troth(f"http://127.0.0.1:{port}", "k", seconds=1).allowed("a", "account", ["email"])


@contextmanager
def answering(raw: bytes) -> Iterator[str]:
    """A server that answers every connection with these bytes."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(raw)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _http(body: Any, status: str = "200 OK") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(content), content)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        _http(b"not json"),
        _http([]),
        _http("yes"),
        _http({}),
        _http({"allowed": "yes", "entry": "00"}),
        _http({"allowed": 1, "entry": "00"}),
        _http({"allowed": True}),
        _http({"allowed": True, "entry": ""}),
        _http({"allowed": True, "entry": "00"}, "500 Internal Server Error"),
        _http({"allowed": True, "entry": "00"}, "302 Found\r\nLocation: http://127.0.0.1/"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
        _http(b" " * (1024 * 1024 + 1)),
    ],
)
def test_an_answer_that_is_not_understood_is_a_no(raw: bytes) -> None:
    with answering(raw) as url:
        troth = Troth(url, "k", seconds=2)
        assert not troth.allowed("a", "account", ["email"])
        with pytest.raises(Unreachable):
            troth.ask("a", "account", ["email"])
        troth.close()


def test_the_yes_of_these_tests_would_be_understood() -> None:
    with (
        answering(_http({"allowed": True, "clauses": ["c", 1], "gaps": "x", "entry": "00"})) as url,
        Troth(url, "k") as troth,
    ):
        answer = troth.ask("a", "account", ["email"])
        assert (answer.allowed, answer.clauses, answer.gaps) == (True, ("c",), ())


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://privacy.example.org", "k"),
        ("ftp://127.0.0.1", "k"),
        ("", "k"),
        ("https://user:pass@privacy.example.org", "k"),
        ("https://privacy.example.org?x", "k"),
        ("https://privacy.example.org", ""),
        ("https://privacy.example.org", "k\r\nX: y"),
    ],
)
def test_an_address_or_key_that_is_none_is_refused_at_once(url: str, key: str) -> None:
    with pytest.raises(ValueError, match=r"Troth|key"):
        Troth(url, key)


def test_a_certificate_that_nobody_vouches_for_is_a_no(tmp_path: Path) -> None:
    from tests.smtp import Authority

    authority = Authority()
    context = authority.context(tmp_path, "localhost")
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def serve() -> None:
            for _ in range(2):
                peer, _ = plain.accept()
                try:
                    with context.wrap_socket(peer, server_side=True) as tls:
                        while not tls.recv(65536).endswith(b"}"):  # head and body come apart
                            pass
                        tls.sendall(_http({"allowed": True, "clauses": [], "gaps": [], "entry": "00"}))
                except OSError:
                    peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://localhost:{plain.getsockname()[1]}"
        refused = Troth(url, "k", seconds=5)
        assert not refused.allowed("a", "account", ["email"])
        trusting = Troth(url, "k", seconds=5, ca_file=str(authority.file(tmp_path)))
        assert trusting.allowed("a", "account", ["email"])
        refused.close()
        trusting.close()
        thread.join()


def test_the_client_needs_neither_store_nor_vault() -> None:
    code = (
        "import sys, troth.client; print(sorted(m for m in sys.modules if m.startswith('troth.') or 'sqlalchemy' in m))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    own = ["troth.client", *(f"troth.client.{name}" for name in ("activity", "asking", "handover", "signing"))]
    assert told.stdout.strip() == str(own)


DJANGO = """
import sys, django
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"], SECRET_KEY="of a test", USE_TZ=True,
    EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DEFAULT_FROM_EMAIL="product@example.org",
)
django.setup()
from django.core import mail
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
from django.test import RequestFactory
sys.path.insert(0, "examples/django")
import views
ann = User.objects.create(username="ann", first_name="Ann", email="ann@example.org")
before = views.remind(RequestFactory().get("/"), ann.pk)
sent_before = len(getattr(mail, 'outbox', []))
views.account_created(ann)
after = views.remind(RequestFactory().get("/"), ann.pk)
views.troth.register(str(ann.pk), active=False)
ended = views.remind(RequestFactory().get("/"), ann.pk)
print(before.status_code, sent_before, after.status_code, mail.outbox[0].to, ended.status_code, len(mail.outbox))
"""


def test_a_django_view_asks_before_it_uses(served: Served) -> None:
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DJANGO],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "TROTH_URL": served.url, "TROTH_KEY": served.key},
    )
    assert told.stdout.strip() == "403 0 200 ['ann@example.org'] 403 1", told.stderr
