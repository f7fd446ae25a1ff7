"""``troth doctor URL``: how far a website is kept to its policy, as anybody can see it from outside.

One page is visited three times without a browser: a first time, after a no, and with the signal. Only what was seen on
it is said. Scripts are not run: what they would load stands in no page, and only the header stops it.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

from troth.cli import enforced
from troth.cli.markup import Markup
from troth.client.website import banner, jar
from troth.policy.site import GPC

SECONDS: Final = 15
MOST_BYTES: Final = 5_000_000
LEVELS: Final = (
    "level 0: no content policy closes the page; what it loads is up to the page",
    "level 1: watched only; what the page loads is up to the page",
    "level 2: what the page loads is enforced by the browser; the site's own inline code runs",
    "level 3: enforced, and of inline scripts only known ones run",
    "level 4: enforced, and no inline script runs without this answer's own mark",
)
CACHED: Final = ("x-cache", "cf-cache-status", "x-proxy-cache")
HITS: Final = frozenset({"hit", "stale", "updating", "revalidated"})
TELLING: Final = ("nel", "report-to", "reporting-endpoints")
WORKER: Final = re.compile(r"serviceWorker\s*\.\s*register\s*\(\s*[\"'`]?([^\"'`),]*)")
FIRST, REFUSED, SIGNAL = "before a choice", "after a no", "with the signal"


@dataclass
class Look:
    """What was found: the level, what is not as it must be, the places kept out, and those let in as essential."""

    level: int = 0
    found: dict[str, list[str]] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    essential: set[str] = field(default_factory=set)

    def tell(self, fault: str, when: str = "") -> None:
        """Something is not as it must be, at this visit."""
        self.found.setdefault(fault, []).extend([when] if when else [])

    @property
    def faults(self) -> list[str]:
        """Each fault once, with the visits it was seen at."""
        return [f"{', '.join(dict.fromkeys(seen))}: {fault}" if seen else fault for fault, seen in self.found.items()]


@dataclass(frozen=True)
class Answer:
    """An answer: where it came from, status, headers (lower-case names), text."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    text: str

    def every(self, name: str) -> list[str]:
        """Every header of this name."""
        return [value for key, value in self.headers if key == name]

    @cached_property
    def page(self) -> Markup:
        """The text, read as a page."""
        return Markup(self.text, self.url)

    @cached_property
    def policies(self) -> list[enforced.Policy]:
        """The content policies that a browser enforces."""
        return enforced.policies([*self.every("content-security-policy"), *self.page.policies])

    @property
    def asks(self) -> bool:
        """Whether the question stands on it."""
        return any(leads_to_choices(each) for each in self.page.forms)

    @property
    def cookies(self) -> list[str]:
        """The names of the cookies that it sets; what it ends is not among them."""
        found = [jar.parts(header) for header in self.every("set-cookie")]
        return [jar.bare(name) for name, value, rest in found if value and rest.get("max-age") != "0"]


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the cookies of an answer stand in its first part."""

    def redirect_request(self, *_: Any) -> None:
        """No."""


def fetch(url: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
    """GET a page as a browser asks for one, following redirects; with a ``body`` POST it, following none.

    ``OSError`` where nothing answers that can be read.
    """
    sent = {"Accept": "text/html", "User-Agent": "troth-doctor"} | headers
    got: Any
    try:
        asking = urllib.request.Request(url, body, headers=sent)  # noqa: S310  # the scheme is checked by the command
        opener = urllib.request.build_opener(*([] if body is None else [Stay]))
        try:
            got = opener.open(asking, timeout=SECONDS)
        except urllib.error.HTTPError as fault:
            got = fault
        with got:
            content = got.read(MOST_BYTES)
            found = tuple((name.lower(), value) for name, value in got.headers.items())
            return Answer(got.url, got.status, found, content.decode("utf-8", "replace"))
    except (http.client.HTTPException, ValueError) as fault:
        raise OSError(f"{type(fault).__name__}: {fault}") from fault


def leads_to_choices(address: str) -> bool:
    """Whether an address is that of the page of choices."""
    return urlsplit(address).path == banner.CHOICES


def level_of(answer: Answer, again: Answer) -> int:
    """The level that the headers of two answers reach; a mark that stays the same is none."""
    if any(map(enforced.closes, answer.policies)):
        level = max(map(enforced.inline, answer.policies))
        same = enforced.nonces(answer.policies) & enforced.nonces(again.policies)
        return enforced.ANY if level == enforced.MARKED and same else level
    watching = enforced.policies(answer.every("content-security-policy-report-only"))
    return 1 if any(map(enforced.closes, watching)) else 0


class Choices(NamedTuple):
    """What the page of choices shows: the names declared as needed, and the cookie header that a no leads to."""

    essential: frozenset[str]
    refused: str


def look(url: str) -> Look:
    """Visit a page three times and say what is found."""
    first, signal = fetch(url, {}), fetch(url, {"Sec-GPC": "1"})
    found = Look(level_of(first, signal))
    if first.status >= 400:
        found.tell(f"the address answers {first.status}: all that is said here is about that answer")
    if found.level < 2:
        found.tell("no content policy keeps the page from loading what it likes: put the site behind the front")
    choices = choices_of(first, found)
    watch(first, FIRST, choices, found)
    if choices.refused:
        refused = fetch(url, {"Cookie": choices.refused})
        watch(refused, REFUSED, choices, found)
        if refused.asks:
            found.tell("it asks again", REFUSED)
    watch(signal, SIGNAL, choices, found)
    if signal.asks:
        found.tell("it asks, although the browser's signal (Sec-GPC) has answered")
    if not heard(urljoin(first.url, GPC)):
        found.tell(f"{GPC} does not say that the signal is heard")
    return found


def choices_of(first: Answer, found: Look) -> Choices:
    """Open the page of choices that a page leads to, and say no there."""
    here = urlsplit(first.url).netloc
    leading = filter(leads_to_choices, (*first.page.links, *first.page.forms))
    ways = [each for each in leading if urlsplit(each).netloc == here]  # a no is said to nobody else
    if not ways:
        found.tell("no question and no way to the choices stands in the page's markup")
        return Choices(frozenset(), "")
    there = fetch(ways[0], {})
    if there.status != 200 or not there.asks:
        return Choices(frozenset(there.page.essential), "")
    said = fetch(ways[0], {"Sec-Fetch-Site": "same-origin"}, urlencode({banner.ANSWER: banner.NONE}).encode())
    if said.status != 303 or len(said.cookies) != 1:
        found.tell(f"a no is answered {said.status} with {len(said.cookies)} cookies; it must be 303 with one")
    kept = [header.partition(";")[0] for header in said.every("set-cookie")]
    return Choices(frozenset(there.page.essential), "; ".join(each for each in kept if each.partition("=")[2]))


def watch(answer: Answer, when: str, choices: Choices, found: Look) -> None:
    """Say what is not as it must be about a page that was asked for without any yes."""
    caching = ", ".join(answer.every("cache-control")).lower()
    if "no-store" not in caching and not ("private" in caching and "no-cache" in caching):
        found.tell("the page may be kept by caches (Cache-Control), which can undo a withdrawal", when)
    if from_cache(answer):
        found.tell("a cache answered in the site's place", when)
    if answer.every("etag") or answer.every("last-modified"):
        found.tell("the page carries validators (ETag, Last-Modified): an answer of 304 keeps the old header", when)
    for name in answer.cookies:
        if name not in choices.essential:
            found.tell(f'the cookie "{name[:60]}" is set: declare it as essential, or stop it', when)
    here = urlsplit(answer.url).netloc
    told = "".join(value for name in TELLING for value in answer.every(name))
    for host in sorted(set(re.findall(r"https?://([^/\"'\s\\?#]+)", told)) - {here}):
        found.tell(f"browsers are told to report to {host} (Reporting API), past every content policy", when)
    for script in WORKER.findall(answer.text):
        if not script.endswith("/troth-sw.js"):
            found.tell("the page registers a service worker of the site's own, which may keep pages past a no", when)
    for load in answer.page.loads:
        if load.address.netloc == here or load.directive == "form-action":
            continue
        if not enforced.lets(answer.policies, load, answer.url):
            found.stopped.add(load.address.netloc)
        elif load.origin in choices.essential:
            found.essential.add(load.address.netloc)
        else:
            found.tell(f"{load.address.netloc} is loaded: declare it as essential, or stop it", when)


def from_cache(answer: Answer) -> bool:
    """Whether a cache between says that it answered itself."""
    words = re.findall("[a-z]+", " ".join(value for name in CACHED for value in answer.every(name)).lower())
    counts = [*answer.every("age"), *answer.every("x-varnish-hits")]
    return bool(HITS & set(words)) or any(each.strip().isdigit() and int(each) > 0 for each in counts)


def heard(url: str) -> bool:
    """Whether a site publishes that it hears the signal."""
    try:
        answer = fetch(url, {})
        published = json.loads(answer.text)
    except (OSError, ValueError, RecursionError):
        return False
    return answer.status == 200 and isinstance(published, dict) and published.get("gpc") is True
