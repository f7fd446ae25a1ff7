"""Tenants, looks, figures and undoing, with PostgreSQL: D in one cluster, K in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clauses.moving import SOURCE, as_csv, rows_of
from tests.clauses.vendor import TENANT, Person
from tests.postgres import Server
from troth.cli.demo import EXAMPLE, served
from troth.cli.setting import TENANTS
from troth.cli.walk import Show, Stage, answers, keep_apart
from troth.collect.importing import runs
from troth.collect.importing.carrying import scan
from troth.collect.importing.runs import Order
from troth.collect.intake import Submission
from troth.errors import NotFound
from troth.use.operators import Operator


def officer(stage: Stage, tenant: str) -> Operator:
    """Somebody of this tenant's staff, who has joined."""
    from troth.use import totp

    desk = stage.system.desk(tenant)
    token = desk.operators.first("ada")
    invited = desk.operators.invited(token)
    secret, sealed = desk.sign_in.new_secret(invited)
    code = totp.code(secret, totp.step_at(stage.system.clock.now()))
    desk.sign_in.join_by_password(token, "seven grey herons on the weir", sealed, code, f"cookie of {tenant}")
    token = desk.operators.invite("olga", "officer", desk.operators.get(invited.id))
    invited = desk.operators.invited(token)
    secret, sealed = desk.sign_in.new_secret(invited)
    code = totp.code(secret, totp.step_at(stage.system.clock.now()))
    desk.sign_in.join_by_password(token, "a kettle sings before the dawn", sealed, code, f"another of {tenant}")
    return desk.operators.get(invited.id)


@pytest.mark.postgres
def test_tenants_looks_figures_and_undoing_on_postgresql(
    tmp_path: Path, postgres_data: Server, postgres_keys: Server
) -> None:
    urls = (postgres_data.new_database(), postgres_keys.new_database())
    with served(tmp_path / "data", 0, EXAMPLE, None, Show(quiet=True), urls, TENANTS) as stage:
        system = stage.system
        keep_apart(stage)
        olgas = {tenant: officer(stage, tenant) for tenant in ("harbour", "mill")}
        assert [len(each.open_sessions(olgas["mill"])) for each in (system.desk("mill").sign_in,)] == [1]
        with pytest.raises(NotFound):
            system.desk("mill").operators.get(olgas["harbour"].id)

        cleo = system.looks.find("mill", "email", "cleo.marsh-adeyemi@example.org", olgas["mill"])
        seen = system.looks.look("mill", cleo, olgas["mill"], "account", "She asked by telephone")
        assert seen.values["last_name"] == "Marsh-Adeyemi"
        assert [look.reason for look in system.looks.of_person("mill", cleo)] == ["She asked by telephone"]
        assert system.looks.last_day("mill") == 1
        assert system.access.copy("mill", cleo).looks[0]["reason"] == "She asked by telephone"
        assert system.erasures.erase("mill", cleo).rows["looks"] == 1

        point = system.policy.points["newsletter"]
        values = answers(point, Person().told)
        system.intake.take(Submission(TENANT, "site:www", "newsletter", values, consents=frozenset({"newsletter"})))
        traffic = {each.point: each for each in system.traffic.of(TENANT)}
        assert (traffic["newsletter"].last_day, traffic["newsletter"].unconfirmed) == (1, 1)
        assert {each.point: each.last_day for each in system.traffic.of("harbour")}["registration"] == 1

        file = tmp_path / "people.csv"
        file.write_bytes(as_csv(rows_of([Person(), Person()])))
        report = system.importing.bring(Order(TENANT, "people", "newsletter", source=SOURCE), scan(file))
        system.undoing.ask(TENANT, bytes.fromhex(report.run), actor="system", why="trial")
        while system.store.read(lambda c: runs.listed(c, TENANT))[0].run.state != "undone":
            system.work()
        assert not [row for row in system.inspector.now().rows if row.status == "FAIL"]
