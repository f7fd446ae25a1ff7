"""What a clause's check may look at: the policy in force, the ledger, the state of both stores, and served pages.

An inspection reads; all that it writes is the entry that says what it opened. Pages are fetched as a visitor gets
them, without cookies. Everything is looked up once per inspection, so that one board is one picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, select

from troth.config import Config
from troth.evidence.said import Said
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy, Point
from troth.store import Store
from troth.store.tables import ledger
from troth.vault import Vault

NEWEST = 5_000  # entries of one kind that a check looks at: the newest

COUNTS = select(ledger.c.clause, func.count(), func.max(ledger.c.at_ms)).group_by(ledger.c.clause)
OF_KIND = (
    select(ledger.c.eid, ledger.c.at_ms, ledger.c.body)
    .where(ledger.c.kind == bindparam("of_kind"))
    .order_by(ledger.c.seq.desc())
    .limit(NEWEST)
)


OF_EIDS = select(ledger.c.eid, ledger.c.at_ms, ledger.c.body).where(
    ledger.c.eid.in_(bindparam("of_eids", expanding=True))
)
AT_ONCE = 500


@dataclass(frozen=True)
class Fetched:
    """An answer as a visitor got it. Header names are lower-case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8", "replace")

    def header(self, name: str) -> str:
        """The first header of this name, or an empty string."""
        return next((value for key, value in self.headers if key == name), "")

    def every(self, name: str) -> tuple[str, ...]:
        """Every header of this name."""
        return tuple(value for key, value in self.headers if key == name)

    @property
    def cookies(self) -> tuple[str, ...]:
        """Every Set-Cookie."""
        return tuple(value for key, value in self.headers if key == "set-cookie")

    @cached_property
    def page(self) -> Page:
        """The body, read as a page."""
        return Page(self.text)


Fetch = Callable[[str, Mapping[str, str]], Fetched]
"""``fetch(path, headers)``: GET a page of this system."""


@dataclass
class Control:
    """A form control of a page."""

    tag: str
    attributes: dict[str, str]
    labelled: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.attributes.get("name", "")

    @property
    def shown(self) -> bool:
        """Whether a person sees it."""
        return self.attributes.get("type") not in ("hidden", "submit", "button")


class Page(HTMLParser):
    """A page as its structure: enough to see what a visitor, a screen reader and a crawler would."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.attributes: dict[str, str] = {}
        self.title = ""
        self.headings: list[int] = []
        self.links: list[str] = []
        self.controls: list[Control] = []
        self.images: list[dict[str, str]] = []
        self.landmarks: list[str] = []
        self.labels: set[str] = set()
        self.words: list[str] = []
        self.first_block: list[str] = []
        self.times: list[str] = []
        self._path: list[str] = []
        self._blocks = 0
        self.feed(html)

    VOID = frozenset({"input", "img", "br", "meta", "link", "hr", "path", "circle", "rect", "line", "source", "use"})
    BLOCKS = frozenset({"p", "ul", "ol", "table", "section", "pre", "dl", "blockquote"})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of one element."""
        attributes = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.attributes = attributes
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.headings.append(int(tag[1]))
        elif tag == "a":
            self.links.append(attributes.get("href", ""))
        elif tag == "img":
            self.images.append(attributes)
        elif tag == "time":
            self.times.append(attributes.get("datetime", ""))
        elif tag in ("main", "header", "footer", "nav", "script"):
            self.landmarks.append(tag)
        elif tag == "label" and "for" in attributes:
            self.labels.add(attributes["for"])
        elif tag in ("input", "select", "textarea", "button"):
            named = "label" in self._path or "aria-label" in attributes or "aria-labelledby" in attributes
            self.controls.append(Control(tag, attributes, named))
        if tag in self.BLOCKS and "article" in self._path:
            self._blocks += 1
        if tag not in self.VOID:
            self._path.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element (and whatever inside it was left open)."""
        while tag in self._path and self._path.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Take words."""
        if "title" in self._path and "svg" not in self._path:
            self.title += data
        if not {"script", "style"} & set(self._path):
            self.words.append(data)
            if "article" in self._path and self._blocks <= 1:
                self.first_block.append(data)

    @property
    def text(self) -> str:
        """All words, white space folded."""
        return " ".join(" ".join(self.words).split())


