"""The newsletter, in the officer's words: asked twice, shown before it is sent, forgotten if nobody says yes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clauses.vendor import TENANT, Person, Vendor, example, vendor_at
from troth.cli.walk import answers
from troth.collect.intake import Faulty, Submission
from troth.errors import Unproven
from troth.world import DAY_MS


def test_without_the_box_ticked_nothing_is_taken(vendor: Vendor) -> None:
    """A newsletter rests on the yes: a form without it comes back, and nothing of the person is kept."""
    point = vendor.system.policy.points["newsletter"]
    with pytest.raises(Faulty):
        vendor.system.intake.take(
            Submission("main", "site:www", "newsletter", answers(point, {"email": "no@example.org", "name": "No One"}))
        )
    assert vendor.count("subjects") == 0


def test_looking_at_the_link_changes_nothing_and_pressing_it_confirms_once(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("newsletter", ann)
    link = f"/confirm/{vendor.token(ann.email)}"
    browser = vendor.browser()

    before = vendor.everything()
    for _ in range(3):  # scanners of mail follow links
        assert browser.open(link).status == 200
    assert vendor.everything() == before
    assert vendor.system.vault.find(TENANT, "email", ann.email) is None

    assert browser.send().status == 200
    sid = vendor.system.vault.find(TENANT, "email", ann.email)
    assert sid is not None
    assert len(vendor.entries("intake.confirmed")) == 1
    assert vendor.issues(sid, ann.email) == 1

    browser.open(link)
    assert "confirmed before" in browser.answer.page.text
    browser.send(link)
    assert browser.answer.status == 200
    assert "confirmed before" in browser.answer.page.text
    assert len(vendor.entries("intake.confirmed")) == 1


def test_nothing_but_the_one_letter_goes_to_somebody_who_has_not_said_yes(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("newsletter", ann)
    (letter,) = vendor.letters(ann.email)
    assert "/confirm/" in letter.text
    (sid,) = (row[0] for row in vendor.rows("SELECT sid FROM subjects"))
    assert isinstance(sid, bytes)
    assert vendor.issues(sid, ann.email) == 0


def test_a_link_that_is_too_old_confirms_nothing(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("newsletter", ann)
    token = vendor.token(ann.email)
    vendor.clock.advance(7 * DAY_MS)
    browser = vendor.browser()
    assert browser.open(f"/confirm/{token}").status == 401
    with pytest.raises(Unproven):
        vendor.system.confirmation.confirm(token)
    assert vendor.entries("consent.given") == []


def test_a_link_for_something_else_confirms_nothing(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, "en"))
    with pytest.raises(Unproven):
        vendor.system.confirmation.confirm(vendor.token(ann.email, "/privacy/open/"))


def test_a_field_that_no_clause_declares_is_refused_with_the_clause_it_would_need(vendor: Vendor) -> None:
    ann, browser = Person(), vendor.browser()
    values = answers(vendor.system.policy.points["newsletter"], ann.told) | {"consent": "newsletter"}
    browser.open("/forms/newsletter")
    browser.send("/forms/newsletter", **values, shoe_size="44")
    assert browser.answer.status == 422
    assert "collect.newsletter" in browser.answer.text
    assert "field:shoe_size" in browser.answer.text
    assert not {marker for marker in ann.markers | {">44<"} if marker in browser.answer.text}
    sent = {"name": "A", "email": ann.email, "age": "7"}
    body = {"point": "newsletter", "surface": "site:www", "values": sent}
    answer = browser.http.request("POST", "/api/v1/submissions", json=body)
    assert answer.status_code == 422
    assert answer.json()["clause"] == "collect.newsletter"
    assert vendor.count("subjects") == 0


def test_who_sends_a_form_under_words_that_have_changed_is_asked_again(tmp_path: Path) -> None:
    new = example().replace("version: 2026-01-15", "version: 2026-03-03", 1)
    new = new.replace("effective: 2026-02-15", "effective: 2026-04-03", 1)
    new = new.replace("I can stop it at any time.", "I can stop it whenever I like.", 1)
    with vendor_at(tmp_path / "vendor") as vendor:
        ann, browser = Person(), vendor.browser()
        browser.open("/forms/newsletter")
        shown = browser.page
        vendor.system.versions.publish(new)
        vendor.clock.advance(33 * DAY_MS)
        values = answers(vendor.system.policy.points["newsletter"], ann.told) | {"consent": "newsletter"}
        browser.send("/forms/newsletter", **values)
        assert browser.answer.status == 409
        assert shown.text != browser.page.text
        assert vendor.count("subjects") == 0
        browser.send("/forms/newsletter", **values)  # the page that came back shows the new words, and their hash
        assert browser.address == "/sent"
        vendor.confirm(ann.email)
        assert vendor.rows("SELECT version, state FROM consent_records") == [("2026-03-03", "Given")]


def test_who_never_says_yes_is_erased_after_the_declared_days_and_not_a_moment_before(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("newsletter", ann)
    vendor.letters()
    vendor.clock.advance(7 * DAY_MS - 1)
    assert vendor.system.retention.run().erased == 0
    assert vendor.count("personal_records") == 1
    assert vendor.count("consent_records") == 1
    vendor.clock.advance(1)
    ran = vendor.system.retention.run()
    assert (ran.erased, ran.overdue) == (1, 0)
    assert vendor.count("subjects") == vendor.count("personal_records") == vendor.count("consent_records") == 0
    assert vendor.key_rows("SELECT count(*) FROM data_keys") == vendor.key_rows("SELECT count(*) FROM tags") == [(0,)]


def test_a_form_sent_twice_under_one_key_is_taken_once(vendor: Vendor) -> None:
    browser, ann = vendor.browser(), Person()
    values = {"name": ann.name, "email": ann.email}
    body = {"point": "newsletter", "surface": "site:www", "consents": ["newsletter"], "values": values}
    key = {"idempotency-key": "form-0001-abcdef"}
    first, second = (browser.http.request("POST", "/api/v1/submissions", json=body, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert vendor.count("subjects") == 1
    assert len(vendor.letters(ann.email)) == 1
    assert vendor.key_rows("SELECT count(*) FROM data_keys WHERE class = ''") == [(1,)]

    other = browser.http.request("POST", "/api/v1/submissions", json=body | {"language": "de"}, headers=key)
    assert other.status_code == 409
