"""What an export says of itself, signed with the log's own key: written last, so that without it nothing is complete.

Two files: ``manifest.json`` and ``manifest.sig``, the base64 of an Ed25519 signature over ``CONTEXT`` and the bytes of
the first. The key that signs is among the keys that the passphrase opens: whoever does not know it signs nothing.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from typing import Annotated

import msgspec

from troth.errors import Damaged, Invalid
from troth.store.checkpoint import Signer

FORMAT = 1
CONTEXT = b"troth-export\n"
NAME, SIGNATURE = "manifest.json", "manifest.sig"

Hex = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]+$")]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: its name below the folder, size, SHA-256, and how many rows it holds (null: it is no table)."""

    name: str
    bytes: int
    sha256: Hex
    rows: int | None = None


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log's name and key (as verifiers take it), its size and root."""

    origin: str
    key: str
    key_id: Hex
    size: int
    root: Hex


class Passphrase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the key over ``epochs`` and ``secrets`` comes from the passphrase."""

    derivation: str
    salt: Hex


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that the new place needs to be the same system. No address of a database, no password."""

    tenant: str
    base_url: str
    sender: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of it. ``final``: the system that made it moved away with it, and does not go on by itself."""

    format: int
    id: Hex
    exported_ms: int
    final: bool
    tables: dict[str, str]
    log: Log
    passphrase: Passphrase
    settings: Settings
    dropped: dict[str, str]
    files: tuple[File, ...]

    def file(self, name: str) -> File:
        """One file's line; ``Damaged`` if there is none."""
        for file in self.files:
            if file.name == name:
                return file
        raise Damaged(f"the manifest does not speak of {name}: it is not one that an export wrote")

    @property
    def rows(self) -> int:
        """All rows of all tables."""
        return sum(file.rows or 0 for file in self.files)


class _Form(msgspec.Struct):
    format: int


def encoded(manifest: Manifest) -> bytes:
    """The bytes that are signed."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def signature(content: bytes, signer: Signer) -> bytes:
    """The content of ``manifest.sig``."""
    return b64encode(signer.sign(CONTEXT + content)) + b"\n"


def read_manifest(folder: Path, tables: dict[str, str]) -> tuple[Manifest, bytes]:
    """The manifest in a folder, and its bytes; nobody has compared its signature yet (``verify``).

    ``Invalid`` where it is of another Troth or unfinished, ``Damaged`` where it is no manifest.
    """
    try:
        content = (folder / NAME).read_bytes()
        if not (folder / SIGNATURE).exists():
            raise FileNotFoundError
    except FileNotFoundError:
        raise Invalid(f"{folder} holds no whole export: it was broken off, or it is another folder") from None
    except OSError as fault:
        raise Invalid(f"the manifest in {folder} cannot be read: {fault.strerror}") from None
    try:
        form = msgspec.json.decode(content, type=_Form).format
        if form > FORMAT:
            raise Invalid(f"the export has format {form}, this Troth reads {FORMAT}: import it with a newer one")
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Damaged("manifest.json is not one that an export wrote") from None
    if manifest.tables != tables:
        told = ", ".join(f"{name} {version}" for name, version in sorted(manifest.tables.items()))
        ours = ", ".join(f"{name} {version}" for name, version in sorted(tables.items()))
        raise Invalid(
            f"the export has tables {told}, this Troth has {ours}: start the old system with this Troth, which brings "
            "it up to date, and export again; or import with the Troth that exported"
        )
    return manifest, content


def verify(folder: Path, content: bytes, public: bytes) -> None:
    """``Damaged`` unless ``content`` was signed with this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        signed = (folder / SIGNATURE).read_bytes()
        made = b64decode(signed.rstrip(b"\n"), validate=True)
        if b64encode(made) + b"\n" != signed:
            raise ValueError
        Ed25519PublicKey.from_public_bytes(public).verify(made, CONTEXT + content)
    except (InvalidSignature, ValueError, OSError):
        raise Damaged("the manifest's signature does not hold: it is not as it was exported") from None
