"""Requests that people answer: the month begins when a request came in, and every end of it is told."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clauses.vendor import TENANT, Person, Vendor, word
from troth.errors import Conflict, Denied, Invalid, NotFound, Unproven
from troth.policy.model import RightKind
from troth.rights import calendar
from troth.rights.procedures import ALARMS, Step, alarm
from troth.rights.register import MONTH, REASONS, WITH_EXTENSION
from troth.world import DAY_MS


def day(at_ms: int) -> str:
    return calendar.day(at_ms, dt.UTC)


def at(text: str) -> int:
    return round(dt.datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


BY_HAND = [  # worked out with a calendar: came in, to be answered by, at the latest with two months more
    ("2026-01-31T09:30:00", "2026-02-28T09:30:00", "2026-04-30T09:30:00"),
    ("2028-01-31T09:30:00", "2028-02-29T09:30:00", "2028-04-30T09:30:00"),
    ("2026-02-28T23:59:59", "2026-03-28T23:59:59", "2026-05-28T23:59:59"),
    ("2026-03-31T00:00:00", "2026-04-30T00:00:00", "2026-06-30T00:00:00"),
    ("2026-08-31T12:00:00", "2026-09-30T12:00:00", "2026-11-30T12:00:00"),
    ("2026-11-30T12:00:00", "2026-12-30T12:00:00", "2027-02-28T12:00:00"),
    ("2027-11-30T12:00:00", "2027-12-30T12:00:00", "2028-02-29T12:00:00"),
    ("2026-12-31T12:00:00", "2027-01-31T12:00:00", "2027-03-31T12:00:00"),
    ("2028-02-29T06:00:00", "2028-03-29T06:00:00", "2028-05-29T06:00:00"),
    ("2026-03-29T01:30:00", "2026-04-29T01:30:00", "2026-06-29T01:30:00"),  # a clock change somewhere moves nothing
    ("2026-10-25T01:30:00", "2026-11-25T01:30:00", "2027-01-25T01:30:00"),
]


@pytest.mark.parametrize(("came", "due", "latest"), BY_HAND)
def test_the_month_is_a_month_of_the_calendar(came: str, due: str, latest: str) -> None:
    assert MONTH.after(at(came)) == at(due)
    assert WITH_EXTENSION.after(at(came)) == at(latest)


@given(st.integers(at("2026-01-01T00:00:00"), at("2036-01-01T00:00:00")), st.integers(-20 * DAY_MS, 20 * DAY_MS))
def test_alarms_come_ten_and_three_days_before(due: int, before: int) -> None:
    left = due - (due - before)
    assert alarm(due, due - before) == (3 if left <= 3 * DAY_MS else 10 if left <= 10 * DAY_MS else 0)


@pytest.fixture
def ann(vendor: Vendor) -> Person:
    ann = Person()
    vendor.join("registration", ann)
    return ann


def sid_of(vendor: Vendor, person: Person) -> bytes:
    sid = vendor.system.vault.find(TENANT, "email", person.email)
    assert sid is not None
    return sid


def record(
    vendor: Vendor, kind: RightKind = "access", *, ago: int = 5, sid: bytes | None = None, on_behalf: str | None = None
) -> Step:
    received = vendor.clock.now() - ago * DAY_MS
    return vendor.system.procedures.record(
        TENANT, kind, received, road="letter", actor="system", sid=sid, on_behalf=on_behalf
    )


def proven(vendor: Vendor, person: Person, kind: RightKind = "access") -> bytes:
    sid = sid_of(vendor, person)
    rid = record(vendor, kind, sid=sid).case.id
    vendor.system.procedures.prove(TENANT, rid, sid, "document", actor="system")
    return rid


def facts(vendor: Vendor, kind: str) -> list[dict[str, object]]:
    return [json.loads(body)["facts"] for body in vendor.entries(kind)]


def test_the_clock_starts_on_the_day_the_letter_came(vendor: Vendor, ann: Person) -> None:
    step = record(vendor, ago=5, sid=sid_of(vendor, ann))
    received = vendor.clock.now() - 5 * DAY_MS
    assert (step.case.received_ms, step.case.due_ms) == (received, MONTH.after(received))
    assert step.lettered
    assert f"by {day(step.case.due_ms)}" in vendor.letters(ann.email)[-1].text
    (entry,) = facts(vendor, "rights.received")
    assert (entry["road"], entry["received"], entry["due"]) == ("letter", received, step.case.due_ms)


@pytest.mark.parametrize("ago", [-1, 400])
def test_a_day_that_lies_ahead_or_long_ago_is_not_taken(vendor: Vendor, ago: int) -> None:
    with pytest.raises(Invalid) as refused:
        record(vendor, ago=ago)
    assert refused.value.gaps == ("/received: time",)
    assert vendor.system.procedures.waiting(TENANT) == []


def test_asked_twice_is_one_request_with_the_first_deadline(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    first = record(vendor, ago=5, sid=sid).case
    assert record(vendor, ago=1, sid=sid).case == first
    assert record(vendor, "portability", sid=sid).case.id != first.id
    assert len(vendor.entries("rights.repeated")) == 1


def test_nothing_is_done_before_it_is_shown_who_asks(vendor: Vendor, ann: Person) -> None:
    own, sid = vendor.system.procedures, sid_of(vendor, ann)
    rid = record(vendor, "erasure").case.id
    with pytest.raises(Unproven):
        own.fulfil(TENANT, rid, actor="system")
    own.prove(TENANT, rid, sid, "call", actor="system")
    step = own.fulfil(TENANT, rid, actor="system")
    assert vendor.system.erasures.certificate(bytes.fromhex(step.result)).state == "gone"
    assert vendor.system.vault.find(TENANT, "email", ann.email) is None
    assert own.waiting(TENANT) == []  # the request went with the person: its certificate remains
    assert vendor.letters(ann.email)[-1].subject.startswith("Your data is erased")


def test_who_asks_for_another_shows_that_they_may(vendor: Vendor, ann: Person) -> None:
    own, sid = vendor.system.procedures, sid_of(vendor, ann)
    rid = record(vendor, on_behalf="parent").case.id
    with pytest.raises(Unproven):
        own.prove(TENANT, rid, sid, "document", actor="system")
    assert own.prove(TENANT, rid, sid, "proof of authority", actor="system").case.proven_ms


@pytest.mark.parametrize("first", ["a stranger", "the person"])
def test_who_says_that_they_ask_for_another_does_not_stand_in_their_way(
    vendor: Vendor, ann: Person, first: str
) -> None:
    own, sid = vendor.system.procedures, sid_of(vendor, ann)
    asked = ["representative", None] if first == "a stranger" else [None, "representative"]
    cases = [record(vendor, sid=sid, on_behalf=who).case for who in asked]
    assert cases[0].id != cases[1].id
    for who, case in zip(asked, cases, strict=True):
        again = record(vendor, ago=1, sid=sid, on_behalf=who).case
        assert again.id == case.id  # by whoever it was, asked twice is one request
    anns, strangers = cases if first == "the person" else reversed(cases)
    own.prove(TENANT, anns.id, sid, "document", actor="system")
    with pytest.raises(Unproven):
        own.prove(TENANT, strangers.id, sid, "document", actor="system")
    assert own.fulfil(TENANT, anns.id, actor="system").case.state == "fulfilled"
    assert [case.id for case in own.waiting(TENANT)] == [strangers.id]


def test_a_request_stays_with_its_person(vendor: Vendor, ann: Person) -> None:
    own, ben = vendor.system.procedures, Person()
    vendor.join("registration", ben)
    rid = record(vendor, sid=sid_of(vendor, ann)).case.id
    with pytest.raises(Conflict):
        own.prove(TENANT, rid, sid_of(vendor, ben), "document", actor="system")
    other = record(vendor).case.id  # the same right, by somebody unknown, who turns out to be Ann
    with pytest.raises(Conflict):
        own.prove(TENANT, other, sid_of(vendor, ann), "document", actor="system")


def test_two_months_more_are_told_within_the_first_with_a_reason(vendor: Vendor, ann: Person) -> None:
    own = vendor.system.procedures
    case = record(vendor, ago=0, sid=sid_of(vendor, ann)).case
    with pytest.raises(Invalid):
        own.extend(TENANT, case.id, "busy", actor="system")
    vendor.clock.now_ms = case.extensible_until(dt.UTC) - 1
    step = own.extend(TENANT, case.id, "complex", actor="system")
    assert step.case.due_ms == WITH_EXTENSION.after(case.received_ms)
    assert "because what you ask for is complex" in " ".join(vendor.letters(ann.email)[-1].text.split())
    with pytest.raises(Conflict):
        own.extend(TENANT, case.id, "number", actor="system")


def test_after_the_first_month_nothing_is_put_off(vendor: Vendor, ann: Person) -> None:
    case = record(vendor, ago=0, sid=sid_of(vendor, ann)).case
    vendor.clock.now_ms = case.extensible_until(dt.UTC)
    with pytest.raises(Conflict):
        vendor.system.procedures.extend(TENANT, case.id, "complex", actor="system")
    assert vendor.system.procedures.get(TENANT, case.id) == case


@pytest.mark.parametrize("reason", REASONS)
def test_a_refusal_says_why_and_how_to_complain(vendor: Vendor, ann: Person, reason: str) -> None:
    rid = record(vendor, sid=sid_of(vendor, ann)).case.id
    step = vendor.system.procedures.refuse(TENANT, rid, reason, actor="system")
    assert (step.case.state, step.case.reason) == ("refused", reason)
    text = " ".join(vendor.letters(ann.email)[-1].text.split())
    assert vendor.system.catalogue.words(f"right.refusal.{reason}", "en") in text
    assert "complain about this to the data protection authority" in text
    with pytest.raises(Conflict):
        vendor.system.procedures.refuse(TENANT, rid, reason, actor="system")


def test_nobody_is_refused_or_put_off_untold(vendor: Vendor) -> None:
    own, rid = vendor.system.procedures, record(vendor).case.id  # by somebody we cannot write to
    with pytest.raises(Denied):
        own.refuse(TENANT, rid, "unidentified", actor="system")
    with pytest.raises(Denied):
        own.extend(TENANT, rid, "complex", actor="system")
    assert own.extend(TENANT, rid, "complex", actor="system", printed=True).case.extended_ms
    assert own.refuse(TENANT, rid, "unidentified", actor="system", printed=True).case.ended_ms
    assert [told["told"] for told in facts(vendor, "rights.refused")] == ["printed"]


def test_what_is_asked_is_done(vendor: Vendor, ann: Person) -> None:
    own, sid = vendor.system.procedures, sid_of(vendor, ann)
    rid = proven(vendor, ann, "restriction")
    with pytest.raises(Invalid):
        own.fulfil(TENANT, rid, actor="system")
    own.fulfil(TENANT, rid, actor="system", ground="claims")
    assert vendor.system.restrictions.of(TENANT, sid)
    vendor.system.restrictions.lift(TENANT, sid)
    own.fulfil(TENANT, proven(vendor, ann, "objection"), actor="system", purpose="marketing")
    assert vendor.system.access.copy(TENANT, sid).objections
    assert own.fulfil(TENANT, proven(vendor, ann, "access"), actor="system").lettered
    assert {case.state for case in own.ended(TENANT)} == {"fulfilled"}


def test_a_restriction_asked_by_letter_stands_once_in_the_register_and_is_told_once(
    vendor: Vendor, ann: Person
) -> None:
    own, sid = vendor.system.procedures, sid_of(vendor, ann)
    rid = proven(vendor, ann, "restriction")
    before = len(vendor.letters(ann.email))
    assert own.fulfil(TENANT, rid, actor="system", ground="claims").lettered
    (told,) = vendor.letters(ann.email)[before:]
    assert told.subject == "Your data is set aside"
    assert [(one["kind"], one["state"]) for one in vendor.system.access.copy(TENANT, sid).requests] == [
        ("restriction", "fulfilled")
    ]
    again = proven(vendor, ann, "restriction")  # it stands already: the answer is told all the same, and once
    own.fulfil(TENANT, again, actor="system", ground="claims")
    assert len(vendor.letters(ann.email)) == before + 3  # with the word that it was received
    assert len(vendor.entries("restriction.begun")) == 1


def test_alarms_are_said_once_each_and_to_the_controller(vendor: Vendor, ann: Person) -> None:
    own = vendor.system.procedures
    case = record(vendor, ago=0, sid=sid_of(vendor, ann)).case
    assert own.remind() == 0
    for days in ALARMS:
        vendor.clock.now_ms = case.due_ms - days * DAY_MS
        assert (own.remind(), own.remind()) == (1, 0)
        vendor.letters()
    assert [told["days"] for told in facts(vendor, "rights.due-soon")] == [10, 3]
    letters = vendor.letters(vendor.system.policy.controller.contact)
    assert [letter.subject for letter in letters] == [f"A request has to be answered by {day(case.due_ms)}"] * 2
    assert not any(marker in letter.text for letter in letters for marker in ann.markers)


def test_another_tenant_reaches_no_request(vendor: Vendor, ann: Person) -> None:
    own, rid = vendor.system.procedures, proven(vendor, ann)
    for act in (
        lambda: own.get("other", rid),
        lambda: own.refuse("other", rid, "law", actor="system"),
        lambda: own.extend("other", rid, "complex", actor="system"),
        lambda: own.fulfil("other", rid, actor="system"),
    ):
        with pytest.raises(NotFound):
            act()
    assert own.waiting("other") == []


def test_the_register_holds_nothing_of_the_person(vendor: Vendor, ann: Person) -> None:
    rid = proven(vendor, ann, "portability")
    vendor.system.procedures.refuse(TENANT, rid, "law", actor="system")
    row = repr(vendor.rows("SELECT * FROM rights_requests"))
    assert not any(marker in row for marker in ann.markers)
    assert word() not in row
