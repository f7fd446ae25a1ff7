"""Checks of restrictions: what is set aside is not used, not even after a restore, and nobody is left untold."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Table, select

from troth.evidence.checks import Check, Verdict, unless, unseen
from troth.evidence.checks.hooks import telling
from troth.evidence.inspection import Inspection
from troth.evidence.said import Said, say
from troth.policy.model import CompiledClause
from troth.store.tables import guards, holds, messages, restrictions, subjects

ALL = select(restrictions)
HELD = select(holds.c.tenant, holds.c.sid).where(holds.c.ended_ms.is_(None))
MODES = select(subjects.c.tenant, subjects.c.sid, subjects.c.mode)
GUARDED = select(guards.c.eid).where(guards.c.kind == "restricted")
M = messages.c
SENT = select(M.id, M.tenant, M.sid, M.purpose, M.ended_ms, M.eid).where(M.state == "sent")
NOTICES = SENT.join(restrictions, M.id == restrictions.c.notice)


def restricting(inspection: Inspection, clause: CompiledClause) -> Verdict:
    """Everybody whose data is set aside is closed to the gate, guarded in K, unwritten to, and told before the end."""
    begun = inspection.entries("restriction.begun")
    rows = inspection.rows(ALL)
    if not begun and not rows:
        return unseen(say("right.restrict.unseen"))
    faults = [*opened(inspection, rows), *used(inspection, rows), *untold(inspection, rows)]
    guarded = {bytes(row.eid).hex() for row in inspection.key_rows(GUARDED)}
    missing = sum(entry.eid.hex() not in guarded for entry in begun)
    if missing:
        faults.append(say("right.restrict.guards", missing=missing))
    holding = sum(row.ended_ms is None for row in rows)
    return unless(faults, say("right.restrict.good", restrictions=len(begun), holding=holding))


def opened(inspection: Inspection, rows: list[Row[Any]]) -> list[Said]:
    """Who is set aside and can be read all the same, or closed with nobody knowing why."""
    modes = {(row.tenant, bytes(row.sid)): row.mode for row in inspection.rows(MODES)}
    holding = {(row.tenant, bytes(row.sid)) for row in rows if row.ended_ms is None}
    held = {(row.tenant, bytes(row.sid)) for row in inspection.rows(HELD)}
    open_ = sum(modes.get(person) not in ("restricted", "erasing") for person in holding)
    lost = sum(mode == "restricted" and person not in holding | held for person, mode in modes.items())
    found = [say("right.restrict.open", persons=open_)] if open_ else []
    return [*found, say("right.restrict.lost", persons=lost)] if lost else found


def used(inspection: Inspection, rows: list[Row[Any]]) -> list[Said]:
    """Letters that went out while a person's data was set aside, for what does not survive that."""
    sent = letters_within(inspection, rows, restrictions)
    return [say("right.restrict.sent", letters=sent)] if sent else []


def letters_within(inspection: Inspection, rows: list[Row[Any]], table: Table) -> int:
    """How many letters, for what does not survive it, were begun in the spans of these rows of ``table``."""
    survives = {use.purpose for use in inspection.policy.uses if "restricted" in use.survives}
    spans: dict[tuple[str, bytes], list[tuple[int, int | None]]] = {}
    for row in rows:
        spans.setdefault((row.tenant, bytes(row.sid)), []).append((row.since_ms, row.ended_ms))
    written = SENT.join(table, (M.tenant == table.c.tenant) & (M.sid == table.c.sid)).distinct()
    letters = [letter for letter in inspection.rows(written) if letter.purpose not in survives]
    begun = inspection.begun(bytes(letter.eid or b"") for letter in letters)
    return sum(
        any(
            since < begun.get(bytes(letter.eid or b""), letter.ended_ms or 0) <= (ended or inspection.now)
            for since, ended in spans.get((letter.tenant, bytes(letter.sid)), ())
        )
        for letter in letters
    )


def untold(inspection: Inspection, rows: list[Row[Any]]) -> list[Said]:
    """Restrictions that somebody else ended without a letter, or sooner after it than the policy says."""
    right = inspection.policy.rights.get("restriction")
    told = {bytes(letter.id): letter.ended_ms for letter in inspection.rows(NOTICES)}
    early = 0
    for row in rows:
        if row.ended_ms is None or row.ended_by == "subject":
            continue
        at = told.get(bytes(row.notice or b""))
        if at is None or (right is not None and right.told is not None and right.told.after(at) > row.ended_ms):
            early += 1
    return [say("right.restrict.untold", restrictions=early)] if early else []


CHECKS: dict[str, Check] = {"right.restrict": telling("restriction.changed", restricting)}
