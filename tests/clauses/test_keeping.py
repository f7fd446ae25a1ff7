"""Keeping: each record for its declared time to the millisecond, consents too, and the keys of what has ended."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from sqlalchemy import text

from tests.clauses.conftest import row
from tests.clauses.vendor import BEGIN, TENANT, Person, Vendor
from tests.residue import find
from troth.errors import NotFound
from troth.store import Write
from troth.world import DAY_MS


def classes(vendor: Vendor, sid: bytes) -> set[str]:
    """The classes that this person has keys for."""
    return {str(row[0]) for row in vendor.key_rows("SELECT class FROM data_keys WHERE sid = :sid", sid=sid)}


def months_later(at_ms: int, months: int) -> int:
    """The same day and time, months later."""
    at = dt.datetime.fromtimestamp(at_ms / 1000, tz=dt.UTC)
    year, month = divmod(at.month - 1 + months, 12)
    return int(at.replace(year=at.year + year, month=month + 1).timestamp() * 1000)


def test_an_account_ends_when_it_was_not_used_for_two_years_and_thirty_days(vendor: Vendor) -> None:
    sid = vendor.join("registration", Person())
    end = months_later(BEGIN, 24) + 30 * DAY_MS
    vendor.clock.now_ms = months_later(BEGIN, 24) - 28 * DAY_MS
    assert vendor.system.retention.run().warned == 1
    vendor.clock.now_ms = end - 1
    assert vendor.system.retention.run().erased == 0
    assert vendor.count("personal_records") == 1
    vendor.clock.now_ms = end
    assert vendor.system.retention.run().erased == 1
    assert vendor.count("subjects") == 0
    assert vendor.key_rows("SELECT count(*) FROM data_keys WHERE sid = :sid", sid=sid) == [(0,)]
    (done,) = (json.loads(body) for body in vendor.entries("erase.done"))
    assert done["facts"]["cause"] == "retention"


def test_a_subscription_that_ended_goes_after_seven_days_with_the_record_of_its_consent(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    sid = vendor.join("registration", ann)
    vendor.clock.advance(400 * DAY_MS)  # while it lasts, it is kept
    assert vendor.system.retention.run().records == 0
    assert classes(vendor, sid) == {"", "account", "consent", "newsletter"}
    wrapped = {
        row[0] for row in vendor.key_rows("SELECT wrapped FROM data_keys WHERE class IN ('consent', 'newsletter')")
    }
    vendor.system.objections.object(TENANT, sid, "newsletter")

    vendor.clock.advance(7 * DAY_MS - 1)
    assert vendor.system.retention.run().records == 0
    assert vendor.count("consent_records") == 1
    vendor.clock.advance(1)
    ran = vendor.system.retention.run()
    assert (ran.erased, ran.records, ran.overdue) == (0, 1, 0)
    assert vendor.rows("SELECT class FROM personal_records") == [("account",)]
    assert vendor.count("consent_records") == 0
    assert json.loads(vendor.entries("retention.records")[-1])["facts"] == {
        "records": 1,
        "consents": 1,
        "classes": ["consent", "newsletter"],
    }
    vendor.system.work()
    assert classes(vendor, sid) == {"", "account"}
    assert find(vendor.folder / "keys", [each for each in wrapped if isinstance(each, bytes)]) == []
    assert len(vendor.system.access.copy(TENANT, sid).records) == 1


def test_who_subscribes_again_in_time_is_kept(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    vendor.system.objections.object(TENANT, sid, "newsletter")
    vendor.clock.advance(6 * DAY_MS)
    vendor.submit("newsletter", ann)
    vendor.confirm(ann.email)
    vendor.clock.advance(6 * DAY_MS)
    assert vendor.system.retention.run().records == 0
    assert vendor.issues(sid, ann.email) == 1
    assert sorted(str(row[0]) for row in vendor.rows("SELECT state FROM consent_records")) == ["Given", "Withdrawn"]


def test_a_run_does_not_drop_what_was_chosen_anew_while_it_ran(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    sid = vendor.join("newsletter", ann)
    vendor.system.objections.object(TENANT, sid, "newsletter")
    vendor.clock.advance(6 * DAY_MS)
    vendor.submit("newsletter", ann)
    token = vendor.token(ann.email)
    vendor.clock.advance(DAY_MS)
    (person,) = (p for p in vendor.system.retention.everybody(vendor.clock.now()) if p.sid == sid)
    assert person.anything_due
    vendor.system.confirmation.confirm(token)  # after the run looked, before it wrote
    assert vendor.system.retention._drop(person) == 0
    vendor.system.work()
    assert "newsletter" in classes(vendor, sid)
    assert len(vendor.rows("SELECT 1 FROM personal_records WHERE class = 'newsletter'")) == 2
    assert vendor.issues(sid, ann.email) == 1


def test_the_keys_of_days_long_past_are_destroyed_and_gone_from_the_files(vendor: Vendor) -> None:
    sealed = vendor.system.vault.transit_seal(b"an address on its way")
    (day, wrapped) = vendor.key_rows("SELECT day, wrapped FROM day_keys WHERE kind = 'transit'")[0]
    assert isinstance(wrapped, bytes)
    assert day == BEGIN // DAY_MS
    vendor.clock.advance(7 * DAY_MS)
    vendor.system.retention.run()
    assert vendor.system.vault.transit_open(sealed) == b"an address on its way"
    assert find(vendor.folder / "keys", [wrapped])
    vendor.clock.advance(DAY_MS)
    vendor.system.retention.run()
    with pytest.raises(NotFound):
        vendor.system.vault.transit_open(sealed)
    assert find(vendor.folder, [wrapped]) == []


def test_sessions_and_links_that_have_ended_are_gone(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    vendor.centre(ann)
    assert vendor.count("sessions") == 1
    vendor.clock.advance(8 * DAY_MS)
    vendor.system.retention.run()
    assert vendor.count("sessions") == vendor.count("links") == 0


def test_two_runs_in_one_moment_are_two_entries_and_one_heartbeat(vendor: Vendor) -> None:
    before = len(vendor.entries("retention.run"))
    vendor.system.retention.run()
    vendor.system.retention.run()
    assert len(vendor.entries("retention.run")) == before + 2


def test_consents_that_are_overdue_turn_the_board_red(vendor: Vendor) -> None:
    """The sabotage: somebody keeps the record of a consent beyond its time."""
    ann = Person()
    vendor.join("newsletter", ann)
    vendor.join("registration", ann)
    vendor.system.retention.run()
    assert row(vendor.system, "retain.periods").status == "PASS"
    old = BEGIN - 400 * DAY_MS
    ended = text(f"UPDATE subject_states SET since_ms = {old}, until_ms = {old} WHERE state = 'newsletter.active'")
    vendor.system.store.write(Write(lambda tx: tx.execute(ended).rowcount))
    aged = text(f"UPDATE consent_records SET given_ms = {old}")
    vendor.system.store.write(Write(lambda tx: tx.execute(aged).rowcount))
    vendor.system.inspector.inspection()
    assert row(vendor.system, "retain.periods").status == "FAIL"
    vendor.system.retention.run()
    assert row(vendor.system, "retain.periods").status == "PASS"
