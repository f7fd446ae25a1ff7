"""What is sent was declared, was asked for again at the moment of sending, and is told as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from tests.smtp import HANG_UP, Post, relay
from tests.use.house import House, policy, template
from troth.config import Mail
from troth.store import Write, links
from troth.store.jobs import Later
from troth.store.outbox import post as queue
from troth.store.tables import messages as table
from troth.store.tables import personal_records
from troth.use.compose import Composer
from troth.use.domains import Domains
from troth.use.letters import Letters
from troth.use.messages import GIVE_UP_MS, Messages
from troth.use.templates import Said
from troth.use.transport import Envelope, Line, Outcome, SmtpTransport, Transport
from troth.web.catalogue import read_catalogue

BASE = "https://vendor.example.org"
CATALOGUE = read_catalogue()


def words(key: str, language: str) -> str:
    """The shipped catalogue, and the words of a template that only these tests declare."""
    if key.startswith("mail.account.note"):
        return {"subject": "About your account", "body": "{greeting}\n\nHello."}[key.rpartition(".")[2]]
    if not CATALOGUE.has(key):
        raise KeyError(key)
    return CATALOGUE.raw(language, key)


class Sending:
    """A house with a sender, and a relay that takes its mail."""

    def __init__(self, house: House, post: Post) -> None:
        self.house = house
        self.post = post
        self.transport: Transport = SmtpTransport(post.mail, seconds=5)
        self.messages = self.sender()

    def sender(self) -> Messages:
        """A sender that knows nothing of the others."""
        house = self.house
        composer = Composer(words, base_url=BASE, sender="post@vendor.example.org", languages=frozenset({"en", "ar"}))
        letters = Letters(house.store, house.vault, house.gate, house.versions, composer)
        return Messages(house.store, house.vault, house.versions, letters)

    def queue(self, name: str, sid: bytes | None, variables: dict[str, str] | None = None, **more: Any) -> bytes:
        """Queue one message; its id."""
        house = self.house
        sealed = house.vault.transit_seal(msgspec.json.encode(variables)) if variables is not None else None
        opening = house.vault.opening("main", sid) if sid else None
        declared = house.versions.current().templates[name]
        return house.store.write(
            Write(
                lambda tx: queue(
                    tx, declared, house.randomness, tenant="main", sid=sid, opening=opening, variables=sealed, **more
                )
            )
        )

    def run(self, transport: Transport | None = None, messages: Messages | None = None) -> None:
        """Let the messages that are due be sent."""
        (messages or self.messages).send_due(transport or self.transport)

    def row(self, mid: bytes) -> dict[str, Any]:
        """The message's row."""
        found = self.house.store.read(lambda c: c.execute(select(table).where(table.c.id == mid)).mappings().first())
        assert found is not None
        return dict(found)

    def told(self, mid: bytes) -> list[str]:
        """What the ledger says of this message, in order."""
        kinds = [entry["kind"] for entry in self.house.entries() if entry.get("facts", {}).get("message") == mid.hex()]
        return [kind.removeprefix("message.") for kind in kinds]


@pytest.fixture
def sending(house: House) -> Iterator[Sending]:
    with relay() as post:
        yield Sending(house, post)


def test_a_confirmation_reaches_an_unproven_person_with_its_link(sending: Sending) -> None:
    sid = sending.house.person("newsletter", pending=True)
    mid = sending.queue("newsletter.confirm", sid, {"token": "t0ken", "language": "en"})
    sending.run()
    (letter,) = sending.post.to("ann@example.org")
    assert f"{BASE}/confirm/t0ken" in letter.body()
    assert "Hello Ann Onym," in letter.body()
    assert sending.row(mid)["state"] == "sent"
    assert sending.told(mid) == ["queued", "sending", "sent"]


def test_a_letter_in_arabic_is_in_arabic(sending: Sending) -> None:
    sid = sending.house.person("newsletter", pending=True)
    sending.queue("newsletter.confirm", sid, {"token": "t0ken", "language": "ar"})
    sending.run()
    (letter,) = sending.post.arrived
    assert "مرحبًا" in letter.body()
    assert 'dir="rtl"' in letter.body("html")


