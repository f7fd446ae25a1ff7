"""Moving in: the exports of others as they are, dry runs, undoing, and each check broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clauses.conftest import row
from tests.clauses.moving import AGREED, as_csv, as_lines, bring, counted, held, rows_of, sid_of
from tests.clauses.tampering import behind
from tests.clauses.vendor import TENANT, Person, Vendor, example, vendor_at
from tests.residue import find
from troth.errors import Conflict, NotFound
from troth.evidence.checks import collection
from troth.world import DAY_MS

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


def test_an_undoing_that_was_broken_off_is_not_done_and_goes_on(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [Person() for _ in range(4)]
    report = bring(vendor, as_csv(rows_of(people)))
    id_, undoing, real = bytes.fromhex(report.run), vendor.system.undoing, vendor.system.undoing.erasing
    monkeypatch.setattr(undoing, "erasing", lambda tenant, sid: sid[0] % 2 == 0 and real(tenant, sid))
    first = undoing.undo(TENANT, id_)
    assert first.erased + first.unfinished == 4
    monkeypatch.setattr(undoing, "erasing", real)
    if first.unfinished:
        assert undoing.undo(TENANT, id_).erased == first.unfinished
    assert vendor.count("subjects") == 0
    assert len(vendor.entries("import.undone")) == 1
    assert len(vendor.entries("erase.done")) == 4


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


def test_a_run_is_undone_when_its_place_has_left_the_policy(tmp_path: Path) -> None:
    later = example().replace("version: 2026-01-15", "version: 2026-03-03", 1)
    later = later.replace("effective: 2026-02-15", "effective: 2026-04-03", 1)
    later = later.replace("point: newsletter\n", "point: bulletin\n").replace(" of newsletter for", " of bulletin for")
    for event in ("accepted", "confirmed", "withdrawn"):
        later = later.replace(f"newsletter.{event}", f"bulletin.{event}")
    with vendor_at(tmp_path / "vendor") as vendor:
        ann, ben = Person(), Person()
        sid = vendor.join("registration", ann)
        people = bring(vendor, as_csv(rows_of([ben])))
        consents = bring(vendor, as_csv([{"email": ann.email, "evidence": AGREED}]), "consents")
        vendor.system.versions.publish(later)
        vendor.clock.advance(33 * DAY_MS)
        assert "newsletter" not in vendor.system.versions.current().points
        undoing = vendor.system.undoing
        for report in (people, consents):
            undoing.ask(TENANT, bytes.fromhex(report.run), actor="system", why="wrong-file")
            vendor.system.work()
        assert vendor.rows("SELECT sid FROM subjects") == [(sid,)]
        assert vendor.rows("SELECT state FROM consent_records") == [("Invalidated",)]
        assert not vendor.system.store.read(lambda c: vendor.system.vault.state_of(c, TENANT, sid)[0]).grants
        ends = [json.loads(body) for kind in ("undo-asked", "undone") for body in vendor.entries(f"import.{kind}")]
        assert {entry["clause"] for entry in ends} == {"collect.newsletter"}
        assert len(ends) == 4


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
