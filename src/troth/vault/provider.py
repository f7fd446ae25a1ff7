"""The root of all keys, behind a small interface: a key file now, key services and hardware as extras later.

Python cannot zero memory: keys lie in RAM (and in its swap and core dumps) until the interpreter re-uses the place.
What can be done is done elsewhere: few copies, short caches. ``docs/explanation/limits.md`` repeats it.

A provider also destroys an epoch's key and says how surely (``hardware``, ``service``, ``scheduled``,
``file_best_effort``); a certificate of erasure prints that class and never a better one. The local provider keeps a
secret per epoch in a file beside the root's, overwrites and removes it, and can promise no more than that it is gone
from the file system.
"""

from __future__ import annotations

import hmac
import os
import stat
from io import FileIO
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from troth.errors import Damaged, StartRefused, Unavailable
from troth.vault.wrapping import KEY, WRAPPED, derive, unwrap, wrap
from troth.world import Randomness

PIECE = 1 << 20  # bytes written at once
FORM = "troth-root-1"
ABOUT = (
    "# Troth's root key. With it and the key store, everything can be read; without it, nothing can, ever again.\n"
    "# Keep a copy apart from the data and from its backups, where only its keeper can read it.\n"
)
MAX_BYTES = 4096
EPOCHS = "epochs"  # the folder of the epochs' secrets, beside the root key
MARK = 8  # random bytes that name an epoch's file: no epoch ever overwrites another's

Surety = Literal["hardware", "service", "scheduled", "file_best_effort"]


class Destruction(NamedTuple):
    """What a provider answered: how surely an epoch's key is gone, and since (or from) when, UTC milliseconds."""

    surety: Surety
    at_ms: int


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
        """The epoch key (32 bytes) from what ``create_epoch`` or ``adopt_epoch`` gave.

        ``Damaged`` if it does not open or is destroyed.
        """
        ...

    def adopt_epoch(self, number: int, key: bytes) -> bytes:
        """An epoch key that was made under another root (a system that moved in), wrapped as a fresh one is."""
        ...

    def surety(self, wrapped: bytes) -> Surety | None:
        """How surely this epoch's key could be destroyed; None where it cannot be at all."""
        ...

    def destroy_epoch(self, number: int, wrapped: bytes, now: int) -> Destruction:
        """Destroy the epoch's key, for good; to be repeated freely. ``Unavailable`` where it could not be done now."""
        ...


