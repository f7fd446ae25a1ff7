"""Terms and states by number, remembered: what a committed number means never changes (STORAGE, invariant 20)."""

from __future__ import annotations

from troth.errors import Busy
from troth.policy.model import State, Terms
from troth.store.engine import Database
from troth.vault.states import state_from

TERMS = "SELECT controller, surface, point, version FROM terms WHERE id = ?"
STATE = "SELECT canonical FROM states WHERE id = ?"


class InternedTerms(dict[int, Terms]):
    """``terms[id]``. Looked up among what is committed, so that a number that is rolled back is never remembered.

    ``Busy`` for a number that a row of the very transaction refers to whose commit is still to come.
    """

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._sql = database.sql(TERMS)

    def __missing__(self, number: int) -> Terms:
        row = self._database.raw_reader().execute(self._sql, (number,)).fetchone()
        if row is None:
            raise _uncommitted()
        found = self[number] = Terms(*row)
        return found


class InternedStates(dict[int, State]):
    """``states[id]``, as ``InternedTerms``."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._sql = database.sql(STATE)

    def __missing__(self, number: int) -> State:
        row = self._database.raw_reader().execute(self._sql, (number,)).fetchone()
        if row is None:
            raise _uncommitted()
        found = self[number] = state_from(row[0])
        return found


def _uncommitted() -> Busy:
    return Busy("this person is just being written: ask again")
