"""A drill: the data put back to a day that is past, and what must hold afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.clauses.vendor import TENANT, Person, Vendor
from troth.evidence.verify import verify_folder
from troth.rights.restoration import Restored
from troth.web.backups import restore


class Drill:
    """A vendor whose data can be put back to any day."""

    def __init__(self, vendor: Vendor, folder: Path) -> None:
        self.vendor = vendor
        self.folder = folder
        self.made = 0

    def backup(self) -> Path:
        """A backup of now."""
        self.made += 1
        path = self.folder / f"backup-{self.made}"
        self.vendor.system.backups.take(path)
        return path

    def restore(self, backup: Path) -> Restored:
        """The system stopped, restored and started again."""
        config = self.vendor.system.config
        self.vendor.close()
        done = restore(config, backup, clock=self.vendor.clock)
        self.vendor.system = self.vendor._start()
        return done

    def kept(self) -> Path:
        """The whole folder as it is now, with the system stopped."""
        self.vendor.close()
        copy = self.folder / f"kept-{self.made}"
        shutil.copytree(self.vendor.folder, copy)
        self.vendor.system = self.vendor._start()
        return copy


def gone(vendor: Vendor, sid: bytes, person: Person) -> None:
    """Nothing of this person is there."""
    assert vendor.system.vault.find(TENANT, "email", person.email) is None
    assert tuple(vendor.system.vault.look(TENANT, sid)) == (0, 0)
    for table in ("subjects", "personal_records", "consent_records", "messages", "sessions", "subject_states"):
        assert vendor.rows(f"SELECT count(*) FROM {table} WHERE sid = :sid", sid=sid) == [(0,)], table


def holds(vendor: Vendor) -> None:
    """The log holds, by the verifier that reads files alone, and no row of what this is about is red."""
    vendor.system.store.publish()
    report = verify_folder(vendor.folder / "evidence")
    assert report.ok, [finding.message for finding in report.findings if finding.level == "fault"]
    rows = {row.clause: row for row in vendor.system.inspector.now().rows}
    for clause in ("rights.erase", "rights.object-marketing", "protect.storage", "consent.withdraw"):
        assert rows[clause].status != "FAIL", (clause, rows[clause].reason)
