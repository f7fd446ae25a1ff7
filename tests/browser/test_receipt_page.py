"""A receipt's page in a real browser, opened from a file: it checks itself, and says which step fails."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # the package ships no types
from playwright.sync_api import Browser, Page

from tests.evidence.log import SECRET, Log, entry_id, story, write
from troth.evidence.receipt_page import receipt_page
from troth.evidence.receipts import BLOCK_END, BLOCK_START, Receipt, make_receipt, parse_receipt
from troth.evidence.tiles import PublishedLog
from troth.evidence.words import read_words

pytestmark = pytest.mark.browser

CONSENT = 3


@pytest.fixture(scope="module")
def log() -> Log:
    return story(300)


@pytest.fixture(scope="module")
def published(log: Log, tmp_path_factory: pytest.TempPathFactory) -> PublishedLog:
    return PublishedLog(write(log.files(), tmp_path_factory.mktemp("evidence")))


@pytest.fixture(scope="module")
def receipt(log: Log, published: PublishedLog) -> Receipt:
    return make_receipt(published, CONSENT, opening=log.opening(CONSENT, SECRET))


@pytest.fixture(scope="module")
def html(receipt: Receipt) -> str:
    return receipt_page(receipt, "You agreed to our newsletter <by e-mail> & nothing else.")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    page = context.new_page()
    yield page
    context.close()


def show(page: Page, html: str | bytes, folder: Path) -> str:
    """Open the file; returns the verdict once there is one."""
    file = folder / "receipt.html"
    file.write_bytes(html.encode() if isinstance(html, str) else html)
    page.goto(file.as_uri())
    page.wait_for_function("document.getElementById('verdict').dataset.state")
    return str(page.evaluate("document.getElementById('verdict').dataset.state"))


def states(page: Page) -> dict[str, str]:
    found = page.evaluate(
        """Object.fromEntries(Array.from(document.querySelectorAll('[data-step]'),
            (line) => [line.dataset.step, line.dataset.state]))"""
    )
    return dict(found)


def failing(page: Page) -> list[str]:
    return [step for step, state in states(page).items() if state == "fails"]


def changed(html: str, **members: object) -> str:
    """The page with a member of its evidence block replaced, in the block's own spelling."""
    before, _, rest = html.partition(BLOCK_START)
    block, _, after = rest.partition(BLOCK_END)
    value = json.loads(block) | members
    text = json.dumps({name: member for name, member in value.items() if member is not None}, sort_keys=True, indent=1)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return before + BLOCK_START + text + BLOCK_END + after


