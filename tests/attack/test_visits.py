"""What somebody would do to learn who visited, to forge visits, or to lose them."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from tests.attack.asking import Asking
from tests.attack.world import host_of, member
from tests.clauses.vendor import TENANT, Vendor, vendor_at
from tests.collect.visits.door import BROWSER, Door
from tests.residue import find
from tests.served import begin, set_up
from troth.cli.setting import TENANTS
from troth.collect.visits.counting import Visit
from troth.collect.visits.visits import hashed
from troth.policy.choices import choices
from troth.store.tables import data_keys, day_keys, personal_records, secrets, visit_counts, visit_seen
from troth.vault.wrapping import KEY
from troth.web.running import Running
from troth.web.security import address_behind
from troth.world import DAY_MS

SITE = "site:www"


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """A vendor to whom nobody has come yet."""
    with vendor_at(tmp_path / "vendor") as found:
        yield found


def come(vendor: Vendor, addresses: list[str]) -> None:
    """One visit from each address, every tenth by a browser that agreed; all on one event loop."""
    asked = choices(vendor.system.policy)
    agreed = f"{asked.cookie}={asked.value(asked.purposes)}".encode()
    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"content-type", b"text/plain")]
    headers.append((b"user-agent", BROWSER.encode()))

    async def visit(number: int, address: str) -> None:
        scope = {"type": "http", "method": "POST", "path": "/c", "scheme": "http", "client": (address, 50_000)}
        cookie = [(b"cookie", agreed)] if number % 10 == 0 else []
        statuses: list[int] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b'{"page": "/"}', "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            statuses.append(message.get("status", 0))

        await vendor.system.app({**scope, "headers": headers + cookie}, receive, send)
        assert statuses[0] == 204

    async def all_of_them() -> None:
        for number, address in enumerate(addresses):
            await visit(number, address)

    asyncio.run(all_of_them())


def addresses(count: int) -> list[str]:
    """Known addresses of both kinds, each in a network of its own."""
    return [
        f"203.{number // 250}.113.{number % 250}" if number % 2 else f"2001:db8:{number:x}:7::{number + 1:x}"
        for number in range(count)
    ]


def test_no_address_is_in_any_file(vendor: Vendor) -> None:
    known = addresses(1_000)
    come(vendor, known)
    vendor.system.store.publish()
    content = b"".join(file.read_bytes() for file in vendor.folder.rglob("*") if file.is_file())
    assert len(content) > 1_000_000
    for known_part in ("203.0.113.", "203.1.113.", "203.2.113.", "203.3.113.", "2001:db8:", "20010db8", "2001:0db8"):
        plain = known_part.encode()
        for spelled in (plain, plain.hex().encode(), plain.hex().upper().encode(), known_part.encode("utf-16-le")):
            assert spelled not in content, "an address is in a file"
    assert find(vendor.folder, known[::500]) == []  # as a hash, packed or encoded in any other way


def everything_that_could_be_a_key(system: Running) -> set[bytes]:
    """All key material there is: every secret, day key and data key of the store, and every 32 bytes it lies as."""

    def rows(connection: Connection) -> list[bytes]:
        tables = (secrets.c.wrapped, day_keys.c.wrapped, data_keys.c.wrapped)
        return [bytes(row[0]) for column in tables for row in connection.execute(select(column))]

    wrapped = system.store.read_keys(rows)
    found = {part[at : at + KEY] for part in wrapped for at in range(len(part) - KEY + 1)}
    ring = system.vault.keyring
    found |= {
        ring.secret(name) for (name,) in system.store.read_keys(lambda c: c.execute(select(secrets.c.name)).all())
    }
    for kind, day in system.store.read_keys(lambda c: c.execute(select(day_keys.c.kind, day_keys.c.day)).all()):
        key = ring.old_day_key(kind, day)
        assert key
        found.add(key)
    for tenant, sid, class_ in system.store.read_keys(
        lambda c: c.execute(select(data_keys.c.tenant, data_keys.c.sid, data_keys.c.class_)).all()
    ):
        found.add(ring.data_key(tenant, bytes(sid), class_))
    return found


def test_while_the_days_key_lives_it_tells_everybody_and_afterwards_nobody(vendor: Vendor) -> None:
    known = addresses(60)
    come(vendor, known)
    system = vendor.system
    networks = [a if "." in a else a.rpartition("::")[0] + "::/64" for a in known]

    def matches(keys: set[bytes], kept: set[bytes]) -> int:
        return sum(any(hashed(key, "main", SITE, network, BROWSER) in kept for key in keys) for network in networks)

    kept = {bytes(row[0]) for row in system.store.read(lambda c: c.execute(select(visit_seen.c.who)).all())}
    backup = vendor.folder.parent / "backup"
    shutil.copytree(vendor.folder / "data", backup)
    assert matches(everything_that_could_be_a_key(system), kept) == len(known)

    vendor.clock.advance(DAY_MS)
    system = vendor.again()  # a start closes what is over: nobody has to wait for the hour
    assert system.store.read(lambda c: c.execute(select(visit_seen.c.who)).all()) == []
    assert matches(everything_that_could_be_a_key(system), kept) == 0
    with closing(sqlite3.connect(backup / "data.db")) as old:
        assert {bytes(row[0]) for row in old.execute("SELECT who FROM visit_seen")} <= kept
    left = b"".join(file.read_bytes() for file in (vendor.folder / "keys").rglob("*") if file.is_file())
    windows = {left[at : at + KEY] for at in range(len(left) - KEY)}  # wherever a key may lie in K's files
    assert len(windows) > 5_000
    networks = networks[:2]
    assert matches(windows, kept) == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("203.0.113.9", "198.51.100.1", (), "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", ("127.0.0.1",), "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", ("127.0.0.1",), "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9, 127.0.0.1", ("127.0.0.1",), "203.0.113.9"),
        ("127.0.0.1", "", ("127.0.0.1",), "127.0.0.1"),
    ],
)
def test_whom_a_forward_names_counts_only_from_a_proxy_that_is_trusted(
    peer: str, forwarded: str, trusted: tuple[str, ...], address: str
) -> None:
    assert address_behind(peer, forwarded, trusted) == address


def test_killed_under_load_every_visit_that_was_acknowledged_is_there(tmp_path: Path) -> None:
    folder = set_up(tmp_path / "data")
    server = begin(folder)
    acknowledged: list[str] = []
    numbers = itertools.count()
    enough = threading.Event()

    def browse() -> None:
        headers = {
            "host": "localhost",
            "origin": "http://localhost",
            "content-type": "text/plain",
            "user-agent": BROWSER,
        }
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        try:
            while not enough.is_set():
                page = f"/visit/{next(numbers)}"
                connection.request("POST", "/c", json.dumps({"page": page}), headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 204:
                    acknowledged.append(page)
                if len(acknowledged) >= 300:
                    enough.set()
        except (OSError, http.client.HTTPException):
            return  # the server died in the middle of it: this visit was not acknowledged
        finally:
            connection.close()

    browsers = [threading.Thread(target=browse) for _ in range(16)]
    for one in browsers:
        one.start()
    assert enough.wait(60)
    server.process.kill()
    server.process.wait(30)
    for one in browsers:
        one.join(30)
    again = begin(folder)
    try:
        with closing(sqlite3.connect(folder / "data" / "data.db")) as data:
            there = {row[0] for row in data.execute("SELECT value FROM visit_cells JOIN visit_counts ON cell = id")}
        assert len(acknowledged) >= 300
        assert set(acknowledged) <= there
    finally:
        again.stop()


def test_a_run_of_retention_leaves_nothing_of_a_visit_overdue(vendor: Vendor) -> None:
    come(vendor, addresses(30))
    for _ in range(14):
        vendor.clock.advance(7 * DAY_MS)
        vendor.system.day_closing.run()
        ran = vendor.system.retention.run()
        assert ran.overdue == 0
    left = vendor.system.store.read(
        lambda c: (c.execute(select(visit_counts)).all(), c.execute(select(personal_records)).all())
    )
    assert left == ([], [])


# a store of others' visits: 20 visits a sealed record, 10 records a visitor, as sizes and places go
OTHERS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO subjects (tenant, sid, state_id, mode, generation, created_ms, last_use_ms)
SELECT 'main', randomblob(16), (SELECT max(id) FROM states), 'live', 1, ?, ? FROM n
"""
THEIRS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
INSERT INTO personal_records (tenant, sid, rid, terms_id, class, schema, anchor_ms, eid, ct)
SELECT tenant, sid, randomblob(16), (SELECT max(terms_id) FROM personal_records), 'visits', 1, ?,
  (SELECT eid FROM personal_records LIMIT 1), randomblob(700) FROM subjects, n WHERE sid <> ?
