"""Who sends too slowly is told so after a while, and let go; who is only quiet between two requests is not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.attack.test_requests import problem_in
from tests.web.vendor import Standing
from troth.config import Config
from troth.web import connection, serve
from troth.web.app import build

BODY = b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server with a fifth of a second's patience."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.2)
    config = Config(port=0)
    bound = serve.listen(config)
    running = serve.server(build(Standing(config=config), []), config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not running.started:
        thread.join(0.01)
        assert thread.is_alive()
    yield bound.getsockname()[1]
    running.should_exit = True
    thread.join(20)
    bound.close()


def told(port: int, *sent: bytes) -> bytes:
    """What comes back until the server closes the connection; it is never closed here."""
    with socket.create_connection(("127.0.0.1", port), 20) as wire:
        for piece in sent:
            wire.sendall(piece)
        found = b""
        while piece := wire.recv(65536):
            found += piece
        return found


def test_a_head_that_does_not_end_in_time_is_refused(port: int) -> None:
    assert problem_in(told(port, b"GET / HTTP/1.1\r\nHost: local")) == 408


def test_a_body_that_does_not_end_in_time_is_refused(port: int) -> None:
    assert problem_in(told(port, BODY.replace(b"POST /health", b"POST /nowhere"), b"6")) in (404, 408)


def test_a_connection_that_says_nothing_is_closed_without_a_word(port: int) -> None:
    assert told(port) == b""


def test_a_second_request_that_does_not_end_is_refused_too(port: int) -> None:
    found = told(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /hea")
    first, _, second = found.partition(b"}HTTP/1.1")
    assert first.startswith(b"HTTP/1.1 200")
    assert problem_in(b"HTTP/1.1" + second) == 408


def test_a_pause_between_two_requests_is_no_fault(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 20) as wire:
        wire.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.recv(65536).startswith(b"HTTP/1.1 200")
        wire.settimeout(0.5)
        with pytest.raises(TimeoutError):  # twice the patience for a head: nothing comes, nothing ends
            wire.recv(1)
        wire.settimeout(20)
        wire.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.recv(65536).startswith(b"HTTP/1.1 200")
