"""Making a message from a declared template: the catalogue's words, the person's values, the headers that mail needs.

Values never become markup, headers or links: control characters are gone before anything is assembled, HTML is
escaped, and the only links are ours, under the base address. A name that could pass for an address or a link is
left out, so that nobody can send their own text to strangers through a form. Clauses: ``rights.automated``
(mechanism ``message.declared``), ``rights.unsubscribe`` (``message.unsubscribe``). Sources: RFC 5322, RFC 2369,
RFC 2919, RFC 3834, RFC 8058, 15 USC 7704.
"""

from __future__ import annotations

import datetime as dt
import email.policy
import html
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from troth.errors import Invalid
from troth.policy.model import CompiledPolicy, Template
from troth.policy.writing import direction
from troth.use.transport import Envelope

Words = Callable[[str, str], str]
"""``(key, language) -> text`` from the catalogue; KeyError where there is no such text."""

ADDRESS_LENGTH = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
SUBJECT_LENGTH = 200
PLACEHOLDER = re.compile(r"\{([a-z][a-z_]*)\}")
LOCAL_PART = re.compile(r"[^\s\x00-\x20\x7f()<>\[\]\\,;:\"@]{1,64}")
DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
NAME = re.compile(r"[^\W\d_][^\x00-\x1f<>@:/\\\[\]{}\"]{0,59}")
LINKED = re.compile(r"\.\w{2,}|www|http", re.IGNORECASE)
SEND_ASCII = email.policy.SMTP.clone(cte_type="7bit")
SEND_UTF8 = email.policy.SMTPUTF8


@dataclass(frozen=True)
class Addressee:
    """To whom, in which language, with which values. ``unsubscribe`` is set exactly where the message is marketing."""

    address: str
    language: str
    values: Mapping[str, str]
    unsubscribe: str | None = None


