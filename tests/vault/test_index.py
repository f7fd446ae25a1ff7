"""What counts as the same identifier, and that its tag tells nothing to whoever has no key."""

from __future__ import annotations

import pytest

from troth.vault.index import bucket_of, inner, normalise, normalise_suppression, permute, restore

KEY = bytes(range(32))
SAME = [
    ("ann@example.org", "Ann@Example.ORG"),
    ("ann@example.org", "  ann@example.org\n"),
    ("jos\u00e9@example.org", "jose\u0301@example.org"),
    ("\u00e5sa@example.org", "A\u030aSA@example.org"),
    ("a@m\u00fcnchen.example", "A@xn--mnchen-3ya.example"),
    ("a@m\u00fcnchen.example", "a@MU\u0308NCHEN.example"),
    ('"odd@local"@example.org', '"ODD@local"@EXAMPLE.org'),
]
OTHER = [
    ("ann@example.org", "ann+x@example.org"),
    ("ann@example.org", "a.nn@example.org"),
    ("ann@example.org", "ann@example.com"),
    ("strasse@example.org", "stra\u00dfe@example.org"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_address_are_one(one: str, other: str) -> None:
    assert normalise("email", one) == normalise("email", other)
    assert inner(KEY, "identifier", "main", "email", one) == inner(KEY, "identifier", "main", "email", other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_other_addresses_stay_other(one: str, other: str) -> None:
    assert normalise("email", one) != normalise("email", other)


def test_a_vendors_own_reference_keeps_its_case() -> None:
    assert normalise("reference", " Kunde-17 ") == "Kunde-17"
    assert normalise("reference", "Kunde-17") != normalise("reference", "kunde-17")
    assert normalise("reference", "a@b") == "a@b"


def test_an_objection_covers_every_label_of_an_address() -> None:
    wide = {normalise_suppression("email", a) for a in ("ann@b.org", "Ann+x@b.org", "ANN+x+y@B.org", "ann+@b.org")}
    assert wide == {"ann@b.org"}
    assert normalise_suppression("email", "+x@b.org") == "+x@b.org", "there is no address without its label"
    assert normalise_suppression("reference", "a+b") == "a+b"


def test_a_tag_depends_on_everything_it_is_made_of() -> None:
    base = inner(KEY, "identifier", "main", "email", "ann@example.org")
    others = [
        inner(KEY[::-1], "identifier", "main", "email", "ann@example.org"),
        inner(KEY, "suppression", "main", "email", "ann@example.org"),
        inner(KEY, "identifier", "acme", "email", "ann@example.org"),
        inner(KEY, "identifier", "main", "login", "ann@example.org"),
        inner(KEY, "identifier", "main", "email", "ann@example.com"),
        inner(KEY, "identifier", "main", "email", "ann@example.org", 2),
        inner(KEY, "identifier", "mai", "nemail", "ann@example.org"),
    ]
    assert len({base, *others}) == 8
    assert {len(one) for one in (base, *others)} == {16}


def test_the_permutation_can_be_undone_with_its_key_only() -> None:
    hashed = inner(KEY, "identifier", "main", "email", "ann@example.org")
    tag = permute(KEY, hashed)
    assert tag != hashed
    assert restore(KEY, tag) == hashed
    assert restore(KEY[::-1], tag) != hashed
    assert permute(KEY[::-1], hashed) != tag
    assert 0 <= bucket_of(hashed) < 256
