"""``troth crawl URL``: what a site sets and loads becomes declarations that a person has to complete."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.cli.test_doctor_url import served
from tests.policies import FRONT, codes
from troth.cli.crawling import crawl, crawl_site, life

HOME = """<!doctype html><html><head><link rel="stylesheet" href="https://styles.example.net/a.css"></head>
<body><a href="/more#x">more</a><a href="https://elsewhere.example.net/">away</a><script>var x = 1;</script></body>"""
MORE = """<html><body><script src="https://ads.example.net/x.js"></script><img src="https://ads.example.net/p.png">
<iframe src="https://videos.example.net/1"></iframe><form action="https://pay.example.net/"></form></body></html>"""


def site(environ: Any, start: Any) -> list[bytes]:
    headers = [("Content-Type", "text/html")]
    if environ["PATH_INFO"] == "/more":
        headers += [("Set-Cookie", "_ga=GA1.2; Max-Age=63072000"), ("Set-Cookie", "old=; Max-Age=0")]
        start("200 OK", headers)
        return [MORE.encode()]
    start("200 OK", [*headers, ("Set-Cookie", "__Host-session=abc; Secure; Path=/")])
    return [HOME.encode()]


def test_every_page_is_read_and_what_it_sets_and_loads_taken_down() -> None:
    with served(site) as url:
        found = crawl_site(url)
    assert found.pages == 2
    assert found.cookies == {"session": "", "_ga": "730 days"}
    assert {origin.split("//")[1]: kinds for origin, kinds in found.origins.items()} == {
        "styles.example.net": {"style"},
        "ads.example.net": {"script", "image"},
        "videos.example.net": {"frame"},
        "pay.example.net": {"form"},
    }
    assert found.hashes == {"sha256-" + base64.b64encode(hashlib.sha256(b"var x = 1;").digest()).decode()}


def test_the_declarations_are_read_by_the_compiler_which_asks_for_what_is_to_do(tmp_path: Path) -> None:
    policy = tmp_path / "policy.md"
    policy.write_text(FRONT)
    with served(site) as url:
        done = CliRunner().invoke(crawl, [url, "--write", str(policy), "--hashes"])
    assert done.exit_code == 0, done.output
    assert "sha256-" in done.output
    text = policy.read_text()
    assert text.startswith(FRONT)
    assert "https://videos.example.net: {purpose: TODO, loads: [frame]}" in text
    assert codes(text), "nothing is declared before somebody has decided"
    decided = text.replace("purpose: TODO", "purpose: security, essential: true")
    assert "BAD_NAME" not in codes(decided)
    assert "UNKNOWN_PURPOSE" not in codes(decided)


def test_lives_are_rounded_up_to_what_a_policy_can_say() -> None:
    assert [life(each) for each in ("", "0", "x", "59", "61", "3601", "86400", "86401")] == [
        "", "", "", "59 seconds", "2 minutes", "2 hours", "1 day", "2 days",
    ]  # fmt: skip
