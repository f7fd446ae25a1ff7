"""Rolling the epoch: what makes every old copy of the key store open nothing of those who were erased.

new -> current -> draining -> destroyed (or ``left``, where the provider cannot destroy). A roll opens a new epoch,
gives each bucket in which something was destroyed a fresh key and puts what is left in it under that, re-wraps the
keys of all other buckets, and has the old epoch destroyed once nothing lies under it any more. One transaction a
bucket: a roll that was broken off goes on where it was. Blind index tags are permuted anew without any value.

Clauses: ``rights.erase``, ``protect.storage``. Mechanism: ``vault.sealed``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, select, update

from troth.errors import Busy, Conflict, Damaged, Unavailable
from troth.store.ledger import EntryDraft
from troth.store.open import Store
from troth.store.tables import buckets, data_keys, day_keys, epochs, ledger, tags
from troth.store.text import Text
from troth.store.transaction import DataTx, KeyTx, Lane, Write
from troth.vault.buckets import context_of
from troth.vault.index import BLOCK, permute, restore
from troth.vault.keys import Keyring
from troth.vault.keys import context_of as key_context
from troth.vault.provider import Destruction
from troth.vault.tags import apart
from troth.vault.wrapping import unwrap, wrap

log = logging.getLogger("troth.vault")

CLAUSE = "protect.storage"
MECHANISM = "vault.sealed"
AT_ONCE = 512  # bucket keys re-wrapped in one transaction: about 20 ms
LATEST_MS = 24 * 3_600_000
"""How long after something was destroyed the epoch above it may live at the most."""

B = buckets.c
PLACE = (
    B.kind == bindparam("of_kind"),
    B.number == bindparam("of_number"),
    B.compartment == bindparam("of_compartment"),
)
EPOCHS = select(epochs).order_by(epochs.c.epoch)
ADD_EPOCH = insert(epochs)
TO_STATE = update(epochs).where(epochs.c.state == bindparam("from_state")).values(state=bindparam("to_state"))
OPENED = update(epochs).where(epochs.c.state == "new").values(state="current", opened_ms=bindparam("at"))
ENDED = (
    update(epochs)
    .where(epochs.c.epoch == bindparam("of_epoch"))
    .values(state=bindparam("to_state"), wrapped=None, destroyed_ms=bindparam("at"), destruction=bindparam("how"))
)
CURRENT = select(epochs.c.epoch).where(epochs.c.state == "current")
BEHIND = select(B.kind, B.number, B.compartment).where(B.epoch != CURRENT.scalar_subquery())
CLEAN = BEHIND.where(B.shed_ms.is_(None)).limit(AT_ONCE)
# whoever fills up first is re-keyed first: newcomers are refused meanwhile
REST = BEHIND.order_by(B.kind.desc(), B.number.desc())
ONE = select(buckets).where(*PLACE).with_for_update()
MOVE = (
    update(buckets)
    .where(*PLACE)
    .values(epoch=bindparam("to_epoch"), generation=bindparam("to_generation"), wrapped=bindparam("new"), shed_ms=None)
)
DATA = select(data_keys).where(
    data_keys.c.bucket == bindparam("of_number"), data_keys.c.compartment == bindparam("of_compartment")
)
# thousands of rows in one transaction: on the driver's own cursor
PUT_DATA = Text("UPDATE data_keys SET wrapped = ?, generation = ? WHERE tenant = ? AND sid = ? AND class = ?")
TAGS = select(tags.c.id, tags.c.tag, tags.c.suppression, tags.c.generation).where(
    tags.c.bucket == bindparam("of_number")
)
PUT_TAG = Text("UPDATE tags SET tag = ?, suppression = ?, generation = ? WHERE id = ?")
DAYS = select(day_keys)
PUT_DAY = (
    update(day_keys)
    .where(day_keys.c.kind == bindparam("of_kind"), day_keys.c.day == bindparam("of_day"))
    .values(wrapped=bindparam("new"))
)
STANDING = select(func.count(), func.count(B.shed_ms), func.min(B.shed_ms))
ORDERS = (
    select(ledger.c.eid, ledger.c.body)
    .where(ledger.c.kind.in_(("epoch.destroy.ordered", "epoch.destroyed")))
    .order_by(ledger.c.seq.desc())
    .limit(64)
)
# Asked on a connection opened for it, in the driver's own words: nothing remembered can answer.
LEFT_BEHIND = (
    "SELECT (SELECT count(*) FROM buckets b JOIN epochs e ON e.epoch = b.epoch WHERE e.state <> 'current')"
    " + (SELECT count(*) FROM data_keys d LEFT JOIN buckets b ON b.kind = 'data' AND b.number = d.bucket"
    " AND b.compartment = d.compartment AND b.generation = d.generation WHERE b.number IS NULL)"
    " + (SELECT count(*) FROM tags t LEFT JOIN buckets b ON b.kind = 'tag' AND b.number = t.bucket"
    " AND b.compartment = 'normal' AND b.generation = t.generation WHERE b.number IS NULL)"
)
EVERY_BUCKET = "SELECT kind, number, compartment, epoch, generation, wrapped FROM buckets"
A_KEY = "SELECT tenant, sid, class, wrapped FROM data_keys WHERE bucket = ? AND compartment = ? LIMIT 1"
EVERY_DAY = "SELECT kind, day, wrapped FROM day_keys"

Settle = Callable[[DataTx, int, Destruction | None], None]


class Standing(NamedTuple):
    """How the epochs stand. Times are UTC milliseconds; ``shed_ms`` is when the first destruction was that is not
    covered yet, None if all are; ``rolling`` says that a roll is under way.
    """

    current: int
    opened_ms: int
    shed_ms: int | None
    buckets: int
    shed: int
    rolling: bool

    def due(self, now: int, after_ms: int) -> bool:
        """Whether a roll is to go on or to begin."""
        return self.rolling or (self.shed_ms is not None and self.shed_ms + after_ms <= now)

    def overdue(self, now: int) -> bool:
        """Whether the latest time that a roll may have is over."""
        return self.shed_ms is not None and self.shed_ms + LATEST_MS < now


@dataclass(frozen=True)
class Rolled:
    """What a roll did. ``destroyed`` is None where the provider cannot destroy."""

    epoch: int
    rekeyed: int
    rewrapped: int
    destroyed: Destruction | None


class Epochs:
    """The one roller. ``settle(tx, epoch, destruction)`` tells those who wait for it, in the entry's transaction."""

    def __init__(self, store: Store, ring: Keyring, settle: Settle, before_end: Callable[[], None]) -> None:
        """``before_end`` brings the key store's second copy up to date: an older one opens nothing afterwards."""
        self._store = store
        self._ring = ring
        self._settle = settle
        self._before_end = before_end
        self._turn = threading.Lock()

    def standing(self) -> Standing:
        """How the epochs stand."""
        rows = self._rows()
        count, shed, first = self._store.read_keys(lambda c: c.execute(STANDING).one())
        now = next((row for row in rows if row.state == "current"), None)
        if now is None:
            raise Unavailable("the key store has no current epoch: nothing can be stored until it has one")
        rolling = any(row.state in ("new", "draining") for row in rows)
        return Standing(now.epoch, now.opened_ms, first, count, shed, rolling)

    def roll(self, *, after_ms: int = 0) -> Rolled | None:
        """Roll the epoch, or go on with a roll that was broken off; None if nothing was destroyed ``after_ms`` ago.

        Returns when the old epoch is destroyed. Raises ``Busy`` while another thread rolls, ``Damaged`` where a key
        does not open (the old epoch stays), ``Unavailable`` where a step has to be repeated.
        """
        if not self._turn.acquire(blocking=False):
            raise Busy("the keys' epoch is being changed already")
        try:
            if not self.standing().due(self._store.now(), after_ms):
                return None
            return self._roll()
        finally:
            self._turn.release()

    # --- inside ---

    def _roll(self) -> Rolled:
        rewrapped = 0
        if not any(row.state == "draining" for row in self._rows()):
            self._provide()
            rewrapped += self._store.write_keys(self._turn_over)
        while moved := self._store.write_keys(self._move_clean):
            rewrapped += moved
        rekeyed = 0
        for place in self._store.read_keys(lambda c: [tuple(row) for row in c.execute(REST)]):
            rekeyed += self._store.write_keys(partial(self._move, *place))
        self.require_moved()
        if not self._store.truncate_keys():
            raise Unavailable("keys of the old epoch are still in the key store's log: it will be repeated")
        self._before_end()
        destroyed: Destruction | None = None
        for row in self._rows():
            if row.state == "draining":
                destroyed = self._end(row)
        self._store.truncate_keys()
        epoch = self.standing().current
        log.info("epoch %d: %d buckets re-keyed, %d re-wrapped", epoch, rekeyed, rewrapped)
        return Rolled(epoch, rekeyed, rewrapped, destroyed)

    def _rows(self) -> Sequence[Any]:
        return self._store.read_keys(lambda c: c.execute(EPOCHS).all())

    def _provide(self) -> None:
        """A new epoch, known to K before anything lies under it."""
        rows = self._rows()
        if any(row.state == "new" for row in rows):
            return
        number = max(row.epoch for row in rows) + 1
        provider = self._ring.provider
        values = {"epoch": number, "state": "new", "provider": provider.name, "wrapped": provider.create_epoch(number)}
        self._store.write_keys(lambda ktx: ktx.execute(ADD_EPOCH, values | {"opened_ms": ktx.now}).rowcount)

    def _turn_over(self, ktx: KeyTx) -> int:
        """From here on nothing is put under the old epoch; most buckets move in the same transaction."""
        ktx.execute(TO_STATE, {"from_state": "current", "to_state": "draining"})
        if ktx.execute(OPENED, {"at": ktx.now}).rowcount != 1:
            raise Conflict("there is no new epoch to turn over to")
        return self._move_clean(ktx)

    def _move_clean(self, ktx: KeyTx) -> int:
        """Re-wrap the keys of buckets in which nothing was destroyed; how many."""
        places = ktx.execute(CLEAN).all()
        for row in places:
            self._move(row.kind, row.number, row.compartment, ktx)
        return len(places)

    def _move(self, kind: str, number: int, compartment: str, ktx: KeyTx) -> int:
        """Move one bucket to the current epoch, under a fresh key if something was destroyed under its own; 1 or 0."""
        connection, ring = ktx.connection, self._ring
        place = {"of_kind": kind, "of_number": number, "of_compartment": compartment}
        row = connection.execute(ONE, place).one()
        to = ring.buckets.current(connection)
        if row.epoch == to:
            return 0
        old = ring.buckets.key(connection, kind, number, compartment, row.generation, row.epoch, row.wrapped)
        key, generation = old, row.generation
        if row.shed_ms is not None:
            key, generation = ring.new_key(), row.generation + 1
            REKEY[kind](self, connection, place, (old, row.generation), (key, generation))
        above = ring.buckets.open_epoch(connection, to)
        new = wrap(above, key, self._store.randomness, *context_of(kind, number, compartment, generation, to))
        connection.execute(MOVE, place | {"to_epoch": to, "to_generation": generation, "new": new})
        return int(row.shed_ms is not None)

    def _rekey_data(self, connection: Connection, place: dict[str, Any], old: Keyed, new: Keyed) -> None:
        number, compartment = place["of_number"], place["of_compartment"]
        rows = []
        for row in connection.execute(DATA, place).all():
            at = (row.tenant, bytes(row.sid), row.class_, number, compartment)
            _require(row.generation, old)
            key = unwrap(old[0], row.wrapped, "a person's key", *key_context(*at, old[1]))
            wrapped = wrap(new[0], key, self._store.randomness, *key_context(*at, new[1]))
            rows.append((wrapped, new[1], *at[:3]))
        if rows:
            PUT_DATA.run_many(connection, rows)

    def _rekey_tags(self, connection: Connection, place: dict[str, Any], old: Keyed, new: Keyed) -> None:
        """All tags of a bucket at once: a permutation of blocks, and no value in sight."""
        found = connection.execute(TAGS, place).all()
        for row in found:
            _require(row.generation, old)
        moved = _permuted(old[0], new[0], [bytes(row.tag) for row in found])
        having = [row for row in found if row.suppression is not None]
        beside = _permuted(apart(old[0]), apart(new[0]), [bytes(row.suppression) for row in having])
        suppression = dict(zip((row.id for row in having), beside, strict=True))
        rows = [(tag, suppression.get(row.id), new[1], row.id) for row, tag in zip(found, moved, strict=True)]
        if rows:
            PUT_TAG.run_many(connection, rows)

    def _rekey_days(self, connection: Connection, place: dict[str, Any], old: Keyed, new: Keyed) -> None:
        rows = []
        for row in connection.execute(DAYS).all():
            at = ("day", row.kind, row.day)
            key = unwrap(old[0], row.wrapped, f"the {row.kind} key of day {row.day}", *at)
            rows.append({"of_kind": row.kind, "of_day": row.day, "new": wrap(new[0], key, self._store.randomness, *at)})
        if rows:
            connection.execute(PUT_DAY, rows)

    def require_moved(self) -> None:
        """Look, on a connection opened for it: nothing is left under an older epoch, and every bucket opens.

        Raises ``Conflict`` or ``Damaged``: then the old epoch must not be destroyed, and is not.
        """
        ring, sql = self._ring, self._ring.database.sql
        ring.buckets.forget_keys()
        with ring.database.new_reader() as raw:
            left = raw.execute(LEFT_BEHIND).fetchone()[0]
            if left:
                raise Conflict(f"{left} keys are still under an older epoch: it is not destroyed")
            for kind, number, compartment, epoch, generation, wrapped in raw.execute(EVERY_BUCKET).fetchall():
                with ring.database.connect() as connection:
                    ring.buckets.open_epoch(connection, epoch)
                key = ring.buckets.key(None, kind, number, compartment, generation, epoch, bytes(wrapped))
                if kind == "data":
                    sample = raw.execute(sql(A_KEY), (number, compartment)).fetchone()
                    if sample is not None:
                        at = (sample[0], bytes(sample[1]), sample[2], number, compartment, generation)
                        unwrap(key, bytes(sample[3]), "a person's key", *key_context(*at))
                elif kind == "day":
                    for of, day, sealed in raw.execute(EVERY_DAY).fetchall():
                        unwrap(key, bytes(sealed), f"the {of} key of day {day}", "day", of, day)

    def _end(self, row: Any) -> Destruction | None:
        """Have an emptied epoch destroyed: ordered, done by the provider, said; each step can be repeated."""
        epoch, provider = row.epoch, self._ring.provider
        surety = provider.surety(bytes(row.wrapped))
        ordered, ended = self._said(epoch)
        if ended is not None:
            destroyed = ended
        elif surety is None:
            destroyed = None
            self._store.write(Write(lambda tx: self._tell_left(tx, epoch), lane=Lane.JOB))
        else:
            ordered = ordered or self._store.write(Write(lambda tx: self._tell_ordered(tx, epoch), lane=Lane.JOB))
            destroyed = provider.destroy_epoch(epoch, bytes(row.wrapped), self._store.now())
            tell = (epoch, ordered, destroyed)
            self._store.write(Write(lambda tx: self._tell_destroyed(tx, *tell), lane=Lane.JOB))
        values = {
            "of_epoch": epoch,
            "to_state": "destroyed" if destroyed else "left",
            "at": destroyed.at_ms if destroyed else None,
            "how": destroyed.surety if destroyed else None,
        }
        self._store.write_keys(lambda ktx: ktx.execute(ENDED, values).rowcount)
        self._ring.buckets.forget(epoch)
        return destroyed

    def _said(self, epoch: int) -> tuple[bytes | None, Destruction | None]:
        """What the ledger says of this epoch's end: the order, and the destruction, as far as they stand there."""
        ordered: bytes | None = None
        for eid, body in self._store.read(lambda c: [tuple(row) for row in c.execute(ORDERS)]):
            entry = msgspec.json.decode(body)
            if entry["facts"]["epoch"] != epoch:
                continue
            if entry["kind"] == "epoch.destroyed":
                return bytes.fromhex(entry["refers"]), Destruction(entry["facts"]["class"], entry["facts"]["at"])
            ordered = bytes(eid)
        return ordered, None

    def _tell_ordered(self, tx: DataTx, epoch: int) -> bytes:
        facts = {"epoch": epoch, "provider": self._ring.provider.name}
        return tx.append(EntryDraft("epoch.destroy.ordered", CLAUSE, MECHANISM, facts=facts)).eid

    def _tell_destroyed(self, tx: DataTx, epoch: int, ordered: bytes, how: Destruction) -> None:
        facts = {"epoch": epoch, "class": how.surety, "at": how.at_ms}
        tx.append(EntryDraft("epoch.destroyed", CLAUSE, MECHANISM, refers=ordered, facts=facts))
        self._settle(tx, epoch, how)

    def _tell_left(self, tx: DataTx, epoch: int) -> None:
        """The provider cannot destroy it: nothing lies under it any more, and old copies open as before."""
        tx.append(EntryDraft("epoch.left", CLAUSE, MECHANISM, facts={"epoch": epoch}))
        self._settle(tx, epoch, None)


Keyed = tuple[bytes, int]  # a bucket's key and its generation
REKEY = {"data": Epochs._rekey_data, "tag": Epochs._rekey_tags, "day": Epochs._rekey_days}


def _require(generation: int, bucket: Keyed) -> None:
    if generation != bucket[1]:
        raise Damaged("a row of the key store is of another generation than its bucket: the epoch stays")


def _permuted(old: bytes, new: bytes, blocks: list[bytes]) -> list[bytes]:
    """Tags under another key, in one pass over all of them."""
    joined = permute(new, restore(old, b"".join(blocks)))
    return [joined[at : at + BLOCK] for at in range(0, len(joined), BLOCK)]
