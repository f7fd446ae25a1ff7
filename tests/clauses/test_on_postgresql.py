"""The same walk, the same evidence and the same board with PostgreSQL: D in one cluster, K in another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.authenticator import Authenticator
from tests.clauses.handing import at_once
from tests.clauses.test_board_cannot_be_painted import PASSING
from tests.clauses.vendor import TENANT
from tests.postgres import Server
from troth.cli.demo import EXAMPLE, finish, served
from troth.cli.handover import pair
from troth.cli.walk import BEN, CLEO, Show, Stage, answers, link_in, settle, walk
from troth.client import Use, activity_token, handover_token
from troth.collect.intake import Submission
from troth.errors import Conflict, Denied, NotFound, Unproven
from troth.rights.address import PROOF_PATH
from troth.rights.requests import begin
from troth.store import Write
from troth.use import totp
from troth.use.devices import Device
from troth.use.handover_keys import public_bytes
from troth.use.person_sessions import Session
from troth.use.second_factor import Halfway
from troth.web.running import Running


def let_in_once(system: Running) -> None:
    """A hand-over that several open at once lets one of them in."""
    product, _ = system.products.create(TENANT, "customer portal")
    private, public = pair()
    system.handover_keys.allow(product.id, public_bytes(public))
    system.products.register(product, "customer-1")
    told = (system.config.url, private, product.id.hex(), "customer-1")
    assert at_once(system, handover_token(*told, now=system.clock.now() / 1000)) == [False] * 7 + [True]


def control_an_account(stage: Stage) -> None:
    """A correction, a change of address that two want, closing and coming back, and a use that a product tells of."""
    system = stage.system
    ben = system.vault.find(TENANT, "email", BEN["email"]) or b""
    new = "benedict@strandline.example.org"
    assert system.rectification.correct(TENANT, ben, "registration", {"company": "Strand & Line"}).records == 1
    with pytest.raises(Conflict):
        system.rectification.correct(TENANT, ben, "registration", {"company": "Late"}, seen="0" * 32)
    before = len(stage.box.letters)
    system.addresses.ask(TENANT, ben, new)
    letters = stage.box.wait(before + 2)[before:]
    token = next(link_in(each, PROOF_PATH) for each in letters if new in each.recipients).removeprefix(PROOF_PATH)
    system.addresses.prove(token)
    with pytest.raises(Unproven):
        system.addresses.prove(token)
    assert system.vault.find(TENANT, "email", BEN["email"]) is None
    assert system.vault.find(TENANT, "email", new) == ben
    system.closing.close(TENANT, ben)
    with pytest.raises(Denied):
        system.gate.open("account").read(TENANT, ben, frozenset({"phone"}))
    system.closing.come_back(TENANT, ben)
    assert system.gate.open("account").read(TENANT, ben, frozenset({"company"})).values == {"company": "Strand & Line"}
    product, _ = system.products.create(TENANT, "desktop")
    private, public = pair()
    system.handover_keys.allow(product.id, public_bytes(public))
    system.products.register(product, "customer-2")
    told = activity_token(
        system.config.url, private, product.id.hex(), [Use("customer-2")], now=system.clock.now() / 1000
    )
    assert system.activities.report(product, told).recorded == 1
    with pytest.raises(Conflict):
        system.activities.report(product, told)
    copy = system.access.copy(TENANT, ben)
    assert {name for each in copy.corrections for name in each["fields"]} == {"phone", "company", "email"}
    settle(system)


def signed_in_every_way(system: Running) -> None:
    """A passkey, a code and a recovery code let in once each, however many try at the same moment."""
    sid = system.vault.find(TENANT, "email", BEN["email"]) or b""
    opening = system.vault.opening(TENANT, sid)
    session = system.store.write(Write(lambda tx: begin(tx, TENANT, sid, opening, "l" * 43, b"c" * 32)))
    device = Authenticator(origin=system.config.url)
    asked = system.passkeys[TENANT].ask(session, "ben")
    system.passkeys[TENANT].add(session, asked.sealed, device.create(asked.options), "a key")
    secret, sealed = system.second_factor.new_secret(session)
    codes = system.second_factor.set(session, sealed, totp.code(secret, totp.step_at(system.clock.now())))
    question = system.passkeys[TENANT].keys.ask_to_sign_in()
    answer = device.get(question.options)
    stored = system.accounts.held(TENANT, sid)["password"]
    halfway = system.second_factor.ticket(Halfway(TENANT, sid, stored.eid))
    ticket = system.second_factor.read(halfway)
    later = totp.code(secret, totp.step_at(system.clock.now()) + 1)

    def by_passkey(cookie: str) -> None:
        system.passkeys[TENANT].sign_in(
            TENANT, question.sealed, answer, cookie, device=Device("Firefox", "Linux", "IE")
        )

    def by_app(cookie: str) -> None:
        system.second_factor.finish(ticket, later, cookie)

    def on_paper(cookie: str) -> None:
        system.second_factor.finish(ticket, codes[0], cookie)

    for come in (by_passkey, by_app, on_paper):

        def attempt(number: int, come: Callable[[str], None] = come) -> bool:
            try:
                come(f"{come.__name__}-{number}".ljust(43, "x"))
            except Unproven:
                return False
            return True

        with ThreadPoolExecutor(6) as six:
            assert sum(six.map(attempt, range(6))) == 1, come.__name__
    assert system.access.copy(TENANT, sid).account["recovery_codes"] == len(codes) - 1


def access_given(stage: Stage) -> None:
    """Ben gives Cleo access to his account: taken up, looked at, corrected and ended."""
    system, before = stage.system, len(stage.box.letters)
    values = answers(system.policy.points["registration"], CLEO)
    system.intake.take(Submission(TENANT, "site:www", "registration", values))
    letter = stage.box.wait(before + 1)[-1]
    system.confirmation.confirm(link_in(letter, "/confirm/").removeprefix("/confirm/"))

    def session_of(address: str, cookie: str) -> Session:
        sid = system.vault.find(TENANT, "email", address) or b""
        opening = system.vault.opening(TENANT, sid)
        return system.store.write(Write(lambda tx: begin(tx, TENANT, sid, opening, cookie * 43, b"c" * 32)))

    ben, cleo = session_of(BEN["email"], "b"), session_of(CLEO["email"], "e")
    system.delegations.invite(ben, CLEO["email"], "Cleo", "Ben", "act")
    (place,) = system.delegations.held(TENANT, cleo.sid)
    system.delegations.accept(cleo, place)
    _, told = system.acting.look(cleo, place, "registration")
    assert told.values["email"] == BEN["email"]
    assert system.acting.change(cleo, place, "registration", {"phone": "+353 1 555 0166"}, told.seen).records == 1
    assert system.delegations.sweep() == 0
    (given,) = system.delegations.given(TENANT, ben.sid)
    assert system.delegations.end(ben, given.place)
    assert system.delegations.held(TENANT, cleo.sid) == {}
    with pytest.raises(NotFound):
        system.acting.look(cleo, place, "registration")
    roles = [look.role for look in system.looks.of_person(TENANT, ben.sid)]
    assert roles[-2:] == ["delegate", "delegate-changed"]  # what came before was the walk's


@pytest.mark.postgres
def test_one_person_walks_through_every_right_on_postgresql(
    tmp_path: Path, postgres_data: Server, postgres_keys: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = (postgres_data.new_database(), postgres_keys.new_database())
    with served(tmp_path / "data", 0, EXAMPLE, None, Show(quiet=True), urls) as stage:
        walk(stage)
        access_given(stage)
        let_in_once(stage.system)
        signed_in_every_way(stage.system)
        control_an_account(stage)
        assert finish(stage, as_json=True)
        rows = {row.clause: row for row in stage.system.inspector.now().rows}
    assert {name: rows[name].reason for name in PASSING if rows[name].status != "PASS"} == {}
    assert capsys.readouterr().out.startswith("[")
