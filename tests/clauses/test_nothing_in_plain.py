"""Invariants 9, 17 and 28: nothing in plain, no byte shared between tenants, no two entries of one person joined."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.clauses.conftest import Open
from tests.clauses.vendor import BEGIN, TENANT, Person, Vendor, example, vendor_at
from tests.residue import find, spellings
from troth.cli.setting import TENANTS
from troth.cli.walk import ANN, BEN
from troth.collect.intake import Submission
from troth.store import Write
from troth.store.tables import data as data_tables
from troth.world import DAY_MS

ROOTS = {
    "intake.accepted",
    "intake.confirmed",
    "rights.proven",
    "access.prepared",
    "objection.made",
    "erase.ordered",
}


def everything_a_person_does(vendor: Vendor, person: Person) -> bytes:
    """Forms, mails, a read, a copy, an objection; whose it was."""
    vendor.join("newsletter", person)
    sid = vendor.join("registration", person)
    vendor.system.gate.open("account").read(TENANT, sid, frozenset({"email", "phone"}))
    vendor.issues(sid, person.email)
    browser = vendor.centre(person)
    for path in ("/privacy/copy.json", "/privacy/copy.zip", "/privacy/copy.html", "/privacy/receipts"):
        assert browser.open(path).status == 200
    vendor.system.objections.object(TENANT, sid, "marketing")
    vendor.letters()
    return sid


# --- 9: no column, job, log line, temporary file or tile ---


def test_the_walk_of_the_demonstration_leaves_no_value_in_any_file(walked: Path) -> None:
    policy = example()
    values = {v for person in (ANN, BEN) for v in person.values() if v not in policy}
    assert len(values) >= 14
    assert find(walked, values) == []


def test_no_value_is_logged_printed_or_left_in_a_temporary_file(
    vendor: Vendor,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    caplog.set_level(logging.DEBUG)
    ann, browser = Person(), vendor.browser()
    sid = everything_a_person_does(vendor, ann)
    browser.open("/forms/newsletter")  # and what goes wrong: undeclared, unfit, too old, unknown
    browser.send("/forms/newsletter", name=ann.name, email=ann.email, shoe_size=ann.phone)
    browser.send("/forms/newsletter", name=ann.name, email=f"{ann.email}@", consent="newsletter")
    browser.http.request("POST", "/api/v1/submissions", json={"point": ann.name, "values": {ann.email: ann.phone}})
    browser.http.request("POST", "/api/v1/submissions", content=f'{{"point": "{ann.email}'.encode())
    browser.open(f"/confirm/{ann.email}")
    browser.open(f"/forms/{ann.last}")
    vendor.clock.advance(8 * DAY_MS)
    vendor.system.erasures.erase(TENANT, sid)
    vendor.letters()
    vendor.system.inspector.now()

    needles = spellings(ann.markers)
    ours = [record for record in caplog.records if not record.name.startswith("http")]  # the visitor's own client
    said = "\n".join([*capfd.readouterr(), *(f"{each.getMessage()} {each.__dict__}" for each in ours)]).encode()
    assert {how for needle, how in needles.items() if needle in said} == set()
    assert [each for each in caplog.records if each.name.startswith("http")]  # the look does see what is logged
    assert find(vendor.folder, ann.markers) == []
    assert find(elsewhere, ann.markers) == []


def test_while_they_are_here_no_column_of_either_store_holds_a_value(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("registration", ann)
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, "en"))
    assert vendor.rows("SELECT count(*) FROM jobs WHERE payload IS NOT NULL") != [(0,)]  # waiting work is sealed too
    assert find(vendor.folder, ann.markers) == []
    everything_a_person_does(vendor, Person())
    assert find(vendor.folder, ann.markers) == []


def test_a_value_put_into_a_column_is_noticed(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann)
    note = text("UPDATE rights_requests SET facts = :facts")
    vendor.centre(ann).open("/privacy/copy.json")
    vendor.system.store.write(Write(lambda tx: tx.execute(note, {"facts": ann.email.upper()}).rowcount))
    assert find(vendor.folder, ann.markers)


# --- 17: one address in two tenants ---


@pytest.fixture
def landlord(tmp_path: Path) -> Iterator[Vendor]:
    """A vendor with tenants."""
    with vendor_at(tmp_path / "landlord", tenants=TENANTS) as found:
        yield found


def test_one_address_in_two_tenants_shares_no_byte_in_the_key_store(landlord: Vendor) -> None:
    vendor, ann = landlord, Person()
    vendor.join("newsletter", ann)
    declared = {"name": ann.name, "email": ann.email}
    there = Submission("harbour", "site:www", "newsletter", declared, consents=frozenset({"newsletter"}))
    vendor.system.intake.take(there)
    vendor.confirm(ann.email)
    assert vendor.system.vault.find("harbour", "email", ann.email) not in (
        None,
        vendor.system.vault.find(TENANT, "email", ann.email),
    )
    held: dict[str, set[bytes]] = {}
    for tenant in (TENANT, "harbour"):
        rows = vendor.key_rows("SELECT * FROM tags WHERE tenant = :t", t=tenant)
        rows += vendor.key_rows("SELECT * FROM data_keys WHERE tenant = :t", t=tenant)
        held[tenant] = {cell for row in rows for cell in row if isinstance(cell, bytes)}
    ours, theirs = held.values()
    assert len(ours) == len(theirs) >= 6
    assert not ours & theirs
    assert not {cell[at : at + 6] for cell in ours for at in range(len(cell) - 5)} & {
        cell[at : at + 6] for cell in theirs for at in range(len(cell) - 5)
    }
    # an objection in one tenant is none in the other
    mine = vendor.system.vault.find(TENANT, "email", ann.email)
    vendor.system.objections.object(TENANT, mine or b"", "marketing")
    assert vendor.system.vault.suppressed(TENANT, "email", ann.email, "marketing")
    assert not vendor.system.vault.suppressed("harbour", "email", ann.email, "marketing")


# --- 28: who has neither the secret nor the day key cannot join two entries of one person ---

HEX = re.compile(r"[0-9a-f]{32,}")


def ids_in(value: Any) -> Iterator[str]:
    """Everything in a row or a body that could be an id: 16 bytes or more, as bytes or in hex."""
    if isinstance(value, bytes):
        if len(value) in (16, 32):
            yield value.hex()
        elif value[:1] == b"{":
            with contextlib.suppress(ValueError):  # one seal in 256 begins so by chance, and is no text
                yield from ids_in(json.loads(value))
    elif isinstance(value, str):
        yield from HEX.findall(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from ids_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from ids_in(inner)


def test_ids_are_found_in_what_is_text_and_a_seal_that_looks_like_it_holds_none() -> None:
    assert list(ids_in([b'{"a": ["' + b"0a" * 16 + b'"]}', b"{\xff\x00", b"x" * 16])) == ["0a" * 16, b"x".hex() * 16]


def joined(vendor: Vendor) -> list[set[str]]:
    """The entries that an outsider can join: by an id they share, directly or over rows of the data as it is now.

    Ids in nearly everybody's entries (a notice's hash, a template's) say nothing and are left out.
    """
    bodies = {}
    for (body,) in vendor.rows("SELECT body FROM ledger"):
        assert isinstance(body, bytes)
        bodies[json.loads(body)["eid"]] = set(ids_in(body))
    shared = Counter(each for ids in bodies.values() for each in ids)
    public = {each for each, count in shared.items() if count > 4}
    groups = [ids - public for ids in bodies.values()]
    for table in data_tables.sorted_tables:
        if table.name != "ledger":
            groups += [set(ids_in(row)) - public for row in vendor.rows(f"SELECT * FROM {table.name}")]
    merged: list[set[str]] = []
    for group in groups:
        touching = [each for each in merged if each & group]
        merged = [each for each in merged if not each & group] + [group.union(*touching)]
    return [group & set(bodies) for group in merged if group & set(bodies)]


def roots(vendor: Vendor, group: set[str], mine: set[str]) -> list[str]:
    """The beginnings of procedures of one person in a group of entries."""
    kinds = {
        json.loads(body)["eid"]: json.loads(body)["kind"]
        for (body,) in vendor.rows("SELECT body FROM ledger")
        if isinstance(body, bytes)
    }
    return sorted(kinds[eid] for eid in group & mine if kinds[eid] in ROOTS)


def test_after_an_erasure_no_two_procedures_of_the_person_can_be_joined(vendor: Vendor) -> None:
    secrets: list[bytes] = []
    for person in (Person(), Person(), Person()):
        sid = everything_a_person_does(vendor, person)
        secrets.append(vendor.system.vault.opening(TENANT, sid))
        vendor.system.erasures.erase(TENANT, sid)
        vendor.letters()
    mine = {json.loads(body)["eid"] for body in vendor.whose(secrets[1])}
    assert len(mine) > 12
    begun = [found for group in joined(vendor) if (found := roots(vendor, group, mine))]
    assert [each for each in begun if len(each) > 1] == []
    assert {each[0] for each in begun} >= {"intake.accepted", "objection.made", "erase.ordered", "access.prepared"}
    commitments = [json.loads(body)["subject"] for body in vendor.whose(secrets[1])]
    assert len(set(commitments)) == len(commitments)


def test_a_row_that_names_the_person_beside_an_entry_is_noticed(vendor: Vendor) -> None:
    """The sabotage: a job that is done is kept, with the person and the entry in it, as an erasure row has it too."""
    ann = Person()
    sid = everything_a_person_does(vendor, ann)
    secret = vendor.system.vault.opening(TENANT, sid)
    vendor.system.erasures.erase(TENANT, sid)
    vendor.letters()
    mine = {json.loads(body)["eid"] for body in vendor.whose(secret)}
    entry = json.loads(vendor.entries("objection.made")[-1])["eid"]
    vendor.system.store.write(
        Write(lambda tx: tx.enqueue("kept", f"{TENANT}/{sid.hex()}/{entry}", run_ms=BEGIN + 999 * DAY_MS))
    )
    assert ["erase.ordered", "objection.made"] in [roots(vendor, group, mine) for group in joined(vendor)]


def test_the_board_leaves_an_entry_for_what_it_opens(opened: Open) -> None:
    """Whoever looks at the board has records opened: that is a read, and it is in the ledger first."""
    system = opened()
    before = len(system.inspector.inspection().entries("read.check"))
    system.inspector.now()
    found = system.inspector.inspection().entries("read.check")
    assert len(found) == before + 1
    assert found[0].facts["persons"] >= 1
