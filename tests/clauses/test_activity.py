"""What "use" is: a product tells of it in signed events of declared kinds, each once; nothing else counts."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from sqlalchemy import select

from tests.clauses.conftest import row
from tests.clauses.handing import Portal, portal_of
from tests.clauses.vendor import BEGIN, TENANT, Person, Vendor
from troth.cli.demo import EXAMPLE, served
from troth.cli.handover import pair
from troth.cli.walk import Show
from troth.client import Troth, Unreachable
from troth.client.activity import SIGNED, Use, activity_token
from troth.errors import Busy, Conflict, Invalid, TrothError, Undeclared, Unproven
from troth.store import Write
from troth.store.tables import subjects
from troth.use.activity import CHUNK, MOST_EVENTS, OLDEST_MS, Batch, Reported
from troth.use.handover_keys import public_bytes
from troth.world import DAY_MS

REFERENCE = "customer-4711/åäö"


@pytest.fixture
def portal(vendor: Vendor) -> Portal:
    """The product that Ann uses."""
    return portal_of(vendor)


def report(portal: Portal, *uses: Use, nonce: str | None = None) -> Reported:
    """A report as the product's backend makes it, taken."""
    return take(portal, signed(portal, *uses, nonce=nonce))


def signed(portal: Portal, *uses: Use, nonce: str | None = None) -> str:
    return activity_token(portal.url, portal.key, portal.product.id.hex(), uses, now=portal.now, nonce=nonce)


def take(portal: Portal, token: str) -> Reported:
    return portal.vendor.system.activities.report(portal.product, token)


def claim(portal: Portal, **changes: object) -> dict[str, object]:
    """What a good report would say, with changes."""
    event = {"event": "product.used", "reference": REFERENCE, "at": int(portal.now)}
    told: dict[str, object] = {
        "audience": portal.url,
        "events": [event],
        "expires": int(portal.now) + 200,
        "nonce": "n" * 32,
        "product": portal.product.id.hex(),
    }
    return told | changes


def last_use(vendor: Vendor) -> int:
    ((found,),) = vendor.rows("SELECT last_use_ms FROM subjects")
    return int(str(found))


def seconds(ms: int) -> float:
    return ms / 1000


# --- what is promised ---


def test_a_use_that_a_product_tells_of_keeps_the_account(vendor: Vendor, portal: Portal) -> None:
    sid = portal.account(REFERENCE)
    vendor.clock.advance(650 * DAY_MS)
    at = vendor.clock.now() - 3 * DAY_MS
    assert report(portal, Use(REFERENCE, at=seconds(at))) == Reported(1, 0, 0, 0)
    assert last_use(vendor) == at
    (body,) = vendor.entries("activity.reported")
    entry = json.loads(body)
    assert (entry["clause"], entry["mechanism"]) == ("retain.while-used", "activity.signed")
    assert entry["actor"] == portal.product.actor
    assert entry["facts"] == {"event": "product.used", "at": at}
    assert body in vendor.whose(vendor.system.vault.opening(TENANT, sid))
    vendor.clock.advance(200 * DAY_MS)
    assert vendor.system.retention.run().erased == 0
    assert vendor.count("subjects") == 1


