"""Raises children that write to a store and kills them: one process that has imported everything, and forks.

It reads one JSON order a line and answers with one JSON line. An order names the installation, a plan, and when
the child dies: after so many milliseconds or acknowledgements, or (through strace) at its n-th write or sync.
What a child was told as done, it has passed on through a pipe before the next thing happens.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.store.shop import Shop, guard, naming
from troth.errors import TrothError
from troth.store.engine import driver
from troth.store.open import Store, end_process
from troth.store.writer import DataTx, Idempotency, KeyTx, Write
from troth.world import SystemClock

PLAIN, FIRST, LAST = 0, 1, 2
"""Kinds of write, the first byte of their product: D alone; K first, then D; D with a job, then K."""


def key_of(pid: bytes) -> Idempotency:
    """Each product's own idempotency key."""
    return Idempotency("crash", sha256(pid).digest(), sha256(b"request" + pid).digest())


def writing(pid: bytes) -> Write[bytes]:
    """The write of a product of its kind."""
    if pid[0] == FIRST:
        return naming(pid, key=key_of(pid), before=guard(pid))
    if pid[0] == LAST:

        def then(tx: DataTx) -> None:
            tx.enqueue("guard", pid.hex(), dedup=f"guard:{pid.hex()}")

        def after(tx: KeyTx, value: bytes) -> None:
            guard(value)(tx)

        return naming(pid, key=key_of(pid), then=then, after=after)
    return naming(pid, key=key_of(pid))


def work(store: Store, out: int, plan: str, seed: int) -> None:
    """Write for ever (``mixed``), or once (``first``, ``last``), telling what was begun and what was done."""

    def one(pid: bytes) -> None:
        if plan == "early":  # the sabotage: told before it is done
            os.write(out, f"A {pid.hex()}\n".encode())
        os.write(out, f"B {pid.hex()}\n".encode())
        try:
            store.write(writing(pid))
        except TrothError as refusal:
            os.write(out, f"N {pid.hex()} {refusal.code}\n".encode())
        else:
            os.write(out, f"A {pid.hex()}\n".encode())

    if plan in ("first", "last"):
        one(bytes([FIRST if plan == "first" else LAST]) + os.urandom(15))
        os.write(out, b"D\n")
        return

    def client(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        while True:
            one(bytes([chance.choice((PLAIN, FIRST, LAST))]) + os.urandom(15))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    threads[0].join()


def child(order: dict[str, Any], out: int) -> None:
    """The child's whole life."""
    shop = Shop(Path(order["folder"]))
    shop.data_url, shop.keys_url = order["data_url"], order["keys_url"]
    shop.clock = SystemClock()
    shop.abort = end_process  # type: ignore[method-assign]  # here the process does end
    store = shop.open()
    store.publish()  # what the last one left: the publisher is quiet until there is something new
    if order.get("weaken"):  # the sabotage: behind the store's back, after its own check
        for database in (store.data, store.keys):
            store.writer.control(lambda d=database: driver(d.writing()).execute("PRAGMA synchronous=OFF")).result()  # type: ignore[misc]  # a default binds the loop's value
    os.write(out, b"R\n")
    if order.get("stop"):
        os.kill(os.getpid(), signal.SIGSTOP)  # until strace is there
    work(store, out, order["plan"], order["seed"])


def raise_one(order: dict[str, Any]) -> dict[str, Any]:
    """Fork a child, kill it as ordered, and report every line it wrote."""
    reading, writing_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            child(order, writing_end)
            os._exit(0)
        except BaseException as problem:
            os.write(writing_end, f"E {type(problem).__name__} {problem}\n".encode())
            os._exit(1)
    os.close(writing_end)
    heard = b""
    tracer = None

    def listen(until: float, acknowledged: int | None = None) -> bool:
        """Read until a time, an end or a number of acknowledgements; False at the end."""
        nonlocal heard
        while (left := until - time.monotonic()) > 0:
            if select.select([reading], [], [], left)[0]:
                part = os.read(reading, 65536)
                if not part:
                    return False
                heard += part
            if acknowledged is not None and heard.count(b"A ") >= acknowledged:
                return True
        return True

    while b"R\n" not in heard and not order.get("opening"):  # else it may die while it opens the store
        if not listen(time.monotonic() + 0.002):
            break
    if order.get("stop") and b"R\n" in heard:
        tracer = _trace(pid, order["strace"])
        os.kill(pid, signal.SIGCONT)
    patience = order.get("delay_ms", 20_000) / 1000
    listen(time.monotonic() + patience, order.get("acknowledged"))
    os.kill(pid, signal.SIGKILL)
    while listen(time.monotonic() + 20):
        pass
    _, status = os.waitpid(pid, 0)
    os.close(reading)
    if tracer is not None:
        tracer.wait(20)
    return {"heard": heard.decode().splitlines(), "status": status}


def _trace(pid: int, options: list[str]) -> subprocess.Popen[bytes]:
    """strace on every thread of the stopped child; returns when it is attached."""
    tracer = subprocess.Popen(
        ["strace", "-f", *options, "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    threading.Thread(target=tracer.stderr.read, daemon=True).start()
    if b"attached" not in line:
        raise RuntimeError(f"strace: {line.decode(errors='replace')}")
    return tracer


def main() -> None:
    """Serve orders until the end of the input."""
    for line in sys.stdin:
        print(json.dumps(raise_one(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
