"""What leaves is signed so that somebody else's verifier says so, and nothing that a reader sees can be changed."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import dkim  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.use.test_compose import BASE, NEWS, WORDS, policy, words
from troth.errors import StartRefused
from troth.use.compose import Addressee, Composer
from troth.use.dkim import Dkim, DkimKey, make_keys, read_key, read_keys, relaxed_body

DOMAIN = "vendor.example.org"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[DkimKey, ...]:
    folder = tmp_path_factory.mktemp("dkim")
    make_keys(folder, "t2026")
    return read_keys(folder)


def dns(keys: tuple[DkimKey, ...]) -> Any:
    """A resolver that holds exactly the records that we say are to be published."""
    zone = {}
    for key in keys:
        name, _, value = key.record(DOMAIN).partition(" IN TXT ")
        zone[name] = "".join(re.findall(r'"([^"]*)"', value))

    def look(name: bytes | str, timeout: int = 5) -> bytes:
        return zone.get(name.decode() if isinstance(name, bytes) else name, "").encode()

    return look


def verified(data: bytes, keys: tuple[DkimKey, ...]) -> list[bool]:
    """What dkimpy says of each signature."""
    count = len(re.findall(rb"(?m)^DKIM-Signature:", data.partition(b"\r\n\r\n")[0]))
    return [holds(data, at, keys) for at in range(count)]


def holds(data: bytes, place: int, keys: tuple[DkimKey, ...]) -> bool:
    try:
        return bool(dkim.DKIM(data).verify(idx=place, dnsfunc=dns(keys)))
    except dkim.ValidationError:  # how it says that the body is another
        return False


def signing(keys: tuple[DkimKey, ...]) -> Composer:
    return Composer(
        words,
        base_url=BASE,
        sender=f"news@{DOMAIN}",
        languages=frozenset({"en"}),
        sign=Dkim(DOMAIN, keys).sign,
    )


def letter(keys: tuple[DkimKey, ...], name: str = "Ann", template: Any = NEWS) -> bytes:
    composer = signing(keys)
    to = Addressee("ann@example.org", "en", {"link": "/x", "name": name}, "/unsubscribe/t0ken")
    made = composer.compose(policy(), template, to, mid=b"\1" * 16, now_ms=1_770_000_000_000, checkpoint="log 9 x")
    return made.data


def test_each_key_signs_and_another_implementation_agrees(keys: tuple[DkimKey, ...]) -> None:
    data = letter(keys)
    assert re.findall(rb"a=([a-z0-9-]+);", data) == [b"ed25519-sha256", b"rsa-sha256"]
    assert verified(data, keys) == [True, True]


@pytest.mark.parametrize("place", range(2))
def test_a_signature_is_worth_nothing_under_another_key(place: int, keys: tuple[DkimKey, ...], tmp_path: Path) -> None:
    make_keys(tmp_path, "t2026")
    data = letter(keys)
    assert not holds(data, place, read_keys(tmp_path))


@pytest.mark.parametrize(
    "header",
    ["From", "To", "Cc", "Subject", "Date", "Reply-To", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id"],
)
def test_no_second_header_can_be_added(header: str, keys: tuple[DkimKey, ...]) -> None:
    data = letter(keys)
    assert verified(f"{header}: <https://evil.example/>\r\n".encode() + data, keys) == [False, False]


def test_a_changed_word_or_header_is_seen(keys: tuple[DkimKey, ...]) -> None:
    data = letter(keys)
    for old, new in ((b"Hello", b"Hallo"), (b"/unsubscribe/t0ken>", b"/unsubscribe/0ther>"), (b"To: ann", b"To: bob")):
        assert old in data
        assert verified(data.replace(old, new), keys) == [False, False]


def test_what_relays_may_do_to_white_space_does_no_harm(keys: tuple[DkimKey, ...]) -> None:
    data = letter(keys)
    folded = data.replace(b"Subject: ", b"SUBJECT:   ").replace(b"\r\nDate: ", b"\r\nDate:\r\n\t") + b"\r\n\r\n"
    assert folded != data
    assert verified(folded, keys) == [True, True]


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=200))
def test_whatever_is_put_in_the_signatures_hold(keys: tuple[DkimKey, ...], value: str) -> None:
    WORDS["mail.dkim.subject"] = "{title}"
    WORDS["mail.dkim.body"] = "{title}\n\n  two  spaces \n{greeting}\n\n\n"
    template = type(NEWS)("dkim", NEWS.clause, "marketing", NEWS.purpose, NEWS.fields)
    composer = signing(keys)
    to = Addressee("ann@example.org", "en", {"title": value}, "/unsubscribe/t0ken")
    made = composer.compose(policy(), template, to, mid=b"\1" * 16, now_ms=1_770_000_000_000, checkpoint="log 9 x")
    assert verified(made.data, keys) == [True, True]


# Known answers: the bodies of RFC 6376 3.4.4, 3.4.5 and of its appendix A (the same as RFC 8463 appendix A).


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b"no end", b"no end\r\n"),
        (b"a\r\n \r\n\t\r\n", b"a\r\n"),
    ],
)
def test_bodies_as_the_rfc_has_them(body: bytes, canonical: bytes) -> None:
    assert relaxed_body(body) == canonical


def test_the_body_hash_of_the_rfcs_example() -> None:
    body = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
    hashed = base64.b64encode(sha256(relaxed_body(body)).digest())
    assert hashed == b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="


def test_keys_that_others_can_read_or_that_are_none_are_refused(tmp_path: Path) -> None:
    make_keys(tmp_path / "dkim", "a")
    for file in (tmp_path / "dkim").glob("*.pem"):
        assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StartRefused, match="never overwritten"):
        make_keys(tmp_path / "dkim", "a")
    file = tmp_path / "dkim" / "ar.pem"
    file.chmod(0o640)
    with pytest.raises(StartRefused, match="chmod 600"):
        read_keys(tmp_path / "dkim")
    for name, content in (("b", b"no key"), ("Not A Selector", b"")):
        wrong = tmp_path / f"{name}.pem"
        wrong.write_bytes(content)
        wrong.chmod(0o600)
        with pytest.raises(StartRefused):
            read_key(wrong)