def test_a_licence_keeps_it_as_long_as_it_runs_and_24_months_more(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    until = int(dt.datetime(2028, 2, 29, 12, tzinfo=dt.UTC).timestamp() * 1000)
    report(portal, Use(REFERENCE, "licence.runs", until=seconds(until)))
    over = int(dt.datetime(2030, 2, 28, 12, tzinfo=dt.UTC).timestamp() * 1000)  # 24 months after a leap day
    vendor.clock.now_ms = over - 28 * DAY_MS - 1
    assert vendor.system.retention.run().warned == 0
    vendor.clock.now_ms += 1
    assert vendor.system.retention.run().warned == 1
    vendor.clock.now_ms = over + 30 * DAY_MS - 1
    assert vendor.system.retention.run().erased == 0
    vendor.clock.now_ms += 1
    assert vendor.system.retention.run().erased == 1


def test_a_licence_that_ends_sooner_is_believed_and_no_use_before_is_forgotten(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    far, near = BEGIN + 900 * DAY_MS, BEGIN + 20 * DAY_MS
    report(portal, Use(REFERENCE, "licence.runs", until=seconds(far)))
    assert last_use(vendor) == far
    vendor.clock.advance(10 * DAY_MS)
    report(portal, Use(REFERENCE, "licence.runs", until=seconds(near)))
    assert last_use(vendor) == near
    vendor.clock.advance(DAY_MS)
    report(portal, Use(REFERENCE, "licence.runs", until=seconds(vendor.clock.now())))
    assert last_use(vendor) == vendor.clock.now()
    assert len(vendor.rows("SELECT event FROM activity")) == 1


def test_two_products_do_not_take_each_others_word_back(vendor: Vendor, portal: Portal) -> None:
    other = portal_of(vendor, "backup service")
    portal.account(REFERENCE)
    far = BEGIN + 900 * DAY_MS
    report(other, Use(REFERENCE, "licence.runs", until=seconds(far)))
    report(portal, Use(REFERENCE, "licence.runs", until=seconds(BEGIN + DAY_MS)))
    assert last_use(vendor) == far


def test_what_was_told_before_is_known_and_changes_nothing(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    vendor.clock.advance(DAY_MS)
    use = Use(REFERENCE, at=seconds(vendor.clock.now() - 1000))
    assert report(portal, use) == Reported(1, 0, 0, 0)
    before = vendor.rows("SELECT * FROM subjects"), vendor.rows("SELECT * FROM activity")
    vendor.clock.advance(1000)
    assert report(portal, use, Use(REFERENCE, at=use.at and use.at - 60)) == Reported(0, 2, 0, 0)
    assert (vendor.rows("SELECT * FROM subjects"), vendor.rows("SELECT * FROM activity")) == before
    assert len(vendor.entries("activity.reported")) == 1


def test_some_hundreds_in_one_report_each_with_its_entry(vendor: Vendor, portal: Portal) -> None:
    references = [f"customer-{n}" for n in range(40)]
    for reference in references:
        portal.account(reference)
    uses = [Use(references[n % 40]) for n in range(400)]
    assert report(portal, *uses) == Reported(40, 360, 0, 0)
    assert len(vendor.entries("activity.reported")) == 40
    with pytest.raises(ValueError, match="500"):
        signed(portal, *[Use("a")] * (MOST_EVENTS + 1))


def test_a_report_that_was_broken_off_is_told_again(vendor: Vendor, portal: Portal) -> None:
    references = [f"customer-{n}" for n in range(CHUNK * 2)]
    for reference in references:
        portal.account(reference)
    uses = [Use(reference) for reference in references]
    write, count = vendor.system.store.write, iter(range(100))

    def breaking_off(what: Write[object]) -> object:
        if next(count) == 2:  # the number, the first events, and then
            raise Busy("the lane is full")
        return write(what)

    with patch.object(vendor.system.store, "write", breaking_off), pytest.raises(Busy):
        report(portal, *uses)
    assert len(vendor.entries("activity.reported")) == CHUNK
    assert report(portal, *uses) == Reported(CHUNK, CHUNK, 0, 0)


def test_it_stands_in_the_persons_copy_and_goes_with_them(vendor: Vendor, portal: Portal) -> None:
    sid = portal.account_with_address(REFERENCE, Person())
    vendor.system.products.register(portal.product, REFERENCE)
    until = BEGIN + 30 * DAY_MS
    report(portal, Use(REFERENCE), Use(REFERENCE, "licence.runs", until=seconds(until)))
    copy = vendor.system.access.copy(TENANT, sid)
    assert copy.account["activity"] == [
        {"event": "licence.runs", "product": portal.product.name, "at": BEGIN, "until": until},
        {"event": "product.used", "product": portal.product.name, "at": BEGIN, "until": None},
    ]
    assert vendor.system.erasures.erase(TENANT, sid).rows["activity"] == 2
    assert vendor.count("activity") == 0


def test_over_http_with_the_client_that_products_embed(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    product, key = vendor.system.products.create(TENANT, "desktop")
    http = vendor.browser().http
    body = {"signed": signed(portal, Use(REFERENCE))}
    bearer = {"authorization": f"Bearer {key}"}
    answer = http.request("POST", "/api/v1/activity", json=body, headers=bearer)
    assert (answer.status_code, answer.json()["clause"]) == (401, "retain.while-used")  # another product's report
    private, public = pair()
    vendor.system.handover_keys.allow(product.id, public_bytes(public))
    token = activity_token(portal.url, private, product.id.hex(), [Use(REFERENCE)], now=portal.now)
    answer = http.request("POST", "/api/v1/activity", json={"signed": token}, headers=bearer)
    assert (answer.status_code, answer.json()) == (200, {"recorded": 1, "known": 0, "closed": 0, "unknown": 0})
    assert http.request("POST", "/api/v1/activity", json={"signed": token}).status_code == 401  # without its key
    answer = http.request("POST", "/api/v1/activity", json={"signed": token}, headers=bearer)
    assert (answer.status_code, answer.json()["clause"]) == (409, "retain.while-used")  # a replay


def test_with_the_client_over_a_real_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:  # the report names the port, so it must be known before
        port = free.getsockname()[1]
    with served(tmp_path / "data", port, EXAMPLE, None, Show(quiet=True)) as stage:
        system = stage.system
        product, key = system.products.create(TENANT, "desktop")
        private, public = pair()
        system.handover_keys.allow(product.id, public_bytes(public))
        with Troth(system.config.url, key) as troth:
            troth.register(REFERENCE)
            id_ = product.id.hex()
            until = time.time() + 3600
            uses = [Use(REFERENCE), Use(REFERENCE, "licence.runs", until=until), Use("nobody")]
            assert troth.report(uses, product=id_, key=private) == 2
            with pytest.raises(Unreachable, match="422"):
                troth.report([Use(REFERENCE, "coffee.drunk")], product=id_, key=private)
            with pytest.raises(Unreachable, match="401"):
                troth.report([Use(REFERENCE)], product=id_, key=pair()[0])
        row = system.store.read(lambda c: c.execute(select(subjects.c.last_use_ms)).scalar())
        assert row == int(until) * 1000


# --- what is refused, with its clause, and then nothing of it counts ---


FORGED: dict[str, Callable[[Portal], str]] = {
    "another key": lambda p: p.signed(claim(p), prefix=SIGNED, key=pair()[0]),
    "made for a hand-over": lambda p: p.signed(claim(p)),
    "altered": lambda p: signed(p, Use(REFERENCE))[:-4] + "AAAA",
    "cut off": lambda p: signed(p, Use(REFERENCE))[:-10],
    "no signature": lambda p: signed(p, Use(REFERENCE)).partition(".")[0],
    "another product's id": lambda p: p.signed(claim(p, product="0" * 32), prefix=SIGNED),
    "for another address": lambda p: p.signed(claim(p, audience="https://elsewhere.example"), prefix=SIGNED),
    "over": lambda p: p.signed(claim(p, expires=int(p.now) - 10), prefix=SIGNED),
    "made to last": lambda p: p.signed(claim(p, expires=int(p.now) + 3600), prefix=SIGNED),
    "a short number": lambda p: p.signed(claim(p, nonce="n"), prefix=SIGNED),
    "nothing told": lambda p: p.signed(claim(p, events=[]), prefix=SIGNED),
    "a member too many": lambda p: p.signed(claim(p, extra=1), prefix=SIGNED),
    "a member twice": lambda p: p.signed(json.dumps(claim(p))[:-1] + ', "nonce": "' + "m" * 32 + '"}', prefix=SIGNED),
    "no JSON": lambda p: p.signed("[[[[", prefix=SIGNED),
    "too long": lambda p: "a" * 300_000,
    "empty": lambda p: ".",
}


def test_a_forged_report_is_refused_in_the_same_words(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    vendor.clock.advance(DAY_MS)
    before = last_use(vendor)
    said = {}
    for how, forge in FORGED.items():
        with pytest.raises(Unproven) as caught:
            take(portal, forge(portal))
        said[how] = (caught.value.clause, caught.value.detail)
    assert len(said) == len(FORGED)
    assert {clause for clause, _ in said.values()} == {"retain.while-used"}
    assert len({detail for _, detail in said.values()}) == 1, said
    assert last_use(vendor) == before
    assert vendor.entries("activity.reported") == []
    assert take(portal, portal.signed(claim(portal), prefix=SIGNED)).recorded == 1  # unforged, it would have counted


TIMES: dict[str, Callable[[int], Use]] = {
    "to come": lambda now: Use(REFERENCE, at=seconds(now + 60_000)),
    "too long past": lambda now: Use(REFERENCE, at=seconds(now - OLDEST_MS - 60_000)),
    "a use that goes on": lambda now: Use(REFERENCE, until=seconds(now + 1000)),
    "a licence without end": lambda now: Use(REFERENCE, "licence.runs"),
    "a licence for ever": lambda now: Use(REFERENCE, "licence.runs", until=seconds(now + 3000 * DAY_MS)),
    "a licence that ends first": lambda now: Use(REFERENCE, "licence.runs", until=seconds(now - 60_000)),
}


def test_a_time_that_cannot_be_is_refused_and_the_good_events_beside_it_too(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    vendor.clock.advance(40 * DAY_MS)
    before = last_use(vendor)
    for how, made in TIMES.items():
        with pytest.raises(Invalid) as caught:
            report(portal, Use(REFERENCE), made(vendor.clock.now()))
        assert caught.value.clause == "retain.while-used", how
        assert [gap.partition(":")[0] for gap in caught.value.gaps] == ["/events/1"], how
    assert last_use(vendor) == before


def test_a_kind_that_no_clause_declares_or_that_is_not_the_products_to_tell(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    for event in ("coffee.drunk", "account.used", "registration.confirmed", "account.returned"):
        with pytest.raises(Undeclared) as caught:
            report(portal, Use(REFERENCE, event))
        assert (caught.value.clause, caught.value.gaps) == ("retain.while-used", ("/events/0: event",)), event
    assert vendor.entries("activity.reported") == []


def test_a_replay_counts_once_however_it_is_pressed(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    vendor.clock.advance(DAY_MS)
    token = signed(portal, Use(REFERENCE))
    ready, told = threading.Barrier(6), []

    def press() -> None:
        ready.wait()
        try:
            told.append(take(portal, token).recorded)
        except Conflict:
            told.append(0)

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [0] * 5 + [1]
    vendor.clock.advance(Batch.life_ms + 10_000)
    with pytest.raises(Unproven):  # and when its number is forgotten it is over
        take(portal, token)


def test_a_product_that_was_stopped_tells_nothing_any_more(vendor: Vendor, portal: Portal) -> None:
    portal.account(REFERENCE)
    token = signed(portal, Use(REFERENCE))
    vendor.system.handover_keys.stop(portal.product.id)
    with pytest.raises(Unproven):
        take(portal, token)


def test_nobodys_reference_is_counted_and_no_hint_is_given_whose(vendor: Vendor, portal: Portal) -> None:
    ann = Person()
    portal.account(REFERENCE)
    erased = portal.account("customer-2")
    vendor.system.erasures.erase(TENANT, erased)
    vendor.join("registration", ann)
    told = report(portal, Use(REFERENCE), Use("customer-2"), Use("customer-3"), Use(ann.email))
    assert told == Reported(1, 0, 0, 3)


def test_a_closed_account_is_not_used_and_an_ended_one_only_after_its_end(vendor: Vendor, portal: Portal) -> None:
    sid = portal.account(REFERENCE)
    other = "customer-2"
    portal.account(other)
    vendor.system.closing.close(TENANT, sid)
    vendor.clock.advance(10 * DAY_MS)
    vendor.system.products.register(portal.product, other, active=False)
    late = seconds(vendor.clock.now() - DAY_MS)
    assert report(portal, Use(REFERENCE), Use(other, at=late)) == Reported(0, 0, 2, 0)
    assert vendor.rows("SELECT count(*) FROM subject_states WHERE until_ms IS NULL AND state = 'account.active'") == [
        (0,)
    ]
    vendor.clock.advance(DAY_MS)
    assert report(portal, Use(other)) == Reported(1, 0, 0, 0)


def test_a_report_during_an_erasure_counts_for_nobody(vendor: Vendor, portal: Portal) -> None:
    sid = portal.account(REFERENCE)
    vendor.system.erasures.order(TENANT, sid)
    assert report(portal, Use(REFERENCE)) == Reported(0, 0, 0, 1)


def test_the_board_notices_use_that_nobody_signed(vendor: Vendor, portal: Portal) -> None:
    from tests.clauses.tampering import behind

    portal.account(REFERENCE)
    vendor.join("registration", Person())
    report(portal, Use(REFERENCE, "licence.runs", until=seconds(BEGIN + 90 * DAY_MS)))
    vendor.system.retention.run()
    assert row(vendor.system, "retain.while-used").status == "PASS"
    for sabotage in (
        "UPDATE activity SET eid = randomblob(16)",
        "UPDATE activity SET event = 'coffee.drunk'",
        "UPDATE subjects SET last_use_ms = last_use_ms + 86400000",
    ):
        saved = vendor.rows("SELECT eid, event FROM activity")[0]
        assert behind(vendor.folder, sabotage)
        assert row(vendor.system, "retain.while-used").status == "FAIL", sabotage
        behind(vendor.folder, "UPDATE activity SET eid = ?, event = ?", *saved)


def test_every_refusal_is_one_of_ours(vendor: Vendor, portal: Portal) -> None:
    """No input of a product's makes anything but a refusal with its clause."""
    portal.account(REFERENCE)
    for text in ("", "a.b", "é.é", "." * 100, '{"signed": 1}', "AAAA.AAAA"):
        with pytest.raises(TrothError) as caught:
            take(portal, text)
        assert caught.value.clause == "retain.while-used"
