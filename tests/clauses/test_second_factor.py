"""A second factor is asked wherever its owner set one, and nothing goes round it: no link, no product, no code used."""

from __future__ import annotations

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text, update

from tests.clauses.conftest import row
from tests.clauses.test_accounts import HOUR_MS, OTHER, PHRASE, act, member, sign_in, token
from tests.clauses.test_passkeys import add, come_in, device_for, owner, question, sid_of
from tests.clauses.vendor import TENANT, Browser, Person, Vendor, example, vendor_at
from tests.residue import find
from tests.web.visitor import Visitor
from troth.errors import Unproven
from troth.store import Write
from troth.store.tables import credentials, ledger
from troth.use import totp
from troth.use.second_factor import CODES, Halfway
from troth.web.second_factor import TRIES, TRIES_A_DAY
from troth.world import DAY_MS

HOME = "/account/second-factor"


class App:
    """An authenticator app: the secret as it stood on the page, and recovery codes on paper."""

    def __init__(self, vendor: Vendor, secret: bytes) -> None:
        self.vendor = vendor
        self.secret = secret
        self.paper: list[str] = []

    def code(self) -> str:
        """A code that was not used: half a minute later, every time."""
        self.vendor.clock.advance(totp.STEP_MS)
        return self.now()

    def now(self) -> str:
        return totp.code(self.secret, totp.step_at(self.vendor.clock.now()))


def scanned(vendor: Vendor, browser: Browser) -> App:
    """The secret of the page taken into an app."""
    shown = re.search(r'<p class="secret"><bdi><code>([A-Z2-7 ]+)</code>', browser.answer.body.decode())
    assert shown
    plain = shown[1].replace(" ", "")
    return App(vendor, base64.b32decode(plain + "=" * (-len(plain) % 8)))


def set_up(vendor: Vendor, browser: Browser) -> App:
    """A second factor set on its page."""
    browser.open(HOME)
    app = scanned(vendor, browser)
    assert browser.send(HOME, code=app.code()).status == 200
    app.paper = papers(browser)
    assert len(app.paper) == CODES
    return app


def papers(browser: Browser) -> list[str]:
    return re.findall(r"<code>([A-Z2-7]{4}(?:-[A-Z2-7]{4}){3})</code>", browser.answer.body.decode())


def guarded(vendor: Vendor, person: Person) -> tuple[Browser, App]:
    """A registered person with a password and a second factor; the browser they set it in."""
    browser = member(vendor, person)
    return browser, set_up(vendor, browser)


def enter(browser: Browser, email: str, code: str, password: str = PHRASE) -> int:
    """Password, then code: the status."""
    assert sign_in(browser, email, password) == 200
    assert "One more step" in browser.page.text
    return browser.send("/account/sign-in/code", code=code).status


def kinds(vendor: Vendor, person: Person) -> list[str]:
    """What this person did to their account, by the entries that their own secret opens."""
    mine = vendor.whose(vendor.system.vault.opening(TENANT, sid_of(vendor, person)))
    return [kind for body in mine if (kind := json.loads(body)["kind"]).startswith("account.")]


def test_from_setting_it_to_removing_it(vendor: Vendor) -> None:
    ann = Person()
    browser, app = guarded(vendor, ann)
    assert "The second factor is set" in browser.page.text
    browser.open(HOME)
    assert papers(browser) == []  # shown once
    assert "10 recovery codes are left" in browser.page.text
    act(browser, "/privacy/leave")

    assert enter(browser, ann.email, app.code()) == 200
    assert browser.address == "/account"
    assert "your password and a code" in browser.page.text
    assert act(browser, "/account/password", old=PHRASE, password=OTHER) == 200
    browser.open(HOME)
    assert browser.send(f"{HOME}/remove").status == 200
    assert "The second factor is removed" in browser.page.text
    assert sign_in(vendor.browser(), ann.email, OTHER) == 200
    assert kinds(vendor, ann) == [
        "account.password-set",
        "account.second-factor-set",
        "account.signed-in",
        "account.password-changed",
        "account.second-factor-removed",
        "account.signed-in",
    ]
    assert [vendor.letters(ann.email, f"second factor was {what}") != [] for what in ("set", "removed")] == [True] * 2


def test_the_password_alone_opens_nothing_and_sets_no_cookie(vendor: Vendor) -> None:
    ann = Person()
    guarded(vendor, ann)
    browser = vendor.browser()
    assert sign_in(browser, ann.email, PHRASE) == 200
    assert browser.cookies == {}
    browser.open("/account")
    assert browser.address == "/privacy"
    assert vendor.entries("account.signed-in") == []


