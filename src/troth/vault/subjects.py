"""Bringing a person into the vault, and a person's rows: staged outside of any transaction, then K, then D.

The order over the two stores (STORAGE B): keys and index tag first, subject and records second, the answer last. A
crash between leaves keys without a subject, which the next try adopts or ``repair`` sweeps; it never leaves data that
cannot be opened.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Delete, bindparam, delete, select, update

from troth.errors import Busy, Conflict, NotFound
from troth.policy.model import State, Terms
from troth.store.tables import (
    activity,
    address_changes,
    consent_records,
    corrections,
    credentials,
    holds,
    links,
    looks,
    messages,
    personal_records,
    restrictions,
    sessions,
    subject_states,
    subjects,
    terms,
)
from troth.store.text import Text
from troth.store.transaction import DataTx, KeyTx
from troth.vault.keys import OPENING, Keyring
from troth.vault.records import ID, pack, seal
from troth.vault.states import state_id, terms_id
from troth.vault.tags import Identifier, Tags
from troth.world import DAY_MS, Randomness

TABLE = "personal_records"
THERE = ("pending", "live", "restricted")
LATE_MS = 300_000  # half of what repair waits: a create that stood still so long might meet its own sweep

OF_SUBJECT = (subjects.c.tenant == bindparam("of_tenant"), subjects.c.sid == bindparam("of_sid"))
ADD_SUBJECT = Text(
    "INSERT INTO subjects (tenant, sid, state_id, mode, generation, created_ms, last_use_ms)"
    " VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO NOTHING"
)
ADD_RECORD = Text(
    "INSERT INTO personal_records (tenant, sid, rid, terms_id, class, schema, anchor_ms, eid, ct)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
MODE = Text("SELECT mode FROM subjects WHERE tenant = ? AND sid = ?")
SET_MODE = update(subjects).where(*OF_SUBJECT).values(mode=bindparam("new_mode"), generation=subjects.c.generation + 1)
GO_LIVE = (
    update(subjects)
    .where(*OF_SUBJECT, subjects.c.mode == "pending")
    .values(mode="live", generation=subjects.c.generation + 1, last_use_ms=bindparam("at"))
)
REPLACE = (
    update(personal_records)
    .where(
        personal_records.c.tenant == bindparam("of_tenant"),
        personal_records.c.sid == bindparam("of_sid"),
        personal_records.c.rid == bindparam("of_rid"),
        personal_records.c.ct == bindparam("old_ct"),
    )
    .values(ct=bindparam("new_ct"))
)
RECORDS = (
    select(personal_records, terms.c.controller, terms.c.surface, terms.c.point, terms.c.version, subjects.c.generation)
    .join(terms, terms.c.id == personal_records.c.terms_id)
    .join(
        subjects,
        (subjects.c.tenant == personal_records.c.tenant) & (subjects.c.sid == personal_records.c.sid),
    )
    .where(personal_records.c.tenant == bindparam("of_tenant"), personal_records.c.sid == bindparam("of_sid"))
    .order_by(personal_records.c.rid)
)
NEWEST = (
    RECORDS.where(personal_records.c.terms_id == bindparam("of_terms"))
    .order_by(None)
    .order_by(personal_records.c.anchor_ms.desc())
    .limit(bindparam("at_most"))
)
HELD_UNDER = select(terms.c.id).where(
    terms.c.id.in_(bindparam("of_terms", expanding=True)),
    select(personal_records.c.rid)
    .where(
        personal_records.c.tenant == bindparam("of_tenant"),
        personal_records.c.sid == bindparam("of_sid"),
        personal_records.c.terms_id == terms.c.id,
    )
    .correlate(terms)
    .exists(),
)
OF_A_PERSON = (
    personal_records,
    consent_records,
    subject_states,
    links,
    sessions,
    credentials,
    messages,
    restrictions,
    holds,
    corrections,
    address_changes,
    activity,
    looks,
    subjects,
)
"""The tables with rows of a person, children first, the subject last."""
VOID: tuple[Delete, ...] = tuple(
    delete(table).where(table.c.tenant == bindparam("of_tenant"), table.c.sid == bindparam("of_sid"))
    for table in OF_A_PERSON
)


@dataclass(frozen=True)
class NewRecord:
    """A record to be stored: its retention class, the terms it is collected under, and its fields."""

    class_: str
    terms: Terms
    value: dict[str, Any]
    schema: int = 1
    anchor_ms: int | None = None


@dataclass(frozen=True)
class StoredRecord:
    """A record as it lies in D, sealed. ``generation`` is the subject's in the snapshot it was read in."""

    tenant: str
    sid: bytes
    rid: bytes
    class_: str
    terms: Terms
    terms_id: int
    schema: int
    anchor_ms: int
    eid: bytes
    ct: bytes
    generation: int | None = None