def test_the_newest_head_of_the_ledger_goes_with_every_letter(sending: Sending) -> None:
    sid = sending.house.person()
    sending.queue("account.note", sid)
    sending.run()
    assert "troth " in sending.post.arrived[0].body()
    lines = [line for line in sending.post.arrived[0].body().splitlines() if "Newest checkpoint" in line]
    assert len(lines) == 1


def test_intent_is_durable_before_the_relay_hears_anything(sending: Sending) -> None:
    sid = sending.house.person()
    mid = sending.queue("account.note", sid)
    seen: list[list[str]] = []
    sending.post.on_content = lambda: seen.append(sending.told(mid))
    sending.run()
    assert seen == [["queued", "sending"]]


def test_what_no_clause_declares_is_not_sent(sending: Sending) -> None:
    sid = sending.house.person()
    mid = sending.queue("account.note", sid)
    current = policy()
    templates = {name: each for name, each in current.templates.items() if name != "account.note"}
    sending.house.publish(msgspec.structs.replace(current, templates=templates))
    sending.run()
    assert sending.post.commands == []
    assert sending.row(mid)["state"] == "refused"
    (entry,) = sending.house.entries("message.refused")
    assert (entry["clause"], entry["facts"]["reason"]) == ("rights.automated", "no clause declares this message")


def test_a_template_under_another_purpose_than_it_was_queued_for_is_not_sent(sending: Sending) -> None:
    sid = sending.house.person()
    mid = sending.queue("account.note", sid)
    templates = dict(policy().templates)
    templates["account.note"] = template("account.note", "purpose.account", "service", "patterns", "first_name email")
    sending.house.publish(msgspec.structs.replace(policy(), templates=templates))
    sending.run()
    assert (sending.row(mid)["state"], sending.post.commands) == ("refused", [])


def test_an_objection_between_queueing_and_sending_stops_the_letter(sending: Sending) -> None:
    sid = sending.house.person("newsletter", grants=["newsletter"])
    mid = sending.queue("newsletter.issue", sid, {"title": "News", "text": "x"})
    sending.house.stop(sid, "marketing")
    sending.run()
    assert sending.post.commands == []
    (entry,) = sending.house.entries("message.refused")
    assert entry["facts"]["gaps"] == ["stop:marketing"]
    assert sending.told(mid) == ["queued", "refused"]


def test_an_objection_in_the_very_moment_of_sending_stops_the_letter(sending: Sending) -> None:
    """Between the gate's answer and the entry of intent: the generation is looked at again in its transaction."""
    sid = sending.house.person("newsletter", grants=["newsletter"])
    mid = sending.queue("newsletter.issue", sid, {"title": "News", "text": "x"})
    (letter,) = sending.messages.take()
    sending.house.stop(sid, "newsletter")
    assert sending.messages.record([], [letter]) == ["again"]
    assert sending.row(mid)["state"] == "queued"
    sending.run()
    assert (sending.post.commands, sending.row(mid)["state"]) == ([], "refused")


def test_an_objection_of_somebody_with_the_same_address_stops_it_in_that_moment(sending: Sending) -> None:
    sid = sending.house.person("newsletter", grants=["newsletter"])
    mid = sending.queue("newsletter.issue", sid, {"title": "News", "text": "x"})
    (letter,) = sending.messages.take()
    vault = sending.house.vault
    sending.house.store.write_keys(lambda k: vault.suppress_value(k, "main", "email", "Ann@Example.org", "marketing"))
    assert sending.messages.record([], [letter]) == ["over"]
    assert (sending.row(mid)["state"], sending.row(mid)["reason"]) == ("refused", "suppressed")
    assert sending.post.commands == []


