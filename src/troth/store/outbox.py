"""Queueing a message in the caller's own transaction: the row, which is its place in the queue, and the entry.

The row holds no address and no words: who it goes to is opened through the gate at the moment of sending.
What the person must receive and nobody else may hold (a link's token) travels as ``variables``, sealed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert

from troth.policy.model import Template
from troth.store.ledger import EntryDraft
from troth.store.tables import messages
from troth.world import Randomness

if TYPE_CHECKING:
    from troth.store.writer import DataTx

INSERT = insert(messages)


def post(
    tx: DataTx,
    template: Template,
    randomness: Randomness,
    *,
    tenant: str,
    sid: bytes | None,
    opening: bytes | None,
    variables: bytes | None = None,
    address: bytes | None = None,
    dedup: str | None = None,
    actor: str = "system",
    campaign: bytes | None = None,
    due_ms: int | None = None,
) -> bytes:
    """Queue one message by a declared template; returns its id (16 bytes).

    ``variables`` and ``address`` are sealed already under the key of a day; ``address`` is given only where the message
    must go out after the person's keys are destroyed. The same ``dedup`` raises IntegrityError: whatever may
    ask twice gives one, and the message is sent once at most. ``campaign`` names words that are not the catalogue's;
    ``due_ms`` is the earliest time (at once, if None). Marketing waits behind all else.
    """
    mid = randomness.bytes(16)
    entry = tx.append(
        EntryDraft(
            kind="message.queued",
            clause=template.clause,
            mechanism="message.declared",
            actor=actor,
            purpose=template.purpose,
            facts={"template": template.id, "message": mid.hex()},
        ),
        opening,
    )
    tx.execute(
        INSERT,
        {
            "id": mid,
            "tenant": tenant,
            "sid": sid,
            "template": template.id,
            "purpose": template.purpose,
            "sealed": address,
            "day": None if address is None else int.from_bytes(address[:4], "big"),  # a seal begins with its day
            "variables": variables,
            "dedup": dedup,
            "state": "queued",
            "queued_ms": tx.now if due_ms is None else max(tx.now, due_ms),  # from when on it waits
            "eid": entry.eid,
            "due_ms": tx.now if due_ms is None else due_ms,
            "lane": 1 if template.kind == "marketing" else 0,
            "campaign": campaign,
        },
    )
    tx.enqueued += 1  # wakes whoever sends
    return mid
