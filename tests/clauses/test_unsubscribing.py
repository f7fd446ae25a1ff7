"""Letters end at one click, by link, by header and by mail; at once, in the middle of a campaign too; for good."""

from __future__ import annotations

import re
import smtplib
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clauses.moving import as_csv, bring, counted, rows_of
from tests.clauses.test_campaigns import DESK, begun, come_back, drafted, issues, readers, told
from tests.clauses.vendor import TENANT, Person, Vendor, example, vendor_at, word
from tests.use.test_bounces import report
from troth.cli.postbox import Letter
from troth.cli.setting import TENANTS, demonstration_config, postbox
from troth.errors import Invalid, StartRefused
from troth.rights.by_mail import token_in
from troth.store import links
from troth.store.jobs import Job
from troth.use.campaigns import FEW, WATCH_MS
from troth.use.complaints import read_complaint
from troth.use.readiness import Readiness
from troth.web.running import Running, start


class Reading(Vendor):
    """A vendor who takes mail."""

    def _start(self) -> Running:
        config = demonstration_config(self.folder, 0, self.box.port, tenants=self.tenants)
        mail = msgspec.structs.replace(config.mail, unsubscribe="unsubscribe@example.com", inbound="127.0.0.1:0")
        return start(msgspec.structs.replace(config, mail=mail), clock=self.clock)


def way_out(vendor: Vendor, email: str) -> str:
    """The token in the newest letter's header to this address."""
    header = next(
        str(letter.message["List-Unsubscribe"])
        for letter in reversed(vendor.box.letters)
        if email in letter.recipients and "List-Unsubscribe" in letter.message
    )
    found = re.search(r"/unsubscribe/([A-Za-z0-9_-]{43})>", header)
    assert found is not None
    return found[1]


def test_nobody_gets_a_letter_of_a_running_campaign_after_the_answer(vendor: Vendor) -> None:
    people: list[Person] = [Person() for _ in range(200)]
    for person in people:
        vendor.submit("newsletter", person)
    vendor.system.work(most=10_000)
    for letter in list(vendor.box.letters):
        found = re.search(r"/confirm/([\w-]+)", letter.text)
        assert found is not None
        vendor.system.confirmation.confirm(found[1])
    begun(vendor, subject="One")
    assert len(issues(vendor, "One")) == 200
    tokens = {person.email: way_out(vendor, person.email) for person in people}
    http = vendor.browser().http

    def had(email: str) -> int:
        return sum(email in one.recipients and one.subject == "Two" for one in vendor.box.letters[before:])

    before = len(vendor.box.letters)
    begun(vendor, subject="Two")
    workers = vendor.system.start_worker()
    at_answer: dict[str, int] = {}
    try:
        while len(vendor.box.letters) == before:
            time.sleep(0.001)  # until the first has arrived
        for person in people[:60]:
            answer = http.post(f"/unsubscribe/{tokens[person.email]}", {"List-Unsubscribe": "One-Click"})
            assert answer.status_code == 200
            at_answer[person.email] = had(person.email)
        until = time.monotonic() + 60
        while vendor.system.messages.counts().keys() & {"queued", "sending"}:
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        workers.close()
    assert {email: had(email) for email in at_answer} == at_answer
    assert 0 in at_answer.values(), "somebody unsubscribed before their letter's turn"
    stayed = [person.email for person in people[60:]]
    assert [had(email) for email in stayed] == [1] * 140


@pytest.mark.parametrize("form", ["urlencoded", "multipart"])
def test_one_click_is_a_post_without_cookie_redirect_or_question(vendor: Vendor, form: str) -> None:
    """RFC 8058 3.1 and 3.2: https link, POST of the one pair, as either kind of form; no context from the browser."""
    (person,) = readers(vendor, 1).values()
    begun(vendor, subject="One")
    issues(vendor, "One")
    http = vendor.browser().http
    path = f"/unsubscribe/{way_out(vendor, person.email)}"
    before = vendor.everything()
    assert http.get(path).status_code == 200
    assert http.request("HEAD", path).status_code in (200, 405)
    assert vendor.everything() == before, "looking changes nothing"
    pair = {"List-Unsubscribe": "One-Click"}
    http.client.cookies.clear()
    origin = {"origin": "https://mail.provider.example.net"}
    if form == "multipart":
        answer = http.request("POST", path, files={"List-Unsubscribe": (None, "One-Click")}, headers=origin)
    else:
        answer = http.request("POST", path, data=pair, headers=origin)
    assert (answer.status_code, answer.history, answer.headers.get("set-cookie")) == (200, [], None)
    begun(vendor, subject="Two")
    assert issues(vendor, "Two") == []


