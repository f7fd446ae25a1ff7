"""What a browser chose: the same value for everybody who chose so, garbage is nothing, the signal is a no."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.policies import FRONT, compiled
from troth.policy.choices import Choice, Choices, choices, state_of
from troth.policy.decide import decide
from troth.policy.model import CompiledPolicy, Form, Grant, History, Question, Stop, Terms

SITE = (
    FRONT
    + """
We ask before we count your visits and before a page shows a video.

```yaml clause
id: site.asks
permits:
  collect:
    point: visit
    fields:
      page: {category: user.behavior.browsing_history, required: true}
    consent:
      to: {purpose: analytics}
      ask: Yes, count my visits.
      asked: site
    uses:
      - {purpose: analytics, basis: consent, fields: [page], as: pseudonymous, keep: visits}
      - {purpose: security, basis: legitimate_interest, fields: [page], as: pseudonymous, keep: visits}
```

A video is shown after your yes, and for 180 days we remember what you said.

```yaml clause
id: site.videos
permits:
  cookie:
    choice: {purpose: choices, essential: true, lasts: 180 days, value: {flag: consents}}
  embed:
    https://videos.example.net: {purpose: comfort, loads: [frame, image]}
  consent: {to: {purpose: comfort}, ask: "Yes, show me videos.", asked: site, loses: [videos]}
```

We show things as you like them, and keep visits for 90 days.

```yaml clause
id: purposes
define:
  purposes:
    comfort: {means: showing what somebody likes}
```

```yaml clause
id: periods
words: and keep visits for 90 days
requires:
  keep: {visits: 90 days}
```
"""
)


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    return compiled(SITE)


@pytest.fixture(scope="module")
def site(policy: CompiledPolicy) -> Choices:
    return choices(policy)


def test_the_policy_enumerates_every_value_of_the_flag(policy: CompiledPolicy, site: Choices) -> None:
    assert site.purposes == ("analytics", "comfort")
    assert site.values() == tuple(f"{site.mark}-{bits}" for bits in ("00", "01", "10", "11"))
    assert policy.cookies["choice"].choices == site.values()
    assert site.seconds == 180 * 86_400, "a no lives as long as a yes: there is one life"


def test_each_value_reads_back_as_what_was_chosen(site: Choices) -> None:
    for granted in (frozenset[str](), {"analytics"}, {"comfort"}, {"analytics", "comfort"}):
        assert site.read(site.value(granted)) == Choice(frozenset(granted), decided=True)


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
def test_garbage_is_nothing_chosen(value: str) -> None:
    site = choices(compiled(SITE))
    if value not in site.values():
        assert site.read(value) == Choice()


@pytest.mark.parametrize("value", ["", "-", "-11", "x-11", "{mark}", "{mark}-", "{mark}-1", "{mark}-111", "{mark}-1 "])
def test_what_is_nearly_a_value_is_none(site: Choices, value: str) -> None:
    assert site.read(value.format(mark=site.mark)) == Choice()


def test_only_the_exact_signal_counts_and_a_later_answer_wins(site: Choices) -> None:
    assert site.read(None, "1") == Choice(decided=True, by_signal=True)
    for other in ("0", "", "true", "1 ", " 1", "01", None):
        assert site.read(None, other) == Choice()
    assert site.read(site.value({"comfort"}), "1") == Choice(frozenset({"comfort"}), decided=True)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("purpose: analytics}\n", "purpose: security}\n"),  # another purpose
        ("to: {purpose: comfort}", "to: {purpose: comfort, categories: [user.device]}"),
        (
            "videos.example.net: {purpose: comfort, loads: [frame, image]}",
            "other.example.net: {purpose: comfort, loads: [frame]}",
        ),
        ("loads: [frame, image]", "loads: [frame, image, script]"),
        ("means: showing what somebody likes", "means: showing what somebody may like"),
        ("  embed:\n", "    liked: {purpose: comfort, lasts: 1 month}\n  embed:\n"),
    ],
)
def test_a_version_that_changes_what_a_yes_covers_asks_again(site: Choices, was: str, now: str) -> None:
    source = SITE
    if "security}" in now:
        source = source.replace("purpose: analytics, basis: consent", "purpose: security, basis: consent")
    assert was in source
    other = choices(compiled(source.replace(was, now)))
    assert other.mark != site.mark
    assert other.read(site.value({"comfort"})) == Choice()


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("version: 2026-01-15", "version: 2027-01-01"),
        ("Yes, show me videos.", "Yes, please."),
        ("A video is shown", "A film is shown"),
        ("[frame, image]", "[image, frame]"),
    ],
)
def test_a_version_that_changes_nothing_of_it_asks_nobody(site: Choices, was: str, now: str) -> None:
    assert was in SITE
    assert choices(compiled(SITE.replace(was, now))).mark == site.mark


def test_a_site_that_asks_nothing_has_no_values(policy: CompiledPolicy) -> None:
    none = choices(replace(policy, consents={}))
    assert (none.values(), none.read(none.mark + "-", "0")) == ((), Choice())


def test_a_yes_grants_and_a_no_stops(policy: CompiledPolicy, site: Choices) -> None:
    said = state_of(policy, site.read(site.value({"comfort"})))
    assert said.grants == {Grant("comfort", None, policy.purposes["comfort"].meaning)}
    assert said.stops == {Stop("analytics")}
    assert state_of(policy, Choice()) == state_of(policy, site.read("garbage"))
    terms = Terms(policy.controller.name, "site:www", "visit", policy.version)
    history, asked = History((policy,)), Question("analytics", frozenset({"page"}), form=Form("pseudonymous"))

    def allowed(choice: Choice) -> bool:
        return decide(history, terms, state_of(policy, choice), asked, frozenset(), policy.version).allowed

    assert allowed(site.read(site.value({"analytics"})))
    assert not allowed(Choice())
    assert not allowed(site.read(None, "1"))
