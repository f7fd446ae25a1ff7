"""How long does a person wait for their rights? ``troth bench rights``.

An ordinary person (newsletter and account, a session, a letter, a copy taken before) asks for their copy, and is erased
up to "unreadable, and rows gone and looked for": without the letter and without the look into the files, which are
jobs. Somebody with 10,000 records beside is erased in turn with them: what counts there is the ratio of the moments
at which each is unreadable. Each figure is the median of all persons; bars: 20 ms on SQLite, 50 ms on PostgreSQL,
ratio 1.2. CPU times stand beside, since a shared machine's clock says little.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, NamedTuple

from sqlalchemy import insert, select

from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at
from troth.policy.model import Terms
from troth.store import Write
from troth.store.tables import personal_records
from troth.store.writer import DataTx

MANY = 10_000  # records of somebody who has much
BARS = {"sqlite": 20.0, "postgresql": 50.0}  # milliseconds, for a copy and for an erasure
RATIO = 1.2


class Took(NamedTuple):
    """Milliseconds: by the clock, and of the processor in this process."""

    clock: float
    cpu: float


def timed(act: Callable[[], Any]) -> Took:
    """How long this took."""
    clock, cpu = time.perf_counter(), time.process_time()
    act()
    return Took((time.perf_counter() - clock) * 1000, (time.process_time() - cpu) * 1000)


def median(turns: list[Took]) -> Took:
    """The median of each."""
    return Took(*(statistics.median(one[at] for one in turns) for at in range(2)))


@contextlib.contextmanager
def vendor_on(store: str, folder: Path) -> Iterator[Vendor]:
    """A vendor with its data in this store, as long as the block lasts."""
    if store == "sqlite":
        with vendor_at(folder) as vendor:
            yield vendor
        return
    from tests.postgres import Server
    from tests.rights.planting import OnPostgreSQL
    from troth.cli.setting import postbox

    with contextlib.ExitStack() as stack:
        servers = [Server(), Server()]
        for server in servers:
            stack.callback(server.stop)
        box = stack.enter_context(postbox())
        on = OnPostgreSQL(folder, box, (servers[0].new_database(), servers[1].new_database()))
        stack.callback(on.close)
        yield on


def ordinary(vendor: Vendor) -> bytes:
    """Somebody with what most people have."""
    ann = Person()
    vendor.join("newsletter", ann)
    sid = vendor.join("registration", ann)
    vendor.issues(sid, ann.email)
    vendor.system.store.write(vendor.system.requests.ask_write(TENANT, ann.email, "en"))
    vendor.system.requests.open(vendor.token(ann.email, "/privacy/open/"), token_urlsafe(32))
    vendor.system.access.copy(TENANT, sid)
    return sid


def laden(vendor: Vendor) -> bytes:
    """The same, and very many records of where they went."""
    sid = ordinary(vendor)
    chance, policy = vendor.system.randomness, vendor.system.policy
    seen = Terms(policy.controller.name, "site:www", "site.view", policy.version)

    def add(tx: DataTx) -> None:
        of = select(personal_records).where(personal_records.c.sid == sid).limit(1)
        columns = {column.name: column.key for column in personal_records.c}
        mine = {columns[name]: value for name, value in tx.execute(of).mappings().one().items()}
        mine["terms_id"] = vendor.system.vault.terms_id(tx, seen)
        tx.execute(insert(personal_records), [mine | {"rid": chance.bytes(16)} for _ in range(MANY)])

    vendor.system.store.write(Write(add))
    return sid


def unreadable(vendor: Vendor, sid: bytes) -> Took:
    """From the order to the moment at which keys and tags are gone and looked for; the rows go afterwards."""
    erasures, orders = vendor.system.erasures, []

    def act() -> None:
        order = erasures.order(TENANT, sid, actor="system")
        erasures._make_unreadable(order, TENANT, sid, vendor.clock.now())
        orders.append(order)

    took = timed(act)
    erasures.carry_out(orders[0])
    return took


def measure(store: str, persons: int) -> dict[str, Any]:
    """All figures of one store."""
    with tempfile.TemporaryDirectory(prefix="troth-bench-") as name, vendor_on(store, Path(name) / "vendor") as vendor:
        people = [ordinary(vendor) for _ in range(persons + 1)]
        rounds = max(4, persons // 6)
        few = [ordinary(vendor) for _ in range(rounds)]
        many = [laden(vendor) for _ in range(rounds)]
        vendor.letters()
        if store == "sqlite":  # what the planting left in the log is not theirs to pay for
            vendor.system.store.writer.control(lambda: vendor.system.store.data.checkpoint("TRUNCATE")).result()
        first = people.pop()  # pays for what is made once
        vendor.system.access.copy(TENANT, first)
        vendor.system.erasures.erase(TENANT, first)
        copies = [timed(lambda sid=sid: vendor.system.access.copy(TENANT, sid)) for sid in people]  # type: ignore[misc]  # bound at once
        gone = [timed(lambda sid=sid: vendor.system.erasures.erase(TENANT, sid)) for sid in people]  # type: ignore[misc]
        pairs = [(unreadable(vendor, one), unreadable(vendor, other)) for one, other in zip(few, many, strict=True)]
    small, large = median([one for one, _ in pairs]), median([other for _, other in pairs])
    return {
        "store": store,
        "persons": persons,
        "access_ms": median(copies),
        "erasure_ms": median(gone),
        "unreadable_ms": {"few": small, "many": large},
        "ratio": min(other.cpu for _, other in pairs) / min(one.cpu for one, _ in pairs),
        "bar_ms": BARS[store],
    }


def show(one: dict[str, Any]) -> None:
    """The figures of one store, in words."""
    copy, erasure = (f"{one[name].clock:.1f} ms (CPU {one[name].cpu:.1f})" for name in ("access_ms", "erasure_ms"))
    print(f"{one['store']}: a copy {copy}, an erasure {erasure}; bar {one['bar_ms']:.0f} ms")
    few, many = one["unreadable_ms"]["few"], one["unreadable_ms"]["many"]
    print(f"  unreadable after {few.clock:.1f} ms (CPU {few.cpu:.1f}), with {MANY} records more {many.clock:.1f} ms")
    print(f"  (CPU {many.cpu:.1f}); ratio {one['ratio']:.2f} of the best of each, in CPU; bar {RATIO}")


def main() -> int:
    """Measure, print, and say whether the bars are kept (1: one is not)."""
    parser = argparse.ArgumentParser(prog="troth bench rights", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--persons", type=int, default=40, help="how many ordinary persons (default 40)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    chosen = parser.parse_args()
    stores = ("sqlite", "postgresql") if chosen.store == "both" else (chosen.store,)
    results = [measure(store, chosen.persons) for store in stores]
    if chosen.json:
        print(json.dumps(results, indent=1))
    else:
        versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
        print(f"{versions}; medians of {chosen.persons} persons")
        for one in results:
            show(one)
    kept = all(
        one["access_ms"].clock <= one["bar_ms"] and one["erasure_ms"].clock <= one["bar_ms"] and one["ratio"] <= RATIO
        for one in results
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
