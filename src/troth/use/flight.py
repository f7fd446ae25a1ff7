"""Waiting for what is on the wire: whoever stopped messages is answered when none to them can arrive any more.

A message that was begun cannot be called back: the relay may be reading it. It stands in the queue as ``sending``
from before its first byte until its outcome is durable, so the queue itself says who is being written to, in every
process that shares it. Clause: ``rights.unsubscribe``.
"""

from __future__ import annotations

import threading
import time

from sqlalchemy import bindparam, select

from troth.errors import Unknown
from troth.store import Store
from troth.store.tables import messages

PATIENCE = 90.0  # seconds: longer than a relay may take for a whole message (``transport.SECONDS`` for each answer)
LOOK_AGAIN = 0.05  # for messages that another process sends
ON_THE_WIRE = (
    select(messages.c.id)
    .where(
        messages.c.tenant == bindparam("of_tenant"),
        messages.c.sid == bindparam("of_sid"),
        messages.c.state == "sending",
    )
    .limit(1)
)


class Flight:
    """Knows when something landed. One for all senders and waiters of a process; safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._landed = threading.Condition()

    def landed(self) -> None:
        """Outcomes are durable: whoever waits looks again."""
        with self._landed:
            self._landed.notify_all()

    def wait(self, tenant: str, sid: bytes, *, patience: float = PATIENCE) -> None:
        """Return when no message to this person is on the wire. To be asked after the stop is durable.

        ``Unknown`` after ``patience`` seconds: the stop is in force, and a message begun before it may still arrive.
        """
        until = time.monotonic() + patience
        asked = {"of_tenant": tenant, "of_sid": sid}
        while self._store.read(lambda connection: connection.execute(ON_THE_WIRE, asked).first()) is not None:
            if time.monotonic() > until:
                raise Unknown("it is in force; a message that was begun before it may still arrive")
            with self._landed:
                self._landed.wait(LOOK_AGAIN)
