"""The officer's desk: a letter is recorded, proven, put off, answered, by forms that need no script."""

from __future__ import annotations

import datetime as dt

import pytest
from click.testing import CliRunner

from tests.clauses.vendor import TENANT, Browser, Person, Vendor
from tests.use.staff import PHRASE
from troth.cli.request import request
from troth.use import totp
from troth.use.operators import Operator
from troth.web.control import perform

DESK = "/console/requests"


def signed_in(vendor: Vendor, role: str) -> Browser:
    """A browser of somebody who has joined in this role."""
    ada, cookie = join(vendor, vendor.system.operators.first("ada"))
    if role != "administrator":
        _, cookie = join(vendor, vendor.system.operators.invite(role, role, ada))
    browser = vendor.browser()
    browser.cookies["troth_console"] = cookie
    return browser


def join(vendor: Vendor, token: str) -> tuple[Operator, str]:
    """Accept an invitation with a password and an app: who it is now, and their cookie."""
    own, sign_in = vendor.system.operators, vendor.system.sign_in
    invited = own.invited(token)
    secret, sealed = sign_in.new_secret(invited)
    cookie = f"cookie-of-{invited.role}-in-this-test"
    sign_in.join_by_password(token, PHRASE, sealed, totp.code(secret, totp.step_at(vendor.clock.now())), cookie)
    return own.get(invited.id), cookie


@pytest.fixture
def ann(vendor: Vendor) -> Person:
    ann = Person()
    vendor.join("registration", ann)
    return ann


def today(vendor: Vendor) -> str:
    return dt.datetime.fromtimestamp(vendor.clock.now() / 1000, tz=dt.UTC).date().isoformat()


def test_from_the_letter_to_the_certificate(vendor: Vendor, ann: Person) -> None:
    desk = signed_in(vendor, "officer")
    assert "requests wait for an answer" in desk.open("/console").body.decode()
    desk.open(DESK)
    desk.send(DESK, kind="erasure", road="letter", received=today(vendor))
    place = desk.address
    assert place.startswith(DESK + "/")
    desk.send(place + "/prove", email="nobody@example.org", how="document")
    assert desk.answer.status == 422
    desk.open(place)
    desk.send(place + "/prove", email=ann.email, how="document")
    assert desk.address == place
    assert "What was given: Register" in desk.page.text  # the plan, before anything happens
    assert "personal_records" in desk.page.text
    desk.send(place + "/fulfil")
    assert desk.address.startswith("/console/erasures/")
    assert "gone, looked for again" in desk.page.text
    assert "troth-plan-1" in desk.page.text
    assert not any(marker in desk.page.text for marker in ann.markers)
    number = desk.address.rpartition("/")[2]
    assert number in desk.open("/console/erasures").body.decode()
    assert desk.open("/console/erasures/" + "0" * 32).status == 404
    desk.cookies.clear()
    assert "Sign in" in desk.open(f"/console/erasures/{number}").body.decode()
    assert vendor.system.vault.find(TENANT, "email", ann.email) is None
    assert vendor.letters(ann.email)[-1].subject.startswith("Your data is erased")


def test_steps_that_cannot_be_taken_say_so_beside_the_form(vendor: Vendor) -> None:
    desk = signed_in(vendor, "officer")
    desk.open(DESK)
    desk.send(DESK, kind="access", road="letter", received="2099-01-01")
    assert (desk.answer.status, desk.address) == (422, DESK)
    desk.send(DESK, kind="access", road="letter", received=today(vendor))
    place = desk.address
    desk.send(place + "/refuse", reason="unidentified")
    assert desk.answer.status == 409
    assert "The person has to be told" in desk.page.text
    desk.send(place + "/refuse", reason="unidentified", printed="yes")
    assert "refused" in desk.page.text
    assert "we could not establish that it comes from the person concerned" in desk.page.text


