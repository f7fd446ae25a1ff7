"""Whoever leaves by disuse is told before, on the day the policy says; nobody is erased early, late, or untold."""

from __future__ import annotations

import datetime as dt
import json
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.clauses.conftest import row
from tests.clauses.test_accounts import PHRASE, member, sign_in
from tests.clauses.vendor import BEGIN, TENANT, Person, Vendor
from troth.errors import Denied
from troth.policy.model import Duration, Keep, Phase, StateRule
from troth.store import Write
from troth.use.transport import Envelope, Outcome
from troth.vault.retention import due, to_warn, warned
from troth.world import DAY_MS

HOUR_MS = 3_600_000
STATE = "account.active"


def ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1000)


# Worked out by hand: last use -> told on, ends on (24 months), erased on (30 days more).
TABLE = [
    ("2026-03-02T12:00", "2028-02-03T12:00", "2028-03-02T12:00", "2028-04-01T12:00"),
    ("2026-02-28T00:00", "2028-01-31T00:00", "2028-02-28T00:00", "2028-03-29T00:00"),
    ("2028-02-29T12:00", "2030-01-31T12:00", "2030-02-28T12:00", "2030-03-30T12:00"),  # a leap day has no anniversary
    ("2026-12-31T23:59", "2028-12-03T23:59", "2028-12-31T23:59", "2029-01-30T23:59"),
    ("2027-03-28T01:30", "2029-02-28T01:30", "2029-03-28T01:30", "2029-04-27T01:30"),  # clocks go forward in Dublin
]


def told(vendor: Vendor, person: Person) -> int:
    """How many warnings this person was sent."""
    return len(vendor.letters(person.email, "we take it on"))


@pytest.mark.parametrize(("used", "warn", "end", "erased"), TABLE)
def test_each_day_of_the_table_is_kept_to_the_minute(
    vendor: Vendor, used: str, warn: str, end: str, erased: str
) -> None:
    ann = Person()
    vendor.clock.now_ms = max(BEGIN, ms(used))
    sid = vendor.join("registration", ann)
    forget = text("UPDATE subjects SET last_use_ms = :at")
    states = text("UPDATE subject_states SET since_ms = :at")
    vendor.system.store.write(
        Write(lambda tx: [tx.execute(each, {"at": ms(used)}).rowcount for each in (forget, states)])
    )
    run, gate = vendor.system.retention.run, vendor.system.gate
    vendor.clock.now_ms = ms(warn) - 1
    assert run().warned == 0
    vendor.clock.now_ms += 1
    assert run().warned == 1
    assert told(vendor, ann) == 1
    assert end[:10] in vendor.letters(ann.email, "we take it on")[0].text
    vendor.clock.now_ms = ms(end) - 1
    assert gate.open("account").read(TENANT, sid, frozenset({"email"})).values == {"email": ann.email}
    vendor.clock.now_ms += 1
    with pytest.raises(Denied):
        gate.open("account").read(TENANT, sid, frozenset({"email"}))
    vendor.clock.now_ms = ms(erased) - 1
    assert (run().erased, run().warned) == (0, 0)
    vendor.clock.now_ms += 1
    assert run().erased == 1
    assert told(vendor, ann) == 1


