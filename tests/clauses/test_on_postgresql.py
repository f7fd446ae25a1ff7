"""The same walk, the same evidence and the same board with PostgreSQL: D in one cluster, K in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clauses.handing import at_once
from tests.clauses.test_board_cannot_be_painted import PASSING
from tests.clauses.vendor import TENANT
from tests.postgres import Server
from troth.cli.demo import EXAMPLE, finish, served
from troth.cli.handover import pair
from troth.cli.walk import Show, walk
from troth.client import handover_token
from troth.use.handover_keys import public_bytes
from troth.web.running import Running


def let_in_once(system: Running) -> None:
    """A hand-over that several open at once lets one of them in."""
    product, _ = system.products.create(TENANT, "customer portal")
    private, public = pair()
    system.handover_keys.allow(product.id, public_bytes(public))
    system.products.register(product, "customer-1")
    told = (system.config.url, private, product.id.hex(), "customer-1")
    assert at_once(system, handover_token(*told, now=system.clock.now() / 1000)) == [False] * 7 + [True]


@pytest.mark.postgres
def test_one_person_walks_through_every_right_on_postgresql(
    tmp_path: Path, postgres_data: Server, postgres_keys: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = (postgres_data.new_database(), postgres_keys.new_database())
    with served(tmp_path / "data", 0, EXAMPLE, None, Show(quiet=True), urls) as stage:
        walk(stage)
        let_in_once(stage.system)
        assert finish(stage, as_json=True)
        rows = {row.clause: row for row in stage.system.inspector.now().rows}
    assert {name: rows[name].reason for name in PASSING if rows[name].status != "PASS"} == {}
    assert capsys.readouterr().out.startswith("[")
