"""Registration: one person for one address, however it is written and whoever is first."""

from __future__ import annotations

import json
import threading

import pytest
from sqlalchemy import update

from tests.clauses.vendor import TENANT, Person, Vendor
from troth.errors import TrothError, Unproven
from troth.store import Write
from troth.store.tables import subjects
from troth.world import DAY_MS


def test_the_address_in_another_case_is_the_person_who_is_here(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    browser = vendor.browser()
    vendor.submit("registration", ann, email=ann.email.upper())
    token = vendor.token(ann.email)
    vendor.system.confirmation.confirm(token)

    assert vendor.system.vault.find(TENANT, "email", ann.email) == sid
    assert vendor.rows("SELECT sid, mode FROM subjects") == [(sid, "live")]
    assert vendor.rows("SELECT DISTINCT sid FROM personal_records") == [(sid,)]
    assert vendor.count("personal_records") == 2
    assert vendor.key_rows("SELECT state FROM tags") == [("live",)]
    copy = vendor.system.access.copy(TENANT, sid)
    assert {held.point for held in copy.records} == {"newsletter", "registration"}

    browser.open(f"/confirm/{token}")  # the used link says so here too, though the pending person is gone
    assert browser.answer.status == 200
    assert "confirmed before" in browser.answer.page.text
    assert vendor.system.confirmation.confirm(token).already


def test_two_who_confirm_one_address_at_once_are_one_person(vendor: Vendor) -> None:
    ann = Person()
    for _ in range(4):
        vendor.submit("registration", ann)
    letters = vendor.letters(ann.email, "/confirm/")
    tokens = [word[word.index("/confirm/") + 9 :] for m in letters for word in m.text.split() if "/confirm/" in word]
    assert len(set(tokens)) == 4
    faults: list[BaseException] = []
    together = threading.Barrier(4)

    def press(token: str) -> None:
        together.wait()
        try:
            vendor.system.confirmation.confirm(token)
        except TrothError as fault:
            faults.append(fault)

    threads = [threading.Thread(target=press, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while faults:  # "please try again" is an answer; then it works
        assert isinstance(faults.pop(), Unproven)
        for token in tokens:
            vendor.system.confirmation.confirm(token)

    assert vendor.count("subjects") == 1
    assert vendor.key_rows("SELECT state FROM tags") == [("live",)]
    assert vendor.key_rows("SELECT count(DISTINCT sid) FROM data_keys") == [(1,)]
    assert len(vendor.rows("SELECT 1 FROM personal_records")) == 4
    sid = vendor.system.vault.find(TENANT, "email", ann.email)
    assert sid is not None
    assert len(vendor.system.access.copy(TENANT, sid).records) == 4


def test_what_is_being_erased_cannot_be_confirmed(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("registration", ann)
    token = vendor.token(ann.email)
    vendor.system.store.write(Write(lambda tx: tx.execute(update(subjects).values(mode="erasing"))))
    with pytest.raises(Unproven):
        vendor.system.confirmation.confirm(token)
    assert vendor.entries("intake.confirmed") == []
    assert vendor.rows("SELECT mode FROM subjects") == [("erasing",)]


def test_a_confirmation_that_died_between_the_stores_is_finished_by_the_next(vendor: Vendor) -> None:
    """The tag is live in K, the person still pending in D: whoever proves the address next makes them live."""
    ann = Person()
    vendor.submit("registration", ann)
    (sid,) = (row[0] for row in vendor.rows("SELECT sid FROM subjects"))
    assert isinstance(sid, bytes)
    vendor.system.store.write_keys(lambda ktx: vendor.system.vault.promote(ktx, TENANT, sid))
    vendor.again()
    vendor.submit("registration", ann)
    vendor.confirm(ann.email)
    assert vendor.rows("SELECT sid, mode FROM subjects") == [(sid, "live")]
    assert vendor.count("personal_records") == 2


def test_an_account_never_confirmed_is_erased_after_its_thirty_days(vendor: Vendor) -> None:
    vendor.submit("registration", Person())
    vendor.letters()
    vendor.clock.advance(30 * DAY_MS - 1)
    assert vendor.system.retention.run().erased == 0
    vendor.clock.advance(1)
    assert vendor.system.retention.run().erased == 1
    assert vendor.count("subjects") == 0


def test_every_entry_of_a_registration_is_the_persons_own_to_open(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    sid, other = vendor.join("registration", ann), vendor.join("registration", ben)
    mine = vendor.whose(vendor.system.vault.opening(TENANT, sid))
    theirs = vendor.whose(vendor.system.vault.opening(TENANT, other))
    assert {json.loads(body)["kind"] for body in mine} >= {"intake.accepted", "intake.confirmed", "message.sent"}
    assert not set(mine) & set(theirs)