def clean(value: str) -> str:
    """One line of printable text: no control, format or separator character survives (Unicode C*, Zl, Zp)."""
    kept = "".join(" " if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" else c for c in value)
    return " ".join(kept.split())


def clean_lines(value: str) -> str:
    """As ``clean``, line by line; blank lines stay, so that a value may be of several paragraphs."""
    return "\n".join(clean(line) for line in value.replace("\r\n", "\n").split("\n"))


def greetable(name: str) -> str:
    """The name if it can only be a name; empty if it could carry a link, an address or a message."""
    name = clean(name)
    return name if NAME.fullmatch(name) and not LINKED.search(name) else ""


def sendable(address: str) -> str:
    """The address as the relay takes it, its domain in ASCII; ``Invalid`` (without the address) if it is none."""
    local, _, domain = address.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode()
    except UnicodeError:
        ascii_domain = ""
    if not LOCAL_PART.fullmatch(local) or not DOMAIN.fullmatch(ascii_domain) or len(address) > ADDRESS_LENGTH:
        raise Invalid("the address on file cannot be written to")
    return f"{local}@{ascii_domain}"


class Composer:
    """Makes finished messages. ``base_url`` is where every link begins; ``sender`` the address they come from."""

    def __init__(self, words: Words, *, base_url: str, sender: str, languages: frozenset[str] | None = None) -> None:
        self.words = words
        self.base_url = base_url.rstrip("/")
        self.sender = sendable(sender)
        self.languages = languages

    def link(self, path: str) -> str:
        """A link of ours. ``Invalid`` for anything that would lead elsewhere (clause ``links.leaving``)."""
        url = path if path.startswith(f"{self.base_url}/") else f"{self.base_url}{path}"
        rest = url[len(self.base_url) :]
        if not rest.startswith("/") or rest.startswith("//") or clean(rest) != rest or " " in rest or "\\" in rest:
            raise Invalid("a message links to our own pages only", clause="links.leaving")
        return url

    def said(self, key: str, language: str) -> str:
        """A text of the catalogue; KeyError where there is none (a catalogue may show the key in its place)."""
        text = self.words(key, language)
        if text.startswith("⟨"):
            raise KeyError(key)
        return text

    def compose(
        self,
        policy: CompiledPolicy,
        template: Template,
        to: Addressee,
        *,
        mid: bytes,
        now_ms: int,
        checkpoint: str,
    ) -> Envelope:
        """The finished message. KeyError: the catalogue lacks a text; ``Invalid``: the address or a value is none.

        A marketing message without an unsubscribe link is never made (clause ``rights.unsubscribe``).
        """
        if (template.kind == "marketing") != (to.unsubscribe is not None):
            raise Invalid("marketing carries an unsubscribe link, nothing else does", clause="rights.unsubscribe")
        language = to.language if self.languages is None or to.language in self.languages else policy.language
        recipient = sendable(to.address)
        values = self._values(policy, template, to, language, checkpoint)
        subject = _fill(self.said(f"mail.{template.id}.subject", language), values)
        text = self._text(template, to, language)

        message = EmailMessage(policy=SEND_ASCII if recipient.isascii() else SEND_UTF8)
        message["From"] = _mailbox(clean(policy.controller.name), self.sender)
        message["To"] = _mailbox("", recipient)
        message["Subject"] = clean(subject)[:SUBJECT_LENGTH]
        message["Date"] = format_datetime(dt.datetime.fromtimestamp(now_ms / 1000, tz=dt.UTC))
        message["Message-ID"] = f"<{mid.hex()}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        if to.unsubscribe is not None:
            message["List-Id"] = f"<{template.purpose}.{self.sender.rpartition('@')[2]}>"
            message["List-Unsubscribe"] = f"<{self.link(to.unsubscribe)}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(_fill(text, values), cte="quoted-printable")
        message.add_alternative(_page(text, values, language), subtype="html", cte="quoted-printable")
        message["Content-Language"] = language
        return Envelope(self.sender, recipient, message.as_bytes())

    def _values(
        self, policy: CompiledPolicy, template: Template, to: Addressee, language: str, checkpoint: str
    ) -> dict[str, str]:
        values = {key: clean_lines(value) for key, value in to.values.items()}
        if "link" in values:
            values["link"] = self.link(to.values["link"])
        if "purpose" in values:
            values["purpose"] = self._purpose(values["purpose"], language)
        if "what" in values:
            values["what"] = self.said(f"account.what.{values['what']}", language)
        name = greetable(values.get("name") or values.get("first_name") or "")
        greeting = self.said("mail.greeting.name" if name else "mail.greeting.nobody", language)
        values |= {
            "name": name,
            "first_name": name,
            "greeting": _fill(greeting, {"name": name}),
            "controller": clean(policy.controller.name),
            "contact": clean(policy.controller.contact),
            "postal": clean(policy.controller.address or policy.controller.country),
            "centre_link": self.link("/privacy"),
            "policy_link": self.link(f"/policy/clauses/{template.clause}"),
            "checkpoint": clean(checkpoint),
        }
        if to.unsubscribe is not None:
            values["unsubscribe_link"] = self.link(to.unsubscribe)
        return values

    def _purpose(self, purpose: str, language: str) -> str:
        """What a purpose is called; its id where the catalogue is silent."""
        try:
            return self.said(f"purpose.{purpose}", language)
        except KeyError:
            return purpose

    def _text(self, template: Template, to: Addressee, language: str) -> str:
        """The words with their footer, placeholders still open."""
        parts = [self.said(f"mail.{template.id}.body", language).replace("\r\n", "\n").strip("\n"), "--"]
        if to.unsubscribe is not None:
            parts.append(self.said("mail.footer.unsubscribe", language))
        parts += [self.said("mail.footer.why", language), self.said("mail.footer.checkpoint", language)]
        return "\n\n".join(parts) + "\n"


def _mailbox(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values in, once: a value that looks like a placeholder stays as it is. KeyError for one not given."""
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


def _page(text: str, values: Mapping[str, str], language: str) -> str:
    """The same words as plain HTML: paragraphs and our links, nothing to load, nothing to track."""

    def put(found: re.Match[str]) -> str:
        value = html.escape(values[found[1]]).replace("\n", "<br>\n")
        return f'<a href="{value}">{value}</a>' if found[1] == "link" or found[1].endswith("_link") else value

    def paragraph(block: str) -> str:
        if block.strip() == "--":
            return "<hr>"
        parts = PLACEHOLDER.split(block)
        # split() gives text, name, text, name, ...: text is escaped here, names are put in by the same rule as above
        done = []
        for place, part in enumerate(parts):
            found = PLACEHOLDER.fullmatch(f"{{{part}}}") if place % 2 else None
            done.append(put(found) if found else html.escape(part).replace("\n", "<br>\n"))
        return f"<p>{''.join(done)}</p>"

    body = "\n".join(paragraph(block) for block in re.split(r"\n{2,}", text.strip("\n")))
    return (
        f'<!doctype html>\n<html lang="{html.escape(language)}" dir="{direction(language)}">\n'
        f'<head><meta charset="utf-8"><title></title></head>\n<body>\n{body}\n</body>\n</html>\n'
    )
