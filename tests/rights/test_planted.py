"""Everybody is planted with something in every kind of data; each copy tells all of it, each erasure leaves none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.clauses.tampering import behind
from tests.clauses.vendor import TENANT, Vendor, vendor_at
from tests.postgres import Server
from tests.residue import find
from tests.rights.planting import (
    KINDS,
    OnPostgreSQL,
    Planted,
    Planting,
    changed,
    marks_in,
    named,
    picture,
    told_wrong,
)
from troth.cli.setting import postbox
from troth.errors import NotFound
from troth.rights import plan as plans
from troth.rights.erasers import ERASERS
from troth.store import Write

FIFTH = 5  # every fifth person is erased
SAMPLE = 2  # of whom every spelling is looked for, and every byte of their keys


@contextmanager
def sqlite_vendor(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Vendor, list[Path]]]:
    with vendor_at(folder) as vendor:
        yield vendor, [folder]


@contextmanager
def postgres_vendor(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Vendor, list[Path]]]:
    servers: list[Server] = [request.getfixturevalue(f"postgres_{name}") for name in ("data", "keys")]
    with postbox() as box:
        vendor = OnPostgreSQL(folder, box, (servers[0].new_database(), servers[1].new_database()))
        try:
            yield vendor, [folder, *(server.folder for server in servers)]
        finally:
            vendor.close()


PLACES: dict[str, Callable[..., Any]] = {"sqlite": sqlite_vendor, "postgresql": postgres_vendor}
SIZES = [60, pytest.param(10_000, marks=[pytest.mark.full, pytest.mark.timeout(3_600)])]


@pytest.mark.parametrize("people", SIZES)
@pytest.mark.parametrize("place", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_a_copy_tells_everything_of_one_person_and_an_erasure_leaves_nothing(
    place: str, people: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with PLACES[place](tmp_path / "vendor", request) as (vendor, folders):
        said = Timed()
        system = vendor.system
        planted = Planting(system).people(people)
        for person in planted[::10]:
            system.restrictions.restrict(TENANT, person.sid, "accuracy")
        settle(vendor)  # whom it concerns is told; nothing that waits for later is sent
        said("planted")

        assert {index: wrong for index, wrong in wrongly_told(vendor, planted) if any(wrong.values())} == {}
        said("copies")

        gone, stay = planted[::FIFTH], [person for person in planted if person.number % FIFTH]
        sids = {person.sid for person in gone}
        keys = wrapped(vendor, gone[:SAMPLE])
        before = picture(system, sids)
        for person in gone:
            erase(vendor, person)
        said("erased")
        settle(vendor)
        sent = "SELECT template, state, count(*) FROM messages WHERE sid IS NULL GROUP BY template, state"
        assert vendor.rows(sent) == [("erase.certificate", "sent", len(gone))]
        newest = [letter.text for letter in vendor.box.letters[-min(len(gone), 500) :]]  # the box keeps a thousand
        assert all("old-key-copies" in each for each in newest)  # and nothing that was queued before
        said("letters")

        assert changed(before, picture(system, sids)) == {}
        assert named(system, sids) == {"erasures", "guards"}  # a number, for a restore to obey
        for person in gone:
            assert system.vault.find(TENANT, "email", person.email) is None
            with pytest.raises(NotFound):
                system.access.copy(TENANT, person.sid)
        some = stay[:: max(1, len(stay) // 50)]
        assert {index: wrong for index, wrong in wrongly_told(vendor, some) if any(wrong.values())} == {}
        said("looked for in rows")

        system.store.publish()
        assert [found for folder in folders if (found := marks_in(folder, planted))] == []
        values = {gone[0].email}  # in every spelling, which takes its time in large files
        if people < 1_000:
            values |= {word for person in gone[:SAMPLE] for word in [person.email, min(person.told), *person.hidden]}
        assert find(folders[0], values) == []
        if place == "sqlite":  # PostgreSQL keeps dead keys in its log until the epoch ends: so says the certificate
            assert len(keys) >= SAMPLE * 5
            assert find(folders[0] / "keys", keys) == []
        said("looked for in files")


def settle(vendor: Vendor) -> None:
    """All work that waits for now done: a round does no more than so many jobs and letters."""
    waiting = f"SELECT count(*) FROM {{}} WHERE state IN ('ready', 'queued', 'leased') AND {{}} <= {vendor.clock.now()}"
    while any(vendor.rows(waiting.format(*place)) != [(0,)] for place in (("jobs", "run_ms"), ("messages", "due_ms"))):
        vendor.letters()


def wrongly_told(vendor: Vendor, people: list[Planted]) -> Iterator[tuple[int, dict[str, set[str]]]]:
    """Each person's copy against what was planted."""
    for person in people:
        yield person.number, told_wrong(vendor.system.access.copy(TENANT, person.sid), person)


