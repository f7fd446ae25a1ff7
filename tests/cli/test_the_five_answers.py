"""``troth init`` takes whatever people and firms are called, and makes nothing where it cannot make everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from troth.cli import troth
from troth.config import read_config
from troth.errors import StartRefused
from troth.policy import compile as compile_policy


def init(folder: Path, **answers: str) -> Result:
    """The five questions, answered."""
    told = {"name": "Quill", "contact": "privacy@quill.example", "hosts": "localhost", "policy": "", "sign-in": "link"}
    words = [word for name, value in (told | answers).items() for word in (f"--{name}", value)]
    return CliRunner().invoke(troth, ["init", str(folder), *words])


@pytest.mark.parametrize(
    "name",
    ["Quill, Sons & Co.", 'Ann "Q" & Co: #1', "{braces} [brackets]", "no", "حِبر وأبناؤه", "O'Neil \\ Sons", "2026"],
)
def test_a_controller_may_be_called_anything(tmp_path: Path, name: str) -> None:
    done = init(tmp_path / "mine", name=name)
    assert done.exit_code == 0, done.output
    policy = compile_policy((tmp_path / "mine" / "policy.md").read_text("utf-8"), filename="policy.md").policy
    assert policy is not None
    assert policy.controller.name == name


def test_hosts_and_contact_stand_in_policy_and_settings(tmp_path: Path) -> None:
    assert init(tmp_path / "mine", hosts="quill.example www.quill.example").exit_code == 0
    config = read_config(tmp_path / "mine", environment={})
    assert (config.base_url, config.mail.sender) == ("https://quill.example", "privacy@quill.example")
    policy = compile_policy((tmp_path / "mine" / "policy.md").read_text("utf-8"), filename="policy.md").policy
    assert policy is not None
    assert {"quill.example", "www.quill.example"} <= set(policy.surfaces["site:www"])


def test_who_sets_up_hears_where_the_keys_are_kept_twice(tmp_path: Path) -> None:
    """Only the disk holds the keys: whoever loses it without a copy has lost what they open."""
    told = init(tmp_path / "mine").output
    assert "keys/root.key" in told
    assert "keys_copy" in told


def test_a_policy_that_is_not_there_is_one_clear_line_and_leaves_nothing(tmp_path: Path) -> None:
    done = init(tmp_path / "mine", policy=str(tmp_path / "nowhere.md"))
    assert isinstance(done.exception, StartRefused)
    assert "nowhere.md cannot be read" in done.exception.detail
    assert not (tmp_path / "mine").exists()


def test_a_policy_that_does_not_compile_is_told_with_its_places_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.md").write_text("Our policy.\n", "utf-8")
    done = init(tmp_path / "mine", policy=str(tmp_path / "old.md"))
    assert isinstance(done.exception, StartRefused)
    assert any("NO_FRONT_MATTER" in gap for gap in done.exception.gaps)
    assert not (tmp_path / "mine").exists()


def test_no_host_at_all_is_refused(tmp_path: Path) -> None:
    done = init(tmp_path / "mine", hosts=" ")
    assert isinstance(done.exception, StartRefused)
    assert not (tmp_path / "mine").exists()
