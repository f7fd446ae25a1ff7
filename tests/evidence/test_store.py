"""The real store's own log, held to both verifiers; and its databases, held to what was published."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, NullPool, create_engine, select

from tests.evidence.checkers import standalone
from tests.store.shop import Shop
from troth.errors import Busy, NotFound, Unavailable
from troth.evidence.compare import Databases, Read
from troth.evidence.receipt_page import receipt_page
from troth.evidence.receipts import block, make_receipt, parse_receipt, receipt_fault
from troth.evidence.report import Report
from troth.evidence.stored import stored
from troth.evidence.tiles import Files, PublishedLog, snapshot
from troth.evidence.verify import verify, verify_folder
from troth.store import DataTx, Entry, EntryDraft, Store, Write
from troth.store.ledger import opening_key
from troth.store.tables import ledger

T = TypeVar("T")

SECRET = b"r" * 32
ENTRIES = 300


def consent(number: int) -> Write[Entry]:
    draft = EntryDraft("consent.given", "consent.at-submission", "consent.record", facts={"n": number})

    def body(tx: DataTx) -> Entry:
        return tx.append(draft, SECRET)

    return Write(body)


def publication(tx: DataTx) -> None:
    facts = {"version": "2026-01-15", "sha256": "ab" * 32, "effective": 0, "previous": ""}
    tx.append(EntryDraft("policy.published", "changes.publish", "policy.publish", facts=facts))


def fill(store: Store) -> None:
    store.write(Write(publication))
    for waiting in [store.submit(consent(number)) for number in range(ENTRIES)]:
        waiting.result()
    store.publish()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "troth")
    back: list[Callable[[], None]] = []
    if request.param == "postgresql":
        data, keys = request.getfixturevalue("postgres_data"), request.getfixturevalue("postgres_keys")
        shop.data_url, shop.keys_url = data.database(), keys.database()
        back = [lambda: data.give_back(shop.data_url), lambda: keys.give_back(shop.keys_url)]
    fill(shop.open())
    yield shop
    shop.close()
    for one in back:
        one()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Shop]:
    """On SQLite, whose files can be edited behind the store's back."""
    shop = Shop(tmp_path / "troth")
    fill(shop.open())
    yield shop
    shop.close()


def command(shop: Shop, *options: str) -> tuple[int, str]:
    """`troth verify` on the data folder."""
    from click.testing import CliRunner

    from troth.cli.evidence import verify as verify_command

    ran = CliRunner().invoke(verify_command, [str(shop.folder), *options])
    return ran.exit_code, ran.output


def test_the_command_compares_the_databases_beside_a_running_server_and_changes_nothing(lite: Shop) -> None:
    lite.open().write(consent(0))
    lite.open().publish()
    assert command(lite) == (0, "The evidence holds.\n")
    lite.close()
    before = {file: file.read_bytes() for file in lite.folder.rglob("*.db")}
    assert command(lite)[0] == 0
    assert {file: file.read_bytes() for file in lite.folder.rglob("*.db")} == before


def test_the_command_names_an_edited_row(lite: Shop) -> None:
    behind_its_back(lite, "data/data.db", "UPDATE ledger SET clause = 'other' WHERE seq = 9")
    code, told = command(lite)
    assert code == 1
    assert "D ledger, entry 9: the column clause is not what the body says" in told


@pytest.mark.parametrize(("file", "name"), [("data/data.db", "D"), ("keys/keys.db", "K")])
def test_the_command_names_a_database_that_is_gone_and_makes_no_new_one(lite: Shop, file: str, name: str) -> None:
    lite.close()
    (lite.folder / file).unlink()
    code, told = command(lite)
    assert code == 1
    assert f"{name}: the database cannot be read" in told
    assert not (lite.folder / file).exists()


def reader(file: Path) -> Read:
    """Reads a database file whose store is closed."""
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)

    def read(fn: Callable[[Connection], T]) -> T:
        with engine.connect() as connection:
            return fn(connection)

    return read


def verified_closed(shop: Shop) -> Report:
    data, keys = shop.folder / "data/data.db", shop.folder / "keys/keys.db"
    return verify_folder(shop.folder / "evidence", databases=Databases(reader(data), reader(keys)))


