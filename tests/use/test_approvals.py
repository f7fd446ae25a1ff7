"""A second operator approves: asked by one, given by another, used once, over in time, and all of it in the ledger."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.use.staff import Staff
from troth.errors import Conflict, Denied, Forbidden, NotFound, Undeclared
from troth.store.transaction import DataTx, Write
from troth.use.approvals import LASTS_MS, Approval
from troth.use.operators import Operator
from troth.use.sign_in import JOIN_BY_PASSKEY


class Office(Staff):
    """Four people: Ada runs the system, Olga and Omar are privacy officers, Sam answers people, Aud audits."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ada = self.join("ada").operator
        self.olga = self.member("olga", "officer")
        self.omar = self.member("omar", "officer")
        self.sam = self.member("sam", "support")
        self.aud = self.member("aud", "auditor")

    def member(self, name: str, role: str) -> Operator:
        """Somebody who is active, without the work of a password."""
        token = self.operators.invite(name, role, self.ada)
        operator = self.operators.invited(token)
        self.store.write(Write(lambda tx: tx.execute(JOIN_BY_PASSKEY, {"of_id": operator.id}).rowcount))
        return self.operators.get(operator.id)

    def use(self, approval: Approval, by: Operator, act: str = "legal.disclose", ref: str = "case-7") -> Approval:
        """Use it up, as the act's own transaction does."""
        return self.store.write(Write(lambda tx: self.approvals.use(tx, approval.id, act, ref, by)))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path / "troth")
    yield made
    made.close()


def test_one_asks_another_approves_and_the_act_uses_it_up_once(office: Office) -> None:
    asked = office.approvals.ask("legal.disclose", "case-7", office.sam)
    with pytest.raises(Denied) as caught:
        office.use(asked, office.sam)
    assert caught.value.gaps == ("operators:2",)
    assert caught.value.clause == "share.legal"
    given = office.approvals.give(asked.id, office.olga)
    assert given.state == "approved"
    used = office.use(asked, office.sam)
    assert (used.state, used.guard) == ("used", "operators:2")
    with pytest.raises(Denied):
        office.use(asked, office.sam)


def test_nobody_approves_what_they_asked(office: Office) -> None:
    asked = office.approvals.ask("legal.disclose", "case-7", office.olga)
    with pytest.raises(Forbidden):
        office.approvals.give(asked.id, office.olga)
    assert office.approvals.get(asked.id).state == "asked"


def test_nobody_approves_twice_where_two_are_needed(office: Office) -> None:
    asked = office.approvals.ask("keys.destroy", "epoch-3", office.sam)
    assert office.approvals.give(asked.id, office.olga).state == "asked"
    with pytest.raises(Forbidden):
        office.approvals.give(asked.id, office.olga)
    with pytest.raises(Denied) as caught:
        office.use(asked, office.sam, "keys.destroy", "epoch-3")
    assert caught.value.gaps == ("operators:3",)
    assert office.approvals.give(asked.id, office.omar).state == "approved"
    assert office.use(asked, office.sam, "keys.destroy", "epoch-3").guard == "operators:3"


