"""Erasing: ordered once, done once, whoever works at it side by side and wherever the process dies."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection

from tests.clauses.vendor import BEGIN, TENANT, Person, Vendor
from troth.cli.setting import demonstration_config
from troth.errors import NotFound, TrothError
from troth.policy.model import History
from troth.rights.certificate import Certificate
from troth.store import Store, Write
from troth.vault import Look
from troth.web.running import start
from troth.world import DAY_MS, SetClock


@pytest.fixture
def ann(vendor: Vendor) -> Person:
    """Somebody with everything: both forms, a letter, a copy, a session."""
    ann = Person()
    vendor.join("newsletter", ann)
    sid = vendor.join("registration", ann)
    vendor.centre(ann).open("/privacy/copy.json")
    vendor.issues(sid, ann.email)
    return ann


def sid_of(vendor: Vendor, person: Person) -> bytes:
    sid = vendor.system.vault.find(TENANT, "email", person.email)
    assert sid is not None
    return sid


def test_many_orders_at_once_are_one_erasure_with_one_certificate(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    held = sum(len(vendor.rows(f"SELECT 1 FROM {t} WHERE sid = :sid", sid=sid)) for t in TABLES)
    held -= len(vendor.rows("SELECT 1 FROM links WHERE kind = 'unsubscribe'"))  # these stay, and point at nobody
    certificates: list[Certificate] = []
    faults: list[TrothError] = []
    together = threading.Barrier(5)

    def erase() -> None:
        together.wait()
        try:
            certificates.append(vendor.system.erasures.erase(TENANT, sid))
        except TrothError as fault:
            faults.append(fault)

    def job() -> None:
        together.wait()
        vendor.system.work()

    threads = [threading.Thread(target=each) for each in (erase, erase, erase, job, job)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(fault, NotFound) for fault in faults)  # who comes after the end finds nobody
    letters = vendor.letters(ann.email, "old-key-copies")
    ordered, done = vendor.entries("erase.ordered"), vendor.entries("erase.done")
    assert (len(ordered), len(done), len(letters)) == (1, 1, 1)
    assert json.loads(done[0])["refers"] == json.loads(ordered[0])["eid"]
    assert len({certificate.ordered for certificate in certificates}) == 1
    certificate = vendor.system.erasures.certificate(bytes.fromhex(json.loads(ordered[0])["eid"]))
    assert certificate.state == "gone"
    assert sum(certificate.rows.values()) == held  # counted once each, whoever removed them
    assert json.loads(done[0])["facts"]["rows"] == held


TABLES = (
    "personal_records",
    "consent_records",
    "messages",
    "rights_requests",
    "links",
    "subject_states",
    "sessions",
    "subjects",
)


def scalar(connection: Connection, statement: str) -> Any:
    return connection.exec_driver_sql(statement).scalar()


class Filmed:
    """The store as the erasure sees it, with a copy of the data folder made after each of its writes."""

    def __init__(self, store: Store, shoot: Callable[[], None]) -> None:
        self._store = store
        self._shoot = shoot

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, write: Write[Any]) -> Any:
        done = self._store.write(write)
        self._shoot()
        return done


def test_wherever_the_process_dies_the_next_one_ends_it_right(vendor: Vendor, ann: Person, tmp_path: Path) -> None:
    sid = sid_of(vendor, ann)
    pictures: list[Path] = []
    vendor.letters()

    def shoot() -> None:
        pictures.append(tmp_path / f"picture-{len(pictures)}")
        with vendor.system.store.publisher._turn:  # a picture of one moment: nothing is published while it is taken
            shutil.copytree(vendor.folder, pictures[-1], ignore=shutil.ignore_patterns("*.sock", "*.new"))

    vendor.system.erasures.store = Filmed(vendor.system.store, shoot)  # type: ignore[assignment]  # the same, watched
    vendor.system.erasures.erase(TENANT, sid)
    vendor.system.work()
    vendor.close()
    assert len(pictures) >= 6  # ordered, unreadable twice, rows, done, and the letter

    for picture in pictures:
        before = len([m for m in vendor.box.letters if "old-key-copies" in m.text])
        system = start(demonstration_config(picture, 0, vendor.box.port), clock=SetClock(BEGIN))
        try:
            ended = "SELECT count(*) FROM messages WHERE state = 'sent' AND sid IS NULL"
            already = system.store.read(partial(scalar, statement=ended))
            system.work()
            assert system.vault.look(TENANT, sid) == Look(0, 0)
            assert system.vault.find(TENANT, "email", ann.email) is None
            certificate = system.store.read(partial(scalar, statement="SELECT ordered FROM erasures"))
            assert system.erasures.certificate(certificate).state == "gone"
            inspection = system.inspector.inspection()
            (done,) = inspection.entries("erase.done")
            assert done.body["refers"] == certificate.hex()
            for table in TABLES:
                statement = f"SELECT count(*) FROM {table} WHERE sid = x'{sid.hex()}'"
                assert system.store.read(partial(scalar, statement=statement)) == 0, table
            guarded = "SELECT count(*) FROM guards WHERE kind = 'erased'"
            assert system.store.read_keys(partial(scalar, statement=guarded)) == 1
        finally:
            system.close()
        sent = len([m for m in vendor.box.letters if "old-key-copies" in m.text]) - before
        assert sent == 1 - already, picture.name  # once, by whoever came to it
        shutil.rmtree(picture)


def test_it_is_not_said_to_be_done_while_a_key_can_be_found(vendor: Vendor, ann: Person) -> None:
    sid, look = sid_of(vendor, ann), vendor.system.vault.look
    vendor.system.vault.look = lambda *_: Look(1, 0)  # type: ignore[method-assign]  # a key store that keeps one
    assert vendor.system.erasures.erase(TENANT, sid).state == "ordered"
    vendor.system.work()
    (certificate,) = vendor.rows("SELECT state, unreadable_ms, done FROM erasures")
    assert certificate == ("ordered", None, None)
    assert vendor.entries("erase.done") == []
    assert vendor.letters(ann.email, "old-key-copies") == []
    vendor.system.vault.look = look  # type: ignore[method-assign]  # it lets go
    vendor.clock.advance(DAY_MS // 24)
    vendor.system.work()
    assert len(vendor.entries("erase.done")) == 1
    assert len(vendor.letters(ann.email, "old-key-copies")) == 1


def test_it_is_not_said_to_be_done_while_a_reader_keeps_dead_keys_in_the_files(vendor: Vendor, ann: Person) -> None:
    sid = sid_of(vendor, ann)
    browser = vendor.centre(ann)
    browser.open("/privacy/erase")
    with closing(sqlite3.connect(vendor.folder / "keys" / "keys.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM data_keys").fetchone()
        browser.send("/privacy/erase", sure="yes")
    assert (browser.answer.status, "is being erased" in browser.answer.page.text) == (200, True)
    assert vendor.system.vault.look(TENANT, sid) == Look(0, 0)
    assert vendor.rows("SELECT state FROM erasures") == [("ordered",)]
    vendor.letters()
    vendor.clock.advance(60_000)
    vendor.letters()
    assert vendor.rows("SELECT state FROM erasures") == [("gone",)]


def test_no_read_of_a_person_stands_behind_the_order_to_erase_them(vendor: Vendor, ann: Person) -> None:
    """Invariants 4 and 8: readers with warm keys ask all the while; from the order on nobody gets an answer."""
    sid = sid_of(vendor, ann)
    secret = vendor.system.vault.opening(TENANT, sid)
    gate = vendor.system.gate.open("account")
    assert gate.read(TENANT, sid, frozenset({"email"})).values["email"] == ann.email
    stop, late = threading.Event(), []
    ordered = threading.Event()

    def read() -> None:
        while not stop.is_set():
            begun_after = ordered.is_set()
            try:
                gate.read(TENANT, sid, frozenset({"email"}))
            except TrothError:
                continue
            if begun_after:
                late.append("an answer to a read begun after the order")

    def copy() -> None:
        while not stop.is_set():
            begun_after = ordered.is_set()
            try:
                vendor.system.access.copy(TENANT, sid)
            except TrothError:
                continue
            if begun_after:
                late.append("a copy begun after the order")

    threads = [threading.Thread(target=each) for each in (read, read, copy)]
    for thread in threads:
        thread.start()
    order = vendor.system.erasures.order(TENANT, sid)
    ordered.set()
    vendor.system.erasures.carry_out(order)
    stop.set()
    for thread in threads:
        thread.join()
    assert late == []
    kinds = [json.loads(body)["kind"] for body in vendor.whose(secret)]
    after = set(kinds[kinds.index("erase.ordered") + 1 :])
    assert after <= {"read.denied"}  # a refusal is no read
    blocks = vendor.rows(
        "SELECT b.eid, b.day, b.ct FROM read_blocks b JOIN ledger e ON e.eid = b.eid"
        " WHERE e.seq > (SELECT seq FROM ledger WHERE kind = 'erase.ordered')"
    )
    for eid, day, ct in blocks:
        assert isinstance(eid, bytes)
        assert isinstance(day, int)
        assert isinstance(ct, bytes)
        assert sid not in vendor.system.vault.open_block(eid, day, ct)
    assert vendor.rows("SELECT 1 FROM rights_requests") == []
    with pytest.raises(TrothError):
        gate.read(TENANT, sid, frozenset({"email"}))


def test_the_certificate_goes_to_the_field_that_is_an_address_whatever_it_is_called(vendor: Vendor) -> None:
    ann = Person()
    vendor.submit("newsletter", ann)
    (sid,) = (row[0] for row in vendor.rows("SELECT sid FROM subjects"))
    assert isinstance(sid, bytes)
    (version,) = vendor.system.versions.history.versions
    point = version.points["newsletter"]
    renamed = tuple(replace(f, name="name" if f.name == "email" else "email") for f in point.fields)
    points = {**version.points, "newsletter": replace(point, fields=renamed)}  # e-mail in "name", the name in "email"
    vendor.system.versions.history = History((replace(version, points=points),))
    assert vendor.system.erasures._last_address(TENANT, sid) == ann.name


def test_the_guard_of_an_erasure_is_written_before_it_is_done(vendor: Vendor, ann: Person) -> None:
    """Invariant 14, as far as there is no restore yet: what a restored backup must do again is known in K."""
    sid = sid_of(vendor, ann)
    vendor.system.objections.object(TENANT, sid, "marketing")
    certificate = vendor.system.erasures.erase(TENANT, sid)
    guards = vendor.key_rows("SELECT kind, hex(eid), sid FROM guards ORDER BY id")
    entries = {
        json.loads(body)["eid"].upper() for kind in ("objection.made", "erase.ordered") for body in vendor.entries(kind)
    }
    assert [guard[0] for guard in guards] == ["objected", "erased"]
    assert {guard[1] for guard in guards} == entries
    assert certificate.ordered.upper() in entries
    assert {guard[2] for guard in guards} == {sid}
