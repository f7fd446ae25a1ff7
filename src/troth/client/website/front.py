"""The front of a website: what is decided for each request and its answer, whatever the server in between.

Pure but for reading the site file; ``ASGI`` and ``WSGI`` carry what is said here. The choice is read once for a
request. Then either the front answers by itself (the form of choices, its style, ``gpc.json``), or the application
does and the front has the last word on headers, cookies and the ends of the page.

Fails closed for others and open for the page: without a readable site file pages are served, unasked, under the
strictest policy, and their cookies pass.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from troth.client.website import banner, jar
from troth.client.website.marks import marks
from troth.client.website.reports import Hints
from troth.client.website.weaving import Weaver
from troth.client.website.wording import preferred
from troth.policy.choices import NOTHING_CHOSEN, VISITOR, Choice
from troth.policy.content import VARY, caching, hardening_policy
from troth.policy.nginx import BANNER, PAGE_HEADER
from troth.policy.site import ENDPOINTS, GPC, REPORT, REPORT_TO, Site, from_json, named, nothing_known

log = logging.getLogger("troth.website")

LOOK_SECONDS: Final = 2.0
LARGEST_ANSWER: Final = 16 * 1024
LARGEST_REPORTS: Final = 128 * 1024  # the Reporting API sends what a page had stopped within a minute as one body
OVERRIDDEN: Final = frozenset({"cache-control", "expires", "pragma", "etag", "last-modified", "age", "vary"})
NO_REFERRER: Final = ("no-referrer", "same-origin")  # what a link may say of where it was clicked: nothing
#: They make a browser report to others, past every content policy.
TELLING: Final = frozenset({"nel", "report-to", "reporting-endpoints"})
HTML: Final = ("text/html", "application/xhtml+xml")

Headers = list[tuple[str, str]]
Source = str | Path | Callable[[], Site]


@dataclass(frozen=True)
class Asking:
    """What the front must know of a request. ``header`` finds one by its lower-case name; "" where there is none."""

    method: str
    path: str
    query: str
    host: str
    tls: bool
    header: Callable[[str], str]

    @property
    def name(self) -> str:
        """The host without its port, lower-case."""
        return named(self.host)


@dataclass(frozen=True)
class Reply:
    """An answer of the front's own. ``granted``: the purposes agreed to, where it took an answer to the questions."""

    status: int
    headers: Headers
    body: bytes
    granted: frozenset[str] | None = None


