"""A process that lives a person's life in the vault and kills itself on the way.

It reads jobs as lines of JSON and forks a child for each: ``{folder, data_url, keys_url, scenario, at}``. The child
sends itself SIGKILL at the ``at``-th event, where an event is the moment before or after a COMMIT of D or K, or before
or after K's log is overwritten. What was acknowledged to it stands in the file ``acknowledged`` in the folder. The
parent answers with the child's end: ``killed`` or ``survived``.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.engine.default import DefaultDialect

from tests.crash.forked import serve
from tests.vault.house import MINUTE, House, admission, destroy
from troth.policy.model import State, Stop
from troth.store import jobs, tables
from troth.store.engine import Database
from troth.store.jobs import Job, Registry
from troth.store.ledger import EntryDraft
from troth.store.transaction import DataTx, KeyTx, Write

STOP = Stop("newsletter")


class Death:
    """Counts events once armed, and ends the process at the given one."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.armed = False
        self._lock = threading.Lock()

    def event(self) -> None:
        if not self.armed:
            return
        with self._lock:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Count the commits of every connection, and the overwriting of K's log."""
        commit: Callable[..., None] = DefaultDialect.do_commit
        checkpoint = Database.checkpoint

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            self.event()
            commit(dialect, connection)
            self.event()

        def overwrite(database: Database, mode: Literal["PASSIVE", "TRUNCATE"] = "PASSIVE") -> bool:
            if mode == "TRUNCATE":
                self.event()
            done = checkpoint(database, mode)
            if mode == "TRUNCATE":
                self.event()
            return done

        setattr(DefaultDialect, "do_commit", do_commit)  # noqa: B010 - in this process only
        setattr(Database, "checkpoint", overwrite)  # noqa: B010 - in this process only


class Acknowledged:
    """What the person was told, one line each; a line is there once it was said."""

    def __init__(self, folder: Path) -> None:
        self.file = os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, what: str) -> None:
        os.write(self.file, f"{what}\n".encode())


# --- what happens in a life; used by the tests as well, to finish what is owed ---


def object_(house: House, sid: bytes) -> None:
    """D first: the stop, the entry and the job that owes the guard; then K; then the answer."""

    def body(tx: DataTx) -> bytes:
        house.vault.change_state(tx, "main", sid, lambda _: State(stops=frozenset({STOP})))
        entry = tx.append(EntryDraft("objection.made", "rights.object-marketing", "right.object"))
        tx.enqueue("guard", f"{sid.hex()}/{entry.eid.hex()}", dedup=f"guard/{entry.eid.hex()}")
        return entry.eid

    def after(ktx: KeyTx, eid: bytes) -> None:
        guard(house, ktx, sid, eid)

    house.store.write(Write(body, after=after))


def guard(house: House, ktx: KeyTx, sid: bytes, eid: bytes) -> None:
    house.vault.guard(ktx, eid, "main", sid, "objected", ktx.now, stops=[STOP])
    house.vault.suppress(ktx, "main", sid, "newsletter")


def order(house: House, sid: bytes) -> None:
    """The first step of an erasure."""

    def body(tx: DataTx) -> None:
        house.vault.set_mode(tx, "main", sid, "erasing")
        entry = tx.append(EntryDraft("erase.ordered", "rights.erase", "right.erase"), house.vault.opening("main", sid))
        tx.enqueue("erase", f"{sid.hex()}/{entry.eid.hex()}", dedup=f"erase/{entry.eid.hex()}")

    house.store.write(Write(body))


def carry_out(house: House, sid: bytes, ordered: bytes) -> None:
    """The other steps, each of which may be a repetition."""
    vault = house.vault

    def before(ktx: KeyTx) -> None:
        destroy(vault, ktx, "main", sid)
        vault.guard(ktx, ordered, "main", sid, "erased", ktx.now)

    house.store.write(Write(lambda tx: None, before=before))
    assert vault.look("main", sid) == (0, 0)
    vault.scrub()

    def done(tx: DataTx) -> None:
        vault.void(tx, "main", sid)
        tx.append(EntryDraft("erase.done", "rights.erase", "right.erase", refers=ordered))

    house.store.write(Write(done))


