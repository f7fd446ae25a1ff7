"""Laws of the blind index: one spelling for each identifier, and a tag that is a permutation."""

from __future__ import annotations

import unicodedata

from hypothesis import assume, given
from hypothesis import strategies as st

from troth.errors import Invalid
from troth.vault.index import inner, normalise, normalise_suppression, permute, restore

KEY = bytes(range(32))
plain = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
locals_ = plain.filter(lambda text: text.strip() == text and text)
domains = st.from_regex(r"[a-z0-9]{1,8}\.(example|test|org)", fullmatch=True) | st.sampled_from(
    ["m\u00fcnchen.example", "\u4f8b\u3048.test", "stra\u00dfe.example"]
)
addresses = st.builds("{}@{}".format, locals_, domains)
kinds = st.sampled_from(["email", "reference"])


@given(addresses)
def test_the_normal_form_is_normal(address: str) -> None:
    once = normalise("email", address)
    assert normalise("email", once) == once
    wide = normalise_suppression("email", address)
    assert normalise_suppression("email", wide) == wide
    assert normalise_suppression("email", once) == wide


@given(addresses, st.sampled_from(["NFC", "NFD"]), st.sampled_from(["", " ", "\t\n"]))
def test_composition_case_of_ascii_and_space_around_make_no_difference(address: str, form: str, space: str) -> None:
    upper = "".join(letter.upper() if letter.isascii() else letter for letter in address)
    other = f"{space}{unicodedata.normalize(form, upper)}{space}"  # type: ignore[arg-type]  # the two literals above
    assert normalise("email", other) == normalise("email", address)


@given(st.text(max_size=40), kinds)
def test_any_text_has_a_normal_form_or_is_refused_without_being_repeated(text: str, kind: str) -> None:
    try:
        found = normalise(kind, text)
    except Invalid as refusal:
        told = f"{refusal!r} {refusal.gaps}"
        found = ""
    else:
        told = ""
        found.encode()
    assert found == "" or normalise(kind, found) == found
    assert len(text) < 8 or text not in told


@given(addresses, st.text("abc+.", min_size=1, max_size=6))
def test_a_label_is_another_address_and_the_same_objection(address: str, label: str) -> None:
    local, _, domain = address.rpartition("@")
    assume("+" not in local and "@" not in local)
    labelled = f"{local}+{label}@{domain}"
    assert normalise("email", labelled) != normalise("email", address)
    assert normalise_suppression("email", labelled) == normalise_suppression("email", address)


@given(addresses, addresses)
def test_two_addresses_have_one_tag_only_if_they_are_one(one: str, other: str) -> None:
    same = normalise("email", one) == normalise("email", other)
    tags = [inner(KEY, "identifier", "main", "email", each) for each in (one, other)]
    assert (tags[0] == tags[1]) == same


@given(addresses, st.text("ab:", max_size=3), st.text("ab:", max_size=3))
def test_two_tenants_share_no_tag(address: str, one: str, other: str) -> None:
    assume(one != other)
    tags = [inner(KEY, "identifier", tenant, "email", address) for tenant in (one, other)]
    assert tags[0] != tags[1]


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_a_tag_is_a_permutation_under_its_buckets_key(key: bytes, one: bytes, other: bytes) -> None:
    assert restore(key, permute(key, one)) == one
    assert (permute(key, one) == permute(key, other)) == (one == other)
