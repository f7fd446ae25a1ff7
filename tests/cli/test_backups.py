"""Backing up beside a served system, restoring when it has stopped, and what is said of the epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_serving import ANSWERS, said
from tests.served import serving, troth
from troth.errors import TrothError
from troth.store.lock import Locked


def test_a_backup_beside_a_served_system_is_restored_when_it_has_stopped(tmp_path: Path) -> None:
    folder, backup = tmp_path / "mine", tmp_path / "backups" / "one"
    said("init", folder, *ANSWERS, "--policy", "", "--sign-in", "link")
    assert "backup: never" in said("doctor", "--data", folder)
    with serving(folder):
        assert "checked" in said("backup", backup, "--data", folder)
        with pytest.raises(TrothError, match="holds something already"):
            said("backup", backup, "--data", folder)
        with pytest.raises(Locked):
            said("restore", backup, "--yes", "--data", folder)
        assert "epoch 1, since" in said("keys", "status", "--data", folder)
    assert sorted(path.name for path in backup.iterdir()) == ["data.db", "manifest.json"]
    told = said("restore", backup, "--yes", "--data", folder)
    assert "the log goes on after" in told
    assert "0 erasures" in told
    doctor = said("doctor", "--data", folder)
    assert "restore drill: 0 days ago" in doctor
    assert "nothing was destroyed" in said("keys", "rotate", "--data", folder)
    assert "no old copy" in said("keys", "status", "--data", folder)
    assert troth("verify", folder).returncode == 0


def test_what_is_no_backup_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    said("init", folder, *ANSWERS, "--policy", "", "--sign-in", "link")
    (tmp_path / "empty").mkdir()
    refused = troth("restore", tmp_path / "empty", "--yes", "--data", folder, expect=2)
    assert refused.stderr.count("\n") == 1
    assert "no finished backup" in refused.stderr
