"""What somebody took from the ways into their account after the backup, no restore gives back to whoever has it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clauses.drill import Drill
from tests.clauses.test_accounts import OTHER, PHRASE, act, member, sign_in
from tests.clauses.test_passkeys import come_in, owner
from tests.clauses.test_second_factor import HOME, enter, guarded, papers, set_up
from tests.clauses.vendor import Person, Vendor
from troth.use import credentials
from troth.world import DAY_MS


@pytest.fixture
def drill(vendor: Vendor, tmp_path: Path) -> Drill:
    return Drill(vendor, tmp_path)


def test_a_password_that_was_changed_or_removed_since_opens_nothing(drill: Drill) -> None:
    vendor = drill.vendor
    ann, ben, cay = Person(), Person(), Person()
    hers, his, _ = member(vendor, ann), member(vendor, ben), member(vendor, cay)
    backup = drill.backup()
    assert act(hers, "/account/password", old=PHRASE, password=OTHER) == 200
    assert act(his, "/account/password/remove", old=PHRASE) == 200
    drill.restore(backup)
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 401
    assert sign_in(vendor.browser(), ann.email, OTHER) == 401  # of which the backup knows nothing
    assert sign_in(vendor.browser(), ben.email, PHRASE) == 401
    assert sign_in(vendor.browser(), cay.email, PHRASE) == 200  # who changed nothing
    assert act(vendor.centre(ann), "/account/password", password=OTHER) == 200
    assert sign_in(vendor.browser(), ann.email, OTHER) == 200


def test_a_password_that_a_second_factor_was_set_beside_since_opens_nothing_alone(drill: Drill) -> None:
    vendor, ann = drill.vendor, Person()
    browser = member(vendor, ann)
    backup = drill.backup()
    set_up(vendor, browser)
    drill.restore(backup)
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 401


def test_recovery_codes_of_which_one_was_used_or_that_were_renewed_are_of_no_use(drill: Drill) -> None:
    vendor, ann, ben = drill.vendor, Person(), Person()
    (_, hers), (browser, his) = guarded(vendor, ann), guarded(vendor, ben)
    backup = drill.backup()
    assert enter(vendor.browser(), ann.email, hers.paper[0]) == 200
    browser.open(HOME)
    assert browser.send(f"{HOME}/codes").status == 200
    fresh = papers(browser)
    drill.restore(backup)
    for person, paper in ((ann, hers.paper), (ben, his.paper), (ben, fresh)):
        assert enter(vendor.browser(), person.email, paper[0]) == 401
        vendor.clock.advance(DAY_MS)
    assert enter(vendor.browser(), ann.email, hers.code()) == 200  # the app's codes are as good as they were


def test_a_passkey_that_was_removed_since_opens_nothing(drill: Drill) -> None:
    vendor, ann, ben = drill.vendor, Person(), Person()
    (browser, lost), (_, kept) = owner(vendor, ann), owner(vendor, ben)
    backup = drill.backup()
    browser.open("/account/passkeys")
    place = re.search(r'name="passkey" value="([0-9a-f]{8})"', browser.answer.body.decode())
    assert place
    assert browser.send("/account/passkeys/remove", passkey=place[1]).status == 200
    drill.restore(backup)
    assert come_in(vendor.browser(), lost) == 401
    assert come_in(vendor.browser(), kept) == 200


def test_a_second_factor_that_its_owner_kept_is_not_lost_by_a_restore(drill: Drill) -> None:
    vendor, ann = drill.vendor, Person()
    mine, app = guarded(vendor, ann)
    act(vendor.centre(ann), f"{HOME}/lost")
    backup = drill.backup()
    assert act(mine, f"{HOME}/keep") == 200
    drill.restore(backup)
    vendor.clock.advance(8 * DAY_MS)
    assert vendor.system.recovery.sweep() == 0
    assert enter(vendor.browser(), ann.email, app.code()) == 200


def test_a_removed_second_factor_is_not_asked_for_again(drill: Drill) -> None:
    vendor, ann = drill.vendor, Person()
    browser, _ = guarded(vendor, ann)
    backup = drill.backup()
    browser.open(HOME)
    assert browser.send(f"{HOME}/remove").status == 200
    drill.restore(backup)
    browser = vendor.browser()
    assert sign_in(browser, ann.email, PHRASE) == 200
    assert "One more step" not in browser.page.text


def test_without_these_entries_the_old_password_would_open(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sabotage: a restore that does not look at them."""
    vendor, ann = drill.vendor, Person()
    browser = member(vendor, ann)
    backup = drill.backup()
    assert act(browser, "/account/password", old=PHRASE, password=OTHER) == 200
    monkeypatch.setattr(credentials, "TAKES", {})
    drill.restore(backup)
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 200


def test_each_of_these_entries_refers_to_the_one_that_set_what_it_ends(vendor: Vendor) -> None:
    ann = Person()
    browser, _ = guarded(vendor, ann)
    browser.open(HOME)
    assert browser.send(f"{HOME}/codes").status == 200
    browser.open(HOME)
    assert browser.send(f"{HOME}/remove").status == 200
    assert act(browser, "/account/password/remove", old=PHRASE) == 200
    sets = {
        "account.second-factor-set": "account.password-set",
        "account.recovery-codes": "account.second-factor-set",
        "account.second-factor-removed": "account.second-factor-set",
        "account.password-removed": "account.password-set",
    }
    found = {kind: json.loads(vendor.entries(kind)[-1]) for kind in {*sets, *sets.values()}}
    assert {kind: found[kind]["refers"] for kind in sets} == {kind: found[by]["eid"] for kind, by in sets.items()}
