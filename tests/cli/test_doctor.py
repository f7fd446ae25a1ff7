"""The doctor mends what can be mended: a published log that was lost is written anew from the ledger."""

from __future__ import annotations

import shutil
from pathlib import Path

import dns.resolver
import pytest
from click.testing import CliRunner

from troth.cli import troth


def test_a_lost_log_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = dns.resolver.Resolver(configure=False)
    nobody.nameservers, nobody.port = ["127.0.0.1"], 9
    monkeypatch.setattr(dns.resolver, "default_resolver", nobody)  # no name server of this machine's is asked
    monkeypatch.setattr("troth.use.readiness.SECONDS", 0.3)
    folder, run = tmp_path / "system", CliRunner()
    asked = ["--name", "Acme Ltd", "--contact", "privacy@acme.example", "--hosts", "localhost", "--policy", ""]
    assert run.invoke(troth, ["init", str(folder), *asked, "--sign-in", "link"]).exit_code == 0
    shutil.rmtree(folder / "evidence" / "tile")
    lost = run.invoke(troth, ["doctor", "--data", str(folder)])
    assert lost.exit_code == 1
    assert "tile" in lost.output
    assert "marketing: not sent while this is missing: dns" in lost.output
    mended = run.invoke(troth, ["doctor", "--data", str(folder), "--rebuild-tiles"])
    assert mended.exit_code == 0, mended.output
    assert run.invoke(troth, ["verify", str(folder)]).exit_code == 0