def verified(shop: Shop) -> Report:
    store = shop.open()
    return verify_folder(shop.folder / "evidence", databases=Databases(store.read, store.read_keys))


def behind_its_back(shop: Shop, file: str, *statements: str) -> None:
    """Edit a database as somebody with access to its file would."""
    shop.close()
    database = sqlite3.connect(shop.folder / file, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


def places(report: Report) -> set[tuple[str, str, int | None]]:
    return {(finding.step, finding.file, finding.entry) for finding in report.faults()}


def test_the_stores_own_log_holds_for_both_verifiers(shop: Shop) -> None:
    report = verified(shop)
    assert report.ok, report.findings
    assert (report.size, report.clauses["consent.at-submission"]) == (ENTRIES + 1, ENTRIES)
    assert "301 rows compared, 0 of them not yet published" in report.done["database"]
    with stored(shop.config) as databases:  # as another process reads them, beside this one
        assert verify_folder(shop.folder / "evidence", databases=databases).done == report.done
    told = standalone.check_folder(shop.folder / "evidence", report_key(shop))
    assert told.ok, told.findings
    assert (told.size, told.root) == (report.size, report.root)
    assert (told.kinds, told.done["policy"]) == (report.kinds, report.done["policy"])


def report_key(shop: Shop) -> str:
    return (shop.folder / "evidence/log.pub").read_text("utf-8").strip()


def test_a_log_that_grows_while_it_is_verified_still_holds(lite: Shop) -> None:
    store = lite.open()
    waiting = [store.submit(consent(1000 + number)) for number in range(200)]
    for _ in range(5):
        report = verified(lite)
        assert report.ok, report.findings
    for one in waiting:
        one.result()
    store.publish()
    assert verified(lite).size == ENTRIES + 201


def test_rows_not_yet_published_are_no_fault(lite: Shop) -> None:
    """What was committed after the checkpoint that is being verified: D is ahead, and says by how much."""
    store = lite.open()
    older = dict(snapshot(lite.folder / "evidence"))
    store.write(consent(0))
    report = verify(Files(older, older.__getitem__), databases=Databases(store.read))
    assert report.ok, report.findings
    assert report.done["database"] == "302 rows compared, 1 of them not yet published"


def test_every_entry_has_a_receipt_that_holds_and_a_page_around_it(lite: Shop) -> None:
    published = PublishedLog(lite.folder / "evidence")
    for seq in (0, 1, 255, 256, ENTRIES):
        body = published.entry(seq)
        eid = bytes.fromhex(parse_eid(body))
        opening = opening_key(SECRET, eid) if seq else None
        receipt = make_receipt(published, seq, entry=body, opening=opening)
        assert receipt_fault(receipt, published.name, published.public) == ""
        page = receipt_page(receipt, "You agreed.").encode()
        assert block(parse_receipt(page)) == block(receipt)
        told = standalone.check_folder(lite.folder / "evidence", None, [("page", page)])
        assert told.ok, told.findings


def parse_eid(body: bytes) -> str:
    return str(json.loads(body)["eid"])


def test_no_receipt_is_given_that_would_not_hold(lite: Shop) -> None:
    published = PublishedLog(lite.folder / "evidence")
    with pytest.raises(NotFound):
        make_receipt(published, -1)
    with pytest.raises(Busy):
        make_receipt(published, ENTRIES + 1)
    with pytest.raises(Unavailable):
        make_receipt(published, 3, entry=published.entry(4))
    with pytest.raises(Unavailable):
        make_receipt(published, 3, opening=b"x" * 32)
    tile = lite.folder / "evidence/tile/0/000"
    tile.write_bytes(tile.read_bytes()[:64] + b"\0" * 8128)
    with pytest.raises(Unavailable):
        make_receipt(PublishedLog(lite.folder / "evidence"), 3)


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ("UPDATE ledger SET body = replace(body, 'consent.given', 'consent.taken') WHERE seq = 7", 7),
        (
            "UPDATE ledger SET body = CAST(replace(body, 'consent.given', 'consent.taken') AS BLOB) WHERE seq = 6",
            6,
        ),
        ("UPDATE ledger SET kind = 'consent.taken' WHERE seq = 8", 8),
        ("UPDATE ledger SET clause = 'other' WHERE seq = 9", 9),
        ("UPDATE ledger SET at_ms = at_ms - 1 WHERE seq = 10", 10),
        ("UPDATE ledger SET eid = randomblob(16) WHERE seq = 11", 11),
        ("DELETE FROM ledger WHERE seq = 12", 12),
        (
            "INSERT INTO ledger SELECT 9999, randomblob(16), at_ms, kind, clause, body FROM ledger WHERE seq = 3",
            9999,
        ),
    ],
)
def test_a_row_changed_behind_the_stores_back_is_named(lite: Shop, statement: str, entry: int) -> None:
    behind_its_back(lite, "data/data.db", statement)
    report = verified_closed(lite)
    assert {step for step, _, _ in places(report)} == {"database"}
    assert ("database", "D ledger", entry) in places(report)


