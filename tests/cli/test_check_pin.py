"""``troth check --pin``: whoever owns the bindings takes a changed text over, after reading what changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from troth.cli.policy import check

TEXT = "# Theirs\n\nWe keep your name for 30 days. We never sell it.\n"
BINDINGS = """front:
  policy: theirs
  version: 2026-01-15
  effective: 2026-02-15
  controller: {name: Theirs Ltd, contact: privacy@example.com, country: IE}
  language: en
  surfaces: [site:www]
  notice_period: 30 days
clauses:
- id: retain.name
  binds: [s1]
  requires:
    keep: {names: 30 days}
- id: share.never
  binds: [s2]
  never:
    share: {}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    text, bindings = tmp_path / "theirs.txt", tmp_path / "ours.yaml"
    text.write_text(TEXT, "utf-8")
    bindings.write_text(BINDINGS, "utf-8")
    return text, bindings


def run(text: Path, bindings: Path, *options: str) -> Result:
    return CliRunner().invoke(check, [str(text), "--bindings", str(bindings), *options])


def test_bindings_that_were_never_pinned_do_not_compile_and_say_what_to_do(files: tuple[Path, Path]) -> None:
    told = run(*files)
    assert told.exit_code == 1
    assert "UNKNOWN_SPAN" in told.output
    assert "--pin" in told.output


def test_pinning_makes_them_compile_and_is_repeatable(files: tuple[Path, Path]) -> None:
    assert run(*files, "--pin").exit_code == 0
    pinned = files[1].read_text("utf-8")
    assert run(*files).exit_code == 0
    assert run(*files, "--pin").exit_code == 0
    assert files[1].read_text("utf-8") == pinned
    assert pinned.startswith(BINDINGS)


def test_a_changed_text_is_refused_until_it_is_pinned_again(files: tuple[Path, Path]) -> None:
    run(*files, "--pin")
    files[0].write_text(TEXT.replace("never sell", "seldom sell"), "utf-8")
    refused = run(*files)
    assert refused.exit_code == 1
    assert "theirs.txt:3:32: error[TEXT_CHANGED]" in refused.output
    again = run(*files, "--pin")
    assert again.exit_code == 0
    assert "s2 reads otherwise now" in again.output


def test_pinning_needs_a_bindings_file(files: tuple[Path, Path]) -> None:
    told = CliRunner().invoke(check, [str(files[0]), "--pin"])
    assert told.exit_code == 2
    assert "--bindings" in told.output
