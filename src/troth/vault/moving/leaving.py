"""A whole system written into a folder: its tables as lines, its keys under a passphrase, its log, and a manifest.

The rows of persons stay as sealed as they are. What the root key lies over in K (epochs and secrets) is wrapped under
the passphrase's key instead, so that another root key can take its place. Nobody else may write meanwhile: the caller
holds the data folder and runs no worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Table

from troth.config import Config
from troth.errors import Conflict, Invalid, Unavailable
from troth.store.checkpoint import key_id, verifier_key
from troth.store.engine import Database
from troth.store.migrate import HEADS
from troth.store.moving.away import AWAY, BACK, CLAUSE, away, draft, policy_at
from troth.store.moving.checking import Steps, Watching
from troth.store.moving.folder import Outgoing
from troth.store.moving.manifest import FORMAT, Log, Manifest, Passphrase, Settings, encoded, signature
from troth.store.moving.shapes import Shape, snapshot
from troth.store.open import Store
from troth.store.tables import data, tree
from troth.store.tables.moving import LAST, dropped, moving
from troth.store.transaction import DataTx, Write
from troth.vault import Vault
from troth.vault.moving.passphrase import DERIVATION, SALT, PassphraseProvider, provider, require_good
from troth.vault.moving.rewrapping import REWRAP


def leave(
    store: Store,
    vault: Vault,
    config: Config,
    folder: Path,
    passphrase: str,
    *,
    final: bool,
    watching: Watching | None = None,
) -> Manifest:
    """Export the system into ``folder``, which is new or empty; what the manifest says.

    With ``final`` the log's last entry says that the system moved away; from then on it refuses to start
    (``store.moving.away``). It is recorded when all but the log itself is on the disk. ``Conflict``: the folder is not
    empty. ``Invalid``: the passphrase is too short, the folder lies where it must not. ``Unavailable``: the disk does
    not take it; what is there then has no manifest.
    """
    require_good(passphrase)
    if folder.resolve().is_relative_to(config.folder.resolve()):
        raise Invalid("the export cannot lie in the data folder: it holds the keys, and backups would take it along")
    return _Leaving(store, vault, config, Outgoing(folder), passphrase, watching).go(final)


def take_back(store: Store) -> None:
    """Let a system that moved away go on. The operator says that its export was imported nowhere."""
    found = store.read(away)
    if found is None:
        raise Conflict("this system did not move away", clause=CLAUSE)
    store.policy_version = store.read(lambda connection: policy_at(connection, store.now()))
    store.write(Write(lambda tx: tx.append(draft(BACK, found.eid))))
    store.publish()


class _Leaving:
    def __init__(
        self,
        store: Store,
        vault: Vault,
        config: Config,
        out: Outgoing,
        passphrase: str,
        watching: Watching | None,
    ) -> None:
        self._store = store
        self._root = vault.keyring.provider
        self._config = config
        self._out = out
        self._id = store.randomness.bytes(16)
        self._salt = store.randomness.bytes(SALT)
        self._over: PassphraseProvider = provider(passphrase, self._salt, store.randomness)
        self._watching = watching

    def go(self, final: bool) -> Manifest:
        store = self._store
        store.publish()
        before = store.size
        shapes = [(self._database(table), Shape(table)) for table in moving()]
        steps = Steps(self._watching, sum(self._count(*each) for each in shapes))
        for database, shape in shapes:
            if shape.table.name not in LAST:
                self._write(database, shape, steps)
        left = store.read(away) is not None
        if final and not left:
            store.policy_version = store.read(lambda connection: policy_at(connection, store.now()))
            store.write(Write(self._go_away))
            before += 1
        final = final or left  # who moved away before exports the same move again
        if final:
            store.seal()  # the refusals that the gate has counted, for one, must not follow the log's last word
        try:
            return self._end(shapes, steps, before, final)
        except (Unavailable, OSError) as full:
            why = full.detail if isinstance(full, Unavailable) else f"the log cannot be published: {full.strerror}"
            if not final:
                raise Unavailable(why) from None
            raise Unavailable(
                f"{why}. This system is recorded as moved away: export again with --final into another folder, "
                "or take it back (troth export --take-back)"
            ) from None

    def _end(self, shapes: list[tuple[Database, Shape]], steps: Steps, size: int, final: bool) -> Manifest:
        """The log, of ``size`` entries, and the manifest."""
        store = self._store
        store.publish()
        for database, shape in shapes:
            if shape.table.name in LAST:
                self._write(database, shape, steps)
        evidence = store.folder / "evidence"
        for path in sorted(path for path in evidence.rglob("*") if path.is_file()):
            self._out.copy(path, f"evidence/{path.relative_to(evidence)}")
        if store.size != size:
            raise Conflict("something was written while the system was exported: stop what writes, and export again")
        manifest = self._manifest(final)
        content = encoded(manifest)
        self._out.end(content, signature(content, store.signer))
        return manifest

    def _go_away(self, tx: DataTx) -> None:
        tx.append(draft(AWAY, export=self._id.hex()))

    def _database(self, table: Table) -> Database:
        return self._store.data if table.metadata is data else self._store.keys

    def _count(self, database: Database, shape: Shape) -> int:
        with snapshot(database) as connection:
            return shape.count(connection)

    def _write(self, database: Database, shape: Shape, steps: Steps) -> None:
        with snapshot(database) as connection:
            rows = map(shape.line, self._rewrapped(shape, steps.took(shape.rows(connection))))
            self._out.write(shape.file, rows, rows=True)

    def _rewrapped(self, shape: Shape, rows: Iterator[object]) -> Iterator[object]:
        rewrap = REWRAP.get(shape.table.name)
        if rewrap is None:
            return rows
        return (rewrap(shape.row(*row), self._root, self._over) for row in rows)  # type: ignore[misc]  # rows are sequences

    def _manifest(self, final: bool) -> Manifest:
        store, config = self._store, self._config
        with snapshot(store.data) as connection:
            head = connection.execute(tree.select()).one()
        signer = store.signer
        return Manifest(
            format=FORMAT,
            id=self._id.hex(),
            exported_ms=store.now(),
            final=final,
            tables={str(role): version for role, version in HEADS.items()},
            log=Log(
                signer.name,
                verifier_key(signer.name, signer.public),
                key_id(signer.name, signer.public).hex(),
                head.size,
                bytes(head.root).hex(),
            ),
            passphrase=Passphrase(DERIVATION, self._salt.hex()),
            settings=Settings(config.tenant, config.url, config.mail.sender, config.tenants),
            dropped=dropped(),
            files=tuple(self._out.files),
        )
