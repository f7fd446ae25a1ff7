"""Files of another system, written for one test, and brought in past the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from tests.clauses.vendor import TENANT, Person, Vendor
from troth.collect.importing.carrying import Report, scan
from troth.collect.importing.runs import Order

AGREED = "2024-05-06 07:08:09"
SOURCE = "the shop we ran until 2025"


def rows_of(people: list[Person], **more: str) -> list[dict[str, str]]:
    """A row for each, with evidence, and with what every row has besides."""
    return [{"name": one.name, "email": one.email, "evidence": AGREED} | more for one in people]


def as_csv(rows: list[dict[str, str]], *, delimiter: str = ",", end: str = "\n") -> bytes:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    """The rows as JSON lines."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def bring(vendor: Vendor, content: bytes, kind: str = "people", *, dry: bool = False, **asked: Any) -> Report:
    """Bring a file in. It lies outside of the system's folder, so that a search there does not find it."""
    file = Path(vendor.folder.parent) / "brought.txt"
    file.write_bytes(content)
    order = Order(TENANT, kind, **({"point": "newsletter", "source": SOURCE} | asked))
    return vendor.system.importing.bring(order, scan(file), dry=dry)


def counted(report: Report) -> tuple[int, int, int, int]:
    """(taken, known, suppressed, held)."""
    counts = report.counts
    return counts.taken, counts.known, counts.suppressed, counts.held


def sid_of(vendor: Vendor, person: Person) -> bytes:
    """Whose address this is."""
    found = vendor.system.vault.find(TENANT, "email", person.email)
    assert found is not None
    return found


def held(report: Report) -> list[tuple[int, str]]:
    """(line, reason) of the rows that were held."""
    return [(one.line, one.reason) for one in report.held]