class Front:
    """One website's front. ``stripped`` counts the cookies that did not pass, by reason.

    - ``source``: the site file, read again when it changes; or what gives the site as it is now.
    - ``policy_url``: where the policy stands. ``hashes``: of inline scripts, for level 3 (``troth crawl``).
    - ``tls``: say True where people come over TLS that ends before this process, as behind a proxy: the front's own
      cookies are then Secure and bound to the host.
    - ``clock`` (seconds since 1970) is given in tests.

    ``hints`` counts what browsers say they stopped.
    """

    def __init__(
        self,
        source: Source,
        *,
        policy_url: str = "/policy",
        hashes: Iterable[str] = (),
        tls: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self.policy_url = policy_url
        self.tls = tls
        self.hardening = hardening_policy(tuple(hashes)) if hashes else ""
        self.stripped: Counter[str] = Counter()
        self.hints = Hints()
        self._clock = clock
        self._site = nothing_known()
        self._stamp: tuple[int, int, int] | None = None
        self._looked = -LOOK_SECONDS
        self._told = False
        self.style = (Path(__file__).resolve().parent / "choices.css").read_text("utf-8")
        self.rules = " ".join(re.sub(r"/\*.*?\*/", "", self.style, flags=re.DOTALL).split())

    @property
    def site(self) -> Site:
        """The site file as it is now; looked at again every two seconds."""
        if callable(self._source):
            return self._source()
        now = self._clock()
        if not 0 <= now - self._looked < LOOK_SECONDS:
            self._looked = now
            self._read(Path(self._source))
        return self._site

    def _read(self, file: Path) -> None:
        try:
            facts = file.stat()
            stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            if stamp != self._stamp:
                self._site = from_json(file.read_bytes())
                self._stamp, self._told = stamp, False
        except (OSError, ValueError) as fault:
            if not self._told:
                log.error("the site file %s cannot be read (%s): nothing of others is loaded", file.name, fault)
            self._site, self._stamp, self._told = nothing_known(), None, True

    def visit(self, asking: Asking) -> Visit:
        """One request at the front."""
        site = self.site
        if self.tls and not asking.tls:
            asking = replace(asking, tls=True)
        return Visit(self, site, asking, read_choice(site, asking))

    def day(self) -> str:
        """Today, in UTC."""
        return time.strftime("%Y-%m-%d", time.gmtime(self._clock()))


def read_choice(site: Site, asking: Asking) -> Choice:
    """What this browser chose."""
    if not site.choices.cookie:
        return site.choices.read(None, asking.header("sec-gpc") or None)
    value = jar.sent_value(asking.header("cookie"), site.choices.cookie, tls=asking.tls)
    return site.choices.read(value, asking.header("sec-gpc") or None)


class Visit:
    """One request and its answer. ``choice`` is what the browser chose when it asked."""

    def __init__(self, front: Front, site: Site, asking: Asking, choice: Choice) -> None:
        self.front, self.site, self.asking = front, site, asking
        self.enforcing = site.enforces(asking.name, asking.path)
        self.choice = choice if self.enforcing else NOTHING_CHOSEN
        self.words = preferred(asking.header("accept-language"))

    def own(self, body: bytes = b"") -> Reply | None:
        """The front's own answer, or None where the application answers. ``body`` is that of a POST."""
        path, method = self.asking.path, self.asking.method
        if path == banner.CHOICES:
            if method in ("GET", "HEAD"):
                return self._page(200, method=method)
            if method == "POST":
                return self._take(body)
            return Reply(405, [("allow", "GET, HEAD, POST"), ("content-length", "0")], b"")
        if path == BANNER and method in ("GET", "HEAD"):
            return self._fragment()
        if path == REPORT and method == "POST":
            if len(body) <= LARGEST_REPORTS:
                self.front.hints.take(body, self.asking.host, self.site.version, self.front.day())
            return Reply(204, [], b"")
        if path == banner.STYLE and method in ("GET", "HEAD"):
            style = self.front.style + marks(self.site, self.asking.host)
            return self._reply(200, "text/css; charset=utf-8", style.encode(), "public, max-age=3600")
        if path == GPC and self.site.signal and self.site.policy and method in ("GET", "HEAD"):
            told = json.dumps({"gpc": True, "lastUpdate": self.site.effective}).encode()
            return self._reply(200, "application/json", told, "public, max-age=86400")
        return None

    def mine(self) -> bool:
        """Whether ``own`` will answer: then the body is read first."""
        return self.asking.path in (banner.CHOICES, REPORT) and self.asking.method == "POST"

    @property
    def most(self) -> int:
        """The bytes of a body that ``own`` takes; whoever reads it stops beyond them."""
        return LARGEST_REPORTS if self.asking.path == REPORT else LARGEST_ANSWER

    # --- the answers ---

    def _reply(self, status: int, kind: str, body: bytes, cache: str) -> Reply:
        headers = [
            ("content-type", kind),
            ("content-length", str(len(body))),
            ("cache-control", cache),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("content-security-policy", self.site.strictest),
        ]
        return Reply(status, headers, b"" if self.asking.method == "HEAD" else body)

    def _page(self, status: int, trouble: str = "", method: str = "GET") -> Reply:
        host, came = place(self.asking.header("referer"))
        back = local(came) if host == self.asking.host and came != banner.CHOICES else "/"
        html = banner.choices_page(self.site, self.words, self.choice, back, self.front.policy_url, trouble)
        reply = self._reply(
            status, "text/html; charset=utf-8", html.encode(), caching(grants=bool(self.choice.granted))
        )
        reply.headers.append(("vary", VARY))
        return reply

    def _fragment(self) -> Reply:
        """What nginx writes after a page: the question, where there is one, and the way back."""
        back = local(self.asking.header(PAGE_HEADER.lower()) or "/")
        asks = bool(self.site.choices.asked) and not self.choice.decided
        html = banner.banner(self.site, self.words, back, self.front.policy_url, below=True) if asks else ""
        html += banner.link(self.words, self.choice)
        return self._reply(200, "text/html; charset=utf-8", _characters(banner.SHEET + html), "no-store")

    def _take(self, body: bytes) -> Reply:
        """Take an answer: one cookie, the same for everybody who answered so; a no leaves nothing else anywhere."""
        if len(body) > LARGEST_ANSWER:
            return Reply(413, [("content-length", "0")], b"")
        sent = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        answer = sent.get(banner.ANSWER, [banner.NONE])[-1]
        if answer != banner.NONE and not self._from_here():
            return self._page(403, "refused-origin")
        questions = self.site.choices
        asked = frozenset(questions.purposes)
        ticked = frozenset(sent.get(banner.GRANTED, ())) & asked
        granted = {banner.ALL: asked, banner.THESE: ticked}.get(answer, frozenset[str]())
        headers = [
            ("location", local(sent.get(banner.BACK, ["/"])[-1])),
            ("cache-control", "no-store"),
            ("content-length", "0"),
        ]
        if asked:
            headers += [("set-cookie", cookie) for cookie in self._cookies(granted)]
        if self.choice.granted - granted:
            headers.append(("clear-site-data", '"cache", "storage"'))
        return Reply(303, headers, b"", granted)

    def _cookies(self, granted: frozenset[str]) -> Iterable[str]:
        """The flag, and an end to whatever is not agreed to any more.

        The visitor's number is left alone: it is the only proof of whose history it is, and Troth needs it to end that.
        """
        site, tls = self.site, self.asking.tls
        flag = site.choices.cookie
        yield jar.make(flag, site.choices.value(granted), seconds=site.choices.seconds, tls=tls)
        for sent in sorted(jar.sent_names(self.asking.header("cookie"))):
            rule = site.cookies.get(jar.bare(sent))
            if jar.bare(sent) == VISITOR:
                continue
            if rule is None or (not rule.essential and rule.purpose not in granted):
                yield from jar.forget(sent, self.asking.name, tls=tls)

    def _from_here(self) -> bool:
        """Whether this answer was given on a page of this very site: nobody may answer for somebody."""
        fetched = self.asking.header("sec-fetch-site")
        if fetched:
            return fetched in ("same-origin", "none")
        origin = self.asking.header("origin")
        return place(origin)[0] == self.asking.host if origin else True  # no browser: nobody's cookie

    # --- the application's answer ---

    def headers(self, given: Headers) -> tuple[Headers, bool]:
        """The application's headers as they may leave, and whether the body is a page to write into."""
        kind = (
            next((value for name, value in given if name.lower() == "content-type"), "").split(";")[0].strip().lower()
        )
        page = kind in HTML
        if not self.enforcing:
            return [*given, *self._reported("-report-only", self.site.strictest, page=page)], False
        out: Headers = []
        for name, value in given:
            lower = name.lower()
            if lower in TELLING or (page and lower in OVERRIDDEN):
                continue
            if lower == "referrer-policy" and value.strip().lower() not in NO_REFERRER:
                continue
            if lower == "set-cookie":
                if (kept := self._sifted(value)) is not None:
                    out.append((name, kept))
                continue
            out.append((name, value))
        out.append(("x-dns-prefetch-control", "off"))
        if not any(name.lower() == "referrer-policy" for name, _ in out):
            out.append(("referrer-policy", "same-origin"))
        if not page:  # a worker, an image with scripts: whatever it is, it was granted nothing, and caches may keep it
            out.append(("content-security-policy", self.site.strictest))
            return out, False
        out += self._reported("", self.site.header(self.choice), page=page)
        if self.front.hardening:
            out.append(("content-security-policy", self.front.hardening))
        out += [("cache-control", caching(grants=bool(self.choice.granted))), ("vary", VARY)]
        plain = not any(name.lower() == "content-encoding" and value.lower() != "identity" for name, value in out)
        if not plain:
            log.error("a page came compressed from the application: it was sent without the question")
        return out, plain

    def _reported(self, suffix: str, policy: str, *, page: bool) -> Headers:
        """A content policy with where browsers tell of what they stopped.

        ``report-to`` works over TLS alone, and silences ``report-uri`` wherever it stands.
        """
        name = f"content-security-policy{suffix}"
        if not (page and self.asking.tls and self.site.policy):
            return [(name, policy)]
        return [(name, policy + REPORT_TO), ("reporting-endpoints", ENDPOINTS)]

    def _sifted(self, header: str) -> str | None:
        """A Set-Cookie as it may leave, or None. Without a known policy it passes."""
        if not self.site.policy:
            return header
        fault = jar.fault(header, self.site, self.choice)
        if fault:
            self.front.stripped[fault] += 1
            log.warning("a cookie was stripped from an answer: %s", fault)  # never its name or value
            return None
        return jar.cut(header, self.site)

    def weaver(self) -> Weaver:
        """Writes the question first and the way back last."""
        asks = bool(self.site.choices.asked) and not self.choice.decided
        back = quote(self.asking.path, safe="/%:@!$&'()*+,;=~-._") + (
            f"?{self.asking.query}" if self.asking.query else ""
        )
        rules = self.front.rules
        first = banner.banner(self.site, self.words, back, self.front.policy_url, rules=rules) if asks else ""
        last = banner.SHEET + banner.link(self.words, self.choice) if self.site.policy else ""
        return Weaver(_characters(first), _characters(last))


def place(address: str) -> tuple[str, str]:
    """The host with its port, and the path, of an address that somebody sent; both "" where it is none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "", ""
    return parts.netloc, parts.path


def local(address: str) -> str:
    """An address within this site; "/" for every other: nobody is led away from here."""
    good = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if good and address.isascii() and len(address) <= 2048 else "/"


def _characters(html: str) -> bytes:
    """HTML that reads the same in every encoding a page can have."""
    return html.encode("ascii", "xmlcharrefreplace")


def plain_request(headers: Mapping[str, str]) -> frozenset[str]:
    """Headers that the application must not see when a page is asked for.

    A page that is answered with 304 keeps the old header and the old question, and a compressed one cannot be
    written into.
    """
    wants = headers.get("sec-fetch-dest", "") in ("document", "iframe", "frame") or "html" in headers.get("accept", "")
    return frozenset({"if-none-match", "if-modified-since", "accept-encoding", "range"}) if wants else frozenset()
