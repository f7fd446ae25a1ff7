"""What was written, read back and held against what was exported: every row, and a sample opened with the new keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from sqlalchemy import func, select

from troth.errors import Damaged, NotFound
from troth.store.engine import Database
from troth.store.moving.shapes import Shape, snapshot
from troth.store.tables import personal_records, subjects
from troth.vault.keys import Keyring
from troth.vault.moving.export import Export
from troth.vault.moving.rewrapping import REWRAP, require_same
from troth.vault.provider import RootProvider
from troth.vault.records import unseal
from troth.vault.subjects import TABLE, THERE
from troth.world import Clock, Randomness

SAMPLE = 500  # records, evenly over all of them
OF_THERE = (personal_records.c.tenant == subjects.c.tenant) & (personal_records.c.sid == subjects.c.sid)
RECORDS = (
    select(personal_records).join(subjects, OF_THERE).where(subjects.c.mode.in_(THERE))  # who is erased keeps no key
)
COUNT = select(func.count()).select_from(RECORDS.subquery())


def compare_table(export: Export, shape: Shape, found: Iterable[Any], root: RootProvider) -> None:
    """``Damaged`` unless the rows found are those of the export: the same bytes, or keys under another root."""
    name = shape.table.name
    if name in REWRAP:
        for told, row in zip_longest(export.rows(shape), found):
            if told is None or row is None:
                raise Damaged(f"{name} has not as many rows as were exported")
            require_same(name, told, export.over, shape.row(*row), root)
        return
    digest = hashlib.sha256()
    for row in found:
        digest.update(shape.line(row))
    if digest.hexdigest() != export.manifest.file(shape.file).sha256:
        raise Damaged(f"{name} was not written as it was exported")


def open_sample(data: Database, keys: Database, root: RootProvider, clock: Clock, randomness: Randomness) -> int:
    """Open a sample of the records with the keys that came with them; how many. ``Damaged`` if one does not open."""
    ring = Keyring.open(keys, root, clock, randomness)
    opened = 0
    with snapshot(data) as connection:
        every = max(1, connection.execute(COUNT).scalar_one() // SAMPLE)
        for number, row in enumerate(connection.execute(RECORDS).yield_per(SAMPLE)):
            if number % every:
                continue
            sid, rid, class_ = bytes(row.sid), bytes(row.rid), row._mapping[personal_records.c.class_]
            try:
                cipher = ring.cipher(row.tenant, sid, class_)
            except NotFound:
                raise Damaged("a record has no key among those that came with it") from None
            unseal(cipher, bytes(row.ct), row.tenant, sid, class_, rid, TABLE, row.schema)
            opened += 1
    return opened
