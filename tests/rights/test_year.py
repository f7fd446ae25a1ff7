"""A year of requests in five places, with a clock that jumps: no deadline is missed or miscounted.

The table beside this file was worked out by hand. Time passes here as it does for a machine: it sleeps for days, its
clock is set back and forward, and it wakes to what has become due.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import msgspec
import pytest

from tests.clauses.vendor import TENANT, Person, Vendor, example
from troth.cli.setting import demonstration_config, postbox
from troth.config import Party, Tenant, read_config
from troth.errors import Conflict, StartRefused
from troth.evidence.checks.rights import deadlines
from troth.policy.model import Duration, RightKind
from troth.rights.calendar import came_in
from troth.rights.register import Case
from troth.web.running import Running, start
from troth.world import DAY_MS

HERE = Path(__file__).parent
TABLE = tomllib.loads((HERE / "deadlines.toml").read_text("utf-8"))
ZONES: dict[str, str] = TABLE["controllers"]
MINUTE_MS = 60_000
BEGIN = dt.datetime(2027, 8, 30, 12, tzinfo=dt.UTC)
END = dt.datetime(2028, 11, 5, tzinfo=dt.UTC)
KINDS: tuple[RightKind, ...] = ("access", "portability", "rectification", "erasure", "restriction")  # within a month


def ms(at: dt.datetime) -> int:
    """A time of the table, as the system has it."""
    return round(at.timestamp() * 1000)


class Everywhere(Vendor):
    """The vendor with controllers in five places of the world."""

    def _start(self) -> Running:
        config = demonstration_config(self.folder, 0, self.box.port, tenants=self.tenants)
        return start(msgspec.structs.replace(config, zone=ZONES[TENANT]), clock=self.clock)


def tenant(name: str) -> Tenant:
    """A controller somewhere."""
    party = Party(f"The {name} house", f"privacy@{name}.example.org", "IE")
    return Tenant((f"{name}.localhost",), party, zone=ZONES[name])


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """The five, before the year begins."""
    with postbox() as box:
        tenants = {name: tenant(name) for name in ZONES if name != TENANT}
        made = Everywhere(tmp_path / "vendor", box, example(), tenants)
        made.clock.now_ms = ms(BEGIN)
        yield made
        made.close()


@dataclass
class Asked:
    """One row of the table, and what became of it."""

    of: str
    asked: dt.datetime
    due: dt.datetime
    latest: dt.datetime
    reminders: list[dt.datetime]
    extended: bool = False
    missed: bool = False
    kind: RightKind = "access"
    person: Person = field(default_factory=Person)
    said: list[int] = field(default_factory=list)
    case: Case | None = None

    def record(self, vendor: Vendor) -> None:
        """The letter comes in, at this very moment."""
        sid = vendor.system.vault.find(self.of, "email", self.person.email)
        step = vendor.system.procedures.record(
            self.of, self.kind, ms(self.asked), road="letter", actor="system", sid=sid
        )
        self.case = step.case

    @property
    def rid(self) -> bytes:
        """Its number in the register."""
        assert self.case is not None
        return self.case.id

    def extend(self, vendor: Vendor) -> None:
        """Two months more."""
        self.case = vendor.system.procedures.extend(self.of, self.rid, "complex", actor="system").case

    def refuse(self, vendor: Vendor) -> None:
        """The answer: what it says does not matter here."""
        self.case = vendor.system.procedures.refuse(self.of, self.rid, "law", actor="system").case

    def too_late(self, vendor: Vendor) -> None:
        """Nothing is put off once the first month is over."""
        with pytest.raises(Conflict):
            self.extend(vendor)


@pytest.fixture
def rows(vendor: Vendor) -> list[Asked]:
    """The table, each request by somebody of their own."""
    made = [Asked(kind=kind, **row) for kind, row in zip(cycle(KINDS), TABLE["request"], strict=False)]
    for row in made:
        vendor.join("registration", row.person, tenant=row.of)
    return made


def miscounted(vendor: Vendor, rows: list[Asked]) -> list[str]:
    """The rows whose deadline is another than the table's, all recorded when the year is over."""
    vendor.clock.now_ms = ms(END)
    wrong = []
    for row in rows:
        row.record(vendor)
        assert row.case is not None
        zone = vendor.system.config.zone_of(row.of)
        if (row.case.due_ms, row.case.latest(zone)) != (ms(row.due), ms(row.latest)):
            wrong.append(f"{row.of} {row.asked.isoformat()}")
    return wrong


