"""The rows of the blind index: who an identifier belongs to, and what must not be sent to it any more.

A tag is ``pending`` until its address is proven, then ``live`` and the only one of its value; a suppression outlives
the person's data and points at nobody. The database decides who is first (invariant 18), not this code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, literal_column, select, update

from troth.errors import Busy, Conflict
from troth.store.tables import tags
from troth.store.text import Text
from troth.vault.buckets import NORMAL, Bucket
from troth.vault.index import VERSION, bucket_of, inner, permute, restore
from troth.vault.keys import INDEX, Keyring
from troth.vault.wrapping import derive

OF_SID = (tags.c.tenant == bindparam("of_tenant"), tags.c.sid == bindparam("of_sid"))
OF_TAG = (
    tags.c.tenant == bindparam("of_tenant"),
    tags.c.kind == bindparam("of_kind"),
    tags.c.tag == bindparam("of_tag"),
)
ADD = Text(
    "INSERT INTO tags"
    " (tenant, kind, key_version, tag, suppression, bucket, generation, sid, state, scope, created_ms, expires_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
LIVE = Text("SELECT sid FROM tags WHERE tenant = ? AND kind = ? AND tag = ? AND state = 'live'")
MINE = Text("SELECT 1 FROM tags WHERE tenant = ? AND kind = ? AND tag = ? AND sid = ?")
OF_PERSON = select(tags.c.kind, tags.c.bucket, tags.c.generation, tags.c.suppression).where(
    *OF_SID, tags.c.suppression.is_not(None)
)
LIVE_KINDS = select(tags.c.kind).where(*OF_SID, tags.c.state == "live")
PROMOTE = update(tags).where(*OF_SID, tags.c.state == "pending").values(state="live", expires_ms=None)
OF_KIND = select(tags.c.id, tags.c.tag, tags.c.state).where(*OF_SID, tags.c.kind == bindparam("of_kind"))
SET_STATE = (
    update(tags)
    .where(tags.c.id == bindparam("of_id"))
    .values(state=bindparam("new_state"), expires_ms=bindparam("new_expires"))
)
DROP = delete(tags).where(tags.c.id == bindparam("of_id"))
LIFT = delete(tags).where(*OF_TAG, tags.c.state == "suppressed", tags.c.scope == bindparam("of_scope"))
HELD = tags.alias("held")
OWNER = (
    select(HELD.c.sid)
    .select_from(tags.join(HELD, (HELD.c.tenant == tags.c.tenant) & (HELD.c.kind == tags.c.kind)))
    .where(*OF_SID, tags.c.state == "pending", HELD.c.tag == tags.c.tag, HELD.c.state == "live")
    .where(HELD.c.sid != tags.c.sid)
    .limit(1)
)
LOSE = update(tags).where(*OF_SID, tags.c.state == "live").values(state="lost")
TAKEN = select(HELD.c.id).where(
    HELD.c.tenant == tags.c.tenant, HELD.c.kind == tags.c.kind, HELD.c.tag == tags.c.tag, HELD.c.state == "live"
)
REGAIN = update(tags).where(*OF_SID, tags.c.state == "lost", ~TAKEN.correlate(tags).exists()).values(state="live")
EXPIRED = (
    select(tags.c.tenant, tags.c.sid)
    .where(tags.c.state == literal_column("'pending'"), tags.c.expires_ms <= bindparam("now_ms"))
    .order_by(tags.c.expires_ms)
    .limit(bindparam("at_most"))
)
# One statement, so that the tag and the generation it was looked for under are of one moment.
PROBE = (
    "SELECT b.generation, t.state, t.sid FROM buckets b"
    " LEFT JOIN tags t ON t.tenant = ? AND t.kind = ? AND t.tag = ? AND t.state = ? AND t.scope = ?"
    " WHERE b.kind = 'tag' AND b.number = ? AND b.compartment = 'normal'"
)
SPARED = (
    "SELECT b.generation, t.scope FROM buckets b"
    " LEFT JOIN tags t ON t.tenant = ? AND t.kind = ? AND t.tag = ? AND t.state = 'suppressed'"
    " WHERE b.kind = 'tag' AND b.number = ? AND b.compartment = 'normal'"
)


class Identifier(NamedTuple):
    """An identifier as keyed hashes: the value itself is not needed any more. 16 bytes each."""

    kind: str
    inner: bytes
    suppression: bytes


class Tags:
    """Everything that reads or writes index rows."""

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring
        self._probe = ring.database.sql(PROBE)
        self._spared = ring.database.sql(SPARED)

    def identifier(self, tenant: str, kind: str, value: str) -> Identifier:
        """The keyed hashes of a value; ``Invalid`` (without the value) if it has no normal form."""
        key = self._ring.secret(INDEX)
        return Identifier(
            kind, inner(key, "identifier", tenant, kind, value), inner(key, "suppression", tenant, kind, value)
        )

    # --- reading, outside of any transaction ---

    def find(self, tenant: str, kind: str, value: str) -> bytes | None:
        """The subject with a live tag for this value, or None."""
        found = self._look(tenant, kind, inner(self._ring.secret(INDEX), "identifier", tenant, kind, value), "live", "")
        return found[1] if found else None

    def suppressed(self, tenant: str, kind: str, value: str, scope: str) -> bool:
        """Whether this value is suppressed for exactly this scope."""
        hashed = inner(self._ring.secret(INDEX), "suppression", tenant, kind, value)
        return self._look(tenant, kind, hashed, "suppressed", scope) is not None

    def scopes(self, tenant: str, kind: str, hashed: bytes) -> frozenset[str]:
        """Every scope for which the value behind this keyed hash (``Identifier.suppression``) is suppressed."""
        number = bucket_of(hashed)
        for bucket in self._buckets(number):
            if bucket is None:
                return frozenset()  # a bucket is made with its first tag
            raw = self._ring.database.raw_reader()
            rows = raw.execute(self._spared, (tenant, kind, permute(bucket.key, hashed), number)).fetchall()
            if rows and rows[0][0] == bucket.generation:
                return frozenset(scope for _, scope in rows if scope is not None)
        raise Busy("the index is being re-keyed: try again")

    def kinds(self, tenant: str, sid: bytes) -> frozenset[str]:
        """The kinds of identifiers that this subject is found by; not the values, which nobody can tell from here."""
        with self._ring.database.connect() as connection:
            return frozenset(connection.execute(LIVE_KINDS, {"of_tenant": tenant, "of_sid": sid}).scalars())

    def owner(self, tenant: str, sid: bytes) -> bytes | None:
        """The other subject who holds a live tag equal to one that this subject has pending."""
        with self._ring.database.connect() as connection:
            return connection.execute(OWNER, {"of_tenant": tenant, "of_sid": sid}).scalar_one_or_none()

    def expired(self, now: int, limit: int = 500) -> list[tuple[str, bytes]]:
        """(tenant, sid) whose pending tag has outlived its link: never proven, due to be erased."""
        with self._ring.database.connect() as connection:
            rows = connection.execute(EXPIRED, {"now_ms": now, "at_most": limit})
            return [(row.tenant, row.sid) for row in rows]

    # --- in the caller's K transaction ---

    def holder(self, connection: Connection, tenant: str, of: Identifier) -> bytes | None:
        """The subject with a live tag for this identifier, as this transaction sees it."""
        bucket = self._bucket(connection, of.inner)
        tag = permute(bucket.key, of.inner)
        row = LIVE.run(connection, (tenant, of.kind, tag)).fetchone()
        return None if row is None else bytes(row[0])

    def add(
        self,
        connection: Connection,
        tenant: str,
        sid: bytes,
        of: Identifier,
        now: int,
        *,
        expires: int | None,
        live: bool,
    ) -> bool:
        """Add a tag; False if another subject holds it live. One that this subject has already stays as it is."""
        bucket = self._bucket(connection, of.inner)
        tag = permute(bucket.key, of.inner)
        if MINE.run(connection, (tenant, of.kind, tag, sid)).fetchone() is not None:
            return True
        row = (
            tenant,
            of.kind,
            VERSION,
            tag,
            permute(apart(bucket.key), of.suppression),
            bucket.number,
            bucket.generation,
            sid,
            "live" if live else "pending",
            "",
            now,
            None if live else expires,
        )
        return bool(ADD.run(connection, row).rowcount == 1)

    def promote(self, connection: Connection, tenant: str, sid: bytes) -> int:
        """Make this subject's pending tags live; how many. ``IntegrityError`` if another subject is first."""
        return connection.execute(PROMOTE, {"of_tenant": tenant, "of_sid": sid}).rowcount

    def settle(
        self,
        connection: Connection,
        tenant: str,
        sid: bytes,
        kind: str,
        now: int,
        *,
        live: Collection[Identifier],
        pending: Collection[Identifier],
        expires: int | None,
    ) -> None:
        """Let this subject have exactly these identifiers of this kind. Repeating is harmless.

        ``Conflict`` (or ``IntegrityError``, where another process was faster) if another subject holds one live,
        ``NotFound`` if this one has no keys any more: an erased person gets no new tags.
        """
        self._ring.require(connection, tenant, sid)
        wanted: dict[bytes, tuple[str, Identifier]] = {}
        for state, these in (("pending", pending), ("live", live)):
            for of in these:
                wanted[permute(self._bucket(connection, of.inner).key, of.inner)] = (state, of)
        for row in connection.execute(OF_KIND, {"of_tenant": tenant, "of_sid": sid, "of_kind": kind}).all():
            state, _ = wanted.pop(bytes(row.tag), ("", None))
            if not state:
                connection.execute(DROP, {"of_id": row.id})
            elif state != row.state:
                self._require_free(connection, tenant, sid, kind, bytes(row.tag), state)
                ends = expires if state == "pending" else None
                connection.execute(SET_STATE, {"of_id": row.id, "new_state": state, "new_expires": ends})
        for tag, (state, of) in wanted.items():
            self._require_free(connection, tenant, sid, kind, tag, state)
            self.add(connection, tenant, sid, of, now, expires=expires, live=state == "live")

    def _require_free(self, connection: Connection, tenant: str, sid: bytes, kind: str, tag: bytes, state: str) -> None:
        row = LIVE.run(connection, (tenant, kind, tag)).fetchone() if state == "live" else None
        if row is not None and bytes(row[0]) != sid:
            raise Conflict("this identifier belongs to somebody else")

    def lose(self, connection: Connection, tenant: str, sid: bytes) -> int:
        """Take this subject's tags out of the index without deleting them: a restore lost their data; how many."""
        return connection.execute(LOSE, {"of_tenant": tenant, "of_sid": sid}).rowcount

    def regain(self, connection: Connection, tenant: str, sid: bytes) -> int:
        """Undo ``lose``: a newer backup has this subject. Whoever came in under the same value meanwhile keeps it."""
        return connection.execute(REGAIN, {"of_tenant": tenant, "of_sid": sid}).rowcount

    def suppress(self, connection: Connection, tenant: str, sid: bytes, scope: str, now: int) -> int:
        """Suppress this subject's identifiers for ``scope``; how many were not yet. It outlives the subject."""
        added = 0
        for kind, hashed in self._of_person(connection, tenant, sid):
            added += self._suppress(connection, tenant, kind, hashed, scope, now)
        return added

    def suppress_value(self, connection: Connection, tenant: str, kind: str, value: str, scope: str, now: int) -> int:
        """Suppress a value that may belong to nobody here; 1, or 0 if it was."""
        return self._suppress(connection, tenant, kind, self.identifier(tenant, kind, value).suppression, scope, now)

    def lift(self, connection: Connection, tenant: str, sid: bytes, scope: str, at_ms: int) -> bool:
        """Remove the suppressions of this subject's identifiers for ``scope``; whether there was one."""
        gone = 0
        for kind, hashed in self._of_person(connection, tenant, sid):
            tag = permute(self._bucket(connection, hashed).key, hashed)
            place = {"of_tenant": tenant, "of_kind": kind, "of_tag": tag, "of_scope": scope}
            if lifted := connection.execute(LIFT, place).rowcount:
                self._ring.buckets.shed(connection, "tag", bucket_of(hashed), NORMAL, at_ms)
                gone += lifted
        return gone > 0

    # --- inside ---

    def _bucket(self, connection: Connection, hashed: bytes) -> Bucket:
        return self._ring.buckets.hold(connection, "tag", bucket_of(hashed))

    def _of_person(self, connection: Connection, tenant: str, sid: bytes) -> list[tuple[str, bytes]]:
        """(kind, suppression's keyed hash) of every identifier that this subject has."""
        found = set()
        for row in connection.execute(OF_PERSON, {"of_tenant": tenant, "of_sid": sid}).all():
            bucket = self._ring.buckets.hold(connection, "tag", row.bucket)
            if bucket.generation != row.generation:
                raise Conflict("an index entry is of another generation than its bucket")
            found.add((row.kind, restore(apart(bucket.key), row.suppression)))
        return sorted(found)

    def _suppress(self, connection: Connection, tenant: str, kind: str, hashed: bytes, scope: str, now: int) -> int:
        bucket = self._bucket(connection, hashed)
        tag = permute(bucket.key, hashed)
        row = (tenant, kind, VERSION, tag, None, bucket.number, bucket.generation, None, "suppressed", scope, now, None)
        return int(ADD.run(connection, row).rowcount)

    def _look(self, tenant: str, kind: str, hashed: bytes, state: str, scope: str) -> tuple[str, bytes | None] | None:
        """(state, sid) of the matching row, or None."""
        number = bucket_of(hashed)
        for bucket in self._buckets(number):
            if bucket is None:
                return None  # a bucket is made with its first tag
            raw = self._ring.database.raw_reader()
            asked = (tenant, kind, permute(bucket.key, hashed), state, scope, number)
            row = raw.execute(self._probe, asked).fetchone()
            if row is not None and row[0] == bucket.generation:
                return None if row[1] is None else (row[1], row[2])
        raise Busy("the index is being re-keyed: try again")

    def _buckets(self, number: int) -> Iterator[Bucket | None]:
        """The bucket as it was seen last, which is nearly always as it is; then as K has it, a few times."""
        seen = self._ring.buckets.seen("tag", number)
        if seen is not None:
            yield seen
        for _ in range(4):
            with self._ring.database.connect() as connection:
                bucket = self._ring.buckets.peek(connection, "tag", number)
            yield bucket


@lru_cache(maxsize=512)
def apart(bucket_key: bytes) -> bytes:
    """The key for the suppression's hash beside a tag: never the bytes that a suppression's own row has."""
    return derive(bucket_key, "troth.index.suppression")
