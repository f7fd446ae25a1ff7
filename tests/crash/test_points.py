"""Death at every single write and sync of an operation, by strace: afterwards it is done, or it never was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.crash.aftermath import examine, pids
from tests.crash.conftest import Order
from tests.store.shop import Shop, naming, products

CALLS = "pwrite64,write,fdatasync,fsync,ftruncate,unlink,rename"


@pytest.fixture(autouse=True)
def _strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace is installed (apt-get install strace)")


@pytest.mark.parametrize("plan", ["first", "last"])
def test_killed_at_each_write_and_sync_an_operation_is_complete_or_absent(
    order: Order, tmp_path: Path, plan: str, request: pytest.FixtureRequest
) -> None:
    calls = CALLS if request.config.getoption("--full") else "pwrite64,fdatasync"
    points = absent = complete = 0
    while True:
        points += 1
        shop = Shop(tmp_path / str(points))
        inject = f"inject={calls}:signal=SIGKILL:when={points}"
        answer = order(shop, plan=plan, stop=True, strace=["-e", inject], acknowledged=1)
        before = set(products(shop.open()))
        assert examine(shop, answer, set()) == [], f"killed at call {points}"
        if pids(answer, "A"):
            break
        absent += not before
        complete += bool(before)
        assert points < 200
    assert absent >= 3  # it was killed before D's commit,
    assert complete >= 1 or plan == "first"  # and after it but before it was acknowledged


@pytest.mark.parametrize(
    ("plan", "files"), [("first", ["keys.db-wal", "data.db-wal"]), ("last", ["data.db-wal", "keys.db-wal"])]
)
def test_a_sync_stands_between_each_write_and_its_acknowledgement(
    order: Order, lite: Shop, tmp_path: Path, plan: str, files: list[str]
) -> None:
    assert synced(traced(order, lite, tmp_path, plan=plan), files)


def test_sabotage_a_child_that_syncs_nothing_is_seen_in_the_trace(order: Order, lite: Shop, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="unsynced writes to"):
        synced(traced(order, lite, tmp_path, plan="first", weaken=True), ["keys.db-wal", "data.db-wal"])


def traced(order: Order, shop: Shop, tmp_path: Path, **wishes: object) -> str:
    """The writes and syncs of one operation, up to its acknowledgement."""
    file = tmp_path / "trace"
    watch = ["-y", "-o", str(file), "-e", "trace=pwrite64,fdatasync,fsync,write"]
    order(shop, stop=True, strace=watch, acknowledged=1, **wishes)
    return file.read_text(errors="replace")


def synced(trace: str, files: list[str]) -> bool:
    """Whether these logs, in this order, were written and synced before the acknowledgement; raises if not."""
    missing = list(files)
    dirty: set[str] = set()
    for line in trace.splitlines():
        name = next((log for log in files if f"/{log}>" in line), "")
        if "write(" in line and '"A ' in line:
            assert not missing, f"acknowledged with unsynced writes to {dirty or missing}"
            return True
        if name and "pwrite64(" in line:
            dirty.add(name)
        if name in dirty and "sync(" in line and "= -1" not in line:
            dirty.remove(name)
            if missing and missing[0] == name:
                missing.pop(0)
    raise AssertionError("there is no acknowledgement in the trace")


@pytest.mark.parametrize("nth", [1, 2])
def test_a_sync_that_fails_ends_the_process_with_nothing_more_acknowledged(order: Order, lite: Shop, nth: int) -> None:
    """The first sync is K's, the second D's."""
    inject = f"inject=fdatasync:error=EIO:when={nth}+"
    answer = order(lite, plan="first", stop=True, strace=["-e", inject], delay_ms=8000)
    assert os.WIFEXITED(answer["status"])
    assert os.WEXITSTATUS(answer["status"]) == 70
    assert pids(answer, "A") == set()
    assert examine(lite, answer, set()) == []


def test_a_disk_that_is_full_for_a_while_refuses_and_then_goes_on(order: Order, lite: Shop) -> None:
    lite.open().write(naming(bytes(16)))
    lite.close()
    inject = "inject=pwrite64:error=ENOSPC:when=30..60"
    answer = order(lite, plan="mixed", stop=True, strace=["-e", inject], acknowledged=30)
    assert os.WIFSIGNALED(answer["status"]), "it went on until it was killed"
    assert pids(answer, "N")
    assert len(pids(answer, "A")) >= 30
    assert [fault for fault in examine(lite, answer, set()) if "without" in fault or "lost" in fault] == []
