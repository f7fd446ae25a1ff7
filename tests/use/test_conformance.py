"""Every message that the example policy declares, in every language, is mail as the RFCs have it."""

from __future__ import annotations

import email
import email.policy
import email.utils
import re
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.policies import example
from tests.use.test_compose import BASE
from tests.use.test_dkim import DOMAIN, verified
from troth.policy.model import Template
from troth.use.bounces import ReturnPath
from troth.use.compose import VARIABLES, Addressee, Composer
from troth.use.dkim import Dkim, DkimKey, make_keys, read_keys
from troth.use.transport import Envelope
from troth.web.catalogue import read_catalogue

POLICY = example()
CATALOGUE = read_catalogue()
CASES = [(template, language) for template in POLICY.templates.values() for language in CATALOGUE.languages]
NAMES = [f"{template.id}-{language}" for template, language in CASES]
ONCE = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Auto-Submitted")
ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[DkimKey, ...]:
    folder: Path = tmp_path_factory.mktemp("dkim")
    make_keys(folder, "c")
    return read_keys(folder)


def made(template: Template, language: str, keys: tuple[DkimKey, ...], name: str = "Åse-Mari Ødegård") -> Envelope:
    composer = Composer(
        CATALOGUE.words,
        base_url=BASE,
        sender=f"news@{DOMAIN}",
        languages=frozenset(CATALOGUE.languages),
        sign=Dkim(DOMAIN, keys).sign,
        bounces=ReturnPath(f"bounce@{DOMAIN}", b"k" * 32).address,
        unsubscribe_address=f"unsubscribe@{DOMAIN}",
    )
    values = {variable: "/privacy/open/t0ken" if variable == "link" else "word " * 60 for variable in VARIABLES}
    values |= {"purpose": "newsletter", "name": name, "first_name": name, "what": "passkey-added"}
    unsubscribe = "/unsubscribe/" + "t" * 43 if template.kind == "marketing" else None
    to = Addressee("ann.onym+news@example.org", language, values, unsubscribe)
    return composer.compose(
        POLICY, template, to, mid=b"\7" * 16, now_ms=1_770_000_000_000, checkpoint="privacy.example.org 9 abc="
    )


@pytest.mark.parametrize(("template", "language"), CASES, ids=NAMES)
def test_each_letter_is_mail(template: Template, language: str, keys: tuple[DkimKey, ...]) -> None:
    envelope = made(template, language, keys)
    data = envelope.data
    lines = data.split(b"\r\n")
    # RFC 5322 2.1.1, 2.3; RFC 5321 4.5.3.1.6: lines and their ends; 7 bits, so that any relay takes it
    assert b"\r" not in b"".join(lines)
    assert b"\n" not in b"".join(lines)
    assert max(map(len, lines)) <= 998
    assert data.isascii()
    head = data.partition(b"\r\n\r\n")[0]
    assert [len(line) for line in head.split(b"\r\n") if len(line) > 78 and b"unsubscribe" not in line] == []
    # RFC 5322 3.6: what must be there, and once
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    for header in ONCE:
        assert len(parsed.get_all(header, [])) == 1, header
    assert re.fullmatch(rf"<{ATEXT}@[a-z0-9.-]+>", str(parsed["Message-ID"]))
    assert email.utils.parsedate_to_datetime(str(parsed["Date"])).tzinfo is not None
    assert parsed["To"].addresses[0].addr_spec == "ann.onym+news@example.org"
    # RFC 3834 5: nothing answers it by itself; RFC 5321 4.5.3.1.1: the sender's local part
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert len(envelope.sender.partition("@")[0]) <= 64
    # RFC 2046 5.1.4: the plainest first; RFC 2045 6.7: lines of 76 at most
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    for part in parsed.iter_parts():
        assert part["Content-Transfer-Encoding"] == "quoted-printable"
        assert max(map(len, str(part.get_payload()).splitlines())) <= 76
    # RFC 6376, by another implementation
    assert verified(data, keys) == [True, True]


@pytest.mark.parametrize(("template", "language"), CASES, ids=NAMES)
def test_marketing_can_be_ended_and_nothing_else_claims_to(
    template: Template, language: str, keys: tuple[DkimKey, ...]
) -> None:
    envelope = made(template, language, keys)
    parsed = email.message_from_bytes(envelope.data, policy=email.policy.default)
    if template.kind != "marketing":
        assert not [name for name in parsed.keys() if name.startswith("List-")]  # noqa: SIM118  # a message's keys repeat
        return
    # RFC 2369 2: URLs in angle brackets, the best first; RFC 8058 3.1: https, the header's one value, both signed
    ways = re.findall(r"<([^>]*)>", str(parsed["List-Unsubscribe"]))
    assert [way.partition(":")[0] for way in ways] == ["https", "mailto"]
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    for signature in parsed.get_all("DKIM-Signature", []):
        covered = re.sub(r"\s", "", str(signature)).split("h=")[1].split(";")[0].split(":")
        assert covered.count("list-unsubscribe") == covered.count("list-unsubscribe-post") == 2
    # RFC 2919 3: an identifier in angle brackets, below a domain of ours
    assert re.fullmatch(rf"<[a-z.]+\.{re.escape(DOMAIN)}>", str(parsed["List-Id"]))


@pytest.mark.parametrize("language", CATALOGUE.languages)
def test_a_screen_reader_knows_the_language_and_the_direction(language: str, keys: tuple[DkimKey, ...]) -> None:
    parsed = email.message_from_bytes(
        made(next(iter(POLICY.templates.values())), language, keys).data, policy=email.policy.default
    )
    assert isinstance(parsed, EmailMessage)
    page = parsed.get_body(("html",))
    assert page is not None
    shown = str(page.get_content())
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in shown
    assert re.search(r"<title>[^<]+</title>", shown), "a page has a title"
    assert "<img" not in shown
