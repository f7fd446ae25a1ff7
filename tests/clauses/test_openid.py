"""Who is signed in at the vendor's own OpenID provider comes into their centre without a mail, and nobody else does."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clauses.conftest import row
from tests.clauses.test_accounts import PHRASE, act
from tests.clauses.vendor import TENANT, Browser, Person, Vendor, vendor_at
from tests.provider import CLIENT, SECRET, OpenIdProvider, key, provided
from tests.residue import find
from troth.cli.setting import demonstration_config
from troth.config import OpenId
from troth.errors import StartRefused
from troth.web.running import Running, start
from troth.world import DAY_MS


def configure(vendor: Vendor, provider: OpenIdProvider, **changes: str) -> None:
    """The vendor set up as the provider's client."""
    (vendor.folder / "openid.secret").write_text(SECRET + "\n")
    settings = OpenId(**{"issuer": provider.url, "client_id": CLIENT, "secret_file": "openid.secret", **changes})
    config = msgspec.structs.replace(demonstration_config(vendor.folder, 0, vendor.box.port), openid=settings)

    def again() -> Running:
        return start(config, clock=vendor.clock)

    vendor._start = again  # type: ignore[method-assign]  # this one is set up otherwise
    vendor.again()


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Vendor, OpenIdProvider]]:
    """A vendor, and the provider that its people are signed in at."""
    with vendor_at(tmp_path / "vendor") as vendor, provided(vendor.clock) as provider:
        configure(vendor, provider)
        yield vendor, provider


def leave(browser: Browser) -> str:
    """The way to the provider: the address that the browser is sent to."""
    answer = browser._ask("GET", "/account/openid", b"", hops=0)
    assert answer.status == 303
    return answer.header("location")


def come(browser: Browser, provider: OpenIdProvider, person: Person, **claims: Any) -> int:
    """There and back as this person: the status."""
    verified = {"email": person.email, "email_verified": True}
    return browser.open(provider.sign_in(leave(browser), **{**verified, **claims})).status


def test_there_and_back_and_out(both: tuple[Vendor, OpenIdProvider]) -> None:
    vendor, provider = both
    ann = Person()
    vendor.join("registration", ann)
    browser = vendor.browser()
    browser.open("/account/sign-in")
    assert 'href="/account/openid"' in browser.answer.body.decode()
    assert come(browser, provider, ann) == 200
    assert browser.address == "/privacy/data"
    assert ann.first in browser.page.text
    assert json.loads(vendor.entries("rights.proven")[-1])["facts"] == {"by": "openid"}
    browser.open("/account")
    assert "your account with us" in browser.page.text
    assert row(vendor.system, "rights.proof").status == "PASS"
    assert act(browser, "/privacy/leave") == 200
    browser.open("/privacy/data")
    assert browser.address == "/privacy"


def test_it_opens_the_centre_for_half_an_hour_and_sets_no_password(both: tuple[Vendor, OpenIdProvider]) -> None:
    vendor, provider = both
    ann = Person()
    vendor.join("registration", ann)
    browser = vendor.browser()
    come(browser, provider, ann)
    assert act(browser, "/account/password", password=PHRASE) == 401
    vendor.clock.advance(31 * 60_000)
    browser.open("/privacy/data")
    assert browser.address == "/privacy"


OTHERWISE: list[dict[str, Any]] = [
    {"email_verified": False},
    {"email_verified": "true"},
    {"email": None},
    {"email": "not an address"},
    {"email": "nobody@example.org"},
    {"nonce": "another"},
    {"aud": "another"},
    {"aud": [CLIENT, "another"]},
    {"aud": [CLIENT, "another"], "azp": "another"},
    {"iss": "https://evil.example"},
    {"exp": 1},
    {"exp": None},
    {"iat": 9_999_999_999},
]


def test_a_token_that_says_anything_else_opens_nothing(both: tuple[Vendor, OpenIdProvider]) -> None:
    vendor, provider = both
    ann = Person()
    vendor.join("registration", ann)
    for number, claims in enumerate(OTHERWISE):
        browser = vendor.browser(f"198.51.100.{number}")
        assert come(browser, provider, ann, **claims) == 401, claims
        assert "This sign-in was not accepted" in browser.page.text
        browser.open("/privacy/data")
        assert browser.address == "/privacy"
    assert vendor.entries("rights.proven") == []
    assert come(vendor.browser(), provider, ann) == 200  # and as it should be, it does


@pytest.mark.parametrize("how", ["unsigned", "by_secret", "another key"])
def test_a_token_that_the_provider_did_not_sign_opens_nothing(both: tuple[Vendor, OpenIdProvider], how: str) -> None:
    vendor, provider = both
    ann = Person()
    vendor.join("registration", ann)
    if how == "another key":
        provider.published = key()
    else:
        setattr(provider, how, True)
    assert come(vendor.browser(), provider, ann) == 401
    assert vendor.entries("rights.proven") == []


def test_new_keys_of_the_provider_are_fetched_when_they_are_needed(both: tuple[Vendor, OpenIdProvider]) -> None:
    vendor, provider = both
    ann = Person()
    vendor.join("registration", ann)
    assert come(vendor.browser(), provider, ann) == 200
    provider.signing = key()
    assert come(vendor.browser(), provider, ann) == 200


