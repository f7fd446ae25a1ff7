"""``troth render --site``: the file a website's front reads, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from tests.client.shop import BODY, VIDEO
from tests.policies import FRONT
from troth.cli.policy import render
from troth.policy.site import from_json


def test_the_site_file_is_written_and_reads_back(tmp_path: Path) -> None:
    policy, site = tmp_path / "policy.md", tmp_path / "site.json"
    policy.write_text(FRONT + BODY.replace("VIDEO", VIDEO).replace("LOADS", "frame"))
    done = CliRunner().invoke(render, [str(policy), "--site", str(site)])
    assert done.exit_code == 0, done.output
    assert from_json(site.read_bytes()).choices.purposes == ("comfort", "analytics")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy.md", "site.json"]


def test_a_policy_with_faults_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    policy, site = tmp_path / "policy.md", tmp_path / "site.json"
    site.write_text("as it was")
    policy.write_text("---\npolicy: x\n---\n")
    assert CliRunner().invoke(render, [str(policy), "--site", str(site)]).exit_code != 0
    assert site.read_text() == "as it was"


def test_nothing_to_write_is_said(tmp_path: Path) -> None:
    policy = tmp_path / "policy.md"
    policy.write_text(FRONT)
    done = CliRunner().invoke(render, [str(policy)])
    assert done.exit_code == 2
    assert "--site" in done.output