def test_a_wrong_password_is_refused_as_before_whether_a_second_factor_is_set_or_not(vendor: Vendor) -> None:
    ann = Person()
    guarded(vendor, ann)
    browser = vendor.browser()
    assert sign_in(browser, ann.email, OTHER) == 401
    assert "One more step" not in browser.page.text


def test_a_code_works_once_and_in_its_time(vendor: Vendor) -> None:
    ann = Person()
    _, app = guarded(vendor, ann)
    code = app.code()
    assert enter(vendor.browser(), ann.email, code) == 200
    second = vendor.browser()
    assert enter(second, ann.email, code) == 401
    assert "One more step" in second.page.text  # the same page again
    assert second.send("/account/sign-in/code", code=app.code()).status == 200
    vendor.clock.advance(10 * totp.STEP_MS)
    assert enter(vendor.browser(), ann.email, code) == 401
    assert len(vendor.entries("account.signed-in")) == 2


def test_of_two_who_show_the_same_code_at_once_one_comes_in(vendor: Vendor) -> None:
    ann = Person()
    _, app = guarded(vendor, ann)
    system, code = vendor.system, app.code()
    halfway = system.accounts.sign_in(TENANT, ann.email, PHRASE, "a" * 43)
    assert isinstance(halfway, Halfway)
    ticket = system.second_factor.read(system.second_factor.ticket(halfway))

    def come(cookie: str) -> bool:
        try:
            system.second_factor.finish(ticket, code, cookie)
        except Unproven:
            return False
        return True

    for shown in (code, app.paper[0]):
        code = shown
        with ThreadPoolExecutor(4) as four:
            assert sum(four.map(come, (f"{shown}{number}" for number in range(4)))) == 1


def test_a_recovery_code_stands_in_for_the_app_once_however_it_is_spelled(vendor: Vendor) -> None:
    ann = Person()
    _, app = guarded(vendor, ann)
    spelled = app.paper[0].lower().replace("-", " ").replace("o", "0")
    assert enter(vendor.browser(), ann.email, spelled) == 200
    assert enter(vendor.browser(), ann.email, app.paper[0]) == 401
    assert enter(vendor.browser(), ann.email, app.paper[1]) == 200
    assert len(vendor.letters(ann.email, "a recovery code was used")) == 2
    assert [json.loads(body)["facts"] for body in vendor.entries("account.recovery-code")] == [{"left": 9}, {"left": 8}]


def test_new_recovery_codes_end_those_before(vendor: Vendor) -> None:
    ann = Person()
    browser, app = guarded(vendor, ann)
    browser.open(HOME)
    assert browser.send(f"{HOME}/codes").status == 200
    fresh = papers(browser)
    assert len(set(fresh) | set(app.paper)) == 2 * CODES
    assert enter(vendor.browser(), ann.email, app.paper[0]) == 401
    assert enter(vendor.browser(), ann.email, fresh[0]) == 200


def test_a_link_to_the_mailbox_alone_changes_nothing_that_the_account_is_entered_with(vendor: Vendor) -> None:
    ann = Person()
    guarded(vendor, ann)
    thief = vendor.centre(ann)  # reads the mailbox
    before = vendor.everything()
    for path in (
        "/account/password",
        "/account/password/remove",
        f"{HOME}/remove",
        f"{HOME}/codes",
        "/account/passkeys",
    ):
        thief.open(HOME)
        answer = thief.send(path, old=PHRASE, password=OTHER, ceremony="00", answer="{}", name="x")
        assert answer.status in (401, 422), path
    assert vendor.everything() == before
    assert thief.open("/privacy/data").status == 200  # the rights stay: seeing, taking, erasing


def test_a_product_that_hands_somebody_over_goes_round_nothing_either(vendor: Vendor) -> None:
    ann = Person()
    _, app = guarded(vendor, ann)
    browser = vendor.centre(ann)
    vendor.system.store.write(
        Write(lambda tx: tx.execute(text("UPDATE sessions SET method = 'handover' WHERE method = 'link'")).rowcount)
    )
    assert act(browser, "/account/password", old=PHRASE, password=OTHER) == 401
    assert act(browser, f"{HOME}/remove") == 401
    assert act(browser, f"{HOME}/code", code=app.code()) == 422
    assert vendor.count("credentials") == 3


