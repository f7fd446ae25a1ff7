"""Epochs and buckets: the two storeys between the root and the keys of the persons.

root -> epoch key -> bucket key (4,096 subjects, or a 256th of the blind index) -> data key or tag. A roll of the epoch
(``epochs``) re-keys only the buckets with erasures and re-wraps the others; that is why they exist.

Every insert into K holds its bucket and asserts, in the same transaction, that the bucket's epoch is ``current``
(STORAGE, invariant 12): a key put under an epoch that is being emptied would be lost with it.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update

from troth.errors import Busy, Damaged, Unavailable
from troth.store.once import insert_once
from troth.store.tables import buckets, epochs
from troth.store.text import Text
from troth.vault.provider import RootProvider
from troth.vault.wrapping import KEY, unwrap, wrap
from troth.world import Randomness

ROOM = 4096  # subjects ever placed in one data bucket: what a roll re-keys at once
NORMAL = "normal"
MAX_HELD = 4096  # bucket keys kept in memory

# FOR SHARE (PostgreSQL): a roll cannot mark the epoch as draining before this transaction ended.
CURRENT = Text("SELECT epoch FROM epochs WHERE state = 'current'", locking="FOR SHARE")
PLACE = Text(
    "UPDATE buckets SET filled = filled + 1"
    " WHERE kind = 'data' AND number = ? AND compartment = 'normal' AND filled < ?"
    " RETURNING epoch, generation, wrapped"
)
ONE = Text(
    "SELECT b.epoch, b.generation, b.wrapped, e.state FROM buckets b JOIN epochs e ON e.epoch = b.epoch"
    " WHERE b.kind = ? AND b.number = ? AND b.compartment = ?"
)
ONE_HELD = Text(
    "SELECT b.epoch, b.generation, b.wrapped, e.state FROM buckets b JOIN epochs e ON e.epoch = b.epoch"
    " WHERE b.kind = ? AND b.number = ? AND b.compartment = ?",
    locking="FOR SHARE",
)
NEXT = select(func.max(buckets.c.number)).where(buckets.c.kind == "data", buckets.c.compartment == NORMAL)
EPOCH = select(epochs.c.state, epochs.c.wrapped).where(epochs.c.epoch == bindparam("of_epoch"))
SHED = (
    update(buckets)
    .where(
        buckets.c.kind == bindparam("of_kind"),
        buckets.c.number == bindparam("of_number"),
        buckets.c.compartment == bindparam("of_compartment"),
        buckets.c.shed_ms.is_(None),
    )
    .values(shed_ms=bindparam("at"))
)
ANY_EPOCH = select(func.count()).select_from(epochs)
NEW_EPOCH = insert(epochs)
NEW_BUCKET = insert_once(buckets)


class Bucket(NamedTuple):
    """A bucket that holds its transaction's promise: its epoch was current. ``key`` is raw."""

    number: int
    generation: int
    key: bytes