def test_two_who_approve_at_the_same_moment_both_count(office: Office) -> None:
    asked = office.approvals.ask("keys.destroy", "epoch-3", office.sam)
    threads = [
        threading.Thread(target=office.approvals.give, args=(asked.id, one)) for one in (office.olga, office.omar)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = office.approvals.get(asked.id)
    assert (found.state, set(found.given_by)) == ("approved", {office.olga.id, office.omar.id})


@pytest.mark.parametrize("who", ["sam", "aud"])
def test_a_role_without_the_scope_does_not_approve(office: Office, who: str) -> None:
    asked = office.approvals.ask("legal.disclose", "case-7", office.olga)
    with pytest.raises(Forbidden):
        office.approvals.give(asked.id, getattr(office, who))
    with pytest.raises(Forbidden):
        office.approvals.refuse(asked.id, getattr(office, who))


def test_an_auditor_does_not_ask(office: Office) -> None:
    with pytest.raises(Forbidden):
        office.approvals.ask("legal.disclose", "case-7", office.aud)


def test_an_act_that_nobody_declared_cannot_be_approved(office: Office) -> None:
    with pytest.raises(Undeclared):
        office.approvals.ask("anything.else", "case-7", office.olga)


@pytest.mark.parametrize(("act", "ref"), [("legal.disclose", "case-8"), ("keys.destroy", "case-7"), ("nothing", "x")])
def test_an_approval_is_for_one_act_on_one_thing(office: Office, act: str, ref: str) -> None:
    asked = office.approvals.ask("legal.disclose", "case-7", office.sam)
    office.approvals.give(asked.id, office.olga)
    with pytest.raises(Denied):
        office.use(asked, office.sam, act, ref)
    assert office.use(asked, office.sam).state == "used"


def test_what_nobody_gave_or_used_expires(office: Office) -> None:
    asked = office.approvals.ask("legal.disclose", "case-7", office.sam)
    given = office.approvals.ask("legal.disclose", "case-9", office.sam)
    office.approvals.give(given.id, office.olga)
    office.clock.advance(LASTS_MS)
    with pytest.raises(Conflict):
        office.approvals.give(asked.id, office.olga)
    with pytest.raises(Denied):
        office.use(given, office.sam, ref="case-9")
    assert office.approvals.open() == []
    assert office.approvals.sweep() == 2
    assert office.approvals.sweep() == 0
    assert {office.approvals.get(one.id).state for one in (asked, given)} == {"expired"}


def test_a_refusal_is_final_and_one_may_take_back_ones_own(office: Office) -> None:
    refused = office.approvals.ask("legal.disclose", "case-7", office.sam)
    office.approvals.refuse(refused.id, office.olga)
    with pytest.raises(Conflict):
        office.approvals.give(refused.id, office.omar)
    taken_back = office.approvals.ask("legal.disclose", "case-7", office.sam)
    assert office.approvals.refuse(taken_back.id, office.sam).state == "refused"


def test_who_was_let_go_does_not_approve(office: Office) -> None:
    asked = office.approvals.ask("legal.disclose", "case-7", office.sam)
    office.operators.end(office.olga.id, office.ada)
    with pytest.raises(Forbidden):
        office.approvals.give(asked.id, office.operators.get(office.olga.id))


def test_an_act_that_fails_leaves_its_approval_unused(office: Office) -> None:
    asked = office.approvals.ask("legal.disclose", "case-7", office.sam)
    office.approvals.give(asked.id, office.olga)

    def act(tx: DataTx) -> None:
        office.approvals.use(tx, asked.id, "legal.disclose", "case-7", office.sam)
        raise Conflict("the disclosure failed")

    with pytest.raises(Conflict):
        office.store.write(Write(act))
    assert office.approvals.get(asked.id).state == "approved"
    assert office.entries("approval.used") == []


def test_each_step_is_in_the_ledger_under_the_clause_of_the_act(office: Office) -> None:
    asked = office.approvals.ask("legal.disclose", "case-7", office.sam)
    office.approvals.give(asked.id, office.olga)
    office.use(asked, office.sam)
    told = [(e["kind"], e["actor"], e["clause"], e["mechanism"]) for e in office.entries("approval")]
    assert told == [
        ("approval.asked", office.sam.actor, "share.legal", "operator.second"),
        ("approval.given", office.olga.actor, "share.legal", "operator.second"),
        ("approval.used", office.sam.actor, "share.legal", "operator.second"),
    ]
    assert {e["facts"]["approval"] for e in office.entries("approval")} == {asked.id.hex()}


def test_an_approval_that_is_not_there(office: Office) -> None:
    with pytest.raises(NotFound):
        office.approvals.get(bytes(16))
    with pytest.raises(NotFound):
        office.approvals.give(bytes(16), office.olga)