@pytest.fixture
def long_ago() -> Iterator[None]:
    """A register that takes what came in more than a year ago."""
    with patch("troth.rights.procedures.LATEST_RECORDED_MS", 500 * DAY_MS):
        yield


@pytest.mark.usefixtures("long_ago")
def test_every_deadline_is_the_tables(vendor: Vendor, rows: list[Asked]) -> None:
    assert miscounted(vendor, rows) == []


def thirty_days(period: Duration, start_ms: int, zone: dt.tzinfo) -> int:
    """A month as somebody in a hurry counts it."""
    return start_ms + period.months * 30 * DAY_MS + period.ms


def in_greenwich(period: Duration, start_ms: int, zone: dt.tzinfo) -> int:
    """As if it were the same day everywhere."""
    return period.after(start_ms)


@pytest.mark.usefixtures("long_ago")
@pytest.mark.parametrize(("count", "least"), [(thirty_days, 20), (in_greenwich, 10)])
def test_a_month_of_thirty_days_and_a_day_of_somewhere_else_are_seen(
    vendor: Vendor, rows: list[Asked], count: Any, least: int
) -> None:
    with patch("troth.rights.procedures.after", count), patch("troth.rights.register.after", count):
        wrong = miscounted(vendor, rows)
    assert len(wrong) >= least
    assert "west 2028-02-29T18:00:00-11:00" in wrong


# --- the year as it passes ---


@dataclass
class Year:
    """Time as it is, and as this machine has it."""

    vendor: Vendor
    rows: list[Asked]
    seen: int = 0

    def shown(self, real: int) -> int | None:
        """What the machine's clock says at a time; None while it sleeps."""
        if any(ms(nap["from"]) <= real < ms(nap["to"]) for nap in TABLE["asleep"]):
            return None
        wrong = [each["minutes"] for each in TABLE["wrong"] if ms(each["from"]) <= real < ms(each["to"])]
        minutes: int = sum(wrong)
        return real + minutes * MINUTE_MS

    def pass_by(self) -> None:
        """Every moment at which something is to happen or not yet to happen, and each day's work."""
        acts = self.acts()
        days = set(range(ms(BEGIN), ms(END), DAY_MS))
        edges = {ms(each[edge]) for each in TABLE["asleep"] + TABLE["wrong"] for edge in ("from", "to")}
        reminders = {ms(at) for row in self.rows for at in row.reminders}
        moments = (
            days | edges | reminders | {at - 1 for at in reminders} | {between(at)[1] for at in reminders} | set(acts)
        )
        for real in sorted(moments):
            shown = self.shown(real)
            if shown is None:
                assert real not in acts
                continue
            self.vendor.clock.now_ms = shown
            for act in acts.get(real, ()):
                act()
            if real in days | edges:
                self.vendor.system.work()
            self.vendor.system.procedures.remind()
            self.hear(real)

    def acts(self) -> dict[int, list[Any]]:
        """What people do, and when."""
        found: dict[int, list[Any]] = {}

        def at(when: int, act: Any, *given: Any) -> None:
            found.setdefault(when, []).append(partial(act, *given))

        for row in self.rows:
            at(ms(row.asked), row.record, self.vendor)
            if row.extended:
                at(ms(row.due) - MINUTE_MS, row.extend, self.vendor)
                at(ms(row.due), self.check)
                at(ms(row.latest) - MINUTE_MS, row.refuse, self.vendor)
            elif row.missed:
                at(ms(row.due), row.too_late, self.vendor)
                at(ms(row.due), self.check)
                at(ms(row.due) + 1, self.check)
            else:
                at(ms(row.due) - MINUTE_MS, row.refuse, self.vendor)
                at(ms(row.due) + 1, self.check)
        return found

    def check(self) -> None:
        """The board's check says how many are late now: those that nobody answered, from their very moment on."""
        now = self.vendor.system.store.now()
        late = sum(row.missed and ms(row.due) < now for row in self.rows)
        verdict = deadlines(self.vendor.system.inspector.inspection(), None)  # type: ignore[arg-type]  # it reads none
        assert [(said.key, dict(said.values)["requests"]) for said in verdict.said] == (
            [("right.deadline.late", late)] if late else [("right.deadline.good", self.recorded())]
        )

    def recorded(self) -> int:
        """How many have come in by now."""
        return sum(row.case is not None for row in self.rows)

    def hear(self, real: int) -> None:
        """Note which reminders were said now."""
        found = self.vendor.rows(
            "SELECT seq, body FROM ledger WHERE kind = 'rights.due-soon' AND seq > :seq ORDER BY seq", seq=self.seen
        )
        for seq, body in found:
            assert isinstance(seq, int)
            assert isinstance(body, bytes)
            request = bytes.fromhex(json.loads(body)["facts"]["request"])
            next(row for row in self.rows if row.case is not None and row.rid == request).said.append(real)
            self.seen = seq


