"""What is kept for how long, over a leap day and with a clock that jumps: nothing goes early and nothing late.

The table beside this file was worked out by hand, for each class of the policy.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at
from tests.vault.house import admission
from troth.policy.model import Duration, Terms
from troth.store import Write
from troth.vault import NewRecord
from troth.world import DAY_MS

KEPT = tomllib.loads(Path(__file__).with_name("keeping.toml").read_text("utf-8"))["kept"]
BEGIN = dt.datetime(2027, 8, 30, 12, tzinfo=dt.UTC)


def ms(at: dt.datetime) -> int:
    """A time of the table, as the system has it."""
    return round(at.timestamp() * 1000)


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """The example vendor, before anything of the table begins."""
    with vendor_at(tmp_path / "vendor") as made:
        made.clock.now_ms = ms(BEGIN)
        yield made


def test_each_class_of_the_policy_stands_in_the_table(vendor: Vendor) -> None:
    assert {row["class"] for row in KEPT} == set(vendor.system.policy.keeps)


class Kept:
    """Something of a class, of somebody who has nothing else."""

    def __init__(self, vendor: Vendor, row: dict[str, Any]) -> None:
        self.vendor = vendor
        self.row = row
        self.person = Person()
        self.sid = b""

    def come_in(self) -> None:
        """As it came in: a consent with the form it stands on, anything else as a record by itself."""
        system, policy = self.vendor.system, self.vendor.system.policy
        if self.row["class"] == "consent":
            before = self.vendor.rows("SELECT sid FROM consent_records")
            self.vendor.submit("newsletter", self.person)
            if self.row.get("then"):
                self.vendor.confirm(self.person.email)
            ((sid,),) = set(self.vendor.rows("SELECT sid FROM consent_records")) - set(before)
            assert isinstance(sid, bytes)
            self.sid = sid
            return
        of = Terms(policy.controller.name, "site:www", "registration", policy.version)
        record = NewRecord(self.row["class"], of, {"email": self.person.email})
        staged = system.vault.stage(
            tenant=TENANT, identifiers={"email": self.person.email}, records=[record], pending=False
        )
        system.store.write(admission(staged))
        self.sid = staged.sid

    def happen(self, event: str) -> None:
        """What happens to the person."""
        system = self.vendor.system
        if self.row["class"] == "consent":
            system.objections.object(TENANT, self.sid, event.removesuffix(".withdrawn"))
            return
        system.store.write(Write(lambda tx: system.vault.happen(tx, TENANT, self.sid, event, system.policy)))

    @property
    def there(self) -> bool:
        """Whether it is anywhere still: its row, or a key that opens it."""
        table = "consent_records" if self.row["class"] == "consent" else "personal_records"
        rows = self.vendor.rows(f"SELECT count(*) FROM {table} WHERE sid = :sid", sid=self.sid)
        keys = self.vendor.key_rows(
            "SELECT count(*) FROM data_keys WHERE sid = :sid AND class = :of", sid=self.sid, of=self.row["class"]
        )
        assert (rows[0][0] == 0) == (keys[0][0] == 0)
        return rows[0][0] != 0

    @property
    def told(self) -> int:
        """How many letters say that the account ends by disuse."""
        return len(self.vendor.letters(self.person.email, "we take it on"))


def keeping(vendor: Vendor) -> list[Kept]:
    """The table's rows come in, each in its time, and everything happens that it says; returns them as they stand."""
    things = [Kept(vendor, row) for row in KEPT]
    moments: list[tuple[int, int, Any]] = []
    for at, thing in enumerate(things):
        moments.append((ms(thing.row["made"]), at, thing.come_in))
        moments += [(ms(when), at, partial(thing.happen, event)) for event, when in thing.row.get("then", ())]
    looks = {ms(thing.row[name]) for thing in things for name in ("told", "gone") if name in thing.row}
    acts = sorted(moments, key=lambda each: each[:2])
    for now in sorted({at for at, _, _ in acts} | looks | {at - 1 for at in looks}):
        vendor.clock.now_ms = now
        for _, _, act in (each for each in acts if each[0] == now):
            act()
        vendor.system.retention.run()
        vendor.system.work()
        for thing in (each for each in things if each.sid):
            gone, told = ms(thing.row["gone"]), thing.row.get("told")
            assert thing.there is (now < gone), (thing.row, now)
            assert thing.told == (told is not None and now >= ms(told)), (thing.row, now)
    return things


def test_nothing_goes_early_and_nothing_late(vendor: Vendor) -> None:
    assert not any(thing.there for thing in keeping(vendor))


def test_a_run_that_leaves_something_or_takes_it_before_its_time_is_seen(vendor: Vendor) -> None:
    late: Any = lambda period, start_ms: start_ms + period.months * 30 * DAY_MS + period.ms + 1  # noqa: E731  # one line
    with patch.object(Duration, "after", late), pytest.raises(AssertionError):
        keeping(vendor)


def test_a_machine_that_slept_and_a_clock_set_back_take_nothing_early(vendor: Vendor) -> None:
    """Due on 1 February: the machine sleeps over it, or its clock is two days behind on that day."""
    slept, behind = (Kept(vendor, {"class": "visits"}) for _ in range(2))
    due = ms(dt.datetime(2028, 2, 1, tzinfo=dt.UTC))
    run = vendor.system.retention.run
    vendor.clock.now_ms = due - 90 * DAY_MS
    slept.come_in()
    vendor.clock.now_ms += 2 * DAY_MS
    behind.come_in()
    vendor.clock.now_ms = due - 1
    run()
    assert slept.there
    vendor.clock.now_ms = due + 3 * DAY_MS - 2 * DAY_MS - 1  # three days later, by a clock that is two days behind
    run()
    assert (slept.there, behind.there) == (False, True)
    vendor.clock.now_ms = due + 3 * DAY_MS
    run()
    assert not behind.there
