"""The collector as browsers and others meet it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.clauses.vendor import Vendor
from tests.collect.visits.door import Door
from troth.collect.visits import visits
from troth.collect.visits.closing import Closed, Closing
from troth.collect.visits.rules import Rules
from troth.errors import NotFound
from troth.store.tables import ledger, visit_cells, visit_counts
from troth.web import collector
from troth.web.routes import Limit
from troth.world import DAY_MS

Come = Callable[..., Door]


@pytest.fixture
def come(vendor: Vendor) -> Iterator[Come]:
    """Browsers that come by."""
    doors: list[Door] = []

    def one(address: str = "203.0.113.7", **about: Any) -> Door:
        doors.append(Door(vendor.system, address, **about))
        return doors[-1]

    yield one
    for door in doors:
        door.close()


def counts(vendor: Vendor) -> dict[tuple[str, str], tuple[int, int]]:
    """(dimension, value) -> (views, visitors), over all days."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    statement = visit_cells.join(visit_counts, visit_cells.c.id == visit_counts.c.cell).select()
    for row in vendor.system.store.read(lambda c: c.execute(statement).all()):
        views, visitors = found.get((row.dimension, row.value), (0, 0))
        found[row.dimension, row.value] = (views + row.views, visitors + row.visitors)
    return found


def entries(vendor: Vendor, kind: str) -> int:
    """How many entries of this kind there are."""
    return len(vendor.system.store.read(lambda c: c.execute(ledger.select().where(ledger.c.kind == kind)).all()))


def test_a_visit_without_a_choice_is_counted_and_leaves_no_cookie(vendor: Vendor, come: Come) -> None:
    first, other = come("203.0.113.7"), come("203.0.113.8")
    for door, page in ((first, "/"), (first, "/blog"), (other, "/blog?q=me")):
        answer = door.say(page=page, referrer="news.example.org", campaign="spring / mail")
        assert (answer.status_code, answer.content, "set-cookie" in answer.headers) == (204, b"", False)
    first.say(page="/blog", event="download:/setup.exe")
    assert counts(vendor) == {
        ("all", ""): (3, 2),
        ("hour", "12"): (3, 2),
        ("page", "/"): (1, 1),
        ("page", "/blog"): (2, 2),
        ("referrer", "news.example.org"): (3, 2),
        ("campaign", "spring / mail"): (3, 2),
        ("country", ""): (3, 2),
        ("device", "desktop"): (3, 2),
        ("event", "download:/setup.exe"): (1, 1),
    }
    assert entries(vendor, "visits.counted") == 4
    assert entries(vendor, "visits.viewed") == entries(vendor, "consent.given") == 0


def test_a_refusal_leaves_nothing_at_all(vendor: Vendor, come: Come) -> None:
    before = vendor.system.store.read(lambda c: c.execute(ledger.select()).all())
    door = come()
    door.choose()
    assert door.say(page="/").status_code == 204
    assert come().say({"sec-gpc": "1"}, page="/").status_code == 204
    assert counts(vendor) == {}
    assert vendor.system.store.read(lambda c: c.execute(ledger.select()).all()) == before
    come().say({"sec-gpc": "0"}, page="/")  # only the exact value 1 is the signal
    assert counts(vendor)


def test_who_agreed_is_a_subject_with_a_copy_a_consent_and_an_end(vendor: Vendor, come: Come) -> None:
    door = come()
    door.choose("analytics")
    given = door.say(page="/a")
    assert "HttpOnly" in given.headers["set-cookie"]
    assert "Max-Age=7776000" in given.headers["set-cookie"]
    vendor.clock.advance(60_000)
    assert "set-cookie" not in door.say(page="/b").headers
    door.say(page="/b", event="signup")
    copy = vendor.system.access.copy("main", door.sid)
    assert [record.values for record in copy.records] == [
        {"page": ["2026-03-02 12:00:00 /a", "2026-03-02 12:01:00 /b"], "event": ["2026-03-02 12:01:00 /b signup"]}
    ]
    assert [consent["troth:state"] for consent in copy.consents] == ["Given"]
    assert door.cookies["troth_visitor"] not in repr(
        vendor.system.store.read(lambda c: c.exec_driver_sql("SELECT tenant, hex(sid) FROM subjects").all())
    )
    vendor.clock.advance(98 * DAY_MS)  # 90 days, and 7 more for the record of the yes
    vendor.system.retention.run()
    assert not vendor.system.store.read(lambda c: vendor.system.vault.exists(c, "main", door.sid))


