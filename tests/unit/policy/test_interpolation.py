"""Figures in braces: from the front matter, or from the declarations that stand at the words."""

from __future__ import annotations

import pytest

from tests.seed import ROOT
from troth.policy import compile
from troth.policy.interpolation import date, figure, interpolate, names, unknown
from troth.policy.model import CompiledPolicy


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    made = compile((ROOT / "policies" / "example" / "policy.md").read_text(encoding="utf-8")).policy
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("effective", "15 February 2026"),
        ("version", "2026-01-15"),
        ("notice_period", "30 days"),
        ("controller.name", "Example Backup Ltd"),
        ("controller.contact", "privacy@example.com"),
        ("controller.country", "IE"),
        ("affiliates", "Example Backup Hosting Ltd"),
        ("controller.password", None),
        ("nothing", None),
    ],
)
def test_the_front_matter_is_known_everywhere(policy: CompiledPolicy, name: str, value: str | None) -> None:
    assert figure(policy, name) == value


@pytest.mark.parametrize(
    ("clause", "name", "value"),
    [
        ("retain.while-used", "keep.for", "30 days"),
        ("retain.while-used", "keep.account.for", "30 days"),
        ("retain.while-used", "idle", "24 months"),
        ("retain.periods", "keep.visits", "90 days"),
        ("rights.access", "right.within", "1 month"),
        ("children.not-directed", "age.at_least", "16"),
        ("rights.portability", "formats", "html, json, csv"),
        ("retain.while-used", "keep.visits", None),
        ("no.clause", "keep.for", None),
    ],
)
def test_a_declaration_is_known_at_its_own_words(
    policy: CompiledPolicy, clause: str, name: str, value: str | None
) -> None:
    assert figure(policy, name, (clause,)) == value


def test_what_stands_for_nothing_stays_and_is_named(policy: CompiledPolicy) -> None:
    text = "From {effective}, {keep.for}, {Not.a name} and {nothing.at.all}."
    assert interpolate(policy, text, ("retain.while-used",)) == (
        "From 15 February 2026, 30 days, {Not.a name} and {nothing.at.all}."
    )
    assert names(text) == ("effective", "keep.for", "nothing.at.all")
    assert unknown(policy, text) == ("keep.for", "nothing.at.all")


def test_a_date_is_in_words_where_the_language_is_english() -> None:
    assert date("2018-05-25", "en-GB") == "25 May 2018"
    assert date("2018-05-25", "ar") == "2018-05-25"
