"""A person corrects their own data: through the door of collection, in every place, and the old value is gone."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.clauses.conftest import row
from tests.clauses.test_accounts import PHRASE, member, sign_in, token
from tests.clauses.vendor import TENANT, Browser, Person, Vendor, example, vendor_at
from tests.residue import find
from troth.errors import Conflict, Invalid, NotFound, Undeclared
from troth.policy.model import State
from troth.store import Write
from troth.world import DAY_MS

PHONE = "+353 1 444 0199"


def correct(browser: Browser, point: str, **values: str) -> int:
    """The form of one place sent, as it was shown but for these values: the status."""
    browser.open(f"/privacy/correct/{point}")
    return browser.send(f"/privacy/correct/{point}", **values).status


def values_of(vendor: Vendor, sid: bytes) -> list[tuple[str, dict[str, object]]]:
    """(point, content) of every record that a person has."""
    vault = vendor.system.vault
    records = vendor.system.store.read(lambda c: vault.records(c, TENANT, sid))
    return [(record.terms.point, vault.open(TENANT, record)) for record in records]


def ciphertexts(vendor: Vendor) -> list[bytes]:
    return [bytes(ct) for (ct,) in vendor.rows("SELECT ct FROM personal_records") if isinstance(ct, bytes)]


# --- what is promised ---


def test_a_person_corrects_their_phone_number_and_the_old_one_is_served_no_more(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    browser = vendor.centre(ann)
    browser.open("/privacy/correct")
    assert "/privacy/correct/registration" in browser.answer.body.decode()
    assert correct(browser, "registration", phone=PHONE) == 200
    assert "Records changed: 1 (Register)" in browser.page.text
    answer = vendor.system.gate.open("account").read(TENANT, sid, frozenset({"phone", "first_name"}))
    assert answer.values == {"phone": PHONE, "first_name": ann.first}
    copy = json.loads(browser.open("/privacy/copy.json").body)
    assert {r["values"]["phone"] for r in copy["records"]} == {PHONE}
    assert ann.phone not in browser.answer.body.decode()


def test_every_record_that_holds_the_value_is_reached_and_said(vendor: Vendor) -> None:
    """She registered twice: both records of the point; the newsletter's name is another field, and stays."""
    ann = Person()
    sid = vendor.join("registration", ann)
    vendor.join("registration", ann, phone="+353 1 444 0111")
    vendor.join("newsletter", ann)
    browser = vendor.centre(ann)
    assert correct(browser, "registration", phone=PHONE) == 200
    assert "Records changed: 2 (Register)" in browser.page.text
    assert [content.get("phone") for point, content in values_of(vendor, sid) if point == "registration"] == [PHONE] * 2
    assert correct(browser, "newsletter", name="Ann New") == 200
    assert "Records changed: 1 (Newsletter)" in browser.page.text
    assert [content["name"] for point, content in values_of(vendor, sid) if point == "newsletter"] == ["Ann New"]


def test_the_same_fact_told_elsewhere_is_corrected_there_too(vendor: Vendor) -> None:
    from tests.clauses.handing import portal_of
    from troth.policy.model import Terms
    from troth.store.ledger import EntryDraft
    from troth.vault import NewRecord

    ann = Person()
    sid = vendor.join("registration", ann)
    portal, policy, vault = portal_of(vendor), vendor.system.policy, vendor.system.vault
    terms = Terms(policy.controller.name, portal.product.surface or "", "account.reference", policy.version)
    for phone in (ann.phone, "+353 1 444 0122"):
        record = NewRecord("account", terms, {"reference": f"r{phone}", "phone": phone})
        staged = vault.stage(TENANT, sid=sid, identifiers={}, records=[record], pending=False)
        draft = EntryDraft("intake.accepted", "purpose.provide", "intake.declared")
        vendor.system.store.write(
            Write(
                before=staged.before,
                body=lambda tx, s=staged, d=draft: s.insert(tx, tx.append(d, s.opening).eid),  # type: ignore[misc]
            )
        )
    done = vendor.system.rectification.correct(TENANT, sid, "registration", {"phone": PHONE})
    assert done.records == 2
    assert set(done.points) == {"registration", "account.reference"}
    phones = [content["phone"] for point, content in values_of(vendor, sid) if point == "account.reference"]
    assert sorted(map(str, phones)) == ["+353 1 444 0122", PHONE]  # another number is another fact