def test_a_suppressed_address_is_not_written_to_although_it_came_again(sending: Sending) -> None:
    """L17: the objection outlives the data; a new registration of the address changes nothing by itself."""
    sid = sending.house.person("newsletter", grants=["newsletter"])
    vault = sending.house.vault
    sending.house.store.write_keys(lambda k: vault.suppress_value(k, "main", "email", "Ann@Example.org", "marketing"))
    mid = sending.queue("newsletter.issue", sid, {"title": "News", "text": "x"})
    sending.run()
    assert (sending.post.commands, sending.row(mid)["reason"]) == ([], "suppressed")


def test_marketing_carries_a_link_that_works_and_is_stored_only_as_a_hash(sending: Sending) -> None:
    house = sending.house
    sid = house.person("newsletter", grants=["newsletter"])
    sending.queue("newsletter.issue", sid, {"title": "News", "text": "First.\n\nSecond."})
    sending.run()
    (letter,) = sending.post.arrived
    url = str(letter.message["List-Unsubscribe"]).strip("<>")
    assert url.startswith(f"{BASE}/unsubscribe/")
    assert url in letter.body()
    assert "First." in letter.body()
    link = house.store.read(
        lambda c: links.find(c, url.rpartition("/")[2], "unsubscribe", house.clock.now() + 730 * 86_400_000)
    )
    assert (link.sid, link.ref) == (sid, "newsletter")


def test_a_final_no_is_recorded_and_a_later_is_tried_again(sending: Sending) -> None:
    sid = sending.house.person()
    sending.post.at_recipient = "450 mailbox busy, ann@example.org"
    mid = sending.queue("account.note", sid)
    sending.run()
    assert sending.row(mid)["state"] == "queued"
    assert sending.told(mid) == ["queued", "sending", "deferred"]
    sending.run()
    assert sending.post.commands.count("MAIL post@vendor.example.org") == 1, "not before its time"
    sending.house.clock.advance(61_000)
    sending.post.at_recipient = "550 no such user ann@example.org"
    sending.run()
    assert (sending.row(mid)["state"], sending.row(mid)["reason"]) == ("refused", "the relay said 550")
    assert "ann@example.org" not in str(sending.house.entries())


def test_a_relay_that_never_answers_is_given_up_after_days(sending: Sending) -> None:
    sid = sending.house.person()
    nowhere = SmtpTransport(Mail(port=1), seconds=1)
    mid = sending.queue("account.note", sid)
    sending.run(nowhere)
    assert sending.row(mid)["state"] == "queued"
    assert sending.told(mid) == ["queued"], "nothing is said of it that did not happen"
    sending.house.clock.advance(GIVE_UP_MS + 1)
    sending.run(nowhere)
    assert sending.row(mid)["state"] == "refused"


def test_a_clock_that_was_ahead_and_is_set_right_holds_no_letter_up(sending: Sending) -> None:
    """Letters are queued at the ledger's time, which never goes back: they are sent by it too."""
    sid = sending.house.person()
    sending.house.clock.advance(2 * 86_400_000)
    sending.run(SmtpTransport(Mail(port=1), seconds=1))
    sending.queue("account.note", sid)
    sending.house.clock.advance(-2 * 86_400_000)
    mid = sending.queue("account.note", sid)
    sending.run()
    assert sending.row(mid)["state"] == "sent"


def test_a_letter_whose_relay_hung_up_is_unknown_and_not_sent_again(sending: Sending) -> None:
    sid = sending.house.person()
    sending.post.at_content = HANG_UP
    mid = sending.queue("account.note", sid)
    sending.run()
    assert (sending.row(mid)["state"], sending.told(mid)[-1]) == ("unknown", "unknown")
    sending.post.at_content = ""
    sending.house.clock.advance(10 * 86_400_000)
    sending.run()
    assert len(sending.post.arrived) == 1


class Crash(BaseException):
    """The process ends here."""


