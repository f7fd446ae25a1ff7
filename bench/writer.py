"""What the writer costs: durable writes a second through Troth, against sqlite3 alone with the same group commit.

Both sides write the same row to the same table, wait for the same sync, and are measured in turns in one run; the
ledger entry, its signed head and the queue are what Troth adds. Ratios count, not figures: print both.

    python -m bench.writer [--seconds 1.5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import queue
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy import insert

from troth.config import Config
from troth.store import tables
from troth.store.checkpoint import Ed25519Signer
from troth.store.durability import prepare_sqlite
from troth.store.engine import driver
from troth.store.ledger import EntryDraft
from troth.store.open import Store, open_store
from troth.store.reads import Read, Reads
from troth.store.writer import DataTx, Lane, Write
from troth.world import SystemClock, SystemRandomness

ROW = "INSERT INTO products (id, tenant, name, key_hash, scopes, created_ms) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT = insert(tables.products)
_DRAFT = EntryDraft("product.named", "scope.closed", "product.ask", facts={"n": 1})


class Plain:
    """sqlite3 with one writer thread and group commit: no ledger, no savepoints, no lanes."""

    def __init__(self, folder: Path) -> None:
        self.raw = sqlite3.connect(folder / "plain.db", isolation_level=None, check_same_thread=False)
        prepare_sqlite(self.raw, writes=True)
        self.raw.execute(
            "CREATE TABLE products (id BLOB PRIMARY KEY, tenant TEXT, name TEXT, key_hash BLOB UNIQUE, scopes TEXT, "
            "created_ms INTEGER)"
        )
        self.queue: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None] = (
            queue.SimpleQueue()
        )
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        while (first := self.queue.get()) is not None:
            taken = [first]
            while len(taken) < 256 and not self.queue.empty():
                more = self.queue.get()
                if more is None:
                    self.queue.put(None)
                    break
                taken.append(more)
            self.raw.execute("BEGIN IMMEDIATE")
            for _ in taken:
                self.raw.execute(ROW, product())
            self.raw.execute("COMMIT")
            taken[0][0].call_soon_threadsafe(self._settle, [future for _, future in taken])

    @staticmethod
    def _settle(futures: list[asyncio.Future[None]]) -> None:
        for future in futures:
            future.set_result(None)

    async def write(self) -> None:
        """One row, durable."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.queue.put((loop, future))
        await future

    def close(self) -> None:
        """Stop the thread."""
        self.queue.put(None)
        self.thread.join()
        self.raw.close()


def product() -> tuple[bytes, str, str, bytes, str, int]:
    """A row."""
    pid = os.urandom(16)
    return pid, "main", pid.hex(), pid * 2, "[]", 1


def body(tx: DataTx) -> None:
    """The same row through Troth, with its entry."""
    pid, tenant, name, key_hash, scopes, created = product()
    tx.execute(
        _INSERT,
        {"id": pid, "tenant": tenant, "name": name, "key_hash": key_hash, "scopes": scopes, "created_ms": created},
    )
    tx.append(_DRAFT)


async def measure(one: Callable[[], Awaitable[object]], flight: int, seconds: float) -> tuple[float, float, float]:
    """Operations a second, and the median and 99th percentile of their durations in milliseconds."""
    durations: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        while (begun := time.perf_counter()) < end:
            await one()
            durations.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(flight)))
    rate = len(durations) / (time.perf_counter() - begun)
    durations.sort()
    return rate, durations[len(durations) // 2] * 1000, durations[int(len(durations) * 0.99)] * 1000


def reader(store: Store) -> tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]:
    """A point read on the loop alone, and the same with its block in the ledger."""
    sids = [os.urandom(16) for _ in range(1000)]

    def people(tx: DataTx) -> None:
        tx.execute(insert(tables.states), {"id": 1, "canonical": "{}"})
        row = {"tenant": "main", "state_id": 1, "mode": "live", "generation": 1, "created_ms": 0, "last_use_ms": 0}
        tx.execute(insert(tables.subjects), [{**row, "sid": sid} for sid in sids])

    store.write(Write(people))
    reads = Reads(store, lambda eid, day, content: content)
    raw = store.data.raw_reader()
    sql = "SELECT generation, mode FROM subjects WHERE tenant = ? AND sid = ?"
    turn = iter(range(1 << 60))

    async def plain() -> None:
        raw.execute(sql, ("main", sids[next(turn) % 1000])).fetchone()
        await asyncio.sleep(0)

    async def noted() -> None:
        sid = sids[next(turn) % 1000]

        def body(tx: DataTx) -> None:
            generation, mode = driver(tx.connection).execute(sql, ("main", sid)).fetchone()
            reads.append(tx, [Read("main", sid, generation, "account", "purpose.account", mode)])

        reads.admit()
        await store.awrite(Write(body, lane=Lane.READ))

    return plain, noted


def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = Plain(folder)
        signer = Ed25519Signer("bench.example/log", bytes(32))
        config = Config(data_folder=str(folder / "troth"))
        store = open_store(config, SystemClock(), SystemRandomness(), lambda keys: signer)
        store.policy_version = "2026-01-15"
        try:
            print("durable writes a second (median of rounds)")
            print("in flight   sqlite3     Troth   ratio   p50 ms (plain)   p99 ms (plain)")
            for flight in (1, 8, 64, 256):
                compare(flight, plain.write, lambda: store.awrite(Write(body)), options.seconds, options.rounds)
            print("\nCPU added to a read by its block (one process, the seal left out)")
            unnoted, noted = reader(store)
            for flight in (1, 64, 256):
                cost(flight, unnoted, noted, options.seconds, options.rounds)
        finally:
            plain.close()
            store.close()


def compare(
    flight: int,
    plain: Callable[[], Awaitable[object]],
    troth: Callable[[], Awaitable[object]],
    seconds: float,
    rounds: int,
) -> None:
    """One line of the table, the two sides measured in turns."""
    both = [
        (asyncio.run(measure(plain, flight, seconds)), asyncio.run(measure(troth, flight, seconds)))
        for _ in range(rounds)
    ]
    left = [statistics.median(one[0][at] for one in both) for at in range(3)]
    right = [statistics.median(one[1][at] for one in both) for at in range(3)]
    print(
        f"{flight:9d} {left[0]:9.0f} {right[0]:9.0f} {right[0] / left[0]:7.2f}"
        f"   {right[1]:6.2f} ({left[1]:.2f})   {right[2]:6.2f} ({left[2]:.2f})"
    )


def cost(
    flight: int,
    plain: Callable[[], Awaitable[object]],
    noted: Callable[[], Awaitable[object]],
    seconds: float,
    rounds: int,
) -> None:
    """Process CPU of a read with and without its block."""

    def cpu(one: Callable[[], Awaitable[object]]) -> tuple[float, float]:
        begun = time.process_time()
        rate, _, _ = asyncio.run(measure(one, flight, seconds))
        return (time.process_time() - begun) / (rate * seconds) * 1e6, rate

    both = [(cpu(plain), cpu(noted)) for _ in range(rounds)]
    before, after = (statistics.median(one[at][0] for one in both) for at in (0, 1))
    rate = statistics.median(one[1][1] for one in both)
    added = f"{before:5.1f} us -> {after:5.1f} us a read, {after - before:5.1f} us added"
    print(f"{flight:9d} in flight: {added}; {rate:.0f} reads a second")


if __name__ == "__main__":
    main()