def test_an_answer_works_once_in_its_time_and_in_the_browser_that_asked(both: tuple[Vendor, OpenIdProvider]) -> None:
    vendor, provider = both
    ann = Person()
    vendor.join("registration", ann)
    verified = {"email": ann.email, "email_verified": True}
    browser, thief = vendor.browser(), vendor.browser()
    back = provider.sign_in(leave(browser), **verified)
    codes = dict(provider.codes)
    assert thief.open(back).status == 401  # stolen on its way
    leave(thief)
    assert thief.open(back).status == 401  # with a cookie of the thief's own
    kept = dict(browser.cookies)
    assert browser.open(back).status == 200
    provider.codes = codes  # a provider that forgets what it gave out
    browser.cookies = kept
    assert browser.open(back).status == 401
    late = provider.sign_in(leave(browser), **verified)
    vendor.clock.advance(10 * 60_000)
    assert browser.open(late).status == 401
    assert len(vendor.entries("rights.proven")) == 1


def test_another_providers_answer_is_none_of_ours(both: tuple[Vendor, OpenIdProvider]) -> None:
    """Mix-up (RFC 9207): an answer that says another issuer, and a provider that describes itself as another."""
    vendor, provider = both
    ann = Person()
    vendor.join("registration", ann)
    browser = vendor.browser()
    back = provider.sign_in(leave(browser), email=ann.email, email_verified=True)
    assert browser.open(f"{back}&iss=https%3A%2F%2Fevil.example").status == 401
    provider.issuer = "https://evil.example"
    vendor.again()
    assert vendor.browser().open("/account/openid").status == 503


@pytest.mark.parametrize("query", ["", "?error=access_denied&state=x", "?code=x&state=", "?code=x&state=AAAA"])
def test_whatever_else_comes_back_is_refused_and_changes_nothing(
    both: tuple[Vendor, OpenIdProvider], query: str
) -> None:
    vendor, _ = both
    before = vendor.everything()
    assert vendor.browser().open(f"/account/openid/return{query}").status == 401
    assert vendor.everything() == before


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000 + b"\r\n\r\n"])
def test_a_provider_that_is_broken_is_said_to_be_away(both: tuple[Vendor, OpenIdProvider], answer: bytes) -> None:
    vendor, provider = both

    class Broken(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Broken) as broken:
        threading.Thread(target=broken.serve_forever, daemon=True).start()
        configure(vendor, provider, issuer=f"http://127.0.0.1:{broken.server_address[1]}")
        browser = vendor.browser()
        assert browser.open("/account/openid").status == 503
        assert "try again" in browser.page.text
        broken.shutdown()
    assert vendor.count("sessions") == 0


def test_a_provider_that_names_no_addresses_is_said_to_be_away(both: tuple[Vendor, OpenIdProvider]) -> None:
    vendor, provider = both
    provider.keys_at = "https://[keys"
    assert vendor.browser().open("/account/openid").status == 503


def test_the_references_claim_maps_as_a_hand_over_does(both: tuple[Vendor, OpenIdProvider]) -> None:
    vendor, provider = both
    ann = Person()
    vendor.join("registration", ann)
    configure(vendor, provider, reference="account")
    product = vendor.system.products.create(TENANT, "a product")[0]
    vendor.system.products.register(product, "acc-4711")
    browser = vendor.browser()
    assert come(browser, provider, ann, account="acc-4711") == 200
    assert browser.address == "/privacy/data"
    assert ann.first not in browser.page.text  # whose reference it is, whatever address the token has
    for wrong in ("acc-4712", 4711, None):
        assert come(vendor.browser(), provider, ann, account=wrong) == 401


def test_who_is_erased_comes_back_to_nothing(both: tuple[Vendor, OpenIdProvider]) -> None:
    vendor, provider = both
    ann = Person()
    sid = vendor.join("registration", ann)
    vendor.system.erasures.erase(TENANT, sid)
    assert come(vendor.browser(), provider, ann) == 401


def test_no_secret_and_no_token_stands_anywhere(both: tuple[Vendor, OpenIdProvider]) -> None:
    vendor, provider = both
    ann = Person()
    vendor.join("registration", ann)
    tokens: list[str] = []
    made = provider.made

    def kept(claims: dict[str, Any]) -> str:
        tokens.append(made(claims))
        return tokens[-1]

    provider.made = kept  # type: ignore[method-assign]  # to know what to look for
    browser = vendor.browser()
    address = leave(browser)
    back = provider.sign_in(address, email=ann.email, email_verified=True)
    code = next(iter(provider.codes))
    assert browser.open(back).status == 200
    (vendor.folder / "openid.secret").unlink()
    assert find(vendor.folder, [*tokens, code, SECRET]) == []


def test_without_a_provider_there_is_no_such_way(tmp_path: Path) -> None:
    with vendor_at(tmp_path / "plain") as plain:
        browser = plain.browser()
        assert "/account/openid" not in browser.open("/account/sign-in").body.decode()
        assert [browser.open(f"/account/openid{rest}").status for rest in ("", "/return")] == [404, 404]


@pytest.mark.parametrize("changed", [{"issuer": "http://login.example.org"}, {"secret_file": "not.there"}])
def test_what_is_configured_wrongly_stops_the_start(
    both: tuple[Vendor, OpenIdProvider], changed: dict[str, str]
) -> None:
    vendor, provider = both
    with pytest.raises(StartRefused, match="openid"):
        configure(vendor, provider, **changed)
    vendor.clock.advance(DAY_MS)
    configure(vendor, provider)