def test_the_receipt_says_that_it_holds(page: Page, html: str, tmp_path: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    assert show(page, html, tmp_path) == "holds"
    assert set(states(page).values()) == {"holds"}
    assert "You agreed to our newsletter <by e-mail> & nothing else." in page.inner_text("main")
    assert [url for url in asked if not url.startswith("file://")] == []
    assert len(asked) == 1  # the file itself, and nothing it would load


def test_the_fingerprint_shown_is_the_one_that_every_other_tool_prints(
    page: Page, html: str, tmp_path: Path, published: PublishedLog
) -> None:
    show(page, html, tmp_path)
    from troth.evidence.receipts import fingerprint

    assert page.inner_text("#fingerprint") == fingerprint(published.public)


def test_a_flipped_bit_anywhere_in_the_evidence_fails_and_names_the_step(page: Page, html: str, tmp_path: Path) -> None:
    raw = html.encode()
    start = raw.index(BLOCK_START.encode()) + len(BLOCK_START)
    end = raw.index(BLOCK_END.encode(), start)
    chance = random.Random(7)
    for _ in range(40):
        at, bit = chance.randrange(start, end), chance.randrange(8)
        forged = bytearray(raw)
        forged[at] ^= 1 << bit
        assert show(page, bytes(forged), tmp_path) == "fails", (at - start, bit)
        assert len(failing(page)) == 1, (at - start, bit)


@pytest.mark.parametrize(
    ("member", "value", "step"),
    [
        ("seq", CONSENT + 1, "proof"),
        ("proof", ["00" * 32] * 9, "proof"),
        ("opening", "00" * 32, "subject"),
        ("key", Log(seed=b"x" * 32).key, "page"),
        ("entry", "{}", "page"),
        ("checkpoint", "nothing\n", "signature"),
        ("extra", "1", "block"),
        ("format", "troth-receipt-2", "block"),
    ],
)
def test_each_forgery_fails_at_its_own_step(
    page: Page, html: str, tmp_path: Path, member: str, value: object, step: str
) -> None:
    assert show(page, changed(html, **{member: value}), tmp_path) == "fails"
    assert failing(page) == [step]
    assert "DOES NOT HOLD" in page.inner_text(f'[data-step="{step}"]')


def test_a_checkpoint_signed_by_another_key_fails_at_the_signature(page: Page, html: str, tmp_path: Path) -> None:
    thief = story(300)
    thief.private = Log(seed=b"t" * 32).private  # signs under the log's name and key id
    assert show(page, changed(html, checkpoint=thief.checkpoint().decode()), tmp_path) == "fails"
    assert failing(page) == ["signature"]


def test_words_in_the_table_that_differ_from_the_evidence_fail(page: Page, html: str, tmp_path: Path) -> None:
    forged = html.replace('data-member="kind">consent.given<', 'data-member="kind">consent.refused<')
    assert forged != html
    assert show(page, forged, tmp_path) == "fails"
    assert failing(page) == ["page"]


def test_a_time_that_is_not_the_entrys_fails(page: Page, html: str, tmp_path: Path) -> None:
    assert show(page, html.replace('<time datetime="2023', '<time datetime="2022'), tmp_path) == "fails"
    assert failing(page) == ["page"]


def test_a_changed_script_does_not_run_at_all(page: Page, html: str, tmp_path: Path) -> None:
    file = tmp_path / "receipt.html"
    file.write_text(html.replace('conclude("fails");', 'conclude("holds");'))
    page.goto(file.as_uri())
    assert page.get_attribute("#verdict", "data-state") is None
    assert "has not been checked" in page.inner_text("#verdict")


def test_every_kind_of_entry_of_a_log_has_a_page_that_holds(
    page: Page, log: Log, published: PublishedLog, tmp_path: Path
) -> None:
    for seq in (0, 1, 5, 6, 8, 255, 256, published.size - 1):
        receipt = make_receipt(published, seq)
        assert show(page, receipt_page(receipt, "Something was recorded."), tmp_path) == "holds", seq
        subject = b'"subject"' in receipt.entry
        assert states(page)["subject"] == ("undisclosed" if subject else "nobody")


def test_characters_of_every_plane_survive_the_way_into_the_page(page: Page, tmp_path: Path) -> None:
    log = Log()
    log.publish(policy="")
    log.record(
        "note.made", facts={"words": 'é \u2028 \x7f 😀 <b> & "quoted" \\ \t', "n": [1, True, "x"]}, policy="2026-01-15"
    )
    published = PublishedLog(write(log.files(), tmp_path / "evidence"))
    page_text = receipt_page(make_receipt(published, 1), "…")
    assert show(page, page_text, tmp_path) == "holds"
    assert parse_receipt(page_text.encode()).entry == log.bodies[1]


def test_without_webcrypto_the_page_says_honestly_that_it_cannot_check(
    browser: Browser, html: str, tmp_path: Path
) -> None:
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(globalThis, 'crypto', {value: {}})")
    assert show(context.new_page(), html, tmp_path) == "cannot"
    context.close()


def test_without_ed25519_everything_else_is_checked_and_the_page_says_what_is_missing(
    browser: Browser, html: str, tmp_path: Path
) -> None:
    context = browser.new_context()
    context.add_init_script(
        """const known = crypto.subtle.importKey.bind(crypto.subtle);
        crypto.subtle.importKey = (kind, raw, name, ...rest) => name.name === "Ed25519"
            ? Promise.reject(new DOMException("no", "NotSupportedError")) : known(kind, raw, name, ...rest);"""
    )
    page = context.new_page()
    assert show(page, html, tmp_path) == "cannot"
    assert states(page) == {
        "block": "holds",
        "page": "holds",
        "signature": "cannot",
        "proof": "holds",
        "subject": "holds",
    }
    assert show(page, changed(html, seq=CONSENT + 1), tmp_path) == "fails"
    context.close()


def test_without_javascript_the_receipt_is_readable_and_claims_nothing(
    browser: Browser, html: str, tmp_path: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    (tmp_path / "receipt.html").write_text(html)
    page.goto((tmp_path / "receipt.html").as_uri())
    words = page.inner_text("main")
    assert "You agreed to our newsletter" in words
    assert "2023-11-14 22:13:23 UTC" in words
    assert "consent.at-submission" in words
    assert "has not been checked yet" in words
    assert "It holds" not in words
    assert entry_id(CONSENT) in words
    context.close()


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, receipt: Receipt, tmp_path: Path, language: str, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]  # one of the literals, from the parameters above
    page = context.new_page()
    words = read_words(language)
    assert (
        show(page, receipt_page(receipt, "…", words=words, clause_link="https://example.org/policy"), tmp_path)
        == "holds"
    )
    # The page's own policy keeps foreign scripts out; axe comes in through the debugger, which is not subject to it.
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.get_attribute("html", "dir") == words.direction
    context.close()
