"""Every mechanism has a test that would notice if it were gone, and every clause a mechanism that there is.

``SABOTAGED`` names how the board notices, by the sabotage that must make it red; ``TESTED`` names the tests of those
that the board cannot be asked about that way. A mechanism that is in neither fails here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.clauses.test_board_cannot_be_painted import SABOTAGE
from tests.seed import ROOT
from troth.cli.clause import SOURCE, places
from troth.cli.init import example
from troth.evidence.clauses import CHECKS
from troth.policy import compile as compile_policy
from troth.policy.model import CompiledPolicy
from troth.policy.vocabulary import MECHANISMS, PLANNED

SABOTAGED: dict[str, tuple[str, str]] = {
    "policy.effective": ("changes.effective-date", "text edited"),
    "policy.publish": ("changes.publish", "another text served"),
    "page.date-first": ("changes.date-at-top", "date removed"),
    "page.readable": ("scope.readable", "no link beside the form"),
    "page.accessible": ("scope.accessible", "labels removed"),
    "scope.surface": ("scope.services", "a shadow site"),
    "scope.closed": ("scope.closed-list", "a field too many"),
    "notice.bind": ("consent.at-submission", "records without a submission"),
    "consent.record": ("collect.newsletter", "consent nobody gave"),
    "consent.withdraw": ("consent.withdraw", "goes on granting"),
    "refusal.nothing": ("consent.refusal", "a cookie before sending"),
    "intake.declared": ("collect.newsletter", "takes anything"),
    "intake.double-opt-in": ("collect.newsletter", "mail before confirming"),
    "gate.purpose": ("purpose.account", "reads for anything"),
    "share.deny": ("share.nothing-else", "gives to anybody"),
    "password.hashed": ("protect.password", "a password as it was typed"),
    "password.change": ("protect.password-change", "a known password goes on opening"),
    "account.passkey": ("protect.password", "a passkey that nobody added"),
    "account.second-factor": ("protect.password", "a second factor that nobody set"),
    "access.delegation": ("protect.password-sharing", "access that nobody gave"),
    "vault.sealed": ("protect.storage", "a plain copy in a log"),
    "transit.tls": ("protect.transit", "served without TLS"),
    "message.unsubscribe": ("rights.unsubscribe", "links deleted"),
    "retain.heartbeat": ("retain.while-used", "the scheduler is off"),
    "right.access": ("rights.access", "a request past its deadline"),
    "right.portability": ("rights.portability", "a request past its deadline"),
    "right.erase": ("rights.erase", "a key put back"),
    "right.restrict": ("rights.restrict", "opened again"),
    "right.rectify": ("rights.rectify", "guards gone"),
    "account.control": ("purpose.account", "a closed account goes on"),
    "activity.signed": ("retain.while-used", "kept for ever"),
    "right.object": ("rights.object-marketing", "sent anyway"),
    "message.registered": ("rights.automated", "one is not listed"),
    "right.deadline": ("rights.proof", "a request past its deadline"),
    "right.proof": ("rights.proof", "copies without proof"),
    "suppress.keyed": ("rights.object-marketing", "suppressions deleted"),
    "cookie.declared": ("cookies.table", "undeclared"),
    "cookie.random": ("cookies.no-personal", "values that tell"),
    "site.cookieless": ("cookies.optional", "a cookie on every page"),
    "controller.shown": ("controller.identity", "nobody to turn to"),
    "basis.declared": ("purpose.basis", "rests on nothing"),
    "retain.declared": ("retain.periods", "a class without a period"),
    "category.personal": ("personal.definition", "a column without category"),
    "count.visits": ("collect.navigation", "a history nobody agreed to"),
    "count.address": ("collect.ip-location", "the key of a past day kept"),
    "count.returning": ("cookies.returning-visit", "recognised without a yes"),
    "evidence.board": ("scope.compliance", "a check deleted"),
    "cookie.consent": ("cookies.table", "optional cookies for everybody"),
    "consent.choice": ("cookies.refuse", "no way to refuse"),
    "consent.signal": ("consent.gpc", "asked all the same"),
    "embed.registered": ("scope.third-party", "a page lets others in"),
    "link.registered": ("links.leaving", "no mark"),
}

TESTED: dict[str, str] = {
    "policy.compile": "tests/unit/policy/test_compile.py::test_all_is_told_at_once",
    "intake.registration": "tests/clauses/test_board_speaks.py"
    "::test_a_registration_without_the_state_its_keeping_rests_on_is_named",
    "gate.never": "tests/unit/policy/test_decide.py"
    "::test_a_purpose_that_is_forbidden_is_denied_by_the_clause_that_forbids_it",
    "message.declared": "tests/use/test_messages.py"
    "::test_a_template_under_another_purpose_than_it_was_queued_for_is_not_sent",
    "retain.due": "tests/clauses/test_board_cannot_be_painted.py::test_data_that_is_overdue_turns_the_clause_red",
    "operator.second": "tests/use/test_approvals.py",
    "operator.sign-in": "tests/use/test_operators.py",
    "product.ask": "tests/use/test_products.py::test_a_declared_use_of_a_registered_account_is_allowed_with_its_entry",
    "evidence.ledger": "tests/evidence/test_store.py",
}


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    """The example policy."""
    made = compile_policy(example(), filename="policy.md").policy
    assert made is not None
    return made


def names_in(file: Path) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse(file.read_text("utf-8"))
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}


def test_every_mechanism_there_is_has_a_test() -> None:
    assert set(SABOTAGED) | set(TESTED) == set(MECHANISMS) - PLANNED
    assert not set(SABOTAGED) & set(TESTED)


def test_no_mechanism_is_said_to_be_there_that_no_code_names() -> None:
    literal = {name: [p for p in places(SOURCE, name) if "/checks/" not in p] for name in (*SABOTAGED, *TESTED)}
    assert [name for name, found in literal.items() if not found] == []


@pytest.mark.parametrize("mechanism", SABOTAGED)
def test_the_sabotage_breaks_a_clause_that_rests_on_the_mechanism(mechanism: str, policy: CompiledPolicy) -> None:
    clause, how = SABOTAGED[mechanism]
    assert (clause, how) in {(name, way) for name, way, _ in SABOTAGE}
    assert mechanism in policy.clauses[clause].mechanisms
    assert mechanism in CHECKS


@pytest.mark.parametrize("mechanism", TESTED)
def test_the_test_that_is_named_is_there(mechanism: str) -> None:
    path, _, name = TESTED[mechanism].partition("::")
    names = names_in(ROOT / path)
    assert name in names if name else names


def test_every_clause_of_the_example_is_kept_by_mechanisms_that_are_there_or_says_why_not(
    policy: CompiledPolicy,
) -> None:
    for clause in policy.clauses.values():
        assert set(clause.mechanisms) <= set(MECHANISMS), clause.id
        if clause.text_only:
            assert not clause.mechanisms, clause.id
        elif not clause.not_enforced:
            assert clause.mechanisms, clause.id
            assert set(clause.mechanisms) - PLANNED, clause.id
            assert set(clause.mechanisms) <= set(CHECKS), clause.id


def test_a_clause_id_spelled_in_the_code_is_one_that_a_policy_here_declares(policy: CompiledPolicy) -> None:
    """``clause="…"`` in the source: an entry or a refusal that cites a clause which nobody can look up."""
    cited: dict[str, str] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "clause" and isinstance(node.value, ast.Constant):
                cited[str(node.value.value)] = f"{file.name}:{node.value.lineno}"
    assert len(cited) >= 15
    assert {name: where for name, where in cited.items() if name not in policy.clauses and name != "None"} == {}


def test_a_route_cites_a_clause_of_the_example(policy: CompiledPolicy) -> None:
    from troth.web.served import GROUPS

    assert {r.clause for group in GROUPS for r in group.routes} <= set(policy.clauses)


def test_an_entry_cites_a_mechanism_that_is_there() -> None:
    named: dict[str, str] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "mechanism" and isinstance(node.value, ast.Constant):
                named[str(node.value.value)] = f"{file.name}:{node.value.lineno}"
    assert {name: where for name, where in named.items() if name not in MECHANISMS} == {}
