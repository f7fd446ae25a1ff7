"""Restoring: a backup verified, put in place, brought up to date, and started once with nobody let in.

STORAGE, B(h). Nothing is changed before everything was verified. From the first change to the last a file in the data
folder keeps others from starting; a restore that was broken off is simply repeated.
"""

from __future__ import annotations

from pathlib import Path

from troth.config import Config
from troth.rights.restoration import Restored
from troth.store import restoring
from troth.store.backup import Manifest, place, read
from troth.store.checkpoint import Named
from troth.store.engine import Database, Dialect, open_database
from troth.store.lock import FolderLock
from troth.store.migrate import migrate
from troth.store.tiles import Tiles
from troth.vault import copy_of, provider_of
from troth.vault.backups import SECRET
from troth.vault.copies import require_newest
from troth.vault.keys import Keyring
from troth.web.running import log_name, start
from troth.world import Clock, Randomness, SystemClock, SystemRandomness


def restore(
    config: Config, backup: Path, *, clock: Clock | None = None, randomness: Randomness | None = None
) -> Restored:
    """Restore a backup of D of any age; the key store and the evidence stay as they are.

    Raises ``Locked`` while a server works on the folder, ``StartRefused`` where something does not hold: until the
    data is put in place, nothing was changed then; after that, the same command is to be repeated.
    """
    clock, chance = clock or SystemClock(), randomness or SystemRandomness()
    lock = FolderLock(config.folder)
    opened: list[Database] = []
    try:
        keys = open_database(config.keys_database, "keys")
        opened.append(keys)
        keys.claim()
        migrate(keys, "keys")
        require_newest(keys, copy_of(config))
        ring = Keyring.open(keys, provider_of(config, chance), clock, chance)
        manifest = read(backup, ring.secret(SECRET), dialect_of(config))
        signer = Named(ring.signing_key("log", log_name(config)), origin(manifest))
        tiles = Tiles(config.folder / "evidence", signer)
        gap = restoring.verify(manifest, keys, tiles)
        restoring.require_not_away(config.data_database, gap, tiles)
        restoring.mark(config.folder, backup)
        data = place(backup, manifest, config.data_database)
        opened.append(data)
        migrate(data, "data")
        data.analyse()
        restoring.carry_on(data, manifest, gap, tiles, signer, chance.bytes(16))
    finally:
        for database in opened:
            database.close()
        lock.release()
    system = start(config, clock=clock, randomness=chance, gap=gap)
    try:
        assert system.restored is not None
        system.store.publish()
        restoring.unmark(config.folder)
        return system.restored
    finally:
        system.close()


def dialect_of(config: Config) -> Dialect:
    """Where D lies."""
    return "sqlite" if config.data_database.startswith("sqlite") else "postgresql"


def origin(manifest: Manifest) -> str:
    """The name under which the log signs: it keeps the one it began with."""
    return manifest.checkpoint.partition("\n")[0]
