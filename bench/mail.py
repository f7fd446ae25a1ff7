"""What a letter costs that was asked for, decided, signed and evidenced: ``troth bench mail``.

Ours: each message is a row of the queue; its person is read through the gate, the address is looked for among the
suppressed, the letter is put together and signed, its intent and its outcome are entries of the ledger, each durable
in its time. Plain: threads that write the same bytes again and again, over as many connections, to the same sink, by
the same client. Both in turns, in one run; the ratio is the median of the ratios of the rounds. The sink is postfix's
``smtp-sink``, in a process of its own. Bars: 50,000 messages a minute, 150 MB.
"""

from __future__ import annotations

import argparse
import contextlib
import email
import email.policy
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec

from tests.use.house import House
from troth.config import Mail
from troth.store import Write
from troth.store.outbox import post
from troth.use.compose import Addressee, Composer
from troth.use.dkim import Dkim, make_keys, read_keys
from troth.use.letters import Letters
from troth.use.messages import Messages
from troth.use.sender import Sender
from troth.use.transport import Envelope, SmtpTransport
from troth.web.catalogue import read_catalogue
from troth.world import SystemClock

PERSONS = 1000
CHUNK = 100
BAR_A_MINUTE, BAR_MB = 50_000, 150.0
CAMPAIGN = {"title": "News of spring", "text": "Here is what is new.\n\n" + "A paragraph about backups. " * 20}


