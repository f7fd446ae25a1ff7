"""Backups of the data, bound to this installation by a secret of its key store, and remembered in the ledger.

Clause: ``protect.storage``. Mechanism: ``vault.sealed``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from sqlalchemy import func, select

from troth.store.backup import Manifest, take
from troth.store.ledger import EntryDraft
from troth.store.once import insert_once
from troth.store.open import Store
from troth.store.tables import runs
from troth.store.transaction import DataTx, Lane, Write
from troth.vault import Vault

KIND = "backup"
SECRET = "backup"  # noqa: S105 - the name of the secret of K that manifests are bound with
DRILL_DAYS = 90
"""How old the newest restore may be (L21): a backup that was never restored is a hope."""

LAST = select(func.max(runs.c.at_ms)).where(runs.c.kind == KIND)
LAST_DRILL = select(func.max(runs.c.at_ms)).where(runs.c.kind == "restore")
ADD_RUN = insert_once(runs)


class Backups:
    """Makes backups, and knows how old the newest is."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self.store = store
        self.vault = vault

    def take(self, folder: Path) -> Manifest:
        """A backup into a new or empty folder. Raises as ``store.backup.take``."""
        manifest = take(self.store, folder, self.vault.secret(SECRET))
        facts = {"size": manifest.size, "bytes": sum(file.size for file in manifest.files)}

        def body(tx: DataTx) -> None:
            tx.append(EntryDraft("backup.made", "protect.storage", "vault.sealed", facts=facts))
            told = msgspec.json.encode(facts, order="sorted").decode()
            tx.execute(ADD_RUN, {"kind": KIND, "at_ms": tx.now, "ok": True, "facts": told})

        self.store.write(Write(body, lane=Lane.JOB))
        return manifest

    def last(self) -> tuple[int | None, int | None]:
        """When the newest backup was made, and when one was restored last (UTC milliseconds; None: never)."""
        return self.store.read(lambda c: (c.execute(LAST).scalar(), c.execute(LAST_DRILL).scalar()))
