"""What browsers say they stopped: cut at the door, counted, capped, and never more than a hint."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.client.website.reports import MOST_HINTS, Hint, Hints, origin
from troth.policy import cutting

OLD = {
    "csp-report": {
        "document-uri": "http://www.example.com/shop?email=ann@example.org#x",
        "referrer": "http://www.example.com/secret",
        "effective-directive": "script-src-elem",
        "blocked-uri": "https://ads.example.net/x.js?id=ann",
        "script-sample": "var ann = 1",
        "disposition": "enforce",
    }
}
NEW = {
    "type": "csp-violation",
    "url": "http://www.example.com/shop",
    "user_agent": "Ann's browser",
    "body": {
        "documentURL": "http://www.example.com/shop?email=ann@example.org",
        "effectiveDirective": "script-src-elem",
        "blockedURL": "https://ads.example.net/x.js?id=ann",
        "disposition": "report",
    },
}
HOST = "www.example.com"


def taken(*bodies: object) -> Hints:
    hints = Hints()
    for body in bodies:
        hints.take(json.dumps(body).encode(), HOST, "v1", "2026-03-02")
    return hints


def test_both_forms_are_read_and_cut() -> None:
    found = taken(OLD, [NEW, NEW])
    one = Hint("v1", "2026-03-02", "/shop", "script-src", "https://ads.example.net", "enforce")
    assert found.counts == {one: 1, one._replace(disposition="report"): 2}
    assert "ann" not in repr(found.counts).lower()


@pytest.mark.parametrize(
    ("path", "cut"),
    [
        ("/blog/2026/a-post", "/blog/2026/a-post"),
        ("/orders/1234567", "/orders/…"),
        ("/u/ann@example.org/x", "/u/…/x"),
        ("/u/ann%40example.org", "/u/…"),
        ("/x/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/x/…"),
        ("/reset/q7Zb2kXw9LmN4pRt6vYc1A", "/reset/…"),
        ("/u/ann%2540example.org", "/u/…"),
        ("/a;jsessionid=1234567", "/a"),
        ("", "/"),
    ],
)
def test_a_path_holds_nobody_and_is_cut_as_that_of_a_visit(path: str, cut: str) -> None:
    report = {"csp-report": OLD["csp-report"] | {"document-uri": f"http://{HOST}{path}?x#y"}}
    (hint,) = taken(report).counts
    assert hint.path == cut
    assert cutting.path(path) in (cut, "")


@pytest.mark.parametrize(
    ("blocked", "said"),
    [
        ("inline", "inline"),
        ("wss://a.example.net:8443/socket?x", "wss://a.example.net:8443"),
        ("https://ann:pw@a.example.net/", "https://a.example.net"),
        ("data:text/html,ann", "other"),
        ("https://[", "other"),
        ("chrome-extension://abc", "other"),
    ],
)
def test_of_what_was_stopped_the_origin_remains(blocked: str, said: str) -> None:
    assert origin(blocked) == said


@pytest.mark.parametrize("body", [1, None, [], {}, {"csp-report": 1}, {"csp-report": {}}, {"type": "csp-violation"}])
def test_what_is_no_report_counts_as_none(body: object) -> None:
    assert not taken(body).counts


def test_a_report_about_another_site_is_not_taken() -> None:
    found = taken({"csp-report": OLD["csp-report"] | {"document-uri": "http://elsewhere.example.net/"}})
    assert (found.refused, len(found.counts)) == (1, 0)


def test_a_flood_fills_no_memory_and_is_counted() -> None:
    hints = Hints()
    for number in range(MOST_HINTS + 10):
        report = {"csp-report": OLD["csp-report"] | {"document-uri": f"http://{HOST}/p{number % 9999}"}}
        hints.take(json.dumps(report).encode(), HOST, "v1", "2026-03-02")
    assert (len(hints.counts), hints.overflow) == (MOST_HINTS, 10)
    hints.take(json.dumps(OLD).encode(), HOST, "v1", "2026-03-03")
    assert len(hints.counts) == 1, "a new day begins with room"


@given(st.binary(max_size=300))
def test_garbage_breaks_nothing(body: bytes) -> None:
    Hints().take(body, HOST, "v1", "2026-03-02")
