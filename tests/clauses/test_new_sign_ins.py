"""A sign-in from where nobody came before is told to the owner: browser, system, country, and no address."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests import locations
from tests.clauses.test_accounts import OTHER, PHRASE, member, sign_in
from tests.clauses.test_passkeys import come_in, device_for, owner, sid_of
from tests.clauses.test_second_factor import guarded
from tests.clauses.vendor import TENANT, Person, Vendor, vendor_at
from tests.residue import find
from tests.web.visitor import Visitor
from troth.cli.setting import demonstration_config
from troth.use.known_devices import MOST
from troth.web.running import Running, start

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"
IRELAND, EGYPT, NOWHERE, PROXY = "192.0.2.7", "198.51.100.7", "203.0.113.7", "10.0.0.1"
SAID = {"192.0.2.0/24": {"country": {"iso_code": "IE"}}, "198.51.100.0/24": {"country": {"iso_code": "EG"}}}
ABOUT = "from where nobody did before"


@contextlib.contextmanager
def located(vendor: Vendor) -> Iterator[Vendor]:
    """The same vendor, with a file of countries and a proxy in front."""
    locations.write(vendor.folder / "countries.mmdb", SAID)
    plain = demonstration_config(vendor.folder, 0, vendor.box.port)
    config = msgspec.structs.replace(plain, locations="countries.mmdb", trusted_proxies=(PROXY,))

    def again() -> Running:
        return start(config, clock=vendor.clock)

    vendor._start = again  # type: ignore[method-assign]  # this one is set up otherwise
    vendor.again()
    yield vendor


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """A vendor who knows countries."""
    with vendor_at(tmp_path / "vendor") as plain, located(plain) as found:
        yield found


def enter(vendor: Vendor, person: Person, address: str, agent: str = FIREFOX, **headers: str) -> int:
    """A sign-in from an address, by a browser: the status."""
    with Visitor(vendor.system.shell, address=address, base="http://localhost") as visitor:
        form = {"email": person.email, "password": PHRASE}
        sent = {"accept": "text/html", "user-agent": agent, **headers}
        return visitor.post("/account/sign-in", form, headers=sent).status_code


def told(vendor: Vendor, person: Person) -> int:
    """How many letters about new sign-ins this person has."""
    return len(vendor.letters(person.email, ABOUT))


def test_each_device_and_country_is_told_once(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    for address, agent, letters in (
        (IRELAND, FIREFOX, 1),
        (IRELAND, FIREFOX, 1),
        (EGYPT, FIREFOX, 2),
        (IRELAND, SAFARI, 3),
        (IRELAND, FIREFOX, 3),
        (NOWHERE, FIREFOX, 4),
        (EGYPT, FIREFOX, 4),
    ):
        assert enter(vendor, ann, address, agent) == 303
        assert told(vendor, ann) == letters


def test_the_letter_says_what_is_known_and_what_to_do_and_no_address(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    enter(vendor, ann, EGYPT, SAFARI)
    (letter,) = vendor.letters(ann.email, ABOUT)
    for words in ("Browser: Safari", "System: iPhone", "Country: EG", "Time: 2026-03-02 12:00 UTC", "end that session"):
        assert words in letter.text
    assert EGYPT not in letter.text
    assert json.loads(vendor.entries("message.sent")[-1])["clause"] == "protect.password"


def test_what_is_not_known_is_said_to_be_so(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    enter(vendor, ann, NOWHERE, "curl/8")
    (letter,) = vendor.letters(ann.email, ABOUT)
    assert all(f"{word}: ?" in letter.text for word in ("Browser", "System", "Country"))


def test_a_refused_sign_in_tells_nobody_and_remembers_nothing(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann, OTHER)
    assert enter(vendor, ann, IRELAND) == 401
    assert told(vendor, ann) == 0
    assert vendor.rows("SELECT kind FROM credentials") == [("password",)]


def test_the_country_is_that_of_the_address_a_trusted_proxy_tells(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    enter(vendor, ann, PROXY, x_forwarded_for=EGYPT)
    enter(vendor, ann, PROXY, **{"x-forwarded-for": f"{IRELAND}, {EGYPT}"})  # what its client claims counts for nothing
    enter(vendor, ann, IRELAND, **{"x-forwarded-for": EGYPT})  # and what no proxy of ours says
    copy = vendor.system.access.copy(TENANT, sid_of(vendor, ann)).account
    assert [device["country"] for device in copy["devices"]] == ["", "EG", "IE"]


def test_a_passkey_and_a_code_tell_too(vendor: Vendor) -> None:
    ann, ben = Person(), Person()
    _, device = owner(vendor, ann)
    device.origin = device_for(vendor).origin
    assert come_in(vendor.browser(), device) == 200
    assert told(vendor, ann) == 1
    _, app = guarded(vendor, ben)
    browser = vendor.browser()
    sign_in(browser, ben.email, PHRASE)
    assert told(vendor, ben) == 0  # halfway is not in
    assert browser.send("/account/sign-in/code", code=app.code()).status == 200
    assert told(vendor, ben) == 1


def test_without_a_file_the_words_of_the_browser_alone_are_told(tmp_path: Path) -> None:
    with vendor_at(tmp_path / "plain") as plain:
        ann = Person()
        member(plain, ann)
        for address, agent, letters in ((IRELAND, FIREFOX, 1), (EGYPT, FIREFOX, 1), (EGYPT, SAFARI, 2)):
            enter(plain, ann, address, agent)
            assert told(plain, ann) == letters


def test_no_address_stands_anywhere_and_the_words_are_sealed_and_go(vendor: Vendor) -> None:
    ann = Person()
    member(vendor, ann)
    enter(vendor, ann, EGYPT, FIREFOX)
    cts = [ct for (ct,) in vendor.rows("SELECT ct FROM credentials WHERE kind = 'devices'") if isinstance(ct, bytes)]
    assert len(cts) == 1
    assert find(vendor.folder, [EGYPT, "rv:140.0"]) == []
    assert find(vendor.folder, cts)
    vendor.system.erasures.erase(TENANT, sid_of(vendor, ann))
    vendor.letters()
    vendor.again()
    assert find(vendor.folder, [*cts, EGYPT]) == []


def test_the_copy_and_the_pages_say_from_where(vendor: Vendor) -> None:
    ann = Person()
    browser = member(vendor, ann)
    enter(vendor, ann, IRELAND)
    (device,) = vendor.system.access.copy(TENANT, sid_of(vendor, ann)).account["devices"]
    assert (device["browser"], device["system"], device["country"]) == ("Firefox", "Linux", "IE")
    assert "Firefox, Linux, IE" in browser.open("/privacy/data").body.decode()
    assert "<bdi>IE</bdi>" in browser.open("/account").body.decode()


def test_the_newest_are_remembered_and_there_is_an_end_to_them(vendor: Vendor) -> None:
    from troth.use import known_devices
    from troth.use.credentials import Stored
    from troth.use.devices import Device

    ann = Person()
    member(vendor, ann)
    sid, vault = sid_of(vendor, ann), vendor.system.vault
    known = {Device("Firefox", "Linux", f"{chr(65 + at)}A"): at for at in range(MOST)}
    ct = known_devices.seal_with(vault, TENANT, sid, known, Device("Safari", "iPhone", "IE"), 10**6)
    found = known_devices.seen(vault, TENANT, sid, {known_devices.KIND: Stored(0, b"", ct)})
    assert len(found) == MOST
    assert Device("Safari", "iPhone", "IE") in found
    assert Device("Firefox", "Linux", "AA") not in found
