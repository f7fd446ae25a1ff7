"""Laws of keeping that hold for every class, state and date; the dates themselves are in tests/vault."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import assume, given
from hypothesis import strategies as st

from troth.policy.model import Duration, Keep, Phase, StateRule
from troth.vault.retention import Span, due, phase_at
from troth.world import DAY_MS

START = 946_684_800_000  # 2000-01-01
STATES = ("account.active", "ticket.open")

instants = st.integers(START, START + 40 * 365 * DAY_MS)
durations = st.builds(
    lambda months, days: Duration("a while", months=months, ms=days * DAY_MS), st.integers(0, 40), st.integers(0, 90)
)
phases = st.builds(
    Phase, while_=st.none() | st.sampled_from(STATES), for_=st.none() | durations, only=st.none() | st.just(frozenset())
)
keeps = st.lists(phases, max_size=4).map(lambda found: Keep("class", "clause", tuple(found)))
state_rules = st.builds(StateRule, st.just("s"), st.just("c"), st.just(()), st.just(()), st.none() | durations)
rules = st.fixed_dictionaries({}, optional=dict.fromkeys(STATES, state_rules))
spans = st.tuples(instants, st.none() | instants).map(
    lambda span: span if span[1] is None else (min(span[0], span[1]), max(span[0], span[1]))
)
rows = st.fixed_dictionaries({}, optional=dict.fromkeys(STATES, spans))


class Case(NamedTuple):
    """A record and everything that its keeping depends on."""

    keep: Keep
    rules: dict[str, StateRule]
    anchor: int
    rows: dict[str, Span]
    used: int

    def due(self) -> int | None:
        return due(self.keep, self.rules, self.anchor, self.rows, self.used)

    def phase(self, now: int) -> int | str:
        return phase_at(self.keep, self.rules, self.anchor, self.rows, self.used, now)


cases = st.builds(Case, keeps, rules, instants, rows, instants)


@given(cases, instants)
def test_the_phase_is_past_the_last_exactly_when_the_record_is_due(case: Case, now: int) -> None:
    assume(now >= case.anchor)
    end = case.due()
    phase = case.phase(now)
    assert (phase == "due") == (end is not None and now >= end)
    if isinstance(phase, int):
        assert 0 <= phase < len(case.keep.phases)


@given(cases)
def test_nothing_is_due_before_it_was_collected(case: Case) -> None:
    end = case.due()
    assert end is None or end >= case.anchor


@given(cases, instants, instants)
def test_phases_pass_in_their_order(case: Case, one: int, other: int) -> None:
    first, later = (case.phase(at) for at in sorted((one, other)))
    assert later == "due" or (isinstance(first, int) and isinstance(later, int) and first <= later)


@given(cases, durations)
def test_another_period_at_the_end_never_makes_it_earlier(case: Case, longer: Duration) -> None:
    phases = (*case.keep.phases, Phase(for_=longer))
    before, after = case.due(), case._replace(keep=Keep("class", "clause", phases)).due()
    assert (before is None) == (after is None)
    assert before is None or after is None or after >= before


@given(cases, st.integers(0, 10 * 365 * DAY_MS))
def test_a_later_use_never_makes_it_earlier(case: Case, later: int) -> None:
    before, after = case.due(), case._replace(used=case.used + later).due()
    assert after is None or (before is not None and after >= before)


@given(cases, st.sampled_from(STATES), st.integers(0, 10 * 365 * DAY_MS))
def test_a_state_that_ends_later_never_makes_it_earlier(case: Case, name: str, later: int) -> None:
    since, until = case.rows.get(name, (case.anchor, case.anchor))
    assume(until is not None)
    assert until is not None
    before = case._replace(rows=case.rows | {name: (since, until)}).due()
    for end in (until + later, None):
        after = case._replace(rows=case.rows | {name: (since, end)}).due()
        assert after is None or (before is not None and after >= before)


@given(cases)
def test_it_depends_on_no_order_of_rules_and_states(case: Case) -> None:
    turned = case._replace(rules=dict(reversed(case.rules.items())), rows=dict(reversed(case.rows.items())))
    assert case.due() == turned.due()
