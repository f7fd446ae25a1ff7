"""Words are encoded once and values put between them: a mail reader gets back exactly what was put in."""

from __future__ import annotations

import email
import email.policy
import html
import re
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.policy.model import MessageClass
from troth.use.mime import encoded_words, header, mailbox, quoted
from troth.use.templates import Said, compile_words, faults

VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=120)
LINES = st.lists(VALUES, max_size=4).map("\n".join)
WORDS = st.lists(
    st.sampled_from(["{a}", "{b}", "words ", "é", "\n", "\n\n", "x" * 90, "=", " ", ".", "From ", "שלום "]), max_size=14
).map("".join)


def message(said: Said, values: dict[str, str]) -> tuple[EmailMessage, bytes]:
    compiled = compile_words(said, {}, "en")
    data = (
        compiled.header(values)
        + b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="=_troth"\r\n\r\n'
        + compiled.body(values)
    )
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed, data


def shown(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


@settings(max_examples=150, deadline=None)
@given(WORDS, LINES, LINES)
def test_what_a_mail_reader_sees_is_what_was_put_in(words: str, a: str, b: str) -> None:
    parsed, data = message(Said("s", words), {"a": a, "b": b})
    assert not parsed.defects
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    expected = re.sub(r"\{([ab])\}", lambda found: {"a": a, "b": b}[found[1]], words)
    # the reader ends the last line, and takes the break before the boundary for the boundary's own
    assert shown(parsed, "plain").rstrip("\r\n") == expected.rstrip("\n")
    page = shown(parsed, "html")
    for value in re.findall(r"\{([ab])\}", words):
        assert html.escape({"a": a, "b": b}[value]).replace("\n", "<br>\n") in page
    lines = data.split(b"\r\n")
    assert max(map(len, lines)) <= 78
    assert b"\r" not in b"".join(lines)
    assert b"\n" not in b"".join(lines)
    assert not any(line.endswith((b" ", b"\t")) for line in lines[6:]), "no relay can strip what a signature covers"


@settings(max_examples=100, deadline=None)
@given(VALUES, VALUES)
def test_a_subject_says_what_it_says_and_no_more(before: str, value: str) -> None:
    parsed, data = message(Said(before.replace("{", "").replace("}", "") + "{a}", "text"), {"a": value})
    expected = " ".join((before.replace("{", "").replace("}", "") + value).split())[:200].rstrip()
    assert parsed["Subject"] == expected
    assert sorted(parsed.keys()) == ["Content-Type", "MIME-Version", "Subject"]
    assert max(map(len, data.split(b"\r\n\r\n")[0].split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    "attack", ["x\r\nBcc: all@example.org", "x\nBcc: b@example.org", "x\r\n\r\nbody", "\x00\x1b[2J"]
)
def test_a_value_cannot_break_out_of_a_header(attack: str) -> None:
    made = header("Subject", attack)
    assert made.count(b"\r\n") == 1
    assert made.endswith(b"\r\n")
    assert not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f]", made)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
def test_no_encoded_word_is_too_long_or_parts_a_character(value: str) -> None:
    words = encoded_words(value)
    assert max(map(len, words)) <= 75
    for word in words:
        email.header.decode_header(word.decode())[0][0]
    assert "".join(str(email.header.make_header(email.header.decode_header(w.decode()))) for w in words) == value


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_quoted_text_has_short_lines_and_leaves_room_for_a_soft_break(value: str) -> None:
    lines = (quoted(value.replace("\r", "")) + b"=").split(b"\r\n")
    assert max(map(len, lines)) <= 76


@pytest.mark.parametrize(
    "name", ["Example Backup Ltd", "Ann, Bob & Co.", 'He said "no"', "Åse Ø", "=?utf-8?q?x?=", "a\\b", "x" * 200]
)
def test_a_name_before_an_address_stays_a_name(name: str) -> None:
    data = b"From: " + mailbox(name, "post@example.org") + b"\r\n\r\n"
    address = email.message_from_bytes(data, policy=email.policy.default)["From"].addresses[0]
    assert (address.display_name, address.addr_spec) == (name, "post@example.org")


def test_a_value_that_looks_like_a_slot_or_a_block_stays_a_value() -> None:
    parsed, _ = message(Said("s", "{a}"), {"a": "{b}\n::: marketing"})
    assert shown(parsed, "plain").strip() == "{b}\n::: marketing"


def test_the_same_values_give_the_same_bytes() -> None:
    assert message(Said("{a}", "x {a}"), {"a": "é"})[1] == message(Said("{a}", "x {a}"), {"a": "é"})[1]


@pytest.mark.parametrize("kind", ["service", "notice", "support", "clarification", "follow_up", "automation"])
def test_marketing_does_not_compile_in_any_other_class(kind: MessageClass) -> None:
    said = Said("Hello", "Your backup is done.\n\n  ::: marketing\nBuy more.\n:::\n")
    (fault,) = faults(said, kind, frozenset())
    assert (fault.part, fault.line, fault.column, fault.code) == ("text", 3, 3, "MARKETING_IN_DISGUISE")
    assert faults(said, "marketing", frozenset()) == []
    parsed, _ = message(said, {})
    assert ":::" not in shown(parsed, "plain")
    assert "Buy more." in shown(parsed, "html")
