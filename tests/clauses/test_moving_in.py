"""Moving in, in the officer's words: nobody comes in without source and yes, and nobody twice."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest

from tests.clauses.conftest import row
from tests.clauses.moving import AGREED, SOURCE, as_csv, bring, counted, held, rows_of, sid_of
from tests.clauses.vendor import TENANT, Person, Vendor
from tests.residue import find
from troth.errors import Denied, Invalid, NotFound
from troth.evidence.compare import Databases
from troth.evidence.verify import verify_folder

# --- who comes in ---


def test_who_agreed_elsewhere_comes_in_live_and_is_written_to(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    report = bring(vendor, as_csv(rows_of([ann, ben])))
    assert counted(report) == (2, 0, 0, 0)
    assert vendor.rows("SELECT DISTINCT mode FROM subjects") == [("live",)]
    assert vendor.issues(sid_of(vendor, ann), ann.email) == 1


def test_each_has_the_entry_of_their_collection_and_of_their_consent_and_can_open_them(vendor: Vendor) -> None:
    ann = Person()
    bring(vendor, as_csv(rows_of([ann])))
    opening = vendor.system.vault.opening(TENANT, sid_of(vendor, ann))
    bodies = [json.loads(body) for body in vendor.whose(opening)]
    assert [body["kind"] for body in bodies] == ["intake.imported", "consent.imported"]
    assert len(bodies[0]["facts"]["notice"]) == 64
    assert bodies[0]["facts"]["fields"] == ["email", "name"]
    begun = json.loads(vendor.entries("import.begun")[0])
    assert bodies[0]["refers"] == begun["eid"]
    assert [len(vendor.entries(f"import.{kind}")) for kind in ("begun", "rows", "done")] == [1, 1, 1]


def test_the_copy_says_where_it_comes_from_and_the_consent_claims_no_words_of_ours(vendor: Vendor) -> None:
    ann = Person()
    bring(vendor, as_csv(rows_of([ann])))
    copy = vendor.system.access.copy(TENANT, sid_of(vendor, ann))
    (record,) = copy.records
    assert record.source == SOURCE
    assert record.values == {"name": ann.name, "email": ann.email}
    (consent,) = copy.consents
    assert consent["dpv:hasNotice"]["troth:words"] == ""
    assert consent["troth:given"]["@value"] == "2024-05-06T07:08:09.000Z"
    assert consent["troth:brought"]["troth:source"] == SOURCE
    assert "evidence" in consent["troth:brought"]["troth:how"]
    page = vendor.centre(ann)
    assert SOURCE in page.page.text


def test_somebody_who_came_to_us_is_still_their_own_source(vendor: Vendor) -> None:
    copy = vendor.system.access.copy(TENANT, vendor.join("newsletter", Person()))
    assert [held.source for held in copy.records] == ["the person"]


def test_every_record_and_consent_brought_in_joins_to_its_notice_and_version(vendor: Vendor) -> None:
    bring(vendor, as_csv(rows_of([Person() for _ in range(3)])))
    assert vendor.rows("SELECT l.kind FROM personal_records r LEFT JOIN ledger l ON l.eid = r.eid GROUP BY l.kind") == [
        ("intake.imported",)
    ]
    vendor.join("newsletter", Person())
    assert row(vendor.system, "consent.at-submission").status == "PASS"
    assert row(vendor.system, "collect.newsletter").status == "PASS"


def test_somebody_brought_in_is_kept_while_subscribed_and_gone_when_it_ends(vendor: Vendor) -> None:
    ann = Person()
    bring(vendor, as_csv(rows_of([ann])))
    vendor.clock.advance(400 * 86_400_000)
    assert vendor.system.retention.run().erased == 0
    vendor.system.objections.object(TENANT, sid_of(vendor, ann), "newsletter")
    vendor.system.work()
    assert vendor.issues(sid_of(vendor, ann), ann.email) == 0


def test_accounts_come_in_too_and_begin_what_their_keeping_rests_on(vendor: Vendor) -> None:
    ann = Person()
    content = as_csv([{"first_name": ann.first, "last_name": ann.last, "email": ann.email, "evidence": AGREED}])
    assert counted(bring(vendor, content, point="registration")) == (1, 0, 0, 0)
    assert vendor.rows("SELECT state FROM subject_states") == [("account.active",)]
    assert vendor.count("consent_records") == 0
    assert vendor.system.access.copy(TENANT, sid_of(vendor, ann)).records[0].source == SOURCE


# --- who is held ---


@pytest.mark.parametrize(
    ("change", "asked", "reason"),
    [
        ({}, {"source": None}, "source"),
        ({"source": ""}, {"source": None}, "source"),
        ({"evidence": ""}, {}, "evidence"),
        ({"evidence": "yes"}, {}, "evidence: no-time"),
        ({"evidence": "2999-01-01"}, {}, "evidence: in-the-future"),
        ({"name": ""}, {}, "name: required"),
        ({"email": "nobody"}, {}, "email: email"),
        ({"email": ""}, {}, "email: required"),
        ({"status": "disabled"}, {}, "disabled"),
        ({"status": "unconfirmed"}, {}, "not-confirmed"),
        ({"status": "purple"}, {}, "status"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_lacks_something_is_held_by_its_line_and_not_stored(
    vendor: Vendor, change: dict[str, str], asked: dict[str, Any], reason: str
) -> None:
    ann = Person()
    content = as_csv([rows_of([ann])[0] | change])
    for dry in (True, False):
        report = bring(vendor, content, dry=dry, **asked)
        assert held(report) == [(2, reason)]
        assert counted(report) == (0, 0, 0, 1)
    assert vendor.count("subjects") == 0
    assert vendor.key_rows("SELECT * FROM tags") == []


def test_the_files_hold_no_value_of_a_row_that_was_held(vendor: Vendor) -> None:
    ann, ben, cyd = Person(), Person(), Person()
    content = as_csv([*rows_of([ann]), *rows_of([ben], evidence="maybe"), *rows_of([cyd])])
    assert held(bring(vendor, content)) == [(3, "evidence: no-time")]
    vendor.close()
    assert find(vendor.folder, ben.markers) == []
    vendor.system = vendor._start()


def test_the_files_hold_nothing_in_plain_of_those_who_came_in(vendor: Vendor) -> None:
    ann = Person()
    bring(vendor, as_csv(rows_of([ann])), source=f"list of {ann.company}")
    vendor.close()
    assert find(vendor.folder, ann.markers) == []
    vendor.system = vendor._start()


def test_a_file_may_bring_its_own_source_and_evidence_row_by_row(vendor: Vendor) -> None:
    ann = Person()
    content = as_csv([{"email": ann.email, "name": ann.name, "joined": AGREED, "source": "a fair", "how": "on paper"}])
    assert counted(bring(vendor, content, source=None, evidence="joined")) == (1, 0, 0, 0)
    (consent,) = vendor.system.access.copy(TENANT, sid_of(vendor, ann)).consents
    assert (consent["troth:brought"]["troth:source"], consent["troth:brought"]["troth:how"]) == ("a fair", "on paper")


# --- what is taken of them ---


def test_a_column_that_no_clause_declares_is_named_and_dropped(vendor: Vendor) -> None:
    ann = Person()
    report = bring(vendor, as_csv(rows_of([ann], shoe_size="QXshoe44", phone=ann.phone)))
    assert report.dropped == ("shoe_size", "phone")
    copy = vendor.system.access.copy(TENANT, sid_of(vendor, ann))
    assert set(copy.records[0].values) == {"name", "email"}


def test_a_column_that_looks_like_a_value_is_named_by_its_number(vendor: Vendor) -> None:
    ann, other = Person(), Person()
    report = bring(vendor, as_csv(rows_of([ann], **{other.email: "", other.phone: ""})))
    assert report.dropped == ("column 4", "column 5")


def test_an_address_is_kept_and_found_as_the_form_would_have_it(vendor: Vendor) -> None:
    ann = Person()
    name = unicodedata.normalize("NFD", f"  Zoë {ann.last} ")
    bring(vendor, as_csv([{"name": name, "email": f" {ann.email.upper()} ", "evidence": AGREED}]))
    (record,) = vendor.system.access.copy(TENANT, sid_of(vendor, ann)).records
    assert record.values["name"] == unicodedata.normalize("NFC", name).strip()


def test_a_surface_that_the_point_does_not_belong_to_is_refused_before_anything_is_written(vendor: Vendor) -> None:
    before = vendor.everything()
    with pytest.raises(Denied):
        bring(vendor, as_csv(rows_of([Person()])), surface="product:desktop")
    with pytest.raises(NotFound):
        bring(vendor, as_csv(rows_of([Person()])), point="nowhere")
    with pytest.raises(Invalid):
        bring(vendor, as_csv(rows_of([Person()])), "consents", point="registration")
    with pytest.raises(Invalid):
        bring(vendor, as_csv(rows_of([Person()])), evidence="no_such_column")
    assert vendor.everything() == before


# --- nobody twice ---


def test_people_who_are_here_are_recognised_however_their_address_is_written(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    content = as_csv([*rows_of([ann]), rows_of([ann])[0] | {"email": ann.email.upper()}])
    assert counted(bring(vendor, content)) == (0, 2, 0, 0)
    assert vendor.rows("SELECT sid FROM subjects") == [(sid,)]
    assert vendor.count("personal_records") == 1


def test_a_row_that_comes_twice_is_one_person_in_a_dry_run_too(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    content = as_csv(rows_of([ann, ben, ann, ann, ben]))
    assert counted(bring(vendor, content, dry=True)) == counted(bring(vendor, content)) == (2, 3, 0, 0)
    assert vendor.count("subjects") == 2


def test_the_same_file_again_brings_nobody(vendor: Vendor) -> None:
    content = as_csv(rows_of([Person() for _ in range(7)]))
    bring(vendor, content)
    assert counted(bring(vendor, content)) == (0, 7, 0, 0)
    assert vendor.count("subjects") == 7


def test_more_rows_than_a_chunk_have_an_entry_for_each_chunk(vendor: Vendor) -> None:
    content = as_csv(rows_of([Person() for _ in range(430)]))
    assert counted(bring(vendor, content)) == (430, 0, 0, 0)
    facts = [json.loads(body)["facts"] for body in vendor.entries("import.rows")]
    assert [(one["people"], one["upto"]) for one in facts] == [(200, 200), (200, 400), (30, 430)]


def test_somebody_who_has_not_confirmed_yet_comes_in_and_their_link_joins_them(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("newsletter", ann)
    assert counted(bring(vendor, as_csv(rows_of([ann])))) == (1, 0, 0, 0)
    sid = sid_of(vendor, ann)
    vendor.confirm(ann.email)
    assert vendor.rows("SELECT sid FROM subjects") == [(sid,)]
    assert row(vendor.system, "consent.at-submission").status == "PASS"


def test_the_log_verifies_and_agrees_with_both_databases_after_it(vendor: Vendor) -> None:
    report = bring(vendor, as_csv(rows_of([Person() for _ in range(120)])))
    vendor.system.undoing.undo(TENANT, bytes.fromhex(report.run))
    vendor.system.store.publish()
    databases = Databases(vendor.system.store.read, vendor.system.store.read_keys)
    assert verify_folder(vendor.folder / "evidence", databases=databases).ok
