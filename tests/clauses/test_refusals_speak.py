"""A person who is refused reads why in their own language; the English detail is for programs."""

from __future__ import annotations

import pytest

from tests.clauses.test_board_speaks import latin
from tests.clauses.vendor import TENANT, Person, Vendor
from tests.web.visitor import Visitor
from troth.web.catalogue import read_catalogue
from troth.web.problems import ShownGap, shown_gap

CATALOGUE = read_catalogue()


@pytest.mark.parametrize(
    ("gap", "shown"),
    [
        ("/email: required", ShownGap("email", "fault.required")),
        ("operators:2", ShownGap("operators:2", "")),
        ("field:shoe_size", ShownGap("field:shoe_size", "")),
        ("/: is not valid UTF-8", ShownGap("", "")),
    ],
)
def test_what_is_missing_is_shown_by_name_and_by_the_catalogues_words(gap: str, shown: ShownGap) -> None:
    assert shown_gap(CATALOGUE, gap) == shown


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nowhere", 404),
        ("/policy/clauses/no.such", 404),
        ("/policy/versions/1999-01-01", 404),
        ("/privacy/open/never-sent", 401),
        ("/confirm/never-sent", 401),
        ("/forms/nothing", 404),
        ("/evidence/tile/entries/000", 404),
    ],
)
def test_a_page_that_refuses_is_in_arabic_for_who_reads_arabic(vendor: Vendor, path: str, status: int) -> None:
    with Visitor(vendor.system.shell, base="http://localhost") as visitor:
        answer = visitor.page(path, **{"accept-language": "ar"})
        assert answer.status_code == status
        assert latin(answer.text.partition("<main")[2].partition("</main>")[0]) == []
        for_programs = visitor.get(path, headers={"accept": "application/json"})
        assert for_programs.json()["detail"]


def test_an_undeclared_field_is_named_and_the_sentence_is_arabic(vendor: Vendor) -> None:
    with Visitor(vendor.system.shell, base="http://localhost") as visitor:
        headers = {"accept": "text/html", "accept-language": "ar"}
        answer = visitor.post("/forms/newsletter", {"email": "a@b.example", "shoe_size": "44"}, headers=headers)
    assert answer.status_code == 422
    main = answer.text.partition("<main")[2].partition("</main>")[0]
    assert "field:shoe_size" in main
    assert latin(main) == []


def test_a_host_that_no_clause_names_is_told_so_in_words(vendor: Vendor) -> None:
    with Visitor(vendor.system.shell, base="http://elsewhere.example") as visitor:
        page = visitor.page("/forms/newsletter")
    assert page.status_code == 403
    assert CATALOGUE.text("en", "error.denied.at.scope.services") in page.text


def test_a_letter_names_the_purpose_in_words(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    vendor.system.objections.object(TENANT, sid, "newsletter", language="ar")
    letters = vendor.letters(ann.email, CATALOGUE.text("ar", "purpose.newsletter"))
    assert letters
