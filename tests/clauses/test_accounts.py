"""Accounts: a registered person signs in with a password, sees and ends their sessions; nobody else learns of it."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any
from unittest.mock import patch

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Connection, text, update

from tests.clauses.conftest import row
from tests.clauses.vendor import TENANT, Browser, Person, Vendor
from tests.residue import find
from troth.errors import Conflict, Unproven
from troth.rights.access import as_csv
from troth.store import Write
from troth.store.tables import credentials as rows_of_credentials
from troth.store.tables import subjects
from troth.use.accounts import Accounts
from troth.use.devices import Device, device_of
from troth.use.person_sessions import PASSWORD_IDLE_MS, PASSWORD_LIFE_MS, Session
from troth.use.sessions import cookie_hash
from troth.world import DAY_MS

PHRASE = "eleven herons over the quay"
OTHER = "a lantern left on the long pier"
HOUR_MS = 3_600_000


def token(browser: Browser) -> str:
    """The token that this session's forms carry."""
    return next(c.attributes["value"] for c in browser.page.controls if c.name == "csrf_token")


def act(browser: Browser, path: str, **values: str) -> int:
    """A form of the account's page sent: the status."""
    browser.open("/account")
    return browser.send(path, csrf_token=token(browser), **values).status


def sign_in(browser: Browser, email: str, password: str) -> int:
    """The form of the sign-in sent."""
    browser.open("/account/sign-in")
    return browser.send("/account/sign-in", email=email, password=password).status


def member(vendor: Vendor, person: Person, password: str = PHRASE) -> Browser:
    """A registered person with a password, in the centre by a link."""
    vendor.join("registration", person)
    browser = vendor.centre(person)
    assert act(browser, "/account/password", password=password) == 200
    return browser


def session_in(vendor: Vendor, browser: Browser, name: str = "troth_account") -> Session:
    """The session behind a browser's cookie."""
    return vendor.system.requests.session(browser.cookies[name])


def facts(bodies: list[bytes]) -> list[Any]:
    return [json.loads(body).get("facts", {}) for body in bodies]


