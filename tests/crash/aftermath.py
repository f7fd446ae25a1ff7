"""What must hold after a crash, and the repair that may make it so first."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert, select

from tests.crash.nursery import FIRST, LAST, writing
from tests.store.shop import Shop, faults, guards, products
from troth.store import jobs, tables
from troth.store.open import Store
from troth.store.transaction import KeyTx


def pids(answer: dict[str, Any], mark: str) -> set[bytes]:
    """The products that a child named with a mark: B begun, A acknowledged, N refused."""
    return {bytes.fromhex(line.split()[1]) for line in answer["heard"] if line.startswith(mark + " ")}


def examine(shop: Shop, answer: dict[str, Any], lost_before: set[bytes]) -> list[str]:
    """Open what the child left, and say everything that is not as it must be.

    ``lost_before`` is what earlier children acknowledged; this one's is added to it.
    """
    found = [line for line in answer["heard"] if line.startswith("E")]
    acknowledged = pids(answer, "A")
    refused = pids(answer, "N")
    lost_before |= acknowledged
    store = shop.open()
    there, readable = products(store), guards(store)
    if lost_before - there:
        found.append(f"{len(lost_before - there)} acknowledged writes are lost")
    if refused & there:
        found.append(f"{len(refused & there)} refused writes were done")
    found += faults(store)
    pending = {bytes.fromhex(ref) for ref in store.read(lambda c: list(c.execute(_PENDING).scalars()))}
    for pid in there:
        if pid[0] == FIRST and pid not in readable:
            found.append("an effect in D stands without what K should have had before it")
        if pid[0] == LAST and pid not in readable and pid not in pending:
            found.append("K was not completed, and no job will")
    if {pid for pid in acknowledged if pid[0] in (FIRST, LAST)} - readable:
        found.append("an acknowledged write is not in K")
    repair(store)
    there, readable = products(store), guards(store)
    if {pid for pid in there if pid[0] in (FIRST, LAST)} != readable:
        found.append("D and K differ after the repair")
    # Whoever was not told asks again with the same key: it is done once, whatever had become of it.
    for pid in pids(answer, "B") - acknowledged:
        if store.write(writing(pid)) != pid:
            found.append("a repeated key gave another result")
    if pids(answer, "B") - products(store):
        found.append("a repeated write was not done")
    found += faults(store)
    repair(store)
    shop.close()
    return found


_PENDING = select(tables.jobs.c.ref).where(tables.jobs.c.kind == "guard", tables.jobs.c.state == "ready")


def repair(store: Store) -> None:
    """Do K again where a job says so, and sweep from K what D never had."""

    def guard_again(job: jobs.Job) -> None:
        pid = bytes.fromhex(job.ref)

        def step(tx: KeyTx) -> None:
            if tx.execute(select(tables.guards.c.id).where(tables.guards.c.eid == pid)).first() is None:
                row = {"eid": pid, "tenant": "main", "sid": pid, "kind": "test", "at_ms": tx.now}
                tx.execute(insert(tables.guards), row)

        store.write_keys(step)

    registry = jobs.Registry()
    registry.on("guard", guard_again)
    while jobs.run_due(store, registry):
        pass
    orphans = guards(store) - products(store)

    def sweep(tx: KeyTx) -> None:
        for pid in orphans:
            tx.execute(delete(tables.guards).where(tables.guards.c.eid == pid))

    if orphans:
        store.write_keys(sweep)


__all__ = ["FIRST", "LAST", "examine", "pids", "repair"]