def recover(house: House) -> None:
    """What the composition root does before the port opens."""

    def redo_guard(job: Job) -> None:
        sid, eid = (bytes.fromhex(part) for part in job.ref.split("/"))
        house.keys(lambda ktx: guard(house, ktx, sid, eid))

    def redo_erasure(job: Job) -> None:
        sid, eid = (bytes.fromhex(part) for part in job.ref.split("/"))
        if house.mode(sid) is not None:
            carry_out(house, sid, eid)

    registry = Registry()
    registry.on("guard", redo_guard)
    registry.on("erase", redo_erasure)
    house.vault.repair.require_keys()
    house.vault.repair.hasten(["guard", "erase"])
    jobs.run_due(house.store, registry)
    house.vault.repair.run()


# --- scenarios ---


def life(house: House, said: Acknowledged, death: Death) -> None:
    """Ann subscribes, proves, objects and has herself erased."""
    ann = house.stage()
    said.say(f"staged {ann.sid.hex()}")
    death.armed = True
    house.store.write(admission(ann))
    said.say("created")
    house.prove(ann.sid)
    said.say("proven")
    object_(house, ann.sid)
    said.say("objected")
    order(house, ann.sid)
    said.say("ordered")
    j = tables.jobs.c
    ref = house.store.read(lambda c: c.execute(j.ref.table.select().where(j.kind == "erase")).one()).ref
    carry_out(house, ann.sid, bytes.fromhex(ref.partition("/")[2]))
    said.say("erased")
    death.armed = False


def mend(house: House, said: Acknowledged, death: Death) -> None:
    """A repair that dies: there is an orphan, a guard that is owed and an erasure that was only ordered."""
    lost, ann, bob = house.stage("lost@example.org"), house.stage(), house.stage("bob@example.org")
    house.keys(lost.before)
    for one in (ann, bob):
        house.store.write(admission(one))
        house.prove(one.sid)
    said.say(f"staged {ann.sid.hex()} {bob.sid.hex()} {lost.sid.hex()}")

    def owing(tx: DataTx) -> None:
        house.vault.change_state(tx, "main", bob.sid, lambda _: State(stops=frozenset({STOP})))
        entry = tx.append(EntryDraft("objection.made", "rights.object-marketing", "right.object"))
        tx.enqueue("guard", f"{bob.sid.hex()}/{entry.eid.hex()}", dedup=f"guard/{entry.eid.hex()}")

    house.store.write(Write(owing))
    order(house, ann.sid)
    house.clock.advance(11 * MINUTE)
    death.armed = True
    recover(house)
    death.armed = False


def crowd(house: House, said: Acknowledged, death: Death) -> None:
    """Many subscribe at once, some with one proven address between them."""
    death.armed = True

    def subscribe(worker: int) -> None:
        for n in range(12):
            shared = n % 3 == 0
            email = f"shared{n}@example.org" if shared else f"p{worker}.{n}@example.org"
            one = house.stage(email, pending=not shared)
            house.store.write(admission(one))
            said.say(f"created {one.sid.hex()} {one.rids[0].hex()}")

    workers = [threading.Thread(target=subscribe, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    death.armed = False


def roll(house: House, said: Acknowledged, death: Death) -> None:
    """An epoch that is rolled: Ann is erased and two stay, one of whom objected."""
    ann, bob, cay = (house.stage(f"{name}@example.org") for name in ("ann", "bob", "cay"))
    for one in (ann, bob, cay):
        house.store.write(admission(one))
        house.prove(one.sid)
    object_(house, bob.sid)
    house.vault.transit_seal(b"a letter")
    order(house, ann.sid)
    house.erase(ann.sid)
    said.say(f"staged {ann.sid.hex()} {bob.sid.hex()} {cay.sid.hex()}")
    house.clock.advance(MINUTE)
    death.armed = True
    house.epochs().roll()
    said.say("rolled")
    death.armed = False


SCENARIOS = {"roll": roll, "life": life, "mend": mend, "crowd": crowd}


def run(job: dict[str, Any]) -> None:
    """One child: never returns to the loop."""
    folder = Path(job["folder"])
    house = House(folder)
    house.data_url, house.keys_url = job["data_url"], job["keys_url"]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    death = Death(job["at"])
    house.open()
    house.store.publisher.publish()  # what opening left to publish would be counted among the first events, or not
    death.watch()
    SCENARIOS[job["scenario"]](house, Acknowledged(folder), death)
    house.close()


if __name__ == "__main__":
    serve(run)