def test_a_link_and_a_code_together_set_a_new_password(vendor: Vendor) -> None:
    ann = Person()
    _, app = guarded(vendor, ann)
    browser = vendor.centre(ann)  # who lost the password
    browser.open("/account")
    assert "Enter a code of your second factor first" in browser.page.text
    browser.open(HOME)
    assert browser.send(f"{HOME}/code", code="000000").status == 422
    thief = vendor.browser()
    thief.cookies.update(browser.cookies)  # who read the cookie and waits for the owner's code
    assert browser.send(f"{HOME}/code", code=app.code()).status == 200
    assert browser.address == "/account"
    thief.open("/account")
    assert thief.address == "/privacy"
    assert act(browser, "/account/password", password=OTHER) == 200
    assert enter(vendor.browser(), ann.email, app.code(), OTHER) == 200


def test_a_passkey_is_two_factors_and_asks_for_no_code(vendor: Vendor) -> None:
    ann = Person()
    browser, device = owner(vendor, ann)
    set_up(vendor, browser)
    other = vendor.browser()
    assert come_in(other, device) == 200
    assert other.address == "/account"
    other.open(HOME)
    assert other.send(f"{HOME}/remove").status == 200
    assert vendor.rows("SELECT kind FROM credentials WHERE kind IN ('totp', 'recovery', 'lost')") == []


def test_who_sets_it_shows_a_code_of_this_very_secret(vendor: Vendor) -> None:
    ann, eve = Person(), Person()
    browser, other = member(vendor, ann), member(vendor, eve)
    browser.open(HOME)
    app = scanned(vendor, browser)
    assert browser.send(HOME, code="000000").status == 422
    assert scanned(vendor, browser).secret == app.secret  # the key that was scanned stays
    other.open(HOME)
    stolen = re.search(r'name="sealed" value="([0-9a-f]+)"', other.answer.body.decode())
    assert stolen
    browser.open(HOME)
    assert browser.send(HOME, sealed=stolen[1], code=app.code()).status == 422  # another session's form
    assert vendor.count("credentials") == 2


# --- guessing ---


def attempt(vendor: Vendor, person: Person, address: str) -> int:
    """One guess at a code, by somebody who knows the password: the status."""
    halfway = vendor.system.accounts.sign_in(TENANT, person.email, PHRASE, "a" * 43)
    assert isinstance(halfway, Halfway)
    with Visitor(vendor.system.shell, address=address, base="http://localhost") as visitor:
        form = {"ticket": vendor.system.second_factor.ticket(halfway), "code": "000000"}
        return visitor.post("/account/sign-in/code", form).status_code


