"""Setting data aside: kept, and used for nothing but rights, until the person says so or was told in time."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clauses.drill import Drill
from tests.clauses.vendor import TENANT, Person, Vendor
from troth.errors import Conflict, Denied, Invalid, NotFound
from troth.rights.restriction import GROUNDS, Ground
from troth.world import DAY_MS


@pytest.fixture
def ann(vendor: Vendor) -> Person:
    """Somebody with an account and the newsletter."""
    ann = Person()
    vendor.join("newsletter", ann)
    vendor.join("registration", ann)
    return ann


def sid_of(vendor: Vendor, person: Person) -> bytes:
    sid = vendor.system.vault.find(TENANT, "email", person.email)
    assert sid is not None
    return sid


def guards(vendor: Vendor) -> list[str]:
    return [str(row[0]) for row in vendor.key_rows("SELECT kind FROM guards ORDER BY id")]


def may_read(vendor: Vendor, sid: bytes, purpose: str = "account") -> bool:
    try:
        vendor.system.gate.open(purpose).read(TENANT, sid, frozenset({"email"}))
    except Denied as denied:
        return "mode:restricted" not in denied.gaps
    return True


def test_what_is_set_aside_is_kept_and_not_used(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    assert may_read(vendor, sid)
    assert vendor.issues(sid, ann.email) == 1
    vendor.queue_issue()
    vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    assert not may_read(vendor, sid)
    assert may_read(vendor, sid, "rights")
    assert vendor.issues(sid, ann.email) == 0
    assert [sid for sid, _ in vendor.system.gate.open("account").scan(TENANT, frozenset({"email"}))] == []
    values = [record.values for record in vendor.system.access.copy(TENANT, sid).records]
    assert {value for held in values for value in held.values()} >= {ann.email, ann.phone}
    assert guards(vendor) == ["restricted"]
    (refused,) = (json.loads(body) for body in vendor.entries("message.refused"))
    assert refused["facts"]["reason"] == "denied"  # the attempt is recorded, without any name


def test_the_person_is_written_to_and_finds_it_in_the_copy(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    held = vendor.system.restrictions.restrict(TENANT, sid, "claims")
    assert vendor.letters(ann.email)[-1].subject == "Your data is set aside"
    copy = vendor.system.access.copy(TENANT, sid)
    assert copy.restriction == {"ground": "claims", "since": held.since_ms}
    assert [request["kind"] for request in copy.requests] == ["restriction"]


def test_twice_is_once(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    first = vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    assert vendor.system.restrictions.restrict(TENANT, sid, "claims") == first
    assert len(vendor.entries("restriction.begun")) == 1
    assert guards(vendor) == ["restricted"]


def test_the_person_ends_it_at_once(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    assert vendor.system.restrictions.lift(TENANT, sid)
    assert may_read(vendor, sid)
    assert vendor.issues(sid, ann.email) == 1  # consents and choices are as they were
    assert guards(vendor) == ["restricted", "unrestricted"]
    assert not vendor.system.restrictions.lift(TENANT, sid)


def test_anybody_else_ends_it_only_after_telling_the_person_in_time(vendor: Vendor, ann: Person) -> None:
    sid, own = sid_of(vendor, ann), vendor.system.restrictions
    own.restrict(TENANT, sid, "accuracy")
    own.announce(TENANT, sid, actor="system")
    with pytest.raises(Conflict):
        own.announce(TENANT, sid, actor="system")
    assert own.settle() == 0  # the letter has not gone out yet
    assert vendor.letters(ann.email)[-1].subject == "We want to use your data again"
    vendor.clock.advance(7 * DAY_MS - 1)
    assert own.settle() == 0
    assert not may_read(vendor, sid)
    vendor.clock.advance(1)
    assert own.settle() == 1
    assert may_read(vendor, sid)
    (ended,) = (json.loads(body) for body in vendor.entries("restriction.ended"))
    (begun,) = (json.loads(body) for body in vendor.entries("restriction.begun"))
    assert (ended["facts"], ended["refers"]) == ({"by": "operator"}, begun["eid"])


def test_a_letter_that_did_not_go_out_ends_nothing(vendor: Vendor, ann: Person) -> None:
    sid, own = sid_of(vendor, ann), vendor.system.restrictions
    own.restrict(TENANT, sid, "accuracy")
    own.announce(TENANT, sid, actor="system")  # nobody sends it
    vendor.clock.advance(30 * DAY_MS)
    assert own.settle() == 0
    assert not may_read(vendor, sid)


def test_a_letter_that_nobody_knows_of_is_written_again(vendor: Vendor, ann: Person, tmp_path: Path) -> None:
    """A restore from a backup leaves what waited unsent: the end must still be possible to announce."""
    sid, own = sid_of(vendor, ann), vendor.system.restrictions
    own.restrict(TENANT, sid, "accuracy")
    own.announce(TENANT, sid, actor="system")
    drill = Drill(vendor, tmp_path)
    drill.restore(drill.backup())
    own = vendor.system.restrictions
    vendor.clock.advance(30 * DAY_MS)
    assert own.settle() == 0
    own.announce(TENANT, sid, actor="system")
    with pytest.raises(Conflict):
        own.announce(TENANT, sid, actor="system")
    assert vendor.letters(ann.email)[-1].subject == "We want to use your data again"
    vendor.clock.advance(7 * DAY_MS)
    assert own.settle() == 1
    assert may_read(vendor, sid)


def test_a_person_who_says_no_stays_set_aside(vendor: Vendor, ann: Person) -> None:
    sid, own = sid_of(vendor, ann), vendor.system.restrictions
    own.restrict(TENANT, sid, "accuracy")
    own.announce(TENANT, sid, actor="system")
    vendor.letters()
    own.keep(TENANT, sid)
    vendor.clock.advance(30 * DAY_MS)
    assert own.settle() == 0
    assert not may_read(vendor, sid)
    own.announce(TENANT, sid, actor="system")  # a new attempt has to be told anew
    assert own.settle() == 0


def test_retention_leaves_alone_what_is_set_aside(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    vendor.system.restrictions.restrict(TENANT, sid, "claims")
    vendor.clock.advance(5 * 365 * DAY_MS)
    ran = vendor.system.retention.run()
    assert (ran.erased, ran.overdue) == (0, 0)
    assert vendor.system.access.copy(TENANT, sid).records
    vendor.system.restrictions.lift(TENANT, sid)
    assert vendor.system.retention.run().warned == 1  # nobody is erased untold
    vendor.letters()
    vendor.clock.advance(60 * DAY_MS)
    assert vendor.system.retention.run().records == 1  # the account is over; the newsletter goes on


def test_erasing_goes_before_keeping(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    assert vendor.system.erasures.erase(TENANT, sid).state == "gone"
    assert vendor.count("restrictions") == 0
    assert not vendor.system.restrictions.lift(TENANT, sid)
    with pytest.raises(NotFound):
        vendor.system.restrictions.restrict(TENANT, sid, "accuracy")


def test_a_new_form_does_not_end_it(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    vendor.submit("newsletter", ann)
    vendor.confirm(ann.email)
    assert vendor.issues(sid, ann.email) == 0
    assert not may_read(vendor, sid)


@pytest.mark.parametrize("ground", ["", "because", "ACCURACY"])
def test_there_are_four_grounds(vendor: Vendor, ann: Person, ground: str) -> None:
    with pytest.raises(Invalid) as refused:
        vendor.system.restrictions.restrict(TENANT, sid_of(vendor, ann), ground)
    assert refused.value.clause == "rights.restrict"


def test_who_is_not_confirmed_is_not_used_anyway(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("newsletter", ann)
    ((sid,),) = vendor.rows("SELECT sid FROM subjects")
    assert isinstance(sid, bytes)
    with pytest.raises(Conflict):
        vendor.system.restrictions.restrict(TENANT, sid, "accuracy")


def test_a_guard_that_was_not_written_is_written_by_the_job(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    begun = vendor.system.restrictions.restrict(TENANT, sid, "accuracy")
    vendor.system.store.keys.writing().exec_driver_sql("DELETE FROM guards")
    vendor.system.store.keys.writing().commit()
    vendor.system.work()
    rows = vendor.key_rows("SELECT eid, kind, at_ms FROM guards")
    assert rows == [(begun.entry, "restricted", begun.since_ms)]


def test_every_step_in_the_centre_works_without_a_script(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    browser = vendor.centre(ann)
    browser.open("/privacy/restrict")
    browser.send("/privacy/restrict")
    assert browser.answer.status == 422
    browser.send("/privacy/restrict", ground="objection")
    assert browser.address == "/privacy/restrict"
    assert "Your data is set aside since" in browser.page.text
    assert not may_read(vendor, sid)
    vendor.system.restrictions.announce(TENANT, sid, actor="system")
    browser.open("/privacy/restrict")
    browser.send("/privacy/restrict/keep")
    browser.send("/privacy/restrict/lift")
    assert "Why should it be set aside?" in browser.page.text
    assert may_read(vendor, sid)


STEPS = st.lists(st.sampled_from(["restrict", "lift", "announce", "keep", "wait", "send"]), min_size=1, max_size=12)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS, ground=st.sampled_from(GROUNDS))
def test_it_ends_by_the_person_or_seven_days_after_a_letter(
    vendor: Vendor, ann: Person, steps: list[str], ground: Ground
) -> None:
    """The law over any order of steps, against a plain account of them."""
    sid, own = sid_of(vendor, ann), vendor.system.restrictions
    own.lift(TENANT, sid)
    set_aside, told = False, "no"
    for step in steps:
        try:
            match step:
                case "restrict":
                    own.restrict(TENANT, sid, ground)
                    set_aside, told = True, told if set_aside else "no"
                case "lift":
                    own.lift(TENANT, sid)
                    set_aside, told = False, "no"
                case "announce":
                    own.announce(TENANT, sid, actor="system")
                    told = "queued"
                case "keep":
                    own.keep(TENANT, sid)
                    told = "no"
                case "send":
                    vendor.letters()
                    told = "sent" if told == "queued" else told
                case "wait":
                    vendor.clock.advance(7 * DAY_MS)
                    own.settle()
                    set_aside, told = (False, "no") if told == "sent" else (set_aside, told)
        except Conflict:
            assert not set_aside or (step == "announce" and told != "no")
        assert may_read(vendor, sid) is not set_aside
    kinds = guards(vendor)
    assert all(a != b for a, b in pairwise(kinds))
    assert kinds[-1:] == (["restricted"] if set_aside else kinds[-1:] and ["unrestricted"])
    begun, ended = (len(vendor.entries(f"restriction.{kind}")) for kind in ("begun", "ended"))
    assert (begun, ended) == (kinds.count("restricted"), kinds.count("unrestricted"))
