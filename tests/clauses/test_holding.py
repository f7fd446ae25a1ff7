"""Legal holds: what a law or a claim needs is kept, used for nothing else, and goes when the hold ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from tests.clauses.drill import Drill
from tests.clauses.test_procedures import proven
from tests.clauses.test_register_at_the_console import signed_in
from tests.clauses.test_restoring_on_postgresql import OnPostgresql
from tests.clauses.test_restricting import guards, may_read, sid_of
from tests.clauses.vendor import TENANT, Person, Vendor
from tests.postgres import Server
from troth.cli.demo import EXAMPLE
from troth.cli.hold import hold
from troth.cli.setting import postbox
from troth.errors import Conflict, Invalid, NotFound
from troth.store import Write
from troth.web.control import perform
from troth.world import DAY_MS

HOUR_MS = 3_600_000
DESK = "/console/holds"


@pytest.fixture
def ann(vendor: Vendor) -> Person:
    """Somebody with an account and the newsletter."""
    ann = Person()
    vendor.join("newsletter", ann)
    vendor.join("registration", ann)
    return ann


@pytest.fixture
def drill(vendor: Vendor, tmp_path: Path) -> Drill:
    """Backups and restores."""
    return Drill(vendor, tmp_path)


def held(vendor: Vendor, sid: bytes, days: int = 90, reason: str = "claims") -> bytes:
    return vendor.system.holds.set(TENANT, sid, reason, days, actor="system").entry


def records(vendor: Vendor, sid: bytes) -> int:
    return int(str(vendor.rows("SELECT count(*) FROM personal_records WHERE sid = :sid", sid=sid)[0][0]))


def verdict(vendor: Vendor, clause: str = "retain.while-used") -> str:
    board = vendor.system.inspector.now()
    return next(row.status for row in board.rows if row.clause == clause)


def test_an_erasure_that_is_asked_for_waits_and_says_why_until_when_and_by_which_clause(
    vendor: Vendor, ann: Person
) -> None:
    sid, before = sid_of(vendor, ann), vendor.system.store.now()
    held(vendor, sid)
    plan = vendor.system.erasures.draw(TENANT, sid)
    assert plan.held is not None
    assert (plan.held.reason, plan.held.clause) == ("claims", "retain.while-used")
    assert before + 90 * DAY_MS <= plan.held.until_ms <= vendor.system.store.now() + 90 * DAY_MS
    certificate = vendor.system.erasures.erase(TENANT, sid)
    assert (certificate.state, certificate.held, certificate.unreadable_ms) == ("held", plan.held, None)
    waiting = [one for one in certificate.outcomes if one.waits]
    assert {one.fate for one in waiting} == {"held"}
    assert {one.until_ms for one in waiting} == {plan.held.until_ms}
    assert {"records", "keys", "person"} <= {one.kind for one in waiting}
    vendor.system.work()
    assert records(vendor, sid) == 2
    assert vendor.system.erasures.erase(TENANT, sid).ordered == certificate.ordered  # asked twice is ordered once


def test_what_is_held_is_used_for_nothing_else(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    number = held(vendor, sid)
    assert not may_read(vendor, sid)
    assert may_read(vendor, sid, "rights")
    assert vendor.issues(sid, ann.email) == 0
    vendor.system.holds.lift(TENANT, number, actor="system")
    assert may_read(vendor, sid)
    assert vendor.issues(sid, ann.email) == 1


def test_when_it_is_lifted_the_erasure_goes_on_and_the_person_has_the_certificate(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    number = held(vendor, sid)
    order = bytes.fromhex(vendor.system.erasures.erase(TENANT, sid).ordered)
    vendor.system.holds.lift(TENANT, number, actor="system")
    assert vendor.system.erasures.certificate(order).state != "held"
    letters = vendor.letters(ann.email)  # which does what waits
    certificate = vendor.system.erasures.certificate(order)
    assert certificate.state == "gone"
    assert {one.fate for one in certificate.outcomes if one.kind in ("records", "holds")} == {"done"}
    assert records(vendor, sid) == 0
    assert f"/privacy/certificate/{order.hex()}" in str(letters[-1])


def test_it_ends_by_itself_at_its_end_and_not_before(vendor: Vendor, ann: Person) -> None:
    sid, own = sid_of(vendor, ann), vendor.system.holds
    held(vendor, sid, days=30)
    order = bytes.fromhex(vendor.system.erasures.erase(TENANT, sid).ordered)
    vendor.clock.advance(30 * DAY_MS - 1)
    until = own.all(TENANT)[0].until_ms
    assert own.settle() == (1 if vendor.system.store.now() >= until else 0)
    vendor.clock.advance(1)
    own.settle()
    assert own.all(TENANT) == []
    vendor.system.work()
    assert vendor.system.erasures.certificate(order).state == "gone"
    (ended,) = (json.loads(body) for body in vendor.entries("hold.ended"))
    assert ended["facts"] == {"by": "time"}


def test_retention_leaves_it_and_takes_it_at_the_run_after(vendor: Vendor) -> None:
    ben = Person()
    sid = vendor.join("newsletter", ben)
    vendor.system.objections.object(TENANT, sid, "newsletter")
    number = held(vendor, sid, days=365)
    vendor.clock.advance(300 * DAY_MS)
    assert vendor.system.retention.run().erased == 0
    assert records(vendor, sid) == 1
    vendor.system.holds.lift(TENANT, number, actor="system")
    assert vendor.system.retention.run().erased == 1
    assert records(vendor, sid) == 0


def test_it_keeps_nobody_else(vendor: Vendor, ann: Person) -> None:
    other = vendor.join("newsletter", Person())
    held(vendor, sid_of(vendor, ann))
    assert vendor.system.erasures.erase(TENANT, other).state == "gone"


def test_set_anew_it_has_another_end_and_is_still_one(vendor: Vendor, ann: Person) -> None:
    sid, own = sid_of(vendor, ann), vendor.system.holds
    number = held(vendor, sid, days=10)
    assert held(vendor, sid, days=20, reason="law") == number
    (one,) = own.all(TENANT)
    assert (one.reason, one.until_ms > vendor.system.store.now() + 15 * DAY_MS) == ("law", True)
    assert guards(vendor) == ["held"]
    assert [len(vendor.entries(kind)) for kind in ("hold.set", "hold.renewed")] == [1, 1]


@pytest.mark.parametrize(("reason", "days"), [("because", 30), ("law", 0), ("law", 366), ("", -1)])
def test_it_has_a_reason_of_the_list_and_an_end_within_a_year(
    vendor: Vendor, ann: Person, reason: str, days: int
) -> None:
    with pytest.raises(Invalid):
        held(vendor, sid_of(vendor, ann), days, reason)
    assert vendor.system.holds.all(TENANT) == []


def test_nobody_who_is_being_erased_and_nobody_unconfirmed_is_held(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    vendor.system.erasures.order(TENANT, sid)
    with pytest.raises(NotFound):
        held(vendor, sid)
    with pytest.raises(NotFound):
        vendor.system.holds.lift(TENANT, bytes(16), actor="system")
    pending = Person()
    vendor.submit("newsletter", pending)
    ((unconfirmed,),) = vendor.rows("SELECT sid FROM subjects WHERE mode = 'pending'")
    assert isinstance(unconfirmed, bytes)
    with pytest.raises(Conflict):
        held(vendor, unconfirmed)


def test_a_restriction_of_the_persons_own_goes_on_after_it_and_before(vendor: Vendor, ann: Person) -> None:
    sid, own = sid_of(vendor, ann), vendor.system.restrictions
    own.restrict(TENANT, sid, "accuracy")
    number = held(vendor, sid)
    own.lift(TENANT, sid)
    assert not may_read(vendor, sid)  # held still
    own.restrict(TENANT, sid, "claims")
    vendor.system.holds.lift(TENANT, number, actor="system")
    assert not may_read(vendor, sid)  # set aside still
    own.lift(TENANT, sid)
    assert may_read(vendor, sid)


def test_the_person_finds_it_in_the_copy(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    held(vendor, sid)
    (one,) = vendor.system.holds.all(TENANT)
    copy = vendor.system.access.copy(TENANT, sid)
    assert copy.hold == {"reason": "claims", "since": one.since_ms, "until": one.until_ms}


def faults(vendor: Vendor) -> list[str]:
    rows = vendor.system.inspector.now().rows
    row = next(row for row in rows if row.clause == "retain.while-used")
    return [one.key for one in row.said] if row.status == "FAIL" else []


# --- where people meet it ---


def test_the_person_reads_that_it_is_kept_why_and_until_when(vendor: Vendor, ann: Person) -> None:
    held(vendor, sid_of(vendor, ann))
    centre = vendor.centre(ann)
    said = [vendor.system.catalogue.words(f"hold.{key}", "en") for key in ("title", "why-claims")]
    for place in ("/privacy/restrict", "/privacy/erase"):
        page = centre.open(place).body.decode()
        assert all(words in page for words in said), place
    centre.send("/privacy/erase", sure="yes")
    assert vendor.system.catalogue.words("hold.ordered", "en") in centre.answer.body.decode()
    ((order,),) = vendor.rows("SELECT lower(hex(ordered)) FROM erasures")
    page = centre.open(f"/privacy/certificate/{order}").body.decode()
    assert said[1] in page
    assert "retain.while-used" in page


def test_a_request_in_the_register_is_answered_with_the_reason_and_is_not_late(vendor: Vendor, ann: Person) -> None:
    own, sid = vendor.system.procedures, sid_of(vendor, ann)
    rid = proven(vendor, ann, "erasure")
    number = held(vendor, sid, reason="law")
    step = own.fulfil(TENANT, rid, actor="system")
    assert (step.case.state, step.case.reason, step.lettered) == ("held", "law", True)
    letter = " ".join(vendor.letters(ann.email)[-1].text.split())
    assert vendor.system.catalogue.words("right.refusal.law", "en") in letter
    assert own.waiting(TENANT) == []
    vendor.system.holds.lift(TENANT, number, actor="system")
    vendor.letters()
    assert records(vendor, sid) == 0


def test_the_officer_sets_sees_and_lifts_it(vendor: Vendor, ann: Person) -> None:
    desk = signed_in(vendor, "officer")
    desk.open(DESK)
    desk.send(DESK, email="nobody@example.org", reason="law", days="30")
    assert desk.answer.status == 422
    desk.open(DESK)
    desk.send(DESK, email=ann.email, reason="law", days="366")
    assert desk.answer.status == 422
    desk.open(DESK)
    desk.send(DESK, email=ann.email, reason="law", days="20")
    (one,) = vendor.system.holds.all(TENANT)
    page = desk.answer.body.decode()
    assert one.entry.hex() in page
    assert ann.email not in page
    today = desk.open("/console").body.decode()
    assert "One hold ends within 30 days" in today
    assert one.entry.hex()[:12] in today
    desk.open(DESK)
    desk.send(f"{DESK}/{one.entry.hex()}/lift")
    assert vendor.system.holds.all(TENANT) == []


def test_support_sees_holds_and_lifts_none(vendor: Vendor, ann: Person) -> None:
    number = held(vendor, sid_of(vendor, ann))
    desk = signed_in(vendor, "support")
    assert number.hex() in desk.open(DESK).body.decode()
    assert "/lift" not in desk.answer.body.decode()


def test_on_the_command_line(vendor: Vendor, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(data: Path, do: str, **arguments: object) -> object:
        return perform(vendor.system, {"do": do, **arguments})

    monkeypatch.setattr("troth.cli.hold.ask", asked)
    run, data = CliRunner(), ["--data", str(vendor.system.config.folder)]
    made = run.invoke(hold, ["set", ann.email, "claims", "--days", "5", *data], catch_exceptions=False)
    number = made.output.split()[0]
    assert run.invoke(hold, ["list", *data]).output == made.output
    assert run.invoke(hold, ["lift", number, *data]).output == f"{number}  lifted\n"
    assert run.invoke(hold, ["list", *data]).output == "nothing is held\n"
    assert isinstance(run.invoke(hold, ["lift", "nothing", *data]).exception, NotFound)


# --- after a restore ---


def test_what_was_held_since_the_backup_is_held_again_and_what_waits_waits(drill: Drill) -> None:
    vendor = drill.vendor
    ann, ben = vendor.join("registration", Person()), vendor.join("registration", Person())
    backup = drill.backup()
    held(vendor, ann, days=40, reason="law")
    order = bytes.fromhex(vendor.system.erasures.erase(TENANT, ann).ordered)
    held(vendor, ben, days=10)
    held(vendor, ben, days=20)
    before = {one.sid: (one.entry, one.reason, one.until_ms) for one in vendor.system.holds.all(TENANT)}
    vendor.system.work()
    drill.restore(backup)
    again = {one.sid: (one.entry, one.reason, one.until_ms) for one in vendor.system.holds.all(TENANT)}
    assert again == before
    assert not may_read(vendor, ann)
    assert vendor.system.erasures.certificate(order).state == "held"
    assert verdict(vendor) == "PASS"
    vendor.system.holds.lift(TENANT, before[ann][0], actor="system")
    vendor.system.work()
    assert vendor.system.erasures.certificate(order).state == "gone"


def test_what_ended_since_the_backup_does_not_hold_again(drill: Drill) -> None:
    vendor = drill.vendor
    ann, ben = vendor.join("registration", Person()), vendor.join("registration", Person())
    number = held(vendor, ann)
    backup = drill.backup()
    vendor.system.holds.lift(TENANT, number, actor="system")
    vendor.system.holds.lift(TENANT, held(vendor, ben), actor="system")
    cay = vendor.join("registration", Person())
    held(vendor, cay)  # lost with the data
    vendor.system.work()
    drill.restore(backup)
    assert vendor.system.holds.all(TENANT) == []
    assert may_read(vendor, ann)
    assert may_read(vendor, ben)
    assert verdict(vendor) == "PASS"


def test_who_was_let_go_and_held_once_more_since_is_held_and_by_one_hold(drill: Drill) -> None:
    vendor = drill.vendor
    ann = vendor.join("registration", Person())
    first = held(vendor, ann)
    backup = drill.backup()
    vendor.system.holds.lift(TENANT, first, actor="system")
    second = held(vendor, ann, reason="law")
    drill.restore(backup)
    assert [(one.entry, one.reason) for one in vendor.system.holds.all(TENANT)] == [(second, "law")]
    assert not may_read(vendor, ann)
    assert verdict(vendor) == "PASS"


def test_a_hold_that_was_lifted_and_the_erasure_after_it_stay_done(drill: Drill) -> None:
    vendor = drill.vendor
    ann = vendor.join("registration", Person())
    number = held(vendor, ann)
    order = bytes.fromhex(vendor.system.erasures.erase(TENANT, ann).ordered)
    backup = drill.backup()
    vendor.system.holds.lift(TENANT, number, actor="system")
    vendor.system.work()
    assert vendor.system.erasures.certificate(order).state == "gone"
    drill.restore(backup)
    assert vendor.system.erasures.certificate(order).state == "gone"
    assert records(vendor, ann) == 0
    assert verdict(vendor) == "PASS"


# --- what an operator could do, and that the board names it ---

BROKEN = {
    "past its end, and still keeping": ("past", "UPDATE holds SET until_ms = 1"),
    "for ever": ("eternal", "UPDATE holds SET until_ms = 9000000000000"),
    "without a reason": ("eternal", "UPDATE holds SET reason = 'because'"),
    "used all the same": ("open", "UPDATE subjects SET mode = 'live' WHERE mode = 'restricted'"),
    "taken away behind": ("broken", "DELETE FROM holds"),
    "ended without an entry": ("unsaid", "UPDATE holds SET ended_ms = 1"),
    "over, and an erasure still waits": ("stuck", "UPDATE holds SET ended_ms = 1"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_the_board_names_what_was_broken(vendor: Vendor, ann: Person, how: str) -> None:
    sid = sid_of(vendor, ann)
    held(vendor, sid)
    vendor.system.erasures.erase(TENANT, sid)
    vendor.system.retention.run()
    vendor.clock.advance(3 * HOUR_MS)
    assert verdict(vendor) == "PASS"
    fault, statement = BROKEN[how]
    vendor.system.store.write(Write(lambda tx: tx.execute(text(statement)).rowcount))
    assert f"retain.hold.{fault}" in faults(vendor)


def test_the_board_names_a_hold_that_a_restore_would_forget(vendor: Vendor, ann: Person) -> None:
    held(vendor, sid_of(vendor, ann))
    vendor.system.retention.run()
    assert verdict(vendor) == "PASS"
    vendor.system.store.write_keys(lambda ktx: ktx.execute(text("DELETE FROM guards WHERE kind = 'held'")).rowcount)
    assert faults(vendor) == ["retain.hold.unguarded"]


def test_the_board_names_who_was_erased_under_a_hold(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    held(vendor, sid)
    order = bytes.fromhex(vendor.system.erasures.erase(TENANT, sid).ordered)
    vendor.system.retention.run()
    assert verdict(vendor) == "PASS"
    impatient = text("UPDATE erasures SET state = 'ordered'")
    vendor.system.store.write(Write(lambda tx: tx.execute(impatient).rowcount))
    vendor.system.erasures.carry_out(order)
    assert faults(vendor) == ["retain.hold.broken"]


def test_the_board_says_how_many_stand_and_how_many_end_soon(vendor: Vendor, ann: Person) -> None:
    held(vendor, sid_of(vendor, ann), days=10)
    held(vendor, vendor.join("newsletter", Person()), days=100)
    vendor.system.retention.run()
    said = next(row.said for row in vendor.system.inspector.now().rows if row.clause == "retain.while-used")
    assert [one.values for one in said if one.key == "retain.hold.good"] == [{"holds": 2, "soon": 1}]


@pytest.mark.postgres
def test_held_restored_and_let_go_on_postgresql(tmp_path: Path, postgres_data: Server, postgres_keys: Server) -> None:
    urls = (postgres_data.new_database(), postgres_keys.new_database())
    with postbox() as box:
        vendor = OnPostgresql(tmp_path / "vendor", box, EXAMPLE.read_text("utf-8"), urls)
        drill = Drill(vendor, tmp_path)
        ann, ben = (vendor.join("registration", Person()) for _ in range(2))
        held(vendor, ben, days=10)
        backup = drill.backup()
        number = held(vendor, ann)
        order = bytes.fromhex(vendor.system.erasures.erase(TENANT, ann).ordered)
        vendor.system.work()
        drill.restore(backup)
        assert [one.sid for one in vendor.system.holds.all(TENANT)] == [ben, ann]
        assert faults(vendor) == []
        vendor.clock.advance(11 * DAY_MS)
        assert vendor.system.holds.settle() == 1
        assert may_read(vendor, ben)
        vendor.system.holds.lift(TENANT, number, actor="system")
        vendor.system.work()
        assert vendor.system.erasures.certificate(order).state == "gone"
        assert records(vendor, ann) == 0
        vendor.close()
