"""An issue to everybody who said yes: to each once, to nobody who said no, and held at a word."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import update

from tests.clauses.test_register_at_the_console import signed_in
from tests.clauses.vendor import TENANT, Person, Vendor
from troth.errors import Conflict, Invalid, NotFound
from troth.store import Write, jobs
from troth.store.jobs import Job
from troth.store.tables import messages
from troth.use import issue
from troth.use.campaign import Campaign
from troth.use.campaigns import FEW, WATCH_MS
from troth.web.schedule import registry_of

SOURCE = """{greeting}

# Spring

Read [our notes](https://vendor.example.org/notes), and *test your restores*.

- before you need them
- every month"""
DESK = "operator:" + "ab" * 16


def drafted(vendor: Vendor, source: str = SOURCE, subject: str = "Spring backups") -> Campaign:
    """An issue that is written and not sent."""
    return vendor.system.campaigns.draft(TENANT, "newsletter.issue", subject, source)


def begun(vendor: Vendor, **more: Any) -> Campaign:
    """An issue that was sent off."""
    return vendor.system.campaigns.begin(TENANT, drafted(vendor, **more).id, DESK)


def readers(vendor: Vendor, count: int) -> dict[bytes, Person]:
    """So many people who said yes."""
    return {vendor.join("newsletter", person): person for person in [Person() for _ in range(count)]}


def issues(vendor: Vendor, subject: str = "Spring backups") -> list[str]:
    """Whom the issue arrived at, in order."""
    vendor.system.work()
    return sorted(letter.recipients[0] for letter in vendor.box.letters if letter.subject == subject)


def told(vendor: Vendor, kind: str) -> list[dict[str, Any]]:
    """The facts of the ledger's entries of one kind."""
    return [json.loads(body)["facts"] for body in vendor.entries(f"campaign.{kind}")]


def state(vendor: Vendor, campaign: Campaign) -> str:
    """Where it stands."""
    return vendor.system.campaigns.get(TENANT, campaign.id).state


def test_it_goes_to_everybody_who_said_yes_and_to_nobody_else(vendor: Vendor) -> None:
    said_yes = readers(vendor, 3)
    vendor.submit("newsletter", Person())  # never confirmed
    vendor.join("registration", Person())  # no yes to letters
    gone, stopped = Person(), Person()
    vendor.system.erasures.erase(TENANT, vendor.join("newsletter", gone))
    vendor.system.objections.object(TENANT, vendor.join("newsletter", stopped), "marketing")
    scans = len(vendor.entries("read.scan"))

    campaign = begun(vendor)
    assert issues(vendor) == sorted(person.email for person in said_yes.values())
    assert len(vendor.entries("read.scan")) == scans + 1
    vendor.clock.advance(WATCH_MS)
    vendor.system.work()
    assert state(vendor, campaign) == "ended"
    (end,) = told(vendor, "ended")
    assert (end["sent"], end["persons"], end["campaign"]) == (3, 3, campaign.id.hex())
    (begin,) = told(vendor, "begun")
    words = {json.loads(body)["facts"]["words"] for body in vendor.entries("message.sending")}
    assert begin["persons"] == 3
    assert begin["words"] == end["words"] == campaign.digest
    assert campaign.digest in words  # what was sent is what the campaign's entries cite


def test_the_letter_is_text_and_page_and_loads_nothing(vendor: Vendor) -> None:
    (person,) = readers(vendor, 1).values()
    begun(vendor, source=SOURCE + "\n\n![our logo](https://tracker.example.com/x.gif)\n\n<script>alert(1)</script>")
    (letter,) = vendor.letters(person.email, "test your restores")
    assert "our notes <https://vendor.example.org/notes>" in letter.text
    assert "- every month" in letter.text
    html = letter.message.get_body(("html",))
    assert html is not None
    page = str(html.get_content())
    assert '<a href="https://vendor.example.org/notes">our notes</a> (vendor.example.org)' in page
    assert re.findall(r"<li>(.*?)</li>", page, re.DOTALL) == [
        "before you need them",
        "every month",
    ]
    assert "tracker.example.com" not in letter.message.as_string()
    assert "<img" not in page
    assert "<script" not in page
    assert person.first in letter.text
    assert "List-Unsubscribe" in letter.message


@pytest.mark.parametrize(
    ("subject", "source"),
    [
        ("", "Hello"),
        ("Hello", ""),
        ("Hello", "{no_such_value}"),
        ("Hello", "see https://vendor.example.org/?who={first_name}"),
        ("Hello", "[x](https://vendor.example.org/{first_name}) "),
        ("Hello", "see www.example.org?who={first_name}"),
        ("Hello", "see example.org/{first_name}"),
        ("Hello", "see <https://example.org/{first_name}>"),
        ("Hello", "see {first_name}.example.org"),
        ("Hello", "::: marketing\nnever ended"),
        ("Hello", "x" * 50_001),
    ],
)
def test_words_that_cannot_be_sent_are_refused_with_their_place(vendor: Vendor, subject: str, source: str) -> None:
    with pytest.raises(Invalid) as refused:
        drafted(vendor, source=source, subject=subject)
    assert refused.value.gaps
    assert vendor.count("campaigns") == 0


@pytest.mark.parametrize("source", ["{first_name}. Hello.", "Note:{first_name}", "and/or {greeting}", "{centre_link}"])
def test_words_that_only_look_like_it_are_taken(vendor: Vendor, source: str) -> None:
    assert drafted(vendor, source=source).state == "draft"


@given(st.text(max_size=200))
@example(
    "![x](https://t.example.com/a.gif)<img src=x>\n\n> - 1. [a](javascript:alert(1)) [b](https://x.example/{name})"
)
def test_no_words_load_anything_or_run_anything(source: str) -> None:
    page = issue.said("Hello", source).html or ""
    tags = re.findall(r"<([^>]*)>", page)
    plain = {*issue.TAGS, "br", "hr", "pre", "code"}
    links = [tag for tag in tags if tag.lstrip("/") not in plain]
    assert all(re.fullmatch(r'/a|a href="https://[^"<>]*"', tag, re.IGNORECASE) for tag in links), links
    assert "{" not in "".join(links)


def test_a_letter_that_no_clause_declares_as_marketing_cannot_be_a_campaign(vendor: Vendor) -> None:
    for template in ("newsletter.confirm", "rights.link", "no.such"):
        with pytest.raises(Invalid):
            vendor.system.campaigns.draft(TENANT, template, "Hello", "Hello")


def test_a_test_letter_goes_to_a_subscriber_and_nobody_learns_who_is_one(vendor: Vendor) -> None:
    ann, other, stranger = Person(), Person(), Person()
    vendor.join("newsletter", ann)
    vendor.join("registration", other)
    campaign = drafted(vendor)
    for address in (ann.email, other.email, stranger.email):
        vendor.system.campaigns.test(TENANT, campaign.id, address, DESK)
    assert issues(vendor) == [ann.email]
    vendor.system.campaigns.begin(TENANT, campaign.id, DESK)
    assert issues(vendor) == [ann.email, ann.email]  # the test was no issue: she gets hers
    assert vendor.system.campaigns.progress(vendor.system.campaigns.get(TENANT, campaign.id)).sent == 1
    with pytest.raises(Conflict):
        vendor.system.campaigns.test(TENANT, campaign.id, ann.email, DESK)


def test_what_was_sent_off_keeps_its_words(vendor: Vendor) -> None:
    campaign = drafted(vendor)
    changed = vendor.system.campaigns.rewrite(TENANT, campaign.id, "Summer", "Other words")
    assert changed.digest != campaign.digest
    vendor.system.campaigns.begin(TENANT, campaign.id, DESK)
    with pytest.raises(Conflict):
        vendor.system.campaigns.rewrite(TENANT, campaign.id, "Autumn", "Other words")


def test_it_goes_out_at_its_time_and_not_before(vendor: Vendor) -> None:
    readers(vendor, 2)
    campaign = drafted(vendor)
    vendor.system.campaigns.begin(TENANT, campaign.id, DESK, vendor.clock.now() + 3_600_000)
    vendor.clock.advance(3_599_999)
    assert issues(vendor) == []
    vendor.again()  # a start hurries what a crash left owing, and not this
    assert issues(vendor) == []
    vendor.clock.advance(1)
    assert len(issues(vendor)) == 2


def test_paused_nothing_goes_out_and_resumed_it_goes_on_where_it_was(vendor: Vendor) -> None:
    readers(vendor, 4)
    campaign, system = begun(vendor), vendor.system
    queue(vendor)
    assert system.messages.send_due(system.transport, 1) == 1
    in_hand = system.messages.take(1)
    system.campaigns.pause(TENANT, campaign.id, DESK)
    assert [system.messages.record([], [letter]) for letter in in_hand] == [["again"]]
    vendor.clock.advance(3_600_000)
    assert len(issues(vendor)) == 1
    system.campaigns.resume(TENANT, campaign.id, DESK)
    assert len(issues(vendor)) == 4
    assert len(set(issues(vendor))) == 4
    assert [len(told(vendor, kind)) for kind in ("begun", "paused", "resumed")] == [1, 1, 1]
    assert told(vendor, "paused")[0]["sent"] == 1


def test_stopped_it_is_over_and_every_letter_that_waited_says_so(vendor: Vendor) -> None:
    readers(vendor, 3)
    campaign, system = begun(vendor), vendor.system
    queue(vendor)
    system.campaigns.stop(TENANT, campaign.id, DESK)
    assert issues(vendor) == []
    reasons = [json.loads(body)["facts"]["reason"] for body in vendor.entries("message.refused")]
    assert reasons.count("its campaign is over") == 3
    for act in (system.campaigns.pause, system.campaigns.resume, system.campaigns.stop):
        with pytest.raises(Conflict):
            act(TENANT, campaign.id, DESK)


def test_of_who_is_erased_a_campaign_keeps_nothing(vendor: Vendor) -> None:
    (gone, stays) = readers(vendor, 2)
    campaign = begun(vendor)
    issues(vendor)
    vendor.system.erasures.erase(TENANT, gone)
    vendor.letters()
    held = [str(row[0]) for row in vendor.rows("SELECT dedup FROM messages WHERE dedup LIKE 'campaign/%'")]
    assert held == [f"campaign/{campaign.id.hex()}/{stays.hex()}"]
    vendor.clock.advance(WATCH_MS)
    vendor.system.work()
    assert told(vendor, "ended")[0]["persons"] == 2


def test_another_tenants_campaign_is_as_good_as_none(vendor: Vendor) -> None:
    campaign = drafted(vendor)
    for act in (vendor.system.campaigns.pause, vendor.system.campaigns.stop, vendor.system.campaigns.resume):
        with pytest.raises(NotFound):
            act("another", campaign.id, DESK)
    assert vendor.system.campaigns.all("another") == []


def test_too_many_that_come_back_hold_it_until_somebody_looked(vendor: Vendor) -> None:
    readers(vendor, FEW + 1)
    campaign = begun(vendor)
    issues(vendor)
    come_back(vendor, campaign)
    vendor.clock.advance(WATCH_MS)
    vendor.system.work()
    assert state(vendor, campaign) == "paused"
    assert told(vendor, "paused")[0]["reason"] == "too many came back"
    vendor.system.campaigns.resume(TENANT, campaign.id, DESK)
    vendor.system.work()
    assert state(vendor, campaign) == "ended"


def test_a_policy_that_declares_it_no_more_holds_it(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    readers(vendor, 2)
    campaign = begun(vendor)
    monkeypatch.setattr(type(vendor.system.campaigns), "templates", lambda self: [])
    vendor.system.campaigns.job(Job(1, "", campaign.id.hex(), None, 1, 0, None))
    monkeypatch.undo()
    assert told(vendor, "paused")[0]["reason"] == "not declared"
    assert issues(vendor) == []


def test_the_officer_writes_tries_out_sends_and_holds_it_by_forms_alone(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    desk = signed_in(vendor, "officer")
    desk.open("/console/campaigns")
    words = {"template": "newsletter.issue", "subject": "Spring backups", "source": SOURCE}
    desk.send("/console/campaigns", **(words | {"source": "Hello {nobody}"}))
    assert desk.answer.status == 422
    assert "Line 1, column 7" in desk.page.text
    desk.send("/console/campaigns", **words)
    place = desk.address
    desk.send(f"{place}/write", subject="Spring backups", source=SOURCE + "\n\nAnd more.")
    assert "And more." in desk.page.text
    said = []
    desk.open(place)
    desk.send(f"{place}/test", email="no address at all")
    assert desk.answer.status == 422
    for address in (ann.email, Person().email):
        desk.open(place)
        desk.send(f"{place}/test", email=address)
        assert desk.answer.status == 200
        said.append(desk.page.text)
    assert len(set(said)) == 1, "the answer tells nobody who is subscribed"
    assert issues(vendor) == [ann.email]
    desk.open(place)
    desk.send(f"{place}/begin", due="tomorrow morning")
    assert desk.answer.status == 422
    desk.send(f"{place}/begin", due="2026-03-03T09:00")
    assert "waits for its time" in desk.page.text
    desk.send(f"{place}/pause")
    assert "paused" in desk.page.text
    desk.send(f"{place}/resume")
    assert "One waits for its time." in desk.open("/console").page.text
    desk.open(place)
    desk.send(f"{place}/stop")
    assert "stopped" in desk.page.text
    desk.send(f"{place}/stop")
    assert desk.answer.status == 409
    officer = next(one for one in vendor.system.operators.all() if one.role == "officer")
    (stopped,) = (json.loads(body) for body in vendor.entries("campaign.stopped"))
    assert stopped["actor"] == officer.actor
    assert ann.email not in desk.open(place).text


@pytest.mark.parametrize("role", ["support", "auditor", "administrator"])
def test_only_the_officer_writes_to_subscribers(vendor: Vendor, role: str) -> None:
    desk = signed_in(vendor, role)
    assert desk.open("/console/campaigns").status == 403
    assert "/console/campaigns" not in desk.open("/console").text


@pytest.mark.parametrize("after", [0, 1, 2])
def test_cut_off_while_it_queues_it_begins_again_and_nobody_gets_two(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr("troth.use.campaigns.CHUNK", 2)
    people = readers(vendor, 5)
    campaign, own = begun(vendor), vendor.system.campaigns
    queued, calls = own._post, list[int]()

    def dies(*args: Any, **more: Any) -> bool:
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(1)
        return queued(*args, **more)

    monkeypatch.setattr(own, "_post", dies)
    with pytest.raises(KeyboardInterrupt):
        vendor.system.work()
    vendor.again()
    assert vendor.count("messages") >= 2 * after
    assert issues(vendor) == sorted(person.email for person in people.values())
    assert state(vendor, campaign) in ("running", "ended")


def queue(vendor: Vendor) -> None:
    """Let the letters be queued, and none be sent."""
    while jobs.run_due(vendor.system.store, registry_of(vendor.system)):
        pass


def come_back(vendor: Vendor, campaign: Campaign, *which: bytes) -> None:
    """Let each of its letters be reported as undeliverable, or these of them."""
    ours = update(messages).where(messages.c.campaign == campaign.id, messages.c.state == "sent")
    ours = ours.where(messages.c.id.in_(which)) if which else ours
    vendor.system.store.write(Write(lambda tx: tx.execute(ours.values(state="bounced")).rowcount))
