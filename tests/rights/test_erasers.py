"""Every kind of data has its eraser: every category of the policy, every table of either store. A new one shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text

import troth
from tests.clauses.tampering import behind
from tests.clauses.vendor import TENANT, Person, example, vendor_at
from troth.policy.model import Recipient
from troth.rights import removal
from troth.rights.access import Copy
from troth.rights.erasers import BY_ID, ERASERS, KEPT_BY_NUMBER, NOBODYS, uncovered
from troth.store.tables import data, keys
from troth.web.catalogue import read_catalogue

COMPILED = troth.compile(example()).policy
assert COMPILED is not None
POLICY = COMPILED


def test_every_category_of_the_policy_and_every_table_has_an_eraser() -> None:
    assert uncovered(POLICY, data, keys) == []
    assert len({eraser.id for eraser in ERASERS}) == len(ERASERS)


def test_a_category_that_no_form_asks_for_and_no_eraser_knows_is_told() -> None:
    doctor = Recipient("doctor", "share.recipients", "processor", ("IE",), ("user.health_and_medical",), "support")
    policy = replace(POLICY, recipients={"doctor": doctor})
    assert uncovered(policy, data, keys) == ["category user.health_and_medical"]
    phone = replace(doctor, categories=("user.device.telemetry",))  # below one that lies in the sessions
    assert uncovered(replace(POLICY, recipients={"doctor": phone}), data, keys) == []


def test_a_table_that_nobody_spoke_of_is_told_with_a_person_in_it_or_without() -> None:
    metadata = MetaData()
    Table("shoes", metadata, Column("tenant", Text), Column("sid", LargeBinary(16)), Column("size", Integer))
    Table("shops", metadata, Column("id", Integer))
    Table("terms", metadata, Column("id", Integer), Column("sid", LargeBinary(16)))  # nobody's, and names a person
    Table("jobs", metadata, Column("id", Integer), Column("sid", LargeBinary(16)))  # known, and not gone through
    Table("runs", metadata, Column("id", Integer))
    assert uncovered(POLICY, metadata) == ["table jobs", "table shoes", "table shops", "table terms"]


def test_what_is_said_to_be_nobodys_or_kept_by_number_is_still_there() -> None:
    names = {table.name for store in (data, keys) for table in store.sorted_tables}
    assert set(NOBODYS) | set(KEPT_BY_NUMBER) <= names
    assert not set(NOBODYS) & {name for eraser in ERASERS for name in eraser.tables}


def test_what_is_given_out_before_has_a_place_in_the_persons_copy() -> None:
    assert {eraser.copy for eraser in ERASERS} - {""} <= set(Copy.__struct_fields__)


def test_each_has_words_and_what_is_kept_says_why() -> None:
    catalogue = read_catalogue()
    for language in catalogue.languages:
        for name, eraser in BY_ID.items():
            assert f"eraser.{name}" in catalogue.entries[language]
            assert (f"eraser.why.{name}" in catalogue.entries[language]) == (eraser.action != "destroyed")


def test_what_goes_goes_before_what_it_hangs_from() -> None:
    order = [*removal.CHUNK_DELETES, *removal.LAST_DELETES]
    assert "subjects" not in order  # it goes after the look
    assert len(order) == len(set(order))
    erased = {part.name for eraser in ERASERS if eraser.action == "destroyed" for part in eraser.rows}
    assert {*order, "links", "subjects"} == erased


@pytest.mark.parametrize("table", ["activity", "credentials", "corrections"])
def test_rows_that_no_eraser_takes_keep_an_erasure_from_being_called_done(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vendor_at(tmp_path / "vendor") as vendor:
        ann = Person()
        sid = vendor.join("registration", ann)
        rows = {
            "activity": "INSERT INTO activity VALUES ('main', ?1, ?2, 'licence', 1, NULL, ?2)",
            "credentials": "INSERT INTO credentials VALUES ('main', ?1, 'password', 1, ?2, ?2)",
            "corrections": "INSERT INTO corrections VALUES ('main', ?1, ?2, ?2, 'registration', '[]', 1)",
        }
        behind(vendor.folder, rows[table], sid, b"x" * 16)
        forgetful = removal.CHUNK_DELETES if table in removal.CHUNK_DELETES else removal.LAST_DELETES
        with monkeypatch.context() as patch:
            patch.delitem(forgetful, table)
            found = vendor.system.erasures.erase(TENANT, sid)
            assert (found.state, found.done) == ("unreadable", None)
            assert {each.fate for each in found.outcomes if each.table == table} == {"open"}
        assert vendor.system.erasures.erase(TENANT, sid).state == "gone"  # with its eraser back
