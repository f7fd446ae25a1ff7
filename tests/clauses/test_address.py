"""Being found by another address: proven by a link to it, stopped by the old one, and then the old finds nothing."""

from __future__ import annotations

import json
import threading
from unittest.mock import patch

import pytest
from sqlalchemy import text

from tests.clauses.test_accounts import OTHER, PHRASE, member, sign_in
from tests.clauses.vendor import TENANT, Browser, Person, Vendor
from tests.residue import find
from troth.cli.postbox import Letter
from troth.cli.walk import link_in
from troth.errors import Conflict, NotFound, TrothError, Unknown, Unproven
from troth.policy.model import Stop
from troth.rights.address import LIFE_MS, PROOF_PATH, STOP_PATH
from troth.rights.rectification import Replacement
from troth.store import Write
from troth.use.person_sessions import LINK_LIFE_MS

HOUR_MS = 3_600_000


def ask(browser: Browser, address: str) -> int:
    """The form of a new address sent: the status."""
    browser.open("/account/address")
    return browser.send("/account/address", email=address).status


def press(vendor: Vendor, path: str) -> Browser:
    """A link of a letter opened in another browser, and its button pressed."""
    browser = vendor.browser()
    browser.open(path)
    if browser.answer.status == 200:
        browser.send(path)
    return browser


def link(vendor: Vendor, to: str, path: str) -> str:
    """The newest link of this kind in the letters to an address."""
    return link_in(vendor.letters(to, path)[-1], path)


def move(vendor: Vendor, browser: Browser, new: str) -> Browser:
    """The whole way: asked, and proven by the link."""
    assert ask(browser, new) == 200
    return press(vendor, link(vendor, new, PROOF_PATH))


def whose(vendor: Vendor, address: str) -> bytes | None:
    return vendor.system.vault.find(TENANT, "email", address)


def centre_letters(vendor: Vendor, address: str) -> list[Letter]:
    """The letters with a link to the centre that somebody gets who asks with this address."""
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, address, "en"))
    return vendor.letters(address, "/privacy/open/")


# --- invariant 19 ---


