"""One batch of writes: K first, then D with its entries and the signed head, then K last.

This is group commit: every write of the batch shares three syncs at most, and each is its own savepoint, so
that one poisoned write fails alone. Nothing here waits or starts threads; the writer calls it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NoReturn

from troth.errors import Busy, Conflict, Unavailable, Unknown
from troth.store.checkpoint import Signer
from troth.store.engine import Database, driver
from troth.store.faults import plainly
from troth.store.head import Head, HeadMoved, append_batch, first_head, read_head
from troth.store.item import Item
from troth.store.ledger import Entry, EntryDraft, insert_entries, make_entry
from troth.store.transaction import DataTx, KeyTx
from troth.world import Clock, Randomness

log = logging.getLogger("troth.store")

MAX_BYTES = 1 << 20
MAX_SECONDS = 0.005

_DONE = "SELECT request_hash, result FROM idempotency WHERE scope = ? AND key = ?"
_DO = "INSERT INTO idempotency (scope, key, request_hash, result, at_ms) VALUES (?, ?, ?, ?, ?)"


class _Failed(Exception):
    """The whole batch cannot be committed; ``cause`` says why. Nothing of it is in the store."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Executor:
    """Runs batches on the writing connections of D and K. Used from the writer's thread only.

    ``abort`` ends the process: after a failed write or sync, what is read back cannot be trusted, so nothing may
    be acknowledged any more. ``fault`` is None while the ledger can be written, else it says what is wrong.
    """

    def __init__(
        self,
        data: Database,
        keys: Database,
        clock: Clock,
        randomness: Randomness,
        signer: Signer,
        policy: Callable[[], str],
        abort: Callable[[str], None],
    ) -> None:
        self.data = data
        self.keys = keys
        self.clock = clock
        self.randomness = randomness
        self.signer = signer
        self.policy = policy
        self.abort = abort
        self.head: Head | None = None
        self.fault: str | None = None
        self.enqueued = 0  # jobs that the last batch added
        self._keys_failed = False
        self._sql = {text: data.sql(text) for text in (_DONE, _DO)}

    def now(self) -> int:
        """The ledger's time: the clock's, but never before the newest entry's."""
        return max(self.clock.now(), self.head.at_ms if self.head else 0)

    def start(self) -> Head:
        """Read the head of the log, writing the signed head of the empty tree if there is none."""
        with self.data.transaction() as connection:
            raw = driver(connection)
            head = read_head(raw) or first_head(self.data, raw, self.randomness.bytes(16), self.signer)
        self.head = head
        return head

    def run(self, items: list[Item]) -> list[Item]:
        """Carry out ``items``; each then has its value or its fault. Returns those put off to the next batch."""
        self.enqueued = 0
        try:
            if self.head is None:
                self._recover()
            live, later = self._admit(items)
            before = [item for item in live if item.write.before is not None and not item.keyed]
            if before:
                self._keys_first(before)
                live = [item for item in live if item.fault is None]
            if live:
                later += self._data(live)
            after = [i for i in live if i.write.after is not None and i.fault is None and i not in later]
            if after:
                self._keys_last(after)
        except _Failed as failed:
            if self.fault is None:  # once, not once a batch for as long as it lasts
                log.error("the ledger cannot be written: %s", plainly(failed.cause))
            self.fault = f"the ledger cannot be written ({type(failed.cause).__name__})"
            for item in items:
                if item.fault is None:
                    item.fault = Unavailable("the ledger cannot be written: nothing was done; try again later")
            return []
        return later

    def probe(self) -> None:
        """While there is a fault: see whether the ledger can be written again, and clear it if so."""
        try:
            if self.head is None:
                self._recover()
            old = self.head
            assert old is not None
            transaction = self.data.writing().begin()
            raw = driver(self.data.writing())
            batch = self.randomness.bytes(16)
            raw.execute("SAVEPOINT probe")
            draft = EntryDraft("store.probe", "", "store.probe")
            insert_entries(self.data, raw, old.size, [make_entry(draft, batch, old.at_ms, "")])
            raw.execute("ROLLBACK TO SAVEPOINT probe")
            head = append_batch(self.data, raw, old, [], batch, old.at_ms, self.signer)
        except _Failed:
            return
        except HeadMoved as moved:
            self.end(moved)
        except Exception as problem:
            self._undo(problem)
            return
        try:
            self._commit(transaction, head, [])
        except _Failed:
            return

    # --- the phases ---

    def _admit(self, items: list[Item]) -> tuple[list[Item], list[Item]]:
        """Those to carry out now and those to put off; expired and already done ones are settled here."""
        live: list[Item] = []
        later: list[Item] = []
        seen: set[tuple[str, bytes]] = set()
        now = self.now()
        for item in items:
            write = item.write
            if write.deadline_ms is not None and write.deadline_ms < now and not item.keyed:
                item.fault = Busy("the request waited too long and was not begun")
                continue
            if write.key is not None:
                mark = (write.key.scope, write.key.key)
                if mark in seen:
                    later.append(item)
                    continue
                seen.add(mark)
                if self._done_before(item):
                    continue
            live.append(item)
        return live, later

    def _done_before(self, item: Item) -> bool:
        key = item.write.key
        assert key is not None
        try:
            raw = self.data.raw_reader()
            row = raw.execute(self._sql[_DONE], (key.scope, key.key)).fetchone()
        except Exception as problem:
            if self.data.fault(problem) == "fatal":
                self.end(problem)
            self.data.forget_raw()
            raise _Failed(problem) from problem
        if row is None:
            return False
        if bytes(row[0]) != key.request:
            item.fault = Conflict("this idempotency key came with another request before")
        else:
            item.value = bytes(row[1])
        return True

    def _keys_first(self, items: list[Item]) -> None:
        def step(item: Item, tx: KeyTx) -> None:
            assert item.write.before is not None
            item.write.before(tx)

        problem = self._keys(items, step)
        for item in items:
            item.keyed = item.fault is None
            if problem is not None and item.fault is None:
                item.fault = Unavailable("the key store cannot be written: nothing was done; try again later")

    def _keys_last(self, items: list[Item]) -> None:
        def step(item: Item, tx: KeyTx) -> None:
            assert item.write.after is not None
            item.write.after(tx, item.value)

        problem = self._keys(items, step)
        for item in items:
            if problem is not None or item.fault is not None:
                # D's effect and the job that does K again are committed: it is done in part, and not acknowledged.
                fault = Unknown("it is recorded but not yet complete; it will be completed: ask again later")
                fault.__cause__ = problem or item.fault
                item.fault = fault

    def _keys(self, items: list[Item], step: Callable[[Item, KeyTx], None]) -> BaseException | None:
        """One transaction of K, a savepoint an item. Returns what kept it from committing, if anything."""
        try:
            connection = self.keys.writing()
            transaction = connection.begin()
            raw = driver(connection)
            tx = KeyTx(connection, self.now())
            self.keys.in_steps = True
            alone = len(items) == 1  # then the transaction itself is its savepoint
            for item in items:
                if not alone:
                    raw.execute("SAVEPOINT item")
                try:
                    step(item, tx)
                except Exception as problem:
                    if self.keys.fault(problem) != "item":
                        raise
                    item.fault = problem
                    if not alone:
                        raw.execute("ROLLBACK TO SAVEPOINT item")
                if not alone:
                    raw.execute("RELEASE SAVEPOINT item")
            self.keys.in_steps = False
            if alone and items[0].fault is not None:
                transaction.rollback()
                return None
            self.keys.commit(transaction)
        except Exception as problem:
            if self.keys.fault(problem) == "fatal":
                self.end(problem)
            if not self._keys_failed:
                log.error("the key store cannot be written: %s", plainly(problem))
            self._keys_failed = True
            self.keys.forget_writing()
            return problem
        self._keys_failed = False
        return None

    def _data(self, items: list[Item]) -> list[Item]:
        """One transaction of D. Returns the items it had no time for."""
        assert self.head is not None
        done: list[Item] = []
        entries: list[Entry] = []
        started, size, later = time.perf_counter(), 0, []
        try:
            connection = self.data.writing()
            transaction = connection.begin()
            raw = driver(connection)
            policy, now = self.policy(), self.now()
            self.data.in_steps = True
            for at, item in enumerate(items):
                if at and (size > MAX_BYTES or time.perf_counter() - started > MAX_SECONDS):
                    later = items[at:]
                    break
                now = max(now, self.clock.now())
                tx = DataTx(connection, now, policy, self.randomness.bytes)
                if self._one(raw, item, tx, alone=len(items) == 1):
                    done.append(item)
                    entries += tx.entries
                    size += sum(len(entry.body) for entry in tx.entries)
                    self.enqueued += tx.enqueued
            self.data.in_steps = False
            if not done:
                transaction.rollback()
                return later
            batch = self.randomness.bytes(16)
            head = append_batch(self.data, raw, self.head, entries, batch, now, self.signer)
        except HeadMoved as moved:
            self.end(moved)
        except Exception as problem:
            self._undo(problem)
            raise _Failed(problem) from problem
        self._commit(transaction, head, done)
        return later

    def _one(self, raw: Any, item: Item, tx: DataTx, *, alone: bool) -> bool:
        """One item in its savepoint. False if it failed alone; raises if the batch cannot go on.

        An item that is the whole batch needs no savepoint: the caller rolls back.
        """
        if not alone:
            raw.execute("SAVEPOINT item")
        try:
            item.value = item.write.body(tx)
            key = item.write.key
            if key is not None:
                raw.execute(self._sql[_DO], (key.scope, key.key, key.request, item.value, tx.now))
        except Exception as problem:
            if self.data.fault(problem) != "item":
                raise
            if not alone:
                raw.execute("ROLLBACK TO SAVEPOINT item")
                raw.execute("RELEASE SAVEPOINT item")
            item.fault = problem
            item.value = None
            return False
        finally:
            tx.over = True
        if not alone:
            raw.execute("RELEASE SAVEPOINT item")
        return True

    def _commit(self, transaction: Any, head: Head, done: list[Item]) -> None:
        try:
            self.data.commit(transaction)
        except Exception as problem:
            if self.data.fault(problem) == "fatal":
                self.end(problem)
            log.error("a COMMIT raised: %s", plainly(problem))
            durable = self._look_for(head.batch)
            if durable is False:
                raise _Failed(problem) from problem
            if durable is None:
                self.fault = "a commit's outcome is unknown and the store cannot be reached"
                for item in done:
                    item.fault = Unknown("the commit failed; ask again with the same idempotency key")
                return
        self.head = head
        self.fault = None

    # --- what may go wrong ---

    def _undo(self, problem: Exception) -> None:
        """Roll the open transaction back; on any doubt give the connection up (which rolls back as well)."""
        if self.data.fault(problem) == "fatal":
            self.end(problem)
        self.data.forget_writing()
        self.head = None

    def _look_for(self, batch: bytes) -> bool | None:
        """Whether the batch is in the store, on a new connection. None: the store cannot be asked."""
        self.data.forget_writing()
        self.head = None
        try:
            head = self.start()
        except Exception as problem:
            log.error("the store cannot be asked for a batch: %s", plainly(problem))
            return None
        return head.batch == batch

    def _recover(self) -> None:
        try:
            self.start()
        except Exception as problem:
            if self.data.fault(problem) == "fatal":
                self.end(problem)
            self.data.forget_writing()
            raise _Failed(problem) from problem

    def end(self, problem: BaseException) -> NoReturn:
        """A write or sync failed: end the process before anything else is acknowledged. Does not return."""
        self.fault = "a write or a sync failed"
        reason = f"a write or a sync failed ({plainly(problem)}): the process ends so that nothing untrue is said"
        try:
            self.abort(reason)
        finally:  # where abort was replaced and came back, the writer's thread ends all the same
            raise SystemExit(70)