def between(reminder: int) -> tuple[int, int]:
    """When a reminder of this moment may be said at the earliest and the latest, on this machine."""
    for nap in TABLE["asleep"]:
        if ms(nap["from"]) <= reminder < ms(nap["to"]):
            return ms(nap["to"]), ms(nap["to"])  # as soon as it wakes
    for wrong in TABLE["wrong"]:
        first, last, by = ms(wrong["from"]), ms(wrong["to"]), wrong["minutes"] * MINUTE_MS
        if by < 0 and first <= reminder < last:
            return reminder, reminder - by  # as much later as the clock is behind
        if by > 0 and first < reminder <= last + by:
            return reminder - by, reminder  # as much earlier as it was ahead, and not again
    return reminder, reminder


def test_a_year_passes_and_no_deadline_is_missed(vendor: Vendor, rows: list[Asked]) -> None:
    Year(vendor, rows).pass_by()
    for row in rows:
        name = f"{row.of} {row.asked.isoformat()}"
        assert row.case is not None, name
        assert row.case.due_ms == ms(row.latest if row.extended else row.due), name
        assert len(row.said) == len(row.reminders), name
        for said, reminder in zip(row.said, row.reminders, strict=True):
            earliest, latest = between(ms(reminder))
            assert earliest <= said <= latest, (name, reminder)
        zone = vendor.system.config.zone_of(row.of)
        assert vendor.letters(row.person.email, f"by {row.due.astimezone(zone).date().isoformat()}"), name
        if row.extended:
            assert vendor.letters(row.person.email, row.latest.astimezone(zone).date().isoformat()), name
    disturbed = [r for row in rows for r in row.reminders if between(ms(r)) != (ms(r), ms(r))]
    assert len(disturbed) == 2 + 7 + 1 + 2  # as the table's own words say: every jump met something
    runs = [row[0] for row in vendor.rows("SELECT at_ms FROM runs WHERE kind = 'retention' ORDER BY at_ms")]
    gaps = [b - a for a, b in pairwise(runs) if isinstance(a, int) and isinstance(b, int)]
    assert max(gaps) <= 3 * DAY_MS + DAY_MS  # no day without a run but those that the machine slept


def test_a_year_that_was_not_does_not_stop_the_runs(vendor: Vendor) -> None:
    """The clock was a year ahead for an hour: what comes round by it comes round again once it is right."""
    vendor.system.work()
    vendor.clock.advance(365 * DAY_MS)
    vendor.system.work()
    vendor.clock.advance(-365 * DAY_MS)
    ran: list[int] = []
    with patch.object(vendor.system.procedures, "remind", lambda: ran.append(vendor.clock.now())):
        for _ in range(3):
            vendor.clock.advance(DAY_MS)
            vendor.system.work()
            vendor.system.work()
    assert len(ran) == len(set(ran)) == 3


@pytest.mark.parametrize(
    ("zone", "now", "typed", "at"),
    [
        ("Europe/Dublin", "2028-06-02T10:00:00+01:00", "2028-06-01", "2028-06-01T12:00:00+01:00"),
        ("Europe/Dublin", "2028-06-02T10:00:00+01:00", "2028-06-02", "2028-06-02T10:00:00+01:00"),  # noon lies ahead
        ("Pacific/Pago_Pago", "2028-02-29T20:00:00-11:00", "2028-02-29", "2028-02-29T12:00:00-11:00"),
        ("Pacific/Kiritimati", "2028-03-01T01:00:00+14:00", "2028-02-29", "2028-02-29T12:00:00+14:00"),
        ("Pacific/Kiritimati", "2028-03-01T01:00:00+14:00", "2028-03-01", "2028-03-01T01:00:00+14:00"),
    ],
)
def test_a_day_that_is_typed_is_the_controllers_day(zone: str, now: str, typed: str, at: str) -> None:
    came = came_in(typed, ms(dt.datetime.fromisoformat(now)), ZoneInfo(zone))
    assert came == ms(dt.datetime.fromisoformat(at))


@pytest.mark.parametrize("setting", ['zone = "Mars/Olympus"', 'zone = "../../etc/passwd"', "zone = 1"])
def test_a_place_that_no_calendar_knows_stops_the_start(tmp_path: Path, setting: str) -> None:
    (tmp_path / "troth.toml").write_text(setting)
    with pytest.raises(StartRefused, match="zone"):
        read_config(tmp_path, {})
