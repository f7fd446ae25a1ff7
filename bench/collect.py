"""``troth bench collect``: visits a second through the collector, acknowledged after they are durable.

One process each: the load and the server share the machine. The sides are measured in turns in one run, and what
counts are ratios of medians: Troth's whole pipeline (origin, choice, cutting, hash of the day, country, sums, sealed
histories with the consent asked, ledger) to a bare endpoint that inserts one row without an index and answers after
the same group commit, and to one that answers before it has written anything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
SIDES = ("bare", "early", "troth")
CONNECTIONS = (64, 256)
ROUNDS = 5
BARS = {"rate": 6_000.0, "ratio": 0.4}


class Figures(NamedTuple):
    """Answers a second, and the median and 99th percentile of their times in milliseconds."""

    rate: float
    p50: float
    p99: float


@contextlib.contextmanager
def served(side: str, folder: Path) -> Iterator[int]:
    """One side as long as the block lasts; its port."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "bench.counted", side, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


def ask(port: int, seconds: float, connections: int) -> Figures:
    """One turn of load."""
    command = [sys.executable, "-m", "bench.visiting", str(port), str(seconds), str(connections)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    return Figures(*(float(figure) for figure in told.split()))


def measure(seconds: float, rounds: int) -> dict[int, dict[str, list[Figures]]]:
    """Connections -> side -> one figure a round."""
    found: dict[int, dict[str, list[Figures]]] = {}
    with tempfile.TemporaryDirectory(prefix="troth-bench-") as name, contextlib.ExitStack() as stack:
        ports = {side: stack.enter_context(served(side, Path(name) / side)) for side in SIDES}
        for port in ports.values():
            ask(port, seconds, CONNECTIONS[0])  # warm
        for connections in CONNECTIONS:
            turns = found.setdefault(connections, {side: [] for side in SIDES})
            for _ in range(rounds):
                for side, port in ports.items():
                    turns[side].append(ask(port, seconds, connections))
    return found


def median(turns: list[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(*(statistics.median(one[at] for one in turns) for at in range(3)))


def ratio(turns: dict[str, list[Figures]], to: str) -> float:
    """The median, over the rounds, of Troth's rate to another side's."""
    return statistics.median(a.rate / b.rate for a, b in zip(turns["troth"], turns[to], strict=True))


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether the bars are met."""
    parser = argparse.ArgumentParser(prog="troth bench collect", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each turn is")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    chosen = parser.parse_args(arguments)
    found = measure(chosen.seconds, chosen.rounds)
    met = all(
        median(turns["troth"]).rate >= BARS["rate"] and ratio(turns, "bare") >= BARS["ratio"]
        for turns in found.values()
    )
    if chosen.json:
        print(json.dumps(plain(found) | {"met": met}))
        return 0 if met else 1
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; {chosen.rounds} rounds, medians")
    for connections, turns in found.items():
        print(f"{connections} connections, half of the visits of browsers that agreed")
        for side, each in turns.items():
            figures = median(each)
            print(f"    {side:6} {figures.rate:8.0f} visits/s   p50 {figures.p50:7.2f}   p99 {figures.p99:7.2f} ms")
        print(
            f"    troth is {ratio(turns, 'bare'):.2f} of bare (at least {BARS['ratio']}), {ratio(turns, 'early'):.2f}"
            f" of one that answers early; at least {BARS['rate']:.0f} visits/s"
        )
    print("met" if met else "NOT met")
    return 0 if met else 1


def plain(found: dict[int, dict[str, list[Figures]]]) -> dict[str, Any]:
    """The figures as plain JSON."""
    return {
        str(connections): {side: median(each)._asdict() for side, each in turns.items()}
        | {"of_bare": ratio(turns, "bare"), "of_early": ratio(turns, "early")}
        for connections, turns in found.items()
    }


if __name__ == "__main__":
    sys.exit(main())