def test_after_it_is_acknowledged_the_old_address_finds_nothing(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    browser = member(vendor, ann)
    sid = whose(vendor, ann.email)
    before = len(centre_letters(vendor, ann.email))
    assert "Your address is changed" in move(vendor, browser, new).page.text
    assert whose(vendor, ann.email) is None
    assert whose(vendor, new) == sid
    assert len(centre_letters(vendor, ann.email)) == before  # asked again, and nothing came
    assert len(centre_letters(vendor, new)) == 1
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 401
    assert sign_in(vendor.browser(), new, PHRASE) == 200
    answer = vendor.system.gate.open("account").read(TENANT, sid or b"", frozenset({"email"}))
    assert answer.values == {"email": new}


def test_a_pending_address_authenticates_nobody(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    browser = member(vendor, ann)
    assert ask(browser, new) == 200
    assert whose(vendor, new) is None
    assert whose(vendor, ann.email) is not None
    assert centre_letters(vendor, new) == []
    assert sign_in(vendor.browser(), new, PHRASE) == 401
    assert sign_in(vendor.browser(), ann.email, PHRASE) == 200
    assert vendor.system.repair.run().voided == 0


def test_looking_at_the_link_changes_nothing_and_it_works_once(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    ask(member(vendor, ann), new)
    path = link(vendor, new, PROOF_PATH)
    scanner, before = vendor.browser(), vendor.everything()
    for _ in range(2):
        assert scanner.open(path).status == 200
        assert scanner.answer.header("cache-control") == "no-store"
    assert vendor.everything() == before
    assert press(vendor, path).answer.status == 200
    assert press(vendor, path).answer.status == 401
    assert len(vendor.entries("address.changed")) == 1


def test_everything_that_is_hers_survives(vendor: Vendor) -> None:
    """Sessions, the password, consents; links that only stop. What was mailed to open the centre does not."""
    ann, new = Person(), Person().email
    vendor.join("newsletter", ann)
    browser = member(vendor, ann)
    sid = whose(vendor, ann.email) or b""
    vendor.issues(sid, ann.email)
    stopping = link_in(vendor.letters(ann.email, "/unsubscribe/")[-1], "/unsubscribe/")
    opening = link_in(centre_letters(vendor, ann.email)[-1], "/privacy/open/")
    elsewhere = vendor.browser()
    sign_in(elsewhere, ann.email, PHRASE)
    move(vendor, browser, new)
    for each in (browser, elsewhere):
        assert each.open("/account").status == 200
        assert each.address == "/account"
    assert vendor.browser().open(opening).status == 401  # whoever reads the old mailbox comes in no more
    assert vendor.issues(sid, new) == 1  # her subscription goes on, to the new address
    assert len(vendor.entries("intake.confirmed")) == 2
    assert press(vendor, stopping).answer.status == 200
    assert vendor.issues(sid, new) == 0


def test_every_record_has_the_new_address_and_the_old_ciphertexts_are_gone(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    vendor.join("newsletter", ann)
    browser = member(vendor, ann)
    sid = whose(vendor, ann.email) or b""
    old = [row[0] for row in vendor.rows("SELECT ct FROM personal_records")]
    move(vendor, browser, new)
    vendor.letters()
    vault = vendor.system.vault
    records = vendor.system.store.read(lambda c: vault.records(c, TENANT, sid))
    assert [vault.open(TENANT, record)["email"] for record in records] == [new, new]
    assert find(vendor.folder, [each for each in old if isinstance(each, bytes)]) == []
    assert find(vendor.folder, [new, ann.email]) == []
    assert vendor.key_rows("SELECT kind, count(*) FROM guards GROUP BY kind") == [("rectified", 2)]
    assert vendor.key_rows("SELECT state, count(*) FROM tags WHERE kind = 'email' GROUP BY state") == [("live", 1)]


def test_the_entries_and_the_copy_tell_of_it(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    browser = member(vendor, ann)
    assert ask(browser, new) == 200
    waiting = json.loads(browser.open("/privacy/copy.json").body)["account"]["waiting"]
    assert waiting["address"] == new
    assert waiting["until"] - waiting["asked"] == LIFE_MS
    press(vendor, link(vendor, new, PROOF_PATH))
    copy = json.loads(browser.open("/privacy/copy.json").body)
    assert copy["account"]["waiting"] is None
    assert [(each["point"], each["fields"]) for each in copy["corrections"]] == [("registration", ["email"])]
    assert ann.email not in browser.answer.body.decode()
    (asked,), (changed,) = vendor.entries("address.asked"), vendor.entries("address.changed")
    assert json.loads(changed)["refers"] == json.loads(asked)["eid"]
    assert json.loads(changed)["clause"] == "rights.rectify"
    mine = vendor.whose(vendor.system.vault.opening(TENANT, whose(vendor, new) or b""))
    assert {asked, changed} <= set(mine)


# --- the old address ---


def test_the_old_address_is_told_and_stops_it(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    ask(member(vendor, ann), new)
    proving, stopping = link(vendor, new, PROOF_PATH), link(vendor, ann.email, STOP_PATH)
    assert new not in vendor.letters(ann.email, STOP_PATH)[-1].text
    assert "stays as it is" in press(vendor, stopping).page.text
    assert press(vendor, proving).answer.status == 401
    assert press(vendor, stopping).answer.status == 401
    assert whose(vendor, ann.email) is not None
    assert whose(vendor, new) is None
    assert vendor.key_rows("SELECT count(*) FROM tags WHERE state = 'pending'") == [(0,)]
    assert len(vendor.entries("address.stopped")) == 1
    assert vendor.count("address_changes") == 0


def test_a_link_of_one_kind_does_nothing_of_the_other(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    ask(member(vendor, ann), new)
    proving, stopping = link(vendor, new, PROOF_PATH), link(vendor, ann.email, STOP_PATH)
    assert press(vendor, stopping.replace(STOP_PATH, PROOF_PATH)).answer.status == 401
    assert press(vendor, proving.replace(PROOF_PATH, STOP_PATH)).answer.status == 401
    assert press(vendor, proving.replace(PROOF_PATH, "/privacy/open/")).answer.status == 401
    assert whose(vendor, new) is None


def test_a_wish_that_nobody_proves_is_over_after_a_day(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    ask(member(vendor, ann), new)
    path = link(vendor, new, PROOF_PATH)
    vendor.clock.advance(LIFE_MS)
    assert press(vendor, path).answer.status == 401
    vendor.letters()  # the sweep comes by
    assert vendor.count("address_changes") == 0
    assert vendor.key_rows("SELECT count(*) FROM tags WHERE state = 'pending'") == [(0,)]
    assert whose(vendor, ann.email) is not None


def test_a_second_wish_takes_the_place_of_the_first(vendor: Vendor) -> None:
    ann, first, second = Person(), Person().email, Person().email
    browser = member(vendor, ann)
    ask(browser, first)
    old = link(vendor, first, PROOF_PATH)
    ask(browser, second)
    assert press(vendor, old).answer.status == 401
    assert press(vendor, link(vendor, second, PROOF_PATH)).answer.status == 200
    assert whose(vendor, second) is not None
    assert whose(vendor, first) is None


# --- somebody else's address ---


def test_somebody_elses_address_gives_the_same_answer_and_no_hint(vendor: Vendor) -> None:
    ann, ben, nobody = Person(), Person(), Person()
    browser = member(vendor, ann)
    vendor.join("registration", ben)
    pages = []
    for address in (ben.email, nobody.email):
        assert ask(browser, address) == 200
        pages.append((browser.address, browser.page.text.replace(address, "…").partition("checkpoint")[0]))
        assert len(vendor.letters(address, PROOF_PATH)) == 1
    assert pages[0] == pages[1]
    assert [set(json.loads(body)) for body in vendor.entries("address.asked")] == [
        {"v", "eid", "at", "kind", "clause", "mechanism", "actor", "policy", "subject", *extra} for extra in ((), ())
    ]


def test_a_proven_address_of_somebody_else_is_not_taken_from_them(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    browser = member(vendor, ann)
    bens = vendor.join("registration", ben)
    ask(browser, ben.email)
    refused = press(vendor, link(vendor, ben.email, PROOF_PATH))  # Ben's mailbox, so it is Ben who learns why
    assert refused.answer.status == 409
    assert whose(vendor, ben.email) == bens
    assert whose(vendor, ann.email) not in (None, bens)
    records = vendor.system.rectification.opened(TENANT, whose(vendor, ann.email) or b"")
    assert [one.content["email"] for one in records] == [ann.email]
    assert vendor.entries("address.changed") == []


def test_of_several_who_want_one_address_at_once_one_has_it(vendor: Vendor) -> None:
    people, new = [Person() for _ in range(5)], Person().email
    sids = [vendor.join("registration", person) for person in people]
    for sid in sids:
        vendor.system.addresses.ask(TENANT, sid, new)
    links = [link_in(letter, PROOF_PATH).removeprefix(PROOF_PATH) for letter in vendor.letters(new, PROOF_PATH)]
    assert len(links) == 5
    ready, told = threading.Barrier(5), []

    def prove(token: str) -> None:
        ready.wait()
        try:
            vendor.system.addresses.prove(token)
            told.append(True)
        except Conflict:
            told.append(False)

    threads = [threading.Thread(target=prove, args=(token,)) for token in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False] * 4 + [True]
    winner = whose(vendor, new)
    for person, sid in zip(people, sids, strict=True):
        assert whose(vendor, person.email) == (None if sid == winner else sid)
        held = {one.content["email"] for one in vendor.system.rectification.opened(TENANT, sid)}
        assert held == {new if sid == winner else person.email}


def test_one_link_pressed_by_several_at_once_does_it_once(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    sid = vendor.join("registration", ann)
    vendor.system.addresses.ask(TENANT, sid, new)
    token = link(vendor, new, PROOF_PATH).removeprefix(PROOF_PATH)
    ready, told = threading.Barrier(6), []

    def prove() -> None:
        ready.wait()
        try:
            vendor.system.addresses.prove(token)
            told.append(True)
        except (Conflict, Unproven):
            told.append(False)

    threads = [threading.Thread(target=prove) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count(True) == 1
    assert whose(vendor, new) == sid
    assert whose(vendor, ann.email) is None
    assert len(vendor.entries("address.changed")) == 1


# --- objections ---


def test_an_objection_stays_with_the_old_address_and_covers_the_new_one(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    vendor.join("newsletter", ann)
    browser = member(vendor, ann)
    vendor.system.objections.object(TENANT, whose(vendor, ann.email) or b"", "marketing")
    move(vendor, browser, new)
    for address in (ann.email, new):
        assert vendor.system.vault.suppressed(TENANT, "email", address, "marketing")
    vendor.system.erasures.erase(TENANT, whose(vendor, new) or b"")
    vendor.letters()
    for address in (ann.email, new):  # and both outlive the erasure
        assert vendor.system.vault.suppressed(TENANT, "email", address, "marketing")


def test_what_the_new_address_objected_to_before_holds_for_its_new_owner(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    vendor.join("newsletter", ann)
    browser = member(vendor, ann)
    sid = whose(vendor, ann.email) or b""
    vault = vendor.system.vault
    vendor.system.store.write_keys(lambda ktx: vault.suppress_value(ktx, TENANT, "email", new, "newsletter"))
    move(vendor, browser, new)
    state = vendor.system.store.read(lambda c: vault.state_of(c, TENANT, sid))[0]
    assert Stop("newsletter") in state.stops
    assert vendor.issues(sid, new) == 0


# --- proof, limits, refusals ---


def test_it_asks_for_a_fresh_proof(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    vendor.clock.advance(LINK_LIFE_MS)
    assert ask(browser, Person().email) != 0
    assert browser.address.startswith("/account/sign-in")
    assert vendor.entries("address.asked") == []
    assert sign_in(browser, ann.email, OTHER) == 401
    sign_in(browser, ann.email, PHRASE)
    assert ask(browser, Person().email) == 200
    assert json.loads(vendor.entries("address.asked")[-1])["refers"]


@pytest.mark.parametrize("method", ["handover", "openid"])
def test_a_product_or_a_provider_that_says_who_is_there_moves_nobody(vendor: Vendor, method: str) -> None:
    ann, new = Person(), Person().email
    member(vendor, ann)
    browser = vendor.centre(ann)
    let_in = text("UPDATE sessions SET method = :by WHERE method = 'link'").bindparams(by=method)
    vendor.system.store.write(Write(lambda tx: tx.execute(let_in).rowcount))
    browser.open("/account")
    assert browser.address == "/account"  # their own centre is open to them
    before = vendor.everything()
    browser.send("/account/address", email=new)
    assert browser.address == "/account/sign-in?again=1"
    browser.open("/account/address")
    assert browser.address == "/account/sign-in?again=1"
    assert vendor.everything() == before
    assert vendor.letters(new) == []


def test_nobody_floods_a_mailbox_with_it(vendor: Vendor) -> None:
    browser = member(vendor, Person())
    told = [ask(browser, Person().email) for _ in range(6)]
    assert told == [200] * 5 + [429]
    stranger = Person().email
    told = [ask(member(vendor, Person()), stranger) for _ in range(4)]
    assert told == [200] * 3 + [429]
    vendor.clock.advance(HOUR_MS)
    assert len(vendor.letters(stranger)) == 3


@pytest.mark.parametrize("address", ["not an address", "", "a@b", "x" * 250 + "@example.org", "own"])
def test_what_is_no_other_address_is_refused_at_its_field(vendor: Vendor, address: str) -> None:
    ann = Person()
    browser = member(vendor, ann)
    assert ask(browser, ann.email.upper() if address == "own" else address) == 422
    assert 'aria-invalid="true"' in browser.answer.body.decode()
    assert vendor.count("address_changes") == 0


def test_a_form_from_elsewhere_asks_for_nothing(vendor: Vendor) -> None:
    browser = member(vendor, Person())
    browser.open("/account/address")
    assert browser.send("/account/address", email=Person().email, csrf_token="0" * 64).status == 403
    assert vendor.entries("address.asked") == []


def test_a_link_of_somebody_erased_or_being_erased_does_nothing(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    ask(member(vendor, ann), new)
    path = link(vendor, new, PROOF_PATH)
    sid = whose(vendor, ann.email) or b""
    order = vendor.system.erasures.order(TENANT, sid)
    assert press(vendor, path).answer.status == 401
    vendor.system.erasures.carry_out(order)
    assert press(vendor, path).answer.status == 401
    vendor.letters()
    assert vendor.count("address_changes") == 0
    assert vendor.system.vault.look(TENANT, sid) == (0, 0)
    assert find(vendor.folder, {new, *ann.markers}) == []


def test_an_erasure_that_overtakes_the_proof_leaves_no_tag_behind(vendor: Vendor) -> None:
    """Looked before, written after: nobody gets a tag who has no keys any more."""
    ann, new = Person(), Person().email
    sid = vendor.join("registration", ann)
    addresses = vendor.system.addresses
    addresses.ask(TENANT, sid, new)
    token = link(vendor, new, PROOF_PATH).removeprefix(PROOF_PATH)
    seal = vendor.system.rectification.seal

    def overtaken(found: list[Replacement]) -> list[bytes]:
        sealed = seal(found)
        vendor.system.erasures.erase(TENANT, sid)
        return sealed

    with patch.object(vendor.system.rectification, "seal", overtaken), pytest.raises(TrothError):
        addresses.prove(token)
    assert vendor.system.vault.look(TENANT, sid) == (0, 0)
    with pytest.raises(NotFound):
        vendor.system.store.write_keys(lambda ktx: vendor.system.vault.settle(ktx, TENANT, sid, "email", live=[new]))
    assert whose(vendor, new) is None


# --- what a crash leaves ---


def test_a_change_that_died_between_the_stores_is_completed_by_its_job(vendor: Vendor) -> None:
    """After D: the new address is on record, the old tag is still there; nothing was acknowledged."""
    ann, new = Person(), Person().email
    sid = vendor.join("registration", ann)
    vendor.system.addresses.ask(TENANT, sid, new)
    token = link(vendor, new, PROOF_PATH).removeprefix(PROOF_PATH)
    with patch.object(vendor.system.rectification, "guard", side_effect=RuntimeError):
        with patch.object(vendor.system.addresses, "mend"), pytest.raises(Unknown):
            vendor.system.addresses.prove(token)
        assert whose(vendor, ann.email) == sid
    vendor.again()
    vendor.letters()
    assert whose(vendor, ann.email) is None
    assert whose(vendor, new) == sid
    assert vendor.key_rows("SELECT kind FROM guards") == [("rectified",)]


def test_a_change_that_died_before_the_data_is_taken_back_before_the_port_opens(vendor: Vendor) -> None:
    """After K: the new tag is live, nothing is on record. D wins."""
    ann, new = Person(), Person().email
    sid = vendor.join("registration", ann)
    vendor.system.addresses.ask(TENANT, sid, new)
    vault = vendor.system.vault
    vendor.system.store.write_keys(lambda ktx: vault.settle(ktx, TENANT, sid, "email", live=[ann.email, new]))
    assert whose(vendor, new) == sid
    vendor.again()
    assert whose(vendor, new) is None
    assert whose(vendor, ann.email) == sid
    path = link(vendor, new, PROOF_PATH)
    assert press(vendor, path).answer.status == 200  # and the link still does it
    assert whose(vendor, new) == sid


def test_a_change_refused_in_the_data_leaves_the_index_as_it_was(vendor: Vendor) -> None:
    ann, new = Person(), Person().email
    sid = vendor.join("registration", ann)
    vendor.system.addresses.ask(TENANT, sid, new)
    token = link(vendor, new, PROOF_PATH).removeprefix(PROOF_PATH)
    with (
        patch.object(vendor.system.rectification, "put", side_effect=Conflict("moved on")),
        pytest.raises(Conflict),
    ):
        vendor.system.addresses.prove(token)
    assert whose(vendor, new) is None
    assert whose(vendor, ann.email) == sid
    vendor.system.addresses.prove(token)
    assert whose(vendor, new) == sid


def test_a_tag_without_a_wish_is_swept_when_its_time_is_over(vendor: Vendor) -> None:
    """A crash between K and D when it was asked: nothing on record, a tag that waits for nobody."""
    ann, new = Person(), Person().email
    sid = vendor.join("registration", ann)
    vault, until = vendor.system.vault, vendor.clock.now() + LIFE_MS
    vendor.system.store.write_keys(
        lambda ktx: vault.settle(ktx, TENANT, sid, "email", live=[ann.email], pending=[new], expires_ms=until)
    )
    vendor.submit("registration", Person(email=new))  # somebody who signs up with it is in nobody's way
    vendor.clock.advance(LIFE_MS)
    vendor.letters()
    assert vendor.key_rows("SELECT count(*) FROM tags WHERE sid = :sid AND state = 'pending'", sid=sid) == [(0,)]
    assert whose(vendor, ann.email) == sid
    assert vendor.confirm(new).point == "registration"  # the one who waits for their own proof was left alone


def test_the_board_notices_an_old_address_that_still_finds(vendor: Vendor) -> None:
    from tests.clauses.conftest import row
    from tests.clauses.tampering import behind

    ann, new = Person(), Person().email
    move(vendor, member(vendor, ann), new)
    vendor.letters()
    assert row(vendor.system, "rights.rectify").status == "PASS"
    assert behind(
        vendor.folder,
        "INSERT INTO tags (tenant, kind, key_version, tag, bucket, generation, sid, state, scope, created_ms) "
        "SELECT tenant, kind, key_version, randomblob(16), bucket, generation, sid, 'live', '', 1 FROM tags "
        "WHERE state = 'live'",
        keys=True,
    )
    assert row(vendor.system, "rights.rectify").status == "FAIL"


def test_the_letters_wait_for_no_later_address(vendor: Vendor) -> None:
    """The notice goes to the address that is being left, though it is sent after the change."""
    ann, new = Person(), Person().email
    sid = vendor.join("registration", ann)
    vendor.system.addresses.ask(TENANT, sid, new)
    held = vendor.rows("SELECT id FROM messages WHERE template = 'rights.address-old'")
    assert len(held) == 1
    put_off = text("UPDATE jobs SET run_ms = run_ms + 3600000 WHERE ref = :ref")
    ref = held[0][0]
    assert isinstance(ref, bytes)
    vendor.system.store.write(Write(lambda tx: tx.execute(put_off, {"ref": ref.hex()}).rowcount))
    press(vendor, link(vendor, new, PROOF_PATH))
    vendor.clock.advance(HOUR_MS)
    assert len(vendor.letters(ann.email, STOP_PATH)) == 1
    assert vendor.letters(new, STOP_PATH) == []
