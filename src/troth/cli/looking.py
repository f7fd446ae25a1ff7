"""``troth doctor URL``: how far a website is kept to its policy, as anybody can see it from outside.

Three visits without a browser: a first one, one after a no, one with the signal. Scripts are not run: what they would
load stands in no page, and only the header stops it.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from troth.policy.content import BASE
from troth.policy.site import PREFIX

SECONDS = 15
MOST_BYTES = 5_000_000
LEVELS = (
    "level 0: no header; what a page loads is up to its scripts",
    "level 1: watched only; nothing is stopped",
    "level 2: what pages load is enforced by the browser; the site's own inline code runs",
    "level 3: enforced, and of inline scripts only known ones run",
    "level 4: enforced, and no inline script runs without this answer's own mark",
)
LOADING = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "embed": "src",
    "video": "src",
    "audio": "src",
    "source": "src",
}
CACHED = ("age", "x-cache", "cf-cache-status", "x-proxy-cache", "x-varnish-hits")


@dataclass
class Look:
    """What was found: the level, each thing that is not as it must be, and the hosts that are kept out."""

    level: int = 0
    faults: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)


class Loads(HTMLParser):
    """The addresses that a page's markup loads."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and set(given.get("rel", "").lower().split()) & {
            "stylesheet",
            "preload",
            "modulepreload",
            "icon",
        }:
            self.found.append(given.get("href", ""))
        elif tag == "object":
            self.found.append(given.get("data", ""))
        elif tag in LOADING:
            self.found.append(given.get(LOADING[tag], ""))


@dataclass(frozen=True)
class Answer:
    """An answer: status, headers (lower-case names), text."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    text: str

    def every(self, name: str) -> list[str]:
        """Every header of this name."""
        return [value for key, value in self.headers if key == name]


def fetch(url: str, headers: dict[str, str]) -> Answer:
    """GET a page as a browser asks for one, following redirects. ``OSError`` where nothing answers."""
    asking = urllib.request.Request(url, headers={"Accept": "text/html", "User-Agent": "troth-doctor"} | headers)  # noqa: S310  # checked by the command
    got: Any
    try:
        got = urllib.request.urlopen(asking, timeout=SECONDS)  # noqa: S310  # as above
    except urllib.error.HTTPError as fault:
        got = fault
    with got:
        body = got.read(MOST_BYTES)
        found = tuple((name.lower(), value) for name, value in got.headers.items())
        return Answer(got.url, got.status, found, body.decode("utf-8", "replace"))


def level_of(answer: Answer) -> int:
    """The level that this answer's headers reach."""
    enforced = answer.every("content-security-policy")
    if any(closes(header) for header in enforced):
        scripts = [each for header in enforced for each in re.findall(r"script-src([^;]*)", header)]
        if any("'nonce-" in each for each in scripts):
            return 4
        return 3 if any(re.search(r"'sha(256|384|512)-", each) for each in scripts) else 2
    return 1 if answer.every("content-security-policy-report-only") else 0


def closes(header: str) -> bool:
    """Whether a policy names the places for every kind of load, and none that is every place."""
    directives = {part.split()[0].lower(): part.split()[1:] for part in header.split(";") if part.split()}
    if "default-src" not in directives or not {"object-src", "base-uri", "form-action"} <= directives.keys():
        return False
    wide = {"*", "https:", "http:", "'strict-dynamic'"}
    return not any(wide & set(sources) for name, sources in directives.items() if name in BASE)


def look(url: str) -> Look:
    """Visit a site three times and say what is found."""
    first = fetch(url, {})
    found = Look(level_of(first))
    tell = found.faults.append
    if found.level < 2:
        tell("pages may load anything from anybody before a choice: put the site behind the front")
    caching = ", ".join(first.every("cache-control")).lower()
    if "no-store" not in caching and not ("private" in caching and "no-cache" in caching):
        tell("its pages may be kept by caches (Cache-Control), which can undo a withdrawal")
    if any(name in CACHED and value.lower() not in ("", "miss", "dynamic", "0") for name, value in first.headers):
        tell("a cache answered in the site's place")
    if first.every("etag") or first.every("last-modified"):
        tell("its pages carry validators (ETag, Last-Modified): an answer of 304 keeps the old header")
    for cookie in first.every("set-cookie"):
        name = cookie.partition("=")[0].strip()[:60]
        tell(f'the first visit sets the cookie "{name}": declare it as essential, or stop it')
    if first.every("nel") or first.every("report-to"):
        tell("browsers are told to report to somebody (NEL, Report-To), past every content policy")
    if "serviceWorker.register" in first.text.replace(f"{PREFIX}-sw.js", ""):
        tell("a service worker of the site's own may answer in its place, and keep pages past a withdrawal")
    if "troth-banner" not in first.text and "troth-link" not in first.text:
        tell("no question and no way to the choices stands on the page")
    here = urlsplit(first.url).netloc
    origins = {urlsplit(urljoin(first.url, each)).netloc for each in Loads(first.text).found} - {here, ""}
    for origin in sorted(origins):
        if found.level >= 2:
            found.stopped.append(origin)
        else:
            tell(f"{origin}: loaded before anybody agreed")
    asked = fetch(url, {"Sec-GPC": "1"})
    if "troth-banner" in asked.text:
        tell("it asks although the browser's signal (Sec-GPC) has answered")
    try:
        heard = fetch(urljoin(first.url, "/.well-known/gpc.json"), {})
        published = heard.status == 200 and re.search(r'"gpc"\s*:\s*true', heard.text)
    except OSError:
        published = None
    if not published:
        tell("/.well-known/gpc.json does not say that the signal is heard")
    return found
