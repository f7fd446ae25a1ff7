"""What a message says is the catalogue's words; what a person typed stays a value, wherever it is put."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.errors import Invalid
from troth.policy.model import CompiledPolicy, Controller, Duration, Template
from troth.use.compose import Addressee, Composer, clean, greetable, sendable

BASE = "https://vendor.example.org"
WORDS = {
    "mail.news.subject": "News from {controller} for {name}",
    "mail.news.body": "{greeting}\n\nHere is <what> is & new.\n{link}",
    "mail.greeting.name": "Hello {name},",
    "mail.greeting.nobody": "Hello,",
    "mail.footer.why": "Why you get this: {policy_link}. {controller}, {postal}",
    "mail.footer.unsubscribe": "No more of these: {unsubscribe_link}",
    "mail.footer.checkpoint": "The log: {checkpoint}",
}
NEWS = Template("news", "collect.newsletter", "marketing", "communication.newsletter", ("email", "name"))
NOTE = msgspec.structs.replace(NEWS, kind="service")


def policy() -> CompiledPolicy:
    """A policy of which only the controller matters here."""
    tables = [
        "surfaces",
        "clauses",
        "purposes",
        "points",
        "keeps",
        "states",
        "consents",
        "templates",
        "recipients",
        "rights",
        "cookies",
    ]
    empty: dict[str, Any] = {table: {} for table in tables}
    return CompiledPolicy(
        policy="example",
        version="2026-01-15",
        effective="2026-02-15",
        effective_ms=0,
        controller=Controller("Example Backup Ltd", "privacy@example.org", "IE", "1 Main Street, Dublin"),
        language="en",
        sha256="",
        source="",
        notice_period=Duration("30 days", ms=1),
        nevers=(),
        uses=(),
        **empty,
    )


def words(key: str, language: str) -> str:
    return WORDS[key] if language == "en" else f"\u202b{WORDS[key]}"


def composed(
    values: dict[str, str],
    template: Template = NOTE,
    *,
    address: str = "ann@example.org",
    language: str = "en",
    unsubscribe: str | None = None,
) -> EmailMessage:
    composer = Composer(words, base_url=BASE, sender="news@vendor.example.org", languages=frozenset({"en", "ar"}))
    to = Addressee(address, language, values, unsubscribe)
    envelope = composer.compose(policy(), template, to, mid=b"\1" * 16, now_ms=1_770_000_000_000, checkpoint="log 9 x")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", envelope.data), "every line ends in CRLF"
    assert max(map(len, envelope.data.split(b"\r\n"))) <= 998
    parsed = email.message_from_bytes(envelope.data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def text(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_a_message_has_what_mail_needs() -> None:
    message = composed({"link": "/confirm/abc", "name": "Ann"})
    assert message["Message-ID"] == f"<{'01' * 16}@vendor.example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Mon, 02 Feb 2026 02:40:00 +0000"
    assert message["Subject"] == "News from Example Backup Ltd for Ann"
    assert str(message["From"]) == "Example Backup Ltd <news@vendor.example.org>"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_text_and_page_say_the_same_and_carry_the_log() -> None:
    message = composed({"link": "/confirm/abc", "name": "Ann"})
    plain, page = text(message), text(message, "html")
    for part in (f"{BASE}/confirm/abc", "Hello Ann,", "log 9 x", "1 Main Street, Dublin", "/policy/clauses/collect."):
        assert part in plain
        assert part in page
    assert f'<a href="{BASE}/confirm/abc">' in page
    assert "&lt;what&gt; is &amp; new" in page
    assert "<what> is & new" in plain


def test_marketing_can_be_ended_in_one_click_and_by_a_visible_link() -> None:
    message = composed({"link": "/news/1"}, NEWS, unsubscribe="/unsubscribe/t0ken")
    assert message["List-Unsubscribe"] == f"<{BASE}/unsubscribe/t0ken>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Id"] == "<communication.newsletter.vendor.example.org>"
    assert f"{BASE}/unsubscribe/t0ken" in text(message)
    assert f'<a href="{BASE}/unsubscribe/t0ken">' in text(message, "html")


def test_marketing_without_an_unsubscribe_link_cannot_be_made() -> None:
    with pytest.raises(Invalid) as refused:
        composed({"link": "/news/1"}, NEWS)
    assert refused.value.clause == "rights.unsubscribe"
    with pytest.raises(Invalid):
        composed({"link": "/news/1"}, NOTE, unsubscribe="/unsubscribe/t0ken")


def test_a_service_message_has_no_list_headers() -> None:
    message = composed({"link": "/x"})
    assert not [name for name in message.keys() if name.lower().startswith("list-")]  # noqa: SIM118  # a message's keys repeat


@pytest.mark.parametrize(
    "name",
    [
        "Ann\r\nBcc: all@example.org",
        "Win at www.evil.example",
        "see https://evil.example",
        "evil.example",
        "<b>Ann</b>",
        "ann@example.org",
        "{link}",
        "x" * 61,
        "Click here: now",
        '"Ann" <all@example.org>',
    ],
)
def test_a_name_that_carries_anything_but_a_name_is_left_out(name: str) -> None:
    message = composed({"link": "/x", "name": name})
    raw = text(message) + text(message, "html") + str(message["Subject"])
    assert "evil" not in raw
    assert "<b>" not in raw
    assert "Bcc" not in message
    assert str(message["To"]) == "ann@example.org"


@pytest.mark.parametrize("name", ["Ann", "Ann-Marie O'Neil", "José", "محمد", "Nguyễn Văn A", "Ann B. Smith", "李雷"])
def test_a_name_is_kept(name: str) -> None:
    assert greetable(name) == name


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_no_value_makes_a_header_a_part_or_markup(name: str, reason: str, more: str) -> None:
    WORDS["mail.any.subject"] = "About {reason}"
    WORDS["mail.any.body"] = "{greeting}\n\n{reason}{more}\n"
    template = msgspec.structs.replace(NOTE, id="any")
    message = composed({"name": name, "reason": reason, "more": more}, template)
    expected = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language", "MIME-Version"]
    assert sorted(message.keys()) == sorted([*expected, "Content-Type"])
    page = text(message, "html")
    assert set(re.findall(r"<\s*/?\s*(\w+)", page)) <= {"html", "head", "meta", "title", "body", "p", "br", "hr", "a"}
    assert re.findall(r'href="([^"]*)"', page) == [f"{BASE}/policy/clauses/collect.newsletter"]


@given(st.text())
def test_cleaned_text_is_one_printable_line(value: str) -> None:
    cleaned = clean(value)
    assert cleaned.isprintable()
    assert cleaned == clean(cleaned)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/",
        "//evil.example",
        "javascript:alert(1)",
        f"{BASE}.evil.example/x",
        f"{BASE}@evil.example/",
        *["/x\r\nBcc: a@example.org", "/x y", "", "/\\evil.example", f"{BASE}//evil.example"],
    ],
)
def test_a_message_links_to_our_own_pages_only(link: str) -> None:
    with pytest.raises(Invalid):
        composed({"link": link})


@pytest.mark.parametrize(
    "address",
    [
        *("", "ann", "@example.org", "ann@", "a b@example.org", "ann@exa mple.org", "ann@-x.org", "a@b@c"),
        *("ann@example.org,b@example.org", "<ann@example.org>", '"ann"@example.org', "a@" + "x" * 254),
        "ann@example.org\r\nBcc: b@example.org",
    ],
)
def test_an_address_that_is_none_is_not_written_to(address: str) -> None:
    with pytest.raises(Invalid) as refused:
        sendable(address)
    assert len(address) < 4 or address not in str(refused.value)


def test_an_address_with_letters_beyond_ascii_is_kept_whole() -> None:
    assert sendable("ann@bücher.example") == "ann@xn--bcher-kva.example"
    message = composed({"link": "/x"}, address="أن@example.org")
    assert str(message["To"]) == "أن@example.org"


def test_another_language_reads_from_right_to_left() -> None:
    assert 'lang="ar" dir="rtl"' in text(composed({"link": "/x"}, language="ar"), "html")


def test_a_missing_word_or_value_is_an_error_not_a_gap() -> None:
    with pytest.raises(KeyError):
        composed({})
    with pytest.raises(KeyError):
        composed({"link": "/x"}, msgspec.structs.replace(NOTE, id="unwritten"))
    WORDS["mail.shown.subject"] = WORDS["mail.shown.body"] = "⟨mail.shown.subject⟩"
    with pytest.raises(KeyError):
        composed({"link": "/x"}, msgspec.structs.replace(NOTE, id="shown"))
