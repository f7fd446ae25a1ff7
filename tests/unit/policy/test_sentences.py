"""Where a sentence ends decides what a binding pins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.policy.parse import fold
from troth.policy.sentences import sentences, words


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("One.", ["One."]),
        ("One. Two.", ["One.", "Two."]),
        ("No stop at the end", ["No stop at the end"]),
        ("Example Ltd. sells it. You buy it.", ["Example Ltd. sells it.", "You buy it."]),
        ("Example Ltd. Sells it.", ["Example Ltd. Sells it."]),
        ("Names, mails, etc. are personal.", ["Names, mails, etc. are personal."]),
        ("Ask (e.g. by mail). We answer.", ["Ask (e.g. by mail).", "We answer."]),
        ('He said "no." She said yes.', ['He said "no."', "She said yes."]),
        ("See https://example.com/a.b?c=d! Then go.", ["See https://example.com/a.b?c=d!", "Then go."]),
        ("Version 1.2 of it. 30 days later.", ["Version 1.2 of it.", "30 days later."]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ("نحذف كل شيء. هل هذا واضح؟ نعم.", ["نحذف كل شيء.", "هل هذا واضح؟", "نعم."]),
    ],
)
def test_a_text_is_cut_where_a_reader_would_cut_it(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@given(st.text(alphabet=st.sampled_from("aB1 .!?()\"'é。"), max_size=60).map(fold))
def test_no_word_is_lost_between_sentences(text: str) -> None:
    inside = [w for start, end in sentences(text) for w in words(text, start, end)]
    assert inside == list(words(text))
    assert all(text[start] != " " and text[end - 1] != " " for start, end in sentences(text))
