"""When a record must be gone. The dates in these tables were worked out by hand, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.vault.house import NOON, TERMS, House, admission
from troth.errors import Conflict
from troth.policy.model import Duration, Keep, Phase, StateRule
from troth.store import tables
from troth.store.transaction import KeyTx, Write
from troth.vault import NewRecord, retention
from troth.vault.retention import due, phase_at
from troth.world import DAY_MS

ACTIVE = "account.active"
IDLE = {ACTIVE: StateRule(ACTIVE, "retain.while-used", ("opened",), ("closed",), Duration("24 months", months=24))}
PLAIN = {ACTIVE: StateRule(ACTIVE, "retain.while-used", ("opened",), ("closed",))}
RESTORE = frozenset({"restore"})


def at(text: str) -> int:
    """Milliseconds of a day (noon) or an instant, UTC."""
    moment = datetime.fromisoformat(text if "T" in text else f"{text}T12:00")
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def months(count: int) -> Duration:
    return Duration(f"{count} months", months=count)


def days(count: int) -> Duration:
    return Duration(f"{count} days", ms=count * DAY_MS)


def keep(*phases: Phase) -> Keep:
    return Keep("account", "retain.while-used", phases)


ACCOUNT = keep(Phase(while_=ACTIVE), Phase(for_=days(30), only=RESTORE))

PERIODS = [
    # period, collected on, due on
    (days(30), "2025-01-01", "2025-01-31"),
    (days(30), "2024-02-01", "2024-03-02"),  # a leap year's February has 29 days
    (days(30), "2025-02-01", "2025-03-03"),
    (days(365), "2024-01-01", "2024-12-31"),
    (days(365), "2025-01-01", "2026-01-01"),
    (days(7), "2025-12-28", "2026-01-04"),
    (months(1), "2025-01-31", "2025-02-28"),  # the month's end, where the day does not exist
    (months(1), "2024-01-31", "2024-02-29"),
    (months(1), "2024-02-29", "2024-03-29"),
    (months(1), "2025-03-31", "2025-04-30"),
    (months(1), "2025-04-30", "2025-05-30"),  # and not the 31st
    (months(1), "2025-12-31", "2026-01-31"),
    (months(12), "2024-02-29", "2025-02-28"),
    (months(48), "2024-02-29", "2028-02-29"),
    (months(12), "2025-02-28", "2026-02-28"),
    (months(24), "2024-06-15", "2026-06-15"),
    (months(72), "2018-05-25", "2024-05-25"),
    (months(1200), "2000-02-29", "2100-02-28"),  # 2100 is no leap year
    (months(13), "2025-12-31", "2027-01-31"),
    (Duration("1 month and 1 day", months=1, ms=DAY_MS), "2025-01-31", "2025-03-01"),
    (months(1), "2025-01-31T23:59:59.999", "2025-02-28T23:59:59.999"),
    (days(1), "2025-03-30T01:30", "2025-03-31T01:30"),  # clocks change in Europe, not in UTC
    (Duration("48 hours", ms=2 * DAY_MS), "2016-12-31T12:00", "2017-01-02T12:00"),  # over a leap second
]


@pytest.mark.parametrize(("period", "collected", "gone"), PERIODS)
def test_a_period_ends_on_the_day_that_the_calendar_says(period: Duration, collected: str, gone: str) -> None:
    assert due(keep(Phase(for_=period)), {}, at(collected), {}, at(collected)) == at(gone)


CLOSED = {ACTIVE: (at("2024-01-10"), at("2025-01-31"))}
OPEN = {ACTIVE: (at("2024-01-10"), None)}
TWO = keep(Phase(for_=months(1)), Phase(for_=months(1)))

CASES = [
    # what, class, rules, collected, states, last use, due
    ("an account that is used", ACCOUNT, PLAIN, "2024-01-10", OPEN, "2025-01-01", None),
    ("an account that was closed", ACCOUNT, PLAIN, "2024-01-10", CLOSED, "2025-01-01", "2025-03-02"),
    ("an account that never opened", ACCOUNT, PLAIN, "2024-01-10", {}, "2024-01-10", "2024-02-09"),
    ("idle for 24 months", ACCOUNT, IDLE, "2024-01-10", OPEN, "2024-01-10", "2026-02-09"),
    ("used once more", ACCOUNT, IDLE, "2024-01-10", OPEN, "2025-08-31", "2027-09-30"),
    ("last used on a leap day", ACCOUNT, IDLE, "2024-01-10", OPEN, "2024-02-29", "2026-03-30"),
    ("closed before it was idle", ACCOUNT, IDLE, "2024-01-10", CLOSED, "2025-01-01", "2025-03-02"),
    ("idle before it was closed", ACCOUNT, IDLE, "2020-01-10", {ACTIVE: (at("2020-01-10"), at("2025-01-31"))},
     "2020-01-10", "2022-02-09"),
    ("collected after it was closed", ACCOUNT, PLAIN, "2025-02-10", CLOSED, "2025-01-01", "2025-03-12"),
    ("opened later than collected", ACCOUNT, PLAIN, "2024-01-01", OPEN, "2024-01-10", None),
    ("a state nobody defined, that holds", ACCOUNT, {}, "2024-01-10", OPEN, "2000-01-01", None),
    ("month after month", TWO, {}, "2025-01-31", {}, "2025-01-31", "2025-03-28"),
    ("for ever", keep(Phase(while_=ACTIVE)), PLAIN, "2024-01-10", OPEN, "2024-01-10", None),
    ("no phase at all", keep(), PLAIN, "2024-01-10", OPEN, "2024-01-10", "2024-01-10"),
    ("confirmed within the week, then stopped", keep(Phase(for_=days(7)), Phase(while_=ACTIVE)), PLAIN, "2024-01-10",
     {ACTIVE: (at("2024-01-11"), at("2024-01-12"))}, "2024-01-12", "2024-01-17"),
    ("never confirmed", keep(Phase(for_=days(7)), Phase(while_=ACTIVE)), PLAIN, "2024-01-10", {}, "2024-01-10",
     "2024-01-17"),
    ("while, and a while longer, in one phase", keep(Phase(while_=ACTIVE, for_=months(1))), PLAIN, "2024-01-10",
     CLOSED, "2025-01-01", "2025-02-28"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "of", "rules", "collected", "rows", "used", "gone"), CASES, ids=[c[0] for c in CASES])
def test_keeping_ends_as_the_clause_says(
    what: str, of: Keep, rules: dict[str, StateRule], collected: str, rows: Any, used: str, gone: str | None
) -> None:
    assert due(of, rules, at(collected), rows, at(used)) == (None if gone is None else at(gone))


PHASES = [
    # now, phase: closed on 31 January 2025
    ("2024-01-10", 0),
    ("2025-01-31T11:59:59.999", 0),
    ("2025-01-31T12:00", 1),  # a phase contains its beginning and not its end
    ("2025-03-02T11:59:59.999", 1),
    ("2025-03-02T12:00", "due"),
    ("2030-01-01", "due"),
]


@pytest.mark.parametrize(("now", "phase"), PHASES)
def test_the_phase_decides_what_a_record_may_still_be_used_for(now: str, phase: int | str) -> None:
    assert phase_at(ACCOUNT, PLAIN, at("2024-01-10"), CLOSED, at("2025-01-01"), at(now)) == phase


def test_an_account_that_never_opened_goes_straight_to_its_last_phase() -> None:
    assert phase_at(ACCOUNT, PLAIN, at("2024-01-10"), {}, at("2024-01-10"), at("2024-01-10")) == 1
    assert phase_at(ACCOUNT, PLAIN, at("2024-01-10"), OPEN, at("2024-01-10"), at("2099-01-01")) == 0
    assert phase_at(keep(), PLAIN, at("2024-01-10"), {}, 0, at("2024-01-10")) == "due"


# --- what is in the store ---


def drop(house: House, sid: bytes, rid: bytes, *classes: str) -> None:
    """What the retention run does to a record that is due: D first, then the keys of classes without any record."""
    r = tables.personal_records
    one = r.delete().where(r.c.sid == sid, r.c.rid == rid)

    def after(ktx: KeyTx, _: int) -> None:
        house.vault.end_classes(ktx, "main", sid, classes)

    house.store.write(Write(lambda tx: tx.execute(one).rowcount, after=after))


def test_a_class_whose_last_record_went_gives_up_its_key(house: House) -> None:
    ann = house.admit(records=[NewRecord("short", TERMS, {}), NewRecord("account", TERMS, {"kept": 1})])
    assert house.store.read(lambda c: retention.left(c, "main", ann.sid)) == {"short": 1, "account": 1}
    for _ in range(2):
        drop(house, ann.sid, ann.rids[0], "short", "account")
    assert house.store.read(lambda c: retention.left(c, "main", ann.sid)) == {"account": 1}
    assert house.contents(ann.sid) == [{"kept": 1}]
    assert house.vault.look("main", ann.sid).keys == 2


def test_a_record_that_comes_while_its_class_ends_is_refused_or_kept_but_never_lost(house: House) -> None:
    ann = house.admit(records=[NewRecord("short", TERMS, {"n": 1}), NewRecord("account", TERMS, {"n": 2})])
    late = house.stage(None, sid=ann.sid, identifiers={}, records=[NewRecord("short", TERMS, {"n": 3})])
    house.keys(late.before)  # its key is there, its row is not
    drop(house, ann.sid, ann.rids[0], "short")
    with pytest.raises(Conflict):
        house.store.write(Write(lambda tx: late.insert(tx, b"e" * 16)))
    again = house.admit(None, sid=ann.sid, identifiers={}, records=[NewRecord("short", TERMS, {"n": 3})])
    assert sorted(value["n"] for value in house.contents(ann.sid)) == [2, 3]
    both = house.stage(None, sid=ann.sid, identifiers={}, records=[NewRecord("short", TERMS, {"n": 4})])
    waiting = house.store.submit(admission(both))
    drop(house, ann.sid, again.rids[0], "short")
    waiting.result()
    assert sorted(value["n"] for value in house.contents(ann.sid)) == [2, 4]


def test_events_begin_and_end_the_states_that_keeping_refers_to(house: House) -> None:
    policy: Any = SimpleNamespace(states=PLAIN)
    ann = house.admit()
    s = tables.subject_states.c

    def happens(event: str) -> tuple[int, int | None] | None:
        house.clock.advance(DAY_MS)
        house.store.write(Write(lambda tx: house.vault.happen(tx, "main", ann.sid, event, policy)))
        row = house.store.read(lambda c: c.execute(select(s.since_ms, s.until_ms)).one_or_none())
        return None if row is None else (row.since_ms, row.until_ms)

    assert happens("looked") is None
    assert happens("closed") is None
    assert happens("opened") == (NOON + 3 * DAY_MS, None)
    assert happens("opened") == (NOON + 3 * DAY_MS, None), "it goes on since it began"
    assert happens("closed") == (NOON + 3 * DAY_MS, NOON + 5 * DAY_MS)
    assert happens("closed") == (NOON + 3 * DAY_MS, NOON + 5 * DAY_MS)
    assert happens("opened") == (NOON + 7 * DAY_MS, None)
    used = house.store.read(lambda c: c.execute(select(tables.subjects.c.last_use_ms)).scalar_one())
    assert used == NOON + 7 * DAY_MS


def test_a_use_never_makes_the_last_use_earlier(house: House) -> None:
    policy: Any = SimpleNamespace(states=PLAIN)
    ann = house.admit()
    late = NOON + 99 * DAY_MS
    house.store.write(Write(lambda tx: tx.execute(update(tables.subjects).values(last_use_ms=late)).rowcount))
    house.store.write(Write(lambda tx: house.vault.happen(tx, "main", ann.sid, "opened", policy)))
    assert house.store.read(lambda c: c.execute(select(tables.subjects.c.last_use_ms)).scalar_one()) == late
