"""The plan: signed before anything happens, named by the ledger, and held against what was done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.clauses.tampering import behind
from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at
from tests.residue import spellings
from troth.errors import Damaged
from troth.rights import plan as plans
from troth.rights.certificate import Certificate
from troth.rights.erasers import BY_ID
from troth.rights.removal import MOST
from troth.store.tables import data
from troth.vault import Look
from troth.world import DAY_MS


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with vendor_at(tmp_path / "vendor") as found:
        yield found


@pytest.fixture
def ann(vendor: Vendor) -> Person:
    """Somebody with both forms, a letter, a session, an objection."""
    ann = Person()
    vendor.join("newsletter", ann)
    sid = vendor.join("registration", ann)
    vendor.issues(sid, ann.email)
    vendor.centre(ann).open("/privacy/copy.json")
    vendor.system.objections.object(TENANT, sid, "marketing")
    vendor.letters()
    return ann


def sid_of(vendor: Vendor, person: Person) -> bytes:
    sid = vendor.system.vault.find(TENANT, "email", person.email)
    assert sid is not None
    return sid


def stored(vendor: Vendor, certificate: Certificate) -> str:
    text = vendor.system.erasures.planned(bytes.fromhex(certificate.ordered))
    assert text is not None
    return text


def status(vendor: Vendor) -> str:
    return next(row.status for row in vendor.system.inspector.now().rows if row.clause == "rights.erase")


def test_what_is_shown_before_is_what_is_signed_and_then_done(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    before = vendor.everything()
    shown = vendor.system.erasures.draw(TENANT, sid)
    assert vendor.everything() == before  # looking orders nothing
    certificate = vendor.system.erasures.erase(TENANT, sid)
    text = stored(vendor, certificate)
    assert plans.verify(text, vendor.system.store.signer.public)
    signed = plans.read(text)
    assert signed.lines == shown.lines
    assert signed.order == certificate.ordered
    (entry,) = vendor.entries("erase.ordered")
    assert json.loads(entry)["facts"]["plan"] == plans.digest(text) == certificate.plan
    told = {each.table: each for each in certificate.outcomes if each.removed is not None}
    assert {each.fate for each in certificate.outcomes} == {"done", "held"}
    for table, removed in certificate.rows.items():
        planned = sum(line.count or 0 for line in signed.lines if (line.table, line.action) == (table, "destroyed"))
        assert (planned, told[table].removed) == (removed, removed), table


def test_the_plan_counts_every_row_that_names_the_person(vendor: Vendor, ann: Person) -> None:
    """Against the tables themselves: nothing of theirs lies where the plan says nothing."""
    sid = sid_of(vendor, ann)
    lines = vendor.system.erasures.draw(TENANT, sid).lines
    for table in data.sorted_tables:
        if "sid" not in table.c or table.name == "erasures":
            continue
        ((held,),) = vendor.rows(f"SELECT count(*) FROM {table.name} WHERE sid = :sid", sid=sid)
        assert held == sum(line.count or 0 for line in lines if line.table == table.name), table.name


def test_it_says_what_is_kept_and_until_when(vendor: Vendor, ann: Person) -> None:
    lines = {line.kind: line for line in vendor.system.erasures.draw(TENANT, sid_of(vendor, ann)).lines}
    assert (lines["objections"].action, lines["objections"].count) == ("kept", 1)
    assert lines["unsubscribing"].action == "changed"
    assert lines["reads"].until_ms == vendor.clock.now() + (BY_ID["reads"].days or 0) * DAY_MS
    assert {line.clause for line in lines.values()} <= set(vendor.system.policy.clauses)
    ben = Person()
    vendor.join("newsletter", ben)
    assert "objections" not in {line.kind for line in vendor.system.erasures.draw(TENANT, sid_of(vendor, ben)).lines}


def test_no_value_stands_in_it(vendor: Vendor, ann: Person) -> None:
    text = stored(vendor, vendor.system.erasures.erase(TENANT, sid_of(vendor, ann))).encode()
    assert [how for needle, how in spellings(ann.markers).items() if needle in text] == []


def test_it_counts_no_further_than_it_must(vendor: Vendor) -> None:
    ben = Person()
    sid = vendor.join("newsletter", ben)
    copied = "INSERT INTO personal_records SELECT tenant, sid, randomblob(16), terms_id, class, schema, 1, eid, ct"
    behind(vendor.folder, f"{copied} FROM personal_records, json_each('{list(range(MOST + 20))}')")
    (line,) = [line for line in vendor.system.erasures.draw(TENANT, sid).lines if line.table == "personal_records"]
    assert (line.count, line.more, line.point) == (MOST, True, "newsletter")
    certificate = vendor.system.erasures.erase(TENANT, sid)
    (outcome,) = [each for each in certificate.outcomes if each.table == "personal_records"]
    assert (outcome.planned, outcome.more, outcome.removed, outcome.fate) == (MOST, True, MOST + 21, "done")


def test_what_could_not_be_done_is_open_and_then_failed_and_never_done(vendor: Vendor, ann: Person) -> None:
    sid, look = sid_of(vendor, ann), vendor.system.vault.look
    vendor.system.vault.look = lambda *_: Look(1, 0)  # type: ignore[method-assign]  # a key store that keeps one
    first = vendor.system.erasures.erase(TENANT, sid)
    assert {each.fate for each in first.outcomes} == {"open", "held"}
    vendor.system.work()
    order = bytes.fromhex(first.ordered)
    assert {each.fate for each in vendor.system.erasures.certificate(order).outcomes} == {"failed", "held"}
    vendor.system.vault.look = look  # type: ignore[method-assign]  # it lets go
    vendor.clock.advance(DAY_MS // 24)
    vendor.system.work()
    assert {each.fate for each in vendor.system.erasures.certificate(order).outcomes} == {"done", "held"}


def test_a_plan_that_is_altered_is_noticed_by_whoever_checks_it_and_by_the_board(vendor: Vendor, ann: Person) -> None:
    certificate = vendor.system.erasures.erase(TENANT, sid_of(vendor, ann))
    text, public = stored(vendor, certificate), vendor.system.store.signer.public
    altered = [text.replace('"count":1', '"count":2', 1), text.rstrip("\n"), text.partition("\n")[0], "", f" {text}"]
    for other in altered:
        assert other != text
        assert not plans.verify(other, public)
    with pytest.raises(Damaged):
        plans.read("{}")
    assert status(vendor) == "PASS"
    statement = "UPDATE erasures SET plan = ?"
    for other in (altered[0], plans.signed(plans.read(text), vendor.system.store.signer).replace("\n", "\n ", 1)):
        behind(vendor.folder, statement, other)
        assert status(vendor) == "FAIL"
    behind(vendor.folder, statement, text)
    assert status(vendor) == "PASS"


def test_another_plan_signed_afterwards_is_not_the_one_in_the_ledger(vendor: Vendor, ann: Person) -> None:
    """The operator has the key: it is the entry that holds them to what they signed first."""
    certificate = vendor.system.erasures.erase(TENANT, sid_of(vendor, ann))
    plan = plans.read(stored(vendor, certificate))
    fewer = plans.signed(replace(plan, lines=plan.lines[1:]), vendor.system.store.signer)
    assert plans.verify(fewer, vendor.system.store.signer.public)
    behind(vendor.folder, "UPDATE erasures SET plan = ?", fewer)
    assert status(vendor) == "FAIL"


def test_a_record_that_does_not_open_any_more_is_erased_all_the_same(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    behind(vendor.folder, "UPDATE personal_records SET ct = ?", b"spoilt" * 20)
    assert vendor.system.erasures.erase(TENANT, sid).state == "gone"


def test_rows_that_the_plan_did_not_speak_of_are_told() -> None:
    plan = plans.Plan(plans.FORMAT, "", 0, "right", (plans.Line("looks", "looks", "destroyed", "rights.erase", 1),))
    seen = plans.compare(plan, {"looks": 1, "shoes": 2}, unreadable=True, gone=True, failed=False)
    assert [(each.kind, each.table, each.removed) for each in seen] == [
        ("looks", "looks", 1),
        ("unplanned", "shoes", 2),
    ]


def test_an_order_of_before_there_were_plans_has_none_and_is_no_fault(vendor: Vendor, ann: Person) -> None:
    certificate = vendor.system.erasures.erase(TENANT, sid_of(vendor, ann))
    behind(vendor.folder, "UPDATE erasures SET plan = NULL")
    found = vendor.system.erasures.certificate(bytes.fromhex(certificate.ordered))
    assert (found.plan, found.outcomes, found.state) == (None, (), "gone")
    assert status(vendor) == "PASS"


def test_the_person_sees_the_plan_before_they_press_the_button_and_what_became_of_it_after(
    vendor: Vendor, ann: Person
) -> None:
    """Without a script: the pages as any browser gets them."""
    browser = vendor.centre(ann)
    shown = browser.open("/privacy/erase").page.text
    assert "What will happen" in shown
    for words in ("What was given: Newsletter", "Letters, sent and waiting", "Open sessions", "The keys that make it"):
        assert words in shown
    assert "A keyed fingerprint of the address" in shown
    browser.send("/privacy/erase")  # not sure: told, with the plan still there
    assert (browser.answer.status, "What will happen" in browser.page.text) == (422, True)
    browser.send("/privacy/erase", sure="yes")
    (entry,) = vendor.entries("erase.ordered")
    order, facts = json.loads(entry)["eid"], json.loads(entry)["facts"]
    after = vendor.browser().open(f"/privacy/certificate/{order}").page.text
    assert "What became of it" in after
    assert "gone, looked for again" in after
    assert facts["plan"] in after
    assert not any(marker in after for marker in ann.markers)
