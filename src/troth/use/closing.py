"""Closing one's account and coming back: what follows is the policy's, told with its dates before, in force at once.

Closing ends the state that the account's keeping rests on: from there on the gate permits what the next phase names
and nothing else, and retention erases when that is over. Until then its holder may come back; nobody else's word of
its use begins it again. Clause: ``purpose.account``. Mechanism: ``account.control``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select

from troth.errors import Conflict, NotFound
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, StateRule
from troth.store import Lane, Store, Write
from troth.store.ledger import EntryDraft
from troth.store.outbox import post
from troth.store.tables import subject_states, subjects
from troth.store.transaction import DataTx
from troth.use import person_sessions
from troth.use.person_sessions import CLASS
from troth.vault import Vault
from troth.vault.retention import Span, phase_ends
from troth.vault.states import CLOSED, RETURNED

CLAUSE = "purpose.account"
CONTROL = "account.control"
LETTER = "account.closed"  # where the policy declares it

STATES = select(subject_states.c.state, subject_states.c.since_ms, subject_states.c.until_ms).where(
    subject_states.c.tenant == bindparam("of_tenant"), subject_states.c.sid == bindparam("of_sid")
)
LAST_USE = select(subjects.c.last_use_ms).where(
    subjects.c.tenant == bindparam("of_tenant"), subjects.c.sid == bindparam("of_sid")
)


class Follows(NamedTuple):
    """What follows for what was told at one point: the only purposes left (None: all), and when it is erased.

    ``erased_ms`` is None where that still depends on the person: closing does not touch it.
    """

    point: str
    only: tuple[str, ...] | None
    erased_ms: int | None


class Outlook(NamedTuple):
    """What closing means, or means already. ``closed_ms`` is None while the account is open."""

    closed_ms: int | None
    follows: tuple[Follows, ...]
    returns_until_ms: int | None  # until when its holder may come back; None: not at all

    @property
    def account(self) -> bool:
        """Whether there is anything that closing ends."""
        return any(each.erased_ms is not None for each in self.follows)


def ended_by_closing(policy: CompiledPolicy) -> list[StateRule]:
    """The states that closing an account ends."""
    return [rule for rule in policy.states.values() if CLOSED in rule.ends]


def closable(policy: CompiledPolicy) -> bool:
    """Whether people have accounts under this policy that they can close."""
    return CLASS in policy.keeps and bool(ended_by_closing(policy))


def returnable(policy: CompiledPolicy) -> bool:
    """Whether a person who closed their account can come back."""
    return any(RETURNED in rule.begins for rule in ended_by_closing(policy))


class Closing:
    """Closes accounts and opens them again. Methods block: call them from a thread."""

    def __init__(self, store: Store, vault: Vault, versions: Versions) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions

    def outlook(self, tenant: str, sid: bytes) -> Outlook:
        """What follows from closing now, or has followed since; nothing is opened. ``NotFound`` if nobody is here."""
        return self.store.read(lambda c: self._outlook(c, tenant, sid))

    def _outlook(self, connection: Connection, tenant: str, sid: bytes) -> Outlook:
        if not self.vault.exists(connection, tenant, sid):
            raise NotFound("there is no such person here", clause=CLAUSE)
        of, now, policy = {"of_tenant": tenant, "of_sid": sid}, self.store.now(), self.versions.current()
        rows = {row.state: (row.since_ms, row.until_ms) for row in connection.execute(STATES, of)}
        last_use = int(connection.execute(LAST_USE, of).scalar_one())
        found: dict[tuple[str, str], Follows] = {}
        for record in self.vault.records(connection, tenant, sid):
            version = self.versions.history.version(record.terms.version)
            keep = version.keeps.get(record.class_)
            if keep is None:
                continue
            closes = any(CLOSED in version.states[p.while_].ends for p in keep.phases if p.while_ in version.states)
            ends = phase_ends(keep, version.states, record.anchor_ms, as_closed(version, rows, now), last_use)
            erased = ends[-1] if ends and closes else None
            at = next((i for i, end in enumerate(ends) if end is None or end > now), len(ends) - 1)
            only = keep.phases[at].only if closes else None
            line = Follows(record.terms.point, None if only is None else tuple(sorted(only)), erased)
            earlier = found.get((record.terms.point, record.class_))
            if earlier is None or (earlier.erased_ms or 0) < (erased or 0):
                found[record.terms.point, record.class_] = line
        follows = tuple(found.values())
        last = max((each.erased_ms for each in follows if each.erased_ms is not None), default=None)
        return Outlook(self.vault.closed_since(connection, tenant, sid), follows, last if returnable(policy) else None)

    def close(self, tenant: str, sid: bytes, *, proof: bytes | None = None, language: str = "en") -> Outlook:
        """Close the account: in force when this returns, every session ended, a letter on its way.

        ``Conflict`` where there is none, or it is closed already.
        """
        secret, policy = self._secret(tenant, sid), self.versions.current()
        outlook = self.outlook(tenant, sid)
        if outlook.closed_ms is not None or not outlook.account or not closable(policy):
            raise Conflict("there is no open account that could be closed", clause=CLAUSE)
        template = policy.templates.get(LETTER)
        words = {"language": language, "until": day(outlook)}
        variables = self.vault.transit_seal(msgspec.json.encode(words)) if template else b""

        def body(tx: DataTx) -> None:
            self._require(tx, tenant, sid, closed=False)
            ended = person_sessions.end_others(tx, tenant, sid, b"")
            facts = {"sessions_ended": ended}
            tx.append(EntryDraft("account.closed", CLAUSE, CONTROL, "subject", refers=proof, facts=facts), secret)
            self.vault.close(tx, tenant, sid, policy)
            self.vault.change_state(tx, tenant, sid, lambda state: state)  # who was just about to use it asks again
            if template is not None:
                chance = self.store.randomness
                post(tx, template, chance, tenant=tenant, sid=sid, opening=secret, variables=variables)

        self.store.write(Write(body, lane=Lane.RIGHTS))
        return self.outlook(tenant, sid)

    def come_back(self, tenant: str, sid: bytes, *, proof: bytes | None = None) -> None:
        """Open the account again, as it was. ``Conflict`` where it is not closed, or its time is over."""
        secret, policy = self._secret(tenant, sid), self.versions.current()
        until = self.outlook(tenant, sid).returns_until_ms
        if until is None or until <= self.store.now():
            raise Conflict("this account cannot be opened again: please register anew", clause=CLAUSE)

        def body(tx: DataTx) -> None:
            self._require(tx, tenant, sid, closed=True)
            tx.append(EntryDraft("account.returned", CLAUSE, CONTROL, "subject", refers=proof), secret)
            self.vault.happen(tx, tenant, sid, RETURNED, policy)
            self.vault.change_state(tx, tenant, sid, lambda state: state)  # who found it due looks again

        self.store.write(Write(body, lane=Lane.RIGHTS))

    def _secret(self, tenant: str, sid: bytes) -> bytes:
        try:
            return self.vault.opening(tenant, sid)
        except NotFound:
            raise Conflict("this account is being erased", clause=CLAUSE) from None

    def _require(self, tx: DataTx, tenant: str, sid: bytes, *, closed: bool) -> None:
        here = self.vault.exists(tx.connection, tenant, sid)
        if not here or (self.vault.closed_since(tx.connection, tenant, sid) is not None) != closed:
            raise Conflict("this account was changed elsewhere just now: please look at it again", clause=CLAUSE)


def as_closed(version: CompiledPolicy, rows: Mapping[str, Span], now: int) -> dict[str, Span]:
    """The person's spans, with what closing ends under this version ended now, or when it did."""
    ending = {rule.name for rule in ended_by_closing(version)}
    return {
        name: (since, now) if until is None and name in ending else (since, until)
        for name, (since, until) in rows.items()
    }


def day(outlook: Outlook) -> str:
    """The last day of it as an ISO date, for a letter; "" where there is none."""
    ends = [each.erased_ms for each in outlook.follows if each.erased_ms is not None]
    return dt.datetime.fromtimestamp(max(ends) / 1000, tz=dt.UTC).date().isoformat() if ends else ""