@contextlib.contextmanager
def sink() -> Iterator[int]:
    """A port that takes every message and throws it away."""
    program = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        sys.exit("smtp-sink is missing: apt-get install postfix (its service need not run)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([program, *nobody, "-4", f"127.0.0.1:{port}", "256"])
    try:
        until = time.monotonic() + 5
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                yield port
                return
            time.sleep(0.02)
        sys.exit("smtp-sink does not listen")
    finally:
        process.terminate()
        process.wait()


class Ours:
    """A system with people who subscribed, and its sender."""

    def __init__(self, folder: Path, port: int, connections: int, keys: str) -> None:
        self.house = House(folder)
        self.house.clock = SystemClock()  # type: ignore[assignment]  # time goes on
        self.house.store.clock = self.house.store.executor.clock = self.house.clock
        self.people = [
            self.house.person(
                "newsletter", {"name": f"Ann {n}", "email": f"person{n}@example{n % 50}.org"}, grants=["newsletter"]
            )
            for n in range(PERSONS)
        ]
        make_keys(folder / "dkim", "bench")
        chosen = [key for key in read_keys(folder / "dkim") if keys == "both" or key.algorithm.startswith(keys)]
        self.signed = [key.algorithm for key in chosen]
        composer = Composer(
            read_catalogue().words,
            base_url="https://vendor.example.org",
            sender="news@vendor.example.org",
            languages=frozenset({"en"}),
            sign=Dkim("vendor.example.org", tuple(chosen)).sign,
        )
        house = self.house
        self.letters = Letters(house.store, house.vault, house.gate, house.versions, composer)
        self.messages = Messages(house.store, house.vault, house.versions, self.letters)
        self.transport = SmtpTransport(Mail(host="127.0.0.1", port=port))
        self.connections = connections

    def queue(self, count: int) -> None:
        """Put messages into the queue."""
        house = self.house
        template = house.versions.current().templates["newsletter.issue"]
        sealed = house.vault.transit_seal(msgspec.json.encode(CAMPAIGN))
        secrets = [house.vault.opening("main", sid) for sid in self.people]
        for start in range(0, count, CHUNK):

            def body(tx: Any, start: int = start) -> None:
                for at in range(start, min(start + CHUNK, count)):
                    who = at % PERSONS
                    post(
                        tx,
                        template,
                        house.randomness,
                        tenant="main",
                        sid=self.people[who],
                        opening=secrets[who],
                        variables=sealed,
                    )

            house.store.write(Write(body))

    def one(self) -> Envelope:
        """A finished letter, for the other side to write."""
        self.queue(1)
        letters = self.messages.take()
        self.messages.release(letters)
        self.turn(1)
        return letters[0].envelope

    def turn(self, count: int) -> tuple[float, float]:
        """Messages a second for what is queued, and this process's CPU for each (microseconds)."""
        before = sum(self.states().get(state, 0) for state in ("sent", "unknown", "refused"))
        began, cpu = time.perf_counter(), time.process_time()
        sender = Sender(self.messages, self.transport, connections=self.connections)
        while self.messages.next_due() is not None:
            time.sleep(0.02)
        sender.close()
        elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
        states = self.states()
        sent = sum(states.get(state, 0) for state in ("sent", "unknown", "refused")) - before
        if set(states) != {"sent"} or sent != count:
            raise SystemExit(f"not every message was sent: {states}")
        return count / elapsed, cpu / count * 1e6

    def states(self) -> dict[str, int]:
        """How many messages are in which state."""
        rows = self.house.store.data.raw_reader().execute("SELECT state, count(*) FROM messages GROUP BY state")
        return dict(rows.fetchall())


def plain(transport: SmtpTransport, envelope: Envelope, count: int, connections: int) -> float:
    """Messages a second by threads that only write ready bytes."""

    def write(share: int) -> None:
        line = transport.line()
        for _ in range(share):
            outcome = line.send(envelope)
            if outcome.kind != "sent":
                raise SystemExit(outcome.reason)
        line.close()

    threads = [threading.Thread(target=write, args=(count // connections,)) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (count // connections) * connections / (time.perf_counter() - began)


def putting_together(ours: Ours, envelope: Envelope, count: int) -> tuple[float, float]:
    """Letters a second of CPU: the compiled words with values between them, and the standard library's own classes."""
    policy = ours.house.versions.current()
    template = policy.templates["newsletter.issue"]
    composer = Composer(
        ours.letters.composer.words,
        base_url="https://vendor.example.org",
        sender="news@example.org",
        languages=frozenset({"en"}),
    )
    to = Addressee("ann@example.org", "en", {"name": "Ann", **CAMPAIGN}, "/unsubscribe/" + "t" * 43)
    began = time.thread_time()
    for _ in range(count):
        composer.compose(policy, template, to, mid=b"0" * 16, now_ms=1_770_000_000_000, checkpoint="log 9 x")
    compiled = count / (time.thread_time() - began)
    parsed = email.message_from_bytes(envelope.data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    parts = [part.get_content() for kind in ("plain", "html") if (part := parsed.get_body((kind,))) is not None]
    began = time.thread_time()
    for _ in range(count):
        message = EmailMessage(policy=email.policy.SMTP)
        for name in ("From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Id"):
            message[name] = str(parsed[name])
        message.set_content(parts[0], cte="quoted-printable")
        message.add_alternative(parts[1], subtype="html", cte="quoted-printable")
        message.as_bytes()
    return compiled, count / (time.thread_time() - began)


def most_memory() -> float:
    """The most memory that this process had (MB)."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def main() -> int:
    """Measure and print; 1 if a bar was missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=5000, help="in each round")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--keys", choices=("both", "rsa", "ed25519", "none"), default="both")
    chosen = options.parse_args()
    rates, plains, ratios, cpus = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="troth-mail-") as folder, sink() as port:
        ours = Ours(Path(folder) / "troth", port, chosen.connections, chosen.keys)
        envelope = ours.one()
        for _ in range(chosen.rounds):
            ours.queue(chosen.messages)
            bare = plain(ours.transport, envelope, chosen.messages, chosen.connections)
            rate, cpu = ours.turn(chosen.messages)
            cpus.append(cpu)
            rates.append(rate)
            plains.append(bare)
            ratios.append(rate / bare)
        compiled, built = putting_together(ours, envelope, 300)
        ours.house.close()
    memory, rate = most_memory(), statistics.median(rates)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores; {chosen.connections} connections to smtp-sink")
    print(f"letters of {len(envelope.data)} bytes, signed with {', '.join(ours.signed) or 'no key'}")
    print(f"ready bytes only   {statistics.median(plains):8.0f} a second")
    print(f"asked and evidenced{rate:8.0f} a second = {rate * 60:.0f} a minute   (bar {BAR_A_MINUTE})")
    print(f"CPU of this process{statistics.median(cpus):8.0f} µs a letter (the relay's and the disk's not counted)")
    print(f"ratio              {statistics.median(ratios):8.2f}")
    print(
        f"put together       {compiled:8.0f} a second of CPU, {compiled / built:.0f} times EmailMessage's {built:.0f}"
    )
    print(f"memory             {memory:8.0f} MB at most   (bar {BAR_MB:.0f})")
    return 0 if rate * 60 >= BAR_A_MINUTE and memory < BAR_MB else 1


if __name__ == "__main__":
    sys.exit(main())