def test_a_crash_between_the_relays_yes_and_the_entry_leaves_it_unknown(sending: Sending) -> None:
    sid = sending.house.person()
    mid = sending.queue("account.note", sid)
    record = sending.messages.record

    def crash(ended: Any, going: Any) -> Any:
        if ended:
            raise Crash
        return record(ended, going)

    sending.messages.record = crash  # type: ignore[method-assign]  # the end of the process
    with pytest.raises(Crash):
        sending.run()
    assert (len(sending.post.arrived), sending.row(mid)["state"]) == (1, "sending")

    again = sending.sender()
    sending.run(messages=again)
    assert len(sending.post.arrived) == 1
    assert again.resolve() == 1
    sending.house.clock.advance(86_400_000)
    sending.run(messages=again)
    assert sending.row(mid)["state"] == "unknown"
    assert sending.told(mid) == ["queued", "sending", "unknown"]
    assert len(sending.post.arrived) == 1, "it was never sent again"
    assert again.resolve() == 0


def test_the_same_message_by_two_senders_is_sent_once(sending: Sending) -> None:
    """Both have made it; whose intent is recorded first sends it."""
    sid = sending.house.person()
    mid = sending.queue("account.note", sid)
    other = sending.sender()
    (mine,), (theirs,) = sending.messages.take(), other.take()
    assert sending.messages.take() == [], "what is in hand is not taken twice"
    assert sending.messages.record([], [mine]) == ["go"]
    assert other.record([], [theirs]) == ["over"]
    assert other.record([(theirs, Outcome("deferred", "x"))], []) == []
    assert sending.row(mid)["state"] == "sending", "nobody ends what another has in hand"


def test_a_message_waits_for_the_rate_of_its_domain_and_others_do_not(sending: Sending) -> None:
    sending.messages.letters.domains = Domains({"example.org": 6})
    people = [sending.house.person() for _ in range(3)]
    for sid in people:
        sending.queue("account.note", sid)
    values = {"first_name": "Bo", "email": "bo@elsewhere.example"}
    sending.queue("account.note", sending.house.person(values=values))
    sending.run()
    assert len(sending.post.to("ann@example.org")) == 1
    assert len(sending.post.to("bo@elsewhere.example")) == 1
    for count in (2, 3):
        sending.house.clock.advance(10_001)
        sending.run()
        assert len(sending.post.to("ann@example.org")) == count


def test_a_link_goes_before_a_newsletter_that_waits_longer(sending: Sending) -> None:
    reader = sending.house.person("newsletter", grants=["newsletter"])
    sending.queue("newsletter.issue", reader, {"title": "News", "text": "x"})
    sending.house.clock.advance(1000)
    sending.queue("rights.link", sending.house.person(), {"token": "t0ken"})
    sending.run()
    assert ["link" in str(each.message["Subject"]) for each in sending.post.arrived] == [True, False]


def test_a_campaign_has_words_of_its_own_waits_while_paused_and_ends(sending: Sending) -> None:
    reader = sending.house.person("newsletter", grants=["newsletter"])
    campaign, said = b"c" * 16, Said("Spring, {name}", "Hello *{name}*", "<p>Hello <em>{name}</em></p>")
    state: dict[str, Any] = {"words": said}

    def words(asked: bytes, language: str) -> Said | None:
        assert (asked, language) == (campaign, "en")
        if state["words"] == "paused":
            raise Later(60_000)
        found: Said | None = state["words"]
        return found

    sending.messages.letters.words = words
    sending.queue("newsletter.issue", reader, campaign=campaign)
    sending.run()
    assert str(sending.post.arrived[0].message["Subject"]) == "Spring, Ann Onym"
    assert "<em>Ann Onym</em>" in sending.post.arrived[0].body("html")
    assert "/unsubscribe/" in sending.post.arrived[0].body("html")
    state["words"] = "paused"
    mid = sending.queue("newsletter.issue", reader, campaign=campaign)
    sending.run()
    assert sending.row(mid)["state"] == "queued"
    state["words"] = None
    sending.run()
    assert sending.row(mid)["state"] == "queued", "not before its time"
    sending.house.clock.advance(60_001)
    sending.run()
    assert (sending.row(mid)["state"], len(sending.post.arrived)) == ("refused", 1)


