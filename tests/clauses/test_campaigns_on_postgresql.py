"""A campaign with PostgreSQL: begun, queued, held, gone on with and ended, to each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clauses.moving import SOURCE, as_csv, counted, rows_of
from tests.clauses.vendor import TENANT, Person
from tests.postgres import Server
from troth.cli.demo import EXAMPLE
from troth.cli.setting import demonstration
from troth.collect.importing.carrying import scan
from troth.collect.importing.runs import Order
from troth.store import jobs
from troth.use.campaigns import CHUNK
from troth.web.schedule import registry_of


@pytest.mark.postgres
def test_everybody_gets_one_on_postgresql(tmp_path: Path, postgres_data: Server, postgres_keys: Server) -> None:
    urls = (postgres_data.new_database(), postgres_keys.new_database())
    people = [Person() for _ in range(CHUNK + 5)]
    file = tmp_path / "people.csv"
    file.write_bytes(as_csv(rows_of(people, status="")))
    with demonstration(tmp_path / "data", 0, EXAMPLE, None, urls) as (system, box):
        order = Order(TENANT, "people", "newsletter", source=SOURCE)
        assert counted(system.importing.bring(order, scan(file)))[0] == len(people)
        own = system.campaigns
        campaign = own.begin(
            TENANT, own.draft(TENANT, "newsletter.issue", "Spring", "{greeting}\n\nHello.").id, "system"
        )
        jobs.run_due(system.store, registry_of(system))
        assert system.messages.send_due(system.transport, 20) == 20
        own.pause(TENANT, campaign.id, "system")
        assert system.messages.send_due(system.transport, 20) == 0
        own.resume(TENANT, campaign.id, "system")
        while system.messages.send_due(system.transport):
            pass
        arrived = [letter.recipients[0] for letter in box.letters if letter.subject == "Spring"]
        assert sorted(arrived) == sorted(person.email for person in people)
        assert own.progress(own.get(TENANT, campaign.id)).sent == len(people)
