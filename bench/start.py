"""How soon a second start answers, and how large the process is: ``python -m bench.start``.

Prints the median and the best of several starts of ``troth serve`` on a folder that was set up and used before, from
the start of the process to the first 200 on ``/health``; the CPU time in it beside that of merely importing the
libraries below (the ratio holds on any machine); and the memory after the walk of the demonstration.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.served import begin, environment, set_up

BELOW = (
    "import cryptography.hazmat.primitives.ciphers.aead, jinja2, markdown_it, sqlalchemy, starlette.routing, uvicorn"
)
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Start:
    """One start: seconds by the clock, seconds of CPU, bytes of memory."""

    wall: float
    cpu: float
    memory: int


def one(folder: Path) -> Start:
    """Start, ask once, stop."""
    began = time.monotonic()
    server = begin(folder)
    try:
        assert server.get("/health").status == 200
        wall = time.monotonic() - began
        stat = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return Start(wall, (int(stat[11]) + int(stat[12])) / TICK, memory(server.process.pid))
    finally:
        server.stop()


def memory(process: int) -> int:
    """The largest resident size of a running process so far, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()  # of the program it runs now
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def ended(*command: str) -> tuple[int, float, int]:
    """Run a command to its end: exit status, seconds of CPU, largest resident size in bytes.

    The size is looked at while it runs: what the system tells afterwards begins with the size of whoever started it.
    """
    process = subprocess.Popen(
        [sys.executable, *command], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    largest = 0
    while True:
        done, status, used = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        with contextlib.suppress(StopIteration, OSError):  # it ends just now
            largest = max(largest, memory(process.pid))
        time.sleep(0.02)  # between two looks
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime, largest


def below() -> float:
    """The CPU seconds of a process that only imports the libraries."""
    return ended("-c", BELOW)[1]


def second_starts(folder: Path, count: int) -> tuple[list[Start], list[float]]:
    """``count`` starts of a folder that ran before, each beside an import of the libraries alone."""
    one(set_up(folder))
    starts, bare = [], []
    for _ in range(count):
        starts.append(one(folder))
        bare.append(below())
    return starts, bare


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        starts, bare = second_starts(Path(place) / "data", 7)
    walls = [start.wall for start in starts]
    ratio = min(start.cpu for start in starts) / min(bare)
    print(f"second start to first answer: median {statistics.median(walls):.2f} s, best {min(walls):.2f} s")
    print(f"  CPU {min(start.cpu for start in starts):.2f} s, {ratio:.1f} times importing the libraries alone")
    print(f"memory after the start: {max(start.memory for start in starts) / 1e6:.0f} MB")
    status, _, largest = ended("-m", "troth.cli", "demo", "--once")
    print(f"memory of the whole demonstration: {largest / 1e6:.0f} MB (exit {status})")


if __name__ == "__main__":
    main()
