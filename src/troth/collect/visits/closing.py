"""The end of a day: its key is destroyed, its hashes go, and so does every figure that too few persons stand behind.

Run every hour and before the port opens. A day is closed some minutes after its end, when nothing of it waits any
more; what then stays of it is what may be shown. A later version that wants more persons behind a figure holds for the
days that were closed before it; under one that counts nothing no figure stays. Figures are kept as long as the class of
visits says. Clause: ``collect.ip-location``; mechanism: ``count.address``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

import msgspec
from sqlalchemy import Connection, bindparam, delete, select

from troth.collect.visits.counting import Cells
from troth.collect.visits.release import Cell, released
from troth.collect.visits.rules import Rules
from troth.store import Lane, Store, Write
from troth.store.jobs import Job
from troth.store.ledger import EntryDraft
from troth.store.tables import visit_cells, visit_counts, visit_seen
from troth.store.transaction import KeyTx
from troth.store.writer import DataTx
from troth.vault import Vault
from troth.vault.retention import due
from troth.world import DAY_MS

CLOSE_JOB = "collect.close-visits"
PERIOD_MS = 60 * 60_000
GRACE_MS = 10 * 60_000  # after the end of a day: what arrived before it is committed by then

ENDED = select(visit_seen.c.day).where(visit_seen.c.day < bindparam("before_day")).distinct()
TOO_SMALL = (
    select(visit_counts.c.day)
    .join(visit_cells, visit_cells.c.id == visit_counts.c.cell)
    .where(
        visit_cells.c.tenant == bindparam("of_tenant"),
        visit_counts.c.day < bindparam("before_day"),
        visit_counts.c.visitors < bindparam("least"),
    )
    .distinct()
)
CELLS_OF = (
    select(visit_cells.c.surface, visit_cells.c.dimension, visit_cells.c.value, visit_counts)
    .join(visit_cells, visit_cells.c.id == visit_counts.c.cell)
    .where(visit_counts.c.day == bindparam("of_day"), visit_cells.c.tenant == bindparam("of_tenant"))
    .order_by(visit_cells.c.surface)
)
DROP_COUNT = delete(visit_counts).where(
    visit_counts.c.day == bindparam("of_day"), visit_counts.c.cell == bindparam("of_cell")
)
DROP_SEEN = delete(visit_seen).where(visit_seen.c.day == bindparam("of_day"))
DROP_DAY = delete(visit_counts).where(visit_counts.c.day == bindparam("of_day"))
DAYS = select(visit_counts.c.day).distinct()
DROP_CELLS = delete(visit_cells).where(visit_cells.c.id.not_in(select(visit_counts.c.cell)))


class Closed(msgspec.Struct, frozen=True):
    """What a run did: days closed, figures that stayed and that went, old figures deleted, keys destroyed."""

    days: int = 0
    kept: int = 0
    withheld: int = 0
    old: int = 0
    keys: int = 0


class Closing:
    """Closes days."""

    def __init__(
        self, store: Store, vault: Vault, rules: Callable[[], Rules | None], cells: Cells, tenant: str
    ) -> None:
        self.store = store
        self.vault = vault
        self.rules = rules
        self.cells = cells
        self.tenant = tenant

    def job(self, job: Job) -> None:
        """The scheduled job."""
        self.run()

    def run(self) -> Closed:
        """Close every day that is over; an entry says how many figures stayed, if there was anything to do."""
        rules = self.rules()
        if rules is None:
            return Closed()
        now = self.store.now()
        today = (now - GRACE_MS) // DAY_MS
        small = {"of_tenant": self.tenant, "before_day": today, "least": rules.at_least}
        days = self.store.read(
            lambda c: sorted(
                {*c.execute(ENDED, {"before_day": today}).scalars(), *c.execute(TOO_SMALL, small).scalars()}
            )
        )
        old = self.store.read(lambda c: [day for day in c.execute(DAYS).scalars() if self._past(rules, day, now)])
        keys: list[int] = []

        def before(ktx: KeyTx) -> None:
            keys.append(self.vault.drop_days(ktx, "visits", today))

        def body(tx: DataTx) -> Closed:
            kept = withheld = 0
            for day in days:
                stay, go = self._close(tx, rules, day)
                kept, withheld = kept + stay, withheld + go
            for day in old:
                tx.execute(DROP_DAY, {"of_day": day})
            if days or old:
                tx.execute(DROP_CELLS)
                self.cells.forget()
            closed = Closed(len(days), kept, withheld, len(old), keys[-1])
            if days or old or keys[-1]:
                tx.append(
                    EntryDraft(
                        kind="visits.closed",
                        clause=rules.clause,
                        mechanism="count.address",
                        facts={**msgspec.structs.asdict(closed), "at_least": rules.at_least},
                    )
                )
            return closed

        closed = self.store.write(Write(before=before, body=body, lane=Lane.JOB))
        if closed.keys:
            self.vault.scrub()  # out of K's files too
        return closed

    def _close(self, tx: DataTx, rules: Rules, day: int) -> tuple[int, int]:
        """Delete what may not be shown of one day, and all hashes; (figures that stay, figures that went)."""
        kept = withheld = 0
        for _, found in by_surface(tx.connection, self.tenant, day):
            stay = set(released((cell for cell, _ in found), rules.at_least))
            go = [{"of_day": day, "of_cell": number} for cell, number in found if cell not in stay]
            if go:
                tx.execute(DROP_COUNT, go)
            kept, withheld = kept + len(stay), withheld + len(go)
        tx.execute(DROP_SEEN, {"of_day": day})
        return kept, withheld

    def _past(self, rules: Rules, day: int, now: int) -> bool:
        """Whether the figures of a day are older than the class of visits allows; without one none may stay."""
        point = rules.count or rules.view
        if point is None:
            return True
        keep = rules.policy.keeps.get(point.uses[0].keep)
        end = due(keep, {}, day * DAY_MS, {}, 0) if keep else None
        return end is not None and end <= now


def by_surface(connection: Connection, tenant: str, day: int) -> Iterator[tuple[str, list[tuple[Cell, int]]]]:
    """The cells of a day with their numbers, surface by surface."""
    rows = connection.execute(CELLS_OF, {"of_tenant": tenant, "of_day": day}).all()
    for surface, found in groupby(rows, key=lambda row: row.surface):
        yield surface, [(Cell(r.dimension, r.value, r.views, r.visitors), r.cell) for r in found]
