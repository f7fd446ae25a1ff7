"""A page's markup, as whoever looks at a website from outside reads it: what it loads, where it leads, what it runs.

No script is run: what a script would load stands in no page. Addresses are whole; what is no address is left out.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

#: Element and attribute -> the directive of a content policy that says whether it loads.
LOADING: Final = {
    ("script", "src"): "script-src",
    ("img", "src"): "img-src",
    ("img", "srcset"): "img-src",
    ("iframe", "src"): "frame-src",
    ("embed", "src"): "object-src",
    ("object", "data"): "object-src",
    ("video", "src"): "media-src",
    ("video", "poster"): "img-src",
    ("audio", "src"): "media-src",
    ("track", "src"): "media-src",
    ("source", "src"): "media-src",
    ("source", "srcset"): "img-src",
    ("form", "action"): "form-action",
}
LINKS: Final = {"stylesheet": "style-src", "modulepreload": "script-src", "icon": "img-src"}
AHEAD: Final = {
    "script": "script-src",
    "style": "style-src",
    "image": "img-src",
    "font": "font-src",
    "fetch": "connect-src",
    "audio": "media-src",
    "video": "media-src",
    "worker": "worker-src",
}


class Load(NamedTuple):
    """Something that a page loads: the directive that says whether it may, the address, the mark it carries."""

    directive: str
    address: SplitResult
    nonce: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.address.scheme}://{self.address.netloc}"


class Markup(HTMLParser):
    """One page, read.

    - ``links``: where it leads, as whole addresses; ``forms``: where its forms send to; ``loads``: what it loads.
    - ``inline``: its inline scripts; ``policies``: content policies in ``<meta>`` that stand before anything they rule.
    - ``essential``: cookies and places that Troth's page of choices lists as needed.
    """

    def __init__(self, html: str, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = url
        self.links: list[str] = []
        self.loads: list[Load] = []
        self.inline: list[str] = []
        self.policies: list[str] = []
        self.essential: set[str] = set()
        self._script: list[str] | None = None
        self.feed(html)

    @property
    def forms(self) -> list[str]:
        """Where its forms send to."""
        return [load.address.geturl() for load in self.loads if load.directive == "form-action"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        given = {name: value or "" for name, value in attrs}
        if "data-essential" in given:
            self.essential.add(given["data-essential"])
        if tag == "base":
            self.base = urljoin_safely(self.base, given.get("href", "")) or self.base
        elif tag == "a" and (there := urljoin_safely(self.base, given.get("href", ""))):
            self.links.append(there)
        elif tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            if not self.loads and not self.inline:
                self.policies.append(given.get("content", ""))
        elif tag == "link":
            rels = given.get("rel", "").lower().split()
            ahead = [AHEAD.get(given.get("as", "").lower(), "default-src")] * bool({"preload", "prefetch"} & set(rels))
            for directive in [LINKS[rel] for rel in rels if rel in LINKS] + ahead:
                self._load(directive, given.get("href", ""), given.get("nonce", ""))
        elif tag == "script" and "src" not in given:
            self._script = []
        for (element, attribute), directive in LOADING.items():
            if element == tag and attribute in given:
                several = given[attribute].split(",") if attribute == "srcset" else [given[attribute]]
                for one in several:
                    self._load(directive, one.split()[0] if one.split() else "", given.get("nonce", ""))

    def _load(self, directive: str, address: str, nonce: str) -> None:
        there = urljoin_safely(self.base, address)
        if there.startswith(("http://", "https://")):
            self.loads.append(Load(directive, urlsplit(there), nonce))

    def handle_data(self, data: str) -> None:
        """Text; a script's is kept."""
        if self._script is not None:
            self._script.append(data)

    def handle_endtag(self, tag: str) -> None:
        """A script is whole."""
        if tag == "script" and self._script is not None:
            self.inline.append("".join(self._script))
            self._script = None


def urljoin_safely(base: str, address: str) -> str:
    """The whole address without its fragment; "" for one that is none."""
    try:
        there = urljoin(base, address.strip()).partition("#")[0]
        urlsplit(there).port  # noqa: B018  # says by ValueError that it is none
    except ValueError:
        return ""
    return there
