"""The short way of a visit, on a real connection: it answers as the long one does, in turn, and lets nobody wait."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from tests.clauses.conftest import vendor
from tests.clauses.vendor import Vendor
from troth.collect.visits import visits
from troth.web import connection, serve
from troth.web.collector import MOST, Collector

__all__ = ["vendor"]


@pytest.fixture
def port(vendor: Vendor) -> Iterator[int]:
    """The vendor's system behind the server that it really runs behind."""
    bound = serve.listen(vendor.system.config)
    running = serve.server(vendor.system.app, vendor.system.config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not running.started:
        thread.join(0.01)
        assert thread.is_alive()
    yield bound.getsockname()[1]
    running.should_exit = True
    thread.join(20)
    assert not thread.is_alive(), "a visit holds the server up"
    bound.close()


def visit(page: str = "/a", *, head: str = "", body: bytes | None = None, form: str = "text/plain") -> bytes:
    """The bytes of a visit."""
    said = json.dumps({"page": page}).encode() if body is None else body
    return (
        f"POST /c HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Type: {form}\r\n{head}"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
        f"Content-Length: {len(said)}\r\n\r\n"
    ).encode() + said


LAST = "Connection: close\r\n"


def told(port: int, *sent: bytes) -> list[int]:
    """The statuses of the answers until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", port), 20) as wire:
        for piece in sent:
            wire.sendall(piece)
        found = b""
        while piece := wire.recv(65536):
            found += piece
    return [int(part[:3]) for part in found.split(b"HTTP/1.1 ")[1:]]


def views(vendor: Vendor) -> int:
    """The visits that are in the store."""
    statement = "SELECT coalesce(sum(views), 0) FROM visit_counts JOIN visit_cells ON id = cell WHERE dimension = 'all'"
    return vendor.system.store.read(lambda c: int(c.exec_driver_sql(statement).scalar_one()))


def test_visits_sent_together_are_answered_one_by_one_and_all_counted(vendor: Vendor, port: int) -> None:
    assert told(port, visit("/a") + visit("/b") + visit("/c", head=LAST)) == [204, 204, 204]
    assert views(vendor) == 3


def test_a_request_behind_a_visit_is_answered_behind_it(vendor: Vendor, port: int) -> None:
    other = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert told(port, other + visit() + other + visit(head=LAST)) == [404, 204, 404, 204]
    assert views(vendor) == 2


def test_a_visit_in_pieces_is_one(vendor: Vendor, port: int) -> None:
    whole = visit(head=LAST)
    assert told(port, *(whole[at : at + 50] for at in range(0, len(whole), 50))) == [204]
    assert views(vendor) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (visit(body=b"{", head=LAST), 400),
        (visit(body=b'{"page": "/a", "colour": "red"}', head=LAST), 422),
        (visit(form="text/html", head=LAST), 415),
        (visit("/" + "a" * MOST, head=LAST), 413),
        (visit(head=f"Sec-Fetch-Site: cross-site\r\n{LAST}"), 403),
        (visit(head=LAST).replace(b"POST", b"PUT", 1), 405),
    ],
)
def test_what_is_refused_is_refused_as_on_the_long_way(vendor: Vendor, port: int, sent: bytes, status: int) -> None:
    first, *rest = told(port, visit(), sent)[1:]
    assert (first, rest, views(vendor)) == (status, [], 1)


def test_more_than_may_wait_is_refused_and_not_counted(
    vendor: Vendor, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "MOST_WAITING", 0)
    assert told(port, visit(head=LAST)) == [503]
    assert views(vendor) == 0


def test_a_visit_that_does_not_end_in_time_is_refused(
    vendor: Vendor, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.2)
    assert told(port, visit() + visit()[:-1]) == [204, 408]


def test_a_visitor_who_leaves_at_once_is_counted_and_holds_nobody_up(vendor: Vendor, port: int) -> None:
    gone = socket.create_connection(("127.0.0.1", port), 20)
    gone.sendall(visit("/gone"))
    gone.close()
    assert told(port, visit("/here"), visit("/here", head=LAST)) == [204, 204]


def test_a_plain_visit_takes_the_short_way(vendor: Vendor, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else everything above would be said of the long one."""

    long = Collector.__call__

    async def called(self: Collector, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] != "http"
        await long(self, scope, receive, send)

    monkeypatch.setattr(Collector, "__call__", called)
    assert told(port, visit(head=LAST)) == [204]
    assert told(port, visit(head=f"Expect: 100-continue\r\n{LAST}"))[-1] == 500, "the long way is watched"
