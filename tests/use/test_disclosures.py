"""Nothing leaves but to a declared class of recipients, under its guards, with intent before and outcome after."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, update

from tests.use.house import House
from troth.errors import Denied
from troth.policy.model import Recipient
from troth.store import Write
from troth.store.tables import recipients
from troth.use.disclosures import Disclosures
from troth.use.transport import Outcome
from troth.world import DAY_MS


class Recorder:
    """A recipient that remembers what it received, and answers as it was told to."""

    def __init__(self, kind: str = "sent") -> None:
        self.received: list[bytes] = []
        self.kind = kind

    def __call__(self, payload: bytes) -> Outcome:
        self.received.append(payload)
        return Outcome(self.kind, "as told")  # type: ignore[arg-type]  # kinds by name


@pytest.fixture
def way_out(house: House) -> Disclosures:
    return Disclosures(house.store, house.gate, house.versions)


def register(house: House, class_: str = "processors", contract: str = "c-1", reviewed_days: int = 10) -> bytes:
    rid = house.randomness.bytes(16)
    row: dict[str, Any] = {"id": rid, "class_": class_, "name": "A storage firm", "country": "IE", "contract": contract}
    row["reviewed_ms"] = house.clock.now() - reviewed_days * DAY_MS
    house.store.write(Write(lambda tx: tx.execute(insert(recipients), row).rowcount))
    return rid


def refused(house: House, way_out: Disclosures, recipient: str, purpose: str, fields: list[str], **more: Any) -> Denied:
    sid = house.person()
    taken = Recorder()
    with pytest.raises(Denied) as denied:
        way_out.release(recipient, purpose, "main", sid, fields, taken, **more)
    assert taken.received == []
    assert house.entries("disclosure.intended") == []
    (entry,) = house.entries("disclosure.refused")
    assert entry["clause"] == denied.value.clause
    return denied.value


def test_a_declared_recipient_under_contract_receives_what_is_declared_and_no_more(
    house: House, way_out: Disclosures
) -> None:
    sid = house.person()
    register(house)
    taken = Recorder()
    done = way_out.release("processors", "provide", "main", sid, ["first_name", "email"], taken)
    assert msgspec.json.decode(taken.received[0]) == {"first_name": "Ann", "email": "ann@example.org"}
    intent, made = house.entries("disclosure.intended", "disclosure.made")
    assert (intent["eid"], made["refers"], made["eid"]) == (done.intent.hex(), done.intent.hex(), done.outcome.hex())
    assert intent["clause"] == "share.processors"
    assert intent["facts"]["guards"] == ["contract.live", "review.live"]
    assert "ann@" not in str(house.entries())


def test_whoever_is_not_declared_receives_nothing(house: House, way_out: Disclosures) -> None:
    denied = refused(house, way_out, "a data broker", "provide", ["email"], evidence=["contract.live"])
    assert (denied.clause, denied.gaps) == ("share.nothing-else", ("recipient:undeclared",))
    assert "broker" not in str(house.entries())


@pytest.mark.parametrize(
    ("purpose", "fields"), [("provide", ["phone"]), ("account", ["email"]), ("marketing", ["email"]), ("provide", [])]
)
def test_a_declared_recipient_receives_no_other_field_and_for_no_other_purpose(
    house: House, way_out: Disclosures, purpose: str, fields: list[str]
) -> None:
    register(house)
    refused(house, way_out, "processors", purpose, fields)


def test_a_contract_cannot_be_asserted_only_registered(house: House, way_out: Disclosures) -> None:
    asserted = ["contract.live", "review.live", "approval:written"]
    assert "guard:contract.live" in refused(house, way_out, "processors", "provide", ["email"], evidence=asserted).gaps


def test_an_ended_contract_lets_nothing_leave(house: House, way_out: Disclosures) -> None:
    rid = register(house)
    end = update(recipients).where(recipients.c.id == rid).values(ended_ms=house.clock.now())
    house.store.write(Write(lambda tx: tx.execute(end).rowcount))
    refused(house, way_out, "processors", "provide", ["email"])


def test_beyond_the_declared_classes_the_persons_written_approval_is_missing(
    house: House, way_out: Disclosures
) -> None:
    """share.prior-approval: a use for a recipient that no exception names needs a guard that nobody can assert."""
    current = house.versions.current()
    others = msgspec.structs.replace(
        next(use for use in current.uses if use.recipient), recipient="friends", clause="share.friends"
    )
    points = dict(current.points)
    points["registration"] = msgspec.structs.replace(
        points["registration"], uses=(*points["registration"].uses, others)
    )
    friends = Recipient("friends", "share.friends", "third_party", ("EEA",), (), "provide")
    house.publish(
        msgspec.structs.replace(
            current,
            uses=(*current.uses, others),
            points=points,
            recipients={**current.recipients, "friends": friends},
        )
    )
    register(house, "friends")
    denied = refused(house, way_out, "friends", "provide", ["email"], evidence=["approval:written"])
    assert denied.clause == "share.prior-approval" or "guard:approval:written" in denied.gaps


def test_what_would_be_permitted_does_not_leave_without_a_way_to_send_it(house: House, way_out: Disclosures) -> None:
    sid = house.person()
    register(house)
    with pytest.raises(Denied) as denied:
        way_out.release("processors", "provide", "main", sid, ["email"])
    assert denied.value.gaps == ("delivery",)


@pytest.mark.parametrize(("kind", "ends"), [("refused", "failed"), ("deferred", "failed"), ("unknown", "unknown")])
def test_what_did_not_arrive_is_said_to_be_so(house: House, way_out: Disclosures, kind: str, ends: str) -> None:
    sid = house.person()
    register(house)
    assert way_out.release("processors", "provide", "main", sid, ["email"], Recorder(kind)).kind == ends
    assert len(house.entries(f"disclosure.{ends}")) == 1


def test_the_intent_is_durable_before_the_first_byte(house: House, way_out: Disclosures) -> None:
    sid = house.person()
    register(house)
    seen: list[int] = []

    def deliver(payload: bytes) -> Outcome:
        seen.append(len(house.entries("disclosure.intended")))
        return Outcome("sent", "")

    way_out.release("processors", "provide", "main", sid, ["email"], deliver)
    assert seen == [1]


def test_a_crash_during_the_release_leaves_it_unknown(house: House, way_out: Disclosures) -> None:
    class Crash(BaseException):
        pass

    def crash(payload: bytes) -> Outcome:
        raise Crash

    sid = house.person()
    register(house)
    with pytest.raises(Crash):
        way_out.release("processors", "provide", "main", sid, ["email"], crash)
    assert way_out.resolve() == 1
    assert way_out.resolve() == 0
    intent, unknown = house.entries("disclosure.intended", "disclosure.unknown")
    assert unknown["refers"] == intent["eid"]


def test_an_objection_or_erasure_while_it_is_being_released_stops_it(house: House, way_out: Disclosures) -> None:
    sid = house.person()
    register(house)
    taken = Recorder()
    opening = house.vault.opening

    def late(tenant: str, of: bytes) -> bytes:
        secret = opening(tenant, of)
        house.stop(sid, "marketing")
        return secret

    house.vault.opening = late  # type: ignore[method-assign,assignment]  # the moment between reading and intending
    with pytest.raises(Denied) as denied:
        way_out.release("processors", "provide", "main", sid, ["email"], taken)
    assert (denied.value.gaps, taken.received) == (("generation",), [])
