"""What a row becomes: a person or a consent to take, an address to spare, or nothing, with the reason.

A row says where it comes from (Art. 14) and when the person agreed (Art. 7(1)), or it is held: it is counted, its
line is named, and nothing of it is stored. A plan is a function of the row, the policy and the time alone.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TypeAlias

from troth.collect.forms import IS_TEXT, clean, is_email
from troth.collect.importing.layouts import Layout, address_of
from troth.collect.importing.reading import Row
from troth.errors import Invalid
from troth.policy.model import Point
from troth.vault.index import normalise

MAX_SOURCE = 500  # characters
EARLIEST = 631_152_000_000  # 1990: what says it was agreed to before is a number, not a time

AGREED = {"", "enabled", "subscribed", "active", "confirmed", "given"}
ENDED = {"unsubscribed", "cleaned", "bounced", "complained", "withdrawn", "objected"}
ALL_ENDED = {"blocklisted", "blacklisted", "suppressed"}
NOT_YET = {"pending", "unconfirmed", "requested"}

# 2021-03-04T05:06:07.123+01:00 and 2021-03-04 05:06:07.123456 +0000 UTC, with fewer parts as well
TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?(?: ?(Z|[+-]\d{2}:?\d{2}))?(?: [A-Z]{3,5})?)?"
)


@dataclass(frozen=True)
class Take:
    """A row to take: its values as they will be kept, and what the consent rests on."""

    line: int
    address: str
    values: dict[str, str]
    source: str
    agreed_ms: int
    how: str


@dataclass(frozen=True)
class Spare:
    """An address that is not to be written to: for this point's purpose, or (``wide``) for all advertising."""

    line: int
    address: str
    wide: bool


@dataclass(frozen=True)
class Held:
    """A row that is not taken, and why: the name of a rule, never a value."""

    line: int
    reason: str


Plan: TypeAlias = Take | Spare | Held


@dataclass(frozen=True)
class Planner:
    """Plans rows of one file for one point. ``kind`` is ``people``, ``consents`` or ``suppressions``."""

    kind: str
    point: Point
    layout: Layout
    source: str | None
    how: str | None
    now_ms: int

    def plan(self, row: Row) -> Plan:
        """What this row becomes."""
        if row.fault:
            return Held(row.line, row.fault)
        field = address_of(self.point)
        address = self._value(row, field.name)
        status = plain_status(row.cells.get(self.layout.status or "", ""))
        if self.layout.ended:
            status = self.layout.ended
        if self.kind == "suppressions" or status in ENDED or status in ALL_ENDED:
            if not is_address(address, field.max_length):
                return Held(row.line, f"{field.name}: email")
            return Spare(row.line, address, status in ALL_ENDED)
        if status in NOT_YET:
            return Held(row.line, "not-confirmed")
        if status not in AGREED:
            return Held(row.line, "disabled" if status == "disabled" else "status")
        return self._take(row, address)

    def _take(self, row: Row, address: str) -> Plan:
        field = address_of(self.point)
        if self.kind == "consents":
            if not is_address(address, field.max_length):
                return Held(row.line, f"{field.name}: email")
            values = {field.name: address}
        else:
            values, faults = clean(self.point, {name: self._value(row, name) for name in self.layout.fields})
            if faults:
                return Held(row.line, f"{faults[0].field}: {faults[0].rule}")
            address = values.get(field.name, "")
            if not address:
                return Held(row.line, f"{field.name}: required")
        source = self.source or row.cells.get(self.layout.source or "", "").strip()
        if not source:
            return Held(row.line, "source")
        if len(source) > MAX_SOURCE or not IS_TEXT.fullmatch(source):
            return Held(row.line, "source: too-long" if len(source) > MAX_SOURCE else "source: control")
        agreed = row.cells.get(self.layout.evidence or "", "").strip()
        if not agreed:
            return Held(row.line, "evidence")
        at = moment(agreed)
        if at is None:
            return Held(row.line, "evidence: no-time")
        if at > self.now_ms:
            return Held(row.line, "evidence: in-the-future")
        how = self.how or row.cells.get(self.layout.how or "", "").strip()
        if not IS_TEXT.fullmatch(how):
            return Held(row.line, "how: control")
        how = how[:MAX_SOURCE] or f"{self.layout.evidence} of a file of format {self.layout.format}"
        return Take(row.line, address, values, source, at, how)

    def _value(self, row: Row, name: str) -> str:
        """A field's value: its columns in one line, as Mailchimp has first and last names apart."""
        columns = self.layout.fields.get(name, ())
        return " ".join(part for part in (row.cells.get(column, "").strip() for column in columns) if part)


def plain_status(text: str) -> str:
    """A status as it is compared."""
    return text.strip().casefold()


def is_address(text: str, longest: int) -> bool:
    """Whether this is an address that can be looked up and written to."""
    if not 0 < len(text) <= longest or not IS_TEXT.fullmatch(text) or not is_email(text):
        return False
    try:
        return bool(normalise("email", text))
    except Invalid:
        return False


def moment(text: str) -> int | None:
    """A time as milliseconds UTC; one without a zone is UTC. None where it is no time since 1990."""
    found = TIME.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    offset = "+00:00" if zone in (None, "Z") else zone
    clock = clock or "00:00"
    try:
        at = dt.datetime.fromisoformat(f"{day}T{clock if len(clock) > 5 else clock + ':00'}{offset}")
        ms = int(at.timestamp()) * 1000 + int(((fraction or "") + "000")[:3])
    except (ValueError, OverflowError):
        return None
    return ms if ms >= EARLIEST else None