"""
CELLS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
INSERT INTO visit_cells (tenant, surface, dimension, value) SELECT 'main', 'site:www', 'page', '/page/' || i FROM n
"""
COUNTS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90)
INSERT OR IGNORE INTO visit_counts (day, cell, views, visitors) SELECT ? - i, id, 158, 40 FROM visit_cells, n
"""


@pytest.mark.parametrize("visits", [100_000, pytest.param(10_000_000, marks=pytest.mark.full)])
def test_one_visitor_among_many_is_erased_within_a_second_and_figures_come_at_once(vendor: Vendor, visits: int) -> None:
    system = vendor.system
    with closing(Door(system)) as door:
        door.choose("analytics")
        door.say(page="/")
        sid = door.sid
    for _ in range(10):
        vendor.clock.advance(3_600_000)
        at = vendor.clock.now()
        some = [Visit(at, SITE, b"", sid, f"/page/{number}") for number in range(100)]
        system.store.write(system.visits.prepare(some))
    now, today = vendor.clock.now(), system.analytics.today()
    vendor.close()
    with closing(sqlite3.connect(vendor.folder / "data" / "data.db")) as data:
        data.execute(OTHERS, (visits // 200, now, now))
        data.execute(THEIRS, (now, sid))
        data.execute(CELLS)
        data.execute(COUNTS, (today,))
        data.commit()
    system = vendor.again()
    copy = system.access.copy("main", sid)
    assert sum(len(record.values["page"]) for record in copy.records) == 1_001
    began = time.perf_counter()
    certificate = system.erasures.erase("main", sid, cause="refusal", actor="visitor")
    took = time.perf_counter() - began
    assert certificate.state == "gone"
    assert took < 1, f"{took:.2f} s"
    looks = []
    for _ in range(7):  # by the processor, not by the clock: the machine may be busy with other tests
        began = time.thread_time()
        report = system.analytics.report(today - 89, today)
        looks.append(time.thread_time() - began)
    assert report.dimensions["page"]
    assert min(looks) < 0.2, f"{min(looks):.2f} s"


def test_a_tenants_staff_and_hosts_are_told_nothing_of_our_visits(tmp_path: Path) -> None:
    with vendor_at(tmp_path / "vendor", tenants=TENANTS) as vendor, closing(Asking(vendor.system.shell)) as asking:
        come(vendor, addresses(30))
        door = Door(vendor.system)
        door.choose("analytics")
        door.say(page="/only-here")
        door.close()
        cookie = {"cookie": f"troth_visitor={door.cookies['troth_visitor']}"}
        told = {}
        for tenant in ("mill", TENANT):
            staff, _ = member(vendor, "ada", "administrator", tenant=tenant)
            host = host_of(vendor, tenant)
            home, page, table, report = (
                asking.ask("GET", path, host=host, headers=staff.headers).body
                for path in ("/console", "/console/visits", "/console/visits.csv", "/api/v1/visits")
            )
            file = asking.ask("GET", "/privacy/visits.json", host=host, headers=cookie)
            asking.ask("POST", "/privacy/visits/end", host=host, headers=cookie, form={})
            known = vendor.system.visitors.known(door.cookies["troth_visitor"]) is not None
            figures = (json.loads(report)["visitors"] > 0, "device,desktop" in table, "visitors in seven days" in home)
            told[tenant] = (*figures, SITE in page, file.status, "/only-here" in file.body, known)
        assert told["mill"] == (False, False, False, False, 404, False, True)
        assert told[TENANT] == (True, True, True, True, 200, True, False)
