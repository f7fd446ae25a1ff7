"""Passkeys of people: their own doing from adding to removing, one gesture to sign in, and nothing of it to be seen."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from typing import Any

import pytest
from sqlalchemy import update

from tests.authenticator import Authenticator, text_of
from tests.clauses.conftest import row
from tests.clauses.test_accounts import HOUR_MS, OTHER, PHRASE, act, member, sign_in, token
from tests.clauses.vendor import TENANT, Browser, Person, Vendor
from tests.residue import find
from troth.rights.access import as_csv
from troth.store import Write
from troth.store.tables import credentials
from troth.use.person_passkeys import MOST


def question(browser: Browser) -> str:
    """What the page asks the browser's authenticator."""
    found = re.search(r'data-options="([^"]*)"', browser.answer.body.decode())
    assert found, browser.address
    return html.unescape(found[1])


def device_for(vendor: Vendor) -> Authenticator:
    """A device that shows itself to the vendor's pages."""
    return Authenticator(origin=vendor.system.config.url)


def add(browser: Browser, device: Authenticator, name: str = "my key") -> int:
    """A passkey added on the page that adds them: the status."""
    browser.open("/account/passkeys")
    return browser.send("/account/passkeys", answer=device.create(question(browser)), name=name).status


def come_in(browser: Browser, device: Authenticator, **changes: Any) -> int:
    """The sign-in by passkey: the status."""
    browser.open("/account/sign-in")
    return browser.send("/account/sign-in/passkey", answer=device.get(question(browser), **changes)).status


def owner(vendor: Vendor, person: Person) -> tuple[Browser, Authenticator]:
    """A registered person with one passkey and no password, in their centre."""
    vendor.join("registration", person)
    browser, device = vendor.centre(person), device_for(vendor)
    assert add(browser, device) == 200
    return browser, device


def test_from_adding_to_removing(vendor: Vendor) -> None:
    ann = Person()
    browser, device = owner(vendor, ann)
    assert "The passkey was added" in browser.page.text
    assert "One passkey" in browser.page.text
    act(browser, "/privacy/leave")
    vendor.clock.advance(HOUR_MS)

    assert come_in(browser, device) == 200
    assert browser.address == "/account"
    assert "your passkey" in browser.page.text
    assert browser.open("/privacy/data").status == 200
    assert ann.first in browser.page.text
    assert "my key" in browser.page.text

    browser.open("/account/passkeys")
    place = re.search(r'name="passkey" value="([0-9a-f]{8})"', browser.answer.body.decode())
    assert place
    assert browser.send("/account/passkeys/rename", passkey=place[1], name="  the   blue one ").status == 200
    assert "the blue one" in browser.page.text
    other = vendor.browser()
    assert come_in(other, device) == 200
    browser.open("/account/passkeys")
    assert browser.send("/account/passkeys/remove", passkey=place[1]).status == 200
    assert "The passkey is removed" in browser.page.text
    other.open("/account")
    assert other.address == "/privacy"  # whoever came in with it is out
    assert come_in(vendor.browser(), device) == 401
    kinds = [json.loads(b)["kind"] for b in vendor.whose(vendor.system.vault.opening(TENANT, sid_of(vendor, ann)))]
    acts = [kind for kind in kinds if kind.startswith("account.")]
    signed = ["account.signed-in", "account.passkey-named", "account.signed-in"]
    assert acts == ["account.passkey-added", *signed, "account.passkey-removed"]


def sid_of(vendor: Vendor, person: Person) -> bytes:
    return vendor.system.vault.find(TENANT, "email", person.email) or b""


def test_a_letter_says_what_came_or_went(vendor: Vendor) -> None:
    ann = Person()
    browser, _ = owner(vendor, ann)
    (letter,) = vendor.letters(ann.email, "a passkey was added")
    assert letter.subject == "What you sign in with was changed"
    assert "my key" not in letter.text
    browser.open("/account/passkeys")
    browser.send("/account/passkeys/remove")  # the one whose form stands there
    assert len(vendor.letters(ann.email, "a passkey was removed")) == 1


