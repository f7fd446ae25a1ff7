"""The clauses' own checks: PASS is computed over ledger, state and served pages, never by an entry being there.

A clause stands by its mechanisms, and each mechanism has one check. A clause fails if one of them fails, and is not
exercised as long as one of them is not; a mechanism without a check passes nothing. Clause: ``scope.compliance``.
Mechanism: ``evidence.board``.
"""

from __future__ import annotations

import msgspec

from troth.errors import TrothError
from troth.evidence.board import BoardRow
from troth.evidence.checks import Check, Verdict, passed, unseen
from troth.evidence.checks.collection import CHECKS as COLLECTION
from troth.evidence.checks.keeping import CHECKS as KEEPING
from troth.evidence.checks.pages import CHECKS as PAGES
from troth.evidence.checks.rights import CHECKS as RIGHTS
from troth.evidence.checks.use import CHECKS as USE
from troth.evidence.inspection import Inspection
from troth.policy.model import CompiledClause


def compliance(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """The board itself: every mechanism that is enforced has a check."""
    enforced = [c for c in inspection.policy.clauses.values() if not c.text_only and not c.not_enforced]
    unchecked = sorted({m for c in enforced for m in c.mechanisms} - set(CHECKS))
    if unchecked:
        return unseen(f"no check yet for {', '.join(unchecked)}")
    return passed(f"{len(enforced)} enforced clauses, each computed by its mechanisms' checks")


CHECKS: dict[str, Check] = {**PAGES, **COLLECTION, **KEEPING, **USE, **RIGHTS, "evidence.board": compliance}


class Board(msgspec.Struct, frozen=True):
    """All rows of one inspection, in the policy's order, and when it was."""

    rows: tuple[BoardRow, ...]
    at_ms: int
    version: str


def judge(inspection: Inspection, clause: CompiledClause) -> BoardRow:
    """How one clause stands now, and why."""
    count, last = inspection.cited.get(clause.id, (0, None))
    if clause.text_only:
        return BoardRow(clause.id, "TEXT ONLY", count, "published, promises nothing a machine could keep", last)
    if clause.not_enforced:
        return BoardRow(clause.id, "NOT ENFORCED", count, clause.not_enforced, last)
    verdicts = [verdict(inspection, clause, name) for name in clause.mechanisms]
    for status in ("FAIL", "NOT EXERCISED"):
        reasons = [v.reason for v in verdicts if v.status == status]
        if reasons or not verdicts:
            return BoardRow(
                clause.id, status, count, "; ".join(dict.fromkeys(reasons)) or "no mechanism keeps it", last
            )
    return BoardRow(
        clause.id, "PASS", count, "; ".join(dict.fromkeys(v.reason for v in verdicts)), last or inspection.now
    )


def verdict(inspection: Inspection, clause: CompiledClause, mechanism: str) -> Verdict:
    """What one mechanism's check finds; a check that breaks has found a fault, and says only of which kind."""
    check = CHECKS.get(mechanism)
    if check is None:
        return Verdict("NOT EXERCISED", f"{mechanism} has no check yet")
    try:
        return check(inspection, clause)
    except TrothError as fault:
        return Verdict("FAIL", f"{mechanism} could not be checked: {fault.code}")
    except Exception as fault:
        return Verdict("FAIL", f"{mechanism} could not be checked: {type(fault).__name__}")


def board(inspection: Inspection) -> Board:
    """The whole board."""
    rows = tuple(judge(inspection, clause) for clause in inspection.policy.clauses.values())
    return Board(rows, inspection.now, inspection.policy.version)
