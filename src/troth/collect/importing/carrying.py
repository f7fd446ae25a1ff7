"""Carrying a file in: each row is decided in its turn, and chunks of rows are written together, each with its entries.

Whoever is here is recognised and left as they are; whoever objected, here or before an erasure, is not subscribed
again. Clauses: ``collect.*``, ``consent.at-submission``, ``rights.object-marketing``. Mechanisms: ``intake.declared``,
``consent.record``, ``suppress.keyed``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from troth.collect.forms import point_of
from troth.collect.importing import runs
from troth.collect.importing.deciding import Turn
from troth.collect.importing.layouts import layout_of
from troth.collect.importing.planning import Held, Planner
from troth.collect.importing.reading import Scanned, scan
from troth.collect.importing.runs import CHUNK, SECRET, Counts, Order, Run
from troth.errors import Denied, Invalid
from troth.notice.consents import Consents
from troth.notice.versions import Versions
from troth.policy.model import Point
from troth.store import Store, Write
from troth.store.ledger import EntryDraft
from troth.store.writer import DataTx
from troth.vault import Vault
from troth.world import Randomness

Objecting: TypeAlias = Callable[[str, bytes, str], None]
"""Records an objection of somebody who is here (tenant, sid, purpose): given by the layer above."""
Watching: TypeAlias = Callable[[int, int], None]
"""Told how many rows of how many are done."""


@dataclass
class Report:
    """What became of a file. ``held`` has line numbers and reasons, ``dropped`` names of columns: never a value."""

    run: str
    format: str
    rows: int
    counts: Counts = field(default_factory=Counts)
    held: list[Held] = field(default_factory=list)
    dropped: tuple[str, ...] = ()
    dry: bool = False
    resumed_at: int = 0


class Importing:
    """Brings files in. One instance serves all runs."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        versions: Versions,
        consents: Consents,
        chance: Randomness,
        objecting: Objecting,
    ) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.consents = consents
        self.chance = chance
        self.objecting = objecting

    def bring(
        self,
        order: Order,
        file: Scanned,
        *,
        dry: bool = False,
        watching: Watching | None = None,
        chunk: int = CHUNK,
    ) -> Report:
        """Bring a file in, or go on with it where it was broken off. Durable, with its entries, when this returns.

        Raises ``Invalid`` (a file or header that cannot be read), ``NotFound`` (no such point) and ``Denied`` (a
        surface that the point does not belong to), all before anything is written. A dry run writes nothing at all.
        """
        policy = self.versions.current(order.tenant)
        point = point_of(policy, order.point)
        surface = order.surface or point.surfaces[0]
        if surface not in point.surfaces:
            raise Denied(f"{point.id} is not collected on this surface", clause="scope.services", gaps=("surface",))
        if order.kind == "consents" and point.consent is None:
            raise Invalid(f"{point.id} asks for no consent", clause=point.clause)
        only_address = order.kind != "people"
        layout = layout_of(file.columns, point, format=order.format, evidence=order.evidence, only_address=only_address)
        planner = Planner(order.kind, point, layout, order.source, order.how, self.store.now())
        run = None if dry else self._run(order, file, point)
        done = run.next_row if run else 0
        report = Report(run.id.hex() if run else "", layout.format, file.rows, dropped=layout.dropped, dry=dry)
        report.resumed_at = done
        if run:
            report.counts = run.counts
        turn = Turn(self, run, policy, point, surface, order, report, chunk)
        for at, row in enumerate(file):
            plan = planner.plan(row)
            if isinstance(plan, Held):
                report.held.append(plan)
            if at >= done:
                turn.take(at, plan)
                if watching is not None and at % chunk == 0:
                    watching(at, file.rows)
        turn.flush()
        turn.settle()
        if run:
            self._end(run, point, order, report.counts)
        if watching is not None:
            watching(file.rows, file.rows)
        return report

    def _run(self, order: Order, file: Scanned, point: Point) -> Run:
        mark = runs.mark_of(self.vault.secret(SECRET), order, file.sha256)
        earlier = self.store.read(lambda connection: runs.unfinished(connection, order.tenant, mark))
        if earlier is not None:
            return earlier
        id_ = self.chance.bytes(16)

        def body(tx: DataTx) -> Run:
            facts = {"run": id_.hex(), "kind": order.kind, "point": point.id, "rows": file.rows}
            entry = tx.append(EntryDraft("import.begun", point.clause, runs.MECHANISMS[order.kind], facts=facts))
            return runs.begin(tx, order, mark, id_, entry.eid)

        return self.store.write(Write(body))

    def _end(self, run: Run, point: Point, order: Order, counts: Counts) -> None:
        def body(tx: DataTx) -> None:
            facts = {"run": run.id.hex(), **counts.facts()}
            tx.append(EntryDraft("import.done", point.clause, runs.MECHANISMS[order.kind], refers=run.eid, facts=facts))
            runs.end(tx, run, "done")

        self.store.write(Write(body))


__all__ = ["Importing", "Objecting", "Report", "Watching", "scan"]
