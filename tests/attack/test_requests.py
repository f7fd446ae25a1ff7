"""Whatever is sent: one clear error as problem+json, nothing written, nothing lost, and the next visitor is served."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest

from tests.attack.conftest import MARKER
from tests.served import Answer, Serving, troth
from troth.web import connection

EMAIL = f"{MARKER}@example.org"
GOOD = {
    "point": "newsletter",
    "surface": "site:www",
    "values": {"name": MARKER, "email": EMAIL},
    "consents": ["newsletter"],
}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}

OTHERS = "ledger WHERE json_extract(CAST(body AS TEXT), '$.actor') <> 'system'"


def held(server: Serving) -> tuple[int, ...]:
    """How many entries, subjects and records there are (but what the system does by itself when its turn comes)."""
    with closing(sqlite3.connect(f"file:{server.folder}/data/data.db?mode=ro", uri=True)) as reading:
        return tuple(
            reading.execute(f"SELECT count(*) FROM {what}").fetchone()[0]
            for what in (
                OTHERS,
                "subjects",
                "personal_records",
                "links",
                "idempotency",
            )
        )


def refused(answer: Answer, status: int) -> dict[str, object]:
    """The one clear error that ``answer`` must be."""
    assert answer.status == status, answer.body[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, object] = answer.json()
    assert told["status"] == status
    assert str(told["type"]).startswith("/problems/")
    assert told["title"]
    assert told["detail"]
    assert MARKER not in answer.body.decode()
    return told


@pytest.fixture
def untouched(attacked: Serving) -> Iterator[Serving]:
    """The system; after the test it holds exactly what it held."""
    before = held(attacked)
    yield attacked
    assert held(attacked) == before


def changed(**members: object) -> bytes:
    return json.dumps(GOOD | members).encode()


def values(**fields: object) -> bytes:
    return changed(values={**GOOD["values"], **fields})  # type: ignore[dict-item]  # a literal above


BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 422),
    "a list": (b"[]", 422),
    "a word": (b'"x"', 422),
    "null": (b"null", 422),
    "half an object": (b'{"point": "news', 422),
    "not a number": (b"NaN", 422),
    "a number too large for any machine": (b'{"point": 1e99999}', 422),
    "six thousand digits": (b'{"point": ' + b"9" * 6000 + b"}", 422),
    "deep lists": (b"[" * 30_000, 422),
    "deep objects": (b'{"a":' * 5000 + b"1" + b"}" * 5000, 422),
    "bytes that are no UTF-8": (b'{"point": "\xff\xfe"}', 422),
    "half a character": (b'{"point": "\\ud800"}', 422),
    "a mark before it": (b"\xef\xbb\xbf{}", 422),
    "a member twice": (json.dumps(GOOD)[:-1].encode() + b', "point": "newsletter"}', 422),
    "a field twice": (
        json.dumps(GOOD).replace('"name"', '"name": "x", "name"').encode(),
        422,
    ),
    "an unknown member": (changed(extra=MARKER), 422),
    "an unknown field": (values(ssn=MARKER), 422),
    "an unknown point": (changed(point="nothing"), 422),
    "a point of another kind": (changed(point=7), 422),
    "an unknown surface": (changed(surface="site:nowhere"), 422),
    "a number for a text": (values(name=5), 422),
    "a list for a text": (values(email=[EMAIL]), 422),
    "an object for a text": (values(email={"is": EMAIL}), 422),
    "a text for the fields": (changed(values=MARKER), 422),
    "a null character": (values(name=f"{MARKER}\0"), 422),
    "a bell": (values(name=f"{MARKER}\a"), 422),
    "no name": (values(name="   "), 422),
    "no address": (values(email=MARKER), 422),
    "an address with another line": (values(email=f"{EMAIL}\nBcc: x@example.org"), 422),
    "a long name": (values(name=MARKER * 1000), 422),
    "a consent nobody asked for": (changed(consents=["everything"]), 422),
    "another version": (changed(version="1999-01-01"), 409),
    "another notice": (changed(notice="0" * 64), 409),
    "too much": (values(name="x" * 70_000), 413),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_does_not_fit_is_one_clear_error_and_writes_nothing(untouched: Serving, what: str) -> None:
    body, status = BODIES[what]
    told = refused(untouched.ask("POST", "/api/v1/submissions", body, JSON), status)
    if status == 422:
        assert told["gaps"]


def test_sabotage_the_same_body_without_a_fault_is_taken(attacked: Serving) -> None:
    before = held(attacked)
    answer = attacked.ask("POST", "/api/v1/submissions", changed(), JSON | {"x-forwarded-for": "192.0.2.1"})
    assert answer.status == 201
    assert held(attacked) > before


@pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "multipart/form-data", "application/json5"])
def test_another_kind_of_body_is_not_read(untouched: Serving, kind: str) -> None:
    refused(untouched.ask("POST", "/api/v1/submissions", changed(), {"content-type": kind}), 415)


@pytest.mark.parametrize("key", ["short", "x" * 201, "with a space", "umlaut-äöü", ""])
def test_an_idempotency_key_that_does_not_fit_is_refused(untouched: Serving, key: str) -> None:
    headers = JSON | {"idempotency-key": key.encode("latin-1").decode("latin-1")}
    refused(untouched.ask("POST", "/api/v1/submissions", changed(), headers), 422)


def test_one_key_for_two_requests_is_a_contradiction_and_for_the_same_gives_the_first_answer(
    attacked: Serving,
) -> None:
    headers = JSON | {"idempotency-key": "k" * 20, "x-forwarded-for": "192.0.2.2"}
    first = attacked.ask("POST", "/api/v1/submissions", changed(), headers)
    again = attacked.ask("POST", "/api/v1/submissions", changed(), headers)
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    before = held(attacked)
    refused(attacked.ask("POST", "/api/v1/submissions", values(name="another"), headers), 409)
    assert held(attacked) == before


FORMS: dict[str, tuple[bytes, int]] = {
    "a field twice": (f"name=x&email={quote(EMAIL)}&email={quote(EMAIL)}".encode(), 422),
    "an unknown field": (f"name=x&email={quote(EMAIL)}&ssn={MARKER}".encode(), 422),
    "bytes that are no UTF-8": (b"name=%ff%fe&email=x", 422),
    "raw bytes that are no UTF-8": (b"name=\xff\xfe", 422),
    "a null character": (b"name=a%00b&email=x", 422),
    "very many fields": ("&".join(f"f{n}=" for n in range(5000)).encode(), 422),
    "too much": (b"name=" + b"x" * 70_000, 413),
}


@pytest.mark.parametrize("what", FORMS)
def test_a_form_that_does_not_fit_is_one_clear_error(untouched: Serving, what: str) -> None:
    body, status = FORMS[what]
    refused(untouched.ask("POST", "/forms/newsletter", body, FORM | {"x-forwarded-for": "192.0.2.3"}), status)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "nonsense", "origin": "http://127.0.0.1"},
        {"origin": "http://["},
    ],
)
def test_a_form_on_somebody_elses_page_is_refused(untouched: Serving, headers: dict[str, str]) -> None:
    body = f"name={MARKER}&email={quote(EMAIL)}&consent=on".encode()
    for path in ("/forms/newsletter", "/privacy"):
        refused(untouched.ask("POST", path, body, FORM | headers | {"x-forwarded-for": "192.0.2.4"}), 403)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "a b", "[::", "127.0.0.1\x7f"])
def test_nothing_is_collected_under_a_host_that_is_not_the_vendors(untouched: Serving, host: str) -> None:
    body = f"name={MARKER}&email={quote(EMAIL)}&consent=on".encode()
    answer = untouched.ask("POST", "/forms/newsletter", body, FORM | {"host": host, "x-forwarded-for": "192.0.2.5"})
    refused(answer, 400 if answer.status == 400 else 403)


PATHS = [
    "/evidence/../keys/root.key",
    "/evidence/%2e%2e/keys/root.key",
    "/evidence/..%2fkeys%2froot.key",
    "/evidence/..%5ckeys%5croot.key",
    "/evidence/%252e%252e/keys/root.key",
    "/evidence//etc/passwd",
    "/evidence/tile/../../keys/root.key",
    "/evidence/tile/0/../../../keys/keys.db",
    "/evidence/checkpoint%00.html",
    "/evidence/checkpoint%0a",
    "/evidence/log.pub/",
    "/evidence/" + "a/" * 4000,
    "/api/v1/subjects/%0a",
    "/health%0a",
    "/static/../../troth.toml",
    "/static/%2e%2e%2ftroth.css",
    "/policy/versions/..%2f..%2ftroth.toml",
    "/policy/clauses/%00",
    "/forms/..%2fnewsletter",
    "/%ff%fe",
    "/..",
    "//keys/root.key",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_file_that_is_not_published(untouched: Serving, path: str) -> None:
    answer = untouched.get(path)
    refused(answer, 404)
    assert b"troth-root" not in answer.body


TOKENS = ["x", "a" * 43, "a" * 5000, "%00", "..%2f", "%ff", "' OR 1=1 --".replace(" ", "%20")]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("path", ["/confirm/", "/privacy/open/", "/unsubscribe/", "/console/invitation/"])
def test_a_token_that_was_never_given_opens_nothing(untouched: Serving, path: str, token: str) -> None:
    for method in ("GET", "POST"):
        body, headers = (b"List-Unsubscribe=One-Click", FORM) if method == "POST" else (None, {})
        answer = untouched.ask(method, path + token, body, headers | {"x-forwarded-for": f"192.0.2.{len(token) % 250}"})
        if (path, method) == ("/unsubscribe/", "GET") and answer.status == 200:
            continue  # it shows the button to whoever asks: looking tells nobody which links exist
        assert 400 <= answer.status < 500, answer.body[:300]
        refused(answer, answer.status)


@pytest.fixture(scope="module")
def key(attacked: Serving) -> str:
    """A product's key."""
    return troth("product", "the attacked", "--data", attacked.folder).stdout.strip()


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", "Basic x", "Bearer x", "Bearer \xff", "Bearer x y"])
def test_a_key_that_is_none_proves_nothing(untouched: Serving, given: str) -> None:
    for method, path in (("PUT", "/api/v1/subjects/4711"), ("POST", "/api/v1/decisions")):
        refused(untouched.ask(method, path, b"{}", JSON | {"authorization": given}), 401)


