"""What may be shown: laws that hold for any day, and the attack by subtraction."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from troth.collect.visits.release import DIMENSIONS, DIVIDING, Cell, in_steps, released

LEAST = 20


@st.composite
def days(draw: st.DrawFn) -> list[Cell]:
    """A day whose cells divide the visits as real ones do: every visit has one value in each dividing dimension."""
    visits = draw(st.lists(st.tuples(st.integers(0, 60), *(st.sampled_from("abcd") for _ in DIVIDING)), max_size=200))
    cells: dict[tuple[str, str], list[int]] = {}
    for who, *values in visits:
        for dimension, value in [("all", ""), *zip(DIVIDING, values, strict=True)]:
            cells.setdefault((dimension, value), []).append(who)
    return [Cell(*name, len(whos), len(set(whos))) for name, whos in cells.items()]


@given(days())
def test_nothing_small_is_shown_and_showing_again_changes_nothing(day: list[Cell]) -> None:
    shown = released(day, LEAST)
    assert all(cell.visitors >= LEAST for cell in shown)
    assert set(shown) <= set(day)
    assert set(released(shown, LEAST)) == set(shown)


@given(days())
def test_what_is_missing_from_a_sum_has_enough_persons_and_more_than_one_cell(day: list[Cell]) -> None:
    shown = set(released(day, LEAST))
    for dimension in DIVIDING:
        cells = [cell for cell in day if cell.dimension == dimension]
        missing = [cell for cell in cells if cell not in shown]
        if missing and len(missing) < len(cells):
            assert len(missing) > 1
            assert max(cell.visitors for cell in missing) >= LEAST


def test_a_small_cell_takes_the_smallest_of_the_others_with_it() -> None:
    day = [
        Cell("all", "", 300, 103),
        Cell("country", "IE", 200, 60),
        Cell("country", "DE", 97, 40),
        Cell("country", "LU", 3, 3),
        Cell("event", "signup", 5, 4),
        Cell("event", "download:/a", 50, 44),
    ]
    assert {(cell.dimension, cell.value) for cell in released(day, LEAST)} == {
        ("all", ""),
        ("country", "IE"),
        ("event", "download:/a"),
    }


@given(
    st.lists(
        st.builds(
            Cell, st.sampled_from(DIMENSIONS), st.text("ab", max_size=2), st.integers(0, 500), st.integers(0, 500)
        )
    )
)
def test_a_day_that_is_not_over_moves_in_steps(day: list[Cell]) -> None:
    assert all(cell.views % LEAST == cell.visitors % LEAST == 0 for cell in in_steps(day, LEAST))