def test_adding_asks_for_a_proof_of_the_last_half_hour(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    browser.open("/account/passkeys")
    asked = question(browser)
    vendor.clock.advance(HOUR_MS)
    answer = device_for(vendor).create(asked)
    browser.send("/account/passkeys", answer=answer, name="late")
    assert browser.address.startswith("/account/sign-in")
    browser.open("/account/passkeys")
    assert browser.address.startswith("/account/sign-in")
    assert "asked of you afresh" in browser.page.text
    assert vendor.rows("SELECT kind FROM credentials WHERE kind LIKE 'passkey%'") == []


def test_the_question_of_a_sign_in_is_the_same_for_everybody(vendor: Vendor) -> None:
    owner(vendor, Person())
    browser = vendor.browser()
    browser.open("/account/sign-in")
    asked = json.loads(question(browser))
    assert asked["allowCredentials"] == []
    assert set(asked) == {"challenge", "rpId", "timeout", "allowCredentials", "userVerification"}
    assert vendor.system.store.read(lambda c: c.execute(credentials.select()).all())  # somebody has one


def test_a_device_that_holds_one_already_is_told_so_and_the_handle_says_nothing(vendor: Vendor) -> None:
    ann = Person()
    browser, device = owner(vendor, ann)
    browser.open("/account/passkeys")
    asked = json.loads(question(browser))
    assert [each["id"] for each in asked["excludeCredentials"]] == [text_of(device.held[0].id)]
    assert asked["user"]["name"] == ann.email  # told to the person's own device alone
    assert sid_of(vendor, ann) not in (device.held[0].handle, b"")
    assert find(vendor.folder, [device.held[0].handle]) == []


def test_nothing_of_a_passkey_stands_outside_its_seal(vendor: Vendor) -> None:
    """Planted values: id, handle, public key, the name; in no file, letter or entry, before or after the erasure."""
    ann = Person()
    browser, device = owner(vendor, ann)
    name = "Qxwvzkey of a friend"
    add(browser, device_for(vendor), name)
    come_in(vendor.browser(), device)
    held = device.held[0]
    numbers = held.key.public_key().public_numbers()
    values = [held.id, held.handle, numbers.x.to_bytes(32, "big"), name.encode(), text_of(held.id).encode()]
    letters = "".join(letter.text for letter in vendor.letters())
    assert name not in letters
    assert text_of(held.id) not in letters
    assert find(vendor.folder, values) == []
    cts = [ct for (ct,) in vendor.rows("SELECT ct FROM credentials") if isinstance(ct, bytes)]
    assert find(vendor.folder, cts)
    vendor.system.erasures.erase(TENANT, sid_of(vendor, ann))
    vendor.letters()
    assert vendor.count("credentials") == 0
    assert come_in(vendor.browser(), device) == 401
    vendor.again()
    assert find(vendor.folder, [*values, *cts]) == []


def test_the_copy_tells_of_each_passkey_in_every_form(vendor: Vendor) -> None:
    ann = Person()
    browser, device = owner(vendor, ann)
    copy = vendor.system.access.copy(TENANT, sid_of(vendor, ann))
    (told,) = copy.account["passkeys"]
    assert (told["name"], told["id"], told["used"]) == ("my key", text_of(device.held[0].id), None)
    with zipfile.ZipFile(io.BytesIO(as_csv(copy))) as archive:
        assert "passkey," in archive.read("account.csv").decode()
    assert "my key" in browser.open("/privacy/copy.html").body.decode()


def test_who_only_reads_the_newsletter_has_no_account_to_open(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    browser = vendor.centre(ann)
    browser.open("/account/passkeys")
    assert "not registered here" in browser.page.text
    assert "data-options" not in browser.answer.body.decode()


def test_the_account_ends_and_its_passkeys_with_it(vendor: Vendor) -> None:
    ann = Person()
    _, device = owner(vendor, ann)
    vendor.join("newsletter", ann)
    for months in (24, 1, 2):  # told of it, over, gone
        vendor.clock.advance(months * 30 * 24 * HOUR_MS)
        vendor.system.retention.run()
        vendor.letters()
    vendor.letters()
    assert [vendor.count(table) for table in ("subjects", "credentials")] == [1, 0]
    assert come_in(vendor.browser(), device) == 401


def test_a_passkey_just_used_stands_for_the_old_password(vendor: Vendor) -> None:
    ann = Person()
    browser, device = owner(vendor, ann)
    act(browser, "/privacy/leave")
    come_in(browser, device)
    assert act(browser, "/account/password", password=PHRASE) == 200
    vendor.clock.advance(HOUR_MS)
    assert act(browser, "/account/password", password=OTHER) == 422  # used long ago: the old one is asked
    assert act(browser, "/account/password", old=PHRASE, password=OTHER) == 200


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\u202eb"])
def test_a_name_that_will_not_do_is_refused_at_its_field(vendor: Vendor, name: str) -> None:
    ann = Person()
    vendor.join("registration", ann)
    browser = vendor.centre(ann)
    assert add(browser, device_for(vendor), name) == 422
    assert 'aria-invalid="true"' in browser.answer.body.decode()
    assert vendor.count("credentials") == 0


def test_there_is_an_end_to_how_many_one_may_have(vendor: Vendor) -> None:
    ann = Person()
    browser, device = owner(vendor, ann)
    for _ in range(MOST - 1):
        assert add(browser, device_for(vendor)) == 200
    assert add(browser, device) == 409
    assert vendor.count("credentials") == MOST


# --- attacks ---


def test_an_answer_works_once(vendor: Vendor) -> None:
    ann = Person()
    _, device = owner(vendor, ann)
    browser = vendor.browser()
    browser.open("/account/sign-in")
    ceremony = re.search(r'name="ceremony" value="([0-9a-f]+)"', browser.answer.body.decode())
    assert ceremony
    answer = device.get(question(browser))
    values = {"ceremony": ceremony[1], "answer": answer}
    assert browser.send("/account/sign-in/passkey", **values).status == 200
    assert vendor.browser().send("/account/sign-in/passkey", **values).status == 401
    assert len(vendor.entries("account.signed-in")) == 1
    assert json.loads(vendor.entries("account.refused")[-1])["facts"] == {"method": "passkey"}


@pytest.mark.parametrize(
    "attack", ["another challenge", "another site", "not verified", "counted before", "another's handle", "no handle"]
)
def test_whatever_does_not_fit_is_refused_in_the_same_words(vendor: Vendor, attack: str) -> None:
    ann, ben = Person(), Person()
    _, device = owner(vendor, ann)
    _, other = owner(vendor, ben)
    assert come_in(vendor.browser(), device, count=7) == 200
    changes: dict[str, Any] = {}
    if attack == "another challenge":
        changes["challenge"] = text_of(b"c" * 32)
    elif attack == "another site":
        device.origin = "http://evil.example"
    elif attack == "not verified":
        device.flags = 0x01
    elif attack == "counted before":
        changes["count"] = 7
    elif attack == "another's handle":
        changes["handle"] = other.held[0].handle
    else:
        changes["handle"] = b""
    browser = vendor.browser()
    assert come_in(browser, device, **changes) == 401
    assert "The passkey was not accepted" in browser.page.text
    assert browser.cookies == {}
    assert "subject" not in json.loads(vendor.entries("account.refused")[-1])


def test_a_passkey_of_another_person_opens_its_own_account_only(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    _, device = owner(vendor, ann)
    _, bens = owner(vendor, ben)
    bens.held[0].handle = device.held[0].handle  # forged: Ann's handle, Ben's key
    assert come_in(vendor.browser(), bens) == 401
    bens.held[0].id = device.held[0].id  # and Ann's id
    assert come_in(vendor.browser(), bens) == 401


def test_what_one_session_began_no_other_ends(vendor: Vendor) -> None:
    """A ceremony of the attacker's own account, pressed upon somebody else's page."""
    ann, eve = Person(), Person()
    vendor.join("registration", ann)
    vendor.join("registration", eve)
    victim, thief, device = vendor.centre(ann), vendor.centre(eve), device_for(vendor)
    thief.open("/account/passkeys")
    ceremony = re.search(r'name="ceremony" value="([0-9a-f]+)"', thief.answer.body.decode())
    assert ceremony
    answer = device.create(question(thief))
    victim.open("/account/passkeys")
    assert victim.send("/account/passkeys", ceremony=ceremony[1], answer=answer, name="x").status == 422
    assert thief.send("/account/passkeys", answer=answer, name="x").status == 200
    assert thief.send("/account/passkeys", ceremony=ceremony[1], answer=answer, name="x").status == 422  # used up
    assert vendor.count("credentials") == 1


def test_a_question_put_to_staff_is_not_answered_by_people(vendor: Vendor) -> None:
    _, device = owner(vendor, Person())
    asked = vendor.system.sign_in.passkeys.ask_to_sign_in()
    values = {"ceremony": asked.sealed, "answer": device.get(asked.options)}
    assert vendor.browser().send("/account/sign-in/passkey", **values).status == 401


def test_a_product_that_hands_somebody_over_adds_no_passkey(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    browser = vendor.centre(ann)
    browser.open("/account/passkeys")
    answer = device_for(vendor).create(question(browser))
    handed = "UPDATE sessions SET method = 'handover'"
    vendor.system.store.write(Write(lambda tx: tx.connection.exec_driver_sql(handed).rowcount))
    assert browser.send("/account/passkeys", answer=answer, name="x").status == 422
    assert "data-options" not in browser.open("/account/passkeys").body.decode()
    assert vendor.count("credentials") == 0


@pytest.mark.parametrize("path", ["/account/passkeys", "/account/passkeys/rename", "/account/passkeys/remove"])
def test_a_form_without_the_sessions_own_token_does_nothing(vendor: Vendor, path: str) -> None:
    browser, _ = owner(vendor, Person())
    other, _ = owner(vendor, Person())
    other.open("/account/passkeys")
    before = vendor.everything()
    for stolen in (token(other), "", "0" * 64):
        assert browser.send(path, csrf_token=stolen, name="x").status == 403
    assert vendor.everything() == before


def test_nobody_removes_or_renames_anothers(vendor: Vendor) -> None:
    owner(vendor, Person())
    ((kind,),) = vendor.rows("SELECT kind FROM credentials")
    thief, _ = owner(vendor, Person())
    place = str(kind).partition(".")[2]
    for path in ("/account/passkeys/rename", "/account/passkeys/remove"):
        thief.open("/account/passkeys")
        assert thief.send(path, passkey=place, name="x").status == 200
        assert "was removed already" in thief.page.text
    assert vendor.count("credentials") == 2


# --- the board, and its sabotage ---


def test_the_board_says_how_passkeys_are_kept(vendor: Vendor) -> None:
    member(vendor, Person())
    owner(vendor, Person())
    assert row(vendor.system, "protect.password").status == "PASS"


@pytest.mark.parametrize("changed", [{"eid": b"e" * 16}, {"ct": b"a public key beside the data"}])
def test_sabotage_of_a_passkey_turns_the_clause_red(vendor: Vendor, changed: dict[str, bytes]) -> None:
    member(vendor, Person())
    owner(vendor, Person())
    passkey = credentials.c.kind.startswith("passkey.")
    vendor.system.store.write(
        Write(lambda tx: tx.execute(update(credentials).where(passkey).values(**changed)).rowcount)
    )
    assert row(vendor.system, "protect.password").status == "FAIL"
