"""A process that sends what is queued while people unsubscribe, until somebody kills it.

``python -m tests.attack.mailing ORDER`` with one JSON object: folder, data_url, keys_url, port, connections, seed and
the persons who may unsubscribe. It writes a line for each thing that is done: ``R`` sending began, ``A sid time`` an
unsubscribe was answered (CLOCK_MONOTONIC, which all processes of a machine share), ``D`` nothing is left to send.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import update

from tests.use.house import House
from tests.use.test_messages import BASE, words
from troth.config import Mail
from troth.notice.consents import Consents
from troth.rights.objection import Objections
from troth.store import Write
from troth.store.tables import messages as table
from troth.use import messages as queue
from troth.use.compose import Composer
from troth.use.letters import Letters
from troth.use.messages import Messages
from troth.use.sender import Sender
from troth.use.transport import SmtpTransport
from troth.world import SystemClock

queue.FIRST_PAUSE_MS = 300  # what a relay puts off is tried again within the test


def told(line: str) -> None:
    """Say it where a kill cannot take it back."""
    os.write(1, f"{line}\n".encode())


def opened(order: dict[str, Any]) -> House:
    """The installation, with the machine's clock."""
    house = House(Path(order["folder"]), data_url=order["data_url"], keys_url=order["keys_url"])
    house.clock = SystemClock()  # type: ignore[assignment]  # time goes on
    house.store.clock = house.store.executor.clock = house.gate.clock = house.clock
    return house


def unsubscribe(house: House, messages: Messages, people: list[bytes], seed: int) -> None:
    """One after the other, as the page does it: the answer is what the test believes."""
    objections = Objections(
        house.store,
        house.vault,
        house.versions,
        Consents(house.vault),
        house.clock,
        house.randomness,
        messages.flight,
    )
    chance = random.Random(seed)
    chance.shuffle(people)
    for sid in people:
        objections.object("main", sid, "marketing", via="one-click")
        told(f"A {sid.hex()} {time.monotonic_ns()}")
        time.sleep(chance.uniform(0, 0.05))  # people do not come all at once


def main(order: dict[str, Any]) -> None:
    """Send until nothing is left."""
    house = opened(order)
    composer = Composer(words, base_url=BASE, sender="post@vendor.example.org", languages=frozenset({"en"}))
    letters = Letters(house.store, house.vault, house.gate, house.versions, composer)
    messages = Messages(house.store, house.vault, house.versions, letters)
    if os.environ.get("TROTH_TEST_MAIL_FORGETS"):  # the sabotage: what was being sent is sent again
        forget = update(table).where(table.c.state == "sending").values(state="queued")
        house.store.write(Write(lambda tx: tx.execute(forget).rowcount))
    if os.environ.get("TROTH_TEST_MAIL_HURRIES"):  # the sabotage: nobody waits for what is on the wire
        messages.flight.wait = lambda *_, **__: None  # type: ignore[method-assign]  # broken on purpose
    messages.resolve()
    transport = SmtpTransport(Mail(host="127.0.0.1", port=order["port"]), seconds=5)
    sender = Sender(messages, transport, connections=order["connections"])
    told("R")
    people = [bytes.fromhex(sid) for sid in order["people"]]
    thread = threading.Thread(target=unsubscribe, args=(house, messages, people, order["seed"]), daemon=True)
    thread.start()
    while messages.counts().keys() & {"queued", "sending"} or thread.is_alive():
        time.sleep(0.02)
    sender.close()
    house.close()
    told("D")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
