"""``troth prove`` and ``troth clause``: what an operator hands over, and what an engineer asks about one clause."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.clauses.tampering import behind
from tests.clauses.vendor import Person, Vendor, vendor_at
from troth.cli import troth
from troth.errors import Invalid
from troth.world import SystemClock

CONFIG = (
    'demonstration = true\nbase_url = "http://127.0.0.1"\n\n[mail]\nport = {port}\nsender = "privacy@example.com"\n'
)


def run(*words: str) -> Result:
    """A command, in this process."""
    return CliRunner().invoke(troth, list(words))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder that nobody serves: one person has joined, another was erased."""
    place = tmp_path / "data"
    with vendor_at(place) as vendor:
        vendor.clock.advance(SystemClock().now() - vendor.clock.now())  # the commands have the machine's own clock
        ann, ben = Person(), Person()
        vendor.join("newsletter", ann)
        vendor.join("newsletter", ben)
        centre = vendor.centre(ann)
        centre.open("/privacy/erase")
        centre.send("/privacy/erase", sure="yes")
        settle(vendor)
        vendor.close()
        (place / "troth.toml").write_text(CONFIG.format(port=vendor.box.port), "utf-8")
        yield place
        vendor.system = vendor._start()  # what follows closes it


def settle(vendor: Vendor) -> None:
    """All that waits is done, retention too."""
    vendor.system.work()
    vendor.system.retention.run()


def test_the_pack_holds_what_an_outsider_needs_and_verifies_by_itself(folder: Path, tmp_path: Path) -> None:
    done = run("prove", "--data", str(folder), "-o", str(tmp_path / "pack"), "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert all(set(row) == {"clause", "status", "entries", "reason"} for row in rows)
    pack = tmp_path / "pack"
    assert {p.name for p in pack.iterdir()} == {"index.html", "board.json", "proof.json", "verifier.py", "evidence"}
    board = {row["clause"]: row for row in json.loads((pack / "board.json").read_bytes())}
    assert board["rights.erase"]["status"] == "PASS"
    assert [(row["clause"], row["status"]) for row in rows] == [(c, r["status"]) for c, r in board.items()]
    checked = subprocess.run(
        [sys.executable, pack / "verifier.py", pack / "evidence"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_the_pack_says_beside_each_pass_what_it_cannot_show_in_the_language_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    assert run("prove", "--data", str(folder), "-o", str(tmp_path / "en")).exit_code == 0
    assert run("prove", "--data", str(folder), "-o", str(tmp_path / "ar"), "--language", "ar").exit_code == 0
    english, arabic = ((tmp_path / name / "index.html").read_text("utf-8") for name in ("en", "ar"))
    passes = english.count("<td>PASS</td>")
    assert passes > 10
    assert english.count("What this cannot show:") == passes
    assert 'dir="rtl"' in arabic
    assert arabic.count("ما لا يمكن لهذا أن يُثبته:") >= passes
    assert "erasures:" in english
    assert "erasures:" not in arabic


def test_the_pack_can_be_one_file_and_never_writes_over_another(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack.zip"
    assert run("prove", "--data", str(folder), "-o", str(out)).exit_code == 0
    assert "verifier.py" in zipfile.ZipFile(out).namelist()
    again = run("prove", "--data", str(folder), "-o", str(out))
    assert isinstance(again.exception, Invalid)


def test_a_clause_that_fails_is_an_exit_of_1(folder: Path) -> None:
    assert behind(folder, "CREATE TABLE leads (email TEXT)") is not None
    done = run("prove", "--data", str(folder), "--json")
    assert done.exit_code == 1
    row = next(row for row in json.loads(done.stdout) if row["clause"] == "scope.closed-list")
    assert (row["status"], row["reason"]) == ("FAIL", "table leads is not part of the data map")


def test_a_clause_is_shown_from_its_sentence_to_how_it_stands(folder: Path) -> None:
    done = run("clause", "rights.erase", "--data", str(folder))
    assert done.exit_code == 0
    for part in (
        "rights.erase (requires)",
        "right.erase: an erasure makes data unreadable at once",
        "  code  troth/rights/erasure.py:",
        "  test  tests/",
        "Stands: PASS",
        "What this cannot show: ",
    ):
        assert part in done.output, part


def test_a_clause_of_a_policy_file_needs_no_system(tmp_path: Path) -> None:
    assert "collect.newsletter (permits)" in run("clause", "collect.newsletter").output
    wrong = run("clause", "collect.newsleter")
    assert wrong.exit_code == 1
    assert "collect.newsletter" in wrong.output


def test_the_clause_of_a_policy_that_does_not_compile_shows_its_errors(tmp_path: Path) -> None:
    broken = tmp_path / "policy.md"
    broken.write_text("no front matter\n", "utf-8")
    done = run("clause", "collect.newsletter", "--policy", str(broken))
    assert done.exit_code == 1
    assert "error[" in done.output
    assert "Traceback" not in done.output


def test_a_folder_with_bindings_is_read_as_it_is_configured(tmp_path: Path) -> None:
    (tmp_path / "troth.toml").write_text('policy = "elsewhere.md"\n', "utf-8")
    from troth.cli.init import example

    (tmp_path / "elsewhere.md").write_text(example(), "utf-8")
    from troth.cli.clause import the_policy

    assert "rights.erase" in the_policy(None, None, tmp_path).clauses
