"""What does it cost that every read is decided, unsealed and evidenced? ``troth bench vault``.

All sides run in one run, in short turns, so that a slow second of the machine hits them alike: on a shared machine the
same work was seen to take twice the CPU from one second to the next. Each figure is the median of the rounds, each
ratio the median of the ratios within the rounds. Only the ratios count, each with its concurrency beside it. Bars: over
HTTP with 64 reads in flight at least 0.5 of plain and a p99 at most 2.5 times plain's; at most 25 µs of CPU added a
read in process. One reader alone waits for one flush a read: printed without a bar.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.sides import PERSONS, SIDES, Side

ROOT = Path(__file__).parents[1]
ROUNDS = 15
IN_FLIGHT = 64
CONCURRENCY = (1, 8, 64, 256)
BARS = {"throughput": 0.5, "p99": 2.5, "cpu_us": 25.0}


@dataclass(frozen=True)
class Figures:
    """One turn: answers a second, latencies in milliseconds, CPU in microseconds an answer (0 over HTTP)."""

    rate: float
    p50: float
    p99: float
    cpu: float = 0.0


def median(turns: list[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(
        *(statistics.median(getattr(turn, name) for turn in turns) for name in ("rate", "p50", "p99", "cpu"))
    )


async def turn(side: Side, concurrency: int, seconds: float) -> Figures:
    """``concurrency`` readers in this process for about ``seconds``."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def reader(number: int) -> None:
        now = time.perf_counter()
        while now < until:
            began = now
            await side.aread(number)
            if concurrency > 1:
                await asyncio.sleep(0)  # a plain read never waits: without this one reader would have all the time
            now = time.perf_counter()
            took.append(now - began)
            number = (number + 61) % PERSONS

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(reader(number * 17 % PERSONS) for number in range(concurrency)))
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    took.sort()
    return Figures(
        len(took) / elapsed, took[len(took) // 2] * 1e3, took[int(len(took) * 0.99)] * 1e3, cpu / len(took) * 1e6
    )


Turns = dict[str, list[Figures]]
"""By side, one turn a round."""


def ratio(turns: Turns, name: str, figure: str) -> float:
    """The median over the rounds of one side's figure over plain's of the same round."""
    both = zip(turns[name], turns["plain"], strict=True)
    return statistics.median([float(getattr(one, figure) / getattr(plain, figure)) for one, plain in both])


def in_process(sides: dict[str, Side], seconds: float) -> dict[int, Turns]:
    """Every side at every concurrency, turn by turn, on the event loop that the server runs on."""

    async def run() -> dict[int, Turns]:
        found: dict[int, Turns] = {}
        for side in sides.values():
            await turn(side, IN_FLIGHT, seconds / 4)  # warm
        for concurrency in CONCURRENCY:
            turns: Turns = {name: [] for name in sides}
            for _ in range(ROUNDS):
                for name, side in sides.items():
                    turns[name].append(await turn(side, concurrency, seconds))
            found[concurrency] = turns
        return found

    return uvloop.run(run())


@contextlib.contextmanager
def served(name: str, folder: Path, *urls: str) -> Iterator[int]:
    """A side behind HTTP in a process of its own; its port."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bench.served", name, str(folder), *urls]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def ask(port: int, seconds: float, connections: int) -> Figures:
    """One turn of the load client."""
    command = [sys.executable, "-m", "bench.load", str(port), str(seconds), str(connections), str(PERSONS)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    return Figures(*(float(figure) for figure in told.split()))


def over_http(ports: dict[str, int], seconds: float) -> Turns:
    """Every side with 64 requests in flight, turn by turn."""
    for port in ports.values():
        ask(port, seconds / 2, IN_FLIGHT)  # warm
    turns: Turns = {name: [] for name in ports}
    for _ in range(ROUNDS):
        for name, port in ports.items():
            turns[name].append(ask(port, seconds, IN_FLIGHT))
    return turns


def measure(store: str, seconds: float, urls: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """All figures on one store."""
    folder = Path(tempfile.mkdtemp(prefix="troth-bench-"))
    try:
        sides = {name: make(_made(folder / name), *urls.get(name, ())) for name, make in SIDES.items()}
        inside = in_process(sides, seconds)
        for side in sides.values():
            side.close()
        with contextlib.ExitStack() as stack:
            ports = {
                name: stack.enter_context(served(name, folder / "http" / name, *urls.get(f"http-{name}", ())))
                for name in ("plain", "retrofit", "troth")
            }
            http = over_http(ports, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    both = zip(inside[IN_FLIGHT]["troth"], inside[IN_FLIGHT]["plain"], strict=True)
    added = statistics.median(troth.cpu - plain.cpu for troth, plain in both)
    rate, p99 = ratio(http, "troth", "rate"), ratio(http, "troth", "p99")
    met = rate >= BARS["throughput"] and p99 <= BARS["p99"] and added <= BARS["cpu_us"]
    return {"store": store, "inside": inside, "http": http, "rate": rate, "p99": p99, "added": added, "met": met}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def show(found: dict[str, Any]) -> None:
    """The figures as a table of ratios."""
    print(f"\n{found['store']}, in process: ratio to plain (answers a second), p50 and p99 in ms, CPU in µs a read")
    for concurrency, turns in found["inside"].items():
        print(f"  {concurrency:>3} in flight")
        for name, each in turns.items():
            figures = median(each)
            print(
                f"      {name:9} {ratio(turns, name, 'rate'):6.2f}   {figures.rate:9.0f}/s   p50 {figures.p50:7.3f}"
                f"   p99 {figures.p99:7.3f}   CPU {figures.cpu:7.1f}"
            )
    print(f"{found['store']}, over HTTP on both sides, {IN_FLIGHT} in flight")
    turns = found["http"]
    for name, each in turns.items():
        figures = median(each)
        print(
            f"      {name:9} {ratio(turns, name, 'rate'):6.2f}   {figures.rate:9.0f}/s   p50 {figures.p50:7.3f}"
            f"   p99 {figures.p99:7.3f} = {ratio(turns, name, 'p99'):.2f} of plain's"
        )
    print(
        f"  bars: {found['rate']:.2f} of plain over HTTP (at least {BARS['throughput']}), p99 {found['p99']:.2f} times "
        f"plain's (at most {BARS['p99']}), {found['added']:.1f} µs CPU added a read at {IN_FLIGHT} in flight (at most "
        f"{BARS['cpu_us']:.0f}): {'met' if found['met'] else 'NOT met'}"
    )


def plain_values(found: Any) -> Any:
    """The figures as plain JSON."""
    if isinstance(found, list):
        return median(found).__dict__
    if isinstance(found, dict):
        return {str(key): plain_values(value) for key, value in found.items()}
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether the bars are met."""
    parser = argparse.ArgumentParser(prog="troth bench vault", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.4, help="how long each turn is")
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(arguments)
    results = []
    if chosen.store in ("sqlite", "both"):
        results.append(measure(f"SQLite {sqlite3.sqlite_version}", chosen.seconds, {}))
    if chosen.store in ("postgresql", "both"):
        results.append(_postgresql(chosen.seconds))
    if chosen.json:
        print(json.dumps(plain_values({"python": platform.python_version(), "results": results})))
    else:
        print(f"Python {platform.python_version()}; {ROUNDS} rounds, medians; {PERSONS} persons")
        for found in results:
            show(found)
    return 0 if all(found["met"] for found in results) else 1


def _postgresql(seconds: float) -> dict[str, Any]:
    """On private servers: one cluster for data, one for keys."""
    from tests.postgres import Server

    data, keys = Server(), Server()
    try:
        urls: dict[str, tuple[str, ...]] = {}
        for prefix in ("", "http-"):
            urls |= {f"{prefix}{name}": (data.new_database(),) for name in ("raw", "plain", "retrofit")}
            urls[f"{prefix}troth"] = (data.new_database(), keys.new_database())
        return measure("PostgreSQL", seconds, urls)
    finally:
        data.stop()
        keys.stop()


if __name__ == "__main__":
    sys.exit(main())
