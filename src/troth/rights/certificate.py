"""The certificate of an erasure: three times, what was planned and what became of it, and what it does not cover.

It says what was seen and no more. Clause: ``rights.erase``. Mechanism: ``right.erase``.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import RowMapping

from troth.rights import plan as plans
from troth.rights.hold import Held
from troth.rights.plan import Outcome

OLD_COPIES = "old-key-copies"  # of the key store: they open until the epoch is destroyed
KEY_FOLDER = "copies-of-key-files"  # a copy of the epoch's own file undoes its destruction
DAY_KEYS = "day-keys-of-mail"
NONE = "none"  # the class of a destruction that the provider cannot do


class Certificate(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an erasure did, as seen. Times are UTC milliseconds; an empty one has not happened (or was not seen).

    ``unreadable``: keys and tags destroyed, looked for on a new connection, 0 found. ``gone``: rows deleted and looked
    for, 0 found. ``destroyed``: the epoch that wrapped old copies of the keys destroyed, with the provider's class.
    ``destruction`` is the provider's word: ``hardware``, ``service``, ``scheduled``, ``file_best_effort``, or ``none``
    where it cannot destroy.
    ``plan`` is the hash of the signed plan, as the entry *ordered* has it, and ``outcomes`` what became of its lines;
    both are empty of orders from before there were plans, and where a restore took the plan with the data.
    ``held``: the hold that it waits for, as it stands now; nothing is done while there is one.
    ``not_covered``: what could still open something, and where. Old copies of the key store open old copies of the
    data until the epoch ends; after that, where its key was a file, a copy of that file; the day keys of mail open an
    address that lay in the queue when a copy was made, until they are destroyed in their turn.
    """

    ordered: str
    cause: str
    ordered_ms: int
    state: str
    unreadable_ms: int | None = None
    gone_ms: int | None = None
    destroyed_ms: int | None = None
    destruction: str | None = None
    rows: dict[str, int] = {}
    done: str | None = None
    plan: str | None = None
    outcomes: tuple[Outcome, ...] = ()
    held: Held | None = None
    not_covered: tuple[str, ...]  # without a default, so that it is never left out where the certificate is shown


def certificate_of(row: RowMapping | dict[str, Any], *, failed: bool, held: Held | None = None) -> Certificate:
    """The certificate of an order as its row stands; ``failed``: its job has tried and not succeeded.

    ``held``: what it waits for, where it does.
    """
    rows = msgspec.json.decode(row["counts"])
    text = row["plan"]
    outcomes = (
        plans.compare(
            plans.read(text),
            rows,
            unreadable=row["unreadable_ms"] is not None,
            gone=row["state"] == "gone",
            failed=failed,
            waits=held,
        )
        if text
        else ()
    )
    return Certificate(
        ordered=bytes(row["ordered"]).hex(),
        cause=row["cause"],
        ordered_ms=row["ordered_ms"],
        state=row["state"],
        unreadable_ms=row["unreadable_ms"],
        gone_ms=row["gone_ms"],
        destroyed_ms=row["destroyed_ms"],
        destruction=row["destruction"],
        rows=rows,
        done=bytes(row["done"]).hex() if row["done"] else None,
        plan=plans.digest(text) if text else None,
        outcomes=outcomes,
        held=held,
        not_covered=not_covered(row["destruction"]),
    )


def not_covered(destruction: str | None) -> tuple[str, ...]:
    """What a certificate must name beside its times, by the class of destruction (None: the epoch lives)."""
    left = {None: (OLD_COPIES,), NONE: (OLD_COPIES,), "file_best_effort": (KEY_FOLDER,)}
    return (*left.get(destruction, ()), DAY_KEYS)
