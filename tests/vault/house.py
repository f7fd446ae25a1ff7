"""An installation for tests of the vault: a key file, both databases, and persons who come and go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from troth.config import Config
from troth.policy.model import Terms
from troth.store import tables
from troth.store.ledger import EntryDraft
from troth.store.open import Store
from troth.store.transaction import DataTx, KeyTx, Write
from troth.vault import NewRecord, Staged, Vault, open_vault
from troth.vault.epochs import Epochs, Settle
from troth.vault.provider import FileProvider, RootProvider
from troth.world import SetClock, SystemRandomness

NOON = 1_767_700_800_000
MINUTE = 60_000
TERMS = Terms("Example Backup Ltd", "site:www", "newsletter", "2026-01-15")
ANN = "ann@example.org"


class House:
    """A data folder. ``open`` starts store and vault; ``close`` ends them; both may be repeated."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_url = ""
        self.keys_url = ""
        self.clock = SetClock(NOON)
        self.provider: RootProvider | None = None  # the key file's, unless another is given
        self._opened: tuple[Store, Vault] | None = None

    @property
    def config(self) -> Config:
        return Config(data_folder=str(self.folder), data_url=self.data_url, keys_url=self.keys_url)

    @property
    def key_file(self) -> Path:
        return self.config.path(self.config.root_key)

    def open(self) -> Vault:
        """The vault, opened if it is not open."""
        if self._opened is None:
            if not self.key_file.exists():
                FileProvider.create(self.key_file, SystemRandomness())
            self._opened = open_vault(self.config, self.clock, SystemRandomness(), provider=self.provider)
            self._opened[0].policy_version = TERMS.version
        return self._opened[1]

    def close(self) -> None:
        if self._opened is not None:
            store, self._opened = self._opened[0], None
            store.close()

    @property
    def vault(self) -> Vault:
        return self.open()

    @property
    def store(self) -> Store:
        return self.open().store

    # --- what happens to persons ---

    def stage(self, email: str | None = ANN, **options: Any) -> Staged:
        """Somebody on their way in, with one record of class ``newsletter``."""
        value = {"email": email, "name": "Ann Example"}
        given: dict[str, Any] = {
            "tenant": "main",
            "identifiers": {"email": email} if email else {},
            "records": [NewRecord("newsletter", TERMS, value)],
            "pending": True,
        }
        return self.vault.stage(**(given | options))

    def admit(self, email: str | None = ANN, **options: Any) -> Staged:
        """Somebody who subscribed: keys, tag, rows and entry are durable when this returns."""
        staged = self.stage(email, **options)
        self.store.write(admission(staged))
        return staged

    def prove(self, sid: bytes, tenant: str = "main") -> None:
        """The link in the mail was followed: pending becomes live, in K and then in D."""
        vault = self.vault
        self.store.write(
            Write(lambda tx: vault.go_live(tx, tenant, sid), before=lambda ktx: promote(vault, ktx, tenant, sid))
        )

    def keys(self, step: Any) -> Any:
        """A step in K, in a write of its own."""
        return self.store.write_keys(step)

    def epochs(self, settle: Settle = lambda tx, epoch, how: None) -> Epochs:
        """The roller of this house."""
        return Epochs(self.store, self.vault.keyring, settle, lambda: None)

    def contents(self, sid: bytes, tenant: str = "main") -> list[dict[str, Any]]:
        """What the person's records say, opened."""
        rows = self.store.read(lambda c: self.vault.records(c, tenant, sid))
        return [self.vault.open(tenant, row) for row in rows]

    def mode(self, sid: bytes, tenant: str = "main") -> str | None:
        s = tables.subjects.c
        return self.store.read(
            lambda c: c.execute(select(s.mode).where(s.tenant == tenant, s.sid == sid)).scalar_one_or_none()
        )

    def erase(self, sid: bytes, tenant: str = "main") -> None:
        """An erasure's steps in the vault: unreadable, looked for, scrubbed, rows gone."""
        vault = self.vault
        self.store.write(Write(lambda tx: vault.set_mode(tx, tenant, sid, "erasing")))
        self.store.write(Write(lambda tx: None, before=lambda ktx: destroy(vault, ktx, tenant, sid)))
        assert vault.look(tenant, sid) == (0, 0)
        vault.scrub()
        self.store.write(Write(lambda tx: vault.void(tx, tenant, sid)))

    def count(self, table: Any, *conditions: Any) -> int:
        """Rows of a table of D or K."""
        read = self.store.read_keys if table.metadata is tables.keys else self.store.read

        def ask(connection: Connection) -> int:
            return connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()

        return read(ask)


def admission(staged: Staged) -> Write[bytes]:
    """The write of a staged person."""

    def body(tx: DataTx) -> bytes:
        entry = tx.append(EntryDraft("intake.accepted", "collect.newsletter", "intake.declared"), staged.opening)
        staged.insert(tx, entry.eid)
        return entry.eid

    return Write(body, before=staged.before)


def promote(vault: Vault, ktx: KeyTx, tenant: str, sid: bytes) -> None:
    """The K phase of proving an identifier."""
    vault.promote(ktx, tenant, sid)


def destroy(vault: Vault, ktx: KeyTx, tenant: str, sid: bytes) -> None:
    """The K phase of an erasure."""
    vault.destroy(ktx, tenant, sid)


def bytes_of(rows: Sequence[Any]) -> list[bytes]:
    """All binary cells of some rows."""
    return [bytes(cell) for row in rows for cell in row if isinstance(cell, bytes | memoryview)]
