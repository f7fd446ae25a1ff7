"""Correcting what is held: a person changes the declared fields of their own records, wherever the value lies.

The door is that of collection: the fields that the record's own version declares, and its rules for them. The old
ciphertext is replaced in the transaction of the entry; K remembers the record by a guard, so that no restored backup
serves the old value; then the answer. Clause: ``rights.rectify``. Mechanism: ``right.rectify``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, insert, select

from troth.collect.forms import broken_rule, clean
from troth.collect.intake import Faulty
from troth.errors import Conflict, Invalid, NotFound
from troth.notice.brought import MEMBER
from troth.notice.versions import Versions
from troth.policy.model import Field, Point
from troth.rights.requests import Requests
from troth.store import Lane, Store, Write
from troth.store.jobs import Job, Later
from troth.store.ledger import EntryDraft
from troth.store.tables import corrections, ledger
from troth.store.writer import DataTx, KeyTx
from troth.vault import StoredRecord, Vault

CLAUSE = "rights.rectify"
RECTIFIED_JOB = "rights.rectified"
NOT_HERE = "there is no such person here"
MOVED = "this was changed elsewhere just now: please look at it again"

INSERT = insert(corrections)
OF_PERSON = (
    select(corrections.c.at_ms, corrections.c.point, corrections.c.fields)
    .where(corrections.c.tenant == bindparam("of_tenant"), corrections.c.sid == bindparam("of_sid"))
    .order_by(corrections.c.at_ms, corrections.c.eid)
)
ENTRY_AT = select(ledger.c.at_ms).where(ledger.c.eid == bindparam("of_eid"))


class Opened(NamedTuple):
    """A record with its content, and its point as it was declared when it was collected."""

    record: StoredRecord
    point: Point
    content: dict[str, Any]

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that this record may hold: those of its class, none that a later version added."""
        names = self.point.classes().get(self.record.class_, frozenset())
        return tuple(f for f in self.point.fields if f.name in names)


class Correctable(NamedTuple):
    """What a person told at one point, as it is now. ``seen`` is to come back with a change.

    ``point`` has the fields of the newest of these records, and those of older ones that were dropped since.
    """

    point: Point
    values: dict[str, str]
    records: int
    seen: str

    def only(self, names: Collection[str]) -> Correctable:
        """The same without any other field."""
        fields = tuple(field for field in self.point.fields if field.name in names)
        values = {name: value for name, value in self.values.items() if name in names}
        return self._replace(point=msgspec.structs.replace(self.point, fields=fields), values=values)


class By(NamedTuple):
    """Who corrects, and what notes in the transaction that they do: the entry that the corrections refer to."""

    actor: str = "subject"
    note: Callable[[DataTx], bytes] | None = None


THEMSELVES = By()


class Replacement(NamedTuple):
    """A record's new content, and the declared fields that are other than before."""

    opened: Opened
    content: dict[str, Any]
    fields: tuple[str, ...]


class Corrected(msgspec.Struct, frozen=True):
    """What was changed: how many records, of which points, and the first entry (hex; "" where nothing was)."""

    records: int
    points: tuple[str, ...]
    entry: str
    at: int


