"""The plan of an erasure and what became of it, in words: for the person who asks, and for the officer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from troth.rights.certificate import Certificate
from troth.rights.erasers import BY_ID, RECORDS
from troth.rights.plan import Fate, Outcome, Plan
from troth.web.pages import Words


@dataclass(frozen=True)
class PlannedLine:
    """One kind of data. ``fate`` is what becomes or became of it; ``why`` and ``until_ms`` are of what is kept."""

    label: str
    count: str
    fate: Literal["destroyed", "changed", "kept"] | Fate
    why: str = ""
    until_ms: int | None = None
    tables: tuple[str, ...] = ()
    removed: int | None = None
    in_copy: bool = False

    @property
    def colour(self) -> str:
        """The colour that the fate is shown in."""
        return {"failed": "red", "open": "amber", "done": "green"}.get(self.fate, "")


def planned(plan: Plan, words: Words) -> list[PlannedLine]:
    """The lines of a plan, one a kind (of records: one a collection point)."""
    found: dict[tuple[str, str], PlannedLine] = {}
    for line in plan.lines:
        before, waits = found.get((line.kind, line.point)), plan.held is not None and line.action != "kept"
        found[line.kind, line.point] = PlannedLine(
            _label(line.kind, line.point, words),
            _count(line.count, more=line.more, words=words, all_=line.action == "destroyed"),
            "held" if waits else line.action,
            words(f"hold.why-{plan.held.reason}") if plan.held and waits else _why(line.kind, words),
            plan.held.until_ms if plan.held and waits else line.until_ms,
            (*(before.tables if before else ()), line.table),
            in_copy=bool(line.copy),
        )
    return list(found.values())


def became(certificate: Certificate, words: Words) -> list[PlannedLine]:
    """What became of each line of the plan, as far as it was seen."""
    found: dict[tuple[str, str], PlannedLine] = {}
    for outcome in certificate.outcomes:
        before = found.get((outcome.kind, outcome.point))
        found[outcome.kind, outcome.point] = PlannedLine(
            _label(outcome.kind, outcome.point, words),
            _count(outcome.planned, more=outcome.more, words=words, all_=outcome.fate != "held" or outcome.waits),
            outcome.fate,
            words(f"hold.why-{certificate.held.reason}")
            if certificate.held and outcome.waits
            else _why(outcome.kind, words),
            outcome.until_ms,
            (*(before.tables if before else ()), outcome.table),
            _alone(certificate.outcomes, outcome),
        )
    return list(found.values())


def _alone(outcomes: Sequence[Outcome], one: Outcome) -> int | None:
    """The rows that went, where the table is this line's alone: rows are counted by table, not by kind."""
    sharing = [each for each in outcomes if each.table == one.table and each.removed is not None]
    return one.removed if len(sharing) == 1 else None


def _label(kind: str, point: str, words: Words) -> str:
    if kind == RECORDS:
        title = f"point.{point}.title"
        return words("eraser.records", point=words(title) if words.catalogue.has(title) else words.label(point))
    return words.named("eraser", kind)


def _count(count: int | None, *, more: bool, words: Words, all_: bool) -> str:
    if count is None:
        return words("plan.all") if all_ else ""
    return words("plan.more", count=count) if more else str(count)


def _why(kind: str, words: Words) -> str:
    eraser = BY_ID.get(kind)
    return words(f"eraser.why.{kind}") if eraser is not None and eraser.action != "destroyed" else ""
