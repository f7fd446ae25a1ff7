"""The keys of the persons: one random key per subject and retention class, and the secret of their ledger openings.

All keys hang from the root through the current epoch and a bucket (``buckets``); secrets of the system itself (the
blind index's key, the log's signing key) hang from the root. Python cannot zero memory: see ``provider``.

K is read through autocommit point reads only: an open reader would keep dead wrapped keys in its write-ahead log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, bindparam, delete, func, select

from troth.errors import Conflict, Damaged, NotFound, StartRefused
from troth.store.checkpoint import Ed25519Signer, Signer
from troth.store.engine import Database
from troth.store.once import insert_once
from troth.store.tables import buckets, data_keys, day_keys, epochs, secrets, tags
from troth.store.text import Text
from troth.vault.buckets import NORMAL, Buckets
from troth.vault.cache import TTL_MS, KeyCache
from troth.vault.provider import RootProvider
from troth.vault.wrapping import KEY, framed, unwrap, wrap
from troth.world import Clock, Randomness

OPENING = ""  # the class of the subject's own secret
CHECK = "check"  # opens under no other root: how a wrong key file is told
INDEX = "index"  # the blind index's key
MAX_DAYS = 64  # day keys kept in memory, each as long as a person's key
DAY = 0  # day keys hang from one bucket: they are few

ADD_KEYS = Text(
    "INSERT INTO data_keys (tenant, sid, class, bucket, compartment, generation, wrapped, created_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
ADD_KEY = insert_once(data_keys)
ADD_DAY = insert_once(day_keys)
ADD_SECRET = insert_once(secrets)
SECRET = select(secrets.c.wrapped).where(secrets.c.name == bindparam("of_name"))
DAY_KEY = (  # with its bucket in one statement: a roll may be changing both
    select(day_keys.c.wrapped, buckets.c.epoch, buckets.c.generation, buckets.c.wrapped.label("above"))
    .join(buckets, (buckets.c.kind == "day") & (buckets.c.compartment == NORMAL))
    .where(day_keys.c.kind == bindparam("of_kind"), day_keys.c.day == bindparam("of_day"))
)
DROP_DAYS = delete(day_keys).where(day_keys.c.kind == bindparam("of_kind"), day_keys.c.day < bindparam("before_day"))
OF_SUBJECT = (data_keys.c.tenant == bindparam("of_tenant"), data_keys.c.sid == bindparam("of_sid"))
HOME = (  # FOR SHARE (PostgreSQL): an erasure waits for this transaction, or this one finds no row
    select(data_keys.c.bucket, data_keys.c.compartment)
    .where(*OF_SUBJECT, data_keys.c.class_ == OPENING)
    .with_for_update(read=True)
)
DROP_KEYS = delete(data_keys).where(*OF_SUBJECT).returning(data_keys.c.bucket, data_keys.c.compartment)
DROP_CLASS = DROP_KEYS.where(data_keys.c.class_ == bindparam("of_class"))
DROP_TAGS = (
    delete(tags)
    .where(tags.c.tenant == bindparam("of_tenant"), tags.c.sid == bindparam("of_sid"))
    .returning(tags.c.bucket)
)
BORN = select(func.min(data_keys.c.created_ms)).where(*OF_SUBJECT)
NEXT_EPOCH = epochs.alias("next_epoch")
LAST_LEFT = (  # when the last epoch that could not be destroyed gave way to the one after it
    select(func.max(NEXT_EPOCH.c.opened_ms))
    .select_from(epochs.join(NEXT_EPOCH, NEXT_EPOCH.c.epoch == epochs.c.epoch + 1))
    .where(epochs.c.state == "left")
)
COUNT_KEYS = "SELECT count(*) FROM data_keys WHERE tenant = ? AND sid = ?"
COUNT_TAGS = "SELECT count(*) FROM tags WHERE tenant = ? AND sid = ?"
# The gate's path to a key: prebuilt text on the thread's own driver connection (SQLAlchemy costs 3.7 times as much).
ONE_KEY = (
    "SELECT d.wrapped, d.bucket, d.compartment, d.generation, b.epoch, b.wrapped"
    " FROM data_keys d JOIN buckets b"
    " ON b.kind = 'data' AND b.number = d.bucket AND b.compartment = d.compartment AND b.generation = d.generation"
    " WHERE d.tenant = ? AND d.sid = ? AND d.class = ?"
)

Provision = Callable[[Callable[[Connection], None]], None]


class Keyring:
    """Every key of one key store. Made by ``Keyring.open``; safe to use from any thread."""

    def __init__(self, database: Database, provider: RootProvider, clock: Clock, randomness: Randomness) -> None:
        self.database = database
        self.buckets = Buckets(provider, randomness)
        self.provider = provider
        self._clock = clock
        self._randomness = randomness
        self._cache = KeyCache()
        self._days: dict[tuple[str, int], tuple[bytes, int]] = {}
        self._secrets: dict[str, bytes] = {}
        self._one_key = database.sql(ONE_KEY)
        self.provision: Provision = self._provision_alone

    @classmethod
    def open(cls, database: Database, provider: RootProvider, clock: Clock, randomness: Randomness) -> Keyring:
        """The keyring of K, made ready on first use. ``StartRefused`` if the root key is not this key store's."""
        ring = cls(database, provider, clock, randomness)
        with database.transaction() as connection:
            ring._prove_root(connection)
            ring.buckets.prepare(connection, clock.now())
            try:
                if ring.buckets.peek(connection, "day", DAY) is None:  # not held: a roll may have been broken off
                    ring.buckets.hold(connection, "day", DAY)
            except Damaged as fault:
                raise StartRefused(f"{fault.detail}; put the newest copy of the key store back") from None
        return ring

    # --- the system's own secrets ---

    def secret(self, name: str) -> bytes:
        """32 random bytes that belong to this system under ``name``, made when first asked for."""
        key = self._secrets.get(name)
        if key is None:
            with self.database.connect() as connection:
                wrapped = connection.execute(SECRET, {"of_name": name}).scalar_one_or_none()
            if wrapped is None:
                self.provision(lambda connection: self._add_secret(connection, name))
                with self.database.connect() as connection:
                    wrapped = connection.execute(SECRET, {"of_name": name}).scalar_one()
            key = self._secrets[name] = self.provider.unwrap(wrapped, framed("secret", name), f"the secret {name!r}")
        return key

    def signing_key(self, name: str, origin: str | None = None) -> Signer:
        """The Ed25519 key kept under ``signing:<name>``; ``origin`` is the name it signs under (``name`` if None)."""
        return Ed25519Signer(origin or name, self.secret(f"signing:{name}"))

    def day_key(self, kind: str, day: int, connection: Connection | None = None) -> bytes:
        """The key of this kind and day (days since 1970), made when first asked for.

        Inside a K phase, give its connection. A day whose key was destroyed would get a new one: ask only for today,
        and use ``old_day_key`` to open.
        """
        key = self.old_day_key(kind, day) if connection is None else self._read_day(connection, kind, day)
        if key is None and connection is not None:
            self._add_day(connection, kind, day)
            key = self._read_day(connection, kind, day)
        elif key is None:
            self.provision(lambda connection: self._add_day(connection, kind, day))
            key = self.old_day_key(kind, day)
        if key is None:
            raise NotFound("the day's key was destroyed just now")
        return key

    def old_day_key(self, kind: str, day: int) -> bytes | None:
        """The key of that day, or None if there is none (any more)."""
        now = self._clock.now()
        held = self._days.get((kind, day))
        if held is not None and held[1] - TTL_MS <= now < held[1]:
            return held[0]
        with self.database.connect() as connection:
            key = self._read_day(connection, kind, day)
        if key is not None:
            if len(self._days) >= MAX_DAYS:
                self._days.clear()
            self._days[kind, day] = (key, now + TTL_MS)
        return key

    def drop_days(self, connection: Connection, kind: str, before_day: int) -> int:
        """Destroy the day keys of this kind before ``before_day``; how many there were."""
        dropped = connection.execute(DROP_DAYS, {"of_kind": kind, "before_day": before_day}).rowcount
        if dropped:
            self.buckets.shed(connection, "day", DAY, NORMAL, self._clock.now())
        self._days.clear()
        return dropped

    # --- the persons' keys ---

    def new_key(self) -> bytes:
        """32 random bytes."""
        return self._randomness.bytes(KEY)

    def data_key(self, tenant: str, sid: bytes, class_: str, generation: int | None = None) -> bytes:
        """The key of this class. ``generation`` is the subject's, as read in the caller's snapshot of D.

        Raises ``NotFound`` where there is none: never made, or destroyed.
        """
        at = (tenant, sid, class_)
        now = self._clock.now()
        key = self._cache.get(at, generation, now)
        if key is None:
            mark = self._cache.mark()
            row = self.database.raw_reader().execute(self._one_key, at).fetchone()
            if row is None:
                raise NotFound("there is no key for this: it was never made, or it was destroyed")
            key = self._open_key(tenant, sid, class_, row)
            self._cache.put(at, generation, key, now, mark)
        return key

    def cipher(self, tenant: str, sid: bytes, class_: str, generation: int | None = None) -> AESGCM:
        """As ``data_key``, ready to open what is sealed: for whoever opens many."""
        return self._cache.cipher((tenant, sid, class_), generation, self._clock.now()) or AESGCM(
            self.data_key(tenant, sid, class_, generation)
        )

    def stored_key(self, tenant: str, sid: bytes, class_: str) -> bytes | None:
        """The key as it is committed in K now, past what is remembered; None if there is none."""
        row = self.database.raw_reader().execute(self._one_key, (tenant, sid, class_)).fetchone()
        return None if row is None else self._open_key(tenant, sid, class_, row)

    def opening(self, tenant: str, sid: bytes) -> bytes:
        """The subject's secret, 32 bytes: commitments in the ledger open with it (contract: ``r_s``)."""
        return self.data_key(tenant, sid, OPENING)

    def key_in(self, connection: Connection, tenant: str, sid: bytes, class_: str) -> bytes | None:
        """The key as this K transaction sees it, past the cache; None if there is none."""
        row = connection.exec_driver_sql(self._one_key, (tenant, sid, class_)).one_or_none()
        return None if row is None else self._open_key(tenant, sid, class_, row, connection)

    def add_subject(
        self, connection: Connection, tenant: str, sid: bytes, opening: bytes, keys: Mapping[str, bytes], now: int
    ) -> None:
        """Insert a new subject's secret and keys, in the caller's K transaction. ``Busy`` while an epoch is rolled."""
        bucket = self.buckets.place(connection)
        ADD_KEYS.run_many(
            connection,
            [
                (
                    tenant,
                    sid,
                    class_,
                    bucket.number,
                    NORMAL,
                    bucket.generation,
                    wrap(
                        bucket.key,
                        key,
                        self._randomness,
                        *context_of(tenant, sid, class_, bucket.number, NORMAL, bucket.generation),
                    ),
                    now,
                )
                for class_, key in {OPENING: opening, **keys}.items()
            ],
        )

    def add_class(self, connection: Connection, tenant: str, sid: bytes, class_: str, key: bytes, now: int) -> bytes:
        """Give an existing subject a key for one more class; returns the key that counts (an earlier one stays).

        Raises ``NotFound`` if the subject has no keys any more: an erased person gets no new ones.
        """
        home = self.require(connection, tenant, sid)
        bucket = self.buckets.hold(connection, "data", home[0], home[1])
        context = context_of(tenant, sid, class_, bucket.number, home[1], bucket.generation)
        connection.execute(
            ADD_KEY,
            {
                "tenant": tenant,
                "sid": sid,
                "class_": class_,
                "bucket": bucket.number,
                "compartment": home[1],
                "generation": bucket.generation,
                "wrapped": wrap(bucket.key, key, self._randomness, *context),
                "created_ms": now,
            },
        )
        kept = self.key_in(connection, tenant, sid, class_)
        if kept is None:
            raise Conflict("the key was destroyed while it was being made")
        return kept

    def require(self, connection: Connection, tenant: str, sid: bytes) -> tuple[int, str]:
        """Bucket and compartment of a subject who has keys, held until the transaction ends; else ``NotFound``."""
        home = connection.execute(HOME, {"of_tenant": tenant, "of_sid": sid}).one_or_none()
        if home is None:
            raise NotFound("this person has no keys (any more)")
        return home.bucket, home.compartment

    def cover(self, connection: Connection, tenant: str, sid: bytes) -> tuple[int, bool]:
        """(current epoch, whether this person's keys are older than the end of an epoch that could not be destroyed).

        Somebody who has no keys (any more) counts as old: nothing says that they were not.
        """
        epoch = self.buckets.current(connection)
        if (end := connection.execute(LAST_LEFT).scalar()) is None:
            return epoch, False
        born = connection.execute(BORN, {"of_tenant": tenant, "of_sid": sid}).scalar()
        return epoch, born is None or born <= end

    def destroy(self, connection: Connection, tenant: str, sid: bytes) -> tuple[int, int]:
        """Delete the subject's keys and index tags; how many there were of each. 0 and 0 is a success too."""
        of = {"of_tenant": tenant, "of_sid": sid}
        keys_gone = self._shed(connection, "data", connection.execute(DROP_KEYS, of).all())
        tags_gone = self._shed(connection, "tag", [(row.bucket, NORMAL) for row in connection.execute(DROP_TAGS, of)])
        self._cache.forget(tenant, sid)
        return keys_gone, tags_gone

    def destroy_class(self, connection: Connection, tenant: str, sid: bytes, class_: str) -> int:
        """Delete the key of one class (a retention class whose last record is gone); 1 or 0."""
        of = {"of_tenant": tenant, "of_sid": sid, "of_class": class_}
        gone = self._shed(connection, "data", connection.execute(DROP_CLASS, of).all())
        self._cache.forget(tenant, sid)
        return gone

    def _shed(self, connection: Connection, kind: str, gone: Sequence[Any]) -> int:
        """Mark the buckets of deleted rows for the next roll; how many rows there were."""
        for number, compartment in {(row[0], row[1]) for row in gone}:
            self.buckets.shed(connection, kind, number, compartment, self._clock.now())
        return len(gone)

    def look(self, tenant: str, sid: bytes) -> tuple[int, int]:
        """Keys and tags of this subject as a connection sees them that was opened for this question only."""
        self._cache.forget(tenant, sid)
        of = (tenant, sid)
        with self.database.new_reader() as raw:
            keys, found = (
                raw.execute(self.database.sql(count), of).fetchone()[0] for count in (COUNT_KEYS, COUNT_TAGS)
            )
        return keys, found

    # --- inside ---

    def _open_key(self, tenant: str, sid: bytes, class_: str, row: Any, connection: Connection | None = None) -> bytes:
        wrapped, number, compartment, generation, epoch, bucket = row
        if connection is None and not self.buckets.is_open(epoch):
            with self.database.connect() as reading:
                self.buckets.open_epoch(reading, epoch)
        above = self.buckets.key(connection, "data", number, compartment, generation, epoch, bucket)
        context = context_of(tenant, sid, class_, number, compartment, generation)
        return unwrap(above, wrapped, "a person's key", *context)

    def _prove_root(self, connection: Connection) -> None:
        """Open the check value, or make it in a new key store."""
        wrapped = connection.execute(SECRET, {"of_name": CHECK}).scalar_one_or_none()
        if wrapped is None:
            if connection.execute(select(func.count()).select_from(secrets)).scalar_one():
                raise StartRefused("the key store has secrets but no check value: put its newest copy back")
            self._add_secret(connection, CHECK)
            self._add_secret(connection, INDEX)
            return
        try:
            self.provider.unwrap(wrapped, framed("secret", CHECK), "the check value")
        except Damaged:
            raise StartRefused(
                "the root key is not the one that this key store was made with: put the right key file back"
            ) from None
        if connection.execute(SECRET, {"of_name": INDEX}).one_or_none() is None:
            raise StartRefused("the key store has lost its index key: put its newest copy back")

    def _add_secret(self, connection: Connection, name: str) -> None:
        private = self.new_key()
        public = Ed25519Signer(name, private).public if name.startswith("signing:") else None
        wrapped = self.provider.wrap(private, framed("secret", name))
        connection.execute(ADD_SECRET, {"name": name, "wrapped": wrapped, "public": public})

    def _add_day(self, connection: Connection, kind: str, day: int) -> None:
        bucket = self.buckets.hold(connection, "day", DAY)
        wrapped = wrap(bucket.key, self.new_key(), self._randomness, "day", kind, day)
        connection.execute(ADD_DAY, {"kind": kind, "day": day, "wrapped": wrapped})

    def _read_day(self, connection: Connection, kind: str, day: int) -> bytes | None:
        row = connection.execute(DAY_KEY, {"of_kind": kind, "of_day": day}).one_or_none()
        if row is None:
            return None
        above = self.buckets.key(connection, "day", DAY, NORMAL, row.generation, row.epoch, row.above)
        return unwrap(above, row.wrapped, f"the {kind} key of day {day}", "day", kind, day)

    def _provision_alone(self, make: Callable[[Connection], None]) -> None:
        """Before there is a writer, and on its thread: in a transaction of its own."""
        with self.database.transaction() as connection:
            make(connection)


def context_of(
    tenant: str, sid: bytes, class_: str, bucket: int, compartment: str, generation: int
) -> tuple[str, str, bytes, str, int, str, int]:
    """What a person's key is bound to under its bucket's."""
    return ("data", tenant, sid, class_, bucket, compartment, generation)