class Buckets:
    """Opens, makes and fills buckets.

    Raw keys are kept by place *and* wrapped bytes: a bucket made in a transaction that was rolled back leaves its
    number and generation to another key, and what is wrapped under the lost one would be lost too.
    """

    def __init__(self, provider: RootProvider, randomness: Randomness) -> None:
        self._provider = provider
        self._randomness = randomness
        self._epochs: dict[int, bytes] = {}
        self._held: dict[tuple[str, int, str, int, bytes], bytes] = {}
        self._seen: dict[tuple[str, int], Bucket] = {}
        self._filling = 0

    def prepare(self, connection: Connection, now: int) -> None:
        """Open the first epoch of a new key store."""
        if connection.execute(ANY_EPOCH).scalar_one() == 0:
            row = {"epoch": 1, "state": "current", "provider": self._provider.name, "opened_ms": now}
            connection.execute(NEW_EPOCH, row | {"wrapped": self._provider.create_epoch(1)})

    def place(self, connection: Connection) -> Bucket:
        """A place for one new subject, counted. ``Busy`` while an epoch is being rolled."""
        for _ in range(8):
            row = PLACE.run(connection, (self._filling, ROOM)).fetchone()
            if row is not None:
                epoch, generation, wrapped = row
                self._require_current(connection, epoch)
                key = self.key(connection, "data", self._filling, NORMAL, generation, epoch, wrapped)
                return Bucket(self._filling, generation, key)
            self._filling = self._next(connection)
        raise Busy("the key store's buckets are being filled by others: try again")

    def hold(self, connection: Connection, kind: str, number: int, compartment: str = NORMAL) -> Bucket:
        """The bucket, held against a roll until the transaction ends, made if need be. ``Busy`` in a roll."""
        row = ONE_HELD.run(connection, (kind, number, compartment)).fetchone()
        if row is None:
            self._make(connection, kind, number)
            row = ONE_HELD.run(connection, (kind, number, compartment)).fetchone()
        epoch, generation, wrapped, state = row
        if state != "current":
            raise Busy("the keys' epoch is being changed: try again")
        return Bucket(number, generation, self.key(connection, kind, number, compartment, generation, epoch, wrapped))

    def peek(self, connection: Connection, kind: str, number: int) -> Bucket | None:
        """The bucket as it is now, for reading; None if there is none."""
        row = ONE.run(connection, (kind, number, NORMAL)).fetchone()
        if row is None:
            return None
        epoch, generation, wrapped, _ = row
        bucket = Bucket(number, generation, self.key(connection, kind, number, NORMAL, generation, epoch, wrapped))
        if len(self._seen) >= MAX_HELD:
            self._seen.clear()
        self._seen[kind, number] = bucket
        return bucket

    def seen(self, kind: str, number: int) -> Bucket | None:
        """The bucket as ``peek`` saw it last, without a look: whoever uses it compares the generation."""
        return self._seen.get((kind, number))

    def key(
        self,
        connection: Connection | None,
        kind: str,
        number: int,
        compartment: str,
        generation: int,
        epoch: int,
        wrapped: bytes,
    ) -> bytes:
        """The bucket's raw key; ``connection`` is asked only for an epoch not yet open (None: it must be)."""
        at = (kind, number, compartment, generation, wrapped)
        key = self._held.get(at)
        if key is None:
            above = self._epochs.get(epoch)
            if above is None:
                if connection is None:
                    raise Damaged(f"epoch {epoch} of a key bucket is not open")
                above = self.open_epoch(connection, epoch)
            context = context_of(kind, number, compartment, generation, epoch)
            key = unwrap(above, wrapped, f"the key of {kind} bucket {number}", *context)
            if len(self._held) >= MAX_HELD:
                self._held.clear()
            self._held[at] = key
        return key

    def shed(self, connection: Connection, kind: str, number: int, compartment: str, at_ms: int) -> None:
        """Something under this bucket's key was destroyed: the next roll gives the bucket another key."""
        values = {"of_kind": kind, "of_number": number, "of_compartment": compartment, "at": at_ms}
        connection.execute(SHED, values)

    def current(self, connection: Connection) -> int:
        """The current epoch. ``Unavailable`` if there is none."""
        return self._current(connection)

    def forget(self, epoch: int) -> None:
        """Drop an epoch's key, and every bucket key, from memory."""
        self._epochs.pop(epoch, None)
        self.forget_keys()

    def forget_keys(self) -> None:
        """Drop every bucket key from memory: the next use opens it as it lies in K."""
        self._held.clear()
        self._seen.clear()

    def is_open(self, epoch: int) -> bool:
        """Whether the epoch's key is in memory already."""
        return epoch in self._epochs

    def open_epoch(self, connection: Connection, epoch: int) -> bytes:
        """The epoch's raw key, from memory or through the provider. ``Damaged`` if it is gone or does not open."""
        key = self._epochs.get(epoch)
        if key is None:
            row = connection.execute(EPOCH, {"of_epoch": epoch}).one_or_none()
            if row is None or row.wrapped is None:
                raise Damaged(f"the key of epoch {epoch} is not in the key store")
            key = self._epochs[epoch] = self._provider.open_epoch(epoch, row.wrapped)
        return key

    def _next(self, connection: Connection) -> int:
        """The data bucket to fill now: the last one, or a new one behind it when it is full."""
        last = connection.execute(NEXT).scalar_one()
        if last is None:
            self._make(connection, "data", 1)
            return 1
        if last != self._filling:
            return int(last)
        self.hold(connection, "data", last)  # full, and not being rolled
        self._make(connection, "data", last + 1)
        return int(last) + 1

    def _make(self, connection: Connection, kind: str, number: int) -> None:
        """Insert a bucket under the current epoch unless another process was first."""
        epoch = self._current(connection)
        above = self.open_epoch(connection, epoch)
        context = context_of(kind, number, NORMAL, 1, epoch)
        connection.execute(
            NEW_BUCKET,
            {
                "kind": kind,
                "number": number,
                "compartment": NORMAL,
                "epoch": epoch,
                "generation": 1,
                "filled": 0,
                "wrapped": wrap(above, self._randomness.bytes(KEY), self._randomness, *context),
            },
        )

    def _require_current(self, connection: Connection, epoch: int) -> None:
        """Hold the current epoch, which has to be this one."""
        if self._current(connection) != epoch:
            raise Busy("the keys' epoch is being changed: try again")

    def _current(self, connection: Connection) -> int:
        row = CURRENT.run(connection, ()).fetchone()
        if row is None:
            raise Unavailable("the key store has no current epoch: nothing can be stored until it has one")
        return int(row[0])


def context_of(
    kind: str, number: int, compartment: str, generation: int, epoch: int
) -> tuple[str, str, int, str, int, int]:
    """What a bucket's key is bound to under its epoch's."""
    return ("bucket", kind, number, compartment, generation, epoch)