@pytest.mark.parametrize(
    "reference", ["%00", "%09", "%ff", "%20x", "x%20", "%e2%80%a8", "x" * 201, "%ef%bf%bd", "%c2%85"]
)
def test_a_reference_that_does_not_fit_is_refused(untouched: Serving, key: str, reference: str) -> None:
    headers = JSON | {"authorization": f"Bearer {key}"}
    refused(untouched.ask("PUT", f"/api/v1/subjects/{reference}", b"{}", headers), 422)


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"reference": "x", "purpose": "account", "fields": []},
        {"reference": "x", "purpose": "account", "fields": ["f"] * 101},
        {"reference": "x" * 201, "purpose": "account", "fields": ["email"]},
        {"reference": "x", "purpose": "account", "fields": ["email"], "more": 1},
        {"reference": "x", "purpose": 1, "fields": ["email"]},
        {"reference": "x", "purpose": "account", "fields": "email"},
    ],
)
def test_a_question_that_does_not_fit_is_refused(untouched: Serving, key: str, question: dict[str, object]) -> None:
    refused(untouched.send("/api/v1/decisions", question, authorization=f"Bearer {key}"), 422)


# --- below HTTP ---


def raw(server: Serving, sent: bytes, *, finish: bool = True) -> bytes:
    """What comes back for these bytes until the server closes the connection."""
    with closing(socket.create_connection(("127.0.0.1", server.port), 60)) as wire:
        told = b""
        try:
            wire.sendall(sent)
            if finish:
                wire.shutdown(socket.SHUT_WR)
            while piece := wire.recv(65536):
                told += piece
        except ConnectionError:
            pass  # closed while we were still sending
        return told


