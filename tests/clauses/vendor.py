"""The example vendor held in one hand: a real system with its own clock, a real mail server, and people who come by.

Everything goes the way it goes for a person: forms over HTTP (in this process), letters over SMTP on loopback, links
out of letters. Time stands until a test moves it.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, text

from tests.web.visitor import Visitor as Http
from troth.cli.demo import EXAMPLE
from troth.cli.postbox import Letter, Postbox
from troth.cli.setting import demonstration_config, postbox
from troth.cli.visitor import Visitor
from troth.cli.walk import ANN as ANNS_ANSWERS
from troth.cli.walk import answers, link_in, send_issue
from troth.collect.confirm import Confirmed
from troth.collect.intake import Accepted, Submission
from troth.config import Tenant
from troth.evidence.inspection import Fetched
from troth.store import jobs
from troth.store.ledger import opening_key, opens
from troth.vault.provider import FileProvider
from troth.web.running import Running, start
from troth.web.schedule import registry_of
from troth.world import SetClock, SystemRandomness

BEGIN = 1_772_452_800_000  # 2026-03-02 12:00 UTC: the example policy is in force
TENANT = "main"


def word(length: int = 14) -> str:
    """Letters that stand nowhere by chance."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(length))


@dataclass(frozen=True)
class Person:
    """Somebody whose every value is unlike anything else."""

    email: str = field(default_factory=lambda: f"{word()}@{word(10)}.example.org")
    first: str = field(default_factory=lambda: f"Q{word()}")
    last: str = field(default_factory=lambda: f"Z{word()}")
    phone: str = field(default_factory=lambda: f"+35315{secrets.randbelow(90_000) + 10_000}{secrets.randbelow(10)}")
    company: str = field(default_factory=lambda: f"{word().title()} & {word().title()}")

    @property
    def name(self) -> str:
        """First and last."""
        return f"{self.first} {self.last}"

    @property
    def markers(self) -> set[str]:
        """What a search after the person would look for."""
        return {self.email, self.first, self.last, self.phone, self.company, self.name}

    @property
    def told(self) -> dict[str, str]:
        """As ``troth.cli.walk.answers`` wants a person."""
        own = {"email": self.email, "first": self.first, "last": self.last, "name": self.name}
        return ANNS_ANSWERS | own | {"phone": self.phone, "phone_number": self.phone, "company": self.company}