def test_signing_in_after_the_warning_is_enough_to_stay(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    vendor.clock.now_ms = ms("2028-02-03T12:00")
    assert (vendor.system.retention.run().warned, told(vendor, ann)) == (1, 1)
    vendor.clock.advance(20 * DAY_MS)
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 200
    vendor.clock.advance(100 * DAY_MS)
    assert (vendor.system.retention.run().erased, told(vendor, ann)) == (0, 1)
    assert vendor.count("subjects") == 1
    vendor.clock.advance(605 * DAY_MS)  # and is told anew when it is the next time
    assert vendor.system.retention.run().warned == 1
    assert told(vendor, ann) == 2


def test_a_link_keeps_the_account_of_somebody_without_a_password(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    vendor.clock.now_ms = ms("2028-02-10T12:00")
    vendor.system.retention.run()
    vendor.centre(ann)
    vendor.clock.advance(100 * DAY_MS)
    vendor.system.retention.run()
    assert vendor.count("subjects") == 1


def test_who_was_not_told_is_not_erased_but_told_then_and_given_the_whole_time(vendor: Vendor) -> None:
    """The system stood still for years."""
    ann = Person()
    sid = vendor.join("registration", ann)
    vendor.clock.now_ms = ms("2031-01-01T12:00")
    ran = vendor.system.retention.run()
    assert (ran.warned, ran.erased, ran.overdue) == (1, 0, 0)
    assert "2031-01-29" in vendor.letters(ann.email, "we take it on")[0].text
    read = vendor.system.gate.open("account").read
    assert read(TENANT, sid, frozenset({"email"})).values
    vendor.clock.advance(58 * DAY_MS - 1)
    assert vendor.system.retention.run().erased == 0
    vendor.clock.advance(1)
    assert vendor.system.retention.run().erased == 1


def test_the_warning_is_an_entry_of_the_persons_and_stands_in_their_copy(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    vendor.clock.now_ms = ms("2028-02-03T12:00")
    vendor.system.retention.run()
    vendor.letters()
    (body,) = vendor.entries("retention.warned")
    entry = json.loads(body)
    assert (entry["clause"], entry["facts"]["state"]) == ("retain.while-used", STATE)
    assert body in vendor.whose(vendor.system.vault.opening(TENANT, sid))
    copy = vendor.system.access.copy(TENANT, sid)
    assert [s["since"] for s in copy.states if s["state"] == f"{STATE}.warned"] == [vendor.clock.now()]
    assert [m["template"] for m in copy.messages if m["template"] == "account.unused"] == ["account.unused"]
    assert copy.records[0].until == ms("2028-04-01T12:00")


class Nowhere:
    """A relay that knows none of the mailboxes."""

    def line(self) -> Nowhere:
        return self

    def ready(self) -> None:
        return None

    def send(self, envelope: Envelope) -> Outcome:
        return Outcome("refused", "550 no such mailbox")

    def close(self) -> None:
        return None


def test_a_warning_that_bounced_is_seen_on_the_board_and_the_erasure_comes_all_the_same(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    vendor.clock.now_ms = ms("2028-02-03T12:00")
    vendor.system.retention.run()
    with patch.object(vendor.system, "transport", Nowhere()):
        vendor.system.work()
    found = row(vendor.system, "retain.while-used")
    assert (found.status, "did not arrive: 1" in found.reason) == ("PASS", True), found.reason
    vendor.clock.now_ms = ms("2028-04-01T12:00")
    assert vendor.system.retention.run().erased == 1


def test_a_warning_that_was_left_out_turns_the_clause_red(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    vendor.clock.now_ms = ms("2028-02-03T12:00")
    vendor.system.retention.run()
    forget = text(f"DELETE FROM subject_states WHERE state = '{STATE}.warned'")
    vendor.system.store.write(Write(lambda tx: tx.execute(forget).rowcount))
    vendor.clock.advance(DAY_MS + 1)
    with patch.object(vendor.system.retention, "_warn", return_value=0):
        vendor.system.retention.run()
    found = row(vendor.system, "retain.while-used")
    assert found.status == "FAIL"
    assert "not told in time: 1" in found.reason


def test_who_comes_back_in_the_very_moment_is_not_told(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    vendor.clock.now_ms = ms("2028-02-03T12:00")
    seen = list(vendor.system.retention.everybody(vendor.clock.now()))
    sign_in(vendor.browser(), ann.email, PHRASE)
    with patch.object(vendor.system.retention, "everybody", lambda now: iter(seen)):
        assert vendor.system.retention.run().warned == 0
    assert told(vendor, ann) == 0


def test_a_subscription_is_not_warned_about(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    vendor.clock.advance(1000 * DAY_MS)
    assert vendor.system.retention.run().warned == 0


# --- any life, any jumps of the clock ---


IDLE, WARN, GRACE = 24, 28 * DAY_MS, 30 * DAY_MS
RULE = StateRule(STATE, "c", ("used",), ("closed",), Duration("24 months", months=IDLE), Duration("28 days", ms=WARN))
KEEP = Keep("account", "c", (Phase(while_=STATE), Phase(for_=Duration("30 days", ms=GRACE))))


@given(
    st.lists(st.tuples(st.sampled_from(["use", "run"]), st.integers(0, 500)), min_size=1, max_size=40),
    st.integers(0, 4000),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nobody_is_erased_without_a_warning_or_less_than_its_time_after(
    life: list[tuple[str, int]], begin: int
) -> None:
    """A reference of its own: what a person sees. Uses and runs at random days, any number of days apart."""
    now = since = last = begin * DAY_MS
    spans: dict[str, tuple[int, int | None]] = {STATE: (since, None)}
    letters: list[int] = []
    for what, days in life:
        now += days * DAY_MS
        if what == "use":
            last = now
            continue
        for rule, end in to_warn(KEEP, {STATE: RULE}, spans, last, now):
            assert rule is RULE
            assert end - now >= WARN  # whoever is told has the whole time
            assert now >= Duration("", months=IDLE).after(last) - WARN  # and is told no earlier than the policy says
            spans[warned(STATE)] = (now, None)
            letters.append(now)
        gone = due(KEEP, {STATE: RULE}, since, spans, last)
        assert gone is not None
        if now >= gone:
            since_last = [letter for letter in letters if letter > last]
            assert len(since_last) == 1  # told, and once
            assert now >= since_last[0] + WARN + GRACE
            assert now >= Duration("", months=IDLE).after(last) + GRACE
            return
    since_last = [letter for letter in letters if letter > last]
    assert len(since_last) <= 1


def test_a_late_warning_moves_the_end_and_nothing_else_does() -> None:
    spans: dict[str, tuple[int, int | None]] = {STATE: (0, None)}
    late = 2000 * DAY_MS
    ((_, end),) = to_warn(KEEP, {STATE: RULE}, spans, 0, late)
    assert end == late + WARN
    assert due(KEEP, {STATE: RULE}, 0, spans, 0) == Duration("", months=IDLE).after(0) + GRACE
    spans[warned(STATE)] = (late, None)
    assert due(KEEP, {STATE: RULE}, 0, spans, 0) == late + WARN + GRACE
