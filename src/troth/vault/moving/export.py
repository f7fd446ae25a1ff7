"""An export looked through with its passphrase: what may be used of it, and nothing before that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from troth.errors import Damaged, Invalid
from troth.store.checkpoint import BadCheckpoint, Ed25519Signer, parse_verifier_key
from troth.store.migrate import HEADS
from troth.store.moving import checking
from troth.store.moving.checking import Watching, rows
from troth.store.moving.folder import require_nothing_else
from troth.store.moving.manifest import Manifest, read_manifest, verify
from troth.store.moving.shapes import Shape
from troth.store.tables import policy_versions, secrets
from troth.vault.keys import CHECK
from troth.vault.moving.passphrase import DERIVATION, PassphraseProvider, provider
from troth.vault.moving.rewrapping import open_secret
from troth.world import Randomness

LOG = "signing:log"


class Export:
    """An export that was looked through and holds."""

    def __init__(self, folder: Path, manifest: Manifest, over: PassphraseProvider, signer: Ed25519Signer) -> None:
        self.folder = folder
        self.manifest = manifest
        self.over = over
        self.signer = signer

    def rows(self, shape: Shape) -> Iterator[Any]:
        """A table's rows."""
        return rows(self.folder, self.manifest, shape)

    def require_final(self) -> None:
        """``Invalid`` for the export of a system that goes on where it is: nothing may go on from it as well."""
        if not self.manifest.final:
            raise Invalid(
                "this export is a copy: its system goes on where it is, and two systems must not continue one log. "
                "To move, stop it and export with --final"
            )

    def policy(self) -> tuple[str, str | None]:
        """The newest published text of the policy, and its bindings."""
        newest = max(self.rows(Shape(policy_versions)), key=lambda row: (row.published_ms, row.effective_ms))
        return newest.source, newest.bindings


def check(folder: Path, passphrase: str, randomness: Randomness, watching: Watching | None = None) -> Export:
    """Look an export through: manifest, passphrase, signature, every file, every row, the log recomputed.

    ``Invalid``: it is unfinished, of another Troth, or the passphrase is not its. ``Damaged``: something is not as it
    was exported. Nothing is written.
    """
    manifest, content = read_manifest(folder, {str(role): head for role, head in HEADS.items()})
    if manifest.passphrase.derivation != DERIVATION:
        raise Invalid("the export's passphrase is used in a way that this Troth does not know")
    over = provider(passphrase, bytes.fromhex(manifest.passphrase.salt), randomness)
    kept = {row.name: row for row in rows(folder, manifest, Shape(secrets))}
    if CHECK not in kept or LOG not in kept:
        raise Damaged("the export holds no key of the log: it is not one that an export wrote")
    try:
        open_secret(kept[CHECK], over)
    except Damaged:
        raise Invalid("this is not the passphrase that it was exported under") from None
    signer = Ed25519Signer(manifest.log.origin, open_secret(kept[LOG], over))
    verify(folder, content, signer.public)
    try:
        told = parse_verifier_key(manifest.log.key)
    except BadCheckpoint as fault:
        raise Damaged(f"the manifest's key of the log does not hold: {fault}") from None
    if told != (signer.name, signer.public):
        raise Damaged("the manifest names another key than the log's own")
    require_nothing_else(folder, manifest)
    checking.check(folder, manifest, signer.public, watching)
    return Export(folder, manifest, over, signer)
