"""kill -9 while mail is sent and people unsubscribe, against a relay that refuses, puts off and hangs up.

After the answer to an unsubscribe nothing is accepted any more; nothing is accepted twice; nothing is lost without a
trace: what was caught between the relay's answer and the commit is listed as unknown, one for each connection and
death at most.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.attack.mailing import opened
from tests.postgres import Server
from tests.smtp import Post, relay
from troth.store import Write
from troth.store.outbox import post as queue

CONNECTIONS = 6
EACH = 4  # messages to a person
ID = re.compile(rb"Message-ID: <([0-9a-f]{32})@")


class Moody(Post):
    """A relay that says no to some, later to some, and hangs up on some: with the message, or without."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.accepted: list[tuple[str, int]] = []
        self.hung_up: set[str] = set()
        self.heard = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        found = ID.search(content)
        assert found is not None
        mid, mood = found[1].decode(), self.chance.random()
        self.heard += 1
        if mood < 0.03:
            return "550 no"
        if mood < 0.10:
            return "451 later"
        if mood < 0.11:
            self.hung_up.add(mid)
            if mood < 0.105:
                self.accepted.append((mid, time.monotonic_ns()))
            assert server.transport is not None
            server.transport.close()
            return "250 nobody hears this"
        self.accepted.append((mid, time.monotonic_ns()))
        return "250 taken"


def fill(order: dict[str, Any], count: int) -> dict[str, str]:
    """People who subscribed, and messages for them: message id -> person."""
    house = opened(order)
    template = house.versions.current().templates["newsletter.issue"]
    sealed = house.vault.transit_seal(b'{"title": "News", "text": "x"}')
    mids: dict[str, str] = {}
    for number in range(count // EACH):
        values = {"name": "Ann", "email": f"a{number}@example.org"}
        sid = house.person("newsletter", values, grants=["newsletter"])
        opening = house.vault.opening("main", sid)

        def body(tx: Any, sid: bytes = sid, opening: bytes = opening) -> list[bytes]:
            given: dict[str, Any] = {"tenant": "main", "sid": sid, "opening": opening, "variables": sealed}
            return [queue(tx, template, house.randomness, **given) for _ in range(EACH)]

        mids |= {mid.hex(): sid.hex() for mid in house.store.write(Write(body))}
    house.close()
    return mids


def life(order: dict[str, Any], seconds: float | None) -> list[list[str]]:
    """One process, killed so long after it began to send (None: not at all); what it told."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.attack.mailing", json.dumps(order)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    assert lines == ["R\n"]
    if seconds is not None:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait(600)
    return [line.split() for line in lines]


def deaths(
    order: dict[str, Any], post: Moody, count: int, kills: int, lasting: tuple[float, float], *, staying: int = 4
) -> dict[str, int]:
    """Kill so many times, then let one process finish; the faults found, by name, and some counts.

    Of so many people who stay, one unsubscribes; with ``staying`` 0 everybody does.
    """
    mids = fill(order, count)
    chance = random.Random(order["seed"])
    leaving = chance.sample(sorted(set(mids.values())), len(set(mids.values())) // (staying + 1))
    answered: dict[str, int] = {}
    killed = 0
    for turn in range(kills + 1):
        order |= {"people": [sid for sid in leaving if sid not in answered], "seed": order["seed"] + 1}
        lines = life(order, chance.uniform(*lasting) if turn < kills else None)
        answered |= {line[1]: int(line[2]) for line in lines if line[0] == "A"}
        killed += ["D"] not in lines
        if ["D"] in lines:
            break
    assert len(answered) == len(leaving)
    accepted = Counter(mid for mid, _ in post.accepted)
    states = final(order)
    return {
        "after the answer": sum(1 for mid, at in post.accepted if at > answered.get(mids[mid], 1 << 63)),
        "twice": sum(1 for times in accepted.values() if times > 1),
        "said to be sent, but not": sum(1 for mid, state in states.items() if state == "sent" and mid not in accepted),
        "accepted, but not known": sum(1 for mid in accepted if states[mid] not in ("sent", "unknown")),
        "left": sum(1 for state in states.values() if state in ("queued", "sending")),
        "lost": len(set(mids) - set(states)),
        "unknown beyond the deaths": max(
            0, sum(1 for s in states.values() if s == "unknown") - killed * CONNECTIONS - len(post.hung_up)
        ),
        "_killed": killed,
        "_accepted": len(accepted),
        "_unknown": sum(1 for state in states.values() if state == "unknown"),
        "_answered": len(answered),
    }


def final(order: dict[str, Any]) -> dict[str, str]:
    """Every message and its state."""
    house = opened(order)
    try:
        rows = house.store.data.raw_reader().execute("SELECT id, state FROM messages").fetchall()
        return {bytes(row[0]).hex(): str(row[1]) for row in rows}
    finally:
        house.close()


def faults(found: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in found.items() if count and not name.startswith("_")}


def ordered(folder: Path, post: Post, data_url: str = "", keys_url: str = "", seed: int = 1) -> dict[str, Any]:
    urls = {"data_url": data_url, "keys_url": keys_url}
    return {"folder": str(folder / "troth"), **urls, "port": post.port, "connections": CONNECTIONS, "seed": seed}


def test_no_death_sends_twice_or_after_the_answer_or_loses_a_letter(tmp_path: Path) -> None:
    with relay(post=Moody(1)) as post:
        found = deaths(ordered(tmp_path, post), post, 2000, 4, (0.2, 1.0))  # type: ignore[arg-type]  # it is moody
    assert faults(found) == {}
    assert found["_killed"] >= 2
    assert found["_accepted"] > 1000
    assert found["_answered"] == 100


def test_the_same_on_postgresql(tmp_path: Path, postgres_data: Server, postgres_keys: Server) -> None:
    data_url, keys_url = postgres_data.database(), postgres_keys.database()
    with relay(post=Moody(2)) as post:
        found = deaths(ordered(tmp_path, post, data_url, keys_url), post, 400, 2, (0.2, 0.6))  # type: ignore[arg-type]
    postgres_data.give_back(data_url)
    postgres_keys.give_back(keys_url)
    assert faults(found) == {}


@pytest.mark.full
@pytest.mark.timeout(7200)
def test_a_million_letters(tmp_path: Path) -> None:
    with relay(post=Moody(3)) as post:
        found = deaths(ordered(tmp_path, post), post, 1_000_000, 200, (1.0, 20.0))  # type: ignore[arg-type]
    print(found)
    assert faults(found) == {}


# --- the sabotages: what these counts would miss ---


def test_sending_before_the_intent_is_durable_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that forgets what it was sending sends it again: the count of those accepted twice tells."""
    monkeypatch.setenv("TROTH_TEST_MAIL_FORGETS", "1")
    with relay(post=Moody(4)) as post:
        found = deaths(ordered(tmp_path, post), post, 600, 4, (0.2, 0.5))  # type: ignore[arg-type]
    assert found["twice"] > 0


def test_an_answer_that_does_not_wait_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody leaves while the relay still thinks about the first letters: those it takes come after the answers."""
    monkeypatch.setenv("TROTH_TEST_MAIL_HURRIES", "1")
    with relay(post=Slow(5)) as post:
        found = deaths(ordered(tmp_path, post), post, 160, 0, (0.2, 0.8), staying=0)  # type: ignore[arg-type]
    assert found["_answered"] == 40
    assert found["after the answer"] > 0


class Slow(Moody):
    """A relay that takes longer before it says yes than all the people need to leave."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(2)  # a relay's own time; nothing waits for it to be over
        return await super().handle_DATA(server, session, envelope)
