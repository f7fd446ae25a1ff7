"""The same drill where the data lies in PostgreSQL: COPY out of one snapshot, and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import pytest
from sqlalchemy import inspect

from tests.clauses.drill import Drill, gone, holds
from tests.clauses.vendor import TENANT, Person, Vendor
from tests.postgres import Server
from tests.residue import find
from troth.cli.demo import EXAMPLE
from troth.cli.postbox import Postbox
from troth.cli.setting import demonstration_config, postbox
from troth.store import tables
from troth.store.backup import MANIFEST, Manifest, _file, place
from troth.store.engine import open_database
from troth.store.migrate import STEPS, upgrade
from troth.vault.backups import SECRET
from troth.web.running import Running, start


class OnPostgresql(Vendor):
    """The vendor, with D in one cluster and K in another."""

    def __init__(self, folder: Path, box: Postbox, policy: str, urls: tuple[str, str]) -> None:
        self.urls = urls
        super().__init__(folder, box, policy)

    def _start(self) -> Running:
        return start(demonstration_config(self.folder, 0, self.box.port, *self.urls), clock=self.clock)


@pytest.mark.postgres
def test_a_backup_of_postgresql_is_restored_and_brings_nobody_back(
    tmp_path: Path, postgres_data: Server, postgres_keys: Server
) -> None:
    urls = (postgres_data.new_database(), postgres_keys.new_database())
    with postbox() as box:
        vendor = OnPostgresql(tmp_path / "vendor", box, EXAMPLE.read_text("utf-8"), urls)
        drill = Drill(vendor, tmp_path)
        ann, ben, cay = Person(), Person(), Person()
        sids = [vendor.join("newsletter", person) for person in (ann, ben)]
        vendor.submit("newsletter", Person())
        backup = drill.backup()
        assert (backup / MANIFEST).exists()
        assert find(backup, [*ann.markers, *ben.markers]) == []
        vendor.clock.advance(3_600_000)
        order = bytes.fromhex(vendor.system.erasures.erase(TENANT, sids[0], actor="system").ordered)
        vendor.join("newsletter", cay)
        vendor.clock.advance(2 * 3_600_000)
        sent = len(vendor.letters())
        for _ in range(2):
            done = drill.restore(backup)
            assert done.erased == 1
            assert len(vendor.letters()) == sent
            gone(vendor, sids[0], ann)
            assert vendor.issues(sids[1], ben.email) == 1
            sent += 1
            assert vendor.system.erasures.certificate(order).destruction == "file_best_effort"
            holds(vendor)
        vendor.join("registration", Person())  # numbers go on where they were
        holds(vendor)
        vendor.close()


def as_made_by(version: str, backup: Path, key: bytes, new_database: Callable[[], str]) -> None:
    """Turn a backup into what Troth made while its tables had this version: fewer tables, and fewer columns in some."""
    old, url = open_database(new_database(), "data"), new_database()
    upgrade(old, STEPS / "data", version)
    with old.connect() as connection:
        shape = inspect(connection)
        had = {name: {column["name"] for column in shape.get_columns(name)} for name in shape.get_table_names()}
    old.close()
    path = backup / MANIFEST
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    place(backup, manifest, url).close()
    with psycopg.connect(url) as whole:
        for table in tables.data.sorted_tables:
            file = backup / f"{table.name}.copy"
            file.unlink()
            if table.name in had:
                names = ", ".join(f'"{each.name}"' for each in table.columns if each.name in had[table.name])
                statement = f"COPY {table.name} ({names}) TO STDOUT (FORMAT BINARY)"
                with whole.cursor() as cursor, cursor.copy(statement) as out:
                    file.write_bytes(b"".join(bytes(piece) for piece in out))
    files = tuple(_file(file) for file in sorted(backup.glob("*.copy")))
    aged = msgspec.structs.replace(manifest, tables=version, files=files, mac="")
    path.write_bytes(msgspec.json.encode(aged.sealed(key)))


@pytest.mark.postgres
def test_a_backup_of_postgresql_of_before_a_table_or_a_column_was_added_is_restored(
    tmp_path: Path, postgres_data: Server, postgres_keys: Server
) -> None:
    urls = (postgres_data.new_database(), postgres_keys.new_database())
    with postbox() as box:
        vendor = OnPostgresql(tmp_path / "vendor", box, EXAMPLE.read_text("utf-8"), urls)
        drill = Drill(vendor, tmp_path)
        ann, ben, cay = Person(), Person(), Person()
        sids = [vendor.join("newsletter", person) for person in (ann, ben, cay)]
        vendor.system.objections.object(TENANT, sids[1], "marketing")
        vendor.system.restrictions.restrict(TENANT, sids[2], "claims")
        asked = vendor.rows("SELECT kind, state, road FROM rights_requests")
        assert asked
        for version in ("0012", "0007"):
            backup = drill.backup()
            as_made_by(version, backup, vendor.system.vault.secret(SECRET), postgres_data.new_database)
            drill.restore(backup)
            assert vendor.rows("SELECT kind, state, road FROM rights_requests") == asked
            assert vendor.issues(sids[0], ann.email) == 1
            assert vendor.issues(sids[1], ben.email) == 0
            holds(vendor)
        vendor.close()
