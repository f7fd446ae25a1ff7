"""The vault: where personal data lives, sealed under each person's own keys, and found by keyed hashes only.

The layers above use ``Vault`` and never a key. Order of everything that concerns both stores: STORAGE, B(a).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection

from troth.config import Config
from troth.errors import Unavailable
from troth.policy.model import UNKNOWN, CompiledPolicy, State, Stop, Terms
from troth.store.engine import Database
from troth.store.open import Store, open_store
from troth.store.transaction import DataTx, KeyTx
from troth.vault import guards, records, retention, states, subjects
from troth.vault.copies import KeyCopy, require_newest
from troth.vault.keys import Keyring
from troth.vault.provider import FileProvider, RootProvider
from troth.vault.repair import Repair, Repaired
from troth.vault.subjects import NewRecord, Staged, StoredRecord
from troth.vault.tags import Tags
from troth.world import Clock, Randomness

__all__ = ["Cover", "Look", "NewRecord", "Repair", "Repaired", "Staged", "StoredRecord", "Vault", "open_vault"]


class Look(NamedTuple):
    """What a search for a subject found in K: counts of rows."""

    keys: int
    tags: int


class Cover(NamedTuple):
    """What ends old copies of destroyed keys: the end of ``epoch``, unless some lie under one that stays ``open``."""

    epoch: int
    open: bool


class Vault:
    """Everything the layers above may do with personal data and keys. Safe to use from any thread."""

    def __init__(self, ring: Keyring, store: Store, copy: Path | None = None) -> None:
        self.store = store
        self.copy = KeyCopy(ring, copy)
        self.keyring = ring
        self.tags = Tags(ring)
        self.transit = records.TransitSeals(ring, store.clock, store.randomness)
        self.repair = Repair(store, ring)
        self._randomness = store.randomness
        ring.provision = lambda make: store.write_keys(lambda ktx: make(ktx.connection))

    # --- bringing in ---

    def stage(
        self,
        tenant: str,
        *,
        sid: bytes | None = None,
        new_sid: bytes | None = None,
        identifiers: Mapping[str, str],
        records: Sequence[NewRecord],
        pending: bool,
        classes: Sequence[str] = (),
        expires_days: int | None = None,
        state: State = UNKNOWN,
    ) -> Staged:
        """Prepare a new person (or, with ``sid``, more of an existing one): ids, keys and payloads, no row yet.

        ``identifiers`` maps kind to value as typed; pending ones exclude nobody and expire after ``expires_days``.
        ``new_sid`` (16 bytes, never used before) is the id of a new person who is found by something only they have.
        ``classes`` are further keys to make. ``Invalid`` where a value does not fit, never with the value.
        """
        return Staged(
            self.keyring,
            self.tags,
            self._randomness,
            tenant,
            sid,
            [self.tags.identifier(tenant, kind, value) for kind, value in identifiers.items()],
            records,
            pending=pending,
            classes=classes,
            expires_days=expires_days,
            state=state,
            new_sid=new_sid,
        )

    def promote(self, ktx: KeyTx, tenant: str, sid: bytes) -> int:
        """Make this person's pending identifiers live; how many. ``IntegrityError`` if another person's is."""
        return self.tags.promote(ktx.connection, tenant, sid)

    def go_live(self, tx: DataTx, tenant: str, sid: bytes) -> bool:
        """Turn a pending person into a live one; False if it was none."""
        return subjects.go_live(tx, tenant, sid)

    # --- finding ---

    def find(self, tenant: str, kind: str, value: str) -> bytes | None:
        """Whose identifier this is, or None. Confirm a hit by opening the record and comparing."""
        return self.tags.find(tenant, kind, value)

    def found_by(self, tenant: str, sid: bytes) -> frozenset[str]:
        """The kinds of identifiers that a person is found by: ``email``, ``reference``."""
        return self.tags.kinds(tenant, sid)

    def hashed(self, tenant: str, kind: str, value: str) -> tuple[bytes, bytes]:
        """The keyed hashes by which a value is found and spared: for telling rows apart without keeping values."""
        found = self.tags.identifier(tenant, kind, value)
        return found.inner, found.suppression

    def owner(self, tenant: str, sid: bytes) -> bytes | None:
        """The other person who holds live what this one has pending, or None."""
        return self.tags.owner(tenant, sid)

    def settle(
        self,
        ktx: KeyTx,
        tenant: str,
        sid: bytes,
        kind: str,
        *,
        live: Collection[str],
        pending: Collection[str] = (),
        expires_ms: int | None = None,
    ) -> None:
        """Let this person have exactly these identifiers of this kind: proven ones, and some that wait for proof.

        ``Conflict`` (or ``IntegrityError``, where another process was faster) if somebody else has proven one.
        """
        self.tags.settle(
            ktx.connection,
            tenant,
            sid,
            kind,
            ktx.now,
            live=[self.tags.identifier(tenant, kind, value) for value in live],
            pending=[self.tags.identifier(tenant, kind, value) for value in pending],
            expires=expires_ms,
        )

    def lose(self, ktx: KeyTx, tenant: str, sid: bytes) -> None:
        """Nobody finds this person any more: a restore lost their data. Their keys stay."""
        self.tags.lose(ktx.connection, tenant, sid)

    def regain(self, ktx: KeyTx, tenant: str, sid: bytes) -> None:
        """Undo ``lose``, where a newer backup has the person again."""
        self.tags.regain(ktx.connection, tenant, sid)

    def exists(self, connection: Connection, tenant: str, sid: bytes) -> bool:
        """Whether the person is here: neither unknown nor void nor being erased."""
        return subjects.exists(connection, tenant, sid)

    def mode_of(self, connection: Connection, tenant: str, sid: bytes) -> str | None:
        """Pending | live | restricted | erasing | void; None if there is no such person."""
        return subjects.mode_of(connection, tenant, sid)

    def records(self, connection: Connection, tenant: str, sid: bytes) -> list[StoredRecord]:
        """A person's records in the caller's snapshot, sealed."""
        return subjects.records_of(connection, tenant, sid)

    def newest(
        self, connection: Connection, tenant: str, sid: bytes, terms: Collection[int], at_most: int
    ) -> list[StoredRecord]:
        """A person's newest records that were collected under one of these terms (their numbers), sealed."""
        return subjects.newest_of(connection, tenant, sid, terms, at_most)

    # --- sealing and opening ---

    def open(self, tenant: str, record: StoredRecord) -> dict[str, Any]:
        """The content of a stored record. ``NotFound`` if its key is destroyed, ``Damaged`` if it was altered."""
        cipher = self.keyring.cipher(tenant, record.sid, record.class_, record.generation)
        return records.unseal(
            cipher, record.ct, tenant, record.sid, record.class_, record.rid, subjects.TABLE, record.schema
        )

    def open_row(
        self, tenant: str, sid: bytes, class_: str, rid: bytes, schema: int, ct: bytes, generation: int
    ) -> dict[str, Any]:
        """As ``open``, for the gate, which reads rows and makes no objects of them."""
        cipher = self.keyring.cipher(tenant, sid, class_, generation)
        return records.unseal(cipher, ct, tenant, sid, class_, rid, subjects.TABLE, schema)

    def seal(
        self, tenant: str, sid: bytes, class_: str, rid: bytes, table: str, schema: int, value: dict[str, Any]
    ) -> bytes:
        """A value sealed under a key the person has; ``NotFound`` if they have none of this class."""
        cipher = self.keyring.cipher(tenant, sid, class_)
        return records.seal(cipher, self._randomness, records.pack(value), tenant, sid, class_, rid, table, schema)

    def unseal(
        self, tenant: str, sid: bytes, class_: str, rid: bytes, table: str, schema: int, ct: bytes
    ) -> dict[str, Any]:
        """What ``seal`` sealed; ``NotFound`` if the key is destroyed, ``Damaged`` if it was altered or moved."""
        cipher = self.keyring.cipher(tenant, sid, class_)
        return records.unseal(cipher, ct, tenant, sid, class_, rid, table, schema)

    def reseal(self, record: StoredRecord, value: dict[str, Any]) -> bytes:
        """Another content for a stored record, sealed for its place; ``NotFound`` if its key is destroyed."""
        place = (record.tenant, record.sid, record.class_, record.rid, subjects.TABLE, record.schema)
        return self.seal(*place, value)

    def replace(self, tx: DataTx, record: StoredRecord, ct: bytes) -> bool:
        """Put ``ct`` (from ``reseal``) in the record's place; False if the record is not as it was read any more."""
        return subjects.replace(tx, record, ct)

    def transit_seal(self, content: bytes) -> bytes:
        """Content under today's transit key; the first 4 bytes are the day (since 1970, big-endian)."""
        return self.transit.seal(content)

    def transit_open(self, sealed: bytes) -> bytes:
        """What ``transit_seal`` sealed; ``NotFound`` once its day's key is destroyed."""
        return self.transit.open(sealed)

    def seal_block(self, eid: bytes, day: int, content: bytes) -> bytes:
        """Who was in a block of reads, sealed under the read log's key of ``day`` and bound to the block's entry.

        Callable from the writer's thread too: a missing key is made in a K transaction of its own.
        """
        return self.transit.seal_under(self.keyring.day_key("reads", day), content, "reads", day, eid)

    def open_block(self, eid: bytes, day: int, sealed: bytes) -> bytes:
        """What ``seal_block`` sealed; ``NotFound`` once the day's key is destroyed."""
        return self.transit.open_under(day, sealed, "reads", eid)

    def drop_days(self, ktx: KeyTx, kind: str, before_day: int) -> int:
        """Destroy the day keys (``reads``, ``transit`` or ``visits``) before a day; how many."""
        return self.keyring.drop_days(ktx.connection, kind, before_day)

    def opening(self, tenant: str, sid: bytes) -> bytes:
        """The person's secret for ledger openings, 32 bytes; ``NotFound`` once it is destroyed."""
        return self.keyring.opening(tenant, sid)

    def secret(self, name: str) -> bytes:
        """32 bytes that belong to this system under ``name`` (answer tokens, operators' second factors …)."""
        return self.keyring.secret(name)

    def salt(self, day: int) -> bytes:
        """The key under which visitors of today (days since 1970) are told apart, made when first asked for.

        It lies in K alone, and goes by ``drop_days`` once its day is over.
        """
        return self.keyring.day_key("visits", day)

    # --- states ---

    def state_from(self, canonical: str) -> State:
        """The state that is spelled so in D."""
        return states.state_from(canonical)

    def terms_id(self, tx: DataTx, of: Terms) -> int:
        """The number of these terms. Do not remember it beyond the transaction."""
        return states.terms_id(tx, of)

    def state_id(self, tx: DataTx, state: State) -> int:
        """The number of a state. Do not remember it beyond the transaction."""
        return states.state_id(tx, state)

    def state_of(self, connection: Connection, tenant: str, sid: bytes) -> tuple[State, str, int]:
        """(state, mode, generation) in the caller's snapshot; ``NotFound`` if there is no such person."""
        return states.state_of(connection, tenant, sid)

    def change_state(self, tx: DataTx, tenant: str, sid: bytes, change: Callable[[State], State]) -> State:
        """Replace the person's state by ``change(state)``; the generation grows."""
        return states.change_state(tx, tenant, sid, change)

    def happen(self, tx: DataTx, tenant: str, sid: bytes, event: str, policy: CompiledPolicy) -> None:
        """Let an event begin and end the states that the policy's keeping refers to."""
        states.happen(tx, tenant, sid, event, policy)

    def begin(self, tx: DataTx, tenant: str, sids: Sequence[bytes], event: str, policy: CompiledPolicy) -> None:
        """As ``happen``, for many who came in in this very transaction."""
        states.begin(tx, tenant, sids, event, policy)

    def used(
        self,
        tx: DataTx,
        tenant: str,
        sid: bytes,
        event: str,
        policy: CompiledPolicy,
        *,
        at_ms: int,
        runs_until_ms: int = 0,
    ) -> bool:
        """Let a use count that somebody tells of; False where the account is closed, or ended after that use."""
        return states.used(tx, tenant, sid, event, policy, at_ms=at_ms, runs_until_ms=runs_until_ms)

    def close(self, tx: DataTx, tenant: str, sid: bytes, policy: CompiledPolicy) -> None:
        """The person closes their account; only they open it again (``account.returned``, or a new registration)."""
        states.close(tx, tenant, sid, policy)

    def closed_since(self, connection: Connection, tenant: str, sid: bytes) -> int | None:
        """Since when a person's account is closed by themselves (milliseconds UTC); None if it is not."""
        return states.closed_since(connection, tenant, sid)

    def set_mode(self, tx: DataTx, tenant: str, sid: bytes, mode: str) -> None:
        """Pending | live | restricted | erasing | void; the generation grows."""
        subjects.set_mode(tx, tenant, sid, mode)

    def void(self, tx: DataTx, tenant: str, sid: bytes) -> None:
        """Delete every row of a person in D, the subject last."""
        subjects.void(tx, tenant, sid)

    # --- objecting ---

    def suppress(self, ktx: KeyTx, tenant: str, sid: bytes, scope: str) -> int:
        """Suppress this person's identifiers for ``scope``, for good; how many were not yet."""
        return self.tags.suppress(ktx.connection, tenant, sid, scope, ktx.now)

    def suppress_value(self, ktx: KeyTx, tenant: str, kind: str, value: str, scope: str) -> int:
        """Suppress a value that may belong to nobody here; 1, or 0 if it was."""
        return self.tags.suppress_value(ktx.connection, tenant, kind, value, scope, ktx.now)

    def suppressed(self, tenant: str, kind: str, value: str, scope: str) -> bool:
        """Whether this value is suppressed for exactly this scope (a purpose)."""
        return self.tags.suppressed(tenant, kind, value, scope)

    def spared(self, tenant: str, kind: str, hashed: bytes) -> frozenset[str]:
        """Every scope (a purpose) for which a value is suppressed; ``hashed`` is the second of ``hashed``'s two."""
        return self.tags.scopes(tenant, kind, hashed)

    def lift(self, ktx: KeyTx, tenant: str, sid: bytes, scope: str) -> bool:
        """Undo a suppression for this person's identifiers, because they ask for it; whether there was one."""
        return self.tags.lift(ktx.connection, tenant, sid, scope, ktx.now)

    def guard(
        self,
        ktx: KeyTx,
        eid: bytes,
        tenant: str,
        sid: bytes,
        kind: str,
        at_ms: int,
        *,
        rid: bytes | None = None,
        stops: Collection[Stop] = (),
    ) -> bool:
        """Remember for a restore what entry ``eid`` took away; False if it was remembered already."""
        return guards.guard(ktx.connection, eid, tenant, sid, kind, at_ms, rid=rid, stops=stops)

    # --- erasing ---

    def destroy(self, ktx: KeyTx, tenant: str, sid: bytes) -> Look:
        """Delete a person's keys and tags; how many there were. To be repeated until ``look`` finds none."""
        return Look(*self.keyring.destroy(ktx.connection, tenant, sid))

    def end_classes(self, ktx: KeyTx, tenant: str, sid: bytes, classes: Collection[str]) -> list[str]:
        """Delete the keys of those retention classes that have no record in D any more; which ones.

        To be called in a write's ``after``, when every record that the batch brought is in D. A record whose own K
        phase is over and whose D phase is not finds its key gone and is refused (``Staged.insert``).
        """
        held = self.store.read(lambda connection: retention.left(connection, tenant, sid))
        gone = [class_ for class_ in classes if class_ not in held]
        for class_ in gone:
            self.keyring.destroy_class(ktx.connection, tenant, sid, class_)
        return gone

    def cover(self, ktx: KeyTx, tenant: str, sid: bytes) -> Cover:
        """With which epoch's end old copies of this person's keys end; to be asked before they are destroyed."""
        return Cover(*self.keyring.cover(ktx.connection, tenant, sid))

    def look(self, tenant: str, sid: bytes) -> Look:
        """Look for a person's keys and tags on a connection opened for that."""
        return Look(*self.keyring.look(tenant, sid))

    def scrub(self) -> None:
        """Overwrite K's write-ahead log, so that no deleted key is left in K's files; the second copy follows.

        Raises ``Unavailable`` if a reader kept it from being complete: it is not done then, and must be repeated.
        """
        if not self.store.truncate_keys():
            raise Unavailable("deleted keys are still in the key store's log: a reader holds it; it will be repeated")
        self.copy.refresh()

    def expired(self, now: int, limit: int = 500) -> list[tuple[str, bytes]]:
        """(tenant, sid) of those who never proved their identifier in time."""
        return self.tags.expired(now, limit)


def provider_of(config: Config, randomness: Randomness) -> RootProvider:
    """The configured root: a key file. ``StartRefused`` if it is not as it must be."""
    return FileProvider.open(config.path(config.root_key), randomness, copy_of(config))


def copy_of(config: Config) -> Path | None:
    """The folder of the key store's second copy, if there is one."""
    return config.path(config.keys_copy) if config.keys_copy else None


def open_vault(
    config: Config,
    clock: Clock,
    randomness: Randomness,
    *,
    log_name: str = "troth",
    provider: RootProvider | None = None,
    **options: Any,
) -> tuple[Store, Vault]:
    """Open store and vault. Raises ``StartRefused`` with one clear reason.

    The root is the configured key file, unless another ``provider`` is given; ``log_name`` is the ledger's name in its
    checkpoints; ``options`` go to ``open_store``.
    """
    provider = provider or provider_of(config, randomness)
    rings: list[Keyring] = []

    def signer(keys: Database) -> Any:
        require_newest(keys, copy_of(config))
        rings.append(Keyring.open(keys, provider, clock, randomness))
        return rings[0].signing_key("log", log_name)

    store = open_store(config, clock, randomness, signer, **options)
    return store, Vault(rings[0], store, copy_of(config))
