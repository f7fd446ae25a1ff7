"""The root of all keys, behind a small interface: a key file now, key services and hardware as extras later.

Python cannot zero memory: keys lie in RAM (and in its swap and core dumps) until the interpreter re-uses the place.
What can be done is done elsewhere: few copies, short caches. ``docs/explanation/limits.md`` repeats it.

A provider will also destroy an epoch and say how surely (``hardware``, ``service``, ``scheduled``,
``file_best_effort``). That comes with the rolling of epochs; until then nothing here claims it.
"""

from __future__ import annotations

import hmac
import os
import stat
from pathlib import Path
from typing import Protocol

from troth.errors import StartRefused
from troth.vault.wrapping import KEY, derive, unwrap, wrap
from troth.world import Randomness

FORM = "troth-root-1"
ABOUT = (
    "# Troth's root key. With it and the key store, everything can be read; without it, nothing can, ever again.\n"
    "# Keep a copy apart from the data and from its backups, where only its keeper can read it.\n"
)
MAX_BYTES = 4096


class RootProvider(Protocol):
    """Keeps the root key and works with it. ``name`` says which kind (``file`` …) and is stored beside each epoch."""

    @property
    def name(self) -> str:
        """The kind of provider."""
        ...

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """``key`` sealed under the root; ``context`` must be given again to open it."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes, what: str) -> bytes:
        """The key again; ``Damaged`` naming ``what`` if it does not open."""
        ...

    def create_epoch(self, number: int) -> bytes:
        """A fresh epoch key, wrapped: as it is to be stored in ``epochs``."""
        ...

    def open_epoch(self, number: int, wrapped: bytes) -> bytes:
        """The epoch key (32 bytes) from what ``create_epoch`` or ``adopt_epoch`` gave."""
        ...

    def adopt_epoch(self, number: int, key: bytes) -> bytes:
        """An epoch key that was made under another root (a system that moved in), wrapped as a fresh one is."""
        ...


class FileProvider:
    """The root key in a file that only this system's user can read (0600 in a folder of 0700)."""

    name = "file"

    def __init__(self, root: bytes, randomness: Randomness) -> None:
        self._wrapping = derive(root, "troth.root.wrap")
        self._randomness = randomness

    @classmethod
    def create(cls, path: Path, randomness: Randomness) -> FileProvider:
        """Make a new key file (and its folder). ``StartRefused`` if there is one already or it cannot be written."""
        root = randomness.bytes(KEY)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.chmod(0o700)
        except OSError as fault:
            raise StartRefused(f"the folder of the key file {path} cannot be made: {fault.strerror}") from None
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w", encoding="ascii") as out:
                out.write(f"{ABOUT}{FORM} {root.hex()} {_check(root).hex()}\n")
                out.flush()
                os.fsync(out.fileno())
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except FileExistsError:
            raise StartRefused(
                f"the key file {path} exists and is never overwritten: to start anew, choose another data folder"
            ) from None
        except OSError as fault:
            raise StartRefused(f"the key file {path} cannot be written: {fault.strerror}") from None
        return cls(root, randomness)

    @classmethod
    def open(cls, path: Path, randomness: Randomness) -> FileProvider:
        """Read the key file. ``StartRefused`` saying what to do if it is missing, not a key file, or not private."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise StartRefused(
                f"the key file {path} is missing: put its copy back, or run `troth init` for a new system"
            ) from None
        except OSError as fault:
            raise StartRefused(f"the key file {path} cannot be opened: {fault.strerror}") from None
        try:
            _require_private(path, os.fstat(file), os.stat(path.parent))
            content = os.read(file, MAX_BYTES + 1)
        finally:
            os.close(file)
        return cls(_parse(path, content), randomness)

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """See ``RootProvider``."""
        return wrap(self._wrapping, key, self._randomness, context)

    def unwrap(self, wrapped: bytes, context: bytes, what: str) -> bytes:
        """See ``RootProvider``."""
        return unwrap(self._wrapping, wrapped, what, context)

    def create_epoch(self, number: int) -> bytes:
        """See ``RootProvider``."""
        return self.adopt_epoch(number, self._randomness.bytes(KEY))

    def adopt_epoch(self, number: int, key: bytes) -> bytes:
        """See ``RootProvider``."""
        return wrap(self._wrapping, key, self._randomness, "epoch", number)

    def open_epoch(self, number: int, wrapped: bytes) -> bytes:
        """See ``RootProvider``."""
        return unwrap(self._wrapping, wrapped, f"the key of epoch {number}", "epoch", number)


def _check(root: bytes) -> bytes:
    """Eight bytes that tell a mistyped or damaged key from a whole one, and nothing about the key."""
    return hmac.digest(root, b"troth.root.check", "sha256")[:8]


def _require_private(path: Path, file: os.stat_result, folder: os.stat_result) -> None:
    if not stat.S_ISREG(file.st_mode):
        raise StartRefused(f"the key file {path} is not a plain file")
    if file.st_uid not in (os.geteuid(), 0):
        raise StartRefused(f"the key file {path} belongs to another user: make it this system's own (chown)")
    if stat.S_IMODE(file.st_mode) & 0o077:
        raise StartRefused(f"others can reach the key file {path}: run `chmod 600 {path}`, and consider it known")
    if stat.S_IMODE(folder.st_mode) & 0o077:
        raise StartRefused(f"others can reach the folder of the key file: run `chmod 700 {path.parent}`")


def _parse(path: Path, content: bytes) -> bytes:
    lines = [line for line in content.decode("ascii", "replace").splitlines() if line and not line.startswith("#")]
    parts = lines[0].split() if len(lines) == 1 and len(content) <= MAX_BYTES else []
    if len(parts) != 3 or parts[0] != FORM:
        raise StartRefused(f"{path} is not a key file of Troth: put the copy of the right file back")
    try:
        root, check = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
    except ValueError:
        root, check = b"", b""
    if len(root) != KEY or not hmac.compare_digest(_check(root), check):
        raise StartRefused(f"the key in {path} is damaged (its check value does not fit): put its copy back")
    return root
