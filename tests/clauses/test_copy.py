"""The person's copy: all of theirs, nobody else's, in three forms, and good enough to begin anew elsewhere with it."""

from __future__ import annotations

import csv
import html
import io
import json
import zipfile
from pathlib import Path

import pytest

from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at
from troth.collect.intake import Submission
from troth.errors import NotFound
from troth.rights.access import harmless
from troth.store import Write


@pytest.fixture
def two(vendor: Vendor) -> tuple[Vendor, Person, Person]:
    """A vendor with two persons who gave everything that can be given."""
    ann, ben = Person(), Person()
    for person in (ann, ben):
        vendor.join("newsletter", person)
        vendor.join("registration", person)
    return vendor, ann, ben


def test_each_form_holds_every_value_of_the_person_and_none_of_another(two: tuple[Vendor, Person, Person]) -> None:
    vendor, ann, ben = two
    browser = vendor.centre(ann)
    as_json = browser.open("/privacy/copy.json").text
    packed = zipfile.ZipFile(io.BytesIO(browser.open("/privacy/copy.zip").body))
    tables = {name: packed.read(name).decode("utf-8-sig") for name in packed.namelist()}
    page = html.unescape(browser.open("/privacy/copy.html").text)
    centre = html.unescape(browser.open("/privacy/data").text)
    for form in (as_json, "\n".join(tables.values()), page, centre):
        assert [marker for marker in ann.markers if marker not in form] == []
        assert [marker for marker in ben.markers if marker in form] == []
    assert {"data.csv", "consents.csv", "messages.csv", "objections.csv"} <= set(tables)


def test_the_copy_says_what_the_law_asks_for_beside_the_values(two: tuple[Vendor, Person, Person]) -> None:
    vendor, ann, _ = two
    copy = json.loads(vendor.centre(ann).open("/privacy/copy.json").body)
    assert copy["controller"]["name"] == "Example Backup Ltd"
    assert len(copy["records"]) == 2
    for record in copy["records"]:
        assert record["uses"]
        assert record["kept"]
        assert record["source"] == "the person"
        assert all(use["purpose"] and use["basis"] for use in record["uses"])
    assert {"erasure", "access", "objection"} <= set(copy["rights"])
    assert copy["consents"][0]["troth:state"] == "Given"
    assert [request["kind"] for request in copy["requests"]] == ["access"]  # the page that was opened before


def test_a_copy_brought_back_in_gives_the_same_values(two: tuple[Vendor, Person, Person], tmp_path: Path) -> None:
    vendor, ann, _ = two
    brought = json.loads(vendor.centre(ann).open("/privacy/copy.json").body)
    with vendor_at(tmp_path / "elsewhere") as other:
        for record in brought["records"]:
            consents = frozenset({"newsletter"} if record["point"] == "newsletter" else ())
            submission = Submission(TENANT, record["surface"], record["point"], record["values"], consents=consents)
            other.system.intake.take(submission)
            other.confirm(ann.email)
        again = json.loads(other.centre(ann).open("/privacy/copy.json").body)
    mine, theirs = ({r["point"]: r["values"] for r in copy["records"]} for copy in (brought, again))
    assert mine == theirs


def test_a_value_that_a_spreadsheet_would_run_stays_text(two: tuple[Vendor, Person, Person]) -> None:
    vendor, ann, _ = two
    packed = zipfile.ZipFile(io.BytesIO(vendor.centre(ann).open("/privacy/copy.zip").body))
    rows = list(csv.reader(io.StringIO(packed.read("data.csv").decode("utf-8-sig"))))
    phone = next(row[5] for row in rows if row[4] == "phone")
    assert phone == f"'{ann.phone}"
    assert all(harmless(cell)[0] == "'" for cell in ("=1+1", "+1", "-1", "@SUM(1)", "\t=1"))


def test_the_copy_has_its_entry_and_none_is_made_of_somebody_being_erased(
    two: tuple[Vendor, Person, Person],
) -> None:
    vendor, ann, _ = two
    found = vendor.system.vault.find(TENANT, "email", ann.email)
    sid = found or b""
    copy = vendor.system.access.copy(TENANT, sid)
    assert json.loads(vendor.entries("access.prepared")[-1])["eid"] == copy.entry

    order = vendor.system.erasures.order

    class Meanwhile:
        """The copy's own consents, opened just before somebody else orders the erasure."""

        def __getattr__(self, name: str) -> object:
            return getattr(vendor.system.consents, name)

        def open(self, *about: object) -> object:
            order(TENANT, sid)
            return vendor.system.consents.open(*about)  # type: ignore[arg-type]  # as they came

    vendor.system.access.consents = Meanwhile()  # type: ignore[assignment]  # stands in the way of the real one
    with pytest.raises(NotFound):
        vendor.system.access.copy(TENANT, sid)
    assert len(vendor.entries("access.prepared")) == 1
    assert vendor.rows("SELECT count(*) FROM rights_requests") == [(1,)]


def test_nobodys_copy_is_refused_without_an_entry(vendor: Vendor) -> None:
    vendor.system.store.write(Write(lambda tx: None))
    with pytest.raises(NotFound):
        vendor.system.access.copy(TENANT, bytes(16))
    assert vendor.entries("access.prepared") == []
