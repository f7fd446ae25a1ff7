"""The one sender. Only declared templates, asked of the gate again at the moment of sending, never twice.

A message is a row that holds no address and no words. Its way: queued -> sending -> sent | refused | unknown. The
entry of intent is durable before the relay hears anything, the outcome after it has answered; what is found in
``sending`` after a crash is ``unknown`` and is never sent again by itself (promise 3). Many messages share the two
writes: the outcomes of those that ended and the intents of those that go next are one transaction.
Clauses: ``rights.automated``, ``rights.object-marketing``, ``rights.unsubscribe``. Mechanisms: ``message.declared``,
``message.unsubscribe``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import bindparam, func, or_, select

from troth.notice.versions import Versions
from troth.store import DataTx, Lane, Store, Write, links
from troth.store.engine import driver
from troth.store.ledger import EntryDraft
from troth.store.tables import messages
from troth.store.text import Text
from troth.use.flight import Flight
from troth.use.letters import UNDECLARED, Letter, Letters, Refusal, Row
from troth.use.transport import Outcome, Transport
from troth.vault import Vault
from troth.world import DAY_MS

UNSUBSCRIBE_MS = 800 * DAY_MS  # how long an unsubscribe link works: more than two years
GIVE_UP_MS = 5 * DAY_MS  # RFC 5321 4.5.4.1: give up after four or five days
FIRST_PAUSE_MS = 60_000
LONGEST_PAUSE_MS = 4 * 3_600_000
STALE_MS = 60_000  # a letter that was made so long ago is made again: the policy, the words, its date
GROUP = 64  # messages made at once

ROW = select(messages).where(messages.c.id == bindparam("of_id"))
DUE = (
    select(messages)
    .where(messages.c.state == "queued", messages.c.lane == bindparam("of_lane"), messages.c.due_ms <= bindparam("now"))
    .order_by(messages.c.due_ms)
    .limit(bindparam("most"))
)
NEXT = select(func.min(messages.c.due_ms)).where(messages.c.state == "queued")
COUNT = select(messages.c.state, func.count()).group_by(messages.c.state).order_by(messages.c.state)
UNRESOLVED = (
    select(messages)
    .where(
        or_(
            messages.c.state == "unknown",
            (messages.c.state == "bounced") & messages.c.template.in_(bindparam("notices", expanding=True)),
        )
    )
    .order_by(messages.c.ended_ms.desc())
    .limit(bindparam("most"))
)
HELD = ("paused", "stopped")
CUT_OFF = select(messages.c.id).where(messages.c.state == "sending")
LANES = (0, 1)
LOOK = (
    "SELECT m.id, m.state, m.eid, s.generation, c.state FROM messages m"
    " LEFT JOIN subjects s ON s.tenant = m.tenant AND s.sid = m.sid"
    " LEFT JOIN campaigns c ON c.id = m.campaign WHERE m.id IN ({marks})"
)
INTEND = Text("UPDATE messages SET state = 'sending', eid = ?, attempt = attempt + 1 WHERE id = ?")
AGAIN = Text("UPDATE messages SET state = 'queued', reason = ?, eid = ?, due_ms = ? WHERE id = ?")
LATER = Text("UPDATE messages SET due_ms = ? WHERE id = ? AND state = 'queued'")
# What it said and where it went is needed no more.
ENDED = Text(
    "UPDATE messages SET state = ?, reason = ?, eid = ?, ended_ms = ?, variables = NULL, sealed = NULL WHERE id = ?"
)

Fate = Literal["go", "again", "over"]
"""What becomes of a letter whose intent was asked for: sent now, made anew, or refused in that very moment."""
Ending = tuple[Letter, Outcome]


class Messages:
    """The queue of messages: what is due, what may go, what became of it. Safe from any thread."""

    def __init__(
        self, store: Store, vault: Vault, versions: Versions, letters: Letters, flight: Flight | None = None
    ) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions
        self.letters = letters
        self.flight = flight or Flight(store)
        self._lock = threading.Lock()
        self._in_hand: set[bytes] = set()

    # --- what is due ---

    def take(self, most: int = GROUP) -> list[Letter]:
        """Letters for up to ``most`` messages that are due, the urgent lane first; they are in hand until released.

        What may not be sent is recorded as refused, and what has to wait gets its time, before this returns.
        """
        rows = self._due(most)
        try:
            made = self.letters.make(rows)
        except BaseException:
            self._release(row["id"] for row in rows)
            raise
        late = self.store.now() - GIVE_UP_MS
        given_up = [
            Refusal(letter.row, letter.template.clause, "it could not be handed over for days")
            for letter in made.letters
            if letter.row["queued_ms"] < late and letter.row["campaign"] is None and letter.row["attempt"] == 0
        ]
        over = {refusal.row["id"] for refusal in given_up}
        refused = [*made.refused, *given_up]
        try:
            if refused or made.later:
                self._set_aside(refused, made.later)
        finally:
            kept = [letter for letter in made.letters if letter.mid not in over]
            self._release({row["id"] for row in rows} - {letter.mid for letter in kept})
        return kept

    def next_due(self) -> int | None:
        """When the next message is due (milliseconds UTC); None if none waits."""
        return self.store.read(lambda connection: connection.execute(NEXT).scalar())

    def release(self, letters: Sequence[Letter]) -> None:
        """These letters are not sent now: whoever looks next takes them again."""
        self._release(letter.mid for letter in letters)

    def _due(self, most: int) -> list[Row]:
        with self._lock:
            held = set(self._in_hand)
        now, found = self.store.now(), []  # the ledger's time, in which they were queued: a clock may be set back

        def look(connection: Any) -> list[Row]:
            rows: list[Row] = []
            for lane in LANES:
                if len(rows) < most:
                    asked = {"now": now, "most": most + len(held), "of_lane": lane}
                    rows += [dict(row) for row in connection.execute(DUE, asked).mappings() if row["id"] not in held]
            return rows[:most]

        found = self.store.read(look)
        with self._lock:
            mine = [row for row in found if row["id"] not in self._in_hand]
            self._in_hand.update(row["id"] for row in mine)
        return mine

    def _release(self, mids: Any) -> None:
        with self._lock:
            self._in_hand.difference_update(mids)

    # --- what goes and what ended ---

    def record(self, ended: Sequence[Ending], going: Sequence[Letter]) -> list[Fate]:
        """In one transaction: the outcomes of letters that ended, and the intents of letters that go next.

        When this returns it is durable. A letter may be sent exactly where its fate is ``go``; the others are no
        longer in hand. The person's choices, the suppression of the address and the policy are asked for again here.
        """
        mids = [letter.mid for letter, _ in ended] + [letter.mid for letter in going]

        def body(tx: DataTx) -> list[Fate]:
            there = self._look(tx, mids)
            steps = _Steps()
            for letter, outcome in ended:
                row = there.get(letter.mid)
                if row is None:  # erased meanwhile: then nobody is named
                    self._outcome(tx, steps, letter, outcome, None)
                elif row[1] == "sending" and bytes(row[2]) == letter.intent:
                    self._outcome(tx, steps, letter, outcome, letter.secret)
            fates = [self._intend(tx, steps, letter, there.get(letter.mid)) for letter in going]
            steps.run(tx)
            return fates

        fates = self.store.write(Write(body=body, lane=Lane.JOB))
        self._release(letter.mid for letter, _ in ended)
        self._release(letter.mid for letter, fate in zip(going, fates, strict=True) if fate != "go")
        if ended:
            self.flight.landed()
        return fates

    def _look(self, tx: DataTx, mids: Sequence[bytes]) -> dict[bytes, Any]:
        execute = driver(tx.connection).execute
        rows = execute(self.store.data.sql(_look_at(len(mids))), mids).fetchall() if mids else []
        return {bytes(row[0]): row for row in rows}

    def _intend(self, tx: DataTx, steps: _Steps, letter: Letter, found: Any) -> Fate:
        row, template = letter.row, letter.template
        if found is None or found[1] != "queued":
            return "over"
        if letter.generation is not None and found[3] != letter.generation:
            return "again"  # the person's choices changed just now
        if found[4] in HELD:
            return "again"  # its campaign was held just now: it is asked for again, and waits or is over
        if self.store.clock.now() - letter.made_ms > STALE_MS or self.versions.current().version != letter.version:
            return "again"
        stop = self._suppressed(letter)
        if stop is not None:
            refusal = Refusal(row, "rights.object-marketing", "suppressed", (f"stop:{stop}",))
            self._refuse(tx, steps, refusal, letter.secret)
            return "over"
        facts = {
            "template": template.id,
            "class": template.kind,
            "message": letter.mid.hex(),
            "words": letter.digest,
            "unsubscribe": letter.token is not None,
        }
        tx.append(
            EntryDraft(
                kind="message.sending",
                clause=template.clause,
                mechanism="message.declared",
                purpose=template.purpose,
                refers=row["eid"],
                facts=facts,
            ),
            letter.secret,
            eid=letter.intent,
        )
        steps.intend.append((letter.intent, letter.mid))
        if letter.token is not None:
            of = {"tenant": row["tenant"], "sid": row["sid"], "ref": template.purpose}
            steps.links.append(links.row(tx, letter.token, "unsubscribe", **of, expires_ms=tx.now + UNSUBSCRIBE_MS))
        return "go"

    def _suppressed(self, letter: Letter) -> str | None:
        """The purpose that an objection to this address covers: it outlives the data it was made about (L17)."""
        if letter.hashed is None:
            return None
        scopes = self.vault.spared(letter.row["tenant"], "email", letter.hashed)
        return next((node for node in letter.nodes if node in scopes), None) if scopes else None

    def _outcome(self, tx: DataTx, steps: _Steps, letter: Letter, outcome: Outcome, secret: bytes | None) -> None:
        state: str = outcome.kind
        row, template = letter.row, letter.template
        if state == "deferred" and tx.now - row["queued_ms"] > GIVE_UP_MS:
            state = "refused"
        entry = tx.append(
            EntryDraft(
                kind=f"message.{state}",
                clause=template.clause,
                mechanism="message.declared",
                purpose=template.purpose,
                refers=letter.intent,
                facts={"message": letter.mid.hex(), "reason": outcome.reason, "template": template.id},
            ),
            secret,
        )
        if state == "deferred":
            due = tx.now + min(FIRST_PAUSE_MS << min(row["attempt"], 10), LONGEST_PAUSE_MS)
            steps.again.append((outcome.reason, entry.eid, due, letter.mid))
        else:
            steps.ended.append((state, outcome.reason, entry.eid, tx.now, letter.mid))

    # --- what is not sent ---

    def _set_aside(self, refused: Sequence[Refusal], later: Sequence[tuple[Row, int]]) -> None:
        secrets = {refusal.row["id"]: self.letters.secret(refusal.row) for refusal in refused}

        def body(tx: DataTx) -> None:
            steps, there = _Steps(), self._look(tx, [refusal.row["id"] for refusal in refused])
            for refusal in refused:
                found = there.get(refusal.row["id"])
                if found is None or found[1] == refusal.row["state"]:  # else somebody ended it before
                    self._refuse(tx, steps, refusal, secrets[refusal.row["id"]] if found is not None else None)
            steps.later += [(due, row["id"]) for row, due in later]
            steps.run(tx)

        self.store.write(Write(body=body, lane=Lane.JOB))

    def _refuse(
        self, tx: DataTx, steps: _Steps, refusal: Refusal, secret: bytes | None, state: str = "refused"
    ) -> None:
        row = refusal.row
        facts: dict[str, Any] = {"message": row["id"].hex(), "reason": refusal.reason}
        declared = row["template"] in self.versions.current().templates
        if declared:
            facts["template"] = row["template"]
        if refusal.gaps:
            facts["gaps"] = list(refusal.gaps)
        entry = tx.append(
            EntryDraft(
                kind=f"message.{state}",
                clause=refusal.clause,
                mechanism="message.declared",
                purpose=row["purpose"] if declared else None,
                refers=row["eid"],
                facts=facts,
            ),
            secret,
        )
        steps.ended.append((state, refusal.reason, entry.eid, tx.now, row["id"]))

    def resolve(self) -> int:
        """Before the port opens: what a crash left in ``sending`` is said to be unknown; how many there were."""
        cut_off = self.store.read(lambda connection: connection.execute(CUT_OFF).scalars().all())
        with self._lock:
            left = [mid for mid in cut_off if mid not in self._in_hand]
        for start in range(0, len(left), GROUP):
            self._unknown(left[start : start + GROUP])
        return len(left)

    def _unknown(self, mids: Sequence[bytes]) -> None:
        templates = self.versions.current().templates

        def look(connection: Any) -> list[Row]:
            return [
                dict(found) for mid in mids if (found := connection.execute(ROW, {"of_id": mid}).mappings().first())
            ]

        rows = self.store.read(look)
        secrets = {row["id"]: self.letters.secret(row) for row in rows}

        def body(tx: DataTx) -> None:
            steps, there = _Steps(), self._look(tx, mids)
            for row in rows:
                if row["id"] in there and there[row["id"]][1] == "sending":
                    declared = templates.get(row["template"])
                    clause = declared.clause if declared else UNDECLARED
                    refusal = Refusal(row, clause, "the sending was cut off")
                    self._refuse(tx, steps, refusal, secrets[row["id"]], "unknown")
            steps.run(tx)

        self.store.write(Write(body=body, lane=Lane.JOB))
        self.flight.landed()

    # --- what people look at ---

    def counts(self) -> dict[str, int]:
        """How many messages there are in each state."""
        return self.store.read(lambda connection: {row[0]: row[1] for row in connection.execute(COUNT)})

    def unresolved(self, most: int = 200) -> list[Row]:
        """What somebody should look at, the newest first: unknown outcomes, and notices that came back."""
        notices = [t.id for v in self.versions.history.versions for t in v.templates.values() if t.kind == "notice"]
        asked = {"notices": notices, "most": most}
        return self.store.read(lambda c: [dict(row) for row in c.execute(UNRESOLVED, asked).mappings()])

    # --- one after the other ---

    def send_due(self, transport: Transport, most: int = GROUP) -> int:
        """Send what is due on this thread, over one connection: for commands and tests. How many were dealt with.

        0 where nothing is due or the relay cannot be reached.
        """
        letters = self.take(most)
        line, ended = transport.line(), list[Ending]()
        try:
            left = list(letters)
            while left and line.ready() is None:
                (fate,) = self.record(ended, [left[0]])
                ended = []
                letter = left.pop(0)
                if fate == "go":
                    ended = [(letter, line.send(letter.envelope))]
            if ended:
                self.record(ended, [])
            self.release(left)
        finally:
            line.close()
        return len(letters) - len(left)


class _Steps:
    """The rows that a transaction changes, gathered so that each statement runs once for all of them."""

    def __init__(self) -> None:
        self.intend: list[tuple[Any, ...]] = []
        self.again: list[tuple[Any, ...]] = []
        self.ended: list[tuple[Any, ...]] = []
        self.later: list[tuple[Any, ...]] = []
        self.links: list[tuple[Any, ...]] = []

    def run(self, tx: DataTx) -> None:
        """Change them. The caller has looked at the rows in this transaction."""
        for statement, rows in (
            (ENDED, self.ended),
            (AGAIN, self.again),
            (LATER, self.later),
            (INTEND, self.intend),
            (links.ROW, self.links),
        ):
            if rows:
                statement.run_many(tx.connection, rows)


@lru_cache(maxsize=256)
def _look_at(count: int) -> str:
    return LOOK.format(marks=", ".join("?" * count))
