"""Objecting and withdrawing: at once and for good, over erasure and every spelling; a fresh yes lifts that alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.clauses.conftest import row
from tests.clauses.tampering import behind
from tests.clauses.vendor import TENANT, Person, Vendor, example, word
from troth.errors import Invalid, NotFound
from troth.policy import compile
from troth.policy.model import CompiledPolicy, Grant, State, Stop
from troth.rights.objection import GUARD_JOB, with_stop
from troth.store import Write
from troth.store.ledger import EntryDraft
from troth.store.writer import DataTx
from troth.use.transport import Outcome


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    made = compile(example()).policy
    assert made is not None
    return made


def plus(email: str) -> str:
    """The same mailbox under a label."""
    local, _, domain = email.partition("@")
    return f"{local.upper()}+{word(4)}@{domain}"


@pytest.mark.parametrize("spelling", [str.upper, plus, str], ids=["other case", "plus-address", "as it was"])
def test_an_objection_outlives_erasure_and_a_new_registration(vendor: Vendor, spelling: Callable[[str], str]) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    assert vendor.issues(sid, ann.email) == 1
    vendor.system.objections.object(TENANT, sid, "marketing")
    assert vendor.issues(sid, ann.email) == 0
    vendor.system.erasures.erase(TENANT, sid)
    vendor.letters()

    again = spelling(ann.email)
    back = vendor.join("registration", ann, email=again)
    assert back != sid
    assert vendor.issues(back, again) == 0
    state = vendor.system.store.read(lambda c: vendor.system.vault.state_of(c, TENANT, back)[0])
    assert Stop("marketing") in state.stops  # so that every use is stopped, not the mail alone, and the centre shows it
    assert {"purpose": "marketing", "channel": None} in vendor.system.access.copy(TENANT, back).objections


def test_a_letter_that_was_on_the_wire_breaks_no_promise_and_one_begun_later_would(vendor: Vendor) -> None:
    """The objection is answered when that letter has landed; the board judges by when its sending began."""
    ann, messages = Person(), vendor.system.messages
    sid = vendor.join("newsletter", ann)
    vendor.queue_issue()
    (letter,) = messages.take()
    assert messages.record([], [letter]) == ["go"]
    objecting = threading.Thread(target=vendor.system.objections.object, args=(TENANT, sid, "marketing"))
    objecting.start()
    until = time.monotonic() + 30
    while not vendor.entries("objection.made"):
        assert time.monotonic() < until
    vendor.clock.advance(2_000)
    messages.record([(letter, Outcome("sent", "250 taken"))], [])
    objecting.join()
    found = row(vendor.system, "rights.object-marketing")
    assert found.status != "FAIL", found.reason

    late = "UPDATE ledger SET at_ms = at_ms + 3000 WHERE kind = 'message.sending'"
    assert behind(vendor.folder, late) > 0  # as if the same letter had been begun after the answer
    assert row(vendor.system, "rights.object-marketing").status == "FAIL"


def test_a_fresh_double_opt_in_lifts_exactly_what_was_asked_for(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    vendor.system.objections.object(TENANT, sid, "marketing")
    vendor.submit("newsletter", ann)
    assert vendor.issues(sid, ann.email) == 0  # asking again is not yet a yes
    vendor.confirm(ann.email)
    assert vendor.issues(sid, ann.email) == 1
    suppressed = vendor.system.vault.suppressed
    beside = {p.id for p in vendor.system.policy.purposes.values() if p.parent == "marketing"} - {"newsletter"}
    assert not suppressed(TENANT, "email", ann.email, "marketing")
    assert not suppressed(TENANT, "email", ann.email, "newsletter")
    assert all(suppressed(TENANT, "email", ann.email, purpose) for purpose in beside)
    state = vendor.system.store.read(lambda c: vendor.system.vault.state_of(c, TENANT, sid)[0])
    assert {stop.purpose for stop in state.stops} == beside


def told(text: str) -> str:
    """What a page says, without the ledger's place in its footer."""
    return text.partition("<main")[2].partition("</main")[0]


