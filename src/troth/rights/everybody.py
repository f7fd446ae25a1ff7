"""Everybody, with what of theirs is due: what the retention run goes over, and what the board counts anew.

A page of persons costs four statements however many they are: their rows, states, records and consents are each read
for the whole page, by its first and last person. Clauses: ``retain.while-used``, ``retain.periods``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, func, select, tuple_

from troth.notice.consents import CLASS as CONSENT_CLASS
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, Keep, Template
from troth.store import Store
from troth.store.tables import consent_records, ledger, personal_records, subject_states, subjects, terms
from troth.vault.retention import Span, due, to_warn

PAGE = 200  # persons
IDLE = "account.idle"  # the event that sets the letter off


def _on_the_page(table: Table) -> ColumnElement[bool]:
    """The rows of whoever lies between the first and the last person of a page; a page is of one tenant.

    Two comparisons of one column, not of pairs: of pairs PostgreSQL expects a third of the table, and reads it all.
    """
    return (table.c.tenant == bindparam("of_tenant")) & table.c.sid.between(bindparam("first"), bindparam("last"))


PERSONS = (
    select(subjects.c.tenant, subjects.c.sid, subjects.c.generation, subjects.c.last_use_ms)
    .where(
        tuple_(subjects.c.tenant, subjects.c.sid) > tuple_(bindparam("after_tenant"), bindparam("after_sid")),
        subjects.c.mode.in_(("pending", "live")),
    )
    .order_by(subjects.c.tenant, subjects.c.sid)
    .limit(PAGE)
)
STATES = select(subject_states).where(_on_the_page(subject_states))
RECORDS = (
    select(
        personal_records.c.tenant,
        personal_records.c.sid,
        personal_records.c.rid,
        personal_records.c.class_,
        personal_records.c.anchor_ms,
        terms.c.version,
    )
    .join(terms, terms.c.id == personal_records.c.terms_id)
    .where(_on_the_page(personal_records))
    .order_by(personal_records.c.tenant, personal_records.c.sid, personal_records.c.rid)
)
CONSENTS = (
    select(
        consent_records.c.tenant,
        consent_records.c.sid,
        consent_records.c.cid,
        consent_records.c.version,
        consent_records.c.consent,
        # from when it is kept: when it was given, or, while nobody has said yes, when it was asked
        func.coalesce(consent_records.c.given_ms, ledger.c.at_ms, 0).label("anchor_ms"),
    )
    .select_from(consent_records.outerjoin(ledger, ledger.c.eid == consent_records.c.eid))
    .where(_on_the_page(consent_records))
)


class Record(NamedTuple):
    """A record as keeping sees it, without its content."""

    rid: bytes
    class_: str
    version: str
    anchor_ms: int


@dataclass(frozen=True)
class Person:
    """One subject as the run sees it: what of theirs is due, and what is left. ``generation`` is the subject's."""

    tenant: str
    sid: bytes
    due: tuple[Record, ...]
    left: tuple[Record, ...]
    generation: int
    consents_due: tuple[bytes, ...] = ()
    consents_left: int = 0
    to_warn: tuple[tuple[str, int], ...] = ()  # state, and when it will end by disuse if they are told now

    @property
    def anything_due(self) -> bool:
        """Whether a record or a consent record is past its time."""
        return bool(self.due or self.consents_due)

    @property
    def stays(self) -> bool:
        """Whether something of theirs is still to be kept."""
        return bool(self.left or self.consents_left)


