"""Every word comes from the catalogue, in every language, and nothing a person typed becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

import troth.web
from troth.policy.writing import direction
from troth.web.catalogue import PLURALS, Catalogue, accepted, placeholders, plural_ar, read_catalogue
from troth.web.pages import TEMPLATES

CATALOGUE = read_catalogue()
SPOKEN_ATTRIBUTES = {"alt", "title", "aria-label", "placeholder", "aria-description", "data-label", "value"}
PLURAL_FORMS = {"en": {"one", "other"}, "ar": set(PLURALS)}


def templates() -> list[Path]:
    return sorted(TEMPLATES.rglob("*.html"))


class Literals(HTMLParser):
    """Collects the words that stand in a template's own text and in attributes that are read out.

    What stands in ``code`` is a command or a file's name, the same in every language.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.code = 0

    def handle_data(self, data: str) -> None:
        if not self.code:
            self.found += re.findall(r"[^\W\d_]+", data)

    def handle_endtag(self, tag: str) -> None:
        self.code -= tag == "code"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.code += tag == "code"
        for name, value in attributes:
            if name in SPOKEN_ATTRIBUTES and tag != "meta":
                self.found += [word for word in re.findall(r"[^\W\d_]+", value or "") if word not in ("yes",)]


def literals(source: str) -> list[str]:
    """The words that a template itself would show, whatever it is given."""
    lexer = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).lex(source)
    kept = "".join(value if kind == "data" else "§" if kind == "variable_begin" else "" for _, kind, value in lexer)
    parser = Literals()
    parser.feed(kept)
    parser.close()
    return parser.found


@pytest.mark.parametrize("file", templates(), ids=lambda file: str(file.relative_to(TEMPLATES)))
def test_a_template_holds_no_word_of_its_own(file: Path) -> None:
    assert literals(file.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "painted",
    [
        "<p>Welcome</p>",
        "{% if x %}<a href='{{ href }}'>Back</a>{% endif %}",
        '<img alt="A lock" src="{{ asset }}">',
        '<button aria-label="Close">{{ x }}</button>',
    ],
)
def test_a_word_written_into_a_template_would_be_found(painted: str) -> None:
    assert literals(painted)


@pytest.mark.parametrize("language", CATALOGUE.languages)
def test_a_language_is_complete(language: str) -> None:
    english, other = CATALOGUE.entries["en"], CATALOGUE.entries[language]
    assert set(other) == set(english)
    assert [key for key in english if placeholders(english[key]) != placeholders(other[key])] == []
    assert [key for key in english if isinstance(english[key], str) != isinstance(other[key], str)] == []
    for key, entry in other.items():
        words = [entry] if isinstance(entry, str) else list(entry.values())
        assert all(text.strip() for text in words), key
        if isinstance(entry, dict):
            assert set(entry) == PLURAL_FORMS[language], key


def test_arabic_is_in_arabic() -> None:
    untouched = {"language.en", "home.heading", "date.day"}
    for key, entry in CATALOGUE.entries["ar"].items():
        words = entry if isinstance(entry, str) else entry["other"]
        assert key in untouched or re.search(r"[\u0600-\u06ff]", words), key


def test_a_missing_text_would_be_seen() -> None:
    assert CATALOGUE.text("en", "no.such.key") == "⟨no.such.key⟩"


def keys_in(source: str) -> set[str]:
    """The catalogue keys that a source names in full."""
    calls = re.findall(r"""(?:\bt|\btext|words)\((?:request, |language, )?["']([a-z][\w-]*\.[\w.-]+)["'][,)]""", source)
    named = re.findall(r"""_key=["']([a-z][\w.-]+)["']""", source)
    return {key for key in (*calls, *named) if not key.endswith(".")}


def test_every_key_that_is_asked_for_has_a_text() -> None:
    folder = Path(troth.web.__file__).parent
    asked = {
        (key, file.name) for file in (*templates(), *folder.rglob("*.py")) for key in keys_in(file.read_text("utf-8"))
    }
    assert len(asked) > 80
    assert sorted((key, file) for key, file in asked if not CATALOGUE.has(key)) == []


def test_every_refusal_has_words_for_people() -> None:
    from troth import errors

    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "code")}
    assert [code for code in codes if not CATALOGUE.has(f"error.{code}.title")] == []
    assert [code for code in codes if not CATALOGUE.has(f"error.{code}.text")] == []


def test_values_are_escaped_and_markup_is_kept() -> None:
    small = Catalogue({"en": {"greeting": "Dear <reader> {name}, {link}"}})
    shown = small.html("en", "greeting", name="<script>", link=Markup("<a>x</a>"))
    assert shown == "Dear &lt;reader&gt; &lt;script&gt;, <a>x</a>"


def test_a_value_with_braces_stays_as_it_is() -> None:
    small = Catalogue({"en": {"greeting": "Dear {name}"}})
    assert small.html("en", "greeting", name="{name.__class__}") == "Dear {name.__class__}"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "لا سجلات"), (1, "سجل واحد"), (2, "سجلان"), (3, "3 سجلات"), (11, "11 سجلًا"), (100, "100 سجل")],
)
def test_arabic_counts_in_six_forms(count: int, words: str) -> None:
    assert CATALOGUE.text("ar", "privacy.held", count=count) == words


def test_the_arabic_rule_follows_cldr() -> None:
    assert [plural_ar(n) for n in (0, 1, 2, 3, 10, 11, 99, 100, 102, 103, 111)] == (
        ["zero", "one", "two", "few", "few", "many", "many", "other", "other", "few", "many"]
    )


@pytest.mark.parametrize(
    ("asked", "header", "spoken"),
    [
        (None, "", "en"),
        ("ar", "en", "ar"),
        ("xx", "ar", "ar"),
        (None, "de, ar;q=0.8, en;q=0.5", "ar"),
        (None, "ar-EG", "ar"),
        (None, "en;q=0, ar;q=0.1", "ar"),
        (None, "*;q=0.1, ,;;;q=x", "en"),
        (None, "ar;q=nonsense, en", "en"),
    ],
)
def test_the_language_is_the_one_asked_for(asked: str | None, header: str, spoken: str) -> None:
    assert CATALOGUE.negotiate(asked, header, "en") == spoken


def test_a_hostile_language_header_is_cut() -> None:
    assert len(accepted("a," * 100_000)) <= 250


def test_arabic_runs_from_right_to_left() -> None:
    assert (direction("ar"), direction("ar-EG"), direction("en")) == ("rtl", "rtl", "ltr")


def test_a_vendor_lays_its_own_words_over_ours(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text('[layout]\nprivacy = "Your data"\n', "utf-8")
    laid = read_catalogue(tmp_path)
    assert laid.text("en", "layout.privacy") == "Your data"
    assert laid.text("en", "layout.policy") == CATALOGUE.text("en", "layout.policy")


def test_a_letter_without_words_is_not_sent() -> None:
    assert CATALOGUE.words("mail.greeting.nobody", "ar") == "مرحبًا،"
    assert CATALOGUE.words("mail.greeting.nobody", "xx") == CATALOGUE.words("mail.greeting.nobody", "en")
    with pytest.raises(KeyError):
        CATALOGUE.words("mail.no-such-letter.subject", "en")
