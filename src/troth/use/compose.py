"""Making a message from a declared template: the catalogue's words, the person's values, the headers that mail needs.

The words are compiled once for each template, language and version of the policy (``templates``); what is made per
person is bytes between them. Values never become markup, headers or links: control characters are gone before anything
is assembled, HTML is escaped, and the only links are ours, under the base address. A name that could pass for an
address or a link is left out, so that nobody can send their own text to strangers through a form.
Clauses: ``rights.automated`` (mechanism ``message.declared``), ``rights.unsubscribe`` (``message.unsubscribe``).
Sources: RFC 5322, RFC 2369, RFC 2919, RFC 3834, RFC 8058, 15 USC 7704.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from functools import lru_cache

from troth.errors import Invalid
from troth.policy.model import CompiledPolicy, Template
from troth.use.mime import BOUNDARY, CONTROL, addr_spec, header, mailbox
from troth.use.templates import Compiled, Fault, Said, compile_words, faults, page_of
from troth.use.transport import Envelope

Words = Callable[[str, str], str]
"""``(key, language) -> text`` from the catalogue; KeyError where there is no such text."""

ADDRESS_LENGTH = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
KEPT = 512  # compiled templates
LOCAL_PART = re.compile(r"[^\s\x00-\x20\x7f()<>\[\]\\,;:\"@]{1,64}")
DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
NAME = re.compile(r"[^\W\d_][^\x00-\x1f<>@:/\\\[\]{}\"]{0,59}")
LINKED = re.compile(r"\.\w{2,}|www|http", re.IGNORECASE)
CONSTANT = ("controller", "contact", "postal", "centre_link", "policy_link")
GIVEN = ("name", "first_name", "greeting", "checkpoint", "unsubscribe_link")
VARIABLES = (
    *("link", "title", "text", "purpose", "certificate"),
    *("right", "reason", "request", "due", "days", "until"),  # of requests and restrictions
    *("browser", "system", "country", "moment", "what"),  # of sign-ins
)
"""What whoever queues a message may seal into it, besides the fields that the template declares."""
Sign = Callable[[bytes, bytes, int], bytes]


def unsigned(headers: bytes, body: bytes, now_ms: int) -> bytes:
    """No signature: where no key is configured."""
    return b""


@dataclass(frozen=True)
class Addressee:
    """To whom, in which language, with which values. ``unsubscribe`` is set exactly where the message is marketing."""

    address: str
    language: str
    values: Mapping[str, str]
    unsubscribe: str | None = None


def clean(value: str) -> str:
    """One line of printable text: no control, format or separator character survives (Unicode C*, Zl, Zp)."""
    if value.isprintable():
        return " ".join(value.split())
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
    """Makes finished messages. ``base_url`` is where every link begins; ``sender`` the address they come from.

    ``languages`` are those that there are words in: a letter that somebody wants in any other is in the policy's.
    ``sign`` takes the message's headers and its body and gives the headers that sign them (DKIM), or nothing.
    ``bounces`` gives the envelope's sender for a message's id: where a letter that cannot be delivered comes back to.
    """

    def __init__(
        self,
        words: Words,
        *,
        base_url: str,
        sender: str,
        languages: frozenset[str],
        sign: Sign = unsigned,
        bounces: Callable[[bytes], str] | None = None,
        unsubscribe_address: str = "",
    ) -> None:
        self.words = words
        self.base_url = base_url.rstrip("/")
        self.sender = sendable(sender)
        self.domain = self.sender.rpartition("@")[2]
        self.languages = languages
        self.sign = sign
        self.bounces = bounces
        self.unsubscribe_address = sendable(unsubscribe_address) if unsubscribe_address else ""
        self._compiled: dict[tuple[str, str, str, str], Letterhead] = {}

    def at(self, url: str) -> Composer:
        """The same composer, whose links begin with ``url`` ("": with its own)."""
        if not url or url == self.base_url:
            return self
        return Composer(
            self.words,
            base_url=url,
            sender=self.sender,
            languages=self.languages,
            sign=self.sign,
            bounces=self.bounces,
            unsubscribe_address=self.unsubscribe_address,
        )

    def link(self, path: str) -> str:
        """A link of ours. ``Invalid`` for anything that would lead elsewhere (clause ``links.leaving``)."""
        url = path if path.startswith(f"{self.base_url}/") else f"{self.base_url}{path}"
        rest = url[len(self.base_url) :]
        if not rest.startswith("/") or rest.startswith("//") or clean(rest) != rest or " " in rest or "\\" in rest:
            raise Invalid("a message links to our own pages only", clause="links.leaving")
        return url

    def spoken(self, policy: CompiledPolicy, asked: str) -> str:
        """The language that a letter is written in: the one asked for, if there are words in it, else the policy's."""
        return asked if asked in self.languages else policy.language

    def said(self, key: str, language: str) -> str:
        """A text of the catalogue; KeyError where there is none (a catalogue may show the key in its place)."""
        text = self.words(key, language)
        if text.startswith("⟨"):
            raise KeyError(key)
        return text

    def catalogued(self, template: Template, language: str) -> Said:
        """What the catalogue has a template say. KeyError where it lacks its words."""
        subject = self.said(f"mail.{template.id}.subject", language)
        return Said(subject, self.said(f"mail.{template.id}.body", language))

    def check(self, template: Template, language: str, said: Said | None = None) -> list[Fault]:
        """What keeps this template from being sent in this language, with lines and columns; nothing where all is well.

        ``said`` is given where the words are not the catalogue's. KeyError where the catalogue lacks them.
        """
        given = [name for name in template.fields if name not in CONSTANT]
        known = frozenset([*given, *GIVEN, *CONSTANT, *VARIABLES])
        return faults(said or self.catalogued(template, language), template.kind, known)

    def compose(
        self,
        policy: CompiledPolicy,
        template: Template,
        to: Addressee,
        *,
        mid: bytes,
        now_ms: int,
        checkpoint: str,
        said: Said | None = None,
        said_id: str = "",
    ) -> Envelope:
        """The finished message, signed. KeyError: a text or value is missing; ``Invalid``: an address or value is none.

        ``said`` are words of a letter's own (a campaign's issue) under a name of their own, ``said_id``. A marketing
        message without an unsubscribe link is never made (clause ``rights.unsubscribe``).
        """
        if (template.kind == "marketing") != (to.unsubscribe is not None):
            raise Invalid("marketing carries an unsubscribe link, nothing else does", clause="rights.unsubscribe")
        language = self.spoken(policy, to.language)
        recipient = sendable(to.address)
        head = self._letterhead(policy, template, language, said, said_id)
        values = self._values(to, head, language, checkpoint)
        headers = [
            head.sender,
            b"To: " + addr_spec(recipient) + b"\r\n",
            head.compiled.header(values),
            _date(now_ms // 1000),
            b"Message-ID: <%s@%s>\r\n" % (mid.hex().encode(), self.domain.encode()),
        ]
        if to.unsubscribe is not None:
            headers += self._list_headers(template, to.unsubscribe)
        headers.append(head.rest)
        body = head.compiled.body(values)
        whole = b"".join(headers)
        data = self.sign(whole, body, now_ms) + whole + b"\r\n" + body
        return Envelope(self.bounces(mid) if self.bounces else self.sender, recipient, data)

    def digest(
        self, policy: CompiledPolicy, template: Template, language: str, said: Said | None = None, said_id: str = ""
    ) -> str:
        """SHA-256 of the words before anybody's values: evidence of what was said, without whom it was said to."""
        return self._letterhead(policy, template, self.spoken(policy, language), said, said_id).digest

    # --- what is the same in every letter of a template ---

    def _letterhead(
        self, policy: CompiledPolicy, template: Template, language: str, said: Said | None, said_id: str
    ) -> Letterhead:
        key = (policy.sha256 or policy.version, template.id, language, said_id)
        found = self._compiled.get(key)
        if found is None or (said is not None and found.said is not said and found.said != said):
            if len(self._compiled) >= KEPT:
                self._compiled.clear()
            found = self._compiled[key] = self._compile(policy, template, language, said)
        return found

    def _compile(self, policy: CompiledPolicy, template: Template, language: str, said: Said | None) -> Letterhead:
        own = said or self.catalogued(template, language)
        wrong = faults(own, template.kind, None)
        if wrong:
            first = wrong[0]
            raise Invalid(f"{first.part}:{first.line}:{first.column}: {first.message}", clause=template.clause)
        footer = ["--"]
        if template.kind == "marketing":
            footer.append(self.said("mail.footer.unsubscribe", language))
        footer += [self.said("mail.footer.why", language), self.said("mail.footer.checkpoint", language)]
        joined = "\n\n".join(footer)
        text = "\n\n".join([own.text.replace("\r\n", "\n").strip("\n"), joined]) + "\n"
        page = own.html if own.html is None else f"{own.html}\n{page_of(joined)}"
        constants = {
            "controller": clean(policy.controller.name),
            "contact": clean(policy.controller.contact),
            "postal": clean(policy.controller.address or policy.controller.country),
            "centre_link": self.link("/privacy"),
            "policy_link": self.link(f"/policy/clauses/{template.clause}"),
        }
        rest = (
            b"Auto-Submitted: auto-generated\r\n"
            + header("Content-Language", language)
            + b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="%s"\r\n' % BOUNDARY
        )
        return Letterhead(
            own,
            compile_words(Said(own.subject, text, page), constants, language),
            b"From: " + mailbox(clean(policy.controller.name), self.sender) + b"\r\n",
            rest,
            self.said("mail.greeting.name", language),
            self.said("mail.greeting.nobody", language),
            own.digest,
        )

    # --- what is each person's own ---

    def _list_headers(self, template: Template, unsubscribe: str) -> Iterator[bytes]:
        ways = [self.link(unsubscribe)]
        if self.unsubscribe_address:
            local, _, domain = self.unsubscribe_address.rpartition("@")
            ways.append(f"mailto:{local}@{domain}?subject={unsubscribe.rpartition('/')[2]}")
        if any(not way.isascii() or CONTROL.search(way) or "<" in way or ">" in way for way in ways):
            raise Invalid("the unsubscribe link cannot stand in a header", clause="rights.unsubscribe")
        yield f"List-Id: <{template.purpose}.{self.domain}>\r\n".encode("ascii")
        yield ("List-Unsubscribe: " + ",\r\n ".join(f"<{way}>" for way in ways) + "\r\n").encode("ascii")
        yield b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"

    def _values(self, to: Addressee, head: Letterhead, language: str, checkpoint: str) -> dict[str, str]:
        values = {key: clean_lines(value) for key, value in to.values.items()}
        if "link" in values:
            values["link"] = self.link(to.values["link"])
        if "purpose" in values:
            values["purpose"] = self._purpose(values["purpose"], language)
        if "what" in values:
            values["what"] = self.said(f"account.what.{values['what']}", language)
        name = greetable(values.get("name") or values.get("first_name") or "")
        values["name"] = values["first_name"] = name
        values["greeting"] = head.greeting.replace("{name}", name) if name else head.greeting_nobody
        values["checkpoint"] = clean(checkpoint)
        if to.unsubscribe is not None:
            values["unsubscribe_link"] = self.link(to.unsubscribe)
        return values

    def _purpose(self, purpose: str, language: str) -> str:
        """What a purpose is called; its id where the catalogue is silent."""
        try:
            return self.said(f"purpose.{purpose}", language)
        except KeyError:
            return purpose


@dataclass(frozen=True)
class Letterhead:
    """What every letter of one template in one language has in common."""

    said: Said
    compiled: Compiled
    sender: bytes
    rest: bytes
    greeting: str
    greeting_nobody: str
    digest: str


@lru_cache(maxsize=4)
def _date(seconds: int) -> bytes:
    at = dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    return f"Date: {format_datetime(at)}\r\n".encode("ascii")
