"""The board of a running system: its pages fetched as a visitor gets them, and attempts that must be refused.

Computed at most once a minute for whoever looks, and anew on demand; a look never waits for more than one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Scope

from troth.client.website import jar
from troth.collect.intake import Submission
from troth.errors import TrothError, Undeclared
from troth.evidence.clauses import Board
from troth.evidence.clauses import board as compute
from troth.evidence.inspection import Fetched, Inspection
from troth.evidence.said import Said, say
from troth.policy.choices import NOTHING_CHOSEN
from troth.policy.decide import decide
from troth.policy.model import UNKNOWN, Question, Terms
from troth.web import cookies

if TYPE_CHECKING:
    from troth.web.running import Running

FRESH_MS = 60_000
NOBODY = bytes(16)


def fetch(application: ASGIApp, path: str, headers: Mapping[str, str]) -> Fetched:
    """GET a page from the application itself, without a network and without cookies."""
    sent: list[Message] = []
    asked = {"host": "127.0.0.1", "accept": "text/html, application/json", "accept-language": "en", **headers}
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path.partition("?")[0],
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in asked.items()],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
    }

    asked_for: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not asked_for:  # nothing more comes, and nobody leaves: who waits for that is ended with the answer
            await asyncio.get_running_loop().create_future()
        return asked_for.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    async def once() -> None:
        await application(scope, receive, send)

    with ThreadPoolExecutor(1) as elsewhere:  # whoever asks may be inside an event loop already
        elsewhere.submit(lambda: asyncio.run(once())).result()
    start = next(m for m in sent if m["type"] == "http.response.start")
    body = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
    found = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in start["headers"])
    return Fetched(start["status"], found, body)


def refused(attempt: Callable[[], object], let_through: Said) -> Said | None:
    """None if the attempt is refused, as it must be; else what to say of it."""
    try:
        attempt()
    except TrothError:
        return None
    return let_through


def probes(system: Running) -> dict[str, Callable[[], Said | None]]:
    """Attempts that must be refused; none of them changes anything."""

    def undeclared_field() -> Said | None:
        points = [p for p in system.policy.points.values() if f"{p.id}.confirm" in system.policy.templates]
        for point in points:
            submission = Submission(system.config.tenant, point.surfaces[0], point.id, {"troth_probe_undeclared": "x"})
            try:
                system.intake.prepare(submission)
            except Undeclared:
                continue
            except TrothError as other:
                return say("intake.declared.other-refusal", point=point.id, code=other.code)
            return say("intake.declared.let-through", point=point.id)
        return None if points else say("intake.declared.no-point")

    def undeclared_purpose() -> Said | None:
        opening = system.gate.open("troth.probe.undeclared")
        return refused(
            lambda: opening.read(system.config.tenant, NOBODY, frozenset({"email"})), say("gate.purpose.let-through")
        )

    def forbidden() -> Said | None:
        policy = system.policy
        for point in policy.points.values():
            terms = Terms(policy.controller.name, point.surfaces[0], point.id, policy.version)
            fields = frozenset(f.name for f in point.fields)
            question = Question("troth.probe.undeclared", fields, recipient="troth.probe.nobody")
            if decide(system.versions.history, terms, UNKNOWN, question, frozenset(), policy.version).allowed:
                return say("gate.never.let-through")
        return None

    def undeclared_recipient() -> Said | None:
        return refused(
            lambda: system.disclosures.release(
                "troth.probe.nobody", "troth.probe.undeclared", system.config.tenant, NOBODY, frozenset({"email"})
            ),
            say("share.deny.let-through"),
        )

    def telling_cookie() -> Said | None:
        value = "YW5uQGV4YW1wbGUub3Jn"  # an address in base64
        through = [
            name
            for name in system.policy.cookies
            if not cookies.refused(f"{name}={value}; Path=/; HttpOnly; SameSite=lax", system.policy, set(), tls=False)
        ]
        return say("cookie.random.through") if through else None

    def optional_cookie() -> Said | None:
        site = system.hosting.site()
        optional = [name for name, rule in site.cookies.items() if not rule.essential]
        through = [n for n in (*optional, "troth_probe") if not jar.fault(f"{n}={'x' * 64}", site, NOTHING_CHOSEN)]
        return say("cookie.consent.through") if through else None

    return {
        "intake.declared": undeclared_field,
        "cookie.consent": optional_cookie,
        "gate.purpose": undeclared_purpose,
        "gate.never": forbidden,
        "share.deny": undeclared_recipient,
        "cookie.random": telling_cookie,
    }


class Inspector:
    """Computes the board of one system, and remembers it for a minute."""

    def __init__(self, system: Running, application: Callable[[], ASGIApp]) -> None:
        self.system = system
        self.application = application
        self._lock = threading.Lock()
        self._board: Board | None = None

    def inspection(self) -> Inspection:
        """One picture of the system as it is now."""
        system, application = self.system, self.application()
        return Inspection(
            config=system.config,
            store=system.store,
            vault=system.vault,
            versions=system.versions,
            policy=system.policy,
            fetch=lambda path, headers: fetch(application, path, headers),
            probes=probes(system),
            hosts=system.hosting.hosts,
            ours=lambda path: path != "/" and system.shell.table.has(path),
        )

    def now(self) -> Board:
        """The board, computed anew."""
        with self._lock:
            found = self._board = compute(self.inspection())
            return found

    async def recent(self) -> Board:
        """The board as of the last minute."""
        known = self._fresh()
        return known if known is not None else await run_in_threadpool(self._once)

    def _fresh(self) -> Board | None:
        """The board that is remembered, if it is of the last minute and of the version in force."""
        known = self._board
        if known is None or known.version != self.system.policy.version:
            return None
        return known if 0 <= self.system.store.now() - known.at_ms < FRESH_MS else None

    def _once(self) -> Board:
        """The board, computed by whoever comes first; the others wait for that one."""
        with self._lock:
            known = self._fresh()
            if known is None:
                known = self._board = compute(self.inspection())
            return known
