"""Several connections at once: each letter is sent once, what is stopped is stopped, and nothing waits for nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.smtp import HANG_UP, relay
from tests.use.house import House
from tests.use.test_messages import Sending
from troth.config import Mail
from troth.errors import Unavailable, Unknown
from troth.use.flight import Flight
from troth.use.sender import FIRST_AWAY, Sender
from troth.use.transport import Envelope, Line, Outcome, SmtpTransport


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition, not for a time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        threading.Event().wait(0.005)


@pytest.fixture
def sending(house: House) -> Any:
    with relay() as post:
        yield Sending(house, post)


def ended(sending: Sending, mids: list[bytes]) -> bool:
    return all(sending.row(mid)["ended_ms"] for mid in mids)


def test_many_letters_over_few_connections_arrive_once_each(sending: Sending) -> None:
    people = [
        sending.house.person(values={"first_name": "Ann", "email": f"a{number}@example.org"}) for number in range(60)
    ]
    mids = [sending.queue("account.note", sid) for sid in people]
    sender = Sender(sending.messages, sending.transport, connections=3)
    try:
        until(lambda: ended(sending, mids))
    finally:
        sender.close()
    assert sorted(each.recipients[0] for each in sending.post.arrived) == sorted(f"a{n}@example.org" for n in range(60))
    assert all(sending.told(mid) == ["queued", "sending", "sent"] for mid in mids)


def test_what_is_queued_while_all_is_quiet_goes_at_once(sending: Sending) -> None:
    sender = Sender(sending.messages, sending.transport, connections=2)
    try:
        mid = sending.queue("account.note", sending.house.person())
        sending.post.wait(1, 5)
        until(lambda: sending.row(mid)["state"] == "sent")
    finally:
        sender.close()


def test_while_the_relay_is_away_nothing_is_touched_and_then_all_goes(sending: Sending) -> None:
    mids = [sending.queue("account.note", sending.house.person()) for _ in range(5)]
    there = sending.transport
    way: dict[str, Any] = {"to": SmtpTransport(Mail(port=1), seconds=1)}

    class Way:
        """A line that leads where it is told to."""

        def __init__(self) -> None:
            self.lines: dict[int, Line] = {}

        def line(self) -> Line:
            return Way()

        def here(self) -> Line:
            return self.lines.setdefault(id(way["to"]), way["to"].line())

        def ready(self) -> Outcome | None:
            return self.here().ready()

        def send(self, envelope: Envelope) -> Outcome:
            return self.here().send(envelope)

        def close(self) -> None:
            for line in self.lines.values():
                line.close()

    sender = Sender(sending.messages, Way(), connections=2)
    try:
        until(lambda: sender.away is not None)
        assert all(sending.told(mid) == ["queued"] for mid in mids)
        way["to"] = there
        until(lambda: ended(sending, mids))
        assert sender.away is None
    finally:
        sender.close()
    assert len(sending.post.arrived) == 5


def test_all_connections_that_find_the_relay_away_make_one_pause_of_a_second(sending: Sending) -> None:
    connections = 4
    for number in range(2 * connections):
        sending.queue("account.note", sending.house.person(values={"email": f"a{number}@example.org"}))
    together, looks = threading.Barrier(connections, timeout=20), list[float]()

    class Away:
        """A line that all find dead at the same moment."""

        def line(self) -> Line:
            return Away()

        def ready(self) -> Outcome | None:
            if len(looks) < connections:
                together.wait()
            looks.append(time.monotonic())
            return Outcome("deferred", "nobody answers")

        def send(self, envelope: Envelope) -> Outcome:
            raise AssertionError("nobody answered")

        def close(self) -> None:
            together.abort()

    sender = Sender(sending.messages, Away(), connections=connections)
    try:
        until(lambda: len(looks) > connections)
        until(lambda: any(later - before > 1.5 * FIRST_AWAY for before, later in pairwise(list(looks))))  # longer ones
    finally:
        sender.close()
    assert looks[connections] - looks[connections - 1] < 4 * FIRST_AWAY  # and not eight times as long


def test_outcomes_that_cannot_be_written_are_kept_until_they_can(sending: Sending) -> None:
    mids = [sending.queue("account.note", sending.house.person()) for _ in range(4)]
    record, failing = sending.messages.record, threading.Event()

    def broken(ended: Any, going: Any) -> Any:
        if failing.is_set():
            raise Unavailable("the ledger cannot be written")
        if ended:
            failing.set()
            raise Unavailable("the ledger cannot be written")
        return record(ended, going)

    sending.messages.record = broken  # type: ignore[method-assign]  # a store that goes away
    sender = Sender(sending.messages, sending.transport, connections=1)
    try:
        until(failing.is_set)
        sent = len(sending.post.arrived)
        assert sent == 1
        sending.messages.record = record  # type: ignore[method-assign]  # and comes back
        sending.house.clock.advance(5)
        until(lambda: sending.row(mids[0])["state"] == "sent")
        sending.house.clock.advance(61_000)  # what was not sent was put off
        until(lambda: ended(sending, mids))
    finally:
        sender.close()
    assert len(sending.post.arrived) == 4
    assert [sending.told(mid)[-1] for mid in mids] == ["sent"] * 4


def test_a_stop_is_answered_only_when_the_letter_on_the_wire_has_landed(sending: Sending) -> None:
    sid = sending.house.person("newsletter", grants=["newsletter"])
    mid = sending.queue("newsletter.issue", sid, {"title": "News", "text": "x"})
    reading, go_on, order = threading.Event(), threading.Event(), list[str]()

    def slow() -> None:
        reading.set()
        go_on.wait(10)
        order.append("accepted")

    sending.post.on_content = slow
    sender = Sender(sending.messages, sending.transport, connections=1)
    flight = sending.messages.flight
    try:
        assert reading.wait(10)
        sending.house.stop(sid, "marketing")

        def answer() -> None:
            flight.wait("main", sid)
            order.append("answered")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unknown):
            Flight(sending.house.store).wait("main", sid, patience=0.2)
        assert order == []
        go_on.set()
        thread.join(10)
    finally:
        go_on.set()
        sender.close()
    assert order == ["accepted", "answered"]
    assert sending.row(mid)["state"] == "sent"
    flight.wait("main", sid)  # nothing on the wire: at once


def test_a_relay_that_hangs_up_makes_one_unknown_and_the_next_goes_over_a_new_connection(sending: Sending) -> None:
    first = sending.queue("account.note", sending.house.person())
    sending.post.at_content = HANG_UP
    sending.run()
    sending.post.at_content = ""
    second = sending.queue("account.note", sending.house.person())
    sending.run()
    assert (sending.row(first)["state"], sending.row(second)["state"]) == ("unknown", "sent")
