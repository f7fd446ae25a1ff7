"""A campaign as it is kept: an issue, where it stands, and what became of its letters.

Counts come from the queue of messages; nothing is kept of who got one, read one or followed a link.
Clause: ``rights.unsubscribe``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, bindparam, func, select

from troth.store.tables import campaigns, messages
from troth.use import issue
from troth.use.templates import Said

RATE_MS = 60_000
ROW = select(campaigns).where(campaigns.c.id == bindparam("of_id"), campaigns.c.tenant == bindparam("of_tenant"))
BY_ID = select(campaigns).where(campaigns.c.id == bindparam("of_id"))
ALL = (
    select(campaigns)
    .where(campaigns.c.tenant == bindparam("of_tenant"))
    .order_by(campaigns.c.made_ms.desc())
    .limit(100)
)
OURS = (messages.c.campaign == bindparam("of_id"), messages.c.dedup.is_not(None))  # a test letter has no dedup key
COUNT = select(messages.c.state, func.count()).where(*OURS).group_by(messages.c.state)
LATELY = select(func.count()).where(*OURS, messages.c.state == "sent", messages.c.ended_ms > bindparam("since"))
STATE = "SELECT state, digest FROM campaigns WHERE id = ?"

State = Literal["draft", "scheduled", "running", "paused", "stopped", "ended"]


@dataclass(frozen=True, slots=True)
class Campaign:
    """An issue and where it stands. Times are UTC milliseconds; ``persons`` is how many the gate gave."""

    id: bytes
    tenant: str
    template: str
    subject: str
    source: str
    digest: str
    state: State
    reason: str
    made_ms: int
    due_ms: int | None
    begun_ms: int | None
    ended_ms: int | None
    persons: int
    queued_ms: int | None
    borne: int
    borne_complaints: int

    @property
    def said(self) -> Said:
        """What its letters say."""
        return issue.said(self.subject, self.source)


@dataclass(frozen=True, slots=True)
class Progress:
    """What has become of a campaign's letters; ``left_s`` is None where there is no rate to tell it from."""

    waiting: int
    sent: int
    refused: int
    bounced: int
    unknown: int
    a_minute: int
    left_s: int | None


def counted(connection: Connection, cid: bytes) -> dict[str, int]:
    """How many of a campaign's letters are in each state, without its tests."""
    return {row[0]: row[1] for row in connection.execute(COUNT, {"of_id": cid})}


def progress_of(connection: Connection, campaign: Campaign, now: int) -> Progress:
    """What has become of a campaign's letters by ``now`` (UTC milliseconds)."""
    counts = counted(connection, campaign.id)
    lately = connection.execute(LATELY, {"of_id": campaign.id, "since": now - RATE_MS}).scalar_one()
    unqueued = campaign.persons - sum(counts.values()) if campaign.begun_ms and campaign.queued_ms is None else 0
    waiting = counts.get("queued", 0) + counts.get("sending", 0) + max(unqueued, 0)
    span = min(RATE_MS, max(1_000, now - (campaign.begun_ms or now)))
    a_minute = round(lately * 60_000 / span)
    left = round(waiting * 60 / a_minute) if waiting and a_minute and campaign.state == "running" else None
    of = {state: counts.get(state, 0) for state in ("sent", "refused", "bounced", "unknown")}
    return Progress(waiting=waiting, **of, a_minute=a_minute, left_s=left)
