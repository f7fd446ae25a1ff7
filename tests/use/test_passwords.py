"""Passwords: long, not complicated; never what is guessed first; the same work for nobody as for somebody."""

from __future__ import annotations

import threading
from typing import ClassVar, Literal

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters

from tests.use.staff import PHRASE
from troth.errors import Invalid
from troth.use.passwords import COMMON, LEAST, MEMORY_KIB, PASSES, Passwords, fault_of

PASSWORDS = Passwords()


@pytest.mark.parametrize(
    "good", [PHRASE, "fifteen letters", "пятнадцать букв и ещё", "لا تحزن فالصبح قريب", "x9$ kelp & q0 rain"]
)
def test_any_long_phrase_will_do(good: str) -> None:
    assert fault_of(good, "ann") == ""


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "too-short"),
        ("Tr0ub4dor&3", "too-short"),
        ("x" * (LEAST - 1), "too-short"),
        ("heron " * 100, "too-long"),
        ("passwordpassword", "guessed-first"),
        ("Password Password", "guessed-first"),
        ("aaaaaaaaaaaaaaaaaaaa", "guessed-first"),
        ("abcdeabcdeabcdeabcde", "guessed-first"),
        ("annabel.lee annabel.lee", "guessed-first"),
        ("123456789012345", "guessed-first"),
    ],
)
def test_what_is_guessed_first_will_not(bad: str, why: str) -> None:
    assert fault_of(bad, "annabel.lee") == why


def test_nothing_short_stands_in_the_list_of_common_ones() -> None:
    assert all(len(word) >= LEAST and word == word.casefold() for word in COMMON)


def test_a_password_is_stored_as_argon2id_and_fits_itself() -> None:
    stored = PASSWORDS.hash(PHRASE, "ann")
    assert stored.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1$")
    assert PHRASE not in stored
    assert PASSWORDS.fits(stored, PHRASE)
    assert not PASSWORDS.fits(stored, PHRASE + " ")
    assert stored != PASSWORDS.hash(PHRASE, "ann")


def test_the_same_phrase_typed_in_another_normal_form_fits() -> None:
    stored = PASSWORDS.hash("cafe\u0301 terrace at night", "ann")
    assert PASSWORDS.fits(stored, "caf\u00e9 terrace at night")


def test_the_reason_is_named_and_the_password_is_not() -> None:
    with pytest.raises(Invalid) as caught:
        PASSWORDS.hash("hunter2", "ann")
    assert caught.value.gaps == ("password: too-short",)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("stored", [None, "", "not a hash", "$argon2id$v=19$m=8,t=1,p=1$broken"])
def test_nobody_has_no_password(stored: str | None) -> None:
    assert not PASSWORDS.fits(stored, PHRASE)
    assert not PASSWORDS.fits(stored, "nobody has this password")


class Counting(PasswordHasher):
    """A hasher that counts how many are inside at once."""

    inside = 0
    most = 0
    checked: ClassVar[list[Parameters]] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        Counting.checked.append(extract_parameters(str(hash)))
        return super().verify(hash, password)

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        Counting.inside += 1
        Counting.most = max(Counting.most, Counting.inside)
        try:
            return super().hash(password, salt=salt)
        finally:
            Counting.inside -= 1


def test_one_at_a_time() -> None:
    passwords = Passwords()
    passwords._hasher = Counting(PASSES, MEMORY_KIB, 1)
    threads = [threading.Thread(target=passwords.hash, args=(PHRASE, "ann")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counting.most == 1


def test_nobody_costs_as_much_as_somebody() -> None:
    passwords = Passwords()
    passwords._hasher = Counting(PASSES, MEMORY_KIB, 1)
    stored = passwords.hash(PHRASE, "ann")
    Counting.checked.clear()
    for of in (stored, None, ""):
        assert not passwords.fits(of, "something else entirely")
    assert len(Counting.checked) == 3, "one check each, whether there is a password or not"
    assert len(set(map(repr, Counting.checked))) == 1, "and each of the same cost"
