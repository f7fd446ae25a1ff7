"""The published page: the prose, an anchor and figures for each clause, the date first, and no markup but ours."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from tests.seed import BINDINGS, ROOT, seed_text
from troth.policy import compile
from troth.policy.model import CompiledPolicy
from troth.policy.render import Labels, document_of, render, render_clause

HEAD = """---
policy: small
version: 2026-01-15
effective: 2026-02-15
controller: {name: Small & Sons Ltd, contact: privacy@example.com, country: IE, address: "1 Quay"}
affiliates: [Small Hosting Ltd]
language: en
surfaces: [site:www]
notice_period: 30 days
---
"""
KEEP = """
```yaml clause
id: retain.name
requires:
  keep: {names: 90 days}
```
"""


def compiled(text: str, bindings: str | None = None) -> CompiledPolicy:
    made = compile(text, bindings=bindings)
    assert made.policy is not None, [d.render() for d in made.diagnostics if d.severity == "error"]
    return made.policy


@pytest.fixture(scope="module")
def example() -> CompiledPolicy:
    return compiled((ROOT / "policies" / "example" / "policy.md").read_text(encoding="utf-8"))


class Reader(HTMLParser):
    """What a browser would make of the page: every tag balanced, ids, headings and text in order."""

    VOID = frozenset({"br", "hr", "img", "input", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.links: list[dict[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "a":
            self.links.append(given)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def page(prose: str) -> Reader:
    return read(render(compiled(HEAD + prose)).html)


def test_the_date_stands_right_under_the_title(example: CompiledPolicy) -> None:
    html = render(example).html
    before = html[: html.index("</time>")]
    assert f'<time datetime="{example.effective}">15 February 2026' in before
    assert re.sub(r"<[^>]+>", " ", before).split()[:5] == ["Privacy", "policy", "of", "Example", "Backup"]
    assert before.count("<p") == 1


def test_a_text_without_a_title_gets_one_and_the_date() -> None:
    html = render(compiled(HEAD + "We keep your name for 90 days.\n" + KEEP)).html
    assert re.search(r"<h1>Small &amp; Sons Ltd</h1>\s*<p class=\"in-force\">", html)


def test_what_stands_before_the_title_does_not_push_the_date_down() -> None:
    html = render(compiled(HEAD + "> A note.\n\n# Ours\n\nWe keep your name for 90 days.\n" + KEEP)).html
    assert html.index("</time>") < html.index("A note.") < html.index("<h1")
    assert html.count("<time") == 1


def test_every_clause_has_one_anchor_and_a_link_to_its_page(example: CompiledPolicy) -> None:
    reader = read(render(example, clause_href="/policy/clauses/{id}").html)
    assert len(reader.ids) == len(set(reader.ids))
    assert set(example.clauses) <= set(reader.ids)
    assert {f"/policy/clauses/{name}" for name in example.clauses} <= {link["href"] for link in reader.links}


def test_an_anchor_stands_before_its_own_words(example: CompiledPolicy) -> None:
    html = render(example).html
    for name, clause in example.clauses.items():
        after = re.sub(r"<[^>]+>", "", html[html.index(f'id="{name}"') :].split(">", 1)[1])
        first = re.sub(r"\{[^}]*\}.*", "", clause.prose).split(" ")[:4]
        assert re.sub(r"\s+", " ", after).replace("&quot;", '"').lstrip().startswith(" ".join(first)), name


def test_figures_are_printed_under_the_clause() -> None:
    reader = page("# Ours\n\nWe keep your name for 90 days.\n" + KEEP)
    assert "In figures:" in reader.text
    assert "90 days" in reader.text.split("In figures:")[1]


def test_no_figure_in_braces_is_left(example: CompiledPolicy) -> None:
    text = read(render(example).html).text
    assert re.findall(r"\{[a-z_.]+\}", text) == []
    for value in (example.controller.contact, example.controller.name, "15 February 2026", "at least 30 days"):
        assert value in text


def test_a_figure_of_the_clause_is_filled_in_by_name() -> None:
    text = page("# Ours\n\nWe keep your name for {keep.names} and no longer.\n" + KEEP).text
    assert "We keep your name for 90 days and no longer." in text


def test_a_clause_that_is_not_kept_yet_says_so(example: CompiledPolicy) -> None:
    text = read(render(example).html).text
    for clause in example.clauses.values():
        if clause.not_enforced:
            assert clause.not_enforced in text


def test_declarations_are_not_printed(example: CompiledPolicy) -> None:
    html = render(example).html
    assert "yaml" not in html
    assert "requires:" not in html
    assert "notice_period" not in html


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        '<img src="https://evil.example/x.png" onerror="alert(1)">',
        "Hello <b onclick=alert(1)>there</b>",
        "![a picture](https://evil.example/pixel.png)",
        "[click](javascript:alert(1))",
        "<javascript:alert(1)>",
        "[click](data:text/html,<script>alert(1)</script>)",
        '[click](/x "onmouseover=alert(1)")',
        "`<script>`",
        "</article><script>",
    ],
)
def test_nothing_in_the_source_becomes_markup_of_its_own(attack: str) -> None:
    reader = page(f"# Ours\n\n{attack}\n\nWe keep your name for 90 days.\n{KEEP}")
    assert not {"script", "img", "b", "iframe"} & set(reader.tags) - {"b"}
    assert "onclick" not in str(reader.links)
    assert not [link for link in reader.links if re.match(r"(javascript|data|vbscript):", str(link["href"]))]
    assert reader.tags.count("article") == 1


def test_markup_in_the_front_matter_is_text() -> None:
    text = (
        HEAD.replace("Small & Sons Ltd", '"<script>x</script>"') + "{controller.name}\n\nWe keep names for 90 days.\n"
    )
    html = render(compiled(text + KEEP)).html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_headings_skip_no_level_and_there_is_one_title() -> None:
    reader = page("# A\n\n### B\n\n# C\n\n###### D\n\n#### E\n\nWe keep your name for 90 days.\n" + KEEP)
    levels = [int(tag[1]) for tag in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_headings_of_the_same_words_have_ids_of_their_own() -> None:
    reader = page("# A\n\n## B\n\n## B\n\nWe keep your name for 90 days.\n" + KEEP)
    assert len(reader.ids) == len(set(reader.ids))


def test_links_elsewhere_tell_the_browser_to_carry_nothing() -> None:
    reader = page("# A\n\nSee [them](https://example.org/) and [us](/x). We keep your name for 90 days.\n" + KEEP)
    rel = {link["href"]: link.get("rel") for link in reader.links}
    assert rel["https://example.org/"] == "noopener noreferrer external"
    assert rel["/x"] is None


def test_the_page_says_its_language_and_direction(example: CompiledPolicy) -> None:
    assert '<article class="policy" lang="en" dir="ltr">' in render(example).html
    arabic = compiled(HEAD.replace("language: en", "language: ar") + "نحتفظ باسمك 90 days.\n" + KEEP)
    made = render(arabic)
    assert (made.direction, made.language) == ("rtl", "ar")
    assert 'lang="ar" dir="rtl"' in made.html
    assert "2026-02-15</time>" in made.html


def test_the_words_around_the_prose_come_from_the_catalogue() -> None:
    labels = Labels(in_force="Gültig ab {date}", version="Fassung {version}", figures="In Zahlen")
    html = render(compiled(HEAD + "# A\n\nWe keep your name for 90 days.\n" + KEEP), labels).html
    assert "Gültig ab <time" in html
    assert "Fassung 2026-01-15" in html
    assert "In Zahlen:" in html


def test_lists_and_tables_stay_lists_and_tables() -> None:
    prose = "# A\n\n- We keep your name for 90 days.\n" + KEEP.replace("\n", "\n  ")
    reader = page(prose + "\n- Another point.\n\n| a | b |\n|---|---|\n| one | two |\n")
    assert reader.tags.count("ul") == 1
    assert reader.tags.count("li") == 2
    assert reader.tags.count("table") == 1


def test_a_supplement_stands_in_the_annex_with_its_reason() -> None:
    extra = KEEP.replace("retain.name", "extra.keep\nsupplement: the law asks").replace("names: 90", "mails: 7")
    extra = f"\n## End\n{extra}"
    html = render(compiled(HEAD + "# A\n\nWe keep your name for 90 days.\n" + KEEP + extra)).html
    annex = html[html.index('class="annex"') :]
    assert 'id="extra.keep"' in annex
    assert "the law asks" in annex
    assert "7 days" in annex
    assert "retain.name" not in annex


def test_a_policy_without_supplements_has_no_annex(example: CompiledPolicy) -> None:
    assert "annex" not in render(example).html


def test_examples_are_shown_as_for_instance(example: CompiledPolicy) -> None:
    html = render(example).html
    assert example.examples
    assert html.count("For instance:") == len(example.examples)
    text = read(html).text
    assert all(e.ask in text and e.expect in text for e in example.examples)


def test_the_page_of_a_clause_quotes_its_words_and_its_declaration(example: CompiledPolicy) -> None:
    made = render_clause(example, "retain.while-used")
    assert made.prose == example.clauses["retain.while-used"].prose
    assert made.declaration.startswith("id: retain.while-used\n")
    assert "```" not in made.declaration
    reader = read(made.html)
    assert reader.tags.count("h1") == 1
    assert "phases" in reader.text
    assert "In figures:" in reader.text
    with pytest.raises(KeyError):
        render_clause(example, "no.such")


def test_the_page_of_every_clause_can_be_made(example: CompiledPolicy) -> None:
    for name in example.clauses:
        made = render_clause(example, name)
        assert f"id: {name}\n" in made.declaration + "\n"
        read(made.html)


def test_the_page_is_well_formed_xml_too(example: CompiledPolicy) -> None:
    ElementTree.fromstring(render(example).html.replace("&nbsp;", " "))


@pytest.mark.seed
def test_the_real_policy_is_published_word_for_word_with_its_annex() -> None:
    policy = compiled(seed_text(), BINDINGS.read_text(encoding="utf-8"))
    made = render(policy)
    reader = read(made.html)
    assert len(reader.ids) == len(set(reader.ids))
    assert set(policy.clauses) <= set(reader.ids)
    published = re.sub(r"\s+", " ", reader.text)
    document = document_of(policy)
    lost = [
        c.node.text("id")
        for c in document.clauses
        for s in c.spans
        if len(c.spans) == 1 and document.words(s) not in published
    ]
    assert lost == []
    assert {c.id for c in policy.clauses.values() if c.supplement} <= set(reader.ids)
    assert "25 May 2018" in published
