"""An installation for tests of the store: opened and closed at will, with effects that can be counted.

The effects are rows of ``products`` (an id and a name): each is written with one ledger entry ``product.named``
whose facts name the id, so that effects and entries can be joined.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from troth.config import Config
from troth.store import tables
from troth.store.checkpoint import Ed25519Signer
from troth.store.ledger import EntryDraft
from troth.store.merkle import Frontier, leaf_hash
from troth.store.once import insert_once
from troth.store.open import Store, open_store
from troth.store.writer import DataTx, Idempotency, KeyTx, Lane, Write
from troth.world import Clock, SetClock, SystemRandomness

NOON = 1_767_700_800_000
ORIGIN = "example.org/log"
KEY = bytes(range(32))

_PRODUCT = insert(tables.products)
_GUARD = insert_once(tables.guards)


class Ended(Exception):
    """Stands for the end of the process: what ``abort`` raises in tests."""


class Shop:
    """A data folder and its URLs. ``open`` gives the running store; ``close`` ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_url = ""
        self.keys_url = ""
        self.clock: Clock = SetClock(NOON)
        self.reasons: list[str] = []
        self._store: Store | None = None

    @property
    def config(self) -> Config:
        """The configuration of this installation."""
        return Config(data_folder=str(self.folder), data_url=self.data_url, keys_url=self.keys_url)

    @property
    def dialect(self) -> str:
        """Which store it runs on."""
        return "postgresql" if self.data_url else "sqlite"

    def open(self, **options: Any) -> Store:
        """The store, opened if it is not open."""
        if self._store is None:
            store = open_store(
                self.config,
                self.clock,
                SystemRandomness(),
                lambda keys: Ed25519Signer(ORIGIN, KEY),
                abort=self.abort,
                **options,
            )
            store.policy_version = "2026-01-15"
            self._store = store
        return self._store

    def abort(self, reason: str) -> None:
        """In a test the process does not end; the writer's thread does."""
        self.reasons.append(reason)
        raise Ended(reason)

    def close(self) -> None:
        """Close the store if it is open."""
        if self._store is not None:
            store, self._store = self._store, None
            store.close()


def naming(
    pid: bytes,
    *,
    key: Idempotency | None = None,
    lane: Lane = Lane.WRITE,
    then: Callable[[DataTx], None] | None = None,
    before: Callable[[KeyTx], None] | None = None,
    after: Callable[[KeyTx, bytes], None] | None = None,
) -> Write[bytes]:
    """The write of one product: its row and its entry. ``then`` runs after both, inside the same step."""

    def body(tx: DataTx) -> bytes:
        tx.execute(_PRODUCT, product_row(pid, tx.now))
        tx.append(EntryDraft("product.named", "scope.closed", "product.ask", facts={"product": pid.hex()}))
        if then is not None:
            then(tx)
        return pid

    return Write(body, before=before, after=after, lane=lane, key=key)


def product_row(pid: bytes, now: int) -> dict[str, Any]:
    """A row of ``products``."""
    return {
        "id": pid,
        "tenant": "main",
        "name": pid.hex(),
        "key_hash": pid * 2,
        "scopes": "[]",
        "created_ms": now,
        "ended_ms": None,
    }


def guard(pid: bytes) -> Callable[[KeyTx], None]:
    """A row of K for the same product; done again, it is the same row."""

    def step(tx: KeyTx) -> None:
        tx.execute(_GUARD, {"eid": pid, "tenant": "main", "sid": pid, "kind": "test", "at_ms": tx.now})

    return step


def guards(store: Store) -> set[bytes]:
    """The products K knows of."""
    return store.read_keys(lambda c: {bytes(row) for row in c.execute(select(tables.guards.c.eid)).scalars()})


def products(store: Store) -> set[bytes]:
    """The effects that are in D."""
    return store.read(products_in)


def bodies(store: Store) -> list[bytes]:
    """Every entry's body, in order."""
    return store.read(bodies_in)


def faults(store: Store) -> list[str]:
    """Everything that must hold between effects, entries and the tree, and does not."""
    return store.read(faults_in)


def products_in(connection: Connection) -> set[bytes]:
    """The effects, on a connection of D."""
    return {bytes(row) for row in connection.execute(select(tables.products.c.id)).scalars()}


def bodies_in(connection: Connection) -> list[bytes]:
    """The entries, on a connection of D."""
    ledger = tables.ledger.c
    return [bytes(body) for body in connection.execute(select(ledger.body).order_by(ledger.seq)).scalars()]


def faults_in(connection: Connection) -> list[str]:
    """What ``faults`` says, on a connection of D."""
    found = []
    entries = [json.loads(body) for body in bodies_in(connection)]
    named = [bytes.fromhex(e["facts"]["product"]) for e in entries if e["kind"] == "product.named"]
    effects = products_in(connection)
    if len(named) != len(set(named)):
        found.append("an entry stands twice")
    if effects - set(named):
        found.append(f"{len(effects - set(named))} effects without entry")
    if set(named) - effects:
        found.append(f"{len(set(named) - effects)} entries without effect")
    ledger = tables.ledger.c
    tree = connection.execute(select(tables.tree)).one()
    rows = connection.execute(select(ledger.seq, ledger.at_ms, ledger.body).order_by(ledger.seq)).all()
    if [row.seq for row in rows] != list(range(tree.size)):
        found.append("the entries' numbers do not run from 0 to the tree's size")
    if Frontier().extend(leaf_hash(bytes(row.body)) for row in rows).root() != bytes(tree.root):
        found.append("the entries do not make the tree's root")
    if [row.at_ms for row in rows] != sorted(row.at_ms for row in rows):
        found.append("the ledger's time goes back")
    return found
