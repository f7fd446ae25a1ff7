"""Going over everybody: nobody is left out between two pages, nothing is taken for somebody else's, few statements."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, select

from tests.clauses.vendor import TENANT, Vendor, vendor_at
from tests.collect.dying import ORDER
from tests.moving.test_hundred_thousand import people
from troth.collect.importing.carrying import scan
from troth.rights import everybody
from troth.rights.everybody import PAGE, Everybody
from troth.store.tables import personal_records, subjects
from troth.world import DAY_MS

COUNT = 2 * PAGE + 50
EVERY = select(subjects.c.sid)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    """A vendor with so many people that they fill pages. They share it: nobody is erased."""
    folder = tmp_path_factory.mktemp("crowded")
    with vendor_at(folder / "vendor") as vendor:
        report = vendor.system.importing.bring(ORDER, scan(people(folder / "people.csv", COUNT)))
        assert report.counts.taken == COUNT
        yield vendor


def rows(vendor: Vendor) -> dict[bytes, set[bytes]]:
    """Each person's records, asked for one table at a time without any page."""

    def ask(connection: Any) -> dict[bytes, set[bytes]]:
        found = {bytes(sid): set() for sid in connection.execute(select(subjects.c.sid)).scalars()}  # type: dict[bytes, set[bytes]]
        for sid, rid in connection.execute(select(personal_records.c.sid, personal_records.c.rid)):
            found[bytes(sid)].add(bytes(rid))
        return found

    return vendor.system.store.read(ask)


def seen(vendor: Vendor, now: int) -> dict[bytes, tuple[set[bytes], set[bytes]]]:
    """Each person's records as due and as left."""
    system = vendor.system
    found = [
        (p.sid, ({r.rid for r in p.due}, {r.rid for r in p.left}))
        for p in Everybody(system.store, system.versions).at(now)
    ]
    assert len({sid for sid, _ in found}) == len(found), "somebody was gone over twice"
    return dict(found)


def statements(vendor: Vendor) -> int:
    """How many statements it takes to go over everybody, on this thread: others publish meanwhile."""
    asked: list[str] = []
    engine, mine = vendor.system.store.data.connect().engine, threading.get_ident()

    def note(*about: Any) -> None:
        if threading.get_ident() == mine:
            asked.append(about[2])

    event.listen(engine, "before_cursor_execute", note)
    seen(vendor, vendor.system.clock.now())
    event.remove(engine, "before_cursor_execute", note)
    return len(asked)


def test_everybody_is_gone_over_once_with_all_that_is_theirs(crowded: Vendor) -> None:
    now = crowded.system.clock.now()
    assert {sid: due | left for sid, (due, left) in seen(crowded, now).items()} == rows(crowded)
    assert not any(due for due, _ in seen(crowded, now).values())


def test_who_left_is_due_later_and_nobody_beside_them(crowded: Vendor) -> None:
    held = rows(crowded)
    order = sorted(held)
    left = {order[at] for at in (0, PAGE - 1, PAGE, COUNT - 1)}  # at the edges of the pages
    for sid in left:
        crowded.system.objections.object(TENANT, sid, "newsletter")
    later = seen(crowded, crowded.system.clock.now() + 2 * 366 * DAY_MS)
    assert {sid for sid, (due, _) in later.items() if due} == left
    assert all(later[sid] == (held[sid], set()) for sid in left)


def test_who_is_being_erased_is_left_to_the_erasure(crowded: Vendor) -> None:
    going = sorted(rows(crowded))[1]
    crowded.system.erasures.order(TENANT, going, cause="right")
    assert set(rows(crowded)) - set(seen(crowded, crowded.system.clock.now())) == {going}


def test_a_page_costs_the_same_however_many_are_on_it(crowded: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    few = statements(crowded)
    assert few <= 4 * (COUNT // PAGE + 1) + 1
    page = Everybody._page

    def one_at_a_time(self: Everybody, after: tuple[str, bytes], now: int, connection: Any) -> Any:
        for sid in connection.execute(EVERY.limit(PAGE)).scalars():
            connection.execute(select(personal_records).where(personal_records.c.sid == sid)).all()
        return page(self, after, now, connection)

    monkeypatch.setattr(everybody.Everybody, "_page", one_at_a_time)
    assert statements(crowded) > 10 * few
