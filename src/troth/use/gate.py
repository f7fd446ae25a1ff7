"""The one way to read. Default deny; every answer leaves after its entry is durable; every refusal names its clauses.

One read: in the writer's transaction, together with all others that wait, the person's state and records; the decision
and the end of keeping before anything is decrypted; the block of the ledger that says who was read; and once that is
durable, the answer (LANGUAGE 3, STORAGE B(b), ADR 0013). If the ledger cannot be written, nothing is read.
Clauses: ``purpose.*``, ``share.nothing-else``. Mechanisms: ``gate.purpose``, ``gate.never``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from troth.errors import Denied, NotFound, TrothError
from troth.notice.versions import Versions
from troth.policy.ask import explain
from troth.policy.model import Decision, Form
from troth.store import Lane, Store, Write
from troth.store.reads import Reads
from troth.use.denials import Denials, Due, Refusal
from troth.use.gathering import Gathering
from troth.use.in_force import InForce
from troth.use.interned import InternedStates, InternedTerms
from troth.use.opening import Answer, Opening, Weighed
from troth.use.rows import one_person
from troth.use.verdicts import Ask, Refused
from troth.vault import Vault

__all__ = ["Answer", "Gate", "Opening", "Weighed"]

T = TypeVar("T")

READERS = 4  # threads that wait for PostgreSQL, so that the event loop does not
IDENTIFIED = Form()


class Gate:
    """Opens personal data for a purpose, or refuses. One for all tenants; safe from any thread and event loop."""

    def __init__(self, store: Store, vault: Vault, versions: Versions) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.clock = store.clock
        self.denials = Denials()
        self.reads = Reads(store, vault.seal_block)
        self.terms = InternedTerms(store.data)
        self.states = InternedStates(store.data)
        self.gathering = Gathering(self)
        self._force: InForce | None = None
        self._one = one_person(store.data)
        self.inline = store.data.dialect == "sqlite"
        self._pool = None if self.inline else ThreadPoolExecutor(READERS, thread_name_prefix="gate")

    def open(
        self,
        purpose: str,
        *,
        channel: str | None = None,
        recipient: str | None = None,
        form: Form = IDENTIFIED,
        actor: str = "system",
        evidence: Collection[str] = (),
        proving: bool = False,
    ) -> Opening:
        """An opening for one purpose. ``evidence`` names the guards that are met (``ticket``, ``operators:2``).

        ``proving``: this use asks an unproven person for their proof, the only use that may read of one.
        """
        asked = Ask(purpose, frozenset(), recipient, channel, form, frozenset(evidence))
        return Opening(self, asked, actor, proving)

    def read_many(
        self, wanted: Sequence[tuple[Opening, str, bytes, frozenset[str]]]
    ) -> list[Answer | Denied | Exception]:
        """What ``Opening.read`` gives or raises, for many at once: (opening, tenant, person, fields) each.

        One transaction and one entry for all of them. Raises ``Busy`` or ``Unavailable`` before anything was read.
        """
        self.reads.admit()
        out: list[Answer | Denied | Exception] = []
        for (opening, tenant, sid, _), found in zip(wanted, self.gathering.together(wanted), strict=True):
            if isinstance(found, Refused):
                denied, refusal = self.refusal(opening, tenant, sid, found)
                write = self.note(refusal)
                if write is not None:
                    self.store.write(write)
                out.append(denied)
            else:
                out.append(found)
        return out

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Do reading work where it does not hold up the event loop: inline on SQLite, which answers in microseconds."""
        if self._pool is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Write the refusals that are counted and not written yet."""
        self._write_ended(self.denials.flush())
        if self._pool is not None:
            self._pool.shutdown()

    # --- what all openings share ---

    def in_force(self, now: int) -> InForce:
        """The version in force, with what is remembered under it."""
        force = self._force
        if force is None or now >= force.until or self.versions.history is not force.history:
            history = self.versions.history
            force = self._force = InForce(self.versions.current(), history, now, self.terms, self.states)
        return force

    def fetch(self, tenant: str, sid: bytes) -> Sequence[Sequence[Any]]:
        """The person's rows, see ``rows.Held``; empty where there is none."""
        found: Sequence[Sequence[Any]] = self.store.data.raw_reader().execute(self._one, (tenant, sid)).fetchall()
        return found

    def open_row(self, tenant: str, row: Sequence[Any]) -> dict[str, Any]:
        """The content of a row's record."""
        return self.vault.open_row(tenant, row[0], row[8], row[6], row[9], row[11], row[3])

    # --- refusals ---

    def refusal(self, opening: Opening, tenant: str, sid: bytes | None, refused: Refused) -> tuple[Denied, Refusal]:
        """The exception and what is counted, both without any name from outside."""
        force = self.in_force(self.clock.now())
        told = force.told(refused)
        purpose = force.purpose_told(opening.ask.purpose)
        clause = told.clauses[0]
        detail = explain(Decision(False, told.clauses, told.gaps), force.policy)
        denied = Denied(detail, clause=clause, gaps=told.gaps)
        return denied, Refusal(tenant, sid, purpose, clause, told.gaps, opening.actor)

    def told(self, refused: Refused) -> Refused:
        """A refusal as it may be told and recorded: with a clause, and without any name from outside."""
        return self.in_force(self.clock.now()).told(refused)

    def purpose_told(self, purpose: str) -> str:
        """The purpose's name if the policy declares it; what else came from outside is not repeated."""
        return self.in_force(self.clock.now()).purpose_told(purpose)

    def note(self, refusal: Refusal) -> Write[None] | None:
        """Count a refusal; the write that must be durable before it is answered, or None."""
        due, ended = self.denials.note(refusal, self.clock.now())
        self._write_ended(ended)
        return self._entries([due]) if due is not None else None

    def _write_ended(self, ended: list[Due]) -> None:
        for start in range(0, len(ended), 50):
            try:
                self.store.submit(self._entries(ended[start : start + 50], lane=Lane.JOB))
            except TrothError:  # the store is full or gone: these counts are lost, as a log line would be
                return

    def _entries(self, due: list[Due], lane: Lane = Lane.READ) -> Write[None]:
        openings = [self._opening_of(each) for each in due]

        def body(tx: Any) -> None:
            for each, opening in zip(due, openings, strict=True):
                tx.append(each.draft, opening)

        return Write(body=body, lane=lane)

    def _opening_of(self, due: Due) -> bytes | None:
        if due.sid is None:
            return None
        try:
            return self.vault.opening(due.tenant, due.sid)
        except NotFound:  # erased: nothing may be linked to this person any more (invariant 4)
            return None