def test_from_registering_to_being_erased(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("registration", ann)
    browser = vendor.browser()
    browser.open(f"/confirm/{vendor.token(ann.email)}")
    browser.send()
    assert 'href="/account"' in browser.answer.body.decode()  # offered; the centre asks for proof first
    browser.open("/account")
    assert browser.address == "/privacy"

    browser = vendor.centre(ann)
    assert act(browser, "/account/password", password=PHRASE) == 200
    assert "The password holds from now on" in browser.page.text
    assert act(browser, "/privacy/leave") == 200
    assert "troth_session" not in browser.cookies
    browser.open("/privacy/data")
    assert browser.address == "/privacy"

    assert sign_in(browser, ann.email, PHRASE) == 200
    assert browser.address == "/account"
    assert browser.open("/privacy/data").status == 200
    assert ann.first in browser.page.text
    other = vendor.browser()
    assert sign_in(other, ann.email.upper(), PHRASE) == 200  # however the address is written
    browser.open("/account")
    assert "Signed in at 2 places" in browser.page.text
    assert browser.send("/account/sessions/others", csrf_token=token(browser)).status == 200
    other.open("/account")
    assert other.address == "/privacy"

    browser.open("/privacy/erase")
    assert browser.send("/privacy/erase", sure="yes", csrf_token=token(browser)).status == 200
    vendor.letters()
    browser.open("/account")
    assert browser.address == "/privacy"
    assert sign_in(browser, ann.email, PHRASE) == 401
    assert [vendor.count(table) for table in ("credentials", "sessions", "subjects")] == [0, 0, 0]


def test_a_session_of_an_erased_person_opens_nothing_from_the_order_on(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    sid = vendor.system.vault.find(TENANT, "email", ann.email) or b""
    vendor.system.erasures.order(TENANT, sid)
    assert vendor.count("sessions") == 2  # not carried out yet
    browser.open("/account")
    assert browser.address == "/privacy"
    assert sign_in(browser, ann.email, PHRASE) == 401
    vendor.letters()
    assert [vendor.count(table) for table in ("credentials", "sessions", "subjects")] == [0, 0, 0]


def test_the_sealed_password_opens_with_no_key_that_is_left(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    sid = vendor.system.vault.find(TENANT, "email", ann.email) or b""
    ((ct,),) = vendor.rows("SELECT ct FROM credentials WHERE kind = 'password'")
    assert isinstance(ct, bytes)
    assert find(vendor.folder, [ct])
    opened = vendor.system.vault.unseal(TENANT, sid, "account", b"password".ljust(16, b"\0"), "credentials", 1, ct)
    assert opened["hash"].startswith("$argon2id$")
    vendor.system.erasures.erase(TENANT, sid)
    vendor.letters()
    with pytest.raises(Exception, match="no key"):
        vendor.system.vault.unseal(TENANT, sid, "account", b"password".ljust(16, b"\0"), "credentials", 1, ct)
    vendor.again()
    assert find(vendor.folder, [ct, ann.email]) == []


def test_no_password_hash_or_token_stands_anywhere(vendor: Vendor) -> None:
    """Planted values: the password right and wrong, the hash, the cookies; on every page, in every letter and file."""
    ann = Person()
    browser = member(vendor, ann)
    link_cookie = browser.cookies["troth_session"]
    pages = [browser.answer.body.decode()]
    browser = vendor.browser()
    wrong = "mistyped herons over the quay"
    sign_in(browser, ann.email, wrong)
    pages.append(browser.answer.body.decode())
    sign_in(browser, ann.email, PHRASE)
    cookie = browser.cookies["troth_account"]
    for path in ("/account", "/privacy/data", "/privacy/copy.json", "/privacy/copy.html", "/privacy/receipts"):
        pages.append(browser.open(path).body.decode())
    act(browser, "/account/password", old=wrong, password=OTHER)
    pages.append(browser.answer.body.decode())
    act(browser, "/account/password", old=PHRASE, password="secret short")
    pages.append(browser.answer.body.decode())
    sid = vendor.system.vault.find(TENANT, "email", ann.email) or b""
    ((ct,),) = vendor.rows("SELECT ct FROM credentials WHERE kind = 'password'")
    assert isinstance(ct, bytes)
    place = b"password".ljust(16, b"\0")
    hashed = vendor.system.vault.unseal(TENANT, sid, "account", place, "credentials", 1, ct)["hash"]
    typed = [PHRASE, wrong, OTHER, "secret short", hashed, hashed.rpartition("$")[2]]
    secrets = [*typed, cookie, link_cookie]
    letters = [letter.text for letter in vendor.letters()]
    for said in (*pages, *letters):
        assert [secret for secret in secrets if secret in said] == []
        assert cookie_hash(cookie).hex() not in said
    assert find(vendor.folder, typed) == []  # not even as a usual hash
    assert find(vendor.folder, [cookie.encode(), link_cookie.encode()]) == []


def test_a_planted_password_would_have_been_found(vendor: Vendor) -> None:
    (vendor.folder / "troth.log").write_text(f"sign-in of somebody with {PHRASE}")
    assert find(vendor.folder, [PHRASE])


@pytest.mark.parametrize("of", ["unknown", "no address", "no password", "wrong password", "being erased"])
def test_a_refused_sign_in_says_and_costs_the_same_whoever_it_is(vendor: Vendor, of: str) -> None:
    """The work is counted, not timed: look-ups, openings, hashes and entries."""
    ann, ben, eve = Person(), Person(), Person()
    member(vendor, ann)
    vendor.join("registration", ben)
    erasing = vendor.join("registration", eve)
    vendor.system.store.write(
        Write(lambda tx: tx.execute(update(subjects).where(subjects.c.sid == erasing).values(mode="erasing")))
    )
    told = {
        "unknown": Person().email,
        "no address": "not an address",
        "no password": ben.email,
        "wrong password": ann.email,
        "being erased": eve.email,
    }[of]
    system = vendor.system
    work: list[str] = []

    def counting(name: str, real: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            work.append(name)
            return real(*given, **named)

        return call

    with (
        patch.object(system.vault, "find", counting("find", system.vault.find)),
        patch.object(system.vault, "unseal", counting("open", system.vault.unseal)),
        patch.object(PasswordHasher, "verify", counting("hash", PasswordHasher.verify)),
        patch.object(system.store, "write", counting("write", system.store.write)),
        patch.object(system.store, "read", counting("read", system.store.read)),
        pytest.raises(Unproven) as caught,
    ):
        system.accounts.sign_in(TENANT, told, OTHER, "a" * 43)
    assert work == ["find", "read", "open", "hash", "write"]
    assert str(caught.value) == "the address or the password is not right"
    assert vendor.entries("account.signed-in") == []
    entry = json.loads(vendor.entries("account.refused")[-1])
    assert "subject" not in entry
    assert entry["facts"] == {"method": "password"}


def test_the_pages_of_refusals_are_the_same_but_for_what_was_typed(vendor: Vendor) -> None:
    ann, ben, nobody = Person(), Person(), Person()
    member(vendor, ann)
    vendor.join("registration", ben)
    seen = set()
    for person in (ann, ben, nobody):
        browser = vendor.browser()
        assert sign_in(browser, person.email, OTHER) == 401
        headers = [name for name, _ in browser.answer.headers]
        page = browser.answer.body.decode().replace(person.email, "…")
        chance = r"<dd[^>]*>\d+ [0-9a-zA-Z+/=]+|nonce=\S+|data-options=\S+|(?<=name=\"ceremony\" )value=\S+"
        seen.add((re.sub(chance, "", page.partition("<footer")[0]), tuple(headers)))
        assert browser.cookies == {}
    assert len(seen) == 1


def test_signing_in_counts_as_use_of_the_account_in_the_same_transaction(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    sid = vendor.system.vault.find(TENANT, "email", ann.email) or b""
    vendor.clock.advance(20 * 30 * DAY_MS)
    browser = vendor.browser()
    assert sign_in(browser, ann.email, PHRASE) == 200
    assert vendor.rows("SELECT last_use_ms FROM subjects") == [(vendor.system.store.now(),)]
    mine = [json.loads(body) for body in vendor.whose(vendor.system.vault.opening(TENANT, sid))]
    assert {"account.password-set", "account.signed-in"} <= {entry["kind"] for entry in mine}
    vendor.clock.advance(10 * 30 * DAY_MS)  # 30 months after registering, 10 after signing in
    vendor.system.retention.run()
    assert vendor.count("subjects") == 1
    for days in (405, 75):  # told 28 days before the 24 months are over, and then erased
        vendor.clock.advance(days * DAY_MS)
        vendor.system.retention.run()
    vendor.letters()
    assert [vendor.count(table) for table in ("subjects", "credentials", "sessions")] == [0, 0, 0]


def test_the_account_ends_and_the_newsletter_stays_then_nobody_signs_in(vendor: Vendor) -> None:
    """Retention takes the account's records from somebody who stays: the password goes with them, and its sessions."""
    ann = Person()
    member(vendor, ann)
    vendor.join("newsletter", ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    for days in (705, 105):  # told before, and then over
        vendor.clock.advance(days * DAY_MS)
        vendor.system.retention.run()
    vendor.letters()
    assert vendor.rows("SELECT class FROM personal_records") == [("newsletter",)]
    assert [vendor.count(table) for table in ("subjects", "credentials")] == [1, 0]
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 401


def test_who_is_not_registered_cannot_set_a_password(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    browser = vendor.centre(ann)
    browser.open("/account")
    assert "You are not registered here" in browser.page.text
    assert act(browser, "/account/password", password=PHRASE) == 409
    assert vendor.count("credentials") == 0


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("too short", "at least 15"),
        ("passwordpassword", "first that are guessed"),
        ("heron " * 60, "too long"),
    ],
)
def test_a_password_that_will_not_do_is_refused_at_its_field(vendor: Vendor, password: str, why: str) -> None:
    ann = Person()
    vendor.join("registration", ann)
    browser = vendor.centre(ann)
    assert act(browser, "/account/password", password=password) == 422
    assert why in browser.page.text
    body = browser.answer.body.decode()
    assert 'aria-describedby="password-hint password-fault"' in body
    assert 'aria-invalid="true"' in body
    assert vendor.count("credentials") == 0


def test_ones_own_address_is_no_password(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    browser = vendor.centre(ann)
    assert act(browser, "/account/password", password=ann.email) == 422
    assert act(browser, "/account/password", password=f"{ann.email.partition('@')[0]}12") == 422


def test_changing_asks_for_the_old_one_or_a_fresh_link_and_ends_every_other_session(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    here, there = vendor.browser(), vendor.browser()
    sign_in(here, ann.email, PHRASE)
    sign_in(there, ann.email, PHRASE)
    assert act(here, "/account/password", old=OTHER, password=OTHER) == 422
    assert "not your password" in here.page.text
    assert act(here, "/account/password", old=PHRASE, password=OTHER) == 200
    there.open("/account")
    assert there.address == "/privacy"
    here.open("/account")
    assert here.address == "/account"
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 401
    assert sign_in(vendor.browser(), ann.email, OTHER) == 200
    lost = vendor.centre(ann)  # who lost it proves the address again, and needs no old one
    assert act(lost, "/account/password", password=PHRASE) == 200
    assert [fact["sessions_ended"] for fact in facts(vendor.entries("account.password-changed"))] == [2, 2]


def test_a_letter_says_that_it_was_changed_and_not_to_what(vendor: Vendor) -> None:
    ann = Person()
    browser = member(vendor, ann)
    assert vendor.letters(ann.email, "password of your account") == []  # setting the first is no change
    assert act(browser, "/account/password", password=OTHER) == 200
    (letter,) = vendor.letters(ann.email, "password of your account")
    assert letter.subject == "Your password was changed"
    assert OTHER not in letter.text
    assert "/privacy/open/" not in letter.text  # where to ask for a link, and no link that opens
    assert json.loads(vendor.entries("message.sent")[-1])["clause"] == "protect.password"


def test_removing_it_leaves_the_link(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    assert act(browser, "/account/password/remove", old=OTHER) == 422
    assert 'href="#field-remove-old"' in browser.answer.body.decode()
    assert act(browser, "/account/password/remove", old=PHRASE) == 200
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 401
    assert act(browser, "/account/password", old=PHRASE, password=OTHER) == 401  # not without a link
    assert vendor.centre(ann).answer.status == 200
    assert vendor.rows("SELECT kind FROM credentials WHERE kind = 'password'") == []


def test_a_session_lasts_two_weeks_and_a_day_of_idleness_ends_it(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    for _ in range(PASSWORD_LIFE_MS // (PASSWORD_IDLE_MS - HOUR_MS)):
        vendor.clock.advance(PASSWORD_IDLE_MS - HOUR_MS)
        browser.open("/account")
        assert browser.address == "/account"
    vendor.clock.advance(PASSWORD_IDLE_MS - HOUR_MS)
    browser.open("/account")
    assert browser.address == "/privacy"  # 14 days are over, however much it was used

    sign_in(browser, ann.email, PHRASE)
    vendor.clock.advance(PASSWORD_IDLE_MS)
    browser.open("/account")
    assert browser.address == "/privacy"
    assert vendor.count("sessions") >= 1
    vendor.system.store.write(Write(lambda tx: tx.execute(text("DELETE FROM runs")).rowcount))
    vendor.system.work()
    vendor.clock.advance(HOUR_MS)
    vendor.system.work()
    assert vendor.count("sessions") == 0  # what opens nothing is not kept


def test_erasing_asks_for_a_proof_of_the_last_half_hour(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    browser.open("/privacy/erase")
    assert browser.address == "/privacy/erase"
    fresh = token(browser)
    vendor.clock.advance(HOUR_MS)
    browser.send("/privacy/erase", sure="yes", csrf_token=fresh)
    assert browser.address == "/account/sign-in?again=1"
    assert "enter your password once more" in browser.page.text
    assert vendor.entries("erase.ordered") == []
    assert sign_in(browser, ann.email, PHRASE) == 200
    browser.open("/privacy/erase")
    assert browser.send("/privacy/erase", sure="yes", csrf_token=token(browser)).status == 200
    assert len(vendor.entries("erase.ordered")) == 1


def test_sessions_are_shown_in_two_words_and_sealed(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    system = vendor.system
    cookie = "c" * 43
    system.accounts.sign_in(TENANT, ann.email, PHRASE, cookie, device=Device("Firefox", "Linux"))
    browser = vendor.browser()
    browser.cookies["troth_account"] = cookie
    browser.open("/account")
    assert "Firefox on Linux" in browser.page.text
    assert "this one" in browser.page.text
    assert find(vendor.folder / "data", [b"Firefox"]) == []
    sid = system.vault.find(TENANT, "email", ann.email) or b""
    copy = system.access.copy(TENANT, sid).account
    assert copy["password"] == system.store.now()
    told = {(s["method"], s["browser"], s["system"]) for s in copy["sessions"]}
    assert told == {("link", "", ""), ("password", "Firefox", "Linux")}
    with zipfile.ZipFile(io.BytesIO(as_csv(system.access.copy(TENANT, sid)))) as archive:
        lines = archive.read("account.csv").decode("utf-8-sig").splitlines()
    assert [line.partition(",")[0] for line in lines] == ["what", "password", "device", "session", "session"]
    assert "A password is set since" in browser.open("/privacy/data").page.text
    assert "A password is set since" in browser.open("/privacy/copy.html").page.text


@pytest.mark.parametrize(
    ("said", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", ("Firefox", "Linux")),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            ("Edge", "Windows"),
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1",
            ("Safari", "iPhone"),
        ),
        ("curl/8", ("", "")),
        ("<script>alert(1)</script>", ("", "")),
    ],
)
def test_a_browser_is_told_in_two_words_and_never_in_its_own(said: str, device: tuple[str, str]) -> None:
    assert device_of(said) == (*device, "")


def test_one_of_ones_sessions_ends_and_nobody_elses(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    member(vendor, ann)
    member(vendor, ben)
    anns, bens = vendor.browser(), vendor.browser()
    sign_in(anns, ann.email, PHRASE)
    sign_in(bens, ben.email, PHRASE)
    assert act(anns, "/account/sessions/end", session=session_in(vendor, bens).place) == 200
    assert "over already" in anns.page.text
    bens.open("/account")
    assert bens.address == "/account"
    anns.open("/account")
    link = next(
        s for s, _ in vendor.system.accounts.sessions(TENANT, session_in(vendor, anns).sid) if s.method == "link"
    )
    assert act(anns, "/account/sessions/end", session=link.place) == 200
    assert "The session has ended" in anns.page.text
    assert act(anns, "/account/sessions/end", session=session_in(vendor, anns).place) == 200
    assert anns.address == "/"
    anns.open("/account")
    assert anns.address == "/privacy"


def test_objecting_and_restriction_go_on_as_before(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    vendor.join("newsletter", ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    browser.open("/privacy/object")
    assert browser.send("/privacy/object", csrf_token=token(browser), purpose="newsletter").status == 200
    assert len(vendor.entries("objection.made")) == 1
    sid = session_in(vendor, browser).sid
    vendor.system.store.write(Write(lambda tx: vendor.system.vault.set_mode(tx, TENANT, sid, "restricted")))
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 200
    assert vendor.system.erasures.erase(TENANT, sid).state == "gone"


def test_a_password_that_changes_while_it_is_being_checked_opens_nothing(vendor: Vendor) -> None:
    ann = Person()
    browser = member(vendor, ann)
    accounts: Accounts = vendor.system.accounts
    session = session_in(vendor, browser, "troth_session")
    real = accounts.passwords.fits

    def meanwhile(stored: str | None, password: str) -> bool:
        fits = real(stored, password)
        with patch.object(accounts.passwords, "fits", real):
            accounts.set_password(session, "", OTHER)
        return fits

    with patch.object(accounts.passwords, "fits", meanwhile), pytest.raises(Unproven):
        accounts.sign_in(TENANT, ann.email, PHRASE, "d" * 43)


def test_a_session_that_ended_meanwhile_changes_nothing(vendor: Vendor) -> None:
    browser = member(vendor, Person())
    session = session_in(vendor, browser, "troth_session")
    assert act(browser, "/privacy/leave") == 200
    with pytest.raises(Conflict):
        vendor.system.accounts.set_password(session, "", OTHER)
    with pytest.raises(Conflict):
        vendor.system.accounts.remove_password(session, "")
    assert vendor.count("credentials") == 1


# --- the board, and its sabotage ---


def test_what_was_seen_and_erased_in_a_passwords_session_names_the_sign_in(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    vendor.clock.advance(3 * DAY_MS)  # the link is long ago
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    vendor.clock.advance(20 * HOUR_MS)
    browser.open("/privacy/data")
    sign_in(browser, ann.email, PHRASE)
    browser.open("/privacy/erase")
    browser.send("/privacy/erase", sure="yes", csrf_token=token(browser))
    first, second = (json.loads(body)["eid"] for body in vendor.entries("account.signed-in"))
    assert json.loads(vendor.entries("access.prepared")[-1])["refers"] == first
    assert json.loads(vendor.entries("erase.ordered")[-1])["refers"] == second
    vendor.letters()
    assert row(vendor.system, "rights.proof").status == "PASS"


@pytest.mark.parametrize("kind", ["account.signed-in", "rights.proven"])
def test_sabotage_what_was_seen_without_a_sign_in_turns_the_proof_red(vendor: Vendor, kind: str) -> None:
    ann = Person()
    member(vendor, ann)
    if kind == "account.signed-in":
        vendor.clock.advance(3 * DAY_MS)
        browser = vendor.browser()
        sign_in(browser, ann.email, PHRASE)
        browser.open("/privacy/data")
    assert row(vendor.system, "rights.proof").status == "PASS"
    vendor.system.store.write(
        Write(lambda tx: tx.execute(text("DELETE FROM ledger WHERE kind = :kind"), {"kind": kind}).rowcount)
    )
    assert row(vendor.system, "rights.proof").status == "FAIL"


def test_the_board_says_how_passwords_are_kept(vendor: Vendor) -> None:
    assert row(vendor.system, "protect.password").status == "NOT EXERCISED"
    member(vendor, Person())
    assert row(vendor.system, "protect.password").status == "PASS"


def plain_operator(connection: Connection) -> None:
    """An operator's password as it was typed."""
    values = "(randomblob(16), 'eve', 'auditor', 'active', 'plain words', 1, 'main')"
    connection.execute(
        text(f"INSERT INTO operators (id, name, role, state, password, created_ms, tenant) VALUES {values}")
    )


def weak_operator(connection: Connection) -> None:
    """A hash that is cheap to guess at."""
    weak = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"
    values = f"(randomblob(16), 'eve', 'auditor', 'active', '{weak}', 1, 'main')"
    connection.execute(
        text(f"INSERT INTO operators (id, name, role, state, password, created_ms, tenant) VALUES {values}")
    )


def set_by_another(connection: Connection) -> None:
    """A password that its owner did not set: no entry says so."""
    connection.execute(update(rows_of_credentials).values(eid=b"e" * 16))


def unsealed(connection: Connection) -> None:
    """The Argon2id value beside the data, without its seal."""
    connection.execute(update(rows_of_credentials).values(ct=b"$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"))


@pytest.mark.parametrize("sabotage", [plain_operator, weak_operator, set_by_another, unsealed])
def test_sabotage_of_how_passwords_are_kept_turns_the_clause_red(vendor: Vendor, sabotage: Any) -> None:
    member(vendor, Person())

    def body(tx: Any) -> None:
        sabotage(tx.connection)

    vendor.system.store.write(Write(body))
    assert row(vendor.system, "protect.password").status == "FAIL"
