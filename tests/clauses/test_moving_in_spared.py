"""Moving in: nobody who said no, here or there, is written to again."""

from __future__ import annotations

import pytest

from tests.clauses.conftest import row
from tests.clauses.moving import AGREED, as_csv, bring, counted, held, rows_of, sid_of
from tests.clauses.vendor import TENANT, Person, Vendor
from tests.residue import find
from troth.collect.importing.deciding import spared_for
from troth.policy.model import CompiledPolicy

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
