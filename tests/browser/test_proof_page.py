"""The page of a proof, opened from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # the package ships no types
from playwright.sync_api import Browser

from tests.evidence.log import START_MS, story, write
from troth.evidence.board import BoardRow
from troth.evidence.prove import prove
from troth.evidence.words import read_words

pytestmark = pytest.mark.browser

ROWS = [
    BoardRow("rights.erase", "PASS", 12, "12 erasures ordered, 12 done", START_MS),
    BoardRow("children.reply-only", "NOT EXERCISED", 0, "no child was reported"),
    BoardRow("cookies.no-personal", "FAIL", 3, "a cookie holds 40 bits", START_MS),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ar"])
def test_axe_finds_nothing_and_nothing_is_asked_for(
    browser: Browser, tmp_path: Path, language: str, scheme: str
) -> None:
    evidence = write(story(40).files(), tmp_path / "evidence")
    proof = prove(ROWS, evidence, tmp_path / "proof", made_ms=START_MS, words=read_words(language))
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]  # one of the literals above
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((proof.path / "index.html").as_uri())
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert len(asked) == 1
    assert page.locator("tbody tr").count() == len(ROWS)
    context.close()