class FileProvider:
    """The root key in a file that only this system's user can read (0600 in a folder of 0700).

    An epoch's key opens with the root *and* with the secret in the epoch's own file; ``copy`` is a folder on another
    disk that holds these files a second time, for as long as they are to live.
    """

    name = "file"

    def __init__(self, root: bytes, randomness: Randomness, folder: Path, copy: Path | None = None) -> None:
        self._wrapping = derive(root, "troth.root.wrap")
        self._randomness = randomness
        self._folders = [folder / EPOCHS] + ([copy / EPOCHS] if copy else [])

    @classmethod
    def create(cls, path: Path, randomness: Randomness, copy: Path | None = None) -> FileProvider:
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
            _sync(path.parent)
        except FileExistsError:
            raise StartRefused(
                f"the key file {path} exists and is never overwritten: to start anew, choose another data folder"
            ) from None
        except OSError as fault:
            raise StartRefused(f"the key file {path} cannot be written: {fault.strerror}") from None
        return cls(root, randomness, path.parent, copy)

    @classmethod
    def open(cls, path: Path, randomness: Randomness, copy: Path | None = None) -> FileProvider:
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
        return cls(_parse(path, content), randomness, path.parent, copy)

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
        """See ``RootProvider``. ``Unavailable`` if a folder cannot be written: nothing refers to the file then."""
        mark, secret = self._randomness.bytes(MARK), self._randomness.bytes(KEY)
        try:
            for folder in self._folders:
                _write_secret(folder / _file(number, mark), secret)
        except OSError as fault:
            raise Unavailable(f"the key of a new epoch cannot be written: {fault.strerror}") from None
        inner = wrap(secret, key, self._randomness, "epoch", number)
        return mark + wrap(self._wrapping, inner, self._randomness, "epoch", number, mark)

    def open_epoch(self, number: int, wrapped: bytes) -> bytes:
        """See ``RootProvider``."""
        what = f"the key of epoch {number}"
        if len(wrapped) == WRAPPED:
            return unwrap(self._wrapping, wrapped, what, "epoch", number)
        mark = wrapped[:MARK]
        inner = unwrap(self._wrapping, wrapped[MARK:], what, "epoch", number, mark)
        for folder in self._folders:
            secret = _read_secret(folder / _file(number, mark))
            if secret is not None:
                return unwrap(secret, inner, what, "epoch", number)
        raise Damaged(f"{what} does not open: its file {EPOCHS}/{_file(number, mark)} is not there (any more)")

    def mirror(self, number: int, wrapped: bytes) -> None:
        """Write an epoch's file wherever it is missing: into a second copy that came later, or back out of it.

        Only for an epoch under which something lies: of one that is being destroyed nothing may come back.
        """
        if self.surety(wrapped) is None:
            return
        files = [folder / _file(number, wrapped[:MARK]) for folder in self._folders]
        held = {file: _read_secret(file) for file in files}
        secret = next((each for each in held.values() if each is not None), None)
        for file, own in held.items():
            if secret is not None and own is None:
                _write_secret(file, secret)

    def surety(self, wrapped: bytes) -> Surety | None:
        """See ``RootProvider``: an epoch of before they had files lies under the root alone, which has to stay."""
        return None if len(wrapped) == WRAPPED else "file_best_effort"

    def destroy_epoch(self, number: int, wrapped: bytes, now: int) -> Destruction:
        """See ``RootProvider``: overwritten, synced, removed, the folder synced; in the second copy too."""
        if self.surety(wrapped) is None:
            raise ValueError("an epoch under the root alone cannot be destroyed")
        for folder in self._folders:
            try:
                _destroy(folder / _file(number, wrapped[:MARK]))
            except OSError as fault:
                raise Unavailable(f"the key of epoch {number} cannot be destroyed yet: {fault.strerror}") from None
        return Destruction("file_best_effort", now)


def _file(number: int, mark: bytes) -> str:
    return f"{number}-{mark.hex()}.key"


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _beside(path: Path) -> Path:
    """Where a secret is written before it has its name: whoever removes the one removes the other."""
    return path.with_name(path.name + ".new")


def _read_secret(path: Path) -> bytes | None:
    """The secret in a file; None where the file is not there, or is being destroyed (cut short, or all zeros)."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return content if len(content) == KEY and any(content) else None


def _write_secret(path: Path, secret: bytes) -> None:
    """A file with a secret, whole or not there under its name, and durable when this returns. Its parent's own parent
    must exist: a disk that is away is not taken for an empty one.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    beside = _beside(path)
    overwrite(beside)
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(secret)
        out.flush()
        os.fsync(out.fileno())
    os.replace(beside, path)
    _sync(path.parent)
    _sync(path.parent.parent)


def _destroy(path: Path) -> None:
    """Overwrite and remove a file; one that is gone already is destroyed, a folder that is away is an error."""
    _sync(path.parent)
    for each in (path, _beside(path)):
        overwrite(each)
    _sync(path.parent)


def overwrite(path: Path) -> None:
    """Make a file all zeros, and remove it, if it is there."""
    try:
        with open(path, "r+b", buffering=0) as content:
            zeros(content)
    except FileNotFoundError:
        return
    path.unlink()


def zeros(file: FileIO) -> None:
    """Write zeros over the whole of an open file, durably."""
    left = os.fstat(file.fileno()).st_size
    while left > 0:
        left -= file.write(b"\0" * min(PIECE, left)) or 0
    os.fsync(file.fileno())


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
