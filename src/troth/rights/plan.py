"""The plan of an erasure: what will be destroyed, changed or kept, listed and signed before anything happens.

It stands in the order's own row, in the transaction that orders; the hash of it stands in the entry *ordered*, so that
no other list can be shown afterwards. It is signed with the log's key, and its hash covers the signature: whoever
sees the ledger cannot guess the counts. It holds kinds, tables, counts and reasons, and never a value or an address.
Clause: ``rights.erase``. Mechanism: ``right.erase``.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from troth.errors import Damaged
from troth.rights.erasers import ERASERS, OBJECTIONS, RECORDS, Action, Eraser
from troth.rights.hold import Held, standing
from troth.rights.removal import KINDS, MOST, OF_POINTS, whose
from troth.store.checkpoint import Signer
from troth.world import DAY_MS

FORMAT = "troth-plan-1"
CONTEXT = b"troth erasure plan\n"  # what the signature covers begins so: it counts for nothing else

Fate = Literal["open", "done", "held", "failed"]


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One kind of data in one table, and what is to become of it.

    ``count`` is how many rows there are; ``more``: at least one more than that. It is None where rows are not counted
    because nothing in them says whose they are, or because the whole of them goes at once (keys). ``point`` is the
    collection point, of records. ``copy`` is the member of the person's copy in which it can be had before. ``clause``
    asks for it or keeps it; ``until_ms`` is when what is kept goes too (None: see the kind's words).
    """

    kind: str
    table: str
    action: Action
    clause: str
    count: int | None = None
    more: bool = False
    point: str = ""
    copy: str = ""
    until_ms: int | None = None


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """The list. ``order`` is the id of the entry *ordered*, empty while nothing is ordered; times UTC milliseconds.

    ``held`` says why nothing of it is done yet, and until when, where somebody is held.
    """

    format: str
    order: str
    drawn_ms: int
    cause: str
    lines: tuple[Line, ...]
    held: Held | None = None


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one line of the plan, as far as it was seen.

    ``done``: looked for, and nothing found; ``removed`` is how many rows of this table went. ``held``: kept, as the
    plan says or because somebody is held (``waits``: it goes after that), until when it says.
    ``open``: not yet. ``failed``: tried and not done; it goes on as a job.
    """

    kind: str
    table: str
    fate: Fate
    point: str = ""
    planned: int | None = None
    more: bool = False
    removed: int | None = None
    until_ms: int | None = None
    waits: bool = False


def draw(
    connection: Connection, tenant: str, sid: bytes, *, now: int, stops: int, cause: str = "right", order: bytes = b""
) -> Plan:
    """The plan for this person as the caller's snapshot shows them; ``stops`` is how many objections they have.

    No kind is counted beyond ``MOST``, so that somebody with very much waits no longer than anybody else.
    """
    counted = {(row.id, row.name): row.number for row in connection.execute(KINDS, whose(tenant, sid))}
    points: dict[str, int] = {}
    for row in connection.execute(OF_POINTS, whose(tenant, sid)):
        points[row.point] = points.get(row.point, 0) + row.number
    lines = []
    for eraser in ERASERS:
        if eraser.id == RECORDS:
            lines += [
                _line(eraser, eraser.tables[0], now, points[point], point) for point in sorted(points) if points[point]
            ]
        elif eraser.id == OBJECTIONS:
            lines += [_line(eraser, "tags", now, stops)] if stops else []
        elif eraser.rows:
            found = ((name, counted[eraser.id, name]) for name in eraser.tables)
            lines += [_line(eraser, table, now, number) for table, number in found if number]
        else:
            lines += [_line(eraser, table, now, None) for table in eraser.elsewhere]
    hold = standing(connection, tenant, sid)
    held = None if hold is None else Held(hold.reason, hold.until_ms)
    return Plan(FORMAT, order.hex(), now, cause, tuple(lines), held)


def _line(eraser: Eraser, table: str, now: int, number: int | None, point: str = "") -> Line:
    until = None if eraser.days is None else now + eraser.days * DAY_MS
    count = None if number is None else min(number, MOST)
    more = number is not None and number > MOST
    return Line(eraser.id, table, eraser.action, eraser.clause, count, more, point, eraser.copy, until)


def signed(plan: Plan, signer: Signer) -> str:
    """The plan as it is stored: its JSON on one line, and the signature on another."""
    content = msgspec.json.encode(plan)
    return f"{content.decode()}\n{b64encode(signer.sign(CONTEXT + content)).decode()}\n"


def digest(text: str) -> str:
    """The hash of a signed plan, hex, as the entry *ordered* and the certificate name it."""
    return sha256(text.encode()).hexdigest()


def read(text: str) -> Plan:
    """The plan in a signed text, its signature not looked at (``verify``); ``Damaged`` where it is none."""
    try:
        return msgspec.json.decode(text.partition("\n")[0], type=Plan)
    except msgspec.MsgspecError:
        raise Damaged("the plan of an erasure is not as it was stored", clause="rights.erase") from None


def verify(text: str, public: bytes) -> bool:
    """Whether this text was signed as a plan with this key, and nothing was changed in it."""
    content, _, mark = text.partition("\n")
    try:
        made = b64decode(mark.removesuffix("\n"), validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(made, CONTEXT + content.encode())
    except (InvalidSignature, ValueError):
        return False
    return text == f"{content}\n{b64encode(made).decode()}\n"


def compare(
    plan: Plan, removed: Mapping[str, int], *, unreadable: bool, gone: bool, failed: bool, waits: Held | None = None
) -> tuple[Outcome, ...]:
    """What was done of each line. ``failed``: the job that goes on with it has tried and not succeeded; ``waits``:
    nothing is done before that hold ends.

    A table in which rows went that no line speaks of has a line of its own, so that nothing is done and not told.
    """
    outcomes = []
    for line in plan.lines:
        fate: Fate = "failed" if failed else "open"
        if line.action == "kept":
            fate = "held"
        elif gone or (unreadable and line.table in ("data_keys", "tags")):
            fate = "done"
        rows = removed.get(line.table, 0) if line.action == "destroyed" and line.count is not None else None
        until, waiting = line.until_ms, False
        if waits is not None and line.action != "kept":
            fate, until, waiting = "held", waits.until_ms, True
        outcomes.append(Outcome(line.kind, line.table, fate, line.point, line.count, line.more, rows, until, waiting))
    spoken = {line.table for line in plan.lines if line.action == "destroyed"}
    outcomes += [
        Outcome("unplanned", table, "done" if gone else "open", removed=number)
        for table, number in sorted(removed.items())
        if number and table not in spoken
    ]
    return tuple(outcomes)