def test_a_message_of_an_erased_person_is_not_sent(sending: Sending) -> None:
    sid = sending.house.person()
    mid = sending.queue("account.note", sid)
    sending.house.erase(sid)
    sending.run()
    assert (sending.post.commands, sending.row(mid)["state"]) == ([], "refused")
    assert "subject" not in sending.house.entries("message.refused")[0]


def test_the_certificate_goes_to_an_address_that_outlives_the_keys(sending: Sending) -> None:
    house = sending.house
    sealed = house.vault.transit_seal(b"ann@example.org")
    words = {"certificate": "ordered: 0102\nrows: 3", "link": "/privacy/certificate/0102"}
    mid = sending.queue("erase.certificate", None, words, address=sealed)
    sending.run()
    (letter,) = sending.post.to("ann@example.org")
    assert "ordered: 0102" in letter.body()
    row = sending.row(mid)
    assert (row["state"], row["sealed"], row["variables"]) == ("sent", None, None)


def test_what_waited_longer_than_its_key_lives_is_refused(sending: Sending) -> None:
    house = sending.house
    sid = house.person("newsletter", pending=True)
    mid = sending.queue("newsletter.confirm", sid, {"token": "t0ken"})
    house.clock.advance(8 * 86_400_000)
    tomorrow = house.clock.now() // 86_400_000
    house.store.write_keys(lambda k: house.vault.drop_days(k, "transit", tomorrow))
    sending.run()
    assert (sending.row(mid)["state"], sending.post.commands) == ("refused", [])


def test_an_address_that_is_none_is_refused_without_being_told(sending: Sending) -> None:
    sid = sending.house.person(values={"first_name": "Ann", "email": "ann@example.org, bob@example.org"})
    mid = sending.queue("account.note", sid)
    sending.run()
    assert (sending.row(mid)["state"], sending.post.commands) == ("refused", [])
    assert "bob" not in str(sending.house.entries()) + str(sending.row(mid))


def test_a_record_that_was_tampered_with_is_not_sent_from(sending: Sending) -> None:
    house = sending.house
    sid = house.person()
    mid = sending.queue("account.note", sid)
    house.store.write(Write(lambda tx: tx.execute(update(personal_records).values(ct=b"\0" * 64)).rowcount))
    sending.run()
    assert sending.post.commands == []
    assert sending.row(mid)["state"] == "queued", "nothing is sent, and it is tried again later"


class Flaky:
    """A relay that does as it is told, one outcome a message."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[Envelope] = []

    def line(self) -> Line:
        return self

    def ready(self) -> None:
        return None

    def send(self, envelope: Envelope) -> Outcome:
        self.sent.append(envelope)
        return self.outcomes.pop(0)

    def close(self) -> None:
        pass


def test_every_intent_has_exactly_one_outcome(sending: Sending, tmp_path: Path) -> None:
    sids = [sending.house.person() for _ in range(4)]
    mids = [sending.queue("account.note", sid) for sid in sids]
    kinds = ("sent", "refused", "deferred", "unknown")
    sending.run(Flaky(*(Outcome(kind, "x") for kind in kinds)))  # type: ignore[arg-type]  # kinds by name
    intents = [entry["eid"] for entry in sending.house.entries("message.sending")]
    outcomes = [e["refers"] for e in sending.house.entries(*(f"message.{kind}" for kind in kinds))]
    assert sorted(intents) == sorted(outcomes)
    assert [sending.told(mid)[-1] for mid in mids] == list(kinds)


def test_what_is_due_later_waits_for_its_time_and_is_not_given_up_for_it(sending: Sending) -> None:
    due = sending.house.clock.now() + 10 * 86_400_000
    mid = sending.queue("account.note", sending.house.person(), due_ms=due)
    sending.run()
    assert sending.row(mid)["state"] == "queued"
    sending.house.clock.advance(10 * 86_400_000 + 1)
    sending.post.at_recipient = "450 not now"
    sending.run()
    assert sending.told(mid) == ["queued", "sending", "deferred"]
    sending.post.at_recipient = ""
    sending.house.clock.advance(61_000)
    sending.run()
    assert sending.row(mid)["state"] == "sent"
