"""A run: one file that is brought in, as a row of its own that says how far it got.

The row changes in the same transaction as what a chunk brings, so that a run that was killed goes on behind the last
chunk that is there. Its mark is a keyed hash: nobody can find out by it which file it was without our key.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from troth.errors import NotFound
from troth.store.tables import imports, jobs, ledger
from troth.store.writer import DataTx

UNDO_JOB = "import.undo"
CHUNK = 200  # rows a write: larger ones are hardly faster, and each is a moment in which nobody else writes
SECRET = "import"  # noqa: S105 - a name, not a secret: the key behind the marks of files and rows
MECHANISMS = {"people": "intake.declared", "consents": "consent.record", "suppressions": "suppress.keyed"}
INSERT = insert(imports)
OF_MARK = select(imports).where(
    imports.c.tenant == bindparam("of_tenant"), imports.c.mark == bindparam("of_mark"), imports.c.state == "running"
)
OF_ID = select(imports).where(imports.c.tenant == bindparam("of_tenant"), imports.c.id == bindparam("of_id"))
ALL = (
    select(imports, ledger.c.body)
    .join(ledger, ledger.c.eid == imports.c.eid)
    .where(imports.c.tenant == bindparam("of_tenant"))
    .order_by(imports.c.begun_ms.desc())
    .limit(200)
)
UNDOING = select(jobs.c.dedup).where(jobs.c.kind == UNDO_JOB, jobs.c.state.in_(("ready", "leased")))
GO_ON = (
    update(imports)
    .where(imports.c.id == bindparam("of_id"))
    .values(next_row=bindparam("upto"), counts=bindparam("new_counts"))
)
END = (
    update(imports)
    .where(imports.c.id == bindparam("of_id"))
    .values(state=bindparam("new_state"), ended_ms=bindparam("at"))
)


class Counts(msgspec.Struct):
    """What became of the rows. Their sum is the number of rows read."""

    taken: int = 0
    known: int = 0
    suppressed: int = 0
    held: int = 0
    why: dict[str, int] = {}  # reason -> how many of the held rows

    def hold(self, reason: str) -> None:
        """One more row is held."""
        self.held += 1
        self.why[reason] = self.why.get(reason, 0) + 1

    @property
    def read(self) -> int:
        """All rows."""
        return self.taken + self.known + self.suppressed + self.held

    def facts(self) -> dict[str, int]:
        """As an entry has them."""
        return {"taken": self.taken, "known": self.known, "suppressed": self.suppressed, "held": self.held}


@dataclass(frozen=True)
class Order:
    """What is to be brought in, and how the file is to be read. Everything here is part of the run's mark."""

    tenant: str
    kind: str  # people | consents | suppressions
    point: str
    surface: str | None = None
    format: str | None = None
    source: str | None = None
    evidence: str | None = None
    how: str | None = None


@dataclass(frozen=True)
class Run:
    """A run as its row says."""

    id: bytes
    tenant: str
    kind: str
    point: str
    state: str
    next_row: int
    counts: Counts
    eid: bytes


def mark_of(key: bytes, order: Order, sha256: bytes) -> bytes:
    """The keyed hash of an order and its file."""
    parts = [*vars(order).values(), sha256.hex()]
    return hmac.digest(key, msgspec.json.encode(parts), "sha256")


def run_of(row: RowMapping) -> Run:
    """A stored run."""
    counts = msgspec.json.decode(row["counts"], type=Counts)
    place = (row["tenant"], row["kind"], row["point"], row["state"], row["next_row"])
    return Run(bytes(row["id"]), *place, counts, bytes(row["eid"]))


def unfinished(connection: Connection, tenant: str, mark: bytes) -> Run | None:
    """The run of this mark that was not finished, if there is one."""
    row = connection.execute(OF_MARK, {"of_tenant": tenant, "of_mark": mark}).mappings().first()
    return None if row is None else run_of(row)


def by_id(connection: Connection, tenant: str, id_: bytes) -> Run:
    """The run of this id; ``NotFound`` if there is none."""
    row = connection.execute(OF_ID, {"of_tenant": tenant, "of_id": id_}).mappings().first()
    if row is None:
        raise NotFound("there is no such run")
    return run_of(row)


@dataclass(frozen=True)
class Listed:
    """A run for whoever looks at all of them. ``rows`` is how many its file has."""

    run: Run
    rows: int
    begun_ms: int
    ended_ms: int | None
    asked: bool  # an undoing was asked for and is not done


def listed(connection: Connection, tenant: str) -> list[Listed]:
    """A tenant's runs, the newest first."""
    rows = connection.execute(ALL, {"of_tenant": tenant}).mappings().all()
    asked = {row.dedup for row in connection.execute(UNDOING)}
    found = []
    for row in rows:
        facts = msgspec.json.decode(row["body"])["facts"]
        run, place = run_of(row), (row["begun_ms"], row["ended_ms"])
        found.append(Listed(run, int(facts["rows"]), *place, f"{UNDO_JOB}/{run.id.hex()}" in asked))
    return found


def begin(tx: DataTx, order: Order, mark: bytes, id_: bytes, eid: bytes) -> Run:
    """A new run."""
    row = {"id": id_, "tenant": order.tenant, "kind": order.kind, "point": order.point, "mark": mark}
    tx.execute(INSERT, {**row, "state": "running", "next_row": 0, "counts": "{}", "begun_ms": tx.now, "eid": eid})
    return Run(id_, order.tenant, order.kind, order.point, "running", 0, Counts(), eid)


def go_on(tx: DataTx, run: Run, upto: int, counts: bytes) -> None:
    """What came before row ``upto`` is done."""
    tx.execute(GO_ON, {"of_id": run.id, "upto": upto, "new_counts": counts.decode()})


def end(tx: DataTx, run: Run, state: str) -> None:
    """The run is ``done`` or ``undone``."""
    tx.execute(END, {"of_id": run.id, "new_state": state, "at": tx.now})