@dataclass(frozen=True)
class Cited:
    """An entry, read."""

    eid: bytes
    at_ms: int
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.body["kind"])

    @property
    def refers(self) -> bytes:
        """The entry that it refers to, or b""."""
        return bytes.fromhex(str(self.body.get("refers") or ""))

    @property
    def facts(self) -> dict[str, Any]:
        """Its facts."""
        found: dict[str, Any] = self.body.get("facts", {})
        return found


@dataclass
class Inspection:
    """One picture of a running system."""

    config: Config
    store: Store
    vault: Vault
    versions: Versions
    policy: CompiledPolicy
    fetch: Fetch
    probes: Mapping[str, Callable[[], Said | None]] = field(default_factory=dict)
    """Attempts that must be refused, by mechanism: each returns None, or says what was let through."""
    hosts: tuple[str, ...] = ()
    """The hosts of the websites that are served here."""
    ours: Callable[[str], bool] = lambda path: False
    """Whether Troth itself answers a path on such a host, and not the website."""

    def __post_init__(self) -> None:
        self.now = self.store.now()
        self._pages: dict[tuple[str, str, frozenset[tuple[str, str]]], Fetched] = {}
        self._entries: dict[str, list[Cited]] = {}

    def get(self, path: str, host: str = "", **headers: str) -> Fetched:
        """A page as a visitor gets it: without cookies, unless these ``headers`` say otherwise."""
        key = (path, host, frozenset(headers.items()))
        if key not in self._pages:
            self._pages[key] = self.fetch(path, ({"host": host} if host else {}) | headers)
        return self._pages[key]

    @property
    def policy_hosts(self) -> frozenset[str]:
        """Every host that the policy names."""
        return frozenset(host for hosts in self.policy.surfaces.values() for host in hosts)

    def entries(self, *kinds: str) -> list[Cited]:
        """The newest entries of these kinds, newest first per kind."""
        for kind in kinds:
            if kind not in self._entries:
                self._entries[kind] = self._cited(OF_KIND, of_kind=kind)
        return [entry for kind in kinds for entry in self._entries[kind]]

    def entries_of(self, eids: Iterable[bytes]) -> dict[bytes, Cited]:
        """The entries of these ids, however old; what is not in the ledger is not among them."""
        wanted = sorted(set(eids))
        some = (wanted[first : first + AT_ONCE] for first in range(0, len(wanted), AT_ONCE))
        return {entry.eid: entry for eids in some for entry in self._cited(OF_EIDS, of_eids=eids)}

    def begun(self, outcomes: Iterable[bytes]) -> dict[bytes, int]:
        """When each letter with one of these outcomes (ids of ``message.sent``) was begun: the time of its intent.

        A letter that was on the wire when somebody objected is not one that was sent after it.
        """
        ended = self.entries_of(outcomes)
        intents = self.entries_of(entry.refers for entry in ended.values())
        return {eid: intents[entry.refers].at_ms for eid, entry in ended.items() if entry.refers in intents}

    def _cited(self, statement: Any, **parameters: Any) -> list[Cited]:
        rows = self.rows(statement, parameters)
        return [Cited(bytes(row.eid), row.at_ms, msgspec.json.decode(row.body)) for row in rows]

    @cached_property
    def cited(self) -> dict[str, tuple[int, int]]:
        """Clause -> (how many entries cite it, the time of the newest)."""
        rows = self.store.read(lambda c: c.execute(COUNTS).all())
        return {clause: (count, last) for clause, count, last in rows}

    def rows(self, statement: Any, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Rows of D."""
        return list(self.store.read(lambda c: c.execute(statement, parameters or {}).all()))

    def key_rows(self, statement: Any) -> list[Any]:
        """Rows of K (never keys: counts, states and ids)."""
        return list(self.store.read_keys(lambda c: c.execute(statement).all()))

    def forms(self) -> Iterator[tuple[Point, str]]:
        """(point, host) of every form that people can fill in, on a host of each of its surfaces."""
        for point in self.policy.points.values():
            if not any(f.category.endswith(".email") and f.required for f in point.fields):
                continue
            for surface in point.surfaces:
                hosts = self.policy.surfaces.get(surface, ())
                if hosts and surface.startswith("site:"):
                    yield point, hosts[0]

    def public_pages(self) -> list[str]:
        """The pages anybody may open, but for the board itself (it is what is being computed)."""
        forms = sorted({f"/forms/{point.id}" for point, _ in self.forms()})
        version = f"/policy/versions/{self.policy.version}"
        return ["/", "/policy", "/policy/versions", version, "/privacy", "/privacy/sent", "/sent", *forms]