def test_what_is_no_longer_asked_for_is_corrected_as_long_as_it_is_held(tmp_path: Path) -> None:
    """She told her number; a later version does not ask for it; she registers again under that one."""
    later = example().replace("version: 2026-01-15", "version: 2026-03-03", 1)
    later = later.replace("effective: 2026-02-15", "effective: 2026-04-03", 1)
    before, within = later.split("id: collect.registration", 1)
    within, after = within.split("```", 1)
    within = within.replace("      phone: {category: user.contact.phone}\n", "").replace("phone, ", "")
    after = after.replace("use phone of registration for newsletter", "use company of registration for newsletter", 1)
    with vendor_at(tmp_path / "vendor") as vendor:
        ann = Person()
        sid = vendor.join("registration", ann)
        vendor.system.versions.publish(f"{before}id: collect.registration{within}```{after}")
        vendor.clock.advance(33 * DAY_MS)
        vendor.join("registration", ann)
        browser = vendor.centre(ann)
        assert browser.open("/privacy/correct/registration").status == 200
        assert ann.phone in browser.answer.text
        assert correct(browser, "registration", phone=PHONE, company="New & Sons") == 200
        contents = [content for point, content in values_of(vendor, sid) if point == "registration"]
        old, new = sorted(contents, key=lambda content: "phone" not in content)
        assert (old["phone"], old["company"], new["company"]) == (PHONE, "New & Sons", "New & Sons")
        assert "phone" not in new