def test_guessing_codes_is_slowed_down_for_a_person_from_wherever(vendor: Vendor) -> None:
    ann = Person()
    guarded(vendor, ann)
    vendor.clock.advance(HOUR_MS - vendor.clock.now() % HOUR_MS - 25 * 60_000)  # the hour ends in their midst
    answers = [attempt(vendor, ann, f"198.51.100.{at}") for at in range(TRIES.count + 1)]
    assert answers == [401] * TRIES.count + [429]
    for more in range(TRIES_A_DAY.count - TRIES.count):  # slowly, all day
        vendor.clock.advance(TRIES.seconds * 1000 // TRIES.count)
        assert attempt(vendor, ann, f"203.0.113.{more}") == 401
    hour = vendor.clock.now() // HOUR_MS
    vendor.clock.advance(TRIES.seconds * 1000)
    assert vendor.clock.now() // HOUR_MS == hour + 1
    assert attempt(vendor, ann, "192.0.2.99") == 429
    assert vendor.entries("account.signed-in") == []
    assert vendor.centre(ann).answer.status == 200  # the owner's rights are not locked away


def test_what_the_page_between_carries_opens_nothing_late_or_altered(vendor: Vendor) -> None:
    ann = Person()
    _, app = guarded(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    ticket = re.search(r'name="ticket" value="([0-9a-f]+)"', browser.answer.body.decode())
    assert ticket
    for altered in ("", "00", ticket[1][:-2] + "00", ticket[1].upper() + "zz"):
        assert browser.send("/account/sign-in/code", ticket=altered, code=app.now()).status == 401
    vendor.clock.advance(5 * 60_000)
    assert browser.send("/account/sign-in/code", ticket=ticket[1], code=app.code()).status == 401
    assert "Please begin again" in browser.page.text


def test_a_password_that_changed_meanwhile_makes_the_page_between_worthless(vendor: Vendor) -> None:
    ann = Person()
    browser, app = guarded(vendor, ann)
    thief = vendor.browser()
    sign_in(thief, ann.email, PHRASE)
    assert act(browser, "/account/password", password=OTHER) == 200
    thief.open("/account/sign-in")
    assert thief.send("/account/sign-in/code", code=app.code()).status == 401


# --- when both are lost ---


def test_who_lost_both_waits_as_long_as_the_policy_says_and_is_told(vendor: Vendor) -> None:
    ann = Person()
    guarded(vendor, ann)
    browser = vendor.centre(ann)
    browser.open(HOME)
    assert "a waiting period: 7 days" in browser.page.text
    assert browser.send(f"{HOME}/lost").status == 200
    assert "9 March 2026" in browser.page.text
    (letter,) = vendor.letters(ann.email, "the second factor of your account is lost")
    assert "2026-03-09" in letter.text
    vendor.clock.advance(7 * DAY_MS - HOUR_MS)
    assert vendor.system.recovery.sweep() == 0
    assert enter_refused(vendor, ann)
    vendor.clock.advance(HOUR_MS + 60_000)
    vendor.letters()  # the hourly sweep is a job
    assert len(vendor.letters(ann.email, "The waiting period is over")) == 1
    assert [vendor.count("credentials"), vendor.count("sessions")] == [1, 0]
    browser = vendor.centre(ann)
    assert act(browser, "/account/password", password=OTHER) == 200
    assert sign_in(vendor.browser(), ann.email, OTHER) == 200
    asked, done = (json.loads(vendor.entries(f"account.recovery-{what}")[-1]) for what in ("asked", "done"))
    assert done["refers"] == asked["eid"]
    assert row(vendor.system, "protect.password").status == "PASS"


def enter_refused(vendor: Vendor, person: Person) -> bool:
    """Whether the password alone still leads to the question for a code only."""
    browser = vendor.browser()
    return sign_in(browser, person.email, PHRASE) == 200 and browser.cookies == {}


def test_asking_twice_makes_it_no_sooner_and_sends_one_letter(vendor: Vendor) -> None:
    ann = Person()
    guarded(vendor, ann)
    act(vendor.centre(ann), f"{HOME}/lost")
    vendor.clock.advance(3 * DAY_MS)
    act(vendor.centre(ann), f"{HOME}/lost")
    assert len(vendor.letters(ann.email, "the second factor of your account is lost")) == 1
    vendor.clock.advance(4 * DAY_MS)
    assert vendor.system.recovery.sweep() == 1


def test_the_owner_sees_it_and_stops_it_from_any_session(vendor: Vendor) -> None:
    ann = Person()
    mine, _ = guarded(vendor, ann)
    thief = vendor.centre(ann)
    act(thief, f"{HOME}/lost")
    mine.open("/account")
    assert "said that your second factor is lost" in mine.page.text
    assert act(mine, f"{HOME}/keep") == 200
    assert "Your second factor stays" in mine.page.text
    vendor.clock.advance(8 * DAY_MS)
    assert vendor.system.recovery.sweep() == 0
    assert enter_refused(vendor, ann)


def test_a_code_that_is_shown_stops_it_too(vendor: Vendor) -> None:
    ann = Person()
    _, app = guarded(vendor, ann)
    act(vendor.centre(ann), f"{HOME}/lost")
    assert enter(vendor.browser(), ann.email, app.code()) == 200
    assert vendor.rows("SELECT count(*) FROM credentials WHERE kind = 'lost'") == [(0,)]
    assert kinds(vendor, ann)[-2:] == ["account.recovery-cancelled", "account.signed-in"]


def test_there_is_nothing_to_recover_where_nothing_is_set(vendor: Vendor) -> None:
    ann = Person()
    browser = member(vendor, ann)
    assert act(browser, f"{HOME}/lost") == 409
    assert vendor.letters(ann.email, "second factor") == []


def test_where_the_policy_declares_no_second_factor_none_is_offered(tmp_path_factory: pytest.TempPathFactory) -> None:
    declared = ", second_factor: {recovery_after: 7 days}"
    prose = re.sub(r"You can set a second factor: .*?signed in\. ", "", example())
    assert declared in prose
    with vendor_at(tmp_path_factory.mktemp("plain") / "vendor", prose.replace(declared, "")) as plain:
        browser = member(plain, Person())
        browser.open("/account")
        assert HOME not in browser.answer.body.decode()
        browser.open(HOME)
        assert "declares no second factor" in browser.page.text
        assert browser.send(HOME, code="000000", sealed="00").status == 409


# --- nothing of it to be seen ---


def test_no_secret_and_no_code_stands_anywhere(vendor: Vendor) -> None:
    ann = Person()
    browser, app = guarded(vendor, ann)
    code = app.code()
    assert enter(vendor.browser(), ann.email, code) == 200
    assert enter(vendor.browser(), ann.email, app.paper[0]) == 200
    spelled = totp.spoken(app.secret).replace(" ", "")
    pages = [browser.open(path).body.decode() for path in ("/account", HOME, "/privacy/data", "/privacy/copy.json")]
    letters = [letter.text for letter in vendor.letters()]
    for said in (*pages, *letters):
        assert spelled not in said
        assert not [paper for paper in app.paper if paper in said]
    plain = [paper.replace("-", "") for paper in app.paper]
    assert find(vendor.folder, [app.secret, spelled, *app.paper, *plain]) == []
    cts = [ct for (ct,) in vendor.rows("SELECT ct FROM credentials") if isinstance(ct, bytes)]
    assert find(vendor.folder, cts)
    vendor.system.erasures.erase(TENANT, sid_of(vendor, ann))
    vendor.letters()
    assert vendor.count("credentials") == 0
    vendor.again()
    assert find(vendor.folder, [*cts, app.secret]) == []


def test_the_copy_tells_that_it_is_set_and_how_many_codes_are_left(vendor: Vendor) -> None:
    ann = Person()
    browser, app = guarded(vendor, ann)
    enter(vendor.browser(), ann.email, app.paper[0])
    told = vendor.system.access.copy(TENANT, sid_of(vendor, ann)).account
    assert told["second_factor"] is not None
    assert (told["recovery_codes"], told["recovery_asked"]) == (9, None)
    assert "Second factor" in browser.open("/privacy/data").body.decode()


def test_a_form_without_the_sessions_own_token_does_nothing(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    browser, _ = guarded(vendor, ann)
    other, _ = guarded(vendor, ben)
    browser.open("/account")
    other.open("/account")
    before = vendor.everything()
    for path in ("", "/codes", "/remove", "/code", "/lost", "/keep"):
        for stolen in (token(other), "", "0" * 64):
            assert browser.send(HOME + path, csrf_token=stolen, code="000000").status == 403
    assert vendor.everything() == before


# --- the board, and its sabotage ---


def test_sabotage_a_session_by_password_alone_turns_the_clause_red(vendor: Vendor) -> None:
    ann = Person()
    _, app = guarded(vendor, ann)
    enter(vendor.browser(), ann.email, app.code())
    assert row(vendor.system, "protect.password").status == "PASS"
    vendor.system.store.write(Write(lambda tx: tx.execute(text("UPDATE sessions SET method = 'password'")).rowcount))
    assert row(vendor.system, "protect.password").status == "FAIL"


def test_sabotage_a_second_factor_that_went_before_its_time_turns_the_clause_red(vendor: Vendor) -> None:
    ann = Person()
    guarded(vendor, ann)
    act(vendor.centre(ann), f"{HOME}/lost")
    vendor.clock.advance(7 * DAY_MS)
    vendor.letters()
    assert row(vendor.system, "protect.password").status == "PASS"
    early = update(ledger).where(ledger.c.kind == "account.recovery-done").values(at_ms=ledger.c.at_ms - HOUR_MS)
    vendor.system.store.write(Write(lambda tx: tx.execute(early).rowcount))
    assert row(vendor.system, "protect.password").status == "FAIL"


def test_sabotage_codes_that_nobody_made_turn_the_clause_red(vendor: Vendor) -> None:
    guarded(vendor, Person())
    others = update(credentials).where(credentials.c.kind == "recovery").values(eid=b"e" * 16)
    vendor.system.store.write(Write(lambda tx: tx.execute(others).rowcount))
    assert row(vendor.system, "protect.password").status == "FAIL"


def test_a_passkey_is_added_after_a_link_and_a_code(vendor: Vendor) -> None:
    ann = Person()
    _, app = guarded(vendor, ann)
    browser = vendor.centre(ann)
    assert "data-options" not in browser.open("/account/passkeys").body.decode()
    browser.open(HOME)
    browser.send(f"{HOME}/code", code=app.code())
    assert add(browser, device_for(vendor)) == 200
    assert question(browser)
