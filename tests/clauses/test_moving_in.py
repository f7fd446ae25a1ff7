"""Moving in, in the officer's words: nobody comes in without source and yes, nobody twice, nobody who said no."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.clauses.conftest import row
from tests.clauses.moving import AGREED, SOURCE, as_csv, as_lines, bring, counted, rows_of
from tests.clauses.tampering import behind
from tests.clauses.vendor import TENANT, Person, Vendor
from tests.residue import find
from troth.collect.importing.carrying import spared_for
from troth.errors import Conflict, Denied, Invalid, NotFound
from troth.evidence.checks import collection
from troth.policy.model import CompiledPolicy


def sid_of(vendor: Vendor, person: Person) -> bytes:
    found = vendor.system.vault.find(TENANT, "email", person.email)
    assert found is not None
    return found


def held(report: Any) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for one in report.held]


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
    content = as_csv(rows_of([Person() for _ in range(230)]))
    assert counted(bring(vendor, content)) == (230, 0, 0, 0)
    facts = [json.loads(body)["facts"] for body in vendor.entries("import.rows")]
    assert [(one["people"], one["upto"]) for one in facts] == [(100, 100), (100, 200), (30, 230)]


# --- nobody who said no ---


def test_who_objected_is_not_subscribed_again(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    vendor.system.objections.object(TENANT, sid, "marketing")
    assert counted(bring(vendor, as_csv(rows_of([ann])))) == (0, 0, 1, 0)
    assert vendor.issues(sid, ann.email) == 0


def test_who_objected_and_was_erased_is_not_subscribed_again(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    sid = vendor.join("newsletter", ann)
    vendor.system.objections.object(TENANT, sid, "newsletter")
    vendor.system.erasures.erase(TENANT, sid)
    vendor.letters()
    report = bring(vendor, as_csv(rows_of([ann, ben])))
    assert counted(report) == (1, 0, 1, 0)
    assert vendor.system.vault.find(TENANT, "email", ann.email) is None


@pytest.mark.parametrize("status", ["unsubscribed", "Cleaned", "blocklisted", "withdrawn"])
def test_who_said_no_there_becomes_a_suppression_and_no_person(vendor: Vendor, status: str) -> None:
    ann = Person()
    content = as_csv(rows_of([ann], status=status))
    assert counted(bring(vendor, content)) == (0, 0, 1, 0)
    assert vendor.count("subjects") == 0
    assert counted(bring(vendor, as_csv(rows_of([ann])))) == (0, 0, 1, 0)
    assert vendor.key_rows("SELECT sid, state FROM tags") == [(None, "suppressed")]


def test_a_no_needs_neither_source_nor_evidence(vendor: Vendor) -> None:
    content = as_csv([{"email": Person().email, "name": "", "status": "unsubscribed"}])
    assert counted(bring(vendor, content, source=None)) == (0, 0, 1, 0)


def test_blocked_altogether_ends_all_advertising_and_unsubscribed_this_list(vendor: Vendor) -> None:
    policy: CompiledPolicy = vendor.system.policy
    path = policy.ancestors("newsletter")
    direct = [node for node in path if policy.purposes[node].direct]
    assert spared_for(policy, "newsletter", wide=False) == ("newsletter",)
    assert spared_for(policy, "newsletter", wide=True) == (direct[-1],)
    assert set(spared_for(policy, None, wide=False)) == {direct[-1]}


def test_a_no_of_somebody_who_is_here_is_an_objection_in_force_at_once(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    assert counted(bring(vendor, as_csv(rows_of([ann], status="unsubscribed")))) == (0, 0, 1, 0)
    assert vendor.issues(sid, ann.email) == 0
    assert len(vendor.entries("objection.made")) == 1
    bring(vendor, as_csv(rows_of([ann], status="unsubscribed", again="x")))
    assert len(vendor.entries("objection.made")) == 1  # it holds already
    assert row(vendor.system, "rights.object-marketing").status != "FAIL"


@pytest.mark.parametrize("first", ["yes", "no"])
def test_yes_and_no_in_one_file_is_a_no_whichever_comes_first(vendor: Vendor, first: str) -> None:
    ann = Person()
    yes, no = rows_of([ann], status="enabled"), rows_of([ann], status="unsubscribed")
    content = as_csv([*yes, *no, *yes] if first == "yes" else [*no, *yes])
    expected = (1, 0, 2, 0) if first == "yes" else (0, 0, 2, 0)
    assert counted(bring(vendor, content, dry=True)) == expected
    assert counted(bring(vendor, content)) == expected
    sid = vendor.system.vault.find(TENANT, "email", ann.email)
    assert (sid is not None) == (first == "yes")
    if sid is not None:
        assert vendor.issues(sid, ann.email) == 0


def test_an_account_that_comes_in_stays_spared_what_its_address_was_spared(vendor: Vendor) -> None:
    ann = Person()
    bring(vendor, as_csv([{"email": ann.email}]), "suppressions")
    content = as_csv([{"first_name": ann.first, "last_name": ann.last, "email": ann.email, "evidence": AGREED}])
    assert counted(bring(vendor, content, point="registration")) == (1, 0, 0, 0)
    copy = vendor.system.access.copy(TENANT, sid_of(vendor, ann))
    assert copy.objections == ({"purpose": "newsletter", "channel": None},)


def test_a_list_of_suppressions_is_stored_as_keyed_hashes_in_the_key_store_alone(vendor: Vendor) -> None:
    people = [Person() for _ in range(3)]
    content = as_csv([{"email": one.email, "reason": "no"} for one in people])
    report = bring(vendor, content, "suppressions")
    assert (counted(report), report.dropped) == ((0, 0, 3, 0), ("reason",))
    assert vendor.key_rows("SELECT count(*) FROM tags WHERE state = 'suppressed' AND sid IS NULL") == [(3,)]
    assert vendor.count("subjects") == 0
    vendor.close()
    assert find(vendor.folder, {one.email for one in people}) == []
    vendor.system = vendor._start()
    assert counted(bring(vendor, as_csv(rows_of(people)))) == (0, 0, 3, 0)


# --- consents of people who are here ---


def test_a_consent_is_brought_to_somebody_who_is_here_and_to_nobody_else(vendor: Vendor) -> None:
    ann, ben, cyd, dan = (Person() for _ in range(4))
    sid = vendor.join("registration", ann)
    vendor.join("newsletter", cyd)
    spared = vendor.join("registration", dan)
    vendor.system.objections.object(TENANT, spared, "marketing")
    content = as_csv([{"email": one.email, "evidence": AGREED} for one in (ann, ben, cyd, dan, ann)])
    dry, wet = (bring(vendor, content, "consents", dry=dry) for dry in (True, False))
    assert counted(dry) == counted(wet) == (1, 2, 1, 1)
    assert held(dry) == held(wet) == [(3, "not-here")]
    (consent,) = vendor.system.access.copy(TENANT, sid).consents
    assert consent["troth:state"] == "Given"
    assert vendor.system.retention.run().records == 0


# --- the formats of others ---


def test_an_export_of_listmonk_is_taken_as_it_is(vendor: Vendor) -> None:
    ann, ben, cyd = Person(), Person(), Person()
    made = "2023-01-02 03:04:05.678901 +0000 UTC"
    listmonk = [
        {"uuid": "u", "email": p.email, "name": p.name, "attributes": '{"city": "x"}', "status": status}
        | {"created_at": made, "updated_at": made}
        for p, status in ((ann, "enabled"), (ben, "disabled"), (cyd, "blocklisted"))
    ]
    assert held(bring(vendor, as_csv(listmonk), dry=True)) == [(2, "evidence"), (3, "disabled")]
    report = bring(vendor, as_csv(listmonk, end="\r\n"), evidence="created_at")
    assert (report.format, counted(report)) == ("listmonk", (1, 0, 1, 1))
    assert set(report.dropped) == {"uuid", "attributes", "updated_at"}
    (consent,) = vendor.system.access.copy(TENANT, sid_of(vendor, ann)).consents
    assert consent["troth:given"]["@value"] == "2023-01-02T03:04:05.678Z"


def mailchimp(person: Person, **more: str) -> dict[str, str]:
    """A row of an audience's export."""
    own = {"Email Address": person.email, "First Name": person.first, "Last Name": person.last, "MEMBER_RATING": "2"}
    times = {"OPTIN_TIME": "2020-01-01 00:00:00", "OPTIN_IP": "198.51.100.7", "CONFIRM_TIME": "2020-01-02 03:04:05"}
    return own | times | {"CONFIRM_IP": "198.51.100.7", "LEID": "1"} | more