def test_desk_and_command_line_say_the_same_deadline_and_the_same_hour_when_it_is_over(vendor: Vendor) -> None:
    """``troth request`` asks the system that is being served, as the desk does."""
    store, folder = vendor.system.store, str(vendor.folder)
    store.listen(lambda asked: perform(vendor.system, asked))

    def typed(*words: str) -> str:
        done = CliRunner().invoke(request, [*words, "--data", folder])
        assert done.exit_code == 0, done.output
        return done.output

    vendor.clock.advance(24 * 60 * 60_000 - 5 * 60_000)  # five minutes before noon, on 3 March 2026
    desk = signed_in(vendor, "officer")
    desk.open(DESK)
    desk.send(DESK, kind="access", road="letter", received="2026-02-03")
    assert "by 2026-03-03" in typed("record", "erasure", "--received", "2026-02-03")
    one, other = vendor.system.procedures.waiting(TENANT)
    assert (one.received_ms, one.due_ms) == (other.received_ms, other.due_ms)
    assert "LATE" not in typed("list")
    assert desk.open(DESK).page.text.split().count("late") == 0
    vendor.clock.now_ms = one.due_ms + 1
    assert today(vendor) == "2026-03-03"
    assert typed("list").count("by 2026-03-03  requested  LATE") == 2
    assert desk.open(DESK).page.text.split().count("late") == 2
    assert CliRunner().invoke(request, ["record", "access", "--received", "2.3.2026", "--data", folder]).exit_code != 0


def test_the_desk_names_who_did_it_and_shows_no_address(vendor: Vendor, ann: Person) -> None:
    desk = signed_in(vendor, "officer")
    desk.open(DESK)
    desk.send(DESK, kind="access", road="telephone", received=today(vendor), email=ann.email)
    assert ann.email not in desk.answer.body.decode()
    assert ann.email not in desk.open(DESK).body.decode()
    officer = next(one for one in vendor.system.operators.all() if one.role == "officer")
    assert officer.actor.encode() in vendor.entries("rights.received")[0]


@pytest.mark.parametrize(
    ("role", "reads", "handles"), [("support", 200, 403), ("administrator", 403, 403), ("auditor", 403, 403)]
)
def test_only_the_officer_answers(vendor: Vendor, role: str, reads: int, handles: int) -> None:
    desk = signed_in(vendor, role)
    assert desk.open(DESK).status == reads
    before = vendor.everything()
    desk.open("/console")
    answer = desk.http.post(
        DESK,
        {"csrf_token": csrf_of(vendor, desk), "kind": "access", "road": "letter", "received": today(vendor)},
        headers={"cookie": f"troth_console={desk.cookies['troth_console']}"},
    )
    assert answer.status_code == handles
    assert vendor.everything() == before


def csrf_of(vendor: Vendor, desk: Browser) -> str:
    session = vendor.system.sign_in.session(desk.cookies["troth_console"])
    assert session is not None
    return session.csrf.hex()


@pytest.mark.parametrize("address", ["not an address", "@", "a" * 2000 + "@example.org"])
def test_an_address_that_is_none_is_said_in_the_readers_words(vendor: Vendor, address: str) -> None:
    desk = signed_in(vendor, "officer")
    desk.open(DESK)
    desk.send(DESK, kind="access", road="letter", received=today(vendor), email=address)
    assert (desk.answer.status, "⟨" in desk.page.text) == (422, False)
    desk.send(DESK, kind="access", road="letter", received=today(vendor))
    place = desk.address
    desk.send(place + "/prove", email=address, how="document")
    assert (desk.answer.status, "⟨" in desk.page.text) == (422, False)


def test_a_purpose_that_nobody_can_stop_is_refused_in_words(vendor: Vendor, ann: Person) -> None:
    desk = signed_in(vendor, "officer")
    desk.open(DESK)
    desk.send(DESK, kind="objection", road="letter", received=today(vendor), email=ann.email)
    place = desk.address
    desk.send(place + "/prove", email=ann.email, how="document")
    desk.send(place + "/fulfil", purpose="account")
    assert desk.answer.status == 422
    assert "This does not fit" in desk.page.text