class Staged:
    """A person's rows on their way in. Give ``before`` to the write's K phase and call ``insert`` in its body.

    ``sid`` and ``opening`` count from the body on: where the identifiers are proven and belong to somebody who is here
    already, the rows go to that person (``adopted``), and no second one is made.
    """

    def __init__(
        self,
        ring: Keyring,
        tags: Tags,
        randomness: Randomness,
        tenant: str,
        sid: bytes | None,
        identifiers: Sequence[Identifier],
        records: Sequence[NewRecord],
        *,
        pending: bool,
        classes: Sequence[str],
        expires_days: int | None,
        state: State,
        new_sid: bytes | None = None,
    ) -> None:
        self.tenant = tenant
        self.sid = sid or new_sid or randomness.bytes(ID)
        self.opening = ring.new_key() if sid is None else ring.opening(tenant, sid)
        self.adopted = False
        self.rids = tuple(randomness.bytes(ID) for _ in records)
        self._new = sid is None
        self._ring, self._tags, self._randomness = ring, tags, randomness
        self._identifiers = identifiers
        self._records = [(record, pack(record.value)) for record in records]
        wanted = dict.fromkeys([*(record.class_ for record in records), *classes])
        if OPENING in wanted:
            raise ValueError("the empty class is the subject's own secret")
        self._keys = {class_: ring.new_key() for class_ in wanted}
        self._pending = pending
        self._expires_days = expires_days
        self._state = state
        self._keyed_ms: int | None = None

    def before(self, ktx: KeyTx) -> None:
        """The K phase: keys and index tags. ``Conflict`` where two identifiers belong to two persons."""
        connection = ktx.connection
        self._keyed_ms = ktx.now
        if not self._new:
            self._join(connection, self.sid, ktx.now)
            self._tag(connection, ktx.now)
            return
        if not self._pending:
            holders = {self._tags.holder(connection, self.tenant, of) for of in self._identifiers} - {None}
            if len(holders) > 1:
                raise Conflict("these identifiers belong to two different persons")
            for holder in holders:
                if holder is not None:
                    self._adopt(connection, holder, ktx.now)
                    return
        self._ring.add_subject(connection, self.tenant, self.sid, self.opening, self._keys, ktx.now)
        self._tag(connection, ktx.now)

    def insert(self, tx: DataTx, eid: bytes) -> None:
        """The D phase: the subject (if new) and the sealed records. ``eid`` is the entry of the collection.

        ``Busy`` if the K phase was too long ago; ``Conflict`` if the person is being erased.
        """
        if self._keyed_ms is None:
            raise ValueError("the K phase of a staged person comes first")
        if tx.now - self._keyed_ms > LATE_MS:
            raise Busy("this was held up for too long: please send it again")
        added = (self._new or self.adopted) and self._add_subject(tx)
        if not added:
            mode = mode_of(tx.connection, self.tenant, self.sid)
            if mode is None:
                raise NotFound("there is no such person here")
            if mode not in THERE:
                raise Conflict("this person is being erased")
            self._require_keys()
        if self._records:
            ADD_RECORD.run_many(tx.connection, [self._row(tx, eid, at) for at in range(len(self._records))])

    def seal(self, class_: str, rid: bytes, table: str, schema: int, value: dict[str, Any]) -> bytes:
        """Seal one more value of this person, from the body on, under a class that was staged."""
        if class_ not in self._keys:
            raise ValueError(f"class {class_!r} was not staged: name it in `classes`")
        return self._seal(class_, rid, table, schema, pack(value))

    def _seal(self, class_: str, rid: bytes, table: str, schema: int, packed: bytes) -> bytes:
        place = (self.tenant, self.sid, class_, rid, table, schema)
        return seal(AESGCM(self._keys[class_]), self._randomness, packed, *place)

    def _require_keys(self) -> None:
        """Between the two phases of this write, retention may have ended a class that looked empty (``Conflict``)."""
        for class_, key in self._keys.items():
            if self._ring.stored_key(self.tenant, self.sid, class_) != key:
                raise Conflict("the keeping of this class ended just now: please send it again")

    def _row(self, tx: DataTx, eid: bytes, at: int) -> tuple[Any, ...]:
        (record, packed), rid = self._records[at], self.rids[at]
        return (
            self.tenant,
            self.sid,
            rid,
            terms_id(tx, record.terms),
            record.class_,
            record.schema,
            tx.now if record.anchor_ms is None else record.anchor_ms,
            eid,
            self._seal(record.class_, rid, TABLE, record.schema, packed),
        )

    def _add_subject(self, tx: DataTx) -> bool:
        """Insert the subject; False if it is there (adopted, or fenced off by the sweep of orphans)."""
        mode = "pending" if self._pending else "live"
        row = (self.tenant, self.sid, state_id(tx, self._state), mode, tx.now, tx.now)
        return bool(ADD_SUBJECT.run(tx.connection, row).rowcount == 1)

    def _join(self, connection: Connection, sid: bytes, now: int) -> None:
        """Make the classes that an existing subject lacks, and take the keys of those that are there."""
        self._ring.require(connection, self.tenant, sid)
        for class_, key in self._keys.items():
            self._keys[class_] = self._ring.add_class(connection, self.tenant, sid, class_, key, now)

    def _tag(self, connection: Connection, now: int) -> None:
        expires = None if self._expires_days is None else now + self._expires_days * DAY_MS
        for of in self._identifiers:
            if self._tags.add(connection, self.tenant, self.sid, of, now, expires=expires, live=not self._pending):
                continue
            holder = self._tags.holder(connection, self.tenant, of)
            if not self._new or holder is None:
                raise Conflict("this identifier belongs to somebody else")
            self._ring.destroy(connection, self.tenant, self.sid)  # another process was first, just now
            self._adopt(connection, holder, now)
            return

    def _adopt(self, connection: Connection, sid: bytes, now: int) -> None:
        opening = self._ring.key_in(connection, self.tenant, sid, OPENING)
        if opening is None:
            raise Conflict("this identifier's owner is being erased")
        self.sid, self.opening, self.adopted = sid, opening, True
        self._join(connection, sid, now)