def test_a_letter_with_the_token_in_its_subject_ends_them_too(tmp_path: Path) -> None:
    with postbox() as box:
        vendor = Reading(tmp_path / "vendor", box, example())
        try:
            ann, ben = Person(), Person()
            for person in (ann, ben):
                vendor.join("newsletter", person)
            begun(vendor, subject="One")
            assert len(issues(vendor, "One")) == 2
            (letter,) = [one for one in box.letters if one.subject == "One" and ann.email in one.recipients]
            header = str(letter.message["List-Unsubscribe"])
            found = re.search(r"<mailto:unsubscribe@example\.com\?subject=([A-Za-z0-9_-]{43})>", header)
            assert found is not None
            workers = vendor.system.start_worker()
            try:
                assert workers.inbound is not None
                for subject in ("hello", links.new_token(vendor.system.randomness), found[1], found[1]):
                    written = f"From: someone@example.net\r\nSubject: {subject}\r\n\r\nPlease.\r\n"
                    with smtplib.SMTP("127.0.0.1", workers.inbound.port, timeout=10) as mail:
                        assert mail.sendmail("", ["Unsubscribe@example.com"], written) == {}
            finally:
                workers.close()
            begun(vendor, subject="Two")
            assert issues(vendor, "Two") == [ben.email]
            sid = vendor.system.vault.find(TENANT, "email", ann.email)
            assert sid is not None
            vendor.system.erasures.erase(TENANT, sid)
            again = f"Subject: {found[1]}\r\n\r\n".encode()
            taker, _ = vendor.system.mail_room.find("unsubscribe@example.com") or (None, "")
            assert taker is not None
            assert taker("", again) is True, "the token outlives the person"
        finally:
            vendor.close()


def complaint(letter: Letter, kind: str = "abuse", part: str = "message/rfc822") -> bytes:
    """A report as RFC 5965 has it, about this letter: with its head in a ``part`` of either kind."""
    head = letter.data.partition(b"\r\n\r\n")[0].decode()
    return f"""From: reports@provider.example.net\r
Subject: a report\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=feedback-report; boundary="y"\r
\r
--y\r
Content-Type: text/plain\r
\r
Somebody called this spam.\r
--y\r
Content-Type: message/feedback-report\r
\r
Feedback-Type: {kind}\r
User-Agent: Reports/1.0\r
Version: 1\r
\r
--y\r
Content-Type: {part}\r
\r
{head}\r
\r
--y--\r
""".encode()


def test_a_complaint_ends_the_letters_is_counted_once_and_too_many_hold_the_campaign(tmp_path: Path) -> None:
    with postbox() as box:
        vendor = Reading(tmp_path / "vendor", box, example())
        try:
            readers(vendor, 4)
            campaign = begun(vendor, subject="One")
            issues(vendor, "One")
            taker, _ = vendor.system.mail_room.find("unsubscribe@example.com") or (None, "")
            assert taker is not None
            first, second, third, _ = [letter for letter in box.letters if letter.subject == "One"]
            assert taker("", complaint(first, kind="not-spam")) is False
            assert taker("", complaint(first)) is True
            taker("", complaint(first))
            assert len(vendor.entries("message.complained")) == 1
            forged = complaint(second).replace(message_id(second), message_id(third))
            taker("", forged)  # a message that went to somebody else
            assert len(vendor.entries("message.complained")) == 1
            vendor.system.campaigns.job(Job(1, "", campaign.id.hex(), None, 1, 0, None))
            assert vendor.system.campaigns.get(TENANT, campaign.id).state == "ended"  # one is no rate
            again = begun(vendor, subject="Two")
            assert len(issues(vendor, "Two")) == 2
            for letter in [one for one in box.letters if one.subject == "Two"]:
                assert taker("", complaint(letter, part="text/rfc822-headers")) is True
            vendor.clock.advance(WATCH_MS)
            vendor.system.work()
            assert vendor.system.campaigns.get(TENANT, again.id).reason == "too many complained"
            vendor.system.campaigns.resume(TENANT, again.id, DESK)
            vendor.system.work()
            assert vendor.system.campaigns.get(TENANT, again.id).state == "ended"  # what is known is not new
            begun(vendor, subject="Three")
            assert issues(vendor, "Three") == []
        finally:
            vendor.close()


def test_complaints_that_an_officer_went_on_with_are_not_counted_when_something_else_comes_back(
    tmp_path: Path,
) -> None:
    with postbox() as box:
        vendor = Reading(tmp_path / "vendor", box, example())
        try:
            readers(vendor, FEW + 1)
            campaign = begun(vendor, subject="One")
            issues(vendor, "One")
            taker, _ = vendor.system.mail_room.find("unsubscribe@example.com") or (None, "")
            assert taker is not None
            arrived = [letter for letter in box.letters if letter.subject == "One"]
            for letter in arrived[:2]:
                taker("", complaint(letter))
            vendor.clock.advance(WATCH_MS)
            vendor.system.work()
            assert vendor.system.campaigns.get(TENANT, campaign.id).reason == "too many complained"
            vendor.system.campaigns.resume(TENANT, campaign.id, DESK)
            come_back(vendor, campaign, message_of(arrived[2]))
            vendor.system.work()
            assert vendor.system.campaigns.get(TENANT, campaign.id).state == "ended"
        finally:
            vendor.close()


