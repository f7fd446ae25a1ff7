"""The board does not take its own short memory, or the end of a link's life, for a broken promise."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from tests.clauses.conftest import row
from tests.clauses.vendor import Person, Vendor
from troth.evidence import inspection
from troth.store import Write
from troth.store.tables import ledger, links
from troth.use.messages import UNSUBSCRIBE_MS


def why(vendor: Vendor) -> str:
    """What is said of the clauses that rest on messages, where one of them fails."""
    rows = vendor.system.inspector.now().rows
    return "; ".join(f"{each.clause}: {each.reason}" for each in rows if each.status == "FAIL")


def test_an_intent_is_found_however_many_came_after_it(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look holds the newest entries of a kind: here one, so that a letter on the wire pushes the others out."""
    ann = Person()
    sid = vendor.join("newsletter", ann)
    assert vendor.issues(sid, ann.email) == 1
    vendor.queue_issue()
    (letter,) = vendor.system.messages.take()
    assert vendor.system.messages.record([], [letter]) == ["go"]
    monkeypatch.setattr(inspection, "OF_KIND", inspection.OF_KIND.limit(1))
    assert why(vendor) == ""


def test_an_intent_that_is_nowhere_is_missed(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    assert vendor.issues(sid, ann.email) == 1
    vendor.system.store.write(Write(lambda tx: tx.execute(delete(ledger).where(ledger.c.kind == "message.sending"))))
    assert "intent" in why(vendor)


def test_a_link_that_outlived_its_time_is_not_missed_and_one_that_did_not_is(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    assert vendor.issues(sid, ann.email) == 1
    vendor.system.store.write(Write(lambda tx: tx.execute(delete(links).where(links.c.kind == "unsubscribe"))))
    assert row(vendor.system, "rights.unsubscribe").status == "FAIL"
    vendor.clock.advance(UNSUBSCRIBE_MS + 1)
    assert row(vendor.system, "rights.unsubscribe").status == "PASS"