def test_a_yes_at_the_question_is_recorded_and_a_no_ends_it_at_once_without_a_script(
    vendor: Vendor, come: Come
) -> None:
    door = come()
    assert "troth_visitor" not in str(door.choose("analytics").headers), "no number before there is a history"
    door.say(page="/a")
    token = door.cookies["troth_visitor"]
    assert entries(vendor, "consent.given") == entries(vendor, "visits.viewed") == 1
    assert door.choose().status_code == 303
    assert "troth_visitor" not in door.cookies
    assert vendor.system.visitors.known(token) is None
    assert entries(vendor, "consent.withdrawn") == entries(vendor, "erase.done") == 1
    door.choose("analytics")
    door.say(page="/b")
    assert door.cookies["troth_visitor"] != token


def test_of_two_cookies_of_one_name_the_door_reads_the_one_that_the_front_reads(vendor: Vendor, come: Come) -> None:
    """The first is that of the nearer path (RFC 6265, 5.4)."""
    door = come()
    asked = vendor.system.hosting.site().choices
    no, yes = (f"{asked.cookie}={asked.value(granted)}" for granted in ((), ("analytics",)))
    for sent, begun in ((f"{no}; {yes}", 0), (f"{yes}; {no}", 1)):
        shown = door.http.request("GET", "/troth/choices", headers={"cookie": sent}).text
        door.say({"cookie": sent}, page="/a")
        assert shown.count(" checked") == entries(vendor, "consent.given") == begun


def test_an_answer_that_still_agrees_leaves_the_history_as_it_is(vendor: Vendor, come: Come) -> None:
    door = come()
    door.choose("analytics")
    door.say(page="/a")
    token = door.cookies["troth_visitor"]
    door.choose("analytics")
    assert door.cookies["troth_visitor"] == token
    assert vendor.system.visitors.known(token)


def test_a_new_yes_of_somebody_who_was_erased_begins_anew(vendor: Vendor, come: Come) -> None:
    door = come()
    door.choose("analytics")
    door.say(page="/a")
    vendor.system.erasures.erase("main", door.sid, cause="right", actor="officer")
    door.say(page="/b")
    assert entries(vendor, "consent.given") == 1, "an old yes revives nobody"
    door.choose("analytics")
    door.say(page="/c")
    assert entries(vendor, "consent.given") == 2


def test_a_no_that_cannot_be_done_at_once_is_done_with_the_next_page(
    vendor: Vendor, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = come()
    door.choose("analytics")
    door.say(page="/a")
    token = door.cookies["troth_visitor"]
    with monkeypatch.context() as broken:
        broken.setattr(vendor.system.visitors, "withdraw", lambda _: 1 / 0)
        assert door.choose().status_code == 303
    assert door.cookies["troth_visitor"] == token, "the only proof is kept until it has served"
    door.say(page="/b")
    assert vendor.system.visitors.known(token) is None
    assert "troth_visitor" not in door.cookies


def test_whoever_no_longer_agrees_is_not_followed_by_a_stale_choice(vendor: Vendor, come: Come) -> None:
    """The choice in the cookie is not enough: the state in the store is asked, in the transaction that would write."""
    door = come()
    door.choose("analytics")
    door.say(page="/a")
    vendor.system.erasures.erase("main", door.sid, cause="refusal", actor="visitor")
    assert door.say(page="/b").status_code == 204
    with pytest.raises(NotFound):
        vendor.system.access.copy("main", door.sid)
    assert entries(vendor, "visits.viewed") == 1


def test_the_signal_and_a_later_yes(vendor: Vendor, come: Come) -> None:
    door = come()
    door.choose("analytics")
    door.say({"sec-gpc": "1"}, page="/a")
    assert entries(vendor, "visits.viewed") == 1
    assert entries(vendor, "visits.counted") == 0


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b'{"page": "/a", "shoe_size": "44"}', 422),
        ({}, b'{"page": 7}', 422),
        ({}, b'["/a"]', 422),
        ({}, b'{"referrer": "example.org"}', 422),
        ({}, b'{"page": "/a", "event": "ann@example.org"}', 422),
        ({}, b'{"page": "/a"', 400),
        ({}, b'{"page": "/\xff"}', 400),
        ({}, b'{"page": "/' + b"a" * 2100 + b'"}', 413),
        ({"content-type": "application/x-www-form-urlencoded"}, b"page=/a", 415),
        ({"origin": "http://elsewhere.example"}, b'{"page": "/a"}', 403),
        ({"origin": "null"}, b'{"page": "/a"}', 403),
        ({"sec-fetch-site": "cross-site"}, b'{"page": "/a"}', 403),
        ({"sec-fetch-site": "same-site"}, b'{"page": "/a"}', 403),
        ({"host": "unnamed.example", "origin": "http://unnamed.example"}, b'{"page": "/a"}', 403),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason_and_not_counted(
    vendor: Vendor, come: Come, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = come().send(body, headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ann@example" not in answer.text
    assert counts(vendor) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"user-agent": "Mozilla/5.0 (compatible; Examplebot/2.1; +http://example.org)"},
        {"user-agent": ""},
        {"sec-purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
    ],
)
def test_programs_and_pages_fetched_ahead_are_no_visits(vendor: Vendor, come: Come, headers: dict[str, str]) -> None:
    assert come().say(headers, page="/a").status_code == 204
    assert counts(vendor) == {}