def records_of(connection: Connection, tenant: str, sid: bytes) -> list[StoredRecord]:
    """All records of a subject in the caller's snapshot, sealed."""
    return [_stored(row) for row in connection.execute(RECORDS, {"of_tenant": tenant, "of_sid": sid})]


def newest_of(
    connection: Connection, tenant: str, sid: bytes, terms: Collection[int], at_most: int
) -> list[StoredRecord]:
    """The newest records of a subject under these terms, by an index: how many others there are costs nothing.

    Asked for terms by terms: a query over several of them goes through all records.
    """
    of = {"of_tenant": tenant, "of_sid": sid}
    held = connection.execute(HELD_UNDER, of | {"of_terms": list(terms)}).scalars().all()
    found = [
        _stored(row) for one in held for row in connection.execute(NEWEST, of | {"of_terms": one, "at_most": at_most})
    ]
    return sorted(found, key=lambda record: record.anchor_ms, reverse=True)[:at_most]


def _stored(row: Any) -> StoredRecord:
    return StoredRecord(
        row.tenant,
        row.sid,
        row.rid,
        row.class_,
        Terms(row.controller, row.surface, row.point, row.version, keep=row.class_),
        row.terms_id,
        row.schema,
        row.anchor_ms,
        row.eid,
        row.ct,
        row.generation,
    )


def replace(tx: DataTx, record: StoredRecord, ct: bytes) -> bool:
    """Another ciphertext in a record's place; False if the record is not as it was read, or is gone."""
    place = {"of_tenant": record.tenant, "of_sid": record.sid, "of_rid": record.rid}
    return tx.execute(REPLACE, place | {"old_ct": record.ct, "new_ct": ct}).rowcount == 1


def mode_of(connection: Connection, tenant: str, sid: bytes) -> str | None:
    """The subject's mode in the caller's snapshot; None if there is no such subject."""
    row = MODE.run(connection, (tenant, sid)).fetchone()
    return None if row is None else row[0]


def exists(connection: Connection, tenant: str, sid: bytes) -> bool:
    """Whether the subject is here: not unknown, not void, not being erased."""
    return mode_of(connection, tenant, sid) in THERE


def set_mode(tx: DataTx, tenant: str, sid: bytes, mode: str) -> None:
    """Set the subject's mode; the generation grows. ``NotFound`` if there is no such subject."""
    if tx.execute(SET_MODE, {"of_tenant": tenant, "of_sid": sid, "new_mode": mode}).rowcount != 1:
        raise NotFound("there is no such person here")


def go_live(tx: DataTx, tenant: str, sid: bytes) -> bool:
    """Turn a pending subject into a live one; False if it was none."""
    return tx.execute(GO_LIVE, {"of_tenant": tenant, "of_sid": sid, "at": tx.now}).rowcount == 1


def void(tx: DataTx, tenant: str, sid: bytes) -> None:
    """Delete every row of a subject, children first and the subject last."""
    for statement in VOID:
        tx.execute(statement, {"of_tenant": tenant, "of_sid": sid})
