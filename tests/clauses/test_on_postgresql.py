"""The same walk, the same evidence and the same board with PostgreSQL: D in one cluster, K in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clauses.test_board_cannot_be_painted import PASSING
from tests.postgres import Server
from troth.cli.demo import EXAMPLE, finish, served
from troth.cli.walk import Show, walk


@pytest.mark.postgres
def test_one_person_walks_through_every_right_on_postgresql(
    tmp_path: Path, postgres_data: Server, postgres_keys: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = (postgres_data.new_database(), postgres_keys.new_database())
    with served(tmp_path / "data", 0, EXAMPLE, None, Show(quiet=True), urls) as stage:
        walk(stage)
        assert finish(stage, as_json=True)
        rows = {row.clause: row for row in stage.system.inspector.now().rows}
    assert {name: rows[name].reason for name in PASSING if rows[name].status != "PASS"} == {}
    assert capsys.readouterr().out.startswith("[")