def message_of(letter: Letter) -> bytes:
    """The message's id in the queue."""
    return bytes.fromhex(message_id(letter).decode()[1:33])


def message_id(letter: Letter) -> bytes:
    """As it stands in the head."""
    return str(letter.message["Message-ID"]).encode()


def test_what_is_not_our_token_is_nothing() -> None:
    token = "t" * 43
    assert token_in(f"Subject: {token}\r\n\r\n".encode()) == token
    assert token_in(f"Subject: =?utf-8?q?Re:_{token}?=\r\n\r\n".encode()) == token
    for letter in (b"", b"\xff\x00", b"Subject: \r\n\r\n", f"Subject: {token}x\r\n\r\n".encode(), report()):
        assert token_in(letter) is None
    assert token_in(f"Subject: hello\r\n\r\nSubject: {token}".encode()) is None, "only the head is looked at"


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_no_bytes_from_outside_break_the_reading(tail: bytes) -> None:
    for head in (b"", b"Subject: =?utf-8?", b"Content-Type: multipart/report; boundary=y\r\n\r\n--y\r\n"):
        token_in(head + tail)
        assert read_complaint(head + tail) is None


def test_an_address_that_nobody_takes_is_not_promised(vendor: Vendor) -> None:
    config = vendor.system.config
    vendor.close()
    for mail in (
        msgspec.structs.replace(config.mail, unsubscribe="unsubscribe@example.com"),
        msgspec.structs.replace(
            config.mail, unsubscribe="a@example.com", bounces="a@example.com", inbound="127.0.0.1:0"
        ),
    ):
        with pytest.raises(StartRefused):
            start(msgspec.structs.replace(config, mail=mail), clock=vendor.clock)
    vendor.system = vendor._start()


def test_nothing_is_sent_off_or_goes_on_while_something_is_missing(vendor: Vendor) -> None:
    readers(vendor, 1)
    system, ready = vendor.system, vendor.system.readiness
    campaign = drafted(vendor)
    system.readiness = Readiness("post@example.org", "", (), lambda name: [])
    with pytest.raises(Invalid) as refused:
        system.campaigns.begin(TENANT, campaign.id, DESK)
    assert set(refused.value.gaps) == {"/: unsubscribe", "/: spf", "/: dkim", "/: dmarc"}
    assert refused.value.clause == "rights.unsubscribe"
    system.readiness = ready
    system.campaigns.begin(TENANT, campaign.id, DESK, vendor.clock.now() + 1000)
    system.readiness = Readiness("post@example.org", "", (), lambda name: [])
    vendor.clock.advance(1000)
    assert issues(vendor) == []
    assert told(vendor, "paused")[0]["reason"] == "not ready"
    with pytest.raises(Invalid):
        system.campaigns.resume(TENANT, campaign.id, DESK)
    system.readiness = ready
    system.campaigns.resume(TENANT, campaign.id, DESK)
    assert len(issues(vendor)) == 1


def spelled(email: str) -> list[str]:
    """The same mailbox in another case, and under a label."""
    local, _, domain = email.partition("@")
    return [email.upper(), f"{local}+{word(4)}@{domain}", email]


def test_who_objected_gets_no_campaign_ever_whatever_comes_again(tmp_path: Path) -> None:
    with vendor_at(tmp_path / "vendor", tenants=TENANTS) as vendor:
        ann = Person()
        sid = vendor.join("newsletter", ann)
        vendor.system.objections.object(TENANT, sid, "marketing")
        vendor.system.erasures.erase(TENANT, sid)
        for address in spelled(ann.email):
            back = vendor.join("registration", ann, email=address)
            begun(vendor, subject="Here")
            assert issues(vendor, "Here") == []
            assert vendor.issues(back, address) == 0
            vendor.system.erasures.erase(TENANT, back)
        assert counted(bring(vendor, as_csv(rows_of([ann])))) == (0, 0, 1, 0)  # a file with her yes of long ago
        begun(vendor, subject="Here")
        assert issues(vendor, "Here") == []
        # another controller's people are others: what she told the vendor says nothing at the dentist's
        assert not vendor.system.vault.suppressed("harbour", "email", ann.email, "marketing")


def test_bounces_are_counted_where_the_officer_looks(vendor: Vendor) -> None:
    readers(vendor, 2)
    campaign = begun(vendor)
    issues(vendor)
    come_back(vendor, campaign)
    progress = vendor.system.campaigns.progress(vendor.system.campaigns.get(TENANT, campaign.id))
    assert (progress.sent, progress.bounced) == (0, 2)
