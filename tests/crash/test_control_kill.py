"""Killed at every commit of a change of address or of data: afterwards it is absent or complete, and D and K agree."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.clauses.vendor import BEGIN, TENANT, Person, vendor_at
from tests.crash.control_worker import NOWHERE
from troth.cli.setting import demonstration_config
from troth.cli.walk import link_in
from troth.rights.address import ADDRESS_JOB, PROOF_PATH
from troth.rights.rectification import RECTIFIED_JOB
from troth.store import tables
from troth.store.jobs import Job
from troth.web.running import Running, start
from troth.world import SetClock

ROOT = Path(__file__).parents[2]
PHONE = "+353 1 444 0199"


@dataclass
class Life:
    """A folder in which Ann has asked for a change that waits, and the process that dies over copies of it."""

    folder: Path
    asked: Path
    registered: Path
    ann: Person
    new: str
    told: dict[str, str]
    process: subprocess.Popen[str]
    rounds: int = 0

    def run(self, do: str, at: int) -> tuple[str, bool, Running]:
        """(how it ended, whether it was acknowledged, the system opened again)."""
        self.rounds += 1
        folder = self.folder / f"{do}-{self.rounds}"
        shutil.copytree(self.asked if do == "prove" else self.registered, folder)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"folder": str(folder), "do": do, "at": at, "told": self.told}) + "\n")
        self.process.stdin.flush()
        ended = self.process.stdout.readline().strip()
        said = (folder / "acknowledged").exists() and (folder / "acknowledged").read_text() != ""
        return ended, said, start(demonstration_config(folder, 0, NOWHERE), clock=SetClock(BEGIN))


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Ann, registered; and the same with a new address that waits."""
    folder = tmp_path_factory.mktemp("control")
    ann, new = Person(), Person().email
    with vendor_at(folder / "made") as vendor:
        sid = vendor.join("registration", ann)
        vendor.again()
        vendor.close()
        shutil.copytree(vendor.folder, folder / "registered")
        vendor.system = vendor._start()
        vendor.system.addresses.ask(TENANT, sid, new)
        token = link_in(vendor.letters(new, PROOF_PATH)[-1], PROOF_PATH).removeprefix(PROOF_PATH)
        vendor.close()
        shutil.copytree(vendor.folder, folder / "asked")
        vendor.system = vendor._start()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.control_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    told = {"token": token, "sid": sid.hex(), "new": new, "phone": PHONE}
    yield Life(folder, folder / "asked", folder / "registered", ann, new, told, process)
    process.communicate(timeout=60)


def finish(system: Running) -> None:
    """What is owed and not mail: the jobs behind a change."""
    jobs = tables.jobs.c
    owed = system.store.read(lambda c: c.execute(select(tables.jobs).where(jobs.state != "done")).mappings().all())
    for row in owed:
        if row["kind"] in (ADDRESS_JOB, RECTIFIED_JOB):
            done = system.addresses.redo if row["kind"] == ADDRESS_JOB else system.rectification.redo
            done(Job(row["id"], row["kind"], row["ref"], row["payload"], 1, row["run_ms"], row["dedup"]))


def held(system: Running, sid: bytes, field: str) -> str:
    ((content,),) = ([one.content] for one in system.rectification.opened(TENANT, sid))
    return str(content[field])


def guards(system: Running) -> int:
    count = select(func.count()).select_from(tables.guards).where(tables.guards.c.kind == "rectified")
    return int(system.store.read_keys(lambda c: c.execute(count).scalar()) or 0)


def kinds(system: Running) -> list[str]:
    return list(system.store.read(lambda c: c.execute(select(tables.ledger.c.kind)).scalars()))


def test_a_change_of_address_that_dies_at_any_commit_is_absent_or_complete(life: Life) -> None:
    sid, at, ended, seen = bytes.fromhex(life.told["sid"]), 0, "killed", set()
    while ended == "killed":
        at += 1
        ended, said, system = life.run("prove", at)
        address, find = held(system, sid, "email"), system.vault.find
        # before any job has run: what the data says is found, and what it does not say any more was never promised
        if said:
            assert (address, find(TENANT, "email", life.ann.email)) == (life.new, None)
        finish(system)
        moved = address == life.new
        assert moved or not said, "acknowledged and lost"
        assert find(TENANT, "email", life.new) == (sid if moved else None)
        assert find(TENANT, "email", life.ann.email) == (None if moved else sid)
        assert kinds(system).count("address.changed") == guards(system) == moved
        if not moved:
            system.addresses.prove(life.told["token"])  # and the link still does it
            assert find(TENANT, "email", life.new) == sid
        seen.add((moved, said))
        system.close()
    assert ended == "survived"
    assert at > 6
    assert {(False, False), (True, False), (True, True)} <= seen


def test_a_wish_that_dies_at_any_commit_authenticates_nobody_and_can_be_made_again(life: Life) -> None:
    sid, at, ended = bytes.fromhex(life.told["sid"]), 0, "killed"
    while ended == "killed":
        at += 1
        ended, said, system = life.run("ask", at)
        waits = system.addresses.waiting(TENANT, sid)
        assert waits or not said
        assert system.vault.find(TENANT, "email", life.new) is None
        assert system.vault.find(TENANT, "email", life.ann.email) == sid
        assert kinds(system).count("address.asked") == (waits is not None)
        system.addresses.ask(TENANT, sid, life.new)
        assert system.addresses.waiting(TENANT, sid)
        system.close()
    assert ended == "survived"


def test_a_correction_that_dies_at_any_commit_is_absent_or_complete(life: Life) -> None:
    sid, at, ended = bytes.fromhex(life.told["sid"]), 0, "killed"
    while ended == "killed":
        at += 1
        ended, said, system = life.run("correct", at)
        finish(system)
        corrected = held(system, sid, "phone") == PHONE
        assert corrected or not said, "acknowledged and lost"
        assert kinds(system).count("data.rectified") == guards(system) == corrected
        system.close()
    assert ended == "survived"
