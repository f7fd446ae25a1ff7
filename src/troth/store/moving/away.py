"""Whether a system moved away: its own log says so, and the log that moved with it says so too.

``moved.away`` is recorded before the log is exported. Where it is the last word, nobody goes on: the old system until
it is taken back (``moved.back``), the new one until all of it is there (``moved.in``, in the transaction that makes it
ready). Two systems that continued one log would sign two histories, and send the same letters twice.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from troth.errors import StartRefused
from troth.store.ledger import EntryDraft
from troth.store.tables import ledger, policy_versions

AWAY, IN, BACK = "moved.away", "moved.in", "moved.back"
KINDS = (AWAY, IN, BACK)
CLAUSE, MECHANISM = "protect.storage", "evidence.ledger"

NEWEST = (
    select(ledger.c.kind, ledger.c.eid, ledger.c.at_ms)
    .where(ledger.c.kind.in_(KINDS))
    .order_by(ledger.c.seq.desc())
    .limit(1)
)
VERSIONS = select(policy_versions.c.version, policy_versions.c.effective_ms, policy_versions.c.published_ms).order_by(
    policy_versions.c.published_ms, policy_versions.c.effective_ms
)


class Away(NamedTuple):
    """The entry by which a system moved away, and when."""

    eid: bytes
    at_ms: int


def away(connection: Connection) -> Away | None:
    """The entry by which the system moved away, if that is the last that was said of moving."""
    row = connection.execute(NEWEST).one_or_none()
    return Away(bytes(row.eid), row.at_ms) if row is not None and row.kind == AWAY else None


def refuse_away(connection: Connection) -> None:
    """``StartRefused`` where the system moved away."""
    found = away(connection)
    if found is not None:
        raise refusal(found.at_ms)


def refusal(at_ms: int) -> StartRefused:
    """What is said where the system moved away at this time."""
    day = dt.datetime.fromtimestamp(at_ms / 1000, tz=dt.UTC).date().isoformat()
    return StartRefused(
        f"this system moved away on {day} and goes on where its export was imported: two systems must not continue one "
        "log. If it was imported nowhere, `troth export --take-back` lets this one go on"
    )


def draft(kind: str, refers: bytes | None = None, **facts: Any) -> EntryDraft:
    """The entry of a move."""
    return EntryDraft(kind, CLAUSE, MECHANISM, refers=refers, facts=facts)


def policy_at(connection: Connection, at_ms: int) -> str:
    """The version of the policy that binds at this time, as ``notice.versions`` finds it; "" if none does."""
    rows = connection.execute(VERSIONS).all()
    fitting = [
        (row.effective_ms, row.version)
        for number, row in enumerate(rows)
        if row.effective_ms <= at_ms and (number == 0 or row.published_ms <= at_ms)
    ]
    return max(fitting, default=(0, ""))[1]
