"""Tenants: each answers for its own people; whoever is in two of them is two persons, and nobody reaches across."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from tests.clauses.test_accounts import PHRASE, act
from tests.clauses.vendor import TENANT, Browser, Person, Vendor, example, vendor_at
from troth.cli.setting import TENANTS, demonstration_config
from troth.config import Party, Tenant, read_config
from troth.errors import Conflict, NotFound, StartRefused, TrothError
from troth.web.control import perform
from troth.web.running import start

HARBOUR, MILL = "harbour.managed.localhost", "mill.managed.localhost"
NAMES = {HARBOUR: "Harbour Dental Practice", MILL: "Mill Lane School", "localhost": "Example Backup Ltd"}


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    """The example vendor with its two tenants."""
    with vendor_at(tmp_path / "vendor", tenants=TENANTS) as found:
        yield found


def register(vendor: Vendor, person: Person, host: str) -> Browser:
    """The form at this host, sent and confirmed, and the centre opened: all as the person does it."""
    browser = vendor.browser(host=host)
    browser.open("/forms/registration")
    told = {"first_name": person.first, "last_name": person.last, "email": person.email, "company": person.company}
    browser.send("/forms/registration", **told, company_size="10-49", usage_purpose="a business")
    assert browser.address == "/sent", browser.answer.text[:300]
    browser.open(f"/confirm/{vendor.token(person.email)}")
    assert browser.send().status == 200
    browser.open("/privacy")
    browser.send("/privacy", email=person.email)
    browser.open(f"/privacy/open/{vendor.token(person.email, '/privacy/open/')}")
    browser.send()
    assert browser.address == "/privacy/data", browser.answer.status
    return browser


def copy_of(browser: Browser) -> dict[str, object]:
    browser.open("/privacy/copy.json")
    found: dict[str, object] = json.loads(browser.answer.body)
    return found


def test_one_address_in_two_tenants_is_two_persons(vendor: Vendor) -> None:
    ann = Person()
    other = Person(email=ann.email)
    here, there = register(vendor, ann, HARBOUR), register(vendor, other, MILL)
    first, second = (vendor.system.vault.find(tenant, "email", ann.email) for tenant in ("harbour", "mill"))
    assert first
    assert second
    assert first != second
    assert vendor.system.vault.find(TENANT, "email", ann.email) is None
    tags = [row[0] for row in vendor.key_rows("SELECT tag FROM tags WHERE kind = 'email' AND state = 'live'")]
    assert len(tags) == len(set(tags)) == 2  # invariant 17
    assert ann.last in json.dumps(copy_of(here))
    assert not other.markers - {ann.email} & set(json.dumps(copy_of(here)).split('"'))
    assert other.last in json.dumps(copy_of(there))

    there.open("/privacy/erase")
    there.send("/privacy/erase", sure="on")
    assert vendor.system.vault.find("mill", "email", ann.email) is None
    assert here.open("/privacy/data").status == 200  # the other person is as they were
    assert ann.last in here.answer.text


@pytest.mark.parametrize("host", [HARBOUR, MILL])
def test_pages_forms_mails_copies_and_terms_name_the_tenants_controller(vendor: Vendor, host: str) -> None:
    ann, name, tenant = Person(), NAMES[host], host.partition(".")[0]
    browser = register(vendor, ann, host)
    for path in ("/", "/forms/registration", "/policy", "/privacy/data"):
        browser.open(path)
        assert f"{name} is responsible for your data here. Example Backup Ltd runs this service" in browser.answer.text
    told = copy_of(browser)["controller"]
    assert told == msgspec.to_builtins(TENANTS[tenant].controller)
    letters = vendor.letters(ann.email)
    assert letters
    for letter in letters:
        assert letter.message["From"].startswith(f"{name} <")
        assert TENANTS[tenant].controller.contact in letter.text
        assert f"http://{host}/" in letter.text
        assert not any(other in letter.text for at, other in NAMES.items() if at != host)
    assert vendor.rows("SELECT DISTINCT controller FROM terms") == [(name,)]


def test_the_list_of_what_runs_by_itself_speaks_in_the_tenants_name(vendor: Vendor) -> None:
    def listed(browser: Browser, path: str) -> str:
        shown = browser.open(path).body.decode().partition("<main")[2].partition("</main")[0]
        return shown.partition("<table")[2] or shown

    for host, name in NAMES.items():
        page = listed(vendor.browser(host=host), "/policy/automated")
        assert {each for each in NAMES.values() if each in page} == {name}, host
    assert NAMES["localhost"] not in listed(register(vendor, Person(), HARBOUR), "/privacy/automated")


def test_second_factors_and_passkeys_of_a_tenants_person_are_in_the_tenants_name(vendor: Vendor) -> None:
    browser = register(vendor, Person(), HARBOUR)
    assert act(browser, "/account/password", password=PHRASE) == 200
    browser.open("/account/second-factor")
    shown = browser.answer.body.decode()
    assert "otpauth://totp/Harbour%20Dental%20Practice%3A" in shown
    assert "Example%20Backup" not in shown
    with patch.object(vendor.system.accounts, "address", return_value=None):  # where it cannot be shown: whose it is
        browser.open("/account/passkeys")
    shown = browser.answer.body.decode()
    assert "Harbour Dental Practice&quot;" in shown or "Harbour Dental Practice&#34;" in shown


def test_our_own_host_speaks_in_our_own_name(vendor: Vendor) -> None:
    browser = vendor.browser()
    browser.open("/")
    assert "is responsible for your data here" not in browser.answer.text
    assert "Example Backup Ltd" in browser.answer.text


def test_a_session_of_one_tenant_opens_nothing_at_anothers_host(vendor: Vendor) -> None:
    browser = register(vendor, Person(), HARBOUR)
    for host in (MILL, "localhost", "managed.localhost"):
        thief = vendor.browser(host=host)
        thief.cookies = dict(browser.cookies)
        thief.open("/privacy/data")
        assert thief.address == "/privacy", host
    assert browser.open("/privacy/data").status == 200


def test_a_letter_of_a_tenant_that_is_not_configured_any_more_is_not_sent_in_another_name(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann, tenant="mill")
    before = len(vendor.box.letters)
    vendor.system.store.write(vendor.system.requests.ask_write("mill", ann.email, "en"))
    vendor.tenants = {"harbour": TENANTS["harbour"]}
    vendor.again()
    vendor.system.work()
    assert len(vendor.box.letters) == before
    refused = [json.loads(body)["facts"]["reason"] for body in vendor.entries("message.refused")]
    assert refused == ["no such tenant is configured"]


def test_staff_of_two_tenants_may_have_one_name_and_are_strangers(vendor: Vendor) -> None:
    desks = [vendor.system.desk(tenant) for tenant in ("harbour", "mill", TENANT)]
    tokens = [desk.operators.first("ada") for desk in desks]
    for desk in desks:
        assert [operator.name for operator in desk.operators.all()] == ["ada"]
    for place, token in enumerate(tokens):
        for other, desk in enumerate(desks):
            if place == other:
                assert desk.operators.invited(token).name == "ada"
            else:
                with pytest.raises(TrothError):
                    desk.operators.invited(token)
    ada = desks[0].operators.all()[0]
    with pytest.raises(NotFound):
        desks[1].operators.get(ada.id)
    with pytest.raises(NotFound):
        desks[1].operators.end(ada.id, desks[1].operators.all()[0])


def test_what_the_command_line_does_to_people_it_does_in_the_tenant_that_is_named(vendor: Vendor) -> None:
    ann = Person()
    vendor.join("registration", ann, tenant="mill")
    for tenant in (None, "harbour"):
        with pytest.raises(NotFound):
            perform(vendor.system, {"do": "subject.access", "email": ann.email, "tenant": tenant})
    told = perform(vendor.system, {"do": "subject.access", "email": ann.email, "tenant": "mill"})
    assert json.loads(told["copy"])["controller"]["name"] == NAMES[MILL]
    with pytest.raises(NotFound, match="harbour, mill"):
        perform(vendor.system, {"do": "subject.access", "email": ann.email, "tenant": "quay"})
    link = perform(vendor.system, {"do": "operator.invite", "tenant": "mill"})["link"]
    assert link.startswith(f"http://{MILL}/console/invitation/")
    made = perform(vendor.system, {"do": "product.create", "name": "portal", "tenant": "mill"})
    assert made["surface"] == "service:managed"
    with pytest.raises(NotFound):
        perform(vendor.system, {"do": "product.handover.stop", "name": "portal"})


def test_a_submission_for_another_surface_is_not_taken_at_a_tenants_host(vendor: Vendor) -> None:
    browser = vendor.browser(host=HARBOUR)
    values = {"name": "Ann", "email": "ann@example.org"}
    body = {"point": "newsletter", "surface": "site:www", "values": values, "consents": ["newsletter"]}
    asked = {"json": body, "headers": {"accept": "application/json"}}
    answer = browser.http.request("POST", "/api/v1/submissions", **asked)
    assert (answer.status_code, answer.json()["clause"]) == (403, "scope.services")
    assert vendor.count("subjects") == 0


HARBOUR_ALONE = TENANTS["harbour"]


@pytest.mark.parametrize(
    ("tenants", "told"),
    [
        ({"harbour": msgspec.structs.replace(HARBOUR_ALONE, surface="site:www")}, "does not let tenants"),
        ({"harbour": msgspec.structs.replace(HARBOUR_ALONE, surface="service:other")}, "does not let tenants"),
        ({"harbour": msgspec.structs.replace(HARBOUR_ALONE, hosts=("www.example.com",))}, "a host of our own"),
    ],
)
def test_a_tenant_that_the_policy_does_not_let_in_stops_the_start(
    vendor: Vendor, tenants: dict[str, Tenant], told: str
) -> None:
    vendor.close()
    with pytest.raises(StartRefused, match=told):
        start(demonstration_config(vendor.folder, 0, 9, tenants=tenants))
    vendor.system = vendor._start()


def test_a_policy_without_tenants_takes_none(tmp_path: Path) -> None:
    policy = example().replace(", tenants: true", "")
    with (
        pytest.raises(StartRefused, match="tenants: true"),
        vendor_at(tmp_path / "vendor", policy=policy, tenants=TENANTS),
    ):
        raise Conflict("it started")


GOOD = """
[tenants.harbour]
hosts = ["harbour.example.com"]
controller = {name = "Harbour Ltd", contact = "privacy@harbour.example.com", country = "IE"}
"""


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (GOOD.replace("tenants.harbour", 'tenants."Har/bour"'), "no name for a tenant"),
        (GOOD.replace("tenants.harbour", "tenants.main"), "no name for a tenant"),
        (GOOD.replace('["harbour.example.com"]', "[]"), "needs a host of its own"),
        (GOOD.replace('harbour.example.com"]', 'Harbour.example.com:80"]'), "a name in lower case"),
        (GOOD + GOOD.replace("tenants.harbour", "tenants.mill"), "have one host"),
        (GOOD + 'base_url = "harbour"', "tenants.harbour.base_url does not fit"),
        (GOOD.replace('name = "Harbour Ltd", ', ""), "name"),
    ],
)
def test_settings_that_could_mistake_one_tenant_for_another_are_refused(
    tmp_path: Path, settings: str, told: str
) -> None:
    (tmp_path / "troth.toml").write_text(GOOD)
    config = read_config(tmp_path, {})
    assert config.place("HARBOUR.example.com.:8420").tenant == "harbour"
    assert config.place("harbour.example.com.evil.example").tenant == "main"
    assert config.tenants["harbour"].controller == Party("Harbour Ltd", "privacy@harbour.example.com", "IE")
    (tmp_path / "troth.toml").write_text(settings)
    with pytest.raises(StartRefused, match=told):
        read_config(tmp_path, {})


def test_links_of_a_tenant_begin_where_its_people_come(tmp_path: Path) -> None:
    (tmp_path / "troth.toml").write_text('base_url = "https://privacy.example.com:8443"\n' + GOOD)
    assert read_config(tmp_path, {}).url_of("harbour") == "https://harbour.example.com:8443"
    (tmp_path / "troth.toml").write_text(GOOD + 'base_url = "https://harbour.example.com"')
    assert read_config(tmp_path, {}).url_of("harbour") == "https://harbour.example.com"
