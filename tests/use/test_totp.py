"""One-time codes: the RFC's own vectors, and that each works once."""

from __future__ import annotations

import pytest

from tests.use.staff import as_typed
from troth.use import totp

RFC_SECRET = b"12345678901234567890"  # RFC 6238, appendix B


@pytest.mark.parametrize(
    ("second", "eight_digits"),
    [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ],
)
def test_codes_are_those_of_the_standard(second: int, eight_digits: str) -> None:
    assert totp.code(RFC_SECRET, totp.step_at(second * 1000)) == eight_digits[-6:]


@pytest.mark.parametrize("late", [-1, 0, 1])
def test_a_clock_may_be_half_a_minute_off(late: int) -> None:
    now = 1_111_111_109_000
    step = totp.step_at(now) + late
    assert totp.matching_step(RFC_SECRET, totp.code(RFC_SECRET, step), now, None) == step


@pytest.mark.parametrize("late", [-2, 2, 1000])
def test_but_not_more(late: int) -> None:
    now = 1_111_111_109_000
    assert totp.matching_step(RFC_SECRET, totp.code(RFC_SECRET, totp.step_at(now) + late), now, None) is None


def test_a_code_works_once_and_an_older_one_not_after_it() -> None:
    now = 1_111_111_109_000
    step = totp.step_at(now)
    assert totp.matching_step(RFC_SECRET, totp.code(RFC_SECRET, step), now, step) is None
    assert totp.matching_step(RFC_SECRET, totp.code(RFC_SECRET, step - 1), now, step) is None
    assert totp.matching_step(RFC_SECRET, totp.code(RFC_SECRET, step + 1), now, step) == step + 1


@pytest.mark.parametrize("given", ["", "0", "abcdef", "٠٨١٨٠٤", "0818040", "🐙" * 6])
def test_what_is_no_code_is_refused(given: str) -> None:
    assert totp.matching_step(RFC_SECRET, given, 1_111_111_109_000, None) is None


def test_a_code_may_be_typed_with_a_space() -> None:
    assert totp.matching_step(RFC_SECRET, " 081 804 ", 1_111_111_109_000, None) is not None


def test_the_secret_can_be_typed_or_opened() -> None:
    assert as_typed(totp.spoken(RFC_SECRET)) == RFC_SECRET
    address = totp.address(RFC_SECRET, "Example Backup Ltd", "ann")
    assert address == (
        "otpauth://totp/Example%20Backup%20Ltd%3Aann?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        "&issuer=Example%20Backup%20Ltd"
    )
