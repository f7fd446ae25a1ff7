"""``troth demo --once`` as people run it: exit 0, the board as JSON, and no letter that leaves this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.clauses.ids import ENFORCED, IDS
from tests.seed import BINDINGS, seed_file
from tests.served import EXAMPLE, troth
from troth.cli.postbox import Postbox
from troth.cli.setting import demonstration_config
from troth.config import Mail
from troth.errors import StartRefused
from troth.vault.provider import FileProvider
from troth.web.running import start
from troth.world import SystemRandomness

STATES = {"PASS", "FAIL", "NOT EXERCISED", "NOT ENFORCED", "TEXT ONLY"}


def board_of(*words: str | Path) -> dict[str, dict[str, object]]:
    """The board that a demonstration prints, by clause."""
    done = troth("demo", "--once", "--json", *words)
    rows = json.loads(done.stdout)  # the board and nothing else
    assert all(set(row) == {"clause", "status", "entries", "reason"} for row in rows)
    assert {row["status"] for row in rows} <= STATES
    assert len({row["clause"] for row in rows}) == len(rows)
    return {row["clause"]: row for row in rows}


def test_the_example_is_walked_through_and_its_board_printed() -> None:
    board = board_of()
    assert set(board) >= set(IDS)
    assert [clause for clause, row in board.items() if row["status"] == "FAIL"] == []
    walked = {clause for clause in ENFORCED if board[clause]["status"] == "PASS"}
    assert ENFORCED - walked <= {"share.prior-approval"}  # nothing is shared in the walk, and so nothing approved


@pytest.mark.seed
def test_the_real_policy_is_walked_through_and_its_board_printed() -> None:
    board = board_of("--policy", seed_file(), "--bindings", BINDINGS)
    assert [clause for clause, row in board.items() if row["status"] == "FAIL"] == []
    for clause in ("collect.newsletter", "collect.registration", "rights.erase", "rights.object-marketing"):
        assert board[clause]["status"] == "PASS", board[clause]["reason"]


def test_a_policy_that_does_not_compile_is_one_clear_message(tmp_path: Path) -> None:
    broken = tmp_path / "broken.md"
    broken.write_text(EXAMPLE.read_text("utf-8").replace("basis: contract", "basis: because", 1), "utf-8")
    done = troth("demo", "--once", "--json", "--policy", broken, expect=2)
    assert done.stdout == ""
    assert "does not compile" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "mail.example.org", "0.0.0.0", ""])
def test_a_demonstration_with_a_relay_elsewhere_does_not_start(tmp_path: Path, host: str) -> None:
    (tmp_path / "policy.md").write_text(EXAMPLE.read_text("utf-8"), "utf-8")
    FileProvider.create(tmp_path / "keys" / "root.key", SystemRandomness())
    config = demonstration_config(tmp_path, 0, 25)
    assert config.mail.host in ("127.0.0.1", "localhost")
    with pytest.raises(StartRefused):
        start(replace(config, mail=Mail(host=host)))


def test_the_demonstrations_own_postbox_listens_on_loopback_only() -> None:
    for host in ("0.0.0.0", "192.0.2.1", ""):
        with pytest.raises(StartRefused):
            Postbox(host)