def test_a_forged_forward_changes_nothing(vendor: Vendor, come: Come) -> None:
    door = come()
    for number in range(5):
        door.say({"x-forwarded-for": f"198.51.100.{number}"}, page="/a")
    assert counts(vendor)["all", ""] == (5, 1)


def test_too_many_from_one_address_are_told_to_wait(
    vendor: Vendor, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "RATE", Limit(3, 60))
    door = come()
    answers = [door.say(page="/a") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [204, 204, 204, 429]
    assert int(answers[3].headers["retry-after"]) > 0
    assert counts(vendor)["all", ""] == (3, 1)


def test_above_its_bound_the_queue_refuses_before_anything_is_done(
    vendor: Vendor, come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "MOST_WAITING", 0)
    answer = come().say(page="/a")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert counts(vendor) == {}


def test_other_methods_and_other_addresses(vendor: Vendor, come: Come) -> None:
    door = come()
    assert door.http.get("/c").status_code == 405
    assert door.http.get("/policy").status_code == 200
    assert door.http.page("/forms/site.view").status_code == 404  # no form fills what a browser says by itself


def test_a_day_ends_with_its_key_its_hashes_and_its_small_figures(vendor: Vendor, come: Come) -> None:
    for number in range(25):
        door = come(f"203.0.113.{number}")
        door.say(page="/")
        if number < 3:
            door.say(page="/rare")
    vendor.clock.advance(DAY_MS)
    closed = vendor.system.day_closing.run()
    assert (closed.days, closed.keys) == (1, 1)
    assert counts(vendor) == {
        ("all", ""): (28, 25),
        ("hour", "12"): (28, 25),
        ("referrer", ""): (28, 25),
        ("campaign", ""): (28, 25),
        ("country", ""): (28, 25),
        ("device", "desktop"): (28, 25),
    }  # of the pages, "/rare" is too small, and "/" would give it away
    left = "SELECT (SELECT count(*) FROM visit_seen) + (SELECT count(*) FROM visit_cells WHERE value LIKE '%rare%')"
    assert vendor.system.store.read(lambda c: c.exec_driver_sql(left).scalar()) == 0
    vendor.clock.advance(91 * DAY_MS)
    assert vendor.system.day_closing.run().old == 1
    assert counts(vendor) == {}


def test_a_later_version_that_wants_more_persons_or_counts_nothing_holds_for_the_days_before_it(
    vendor: Vendor, come: Come
) -> None:
    for number in range(25):
        door = come(f"203.0.113.{number}")
        door.say(page="/")
        if number < 22:
            door.say(page="/products")
    vendor.clock.advance(DAY_MS)
    own = vendor.system.day_closing
    own.run()
    rules = own.rules()
    assert rules is not None
    assert counts(vendor)["page", "/products"] == (22, 22)

    def under(changed: Rules) -> Closed:
        return Closing(own.store, own.vault, lambda: changed, own.cells, own.tenant).run()

    assert under(rules) == Closed(), "the same version changes nothing"
    stricter = under(replace(rules, at_least=24))
    assert stricter.withheld == 2, "and the page that would give the small one away"
    assert ("page", "/products") not in counts(vendor)
    assert counts(vendor)["all", ""] == (47, 25)
    assert under(replace(rules, at_least=24)) == Closed()
    assert under(replace(rules, count=None, view=None)).old == 1
    assert counts(vendor) == {}


def test_somebody_who_comes_back_on_another_day_is_another_visitor(vendor: Vendor, come: Come) -> None:
    door = come()
    first = vendor.system.visits.who(vendor.clock.now(), "site:www", "203.0.113.7", door.agent)
    vendor.clock.advance(DAY_MS)
    assert vendor.system.visits.who(vendor.clock.now(), "site:www", "203.0.113.7", door.agent) != first
