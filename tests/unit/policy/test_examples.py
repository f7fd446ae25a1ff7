"""Questions in words, answered by ``decide``."""

from __future__ import annotations

import pytest

from tests.policies import FULL, clause, codes, compiled
from troth.policy.examples import Misread, answer_to, check

POLICY = compiled(
    FULL,
    clause(
        "id: share.support\nby: [share.deny]\npermits:\n  share: {to: helpers, role: processor, purpose: support, "
        "fields: [email], countries: [EEA], needs: [contract.live, {operators: 2}]}"
    ),
    clause(
        "id: purpose.patterns\npermits:\n  use: {purpose: patterns, basis: legitimate_interest, "
        "points: [registration], fields: [name], as: {summary: {at_least: 20}}}"
    ),
)


@pytest.mark.parametrize(
    ("given", "ask", "expect"),
    [
        ("", "use email of registration for account", "allowed by collect.registration"),
        ("nothing", "use all of registration for support", "denied for lack of guard:ticket"),
        ("with ticket", "use all of registration for support", "allowed"),
        ("with contract.live, with operators:2", "share email of registration with helpers for support", "allowed"),
        ("with contract.live", "share email of registration with helpers for support", "denied by share.support"),
        ("", "use name of registration for patterns as summary over 20", "allowed by purpose.patterns"),
        ("", "use name of registration for patterns as summary over 10", "denied for lack of form:summary"),
        ("", "use name of registration for patterns", "denied"),
        ("objected to insight", "use name of registration for patterns as summary over 50", "denied"),
        ("on site:www", "use email of registration for account", "allowed"),
    ],
)
def test_answers(given: str, ask: str, expect: str) -> None:
    assert check(POLICY, given, ask, expect) == ""


def test_a_wrong_expectation_is_answered_with_what_is() -> None:
    said = check(POLICY, "", "use email of registration for account", "denied by collect.newsletter")
    assert said == (
        '"use email of registration for account" (given: ) is allowed by collect.registration; '
        "expected: denied by collect.newsletter"
    )


@pytest.mark.parametrize(
    ("given", "ask", "hint"),
    [
        ("in love", "use email of registration for account", "agreed to"),
        ("agreed to newspaper", "use email of registration for account", "newsletter"),
        ("on site:ww", "use email of registration for account", "site:www"),
        ("", "read email", "FIELDS"),
        ("", "use email of registration for acount", "account"),
        ("", "use email of registrations for account", "registration"),
        ("", "use emial for account", "email"),
        ("", "use all for account", "POINT"),
        ("", "use email of registration", "PURPOSE"),
        ("", "share email of registration for support", "RECIPIENTS"),
        ("", "use email of registration for account as smoke", "pseudonymous"),
        ("", "store registrations", "registration"),
    ],
)
def test_what_cannot_be_read_says_what_could(given: str, ask: str, hint: str) -> None:
    with pytest.raises(Misread) as fault:
        answer_to(POLICY, given, ask)
    assert hint in fault.value.hint


def test_fields_of_several_points_need_their_point() -> None:
    with pytest.raises(Misread) as fault:
        answer_to(compiled(FULL), "", "use email for restore")
    assert fault.value.hint == "of registration or newsletter"


def test_examples_see_what_is_declared_even_where_nobody_keeps_it_yet() -> None:
    collect = "permits:\n  collect:\n    point: newsletter"
    off = FULL.replace(collect, "not_enforced: comes later\n" + collect)
    example = "\n```yaml example\nask: store newsletter\nexpect: denied by collect.newsletter\n```\n"
    assert codes(off, example) == []


def test_a_failing_example_keeps_the_policy_from_compiling() -> None:
    example = "\n```yaml example\nask: store registration\nexpect: denied\n```\n"
    assert codes(FULL, example) == ["EXAMPLE_FAILED"]