class Rectification:
    """Shows what can be corrected, and corrects it. Methods block: call them from a thread."""

    def __init__(self, store: Store, vault: Vault, versions: Versions, requests: Requests) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.requests = requests

    # --- looking ---

    def points(self, tenant: str, sid: bytes) -> list[Point]:
        """The points where this person told something, each as it was declared last; nothing is opened."""
        found = {}
        for record in sorted(self.store.read(lambda c: self._records(c, tenant, sid)), key=lambda r: r.anchor_ms):
            point = self.versions.history.version(record.terms.version).points.get(record.terms.point)
            if point is not None:
                found[point.id] = point
        return list(found.values())

    def shown(self, tenant: str, sid: bytes, point: str, *, proof: bytes | None = None) -> Correctable:
        """What the person told at this point, after the entry that says they looked. ``NotFound``: nothing, or nobody.

        ``proof`` is the entry of the sign-in that it rests on, where that was no link.
        """
        told = self.told(tenant, sid, point)
        secret = self.vault.opening(tenant, sid)

        def body(tx: DataTx) -> None:
            if not self.vault.exists(tx.connection, tenant, sid):
                raise NotFound(NOT_HERE, clause=CLAUSE)
            facts = {"records": told.records}
            tx.append(EntryDraft("data.shown", CLAUSE, "right.rectify", "subject", refers=proof, facts=facts), secret)

        self.store.write(Write(body=body, lane=Lane.RIGHTS))
        return told

    def told(self, tenant: str, sid: bytes, point: str) -> Correctable:
        """As ``shown``, for whoever notes by themselves who looked."""
        return self._told(self.opened(tenant, sid), point)

    def opened(self, tenant: str, sid: bytes) -> list[Opened]:
        """The person's records, oldest first, each under the version it was collected under; ``NotFound``."""
        records = self.store.read(lambda c: self._records(c, tenant, sid))
        found = []
        for record in sorted(records, key=lambda r: (r.anchor_ms, r.rid)):
            point = self.versions.history.version(record.terms.version).points.get(record.terms.point)
            if point is not None:
                found.append(Opened(record, point, self.vault.open(tenant, record)))
        return found

    def _records(self, connection: Connection, tenant: str, sid: bytes) -> list[StoredRecord]:
        if not self.vault.exists(connection, tenant, sid):
            raise NotFound(NOT_HERE, clause=CLAUSE)
        return self.vault.records(connection, tenant, sid)

    def _told(self, opened: list[Opened], name: str) -> Correctable:
        own = [one for one in opened if one.record.terms.point == name]
        if not own:
            raise NotFound("you told us nothing at this place", clause=CLAUSE)
        values: dict[str, str] = {}
        for one in own:
            values |= {key: str(value) for key, value in one.content.items() if key != MEMBER}
        return Correctable(as_told(own), values, len(own), fingerprint(one.record for one in own))

    # --- changing ---

    def correct(
        self,
        tenant: str,
        sid: bytes,
        point: str,
        values: Mapping[str, Any],
        *,
        seen: str | None = None,
        proof: bytes | None = None,
        by: By = THEMSELVES,
    ) -> Corrected:
        """Put ``values`` in the place of what was told at ``point``; fields that are not named stay as they are.

        A value that other records hold too, in a field of the same category, is replaced there as well. An empty
        optional value is taken out. In force when this returns. Raises ``NotFound`` (nothing of theirs was told
        there), ``Undeclared`` (a field that no clause declares), ``Faulty`` (a value that does not fit, or one that
        identifies and is changed elsewhere), ``Conflict`` (it is not any more what ``seen`` saw).
        """
        opened = self.opened(tenant, sid)
        told = self._told(opened, point)
        if seen is not None and seen != told.seen:
            raise Conflict(MOVED, clause=CLAUSE)
        changed = changes(told, values)
        found = [new for one in opened if (new := replacement(one, told, changed)) is not None]
        return self._replace(tenant, sid, found, proof, by)

    def _replace(self, tenant: str, sid: bytes, found: list[Replacement], proof: bytes | None, by: By) -> Corrected:
        if not found:
            return Corrected(0, (), "", self.store.now())
        secret = self.vault.opening(tenant, sid)
        sealed = self.seal(found)
        points = tuple(dict.fromkeys(new.opened.record.terms.point for new in found))

        def body(tx: DataTx) -> list[bytes]:
            refers = proof if by.note is None else by.note(tx)
            eids = self.put(tx, tenant, sid, found, sealed, secret, refers=refers, actor=by.actor)
            rid = self.requests.record(tx, "rectification", tenant=tenant, sid=sid)
            self.requests.end(tx, rid, "fulfilled", {"records": len(found)})
            tx.enqueue(RECTIFIED_JOB, reference(tenant, sid, eids, found))
            return eids

        def after(ktx: KeyTx, eids: list[bytes]) -> None:
            self.guard(ktx, tenant, sid, zip(eids, (new.opened.record.rid for new in found), strict=True), ktx.now)

        eids = self.store.write(Write(body=body, after=after, lane=Lane.RIGHTS))
        return Corrected(len(found), points, eids[0].hex(), self.store.now())

    # --- the parts that a change of address uses too ---

    def seal(self, found: Iterable[Replacement]) -> list[bytes]:
        """The new contents, each sealed for its place; ``NotFound`` if the person is being erased."""
        return [self.vault.reseal(new.opened.record, new.content) for new in found]

    def put(
        self,
        tx: DataTx,
        tenant: str,
        sid: bytes,
        found: list[Replacement],
        sealed: list[bytes],
        secret: bytes,
        *,
        refers: bytes | None,
        actor: str = "subject",
    ) -> list[bytes]:
        """Replace the records, each with its entry, whose ids are returned; all of them, or ``Conflict``."""
        if not self.vault.exists(tx.connection, tenant, sid):
            raise NotFound(NOT_HERE, clause=CLAUSE)
        eids = []
        for new, ct in zip(found, sealed, strict=True):
            record = new.opened.record
            if not self.vault.replace(tx, record, ct):
                raise Conflict(MOVED, clause=CLAUSE)
            facts = {"point": record.terms.point, "class": record.class_, "fields": list(new.fields)}
            draft = EntryDraft("data.rectified", CLAUSE, "right.rectify", actor, refers=refers, facts=facts)
            entry = tx.append(draft, secret)
            row = {"tenant": tenant, "sid": sid, "eid": entry.eid, "rid": record.rid, "point": record.terms.point}
            names = msgspec.json.encode(new.fields).decode()
            tx.execute(INSERT, row | {"fields": names, "at_ms": tx.now})
            eids.append(entry.eid)
        self.vault.change_state(tx, tenant, sid, lambda state: state)  # who read the old value looks again
        return eids

    def guard(self, ktx: KeyTx, tenant: str, sid: bytes, pairs: Iterable[tuple[bytes, bytes]], at_ms: int) -> None:
        """What a restore must blank: (entry, record) of each correction."""
        for eid, rid in pairs:
            self.vault.guard(ktx, eid, tenant, sid, "rectified", at_ms, rid=rid)

    def redo(self, job: Job) -> None:
        """The job behind a correction: its guards, if a crash kept them, and the old ciphertext out of D's files."""
        tenant, sid, pairs = referred(job.ref)
        at = self.store.read(lambda c: c.execute(ENTRY_AT, {"of_eid": pairs[0][0]}).scalar()) or 0
        self.store.write_keys(lambda ktx: self.guard(ktx, tenant, sid, pairs, at))
        if not self.store.truncate_data():
            raise Later()  # a reader holds the log that the old ciphertext lies in


