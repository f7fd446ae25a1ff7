"""A batch of visits, written down: sums in cells, and the history of those who agreed, in one transaction.

Visits that arrive together are one write and at most two entries of the ledger, as reads are. Sums: each visitor's
cells of the day stand beside their keyed hash while the day lasts, so that "different visitors" is exact. Histories:
one sealed record a visitor, hour and version, grown by re-sealing it; the consent is asked of the person's state in
this very transaction. Clauses: ``collect.navigation``, ``collect.ip-location``; mechanism: ``count.visits``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from troth.collect.visits.rules import VIEW, Rules
from troth.policy.decide import decide
from troth.policy.model import Form, History, Question, Terms
from troth.store.ledger import EntryDraft
from troth.store.text import Text
from troth.store.writer import DataTx
from troth.vault import Vault
from troth.world import DAY_MS, Randomness

HOUR_MS = 3_600_000
CHUNK = 64
MOST_AN_HOUR = 240  # what one visitor's record of an hour holds: who sends more is no person
MOST_ALIKE = 10_000
MOST_NEW = 2_000  # new values of a dimension a day; what comes beyond is counted under one name
OTHER = "…"
PSEUDONYMOUS = Form("pseudonymous")

FIND_CELL = Text("SELECT id FROM visit_cells WHERE tenant = ? AND surface = ? AND dimension = ? AND value = ?")
ADD_CELL = Text(
    "INSERT INTO visit_cells (tenant, surface, dimension, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
SET_SEEN = Text(
    "INSERT INTO visit_seen (day, who, cells) VALUES (?, ?, ?)"
    " ON CONFLICT (day, who) DO UPDATE SET cells = excluded.cells"
)
ADD_COUNT = Text(
    "INSERT INTO visit_counts (day, cell, views, visitors) VALUES (?, ?, ?, ?) ON CONFLICT (day, cell) DO UPDATE"
    " SET views = visit_counts.views + excluded.views, visitors = visit_counts.visitors + excluded.visitors"
)
ADD_RECORD = Text(
    "INSERT INTO personal_records (tenant, sid, rid, terms_id, class, schema, anchor_ms, eid, ct)"
    " VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?)"
)
SET_RECORD = Text("UPDATE personal_records SET ct = ?, eid = ? WHERE tenant = ? AND sid = ? AND rid = ?")
TOUCH = Text("UPDATE subjects SET last_use_ms = ? WHERE tenant = ? AND sid = ? AND last_use_ms < ?")


class Visit(NamedTuple):
    """One visit as it is counted: cut, and without the address it came from.

    ``who`` is the keyed hash of the day, empty where nothing is summed; ``sid`` the visitor who agreed, or None.
    """

    at_ms: int
    surface: str
    who: bytes
    sid: bytes | None
    page: str
    referrer: str = ""
    campaign: str = ""
    event: str = ""
    country: str = ""
    device: str = ""


Name = tuple[str, str, str]  # surface, dimension, value


@lru_cache(maxsize=CHUNK)
def seen_by(count: int) -> Text:
    """The cells of so many visitors of a day: one statement, since each costs two hand-overs of the interpreter."""
    marks = ", ".join("?" * count)
    return Text(f"SELECT who, cells FROM visit_seen WHERE day = ? AND who IN ({marks})")  # noqa: S608 - marks only


@lru_cache(maxsize=CHUNK)
def histories(count: int) -> Text:
    """So many visitors: their mode and state now, and the record of each that is being grown."""
    marks = ", ".join(["(?, ?)"] * count)
    return Text(
        "SELECT q.column1, s.mode, s.generation, t.canonical, r.ct"  # noqa: S608 - marks only
        f" FROM (VALUES {marks}) q JOIN subjects s ON s.tenant = ? AND s.sid = q.column2"
        " JOIN states t ON t.id = s.state_id"
        " LEFT JOIN personal_records r ON r.tenant = s.tenant AND r.sid = s.sid AND r.rid = q.column1"
    )


class Cells:
    """The numbers of cells, remembered once they are committed."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.known: dict[Name, int] = {}
        self.alike: dict[tuple[Any, ...], list[int]] = {}  # what visits that differ in their page only are counted in
        self.fresh: dict[tuple[int, str, str], int] = {}  # day, surface, dimension -> how many new values

    def number(self, tx: DataTx, day: int, name: Name, found: dict[Name, int]) -> int:
        """The cell's number, given out if it is new; ``found`` takes what is new to us."""
        number = self.known.get(name) or found.get(name)
        if number is not None:
            return number
        surface, dimension, value = name
        row = FIND_CELL.run(tx.connection, (self.tenant, *name)).fetchone()
        if row is None:
            place = (day, surface, dimension)
            if self.fresh.get(place, 0) >= MOST_NEW and value != OTHER:
                return self.number(tx, day, (surface, dimension, OTHER), found)
            self.fresh[place] = self.fresh.get(place, 0) + 1
            ADD_CELL.run(tx.connection, (self.tenant, *name))
            row = FIND_CELL.run(tx.connection, (self.tenant, *name)).fetchone()
        found[name] = int(row[0])
        return found[name]

    def of(self, tx: DataTx, day: int, visit: Visit, counted: frozenset[str], found: dict[Name, int]) -> list[int]:
        """The cells that a visit is counted in besides its page's."""
        kind = (counted, visit.surface, visit.at_ms // HOUR_MS, *visit[5:])
        cells = self.alike.get(kind)
        if cells is None:
            cells = [self.number(tx, day, name, found) for name in names_of(visit, counted)]
            if not found:  # all of them are committed
                if len(self.alike) >= MOST_ALIKE:
                    self.alike.clear()
                self.alike[kind] = cells
        return cells

    def remember(self, found: dict[Name, int]) -> None:
        """What is committed now."""
        if len(self.known) > 100_000:
            self.known.clear()
        self.known.update(found)

    def forget(self) -> None:
        """After cells were deleted."""
        self.known.clear()
        self.alike.clear()
        self.fresh.clear()


def names_of(visit: Visit, counted: frozenset[str]) -> Iterable[Name]:
    """The cells that a visit is counted in besides its page's. A custom event is in its own cell and in no other."""
    surface = visit.surface
    if visit.event:
        if "event" in counted:
            yield surface, "event", visit.event
        return
    yield surface, "all", ""
    yield surface, "hour", f"{visit.at_ms // HOUR_MS % 24:02d}"
    for dimension in ("referrer", "campaign", "country", "device"):
        if dimension in counted:
            yield surface, dimension, getattr(visit, dimension)


class Counting:
    """Writes batches, in the writer's transactions."""

    def __init__(self, vault: Vault, chance: Randomness, tenant: str) -> None:
        self.vault = vault
        self.chance = chance
        self.tenant = tenant
        self.cells = Cells(tenant)
        self._agreed: dict[tuple[str, str, str], bool] = {}

    def add_up(self, tx: DataTx, rules: Rules, visits: Sequence[Visit]) -> dict[Name, int]:
        """Count visits in their cells; the cells that were new to us, to be remembered after the commit."""
        found: dict[Name, int] = {}
        days: dict[int, dict[bytes, list[Visit]]] = {}
        for visit in visits:
            days.setdefault(visit.at_ms // DAY_MS, {}).setdefault(visit.who, []).append(visit)
        fields = rules.counted if rules.count is not None else rules.viewed
        for day, by in days.items():
            before = self._seen(tx, day, list(by))
            viewed: list[int] = []
            newly: list[int] = []
            rows = []
            for who, of in by.items():
                blob = before.get(who, b"")
                seen = set(struct.unpack(f">{len(blob) // 4}I", blob))
                first = len(newly)
                for visit in of:
                    cells = self.cells.of(tx, day, visit, fields, found)
                    if not visit.event and "page" in fields:
                        cells = [*cells, self.cells.number(tx, day, (visit.surface, "page", visit.page), found)]
                    viewed += cells
                    if not seen.issuperset(cells):
                        newly += [cell for cell in cells if cell not in seen]
                        seen.update(cells)
                new = newly[first:]
                if new:
                    rows.append((day, who, blob + struct.pack(f">{len(new)}I", *new)))
            if rows:
                SET_SEEN.run_many(tx.connection, rows)
            views, visitors = Counter(viewed), Counter(newly)
            ADD_COUNT.run_many(tx.connection, [(day, cell, views[cell], visitors[cell]) for cell in sorted(views)])
        if rules.count is not None:
            tx.append(
                EntryDraft(
                    kind="visits.counted",
                    clause=rules.count.clause,
                    mechanism="count.visits",
                    actor="visitor",
                    purpose=rules.count.uses[0].purpose,
                    facts={"n": len(visits)},
                )
            )
        return found

    def _seen(self, tx: DataTx, day: int, whos: Sequence[bytes]) -> dict[bytes, bytes]:
        """In which cells these visitors were counted already."""
        found: dict[bytes, bytes] = {}
        for first in range(0, len(whos), CHUNK):
            some = whos[first : first + CHUNK]
            rows = seen_by(len(some)).run(tx.connection, (day, *some)).fetchall()
            found.update((bytes(who), bytes(cells)) for who, cells in rows)
        return found

    def _histories(self, tx: DataTx, wanted: Sequence[tuple[bytes, bytes]]) -> dict[bytes, tuple[Any, ...]]:
        """What is there of these records (record, visitor): record -> mode, generation, state, ciphertext."""
        found: dict[bytes, tuple[Any, ...]] = {}
        for first in range(0, len(wanted), CHUNK):
            some = wanted[first : first + CHUNK]
            values = [part for pair in some for part in pair]
            rows = histories(len(some)).run(tx.connection, (*values, self.tenant)).fetchall()
            found.update((bytes(row[0]), row[1:]) for row in rows)
        return found

    def write_down(
        self, tx: DataTx, history: History, rules: Rules, visits: Sequence[Visit], terms: Callable[[str], int]
    ) -> int:
        """Add visits to the histories of those who agreed; how many. Whoever no longer agrees is left out."""
        assert rules.view is not None
        assert rules.ask is not None
        eid = self.chance.bytes(16)
        by: dict[tuple[bytes, bytes], list[Visit]] = {}
        for visit in visits:
            assert visit.sid is not None
            rid = record_id(visit.sid, visit.at_ms // HOUR_MS, terms(visit.surface))
            by.setdefault((rid, visit.sid), []).append(visit)
        found = self._histories(tx, list(by))
        changed, new, used = [], [], []
        written = 0
        class_ = rules.view.uses[0].keep
        for (rid, sid), of in by.items():
            surface, row = of[0].surface, found.get(rid)
            if row is None or row[0] != "live" or not self.agreed(history, rules, surface, row[2]):
                continue
            place = (self.tenant, sid, class_, rid)
            held = self.vault.open_row(*place, 1, bytes(row[3]), row[1]) if row[3] is not None else {}
            room = MOST_AN_HOUR - sum(map(len, held.values()))
            for visit in of[: max(room, 0)]:
                name, text = ("event", f" {visit.event}") if visit.event else ("page", "")
                if name in rules.viewed:
                    held.setdefault(name, []).append(f"{clock_of(visit.at_ms // 1000)} {visit.page}{text}")
                    written += 1
            if room <= 0 or not held:
                continue
            sealed = self.vault.seal(*place, "personal_records", 1, held)
            if row[3] is None:
                new.append((self.tenant, sid, rid, terms(surface), class_, of[0].at_ms, eid, sealed))
                used.append((tx.now, self.tenant, sid, tx.now))
            else:
                changed.append((sealed, eid, self.tenant, sid, rid))
        for statement, rows in ((ADD_RECORD, new), (SET_RECORD, changed), (TOUCH, used)):
            if rows:
                statement.run_many(tx.connection, rows)
        if written:
            tx.append(
                EntryDraft(
                    kind="visits.viewed",
                    clause=rules.view.clause,
                    mechanism="count.visits",
                    actor="visitor",
                    purpose=rules.ask.purpose,
                    facts={"n": written, "visitors": len(new) + len(changed)},
                ),
                eid=eid,
            )
        return written

    def agreed(self, history: History, rules: Rules, surface: str, canonical: str) -> bool:
        """Whether a person in this state agrees to being followed: the decision itself, remembered by its input."""
        assert rules.ask is not None
        assert rules.view is not None
        policy = rules.policy
        key = (policy.version, surface, canonical)
        answer = self._agreed.get(key)
        if answer is None:
            terms = Terms(policy.controller.name, surface, VIEW, policy.version, keep=rules.view.uses[0].keep)
            question = Question(rules.ask.purpose, frozenset({"page"}), form=PSEUDONYMOUS)
            state = self.vault.state_from(canonical)
            answer = decide(history, terms, state, question, (), policy.version).allowed
            if len(self._agreed) > 1000:
                self._agreed.clear()
            self._agreed[key] = answer
        return answer


def record_id(sid: bytes, hour: int, terms: int) -> bytes:
    """The id of a visitor's record of an hour: found again without being looked for."""
    place = hour.to_bytes(8, "big") + terms.to_bytes(8, "big")
    return hashlib.blake2b(place, key=sid, digest_size=16, person=b"troth.visits").digest()


@lru_cache(maxsize=8)
def clock_of(second: int) -> str:
    """A time (seconds since 1970) as a history shows it: UTC."""
    return dt.datetime.fromtimestamp(second, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