def test_a_flipped_bit_in_a_stored_row_is_named_wherever_in_the_file_it_is(lite: Shop) -> None:
    """In the database's file itself, under the store: 60 positions inside the rows' bodies, 0 missed."""
    store = lite.open()
    bodies = store.read(lambda connection: connection.execute(select(ledger.c.body)).scalars().all())
    lite.close()
    file = lite.folder / "data/data.db"
    read = reader(file)
    evidence = Files.in_folder(lite.folder / "evidence")
    kept = {name: evidence.read(name) for name in evidence.names}
    assert verify(Files(kept, kept.__getitem__), databases=Databases(read)).ok
    whole, chance = file.read_bytes(), random.Random(3)
    for _ in range(60):
        seq = chance.randrange(len(bodies))
        at = whole.index(bodies[seq]) + chance.randrange(len(bodies[seq]))
        with open(file, "r+b") as stream:
            stream.seek(at)
            stream.write(bytes([whole[at] ^ 1 << chance.randrange(8)]))
        report = verify(Files(kept, kept.__getitem__), databases=Databases(read))
        assert ("database", "D ledger", seq) in places(report)
        with open(file, "r+b") as stream:
            stream.seek(at)
            stream.write(whole[at : at + 1])


def test_a_damaged_database_is_a_finding_and_no_crash(lite: Shop) -> None:
    lite.close()
    file = lite.folder / "data/data.db"
    raw = bytearray(file.read_bytes())
    raw[4096:] = bytes(len(raw) - 4096)
    file.write_bytes(bytes(raw))
    read = reader(file)
    report = verify_folder(lite.folder / "evidence", databases=Databases(read))
    assert places(report) == {("database", "D", None)}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tree SET root = randomblob(32)",
        "UPDATE tree SET frontier = randomblob(length(frontier))",
        "UPDATE tree SET checkpoint = replace(checkpoint, 'example', 'exemple')",
        "DELETE FROM tree",
    ],
)
def test_a_changed_head_of_d_is_named(lite: Shop, statement: str) -> None:
    behind_its_back(lite, "data/data.db", statement)
    assert ("database", "D tree", None) in places(verified_closed(lite))


def test_a_rolled_back_d_is_named(lite: Shop) -> None:
    behind_its_back(lite, "data/data.db", "DELETE FROM ledger WHERE seq >= 200", "UPDATE tree SET size = 200")
    report = verified_closed(lite)
    assert any("ROLLBACK" in finding.message for finding in report.faults("database"))


def test_k_remembers_more_than_a_folder_that_was_put_back(lite: Shop, tmp_path: Path) -> None:
    older = dict(snapshot(lite.folder / "evidence"))
    store = lite.open()
    store.write(consent(0))
    store.publish()
    put_back = tmp_path / "older"
    for name, data in older.items():
        (put_back / name).parent.mkdir(parents=True, exist_ok=True)
        (put_back / name).write_bytes(data)
    report = verify_folder(put_back, databases=Databases(store.read, store.read_keys))
    assert places(report) == {("database", "K heads", None)}
    assert "ROLLBACK: K remembers 302" in report.faults()[0].message


def test_k_remembers_another_history(lite: Shop) -> None:
    behind_its_back(lite, "keys/keys.db", "UPDATE heads SET root = randomblob(32)")
    report = verified_closed(lite)
    assert places(report) == {("database", "K heads", None)}
    assert "SPLIT VIEW" in report.faults()[0].message
