"""No marketing before the DNS says who may send, whose key it is, and what becomes of what is neither."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from tests.use.house import policy
from troth.config import Config, Mail
from troth.errors import Unavailable
from troth.policy.model import Controller
from troth.use.dkim import DkimKey, make_keys, read_keys
from troth.use.readiness import Readiness, read_dns, readiness

HERE = Controller("Example", "post@example.org", "IE", "1 Quay Street, Galway")
URL = "https://vendor.example.org"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[DkimKey, ...]:
    folder: Path = tmp_path_factory.mktemp("dkim")
    make_keys(folder, "c")
    return read_keys(folder)


def zone(keys: Sequence[DkimKey], **changes: list[str]) -> dict[str, list[str]]:
    """What the DNS says, where all is well; ``changes`` are by what they are about."""
    found = {
        "bounces.example.org": changes.get("spf", ["some-verification=1", "v=spf1 include:relay.example.com -all"]),
        "_dmarc.example.org": changes.get("dmarc", ["v=DMARC1; p=quarantine; rua=mailto:d@example.org"]),
    }
    for key in keys:
        kind, held = key.algorithm.partition("-")[0], base64.b64encode(key.public).decode()
        record = f"v=DKIM1; k={kind}; p={held[:40]} {held[40:]}"  # a zone file may break it anywhere
        found[f"{key.selector}._domainkey.news.example.org"] = changes.get("dkim", [record])
    return found


def look(keys: Sequence[DkimKey], found: dict[str, list[str]], sender: str = "post@news.example.org") -> Readiness:
    return Readiness(sender, "bounce@bounces.example.org", keys, lambda name: found.get(name, []))


def test_where_all_is_there_nothing_is_missing(keys: tuple[DkimKey, ...]) -> None:
    assert look(keys, zone(keys)).missing(HERE, URL) == ()


@pytest.mark.parametrize(
    ("about", "records"),
    [
        ("spf", []),
        ("spf", ["v=spf1"]),
        ("spf", ["v=spf1 -all"]),  # nobody may send for it
        ("spf", ["v=spf1 mx +all"]),  # everybody may
        ("spf", ["v=spf1 mx all"]),
        ("spf", ["v=spf1 mx -all", "v=spf1 a -all"]),  # two are an error (RFC 7208 4.5)
        ("spf", ["v=spf10 mx -all"]),
        ("dkim", []),
        ("dkim", ["v=DKIM1; k=rsa; p="]),  # withdrawn
        ("dkim", ["v=DKIM1; k=rsa; p=QUJD"]),
        ("dmarc", []),
        ("dmarc", ["v=DMARC1; rua=mailto:d@example.org"]),
        ("dmarc", ["v=DMARC1; p=whatever"]),
        ("dmarc", ["v=DMARC1; p=none", "v=DMARC1; p=reject"]),
    ],
)
def test_each_thing_that_is_missing_is_named_alone(keys: tuple[DkimKey, ...], about: str, records: list[str]) -> None:
    assert look(keys, zone(keys, **{about: records})).missing(HERE, URL) == (about,)


def test_without_keys_a_sender_a_postal_address_or_https_nothing_goes(keys: tuple[DkimKey, ...]) -> None:
    good = zone(keys)
    assert look((), good).missing(HERE, URL) == ("dkim",)
    assert look([k for k in keys if k.algorithm != "rsa-sha256"], good).missing(HERE, URL) == ("dkim",)
    assert look(keys, good, sender="").missing(HERE, URL) == ("sender",)
    assert look(keys, good).missing(Controller("Example", "post@example.org", "IE", " "), URL) == ("address",)
    assert look(keys, good).missing(HERE, "http://vendor.example.org") == ("unsubscribe",)


def test_name_servers_that_do_not_answer_are_not_taken_for_a_yes(keys: tuple[DkimKey, ...]) -> None:
    def silent(name: str) -> list[str]:
        raise Unavailable("the name servers did not answer")

    assert Readiness("post@example.org", "", keys, silent).missing(HERE, URL) == ("dns",)


@contextlib.contextmanager
def name_server(found: dict[str, list[str]]) -> Iterator[int]:
    """A name server on loopback that knows these TXT records and no other name; the port it listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))

        def answer() -> None:
            while True:
                asked, peer = listening.recvfrom(4096)
                if not asked:
                    return
                query = dns.message.from_wire(asked)
                name = query.question[0].name
                reply = dns.message.make_response(query)
                texts = found.get(name.to_text(omit_final_dot=True), [])
                if texts:
                    quoted = [" ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200)) for text in texts]
                    reply.answer.append(dns.rrset.from_text_list(name, 60, "IN", "TXT", quoted))
                else:
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                listening.sendto(reply.to_wire(), peer)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", listening.getsockname())
            thread.join(10)


def test_the_dns_is_asked_over_the_wire(keys: tuple[DkimKey, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    found = zone(keys)
    with name_server(found) as port:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        asking = Readiness("post@news.example.org", "bounce@bounces.example.org", keys)
        assert asking.missing(HERE, URL) == ()
        assert read_dns("_dmarc.nowhere.example.org") == []
        del found["_dmarc.example.org"]
        assert asking.missing(HERE, URL) == ("dmarc",)
    monkeypatch.setattr("troth.use.readiness.SECONDS", 0.3)
    assert asking.missing(HERE, URL) == ("dns",), "nobody answers any more"


def test_a_demonstration_asks_no_name_server(tmp_path: Path) -> None:
    def asked(name: str) -> list[str]:
        raise AssertionError(name)

    mail = Mail(sender="post@example.org")
    shown = readiness(Config(data_folder=str(tmp_path), demonstration=True, mail=mail), (), asked)
    assert shown.missing(HERE, "http://localhost") == ()
    real = readiness(Config(data_folder=str(tmp_path), mail=mail), (), lambda name: [])
    assert set(real.missing(policy().controller, URL)) >= {"spf", "dkim", "dmarc"}
