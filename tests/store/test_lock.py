"""One process works on a data folder; the second hands its request over, or is told why not."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.store.shop import Shop, naming, products
from troth.errors import NotFound, StartRefused, Unavailable
from troth.store.lock import MAX_REQUEST, FolderLock, Listener, Locked, forward

CHILD = """
import sys
from pathlib import Path
from troth.store.lock import FolderLock
held = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_opening_of_the_folder_is_refused_and_changes_nothing(lite: Shop) -> None:
    store = lite.open()
    second = Shop(lite.folder)
    with pytest.raises(Locked, match="works on this data folder"):
        second.open()
    assert issubclass(Locked, StartRefused)
    store.write(naming(os.urandom(16)))
    lite.close()
    second.open()
    second.close()


@pytest.mark.postgres
@pytest.mark.parametrize("shared", ["data", "keys"])
def test_a_second_folder_on_the_same_postgresql_database_is_refused(pg: Shop, tmp_path: Path, shared: str) -> None:
    store = pg.open()
    second = Shop(tmp_path / "second")
    second.data_url = pg.data_url if shared == "data" else ""
    second.keys_url = pg.keys_url if shared == "keys" else ""
    with pytest.raises(StartRefused, match=f"another Troth process writes this {shared} database"):
        second.open()
    store.write(naming(os.urandom(16)))


def test_the_lock_goes_with_the_process_however_it_ends(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(Locked, match=f"process {child.pid}"):
        FolderLock(tmp_path)
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()
    FolderLock(tmp_path).release()


def test_a_request_reaches_the_process_that_holds_the_folder_and_its_answer_comes_back(lite: Shop) -> None:
    store = lite.open()
    one = os.urandom(16)

    def handler(request: dict[str, Any]) -> dict[str, Any]:
        store.write(naming(bytes.fromhex(request["product"])))
        return {"done": request["command"]}

    store.listen(handler)
    with pytest.raises(Locked):
        Shop(lite.folder).open()
    assert forward(lite.folder, {"command": "name", "product": one.hex()}) == {"done": "name"}
    assert products(store) == {one}
    lite.close()
    with pytest.raises(Unavailable):
        forward(lite.folder, {"command": "name"})


def test_a_refusal_comes_back_as_a_refusal_and_a_fault_without_its_words(tmp_path: Path) -> None:
    def handler(request: dict[str, Any]) -> dict[str, Any]:
        if request["what"] == "refuse":
            raise NotFound("there is no such person", clause="rights.access")
        raise KeyError("alice@example.org")

    listener = Listener(tmp_path, handler)
    try:
        refusal = forward(tmp_path, {"what": "refuse"})
        assert refusal == {"error": "not-found", "detail": "there is no such person", "clause": "rights.access"}
        fault = forward(tmp_path, {"what": "fail"})
        assert fault["error"] == "internal"
        assert "alice" not in json.dumps(fault)
    finally:
        listener.close()


def test_only_the_owner_can_open_the_socket_also_where_the_folders_name_is_long(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    listener = Listener(folder, lambda request: request)
    try:
        mode = (folder / "control.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert mode & 0o077 == 0
        assert forward(folder, {"a": 1}) == {"a": 1}
    finally:
        listener.close()


@pytest.mark.parametrize("sent", [b"", b"no json", b"[1]", b"\xff\xfe", b"{" * 100_000, b" " * (MAX_REQUEST + 1)])
def test_a_malformed_request_is_dropped_and_the_next_is_answered(tmp_path: Path, sent: bytes) -> None:
    listener = Listener(tmp_path, lambda request: request)
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(tmp_path / "control.sock"))
            try:
                peer.sendall(sent)
                peer.shutdown(socket.SHUT_WR)
                assert peer.recv(10) == b""
            except ConnectionError:
                pass  # it hung up before it had read all of it
        assert forward(tmp_path, {"a": 1}) == {"a": 1}
    finally:
        listener.close()


def test_a_slow_request_does_not_hold_up_the_others(tmp_path: Path) -> None:
    go = threading.Event()

    def handler(request: dict[str, Any]) -> dict[str, Any]:
        if request["slow"]:
            go.wait(30)
        return request

    listener = Listener(tmp_path, handler)
    slow: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: slow.append(forward(tmp_path, {"slow": True})))
    waiting.start()
    try:
        assert forward(tmp_path, {"slow": False}) == {"slow": False}
        assert slow == []
    finally:
        go.set()
        waiting.join()
        listener.close()
    assert slow == [{"slow": True}]