class Browser(Visitor):
    """A visitor whose requests stay in this process."""

    def __init__(self, http: Http) -> None:
        super().__init__(0, "localhost")
        self.http = http

    def _ask(self, method: str, path: str, body: bytes, hops: int = 5) -> Fetched:
        headers = {"Accept": "text/html", "Accept-Language": "en"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.http.client.cookies.clear()  # this class keeps its own
        got = self.http.request(method, path, content=body or None, headers=headers)
        self.answer = Fetched(got.status_code, tuple((k.lower(), v) for k, v in got.headers.multi_items()), got.content)
        self.address = path
        self._keep_cookies()
        if got.status_code in (302, 303) and hops:
            return self._ask("GET", self.answer.header("location"), b"", hops - 1)
        return self.answer


class Vendor:
    """A running system. ``system`` may be closed and opened again (``again``) over the same folder."""

    def __init__(self, folder: Path, box: Postbox, policy: str, tenants: Mapping[str, Tenant] | None = None) -> None:
        folder.mkdir(mode=0o700)
        (folder / "policy.md").write_text(policy, "utf-8")
        FileProvider.create(folder / "keys" / "root.key", SystemRandomness())
        self.folder = folder
        self.box = box
        self.tenants = tenants
        self.clock = SetClock(BEGIN)
        self.system = self._start()
        self._http: list[Http] = []

    def _start(self) -> Running:
        return start(demonstration_config(self.folder, 0, self.box.port, tenants=self.tenants), clock=self.clock)

    def again(self) -> Running:
        """Close the system and open it again."""
        self.close()
        self.system = self._start()
        return self.system

    def close(self) -> None:
        """Close the system and every browser."""
        while self._http:
            self._http.pop().close()
        self.system.close()

    def browser(self, address: str = "127.0.0.1", *, host: str = "localhost") -> Browser:
        """A new visitor to this host, who seems to come from this address."""
        self._http.append(Http(self.system.shell, base=f"http://{host}", address=address))
        return Browser(self._http[-1])

    # --- people ---

    def submit(self, point: str, person: Person, *, tenant: str = TENANT, **changes: str) -> Accepted:
        """A form sent, past the web: what the intake answers."""
        declared = self.system.policy.points[point]
        consents = frozenset({declared.consent.id} if declared.consent else ())
        values = answers(declared, person.told) | changes
        surface = "site:www" if tenant == TENANT or "service:managed" not in declared.surfaces else "service:managed"
        return self.system.intake.take(Submission(tenant, surface, point, values, consents=consents))

    def letters(self, to: str = "", about: str = "") -> list[Letter]:
        """The letters that have arrived, after all waiting work was done; to this address, with this in the text."""
        self.system.work()
        return [
            letter
            for letter in self.box.letters
            if (not to or to.lower() in (r.lower() for r in letter.recipients)) and about in letter.text
        ]

    def token(self, to: str, path: str = "/confirm/") -> str:
        """The token in the newest letter to this address that links to this path."""
        return link_in(self.letters(to, path)[-1], path).removeprefix(path)

    def confirm(self, email: str) -> Confirmed:
        """The newest confirmation link pressed."""
        return self.system.confirmation.confirm(self.token(email))

    def join(self, point: str, person: Person, *, tenant: str = TENANT, **changes: str) -> bytes:
        """A form sent and confirmed: whose it is."""
        self.submit(point, person, tenant=tenant, **changes)
        self.confirm(changes.get("email", person.email))
        sid = self.system.vault.find(tenant, "email", changes.get("email", person.email))
        assert sid is not None
        return sid

    def centre(self, person: Person) -> Browser:
        """A browser in this person's privacy centre, by the link in the mail."""
        self.system.store.write(self.system.requests.ask_write(TENANT, person.email, "en"))
        browser = self.browser()
        browser.open(f"/privacy/open/{self.token(person.email, '/privacy/open/')}")
        browser.send()
        assert browser.address == "/privacy/data", browser.answer.status
        return browser

    def issues(self, sid: bytes, email: str) -> int:
        """Send an issue of the newsletter to everybody who is subscribed: how many letters of it this person gets."""
        before = len(self.letters(email))
        send_issue(self.system, TENANT, "newsletter.issue")
        return len(self.letters(email)) - before

    def queue_issue(self) -> None:
        """Queue an issue of the newsletter for everybody who is subscribed; nothing is sent yet."""
        send_issue(self.system, TENANT, "newsletter.issue")
        jobs.run_due(self.system.store, registry_of(self.system))

    # --- what is held ---

    def rows(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        """Rows of D."""

        def ask(connection: Connection) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.execute(text(statement), values)]

        return self.system.store.read(ask)

    def key_rows(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        """Rows of K."""

        def ask(connection: Connection) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.execute(text(statement), values)]

        return self.system.store.read_keys(ask)

    def count(self, table: str) -> int:
        """How many rows a table of D has."""
        return int(str(self.rows(f"SELECT count(*) FROM {table}")[0][0]))

    def entries(self, kind: str) -> list[bytes]:
        """The bodies of the ledger's entries of one kind, oldest first."""
        rows = self.rows("SELECT body FROM ledger WHERE kind = :kind ORDER BY seq", kind=kind)
        return [row[0] for row in rows if isinstance(row[0], bytes)]

    def everything(self) -> dict[str, str]:
        """A hash of each table of D: what a GET must leave as it is."""
        names = [str(row[0]) for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {n: hashlib.sha256(repr(self.rows(f"SELECT * FROM {n}")).encode()).hexdigest() for n in sorted(names)}

    def whose(self, opening: bytes) -> list[bytes]:
        """The bodies of the entries that this secret opens."""
        rows = self.rows("SELECT eid, body FROM ledger ORDER BY seq")
        return [
            body
            for eid, body in rows
            if isinstance(eid, bytes) and isinstance(body, bytes) and opens(opening_key(opening, eid), body)
        ]


def example() -> str:
    """The example policy's text."""
    return EXAMPLE.read_text("utf-8")


@contextlib.contextmanager
def vendor_at(folder: Path, policy: str | None = None, tenants: Mapping[str, Tenant] | None = None) -> Iterator[Vendor]:
    """A vendor who runs the example policy (or ``policy``), for these tenants too, closed afterwards."""
    with postbox() as box:
        vendor = Vendor(folder, box, policy or example(), tenants)
        try:
            yield vendor
        finally:
            vendor.close()
