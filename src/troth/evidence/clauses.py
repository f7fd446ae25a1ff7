"""The clauses' own checks: PASS is computed over ledger, state and served pages, never by an entry being there.

A clause stands by its mechanisms, and each mechanism has one check. A clause fails if one of them fails, and is not
exercised as long as one of them is not; a mechanism without a check passes nothing. Clause: ``scope.compliance``.
Mechanism: ``evidence.board``.
"""

from __future__ import annotations

import msgspec

from troth.errors import TrothError
from troth.evidence.board import BoardRow, Status
from troth.evidence.checks import Check, Verdict, failed, passed, unseen
from troth.evidence.checks.accounts import CHECKS as ACCOUNTS
from troth.evidence.checks.collection import CHECKS as COLLECTION
from troth.evidence.checks.control import CHECKS as CONTROL
from troth.evidence.checks.keeping import CHECKS as KEEPING
from troth.evidence.checks.pages import CHECKS as PAGES
from troth.evidence.checks.restriction import CHECKS as RESTRICTION
from troth.evidence.checks.rights import CHECKS as RIGHTS
from troth.evidence.checks.use import CHECKS as USE
from troth.evidence.checks.visits import CHECKS as VISITS
from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say, told
from troth.policy.model import CompiledClause


def compliance(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The board itself: every mechanism that is enforced has a check."""
    enforced = [c for c in inspection.policy.clauses.values() if not c.text_only and not c.not_enforced]
    unchecked = sorted({m for c in enforced for m in c.mechanisms} - set(CHECKS))
    if unchecked:
        return unseen(say("evidence.board.unchecked", mechanisms=", ".join(unchecked)))
    return passed(say("evidence.board.good", clauses=len(enforced)))


CHECKS: dict[str, Check] = {
    **PAGES,
    **COLLECTION,
    **KEEPING,
    **USE,
    **RIGHTS,
    **RESTRICTION,
    **ACCOUNTS,
    **CONTROL,
    **VISITS,
    "evidence.board": compliance,
}


class Board(msgspec.Struct, frozen=True):
    """All rows of one inspection, in the policy's order, and when it was."""

    rows: tuple[BoardRow, ...]
    at_ms: int
    version: str


def judge(inspection: Inspection, clause: CompiledClause) -> BoardRow:
    """How one clause stands now, and why."""
    count, last = inspection.cited.get(clause.id, (0, None))

    def row(status: Status, *said: Said, last_ms: int | None = last) -> BoardRow:
        once = tuple({(one.key, *one.values.items()): one for one in said}.values())
        return BoardRow(clause.id, status, count, told(once), last_ms, once, clause.mechanisms)

    if clause.text_only:
        return row("TEXT ONLY", say("text-only"))
    if clause.not_enforced:
        return BoardRow(clause.id, "NOT ENFORCED", count, clause.not_enforced, last, (), clause.mechanisms)
    if not clause.mechanisms:
        return row("NOT EXERCISED", say("no-mechanism"))
    verdicts = [verdict(inspection, clause, name) for name in clause.mechanisms]
    worst: Status = next((s for s in ("FAIL", "NOT EXERCISED") if any(v.status == s for v in verdicts)), "PASS")
    said = [one for v in verdicts if v.status == worst for one in v.said]
    return row(worst, *said, last_ms=last or inspection.now if worst == "PASS" else last)


def verdict(inspection: Inspection, clause: CompiledClause, mechanism: str) -> Verdict:
    """What one mechanism's check finds; a check that breaks has found a fault, and says only of which kind."""
    check = CHECKS.get(mechanism)
    if check is None:
        return unseen(say("no-check", mechanism=mechanism))
    try:
        return check(inspection, clause)
    except TrothError as fault:
        return failed(say("broken-check", mechanism=mechanism, fault=fault.code))
    except Exception as fault:
        return failed(say("broken-check", mechanism=mechanism, fault=type(fault).__name__))


def board(inspection: Inspection) -> Board:
    """The whole board."""
    rows = tuple(judge(inspection, clause) for clause in inspection.policy.clauses.values())
    return Board(rows, inspection.now, inspection.policy.version)