class Everybody:
    """All persons, and what of theirs is due at a time."""

    def __init__(self, store: Store, versions: Versions) -> None:
        self.store = store
        self.versions = versions

    def at(self, now: int) -> Iterator[Person]:
        """Every person with what of theirs is due at ``now``, in milliseconds UTC; each page is one snapshot."""
        after = ("", b"")
        while people := self.store.read(partial(self._page, after, now)):
            yield from people
            after = (people[-1].tenant, people[-1].sid)

    def _page(self, after: tuple[str, bytes], now: int, connection: Connection) -> list[Person]:
        found = connection.execute(PERSONS, {"after_tenant": after[0], "after_sid": after[1]}).all()
        if not found:
            return []
        found = [row for row in found if row.tenant == found[0].tenant]
        page = {"of_tenant": found[0].tenant, "first": found[0].sid, "last": found[-1].sid}
        states, records, consents = (_by_person(connection, each, page) for each in (STATES, RECORDS, CONSENTS))
        warns = letter_of(self.versions.current()) is not None
        out = []
        for row in found:
            who = row.tenant, bytes(row.sid)
            spans = {state.state: (state.since_ms, state.until_ms) for state in states[who]}
            out.append(self._person(row, spans, records[who], consents[who], now, warns))
        return out

    def _person(
        self,
        row: Any,
        states: Mapping[str, Span],
        records: Sequence[Any],
        consents: Sequence[Any],
        now: int,
        warns: bool,
    ) -> Person:
        past: list[Record] = []
        left: list[Record] = []
        untold: dict[str, int] = {}
        for found in records:
            record = Record(bytes(found.rid), found.class_, found.version, found.anchor_ms)
            end = self._due(record, states, row.last_use_ms)
            told = self._to_warn(record, states, row.last_use_ms, now) if warns else {}
            untold |= told
            (past if end is not None and end <= now and not told else left).append(record)
        ends = [(bytes(each.cid), self._consent_due(each, states, row.last_use_ms)) for each in consents]
        ended = tuple(cid for cid, end in ends if end is not None and end <= now)
        return Person(
            row.tenant,
            bytes(row.sid),
            tuple(past),
            tuple(left),
            row.generation,
            consents_due=ended,
            consents_left=len(ends) - len(ended),
            to_warn=tuple(sorted(untold.items())),
        )

    def _consent_due(self, consent: Any, states: Mapping[str, Span], last_use: int) -> int | None:
        """As ``_due``, for a record of consent: by the class of consents, or else by that of what was consented to."""
        version = self.versions.history.version(consent.version)
        keep = version.keeps.get(CONSENT_CLASS)
        ask = version.consents.get(consent.consent)
        if keep is None and ask is not None:
            keep = next((version.keeps.get(use.keep) for use in version.uses if use.purpose == ask.purpose), None)
        return due(keep, version.states, consent.anchor_ms, states, last_use) if keep else None

    def _due(self, record: Record, states: Mapping[str, Span], last_use: int) -> int | None:
        """When this record is due by the version it was collected under; None while it is not to be told."""
        keep, version = self._kept(record)
        return due(keep, version.states, record.anchor_ms, states, last_use) if keep else None

    def _to_warn(self, record: Record, states: Mapping[str, Span], last_use: int, now: int) -> dict[str, int]:
        """What is to be told before this record's keeping ends by disuse; until then it does not end."""
        keep, version = self._kept(record)
        return {rule.name: end for rule, end in to_warn(keep, version.states, states, last_use, now)} if keep else {}

    def _kept(self, record: Record) -> tuple[Keep | None, CompiledPolicy]:
        version = self.versions.history.version(record.version)
        return version.keeps.get(record.class_), version


def _by_person(
    connection: Connection, statement: Select[Any], page: Mapping[str, Any]
) -> defaultdict[tuple[str, bytes], list[Any]]:
    found: defaultdict[tuple[str, bytes], list[Any]] = defaultdict(list)
    for row in connection.execute(statement, page):
        found[row.tenant, bytes(row.sid)].append(row)
    return found


def letter_of(policy: CompiledPolicy) -> Template | None:
    """The declared letter that tells of disuse, if there is one."""
    return next((t for t in policy.templates.values() if t.trigger == IDLE), None)


class Late(NamedTuple):
    """How many persons have something that is due and still there, and how many were to be told and were not."""

    due: int
    untold: int


def people_late(store: Store, versions: Versions, at_ms: int) -> Late:
    """Who was to be erased or told by this time, counted anew."""
    people = [(p.anything_due, bool(p.to_warn)) for p in Everybody(store, versions).at(at_ms)]
    return Late(sum(due for due, _ in people), sum(untold for _, untold in people))
