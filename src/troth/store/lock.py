"""One process per data folder: whoever comes second hands its request to the first, or is refused.

The lock is ``flock`` on a file in the folder: it goes with the process, however that ends. Requests go through a
Unix socket in the folder that only its owner can open: one JSON object each way. What the requests mean is for the
composition root, which injects the handler.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from troth.errors import StartRefused, TrothError, Unavailable

log = logging.getLogger("troth.store")

Request: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Request], Request]

SOCKET = "control.sock"
LOCK = "lock"
RESTORING = "restoring"  # there while a restore is under way; its line is the backup's folder
MAX_REQUEST = 1 << 20


class Locked(StartRefused):
    """Another process holds the data folder; ``forward`` reaches it."""

    code = "locked"


def unwritable(folder: Path, fault: OSError) -> StartRefused:
    """The one clear error for a folder in which nothing can be made."""
    return StartRefused(f"the data folder {folder} cannot be written: {fault.strerror}")


def restore_mark(folder: Path) -> Path:
    """The file that stands in a data folder while a restore is under way."""
    return folder / RESTORING


def require_no_restore(folder: Path) -> None:
    """Raise ``StartRefused`` where a restore was begun and not finished: what lies here is neither old nor new."""
    mark = restore_mark(folder)
    if mark.exists():
        backup = mark.read_text("utf-8", "replace").strip()
        raise StartRefused(f"a restore was begun here and not finished: repeat it with troth restore {backup}")


class FolderLock:
    """The lock on a data folder, held until ``release`` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises ``Locked`` at once if another process has it, ``StartRefused`` if it cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise unwritable(folder, fault) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            who = f" (process {holder})" if holder.isdigit() else ""
            raise Locked(f"another Troth process{who} works on this data folder") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let the next process in."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _Address:
    """The socket's address in a folder, however long the folder's own path is (an address has 107 bytes)."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder.resolve() / SOCKET)
        self._folder = os.open(folder, os.O_RDONLY | os.O_CLOEXEC) if len(os.fsencode(self._path)) > 107 else -1

    def __enter__(self) -> str:
        if self._folder < 0:
            return self._path
        return f"/proc/self/fd/{self._folder}/{SOCKET}"

    def __exit__(self, *_: object) -> None:
        if self._folder >= 0:
            os.close(self._folder)


class Listener:
    """Answers requests of other processes. To be started by whoever holds the folder's lock.

    Each request is one connection and one call of ``handler`` on a thread of its own. A ``TrothError`` becomes
    ``{"error": code, "detail": …}``; any other exception ``{"error": "internal"}`` with nothing of its text.
    """

    def __init__(self, folder: Path, handler: Handler) -> None:
        self._file = folder / SOCKET
        self._handler = handler
        self._closing = False
        self._socket = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            self._file.unlink(missing_ok=True)  # of a process that ended without closing: the lock says it is gone
            with _Address(folder) as address:
                self._socket.bind(address)
        except OSError as fault:
            self._socket.close()
            raise unwritable(folder, fault) from None
        finally:
            os.umask(before)
        self._socket.listen(8)
        self._thread = threading.Thread(target=self._accept, name="troth-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closing = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        finally:
            self._socket.close()
            self._thread.join()
            self._file.unlink(missing_ok=True)

    def _accept(self) -> None:
        while not self._closing:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), name="troth-control-request", daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            try:
                peer.settimeout(600)
                if not _same_user(peer):
                    return
                peer.sendall(json.dumps(self._answer(_receive(peer))).encode())
            except (OSError, ValueError) as problem:
                log.info("a request of another process was dropped: %s", type(problem).__name__)

    def _answer(self, request: Request) -> Request:
        try:
            return self._handler(request)
        except TrothError as refusal:
            return {"error": refusal.code, "detail": refusal.detail, "clause": refusal.clause}
        except Exception as problem:
            log.error("a request of another process failed: %s", type(problem).__name__)
            return {"error": "internal", "detail": "the request failed inside; the server's log names the fault"}


def forward(folder: Path, request: Request) -> Request:
    """Send a request to the process that holds the folder and return its answer.

    Raises ``Unavailable`` if that process cannot be reached: it is starting, stopping, or takes no requests.
    """
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(600)
        try:
            with _Address(folder) as address:
                peer.connect(address)
            peer.sendall(json.dumps(request).encode())
            peer.shutdown(socket.SHUT_WR)
            return _receive(peer)
        except (OSError, ValueError) as fault:
            raise Unavailable(
                "another Troth process holds this data folder but does not answer: stop it, or try again when it runs"
            ) from fault


def _receive(peer: socket.socket) -> Request:
    joined = b""
    while part := peer.recv(65536):
        joined += part
        if len(joined) > MAX_REQUEST:
            raise ValueError("too large")
    request = json.loads(joined)
    if not isinstance(request, dict):
        raise ValueError("not an object")
    return request


def _same_user(peer: socket.socket) -> bool:
    """Whether the other side runs as this user or as root (Linux; elsewhere the socket's mode says it)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in (0, os.getuid())
