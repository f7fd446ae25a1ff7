"""What a database must be before Troth starts on it: durable, of its own, and written by one process."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Server
from tests.store.shop import Shop, naming
from troth.errors import StartRefused
from troth.store.durability import assert_durable_sqlite, prepare_postgresql
from troth.store.engine import Database, open_database
from troth.store.faults import classify, plainly


def test_a_weaker_synchronous_in_the_url_is_refused(tmp_path: Path) -> None:
    for weaker in ("off", "normal", "NORMAL", "0"):
        with pytest.raises(StartRefused, match="only full"):
            open_database(f"sqlite:///{tmp_path}/d.db?synchronous={weaker}", "data")


@pytest.mark.parametrize(
    ("pragma", "complaint"),
    [
        ("synchronous=NORMAL", "weaker than FULL"),
        ("synchronous=OFF", "weaker than FULL"),
        ("journal_mode=DELETE", "write-ahead log"),
        ("secure_delete=OFF", "secure_delete"),
    ],
)
def test_sabotage_a_connection_that_would_lose_a_commit_is_noticed(tmp_path: Path, pragma: str, complaint: str) -> None:
    database = open_database(f"sqlite:///{tmp_path}/d.db", "data")
    raw = database.raw_reader()
    assert_durable_sqlite(raw)
    database.close()
    raw = sqlite3.connect(tmp_path / "d.db")
    raw.execute("PRAGMA secure_delete=ON")
    raw.execute(f"PRAGMA {pragma}")
    with pytest.raises(StartRefused, match=complaint):
        assert_durable_sqlite(raw)
    raw.close()


@pytest.mark.parametrize("writes", [True, False])
def test_every_sqlite_connection_has_the_settings_that_erasure_and_durability_ask(tmp_path: Path, writes: bool) -> None:
    database = open_database(f"sqlite:///{tmp_path}/d.db", "keys")
    expected = {"synchronous": 2, "secure_delete": 1, "temp_store": 2, "mmap_size": 0, "wal_autocheckpoint": 0,
                "foreign_keys": 1, "query_only": 0 if writes else 1}  # fmt: skip
    with database.transaction() if writes else database.connect() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}
    database.close()
    assert found == expected


@pytest.mark.postgres
@pytest.mark.parametrize(
    "setting", ["synchronous_commit=off", "synchronous_commit=local", "synchronous_commit=remote_write"]
)
def test_a_postgresql_that_answers_before_the_disk_has_it_is_refused(postgres_data: Server, setting: str) -> None:
    url = postgres_data.url() + f"&options=-c%20{setting}"
    with pytest.raises(StartRefused, match="synchronous_commit"):
        open_database(url, "data")


@pytest.mark.postgres
def test_the_administrators_weaker_default_is_refused_too(postgres_data: Server) -> None:
    import psycopg

    url = postgres_data.database()
    name = url.partition("@/")[2].partition("?")[0]
    with psycopg.connect(postgres_data.url(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
        with pytest.raises(StartRefused, match="synchronous_commit"):
            open_database(url, "data")
        admin.execute(f"ALTER DATABASE {name} RESET synchronous_commit".encode())
    open_database(url, "data").close()
    postgres_data.give_back(url)


def test_a_server_with_fsync_off_or_another_encoding_is_refused() -> None:
    class Answer:
        """A connection of a server that says this of itself."""

        def __init__(self, *row: str) -> None:
            self.row = row

        def execute(self, _statement: str) -> Any:
            return self

        def fetchone(self) -> tuple[str, ...]:
            return self.row

        def commit(self) -> None:
            """Nothing to do."""

    prepare_postgresql(Answer("on", "on", "on", "UTF8"), writes=True)
    for row in (("on", "off", "on", "UTF8"), ("on", "on", "off", "UTF8"), ("on", "on", "on", "SQL_ASCII")):
        with pytest.raises(StartRefused):
            prepare_postgresql(Answer(*row), writes=True)


@pytest.mark.postgres
def test_keys_in_the_datas_own_cluster_are_refused(pg: Shop, postgres_data: Server) -> None:
    good, pg.keys_url = pg.keys_url, postgres_data.database()
    with pytest.raises(StartRefused, match="one PostgreSQL cluster"):
        pg.open()
    postgres_data.give_back(pg.keys_url)
    pg.keys_url = good
    pg.open()


def test_keys_in_the_datas_own_file_are_refused(lite: Shop) -> None:
    lite.data_url = lite.keys_url = f"sqlite:///{lite.folder}/one.db"
    with pytest.raises(StartRefused, match="one file"):
        lite.open()
    (lite.folder / "link").symlink_to(lite.folder)
    lite.keys_url = f"sqlite:///{lite.folder}/link/one.db"
    with pytest.raises(StartRefused, match="one file"):
        lite.open()


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "sqlite:////proc/nowhere/d.db",
     "postgresql:///x?host=/nowhere"],
)  # fmt: skip
def test_a_url_that_cannot_serve_gives_one_clear_reason(url: str) -> None:
    with pytest.raises(StartRefused) as refusal:
        open_database(url, "data")
    assert "data database" in refusal.value.detail


def test_a_file_that_is_no_database_or_is_anothers_is_refused_and_left_as_it_is(lite: Shop) -> None:
    file = lite.folder / "data" / "data.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(StartRefused, match="cannot be opened"):
        lite.open()
    assert file.read_bytes() == b"not a database" * 1000
    file.unlink()
    raw = sqlite3.connect(file)
    raw.execute("CREATE TABLE anothers (id)")
    raw.close()
    with pytest.raises(StartRefused, match="not Troth's"):
        lite.open()


def test_postgresql_on_another_machine_is_reached_only_with_a_verified_certificate() -> None:
    from sqlalchemy.engine import make_url

    def asked(url: str) -> dict[str, Any]:
        return Database(make_url(url).set(drivername="postgresql+psycopg"), "data")._tls()

    assert asked("postgresql://u@db.example.org/x") == {"sslmode": "verify-full", "sslrootcert": "system"}
    assert asked("postgresql://u@db.example.org/x?sslrootcert=/ca.pem")["sslrootcert"] == "/ca.pem"
    assert asked("postgresql://u@/x?host=/run/postgresql") == {}
    assert asked("postgresql://u@localhost/x") == {}
    for mode in ("disable", "allow", "prefer", "require", "verify-ca"):
        with pytest.raises(StartRefused, match="verify-full"):
            asked(f"postgresql://u@db.example.org/x?sslmode={mode}")


def test_files_are_for_their_owner_only(lite: Shop) -> None:
    lite.open().write(naming(os.urandom(16)))
    for file in lite.folder.rglob("*.db*"):
        assert file.stat().st_mode & 0o077 == 0, file.name
    for folder in (lite.folder, lite.folder / "data", lite.folder / "keys"):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_snapshot_of_d_stays_as_it_was_while_others_write(shop: Shop) -> None:
    store = shop.open()
    store.write(naming(os.urandom(16)))
    with store.data.connect() as connection:
        count = "SELECT count(*) FROM products"
        assert connection.exec_driver_sql(count).scalar() == 1
        store.write(naming(os.urandom(16)))
        assert connection.exec_driver_sql(count).scalar() == 1
    assert store.read(lambda c: c.exec_driver_sql(count).scalar()) == 2


def test_each_kind_of_fault_is_told_from_the_others() -> None:
    def lite_fault(code: int) -> sqlite3.OperationalError:
        fault = sqlite3.OperationalError("personal words")
        fault.sqlite_errorcode, fault.sqlite_errorname = code, "SQLITE_X"
        return fault

    assert classify(lite_fault(sqlite3.SQLITE_IOERR_FSYNC)) == "fatal"
    assert classify(lite_fault(sqlite3.SQLITE_IOERR_WRITE)) == "fatal"
    assert classify(lite_fault(sqlite3.SQLITE_CORRUPT)) == "fatal"
    assert classify(lite_fault(sqlite3.SQLITE_FULL)) == "refused"
    assert classify(lite_fault(sqlite3.SQLITE_BUSY)) == "refused"
    assert classify(lite_fault(sqlite3.SQLITE_CONSTRAINT_UNIQUE)) == "item"
    assert classify(KeyError("x")) == "item"
    assert plainly(lite_fault(sqlite3.SQLITE_FULL)) == "OperationalError SQLITE_X"
