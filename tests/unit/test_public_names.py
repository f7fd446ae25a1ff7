"""The library's front door: names that are resolved on first use, and nothing loaded that was not asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import troth
import troth.policy
from tests.policies import FULL


def loaded(statement: str) -> set[str]:
    """The modules of troth, and what is heavy, that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["troth", "troth.client", "troth.policy", "troth.policy.decide"])
def test_what_was_not_asked_for_is_not_loaded(module: str) -> None:
    heavy = {"troth.store", "troth.vault", "sqlalchemy", "markdown_it", "yaml", "cryptography", "starlette"}
    found = loaded(f"import {module}")
    assert not {name for name in found if name in heavy or name.startswith(("troth.store", "troth.vault"))}


@pytest.mark.parametrize("name", troth.__all__)
def test_public_names_are_there(name: str) -> None:
    assert getattr(troth, name) is not None


@pytest.mark.parametrize("name", troth.policy.__all__)
def test_the_policys_names_are_there(name: str) -> None:
    assert getattr(troth.policy, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError):
        _ = troth.no_such_name
    with pytest.raises(AttributeError):
        _ = troth.policy.no_such_name


def test_a_policy_is_loaded_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "ours.md"
    file.write_text(FULL, "utf-8")
    assert troth.load(file).policy is not None
    file.write_text("nothing", "utf-8")
    (fault,) = troth.load(str(file)).diagnostics[:1]
    assert fault.file == "ours.md"
    bindings = tmp_path / "bindings.yaml"
    bindings.write_text("clauses: {}", "utf-8")
    assert "bindings.yaml" in {d.file for d in troth.load(file, bindings).diagnostics}
    with pytest.raises(OSError, match="none"):
        troth.load(tmp_path / "none.md")
