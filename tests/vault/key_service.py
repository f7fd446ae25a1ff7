"""A key service: another process, with a folder of its own, whose keys leave it only as work done and are really gone.

It serves one request a connection on a Unix socket: JSON in, JSON out, bytes as hex. Epoch keys lie in its memory and
in its folder, wrapped under a root that it alone has; ``destroy`` drops both. ``KeyService`` starts it and is the
provider that asks it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from troth.errors import Damaged
from troth.vault.provider import Destruction, Surety
from troth.vault.wrapping import KEY, derive, unwrap, wrap
from troth.world import SystemRandomness

ROOT = Path(__file__).parents[2]
CHANCE = SystemRandomness()


class KeyService:
    """A provider of class ``service``: ``create_epoch`` gives back a name, not a key."""

    name = "service"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self.socket = folder / "s"
        command = [sys.executable, "-m", "tests.vault.key_service", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        """End this service."""
        self.process.terminate()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wrap(self, key: bytes, context: bytes) -> bytes:
        return bytes.fromhex(self._ask("wrap", key=key.hex(), context=context.hex())["wrapped"])

    def unwrap(self, wrapped: bytes, context: bytes, what: str) -> bytes:
        answer = self._ask("unwrap", wrapped=wrapped.hex(), context=context.hex())
        if "key" not in answer:
            raise Damaged(f"{what} does not open")
        return bytes.fromhex(answer["key"])

    def create_epoch(self, number: int) -> bytes:
        return bytes.fromhex(self._ask("create")["name"])

    def adopt_epoch(self, number: int, key: bytes) -> bytes:
        return bytes.fromhex(self._ask("create", key=key.hex())["name"])

    def open_epoch(self, number: int, wrapped: bytes) -> bytes:
        answer = self._ask("open", name=wrapped.hex())
        if "key" not in answer:
            raise Damaged(f"the key of epoch {number} is destroyed")
        return bytes.fromhex(answer["key"])

    def surety(self, wrapped: bytes) -> Surety | None:
        return "service"

    def destroy_epoch(self, number: int, wrapped: bytes, now: int) -> Destruction:
        self._ask("destroy", name=wrapped.hex())
        return Destruction("service", now)

    def _ask(self, do: str, **asked: str) -> dict[str, str]:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self.socket))
            peer.sendall(json.dumps({"do": do, **asked}).encode())
            peer.shutdown(socket.SHUT_WR)
            answer = b""
            while part := peer.recv(65536):
                answer += part
        found: dict[str, str] = json.loads(answer)
        return found


def serve(folder: Path) -> None:
    """The other process."""
    root = CHANCE.bytes(KEY)
    wrapping = derive(root, "service.wrap")
    epochs: dict[str, bytes] = {}

    def answer(asked: dict[str, Any]) -> dict[str, str]:
        do, name = asked["do"], asked.get("name", "")
        if do == "wrap":
            wrapped = wrap(wrapping, bytes.fromhex(asked["key"]), CHANCE, bytes.fromhex(asked["context"]))
            return {"wrapped": wrapped.hex()}
        if do == "unwrap":
            try:
                opened = unwrap(wrapping, bytes.fromhex(asked["wrapped"]), "it", bytes.fromhex(asked["context"]))
            except Damaged:
                return {}
            return {"key": opened.hex()}
        if do == "create":
            name = CHANCE.bytes(16).hex()
            epochs[name] = bytes.fromhex(asked.get("key", "")) or CHANCE.bytes(KEY)
            (folder / name).write_bytes(wrap(wrapping, epochs[name], CHANCE, name))
            return {"name": name}
        if do == "open":
            return {"key": epochs[name].hex()} if name in epochs else {}
        epochs.pop(name, None)
        (folder / name).unlink(missing_ok=True)
        return {}

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        os.chmod(folder / "s", 0o600)
        listening.listen(8)
        print("ready", flush=True)
        while True:
            peer, _ = listening.accept()
            with peer:
                joined = b""
                while part := peer.recv(65536):
                    joined += part
                peer.sendall(json.dumps(answer(json.loads(joined))).encode())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
