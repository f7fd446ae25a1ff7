"""``troth handover``: a product is named, its key registered, the private half shown once and kept nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.policies import example_source
from troth.cli import troth
from troth.cli.handover import pair
from troth.errors import Conflict, Invalid, NotFound
from troth.vault.provider import FileProvider
from troth.world import SystemRandomness


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of the example vendor with a product in it."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "policy.md").write_text(example_source(), "utf-8")
    FileProvider.create(data / "keys" / "root.key", SystemRandomness())
    run("product", "portal", "--data", str(data))
    return data


def run(*words: str) -> Result:
    """A command that must be done; what it refuses is raised."""
    done = CliRunner().invoke(troth, words, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done


def test_a_pair_is_made_and_its_private_half_shown_once(folder: Path) -> None:
    done = run("handover", "portal", "--data", str(folder))
    assert done.stdout.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert done.stdout.endswith("-----END PRIVATE KEY-----\n")
    told = re.fullmatch(r"product ([0-9a-f]{32})\n", done.stderr)
    assert told
    secret = done.stdout.splitlines()[1].encode()
    assert [f for f in folder.rglob("*") if f.is_file() and secret in f.read_bytes()] == []
    assert "stopped" in run("handover", told[1], "--stop", "--data", str(folder)).stderr  # by its id too
    assert "did not" in run("handover", "portal", "--stop", "--data", str(folder)).stderr


def test_a_products_own_public_half_is_taken_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    private, public = pair()
    (tmp_path / "key.pub").write_text(public)
    done = run("handover", "portal", "--key", str(tmp_path / "key.pub"), "--data", str(folder))
    assert done.stdout == ""
    (tmp_path / "key.pem").write_text(private)
    with pytest.raises(Invalid, match="private half stays"):
        run("handover", "portal", "--key", str(tmp_path / "key.pem"), "--data", str(folder))


def test_the_product_must_be_one_and_one_only(folder: Path) -> None:
    with pytest.raises(NotFound):
        run("handover", "another", "--data", str(folder))
    run("product", "portal", "--data", str(folder))
    with pytest.raises(Conflict):
        run("handover", "portal", "--data", str(folder))