def erase(vendor: Vendor, person: Planted) -> None:
    """Erased, and what was done is what was planned: every kind, every row."""
    certificate = vendor.system.erasures.erase(TENANT, person.sid)
    assert certificate.state == "gone"
    plan = plans.read(vendor.system.erasures.planned(bytes.fromhex(certificate.ordered)) or "")
    assert {line.kind for line in plan.lines} >= {eraser.id for eraser in ERASERS if eraser.rows}
    assert {outcome.fate for outcome in certificate.outcomes} == {"done", "held"}
    for table, removed in certificate.rows.items():
        lines = [line for line in plan.lines if (line.table, line.action) == (table, "destroyed")]
        assert sum(line.count or 0 for line in lines) == removed, table


def wrapped(vendor: Vendor, people: list[Planted]) -> set[bytes]:
    """The wrapped keys of these people, as they lie in the key store."""
    statement = text("SELECT wrapped FROM data_keys WHERE sid = :sid")

    def ask(connection: Connection) -> set[bytes]:
        return {bytes(row[0]) for person in people for row in connection.execute(statement, {"sid": person.sid})}

    return vendor.system.store.read_keys(ask)


class Timed:
    """Says how long each part took."""

    def __init__(self) -> None:
        self.at = time.perf_counter()

    def __call__(self, what: str) -> None:
        now = time.perf_counter()
        print(f"{what}: {now - self.at:.1f} s")
        self.at = now


# --- the looks see what they are to see ---


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with vendor_at(tmp_path / "vendor") as found:
        yield found


def test_nothing_can_be_planted_while_a_kind_has_nothing(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(KINDS, "looks")
    with pytest.raises(LookupError, match="looks"):
        Planting(vendor.system)


def test_what_a_copy_leaves_out_or_takes_from_another_is_noticed(vendor: Vendor) -> None:
    ann, ben = Planting(vendor.system).people(2)
    copy = vendor.system.access.copy(TENANT, ann.sid)
    assert told_wrong(copy, ann) == {"missing": set(), "another's": set()}
    wrong = told_wrong(copy, ben)
    assert wrong["missing"] == ben.told | ben.times
    assert wrong["another's"] == ann.told | ann.times
    behind(vendor.folder, "UPDATE corrections SET at_ms = at_ms + 1000 WHERE sid = ?", ann.sid)
    assert len(told_wrong(vendor.system.access.copy(TENANT, ann.sid), ann)["missing"]) == 1


def test_a_row_of_somebody_else_that_is_touched_is_noticed(vendor: Vendor) -> None:
    ann, ben = Planting(vendor.system).people(2)
    before = picture(vendor.system, {ann.sid})
    behind(vendor.folder, "UPDATE activity SET at_ms = at_ms + 1 WHERE sid = ?", ann.sid)
    assert changed(before, picture(vendor.system, {ann.sid})) == {}
    behind(vendor.folder, "UPDATE activity SET at_ms = at_ms + 1 WHERE sid = ?", ben.sid)
    behind(vendor.folder, "DELETE FROM tags WHERE state = 'pending' AND sid = ?", ben.sid, keys=True)
    assert changed(before, picture(vendor.system, {ann.sid})) == {"activity": (1, 1), "tags": (1, 0)}


def test_what_still_names_an_erased_person_is_noticed(vendor: Vendor) -> None:
    (ann,) = Planting(vendor.system).people(1)
    vendor.system.erasures.erase(TENANT, ann.sid)
    vendor.letters()
    assert named(vendor.system, {ann.sid}) == {"erasures", "guards"}
    vendor.system.store.write(Write(lambda tx: tx.enqueue("kept", f"{TENANT}/{ann.sid.hex()}/x", run_ms=10**15)))
    assert named(vendor.system, {ann.sid}) == {"erasures", "guards", "jobs"}
    (vendor.folder / "note.txt").write_text(f"wrote to {ann.email.upper()}")
    assert marks_in(vendor.folder, [ann]) == {ann.email.partition("@")[0]: "note.txt"}
