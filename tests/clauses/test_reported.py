"""What a kept newsletter tool reports by mail stops here too: by its own address, in force at once, told once."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clauses.vendor import TENANT, Person, Vendor, example, word
from troth.cli.postbox import Postbox
from troth.cli.setting import demonstration_config, postbox
from troth.errors import StartRefused
from troth.rights.reported import MOST_ADDRESSES, read
from troth.web.control import perform
from troth.web.running import Running, start


class Listening(Vendor):
    """A vendor who takes reports of unsubscribes."""

    def _start(self) -> Running:
        config = demonstration_config(self.folder, 0, self.box.port)
        mail = msgspec.structs.replace(config.mail, unsubscribed="unsubscribed@example.com", inbound="127.0.0.1:0")
        return start(msgspec.structs.replace(config, mail=mail), clock=self.clock)


@pytest.fixture
def box() -> Iterator[Postbox]:
    with postbox() as found:
        yield found


@pytest.fixture
def vendor(tmp_path: Path, box: Postbox) -> Iterator[Vendor]:
    made = Listening(tmp_path / "vendor", box, example())
    yield made
    made.close()


def tool(vendor: Vendor, *may: str) -> str:
    """The address that a tool reports to, as the operator is told it."""
    done = perform(vendor.system, {"do": "product.create", "name": f"Tool {word()}", "may": list(may)})
    return str(done["reports"])


def report(vendor: Vendor, to: str, *lines: str, subject: str = "") -> None:
    """A letter of the tool's, over SMTP."""
    workers = vendor.system.start_worker()
    try:
        assert workers.inbound is not None
        with smtplib.SMTP("127.0.0.1", workers.inbound.port, timeout=30) as smtp:
            text = f"Subject: {subject}\r\n\r\n" + "\r\n".join(lines)
            smtp.sendmail("tool@example.org", [to], text.encode())
    finally:
        workers.close()


def test_what_a_tool_reports_is_an_objection_here_and_spares_who_is_not_here(vendor: Vendor) -> None:
    ann, ben, stranger = Person(), Person(), f"{word()}@elsewhere.example.org"
    sids = {person: vendor.join("newsletter", person) for person in (ann, ben)}
    to = tool(vendor, "suppressions")
    report(vendor, to, ann.email.upper(), stranger, "not an address")
    assert vendor.issues(sids[ann], ann.email) == 0
    assert vendor.issues(sids[ben], ben.email) == 1
    suppressed = vendor.system.vault.suppressed
    assert suppressed(TENANT, "email", ann.email, "marketing")
    assert suppressed(TENANT, "email", stranger, "marketing")
    (made,) = (json.loads(body) for body in vendor.entries("objection.made"))
    assert made["actor"].startswith("product:")
    (told,) = (json.loads(body) for body in vendor.entries("suppression.reported"))
    assert told["facts"]["addresses"] == 1
    before = vendor.count("ledger")
    report(vendor, to, ann.email, stranger)
    assert vendor.count("ledger") == before  # it holds already


def test_the_subject_may_name_the_purpose(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("newsletter", ann)
    report(vendor, tool(vendor, "suppressions"), ann.email, subject="newsletter")
    suppressed = vendor.system.vault.suppressed
    assert suppressed(TENANT, "email", ann.email, "newsletter")
    assert not suppressed(TENANT, "email", ann.email, "marketing")


def test_nobody_reports_but_a_tool_whose_key_is_good_for_it(vendor: Vendor) -> None:
    ann = Person()
    sid = vendor.join("newsletter", ann)
    assert tool(vendor) == ""
    to = tool(vendor, "suppressions")
    local, _, domain = to.partition("@")
    assert vendor.system.reports is not None
    place = len(local) - 5
    other = "a" if local[place] != "a" else "b"
    forged = [f"unsubscribed@{domain}", f"{local[:place]}{other}{local[place + 1 :]}@{domain}"]
    shop, _ = vendor.system.products.create(TENANT, "Shop")
    ended, _ = vendor.system.products.create(TENANT, "Old tool", scopes=["suppressions"])
    vendor.system.products.end(ended.id)
    for address in (*forged, *(vendor.system.reports.address(each.id) for each in (shop, ended))):
        found = vendor.system.mail_room.find(address)
        assert found is not None
        assert found[0](found[1], f"Subject: x\r\n\r\n{ann.email}\r\n".encode()) == 0
    assert vendor.issues(sid, ann.email) == 1


def test_an_address_that_nobody_takes_is_not_promised(tmp_path: Path, box: Postbox) -> None:
    vendor = Vendor(tmp_path / "vendor", box, example())
    vendor.system.close()
    config = demonstration_config(vendor.folder, 0, box.port)
    for settings in ({"inbound": ""}, {"inbound": "127.0.0.1:0", "unsubscribe": "unsubscribed@example.com"}):
        mail = msgspec.structs.replace(config.mail, unsubscribed="unsubscribed@example.com", **settings)
        with pytest.raises(StartRefused):
            start(msgspec.structs.replace(config, mail=mail))


@given(st.binary(max_size=2000))
def test_no_bytes_from_outside_break_the_reading(tail: bytes) -> None:
    subject, addresses = read(b"Subject: newsletter\r\n" + tail)
    assert isinstance(subject, str)
    assert len(addresses) <= MOST_ADDRESSES


def test_a_report_is_read_as_people_write_it() -> None:
    lines = ["  ann@example.org", "Ben wrote:", "> x", "ann@example.org", "ben@example.org"]
    data = "\r\n".join(["Subject: newsletter ", "", *lines]).encode()
    assert read(data) == ("newsletter", ["ann@example.org", "ben@example.org"])
