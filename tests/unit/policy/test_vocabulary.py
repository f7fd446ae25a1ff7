"""The shipped words hang together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.policies import ROOT
from troth.policy.bodies import VERBS
from troth.policy.categories import CATEGORIES, parent, under
from troth.policy.clauses import ReadClause
from troth.policy.lints import LINTS
from troth.policy.model import Basis
from troth.policy.narrow import POWERS
from troth.policy.vocabulary import BASES, MECHANISMS, PLANNED, PURPOSES, purpose_iri


def test_every_category_hangs_below_a_known_one() -> None:
    assert all(parent(key) is None or parent(key) in CATEGORIES for key in CATEGORIES)
    assert list(CATEGORIES) == sorted(CATEGORIES, key=lambda key: (not under(key, "user"), key))
    assert all(CATEGORIES.values())


def test_below_means_below() -> None:
    assert under("user.name.first", "user.name")
    assert under("user.name", "user.name")
    assert not under("user.names", "user.name")


def test_every_purpose_has_a_known_parent_and_a_term() -> None:
    for name, (above, term, _, _) in PURPOSES.items():
        assert above is None or above in PURPOSES, name
        assert term is None or term.startswith("dpv:"), name
    assert purpose_iri("dpv:DirectMarketing") == "https://w3id.org/dpv#DirectMarketing"
    assert purpose_iri(None) is None


def test_below_direct_marketing_all_is_direct_marketing() -> None:
    for name, (above, _, direct, _) in PURPOSES.items():
        assert above is None or not PURPOSES[above][2] or direct, name


def test_every_basis_has_its_powers() -> None:
    assert set(BASES) == set(POWERS) == set(Basis.__args__)  # type: ignore[attr-defined]  # a Literal's words


def test_mechanisms_are_named_alike_and_said_in_one_line() -> None:
    for name, says in MECHANISMS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z-]+", name)
        assert says
        assert "\n" not in says
    assert set(MECHANISMS) >= PLANNED


def test_what_the_compiler_derives_is_in_the_vocabulary() -> None:
    source = Path(ROOT, "src", "troth", "policy", "mechanisms.py").read_text("utf-8")
    prefixes = {name.partition(".")[0] for name in MECHANISMS}
    named = {n for n in re.findall(r'"([a-z]+\.[a-z-]+)"', source) if n.partition(".")[0] in prefixes}
    # words of a policy, not mechanisms
    read = {"policy.version", "link.policy", "controller.name", "controller.contact", "controller.address"}
    assert named - read <= set(MECHANISMS)
    assert len(named) > 40


@pytest.mark.parametrize("verb", VERBS)
def test_a_clause_knows_its_verb(verb: str) -> None:
    named = {"never": "forbids", "define": "defines"}
    assert verb == "informs" or hasattr(ReadClause, named.get(verb, verb))


def test_lints_are_named_in_capitals() -> None:
    assert all(re.fullmatch(r"[A-Z]+(_[A-Z]+)*", name) and says for name, says in LINTS.items())
