"""Moving in, undoing and the evidence of both, with PostgreSQL: D in one cluster, K in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clauses.moving import SOURCE, as_csv, counted, rows_of
from tests.clauses.vendor import TENANT, Person
from tests.postgres import Server
from troth.cli.demo import EXAMPLE, served
from troth.cli.walk import Show
from troth.collect.importing.carrying import scan
from troth.collect.importing.runs import Order


@pytest.mark.postgres
def test_a_file_comes_in_once_and_is_undone_on_postgresql(
    tmp_path: Path, postgres_data: Server, postgres_keys: Server
) -> None:
    urls = (postgres_data.new_database(), postgres_keys.new_database())
    people = [Person() for _ in range(230)]
    file = tmp_path / "people.csv"
    rows = rows_of(people, status="")
    file.write_bytes(as_csv([*rows, *rows[:3], *rows_of([people[5], Person()], status="unsubscribed")]))
    with served(tmp_path / "data", 0, EXAMPLE, None, Show(quiet=True), urls) as stage:
        system = stage.system
        order = Order(TENANT, "people", "newsletter", source=SOURCE)
        report = system.importing.bring(order, scan(file))
        assert counted(report) == (230, 3, 2, 0)
        assert counted(system.importing.bring(order, scan(file))) == (0, 232, 3, 0)
        done = system.undoing.undo(TENANT, bytes.fromhex(report.run))
        assert (done.erased, len(done.left), done.unfinished) == (229, 1, 0)
        assert not [row for row in system.inspector.now().rows if row.status == "FAIL"]
