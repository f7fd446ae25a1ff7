"""The folder of an export on the disk: written once, privately, synced; read back against its manifest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from troth.errors import Conflict, Damaged, Unavailable
from troth.store.moving.manifest import NAME, SIGNATURE, File, Manifest

CHUNK = 1 << 16


class Outgoing:
    """A new folder that is being filled. ``Unavailable`` from any method where the disk does not take it."""

    def __init__(self, folder: Path) -> None:
        """``Conflict`` where the folder holds anything."""
        self.folder = folder
        self.files: list[File] = []
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise Conflict(f"{folder} is not empty: name a new folder")
            folder.chmod(0o700)
        except OSError as fault:
            raise self._fault(fault) from None

    def write(self, name: str, parts: Iterable[bytes], *, rows: bool = False) -> File:
        """One file: made anew, 0600, synced. With ``rows`` each part is one row of a table."""
        path, digest, size, count = self.folder / name, hashlib.sha256(), 0, 0
        try:
            for missing in reversed([each for each in path.parents if not each.exists()]):
                missing.mkdir(mode=0o700)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as stream:
                for part in parts:
                    stream.write(part)
                    digest.update(part)
                    size += len(part)
                    count += 1
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as fault:
            raise self._fault(fault) from None
        self.files.append(File(name, size, digest.hexdigest(), count if rows else None))
        return self.files[-1]

    def copy(self, source: Path, name: str) -> None:
        """A file as it is."""
        with source.open("rb") as stream:
            self.write(name, iter(lambda: stream.read(CHUNK), b""))

    def end(self, content: bytes, signed: bytes) -> None:
        """The manifest and, when all names are on the disk, its signature: from then on the export is whole."""
        self.write(NAME, [content])
        self.sync()
        self.write(SIGNATURE, [signed])
        self.sync()

    def sync(self) -> None:
        """Every name is on the disk when it returns."""
        try:
            for folder in (self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())):
                number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(number)
                finally:
                    os.close(number)
        except OSError as fault:
            raise self._fault(fault) from None

    def _fault(self, fault: OSError) -> Unavailable:
        return Unavailable(f"{self.folder} cannot be written: {fault.strerror}. What is there is no export: delete it")


def lines(folder: Path, file: File) -> Iterator[bytes]:
    """A file's lines; ``Damaged`` at its end, or before, if it is not the file that the manifest speaks of."""
    digest, size = hashlib.sha256(), 0
    with _opened(folder, file.name) as stream:
        for line in stream:
            digest.update(line)
            size += len(line)
            if size > file.bytes:
                break
            yield line
    if (size, digest.hexdigest()) != (file.bytes, file.sha256):
        raise Damaged(f"{file.name} is not as it was exported: it was altered, cut off or damaged")


def compare(folder: Path, file: File) -> None:
    """``Damaged`` if the file is not the one that the manifest speaks of."""
    with _opened(folder, file.name) as stream:
        digest = hashlib.sha256()
        while part := stream.read(CHUNK):
            digest.update(part)
    if digest.hexdigest() != file.sha256:
        raise Damaged(f"{file.name} is not as it was exported: it was altered, cut off or damaged")


def require_nothing_else(folder: Path, manifest: Manifest) -> None:
    """``Damaged`` if a file is missing, or there is one that the manifest does not speak of."""
    told = [file.name for file in manifest.files]
    named = {*told, NAME, SIGNATURE}
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not stat.S_ISDIR(path.lstat().st_mode)}
    if missing := sorted(named - found):
        raise Damaged(f"{missing[0]} is missing: the export is not whole")
    if found - named or len(told) != len(set(told)):
        raise Damaged(f"{min(found - named, default='a file')} does not belong to the export")


def _opened(folder: Path, name: str) -> BinaryIO:
    try:
        number = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as fault:
        raise Damaged(f"{name} cannot be read: {fault.strerror}") from None
    return open(number, "rb")