def as_told(own: list[Opened]) -> Point:
    """The point of a person's records there: what is held is to be corrected, whether or not it is still asked for."""
    newest = own[-1].point
    fields = {field.name: field for one in own[:-1] for field in one.fields} | {f.name: f for f in newest.fields}
    return msgspec.structs.replace(newest, fields=tuple(fields.values()))


def changes(told: Correctable, values: Mapping[str, Any]) -> dict[str, str]:
    """Field -> new value ("" takes it out) of what is other than before; raises what the door raises."""
    kept, faults = clean(told.point, dict(told.values) | dict(values))
    if faults:
        raise Faulty(faults, CLAUSE)
    found = {f.name: kept.get(f.name, "") for f in told.point.fields if kept.get(f.name) != told.values.get(f.name)}
    identifying = tuple(f"/{f.name}: identifies" for f in told.point.fields if f.identifier and f.name in found)
    if identifying:
        raise Invalid("this is what you are found by: it is changed after a proof", clause=CLAUSE, gaps=identifying)
    return found


def replacement(one: Opened, told: Correctable, changed: Mapping[str, str]) -> Replacement | None:
    """A record as it will be; None where nothing in it changes.

    At the point itself each changed field is set. Elsewhere a field is set that has the same category and holds the
    same old value: the same fact, told twice.
    """
    here = one.point.id == told.point.id
    new: dict[str, str] = {}
    for own in one.fields:
        if here:
            if own.name in changed:
                new[own.name] = changed[own.name]
            continue
        for name, value in changed.items():
            field, old = told.point.field(name), told.values.get(name)
            same = field is not None and field.category == own.category and old and one.content.get(own.name) == old
            if same and not own.identifier and broken_rule(own, value) is None:
                new[own.name] = value
    return altered(one, new)


def altered(one: Opened, new: Mapping[str, str]) -> Replacement | None:
    """The record with these values; None if it has them already. An empty one goes."""
    fields = tuple(sorted(name for name, value in new.items() if (one.content.get(name) or "") != value))
    if not fields:
        return None
    content = {name: value for name, value in (one.content | dict(new)).items() if value != ""}
    return Replacement(one, content, fields)


def fingerprint(records: Iterable[StoredRecord]) -> str:
    """What a form carries of what it showed: another value once any of these records changed."""
    parts = sorted(record.rid + record.ct for record in records)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def reference(tenant: str, sid: bytes, eids: Collection[bytes], found: Iterable[Replacement]) -> str:
    """A job's name for corrections: ids only."""
    pairs = (f"{eid.hex()}:{new.opened.record.rid.hex()}" for eid, new in zip(eids, found, strict=True))
    return f"{tenant}/{sid.hex()}/{','.join(pairs)}"


def referred(ref: str) -> tuple[str, bytes, list[tuple[bytes, bytes]]]:
    """What ``reference`` named."""
    tenant, sid, pairs = ref.rsplit("/", 2)
    split = (pair.split(":") for pair in pairs.split(","))
    return tenant, bytes.fromhex(sid), [(bytes.fromhex(eid), bytes.fromhex(rid)) for eid, rid in split]


def corrections_of(connection: Connection, tenant: str, sid: bytes) -> list[dict[str, Any]]:
    """When and what kind of data a person corrected, oldest first: for their copy."""
    rows = connection.execute(OF_PERSON, {"of_tenant": tenant, "of_sid": sid})
    return [{"at": row.at_ms, "point": row.point, "fields": msgspec.json.decode(row.fields)} for row in rows]
