"""Of an address the country is asked, and nothing else; whatever does not fit is unknown, and never an error."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests import locations
from troth.collect.country import UNKNOWN, Locations, country_of, open_locations, told
from troth.errors import StartRefused

SAID = {
    "192.0.2.0/24": {"country": {"iso_code": "IE", "names": {"en": "Ireland"}}, "city": {"names": {"en": "Cork"}}},
    "198.51.100.0/25": {"registered_country": {"iso_code": "EG"}},
    "203.0.113.0/24": {"country": "France", "country_code": "FR"},
}


@pytest.fixture
def both(tmp_path: Path) -> Locations:
    v6 = {"2001:db8::/32": {"country": {"iso_code": "JP"}}}
    return open_locations(locations.write(tmp_path / "countries.mmdb", {**SAID, **v6}))


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("192.0.2.7", "IE"),
        ("::ffff:192.0.2.7", "IE"),
        ("198.51.100.9", "EG"),
        ("203.0.113.1", "FR"),
        ("2001:db8:1::1", "JP"),
        ("198.51.100.200", UNKNOWN),
        ("2001:db9::1", UNKNOWN),
        ("fe80::1%eth0", UNKNOWN),
        ("127.0.0.1", UNKNOWN),
        ("unix:", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_an_address_has_the_country_that_the_file_names(both: Locations, address: str, country: str) -> None:
    assert country_of(both, address) == country


def test_without_a_file_every_country_is_unknown() -> None:
    assert country_of(None, "192.0.2.7") == UNKNOWN


def test_a_file_that_knows_ipv4_alone_knows_no_country_of_an_ipv6_address(tmp_path: Path) -> None:
    opened = open_locations(locations.write(tmp_path / "old.mmdb", SAID, version=4))
    assert country_of(opened, "192.0.2.7") == "IE"
    assert country_of(opened, "2001:db8::1") == UNKNOWN


def test_a_damaged_file_makes_the_country_unknown_and_says_no_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = locations.write(tmp_path / "countries.mmdb", SAID)
    whole = path.read_bytes()
    start = whole.index(b"\xab\xcd\xef")
    broken = whole[: start - 40] + b"\xff" * 40 + whole[start:]
    path.write_bytes(broken)
    with caplog.at_level(logging.DEBUG):
        assert country_of(open_locations(path), "203.0.113.1") == UNKNOWN
    assert "203.0.113.1" not in caplog.text


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None], ids=["empty", "another", "missing"])
def test_a_file_that_cannot_be_read_stops_the_start_and_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "countries.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartRefused, match=r"countries\.mmdb"):
        open_locations(path)


@pytest.mark.parametrize("said", [None, 7, "IE", {}, {"country": {}}, {"country": "Ireland"}, {"country_code": "ie"}])
def test_what_is_no_code_is_no_country(said: object) -> None:
    assert told(said) == UNKNOWN
