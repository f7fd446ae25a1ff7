"""Undoing a run: whoever it brought and who is still as they came in is erased; whoever changed since is left.

Consents that it brought to people who were here already are invalidated. Addresses that it spared stay spared: to
forget that would be to write to them. Clauses: ``collect.*``, ``rights.erase``. Mechanism: ``right.erase``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import Connection, bindparam, select, tuple_

from troth.collect.importing import runs
from troth.collect.importing.carrying import Watching
from troth.collect.importing.runs import UNDO_JOB, Run
from troth.errors import Conflict, Invalid
from troth.notice.consents import Consents
from troth.notice.versions import Versions
from troth.policy.model import ConsentAsk, Point, State
from troth.store import Store, Write
from troth.store.jobs import Job, Later
from troth.store.ledger import EntryDraft
from troth.store.tables import consent_records, ledger, personal_records, rights_requests, subjects
from troth.store.writer import DataTx
from troth.vault import Vault

PAGE = 500
AT_ONCE = 16  # erasures side by side: each waits for the disk some five times, and they wait together
WHY = ("wrong-file", "no-consent", "asked-to", "trial")  # why a run is taken back
S = subjects.c
PEOPLE = (
    select(S.tenant, S.sid, S.mode, S.generation, S.created_ms, S.last_use_ms)
    .where(tuple_(bindparam("after_tenant"), bindparam("after_sid")) < tuple_(S.tenant, S.sid))
    .order_by(S.tenant, S.sid)
    .limit(PAGE)
)
RECORDS_OF = (
    select(ledger.c.kind, ledger.c.body)
    .select_from(personal_records.outerjoin(ledger, ledger.c.eid == personal_records.c.eid))
    .where(personal_records.c.tenant == bindparam("of_tenant"), personal_records.c.sid == bindparam("of_sid"))
)
CONSENTS_OF = (
    select(ledger.c.kind, ledger.c.body, consent_records.c.consent, consent_records.c.state)
    .select_from(consent_records.outerjoin(ledger, ledger.c.eid == consent_records.c.eid))
    .where(consent_records.c.tenant == bindparam("of_tenant"), consent_records.c.sid == bindparam("of_sid"))
)
ASKED = select(rights_requests.c.id).where(
    rights_requests.c.tenant == bindparam("of_tenant"), rights_requests.c.sid == bindparam("of_sid")
)
ENTRY = select(ledger.c.body).where(ledger.c.eid == bindparam("of_eid"))

Erasing: TypeAlias = Callable[[str, bytes], bool]
"""Erases somebody by the ordinary erasure (tenant, sid); whether all is gone: given by the layer above."""


@dataclass(frozen=True)
class Undone:
    """What undoing did. ``left`` names those who changed since, by their opaque ids."""

    run: str
    erased: int
    invalidated: int
    left: tuple[str, ...]
    unfinished: int


class Undoing:
    """Takes runs back."""

    def __init__(self, store: Store, vault: Vault, versions: Versions, consents: Consents, erasing: Erasing) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.consents = consents
        self.erasing = erasing

    def ask(self, tenant: str, id_: bytes, *, actor: str, why: str) -> None:
        """Let a run be taken back by a job: it may take minutes. ``why`` is one of ``WHY``; it stands in the ledger.

        ``NotFound`` if there is no such run, ``Conflict`` if it was undone, ``Invalid`` without a reason.
        """
        run = self.store.read(lambda connection: runs.by_id(connection, tenant, id_))
        if why not in WHY:
            raise Invalid("say why the run is taken back", gaps=("why: choice",))
        if run.state == "undone":
            raise Conflict("this run was undone before")
        point = self._point(run)
        facts = {"run": run.id.hex(), "why": why}
        mechanism = runs.MECHANISMS[run.kind]

        def body(tx: DataTx) -> None:
            tx.append(EntryDraft("import.undo-asked", point.clause, mechanism, actor, refers=run.eid, facts=facts))
            tx.enqueue(UNDO_JOB, f"{tenant}/{id_.hex()}", dedup=f"{UNDO_JOB}/{id_.hex()}")

        self.store.write(Write(body))

    def _point(self, run: Run) -> Point:
        """The run's point as it was declared when the run began: the policy in force may have it no more."""
        begun = self.store.read(lambda connection: connection.execute(ENTRY, {"of_eid": run.eid}).scalar_one())
        return self.versions.history.version(msgspec.json.decode(begun)["policy"]).points[run.point]

    def job(self, job: Job) -> None:
        """The job behind it: goes on until nothing of the run is left that is to go."""
        tenant, _, id_ = job.ref.partition("/")
        with contextlib.suppress(Conflict):  # undone before: by a command, or by this very job before a crash
            if self.undo(tenant, bytes.fromhex(id_)).unfinished:
                raise Later(60_000)

    def undo(self, tenant: str, id_: bytes, watching: Watching | None = None) -> Undone:
        """Take a run back. May be repeated: what was done is done. ``NotFound`` if there is no such run."""
        run = self.store.read(lambda connection: runs.by_id(connection, tenant, id_))
        if run.state == "undone":
            raise Conflict("this run was undone before")
        erased = invalidated = unfinished = 0
        left: list[str] = []
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="undoing") as several:
            for seen, (sid, done) in enumerate(self._each(run, several), 1):
                erased, unfinished = erased + (done == "erased"), unfinished + (done == "unfinished")
                invalidated += done == "invalidated"
                if done == "left":
                    left.append(sid.hex())
                if watching is not None:
                    watching(seen, max(run.counts.taken, seen))
        point = self._point(run)

        def body(tx: DataTx) -> None:
            facts = {"run": run.id.hex(), "erased": erased, "invalidated": invalidated, "left": len(left)}
            tx.append(EntryDraft("import.undone", point.clause, runs.MECHANISMS[run.kind], refers=run.eid, facts=facts))
            runs.end(tx, run, "undone")

        if not unfinished:
            self.store.write(Write(body))
        return Undone(run.id.hex(), erased, invalidated, tuple(left), unfinished)

    def _each(self, run: Run, several: Executor) -> Iterator[tuple[bytes, str]]:
        """What was done about each of them, some at a time."""
        ask = self._point(run).consent  # before anybody is touched

        def take_back(one: tuple[bytes, bool, bool]) -> tuple[bytes, str]:
            sid, whole, changed = one
            if whole and not changed:
                return sid, "erased" if self.erasing(run.tenant, sid) else "unfinished"
            return sid, "invalidated" if not whole and self._invalidate(run, ask, sid) else "left"

        people = self._people(run)
        while some := list(islice(people, 2 * AT_ONCE)):
            yield from several.map(take_back, some)

    def _people(self, run: Run) -> Iterator[tuple[bytes, bool, bool]]:
        """Whoever the run brought something for: (sid, brought them whole, changed since)."""
        after = (run.tenant, b"")
        while True:
            page = self.store.read(partial(self._page, run=run, after=after))
            yield from page[0]
            if page[1] is None:
                return
            after = page[1]

    def _page(
        self, connection: Connection, run: Run, after: tuple[str, bytes]
    ) -> tuple[list[tuple[bytes, bool, bool]], tuple[str, bytes] | None]:
        rows = connection.execute(PEOPLE, {"after_tenant": after[0], "after_sid": after[1]}).all()
        found = []
        for row in rows:
            if row.tenant != run.tenant or row.mode == "erasing":
                continue
            of = {"of_tenant": row.tenant, "of_sid": bytes(row.sid)}
            records = [_of_run(r.kind, r.body, run) for r in connection.execute(RECORDS_OF, of)]
            consents = list(connection.execute(CONSENTS_OF, of))
            ours = [c for c in consents if c.state == "Given" and self._brought(connection, c, run)]
            if not any(records) and not ours:
                continue
            as_it_was = row.generation == 1 and row.last_use_ms == row.created_ms and row.mode == "live"
            changed = not (
                as_it_was
                and all(records)
                and len(ours) == len(consents)
                and connection.execute(ASKED, of).first() is None
            )
            found.append((bytes(row.sid), any(records), changed))
        last = (rows[-1].tenant, bytes(rows[-1].sid)) if len(rows) == PAGE else None
        return found, last

    @staticmethod
    def _brought(connection: Connection, consent: Any, run: Run) -> bool:
        """Whether the consent's entry refers to an entry of this run."""
        if consent.kind != "consent.imported":
            return False
        above = bytes.fromhex(msgspec.json.decode(consent.body).get("refers", ""))
        body = connection.execute(ENTRY, {"of_eid": above}).scalar()
        return body is not None and _of_run("intake.imported", body, run)

    def _invalidate(self, run: Run, ask: ConsentAsk | None, sid: bytes) -> bool:
        """End the consent that was brought to somebody who was here; False where they gave one of their own since."""
        policy = self.versions.current()
        if ask is None:
            return False
        opening = self.vault.opening(run.tenant, sid)

        def body(tx: DataTx) -> bool:
            open_ = [o for o in self.consents.of(tx.connection, run.tenant, sid) if o.consent == ask.id]
            if sum(one.state in ("Given", "Requested") for one in open_) != 1:
                return False
            self.consents.end(tx, tenant=run.tenant, sid=sid, consent=ask.id, state="Invalidated", by="controller")
            tx.append(
                EntryDraft(
                    kind="consent.invalidated",
                    clause=ask.clause,
                    mechanism="consent.record",
                    purpose=ask.purpose,
                    refers=run.eid,
                    facts={"consent": ask.id},
                ),
                opening,
            )

            def without(state: State) -> State:
                grants = frozenset(g for g in state.grants if (g.purpose, g.channel) != (ask.purpose, ask.channel))
                return State(state.mode, state.bound, grants, state.stops)

            self.vault.change_state(tx, run.tenant, sid, without)
            self.vault.happen(tx, run.tenant, sid, f"{ask.id}.withdrawn", policy)
            return True

        return self.store.write(Write(body))


def _of_run(kind: str | None, body: bytes | None, run: Run) -> bool:
    """Whether this is the entry of somebody whom the run brought."""
    return kind == "intake.imported" and body is not None and msgspec.json.decode(body).get("refers") == run.eid.hex()