def test_an_audience_of_mailchimp_is_taken_as_it_is_and_no_network_address_with_it(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    report = bring(vendor, as_csv([mailchimp(ann), mailchimp(ben, CONFIRM_TIME="")]))
    assert (report.format, counted(report), held(report)) == ("mailchimp", (1, 0, 0, 1), [(3, "evidence")])
    assert {"OPTIN_IP", "CONFIRM_IP", "MEMBER_RATING"} <= set(report.dropped)
    copy = vendor.system.access.copy(TENANT, sid_of(vendor, ann))
    assert copy.records[0].values == {"name": ann.name, "email": ann.email}
    assert copy.consents[0]["troth:given"]["@value"] == "2020-01-02T03:04:05.000Z"
    assert "198.51.100.7" not in repr(copy)


@pytest.mark.parametrize(
    ("column", "format_"), [("UNSUB_TIME", "mailchimp-unsubscribed"), ("CLEAN_TIME", "mailchimp-cleaned")]
)
@pytest.mark.parametrize("kind", ["people", "suppressions"])
def test_mailchimps_other_files_are_suppressions(vendor: Vendor, column: str, format_: str, kind: str) -> None:
    ann = Person()
    report = bring(vendor, as_csv([mailchimp(ann, **{column: "2022-01-01 00:00:00"})]), kind)
    assert (report.format, counted(report)) == (format_, (0, 0, 1, 0))
    assert vendor.count("subjects") == 0


def test_json_lines_are_taken_with_or_without_a_mark_at_the_beginning(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    content = as_lines([*rows_of([ann]), {**rows_of([ben])[0], "more": {"a": [1]}, "name": None}])
    report = bring(vendor, b"\xef\xbb\xbf" + content)
    assert (counted(report), held(report), report.dropped) == ((1, 0, 0, 1), [(2, "name: required")], ("more",))


# --- a dry run, undoing ---


def test_a_dry_run_counts_the_same_and_writes_nothing(vendor: Vendor) -> None:
    ann, ben, cyd = Person(), Person(), Person()
    vendor.join("newsletter", ann)
    content = as_csv(
        [*rows_of([ann, ben], status=""), *rows_of([cyd], status="unsubscribed"), *rows_of([ben], status="x")]
    )
    before, keys = vendor.everything(), vendor.key_rows("SELECT count(*) FROM tags")
    dry = bring(vendor, content, dry=True)
    assert vendor.everything() == before
    assert vendor.key_rows("SELECT count(*) FROM tags") == keys
    wet = bring(vendor, content)
    assert (counted(dry), held(dry)) == (counted(wet), held(wet))


def test_undoing_leaves_nothing_of_whom_the_run_brought(vendor: Vendor) -> None:
    people = [Person() for _ in range(4)]
    stays = Person()
    vendor.join("newsletter", stays)
    report = bring(vendor, as_csv(rows_of([*people, stays])))
    done = vendor.system.undoing.undo(TENANT, bytes.fromhex(report.run))
    assert (done.erased, done.left, done.unfinished) == (4, (), 0)
    vendor.system.work()
    assert vendor.count("subjects") == vendor.count("personal_records") == vendor.count("consent_records") == 1
    assert vendor.key_rows("SELECT count(*) FROM tags") == [(1,)]
    assert vendor.letters(people[0].email) == []  # nobody is told of an erasure they did not ask for
    vendor.close()
    assert find(vendor.folder, {marker for one in people for marker in one.markers}) == []
    vendor.system = vendor._start()
    assert row(vendor.system, "rights.erase").status in ("PASS", "NOT EXERCISED")
    with pytest.raises(Conflict):
        vendor.system.undoing.undo(TENANT, bytes.fromhex(report.run))


def test_who_changed_since_is_named_and_left(vendor: Vendor) -> None:
    ann, ben, cyd, dan = (Person() for _ in range(4))
    report = bring(vendor, as_csv(rows_of([ann, ben, cyd, dan])))
    vendor.clock.advance(1000)
    vendor.join("registration", ben)  # an account of their own
    vendor.system.objections.object(TENANT, sid_of(vendor, cyd), "newsletter")
    vendor.centre(dan)  # looked at what is held
    changed = {sid_of(vendor, one).hex() for one in (ben, cyd, dan)}
    done = vendor.system.undoing.undo(TENANT, bytes.fromhex(report.run))
    assert (done.erased, set(done.left)) == (1, changed)
    assert vendor.system.vault.find(TENANT, "email", ann.email) is None


def test_undoing_does_not_forget_whom_to_spare(vendor: Vendor) -> None:
    ann = Person()
    report = bring(vendor, as_csv([{"email": ann.email}]), "suppressions")
    assert vendor.system.undoing.undo(TENANT, bytes.fromhex(report.run)).erased == 0
    assert counted(bring(vendor, as_csv(rows_of([ann])))) == (0, 0, 1, 0)


def test_undoing_consents_makes_them_void_and_leaves_the_person(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("registration", ann)
    report = bring(vendor, as_csv([{"email": ann.email, "evidence": AGREED}]), "consents")
    done = vendor.system.undoing.undo(TENANT, bytes.fromhex(report.run))
    assert (done.erased, done.invalidated, done.left) == (0, 1, ())
    assert vendor.rows("SELECT state FROM consent_records") == [("Invalidated",)]
    assert vendor.rows("SELECT mode FROM subjects") == [("live",)]
    state = vendor.system.store.read(lambda c: vendor.system.vault.state_of(c, TENANT, sid)[0])
    assert not state.grants
    assert len(vendor.entries("consent.invalidated")) == 1


def test_a_run_that_is_not_there_is_refused(vendor: Vendor) -> None:
    with pytest.raises(NotFound):
        vendor.system.undoing.undo(TENANT, bytes(16))


# --- the checks, broken ---


def test_sabotage_a_consent_without_its_evidence_turns_the_clause_red(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from troth.notice import brought

    monkeypatch.setattr(brought.Brought, "as_member", lambda self, at_ms: {"troth:source": "", "troth:agreed": {}})
    bring(vendor, as_csv(rows_of([Person()])))
    assert row(vendor.system, "collect.newsletter").status == "FAIL"


def test_sabotage_a_record_that_no_entry_brought_turns_the_clause_red(vendor: Vendor) -> None:
    bring(vendor, as_csv(rows_of([Person()])))
    assert behind(vendor.folder, "UPDATE personal_records SET eid = zeroblob(16)") == 1
    assert row(vendor.system, "consent.at-submission").status == "FAIL"


def test_sabotage_consents_without_their_entry_turn_the_clause_red(vendor: Vendor) -> None:
    bring(vendor, as_csv(rows_of([Person()])))
    vendor.join("newsletter", Person())
    assert row(vendor.system, "collect.newsletter").status == "PASS"
    assert behind(vendor.folder, "UPDATE consent_records SET eid = zeroblob(16)") == 2
    assert row(vendor.system, "collect.newsletter").status == "FAIL"
    assert "consent.imported" in collection.AGREED


def test_sabotage_without_the_look_at_suppressions_somebody_who_objected_would_be_subscribed(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Person()
    bring(vendor, as_csv([{"email": ann.email}]), "suppressions")
    monkeypatch.setattr(type(vendor.system.vault), "suppressed", lambda *about: False)
    assert counted(bring(vendor, as_csv(rows_of([ann])))) == (1, 0, 0, 0)


def test_sabotage_a_search_would_find_a_held_row_that_was_kept(tmp_path: Path) -> None:
    ben = Person()
    (tmp_path / "kept").write_bytes(as_csv(rows_of([ben])))
    assert find(tmp_path, ben.markers) != []