def problem_in(told: bytes) -> int:
    """The status of the one problem that came back."""
    head, _, body = told.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert told.count(b"HTTP/1.1") == 1
    status = int(head.split()[1])
    assert json.loads(body)["status"] == status
    return status


HOST = b"Host: 127.0.0.1\r\n"
LARGE = connection.MOST_HEAD + 1
HEADS = {
    "no HTTP at all": (b"\x16\x03\x01 hello\r\n\r\n", 400),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /health HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "bytes in the path": (b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "two lengths": (
        b"POST /api/v1/submissions HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{",
        400,
    ),
    "a length and chunks": (
        b"POST /api/v1/submissions HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a broken chunk": (
        b"POST /api/v1/submissions HTTP/1.1\r\n"
        + HOST
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        400,
    ),
    "a header too large": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * LARGE + b"\r\n\r\n", 431),
    "a header without end": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 1_000_000, 431),
    "an address too large": (b"GET /" + b"a" * LARGE + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
    "very many headers": (b"GET / HTTP/1.1\r\n" + HOST + b"X: aaaa\r\n" * 9000 + b"\r\n", 431),
}


@pytest.mark.parametrize("what", HEADS)
def test_what_is_no_request_is_one_clear_error_and_the_end_of_the_connection(untouched: Serving, what: str) -> None:
    sent, status = HEADS[what]
    assert problem_in(raw(untouched, sent)) == status


def test_a_body_larger_than_it_says_is_not_read_to_its_end(untouched: Serving) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = b"POST /api/v1/submissions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    sent += b"X-Forwarded-For: 192.0.2.9\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 40
    assert problem_in(raw(untouched, sent + b"0\r\n\r\n")) == 413


def test_a_body_that_breaks_off_writes_nothing(untouched: Serving) -> None:
    body = changed()
    sent = b"POST /api/v1/submissions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    sent += b"X-Forwarded-For: 192.0.2.10\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert b" 201 " not in raw(untouched, sent + body[:-1])


def test_many_connections_that_say_nothing_keep_nobody_out(untouched: Serving) -> None:
    quiet = [socket.create_connection(("127.0.0.1", untouched.port), 60) for _ in range(200)]
    try:
        for wire in quiet[::2]:
            wire.sendall(b"POST /api/v1/submissions HTTP/1.1\r\nContent-Le")
        assert untouched.get("/health").status == 200
    finally:
        for wire in quiet:
            wire.close()
