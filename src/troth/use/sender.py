"""Sending many messages at once: one thread makes letters, one records, and each connection has a thread of its own.

A connection takes a letter, has its intent recorded, hands it over, and has the outcome recorded together with the
intent of its next one: so at most one message for each connection is ever between the relay's answer and the commit.
All connections that wait for the record share one transaction; there is no timer, the sync itself gathers them.
While the relay cannot be reached no message is touched: they wait in the queue as they are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from troth.errors import TrothError
from troth.use.letters import Letter
from troth.use.messages import GROUP, Ending, Fate, Messages
from troth.use.transport import Line, Outcome, Transport

log = logging.getLogger("troth.use")

LONGEST_WAIT = 1.0  # seconds between two looks at the queue
FIRST_AWAY = 1.0  # seconds after which a relay that cannot be reached is tried again
LONGEST_AWAY = 60.0
NOT_SENT = Outcome("deferred", "the record of its sending did not succeed")


@dataclass
class _Turn:
    """What one connection wants recorded: the letter that ended, and the one that goes next."""

    ended: Ending | None
    going: Letter | None
    done: threading.Event = field(default_factory=threading.Event)
    fate: Fate = "again"


class Sender:
    """Sends what is due until it is closed. ``connections`` to the relay are used at most; idle ones are not opened."""

    def __init__(self, messages: Messages, transport: Transport, *, connections: int = 4) -> None:
        self.messages = messages
        self.transport = transport
        self.away: str | None = None
        """Why the relay cannot be reached now; None while it can."""
        self._closing = False
        self._made: deque[Letter] = deque()
        self._turns: deque[_Turn] = deque()
        self._some = threading.Condition()  # letters to take, or room for more
        self._waiting = threading.Condition()  # turns to record
        self._woken = threading.Event()
        self._pause = FIRST_AWAY
        self._resume = 0.0  # when the relay is tried again
        self._over = threading.Event()
        self._room = max(GROUP, 4 * connections)
        messages.store.writer.waking.append(self._woken)
        self._maker = threading.Thread(target=self._make, name="troth-letters", daemon=True)
        self._recorder = threading.Thread(target=self._record, name="troth-outcomes", daemon=True)
        self._carriers = [
            threading.Thread(target=self._carry, name=f"troth-mail-{number}", daemon=True)
            for number in range(connections)
        ]
        for thread in (self._maker, self._recorder, *self._carriers):
            thread.start()

    def close(self) -> None:
        """Let every connection end the message in hand, record the outcomes, and stop."""
        self._closing = True
        self._over.set()
        self._woken.set()
        with self._some:
            self._some.notify_all()
        for thread in (self._maker, *self._carriers):
            thread.join()
        with self._waiting:
            self._waiting.notify_all()
        self._recorder.join()
        self.messages.release(tuple(self._made))
        self.messages.store.writer.waking.remove(self._woken)

    # --- making ---

    def _make(self) -> None:
        while not self._closing:
            with self._some:
                while len(self._made) >= self._room // 2 and not self._closing:
                    self._some.wait(LONGEST_WAIT)
            self._woken.clear()
            taken: list[Letter] = []
            try:
                if time.monotonic() >= self._resume and not self._closing:
                    taken = self.messages.take(GROUP if self.away is None else 1)  # one to try the relay with
            except Exception as problem:
                log.error("letters cannot be made: %s", _name(problem))
            if taken:
                with self._some:
                    self._made += taken
                    self._some.notify(len(taken))
            elif not self._closing:
                self._woken.wait(self._until_due())

    def _until_due(self) -> float:
        try:
            due = self.messages.next_due()
        except TrothError:
            return LONGEST_WAIT
        if due is None or time.monotonic() < self._resume:
            return LONGEST_WAIT
        return min(LONGEST_WAIT, max(0.05, (due - self.messages.store.now()) / 1000))

    # --- carrying ---

    def _carry(self) -> None:
        line = self.transport.line()
        ended: Ending | None = None
        try:
            while True:
                letter = self._next(wait=ended is None)
                if letter is None and ended is None:
                    return
                if letter is not None and not self._reached(line, letter):
                    letter = None
                fate = self._turn(ended, letter)
                ended = None
                if letter is not None and fate == "go":
                    ended = (letter, self._hand_over(line, letter))
        finally:
            line.close()

    def _next(self, *, wait: bool) -> Letter | None:
        """The next letter; None where there is none to take without waiting, or all is over."""
        with self._some:
            while not self._made:
                if not wait or self._closing:
                    return None
                self._some.wait()
            if self._closing:
                return None
            letter = self._made.popleft()
            if len(self._made) < self._room // 2:
                self._some.notify_all()
            return letter

    def _reached(self, line: Line, letter: Letter) -> bool:
        """Whether the relay listens; where it does not, no letter is made for a while, each time a longer one."""
        away = line.ready()
        if away is None:
            self.away, self._pause = None, FIRST_AWAY
            return True
        if self.away is None:
            log.warning("the relay cannot be reached: %s", away.reason)
        self.away = away.reason
        with self._some:
            waiting, self._made = [letter, *self._made], deque()
            if time.monotonic() >= self._resume:  # else another connection has found the same
                self._resume = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, LONGEST_AWAY)
        self.messages.release(waiting)
        return False

    def _hand_over(self, line: Line, letter: Letter) -> Outcome:
        try:
            return line.send(letter.envelope)
        except Exception as problem:  # a line does not raise; if it did, nobody knows what the relay heard
            log.error("a message was broken off: %s", _name(problem))
            line.close()
            return Outcome("unknown", "the sending was broken off")

    # --- recording ---

    def _turn(self, ended: Ending | None, going: Letter | None) -> Fate:
        if ended is None and going is None:
            return "over"
        turn = _Turn(ended, going)
        with self._waiting:
            self._turns.append(turn)
            self._waiting.notify()
        turn.done.wait()
        return turn.fate

    def _record(self) -> None:
        while True:
            with self._waiting:
                while not self._turns:
                    if self._closing and not any(thread.is_alive() for thread in self._carriers):
                        return
                    self._waiting.wait(LONGEST_WAIT)
                turns, self._turns = self._turns, deque()
            self._together(list(turns))

    def _together(self, turns: list[_Turn]) -> None:
        """Record what these connections wait for. It is tried until it succeeds: what was sent is not forgotten."""
        ended = [turn.ended for turn in turns if turn.ended is not None]
        going = [turn for turn in turns if turn.going is not None]
        pause, tries, fates = 0.05, 0, list[Fate]()
        while True:
            try:
                fates = self.messages.record(ended, [turn.going for turn in going if turn.going is not None])
                break
            except Exception as problem:
                tries += 1
                log.error("what was sent cannot be recorded: %s", _name(problem))
                # Nobody knows whether these intents are durable; they are not sent, and that is what is recorded.
                ended += [(turn.going, NOT_SENT) for turn in going if turn.going is not None]
                going = []
                if self._closing and tries > 20:
                    break  # they stand as sending: the next start says that they are unknown
                self._over.wait(pause)
                pause = min(2 * pause, 5.0)
        if going:
            for turn, fate in zip(going, fates, strict=True):
                turn.fate = fate
        for turn in turns:
            turn.done.set()


def _name(problem: BaseException) -> str:
    return problem.code if isinstance(problem, TrothError) else type(problem).__name__
