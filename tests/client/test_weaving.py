"""Writing into a page that streams past: at the right place, however the page is cut into pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.client.website.weaving import HELD, Weaver

PAGES = [
    (b"<!doctype html><html><head></head><body class='a>b'>Hi</body></html>", b"<body class='a>b'>[Hi]</body>"),
    (b"<html><BODY>Hi</BODY></html>\n<!-- cached -->", b"<BODY>[Hi]</BODY>"),
    (b"<!-- <body> --><script>'<body>'</script><title><body></title><body id=x>Hi</body>", b"<body id=x>[Hi]</body>"),
    (b"<body><script>x='</body>'</script>Hi</body>", b"<body>[<script>x='</body>'</script>Hi]</body>"),
    (b"<p>No body at all", b"<p>No body at all[]"),
    (b"<body>never closed", b"<body>[never closed]"),
    (b"", b"[]"),
    (b"<bodyguard>x</bodyguard>", b"<bodyguard>x</bodyguard>[]"),
    (b"<body>a<b></b</body >", b"<body>[a<b></b]</body >"),
    ("<body>naïve</body>".encode("latin-1"), "<body>[naïve]</body>".encode("latin-1")),
]


def woven(pieces: list[bytes]) -> bytes:
    weaver = Weaver(b"[", b"]")
    return b"".join([*(weaver.feed(piece) for piece in pieces), weaver.finish()])


@pytest.mark.parametrize(("page", "holds"), PAGES)
def test_first_stands_first_and_last_last(page: bytes, holds: bytes) -> None:
    found = woven([page])
    assert holds in found
    assert found.replace(b"[", b"").replace(b"]", b"") == page


@given(st.sampled_from([page for page, _ in PAGES]), st.lists(st.integers(0, 80), max_size=12))
def test_it_does_not_matter_how_a_page_is_cut(page: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(page)) for cut in cuts), len(page)]
    pieces = [page[a:b] for a, b in itertools.pairwise(places)]
    assert woven(pieces) == woven([page])


@given(st.lists(st.sampled_from([b"<body>", b"</body>", b"</bo", b"dy>", b"<!--", b"-->", b"x", b"<script>", b"\xff"])))
def test_nothing_of_a_page_is_lost(pieces: list[bytes]) -> None:
    assert woven(pieces).replace(b"[", b"").replace(b"]", b"") == b"".join(pieces)


def test_a_page_without_end_is_not_kept_back() -> None:
    weaver = Weaver(b"[", b"]")
    out = weaver.feed(b"<body>") + weaver.feed(b"x" * 1000)
    assert out == b"<body>[" + b"x" * 1000
    head = Weaver(b"[", b"]")
    assert len(head.feed(b"y" * (HELD + 1))) == HELD + 1, "a head that never ends goes out"
    assert head.finish() == b"[]"
    tail = Weaver(b"[", b"]")
    tail.feed(b"<body></body>")
    assert len(tail.feed(b"z" * HELD)) > HELD