def test_each_correction_has_its_entry_its_guard_and_its_place_in_the_copy(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    browser = vendor.centre(ann)
    correct(browser, "registration", phone=PHONE, company="")
    (body,) = vendor.entries("data.rectified")
    entry = json.loads(body)
    assert (entry["clause"], entry["mechanism"], entry["actor"]) == ("rights.rectify", "right.rectify", "subject")
    assert entry["facts"] == {"point": "registration", "class": "account", "fields": ["company", "phone"]}
    assert body in vendor.whose(vendor.system.vault.opening(TENANT, sid))
    ((rid,),) = vendor.rows("SELECT rid FROM personal_records")
    guards = vendor.key_rows("SELECT kind, rid, eid FROM guards")
    assert guards == [("rectified", rid, bytes.fromhex(entry["eid"]))]
    copy = json.loads(browser.open("/privacy/copy.json").body)
    assert copy["corrections"] == [
        {"at": entry["at"], "point": "registration", "fields": ["company", "phone"]},
    ]
    assert [r["kind"] for r in copy["requests"] if r["kind"] == "rectification"] == ["rectification"]
    assert "company" not in copy["records"][0]["values"]  # an empty optional value is taken out
    browser.open("/privacy/receipts")
    assert "You corrected your data" in browser.page.text


def test_the_old_ciphertext_is_in_no_file_when_the_work_is_done(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    (old,) = ciphertexts(vendor)
    assert find(vendor.folder, [old])
    correct(vendor.centre(ann), "registration", phone=PHONE)
    vendor.letters()  # the job behind it
    assert ciphertexts(vendor) != [old]
    assert find(vendor.folder, [old, PHONE, ann.phone]) == []


def test_what_the_form_does_not_name_stays_and_nothing_changed_is_said(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    before = values_of(vendor, sid)
    done = vendor.system.rectification.correct(TENANT, sid, "registration", {"phone": ann.phone})
    assert done.records == 0
    assert correct(vendor.centre(ann), "registration") == 200
    assert values_of(vendor, sid) == before
    assert vendor.entries("data.rectified") == []


def test_an_erased_person_leaves_no_correction_behind(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    correct(vendor.centre(ann), "registration", phone=PHONE)
    assert vendor.count("corrections") == 1
    assert vendor.system.erasures.erase(TENANT, sid).state == "gone"
    vendor.letters()
    assert vendor.count("corrections") == 0
    assert find(vendor.folder, {*ann.markers, PHONE}) == []


# --- the same door as collection ---


def test_a_field_that_no_clause_declares_is_refused_with_its_clause(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    before = values_of(vendor, sid)
    assert correct(vendor.centre(ann), "registration", shoe_size="44") == 422
    with pytest.raises(Undeclared) as caught:
        vendor.system.rectification.correct(TENANT, sid, "registration", {"shoe_size": "44"})
    assert caught.value.clause == "collect.registration"
    assert values_of(vendor, sid) == before


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"phone": "call me"}, "telephone number"),
        ({"first_name": ""}, "Please fill this in"),
        ({"first_name": "x" * 201}, "too long"),
        ({"company_size": "a million"}, "one of the options"),
        ({"company": "a\x07b"}, "cannot be stored"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_at_its_field(vendor: Vendor, values: dict[str, str], says: str) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    before = values_of(vendor, sid)
    browser = vendor.centre(ann)
    assert correct(browser, "registration", **values) == 422
    assert says in browser.page.text
    assert values_of(vendor, sid) == before


def test_what_one_is_found_by_is_not_changed_here(vendor: Vendor) -> None:
    ann, other = Person(), Person()
    sid = vendor.join("registration", ann)
    assert correct(vendor.centre(ann), "registration", email=other.email) == 422
    with pytest.raises(Invalid) as caught:
        vendor.system.rectification.correct(TENANT, sid, "registration", {"email": other.email})
    assert caught.value.gaps == ("/email: identifies",)
    assert vendor.system.vault.find(TENANT, "email", ann.email) == sid


# --- what somebody might try ---


def test_nobody_corrects_what_another_told(vendor: Vendor) -> None:
    ann, eve = Person(), Person()
    sid = vendor.join("registration", ann)
    vendor.join("newsletter", eve)
    browser = vendor.centre(eve)
    assert browser.open("/privacy/correct/registration").status == 404  # she told nothing there, and learns nothing
    browser.open("/privacy/correct/newsletter")
    told = {"csrf_token": token(browser), "phone": PHONE, "sid": sid.hex(), "tenant": "main"}
    assert browser.send("/privacy/correct/newsletter", **told).status == 422
    assert browser.http.request("POST", "/privacy/correct/registration", data=told).status_code in (303, 403, 404)
    assert [content["phone"] for _, content in values_of(vendor, sid)] == [ann.phone]


def test_a_form_from_elsewhere_or_without_its_token_is_refused(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    browser = vendor.centre(ann)
    browser.open("/privacy/correct/registration")
    assert browser.send("/privacy/correct/registration", phone=PHONE, csrf_token="0" * 64).status == 403
    cookie = {"cookie": f"troth_session={browser.cookies['troth_session']}", "origin": "https://evil.example"}
    sent = browser.http.request("POST", "/privacy/correct/registration", data={"phone": PHONE}, headers=cookie)
    assert sent.status_code == 403
    assert [content["phone"] for _, content in values_of(vendor, sid)] == [ann.phone]


def test_a_page_that_showed_something_older_changes_nothing(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    one, two = vendor.centre(ann), vendor.centre(ann)
    one.open("/privacy/correct/registration")
    two.open("/privacy/correct/registration")
    assert one.send("/privacy/correct/registration", company="First & Sons").status == 200
    assert two.send("/privacy/correct/registration", phone=PHONE).status == 409
    assert "changed elsewhere" in two.page.text
    assert [(content["company"], content["phone"]) for _, content in values_of(vendor, sid)] == [
        ("First & Sons", ann.phone)
    ]
    assert two.send("/privacy/correct/registration", phone=PHONE).status == 200  # the page shows it as it is now


def test_of_two_corrections_at_once_each_is_whole_or_refused(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    ready, told = threading.Barrier(8), []

    def change(n: int) -> None:
        values = {"phone": f"+353 1 444 010{n}", "company": f"Company {n}"}
        ready.wait()
        try:
            told.append(vendor.system.rectification.correct(TENANT, sid, "registration", values).records)
        except Conflict:
            told.append(0)

    threads = [threading.Thread(target=change, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((_, content),) = values_of(vendor, sid)
    assert str(content["phone"])[-1] == str(content["company"])[-1]  # never one's phone with another's company
    assert sum(told) >= 1
    assert len(vendor.entries("data.rectified")) == sum(told) == vendor.count("corrections")


def test_a_correction_during_an_erasure_changes_nothing(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    opened = vendor.system.rectification.opened(TENANT, sid)
    vendor.system.erasures.order(TENANT, sid)
    with pytest.raises(NotFound):
        vendor.system.rectification.correct(TENANT, sid, "registration", {"phone": PHONE})
    with patch.object(vendor.system.rectification, "opened", lambda *_: opened), pytest.raises(NotFound):
        vendor.system.rectification.correct(TENANT, sid, "registration", {"phone": PHONE})  # looked before the order
    assert vendor.entries("data.rectified") == []


def test_a_correction_during_a_restriction_is_made_and_the_restriction_stays(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)

    def restrict(tx: object) -> None:
        vault = vendor.system.vault
        vault.change_state(tx, TENANT, sid, lambda s: State("restricted", s.bound, s.grants, s.stops))  # type: ignore[arg-type]
        vault.set_mode(tx, TENANT, sid, "restricted")  # type: ignore[arg-type]

    vendor.system.store.write(Write(restrict))
    assert vendor.system.rectification.correct(TENANT, sid, "registration", {"phone": PHONE}).records == 1
    assert vendor.rows("SELECT mode FROM subjects") == [("restricted",)]


def test_looking_leaves_an_entry_and_only_after_a_proof(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    assert vendor.browser().open("/privacy/correct/registration").status == 200  # led to asking for a link
    assert vendor.entries("data.shown") == []
    browser = vendor.browser()
    sign_in(browser, ann.email, PHRASE)
    browser.open("/privacy/correct/registration")
    assert ann.phone in browser.answer.body.decode()
    (shown,) = vendor.entries("data.shown")
    (signed,) = vendor.entries("account.signed-in")
    assert json.loads(shown)["refers"] == json.loads(signed)["eid"]


def test_a_guard_that_a_crash_kept_is_written_by_the_job(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    rectification = vendor.system.rectification
    with patch.object(rectification, "guard", side_effect=RuntimeError), pytest.raises(Exception, match="completed"):
        rectification.correct(TENANT, sid, "registration", {"phone": PHONE})
    assert vendor.key_rows("SELECT count(*) FROM guards") == [(0,)]
    vendor.again()
    vendor.letters()
    assert vendor.key_rows("SELECT count(*) FROM guards") == [(1,)]
    assert [content["phone"] for _, content in values_of(vendor, sid)] == [PHONE]


def test_the_board_says_that_corrections_hold_and_notices_a_guard_that_is_gone(vendor: Vendor) -> None:
    from tests.clauses.tampering import behind

    ann = Person()
    sid = vendor.join("registration", ann)
    assert row(vendor.system, "rights.rectify").status == "NOT EXERCISED"
    browser = vendor.centre(ann)
    correct(browser, "registration", phone=PHONE)
    vendor.letters()
    assert row(vendor.system, "rights.rectify").status == "PASS"
    assert behind(vendor.folder, "DELETE FROM guards", keys=True)
    assert "guard" in row(vendor.system, "rights.rectify").reason
    assert row(vendor.system, "rights.rectify").status == "FAIL"
    assert vendor.system.vault.find(TENANT, "email", ann.email) == sid