def test_the_link_in_a_letter_stops_the_next_one_and_says_the_same_again(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    assert vendor.issues(sid, ann.email) == 1
    header = str(vendor.letters(ann.email)[-1].message["List-Unsubscribe"])
    path = header[header.index("/unsubscribe/") :].rstrip(">")
    browser, before = vendor.browser(), vendor.everything()
    assert browser.open(path).status == 200
    assert vendor.everything() == before
    answer = browser.http.post(path, {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert vendor.issues(sid, ann.email) == 0
    stopped = vendor.everything()
    again = browser.http.post(path, {"List-Unsubscribe": "One-Click"})
    assert (again.status_code, told(again.text)) == (answer.status_code, told(answer.text))
    assert len(vendor.entries("objection.made")) == 1
    assert vendor.everything() | {"tree": ""} == stopped | {"tree": ""}  # which is published in its own time
    vendor.submit("newsletter", ann)
    vendor.confirm(ann.email)
    assert vendor.issues(sid, ann.email) == 1  # a fresh yes
    browser.http.post(path, {"List-Unsubscribe": "One-Click"})  # and the old letter is still one that ends it
    assert vendor.issues(sid, ann.email) == 0
    assert len(vendor.entries("objection.made")) == 2
    vendor.system.erasures.erase(TENANT, sid)
    assert browser.http.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200


def test_withdrawing_is_written_into_the_record_and_its_receipt(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    browser = vendor.centre(ann)
    browser.send("/privacy/withdraw/newsletter")
    assert browser.answer.status == 200
    (consent,) = vendor.system.access.copy(TENANT, sid).consents
    assert consent["troth:state"] == "Withdrawn"
    assert consent["dpv:hasConsentStatus"] == ["dpv:ConsentWithdrawn"]
    assert [e["@type"] for e in consent["troth:events"]] == [
        "dpv:ConsentRequested",
        "dpv:ConsentGiven",
        "dpv:ConsentWithdrawn",
    ]
    receipt = json.loads(browser.open(f"/consent/receipts/{consent['dct:identifier']}").body)
    assert receipt["troth:record"]["dpv:hasConsentStatus"] == ["dpv:ConsentWithdrawn"]
    (entry,) = (json.loads(body) for body in vendor.entries("consent.withdrawn"))
    assert (entry["purpose"], entry["facts"]) == ("newsletter", {"consent": "newsletter", "records": 1})
    assert vendor.issues(sid, ann.email) == 0


def test_a_record_that_cannot_be_opened_keeps_no_withdrawal_from_being_in_force(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    vendor.system.store.write(Write(lambda tx: tx.execute(text("UPDATE consent_records SET ct = zeroblob(60)"))))
    assert vendor.system.objections.object(TENANT, sid, "newsletter").consents == 1
    assert vendor.rows("SELECT state FROM consent_records") == [("Withdrawn",)]


def test_what_contract_and_law_need_cannot_be_objected_to(vendor: Vendor) -> None:
    sid = vendor.join("registration", Person())
    for purpose in ("account", "rights", "no-such-purpose"):
        with pytest.raises(Invalid):
            vendor.system.objections.object(TENANT, sid, purpose)
    assert vendor.entries("objection.made") == []


def test_an_objection_interrupted_before_its_suppression_is_kept_by_the_erasure(vendor: Vendor) -> None:
    """The process died after D and before K, and the erasure came before the job: the address stays suppressed."""
    ann = Person()
    sid = vendor.join("newsletter", ann)

    def body(tx: DataTx) -> None:  # what the objection's own transaction leaves
        tx.append(EntryDraft("objection.made", "rights.object-marketing", "right.object", purpose="marketing"))
        vendor.system.vault.change_state(
            tx, TENANT, sid, lambda s: with_stop(vendor.system.policy, s, Stop("marketing"))
        )

    vendor.system.store.write(Write(body))
    assert not vendor.system.vault.suppressed(TENANT, "email", ann.email, "marketing")
    vendor.system.erasures.erase(TENANT, sid)
    assert vendor.system.vault.suppressed(TENANT, "email", ann.email, "marketing")


def test_an_objection_of_somebody_who_is_being_erased_leaves_nothing(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    vendor.system.erasures.order(TENANT, sid)
    with pytest.raises(NotFound):
        vendor.system.objections.object(TENANT, sid, "marketing")
    assert vendor.entries("objection.made") == []


def test_an_objection_leaves_a_guard_for_restores_with_its_own_stop(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    done = vendor.system.objections.object(TENANT, sid, "marketing", channel="phone")
    vendor.letters()
    assert vendor.key_rows("SELECT hex(eid), kind, stops FROM guards WHERE sid = :sid", sid=sid) == [
        (done.entry.upper(), "objected", '[{"channel":"phone","purpose":"marketing"}]')
    ]
    # a stop of one channel ends neither the consent nor the letters of another
    assert vendor.rows("SELECT state FROM consent_records") == [("Given",)]
    assert vendor.issues(sid, ann.email) == 1
    assert not vendor.system.vault.suppressed(TENANT, "email", ann.email, "marketing")
    assert vendor.rows("SELECT count(*) FROM jobs WHERE kind = :kind", kind=GUARD_JOB) == [(0,)]


def test_a_stop_ends_the_grants_below_it_and_no_other(policy: CompiledPolicy) -> None:
    below, other = Grant("newsletter", "email", "newsletter-1"), Grant("analytics", None, "analytics-1")
    state = with_stop(policy, State("normal", "v", frozenset({below, other})), Stop("marketing"))
    assert state.grants == {other}
    assert state.stops == {Stop("marketing")}
    phone = with_stop(policy, State("normal", "v", frozenset({below})), Stop("marketing", "phone"))
    assert phone.grants == {below}
