"""Consents that were given elsewhere and are brought in: what is known of them, and nothing that is not.

Such a record says where it comes from, when the person is said to have agreed, and how that was shown. It does not
claim that our own words stood before them: ``troth:words`` is empty. Clause: ``consent.at-submission``. Mechanism:
``consent.record``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from troth.notice.consents import INSERT, Shown, instant, record_of
from troth.policy.model import CompiledPolicy, ConsentAsk
from troth.store.writer import DataTx

MEMBER = "troth:brought"
"""The record's member that says so; ``checks`` asks for its parts."""


@dataclass(frozen=True)
class Brought:
    """What a file says of a consent: its source, when it was given, and how that is known."""

    source: str
    agreed_ms: int
    how: str

    def as_member(self, at_ms: int) -> dict[str, Any]:
        """As it is sealed with a record; ``at_ms`` is when it came in."""
        return {
            "troth:source": self.source,
            "troth:agreed": instant(self.agreed_ms),
            "troth:how": self.how,
            "troth:came-in": instant(at_ms),
        }


def row_of(
    now_ms: int,
    policy: CompiledPolicy,
    ask: ConsentAsk,
    shown: Shown,
    brought: Brought,
    *,
    tenant: str,
    sid: bytes,
    cid: bytes,
    eid: bytes,
    seal: Callable[[bytes, dict[str, Any]], bytes],
) -> dict[str, Any]:
    """The record as given, at the time that the file says, for ``store``. ``eid`` is the entry ``consent.imported``."""
    event = {
        "@type": "dpv:ConsentGiven",
        "dct:date": instant(brought.agreed_ms),
        "dpv:isIndicatedBy": "dpv:DataSubject",
        "dpv:hasIndicationMethod": "troth:told-by-the-source",
    }
    value = record_of(policy, ask, shown, record=cid.hex(), subject=sid.hex(), events=[event])
    notice = {name: of for name, of in value["dpv:hasNotice"].items() if name != "troth:words-sha256"}
    value |= {"dpv:hasNotice": notice | {"troth:words": ""}, MEMBER: brought.as_member(now_ms)}
    return {
        "tenant": tenant,
        "sid": sid,
        "cid": cid,
        "consent": ask.id,
        "version": policy.version,
        "state": "Given",
        "given_ms": brought.agreed_ms,
        "eid": eid,
        "ct": seal(cid, value),
    }


def store(tx: DataTx, rows: Sequence[dict[str, Any]]) -> None:
    """Store such records, in the transaction of their entries."""
    if rows:
        tx.execute(INSERT, rows)
