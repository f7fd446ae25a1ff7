"""The same drill where the data lies in PostgreSQL: COPY out of one snapshot, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clauses.drill import Drill, gone, holds
from tests.clauses.vendor import TENANT, Person, Vendor
from tests.postgres import Server
from tests.residue import find
from troth.cli.demo import EXAMPLE
from troth.cli.postbox import Postbox
from troth.cli.setting import demonstration_config, postbox
from troth.store.backup import MANIFEST
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
