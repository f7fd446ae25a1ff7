"""The board of a running system: its pages fetched as a visitor gets them, and attempts that must be refused.

Computed at most once a minute for whoever looks, and anew on demand; a look never waits for more than one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Scope

from troth.collect.intake import Submission
from troth.errors import TrothError, Undeclared
from troth.evidence.clauses import Board
from troth.evidence.clauses import board as compute
from troth.evidence.inspection import Fetched, Inspection
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
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in asked.items()],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

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


def refused(attempt: Callable[[], object], told: str, expected: type[TrothError] = TrothError) -> str:
    """An empty string if the attempt is refused as it must be; else what was let through."""
    try:
        attempt()
    except expected:
        return ""
    except TrothError as other:
        return f"{told} is refused as {other.code}, without the clause it would need"
    return f"{told} is let through"


def probes(system: Running) -> dict[str, Callable[[], str]]:
    """Attempts that must be refused; none of them changes anything."""

    def undeclared_field() -> str:
        points = [p for p in system.policy.points.values() if f"{p.id}.confirm" in system.policy.templates]
        for point in points:
            submission = Submission(system.config.tenant, point.surfaces[0], point.id, {"troth_probe_undeclared": "x"})
            told = refused(partial(system.intake.prepare, submission), f"an undeclared field of {point.id}", Undeclared)
            if told:
                return told
        return "" if points else "there is no point to try"

    def undeclared_purpose() -> str:
        opening = system.gate.open("troth.probe.undeclared")
        return refused(
            lambda: opening.read(system.config.tenant, NOBODY, frozenset({"email"})), "an undeclared purpose"
        )

    def forbidden() -> str:
        policy = system.policy
        for point in policy.points.values():
            terms = Terms(policy.controller.name, point.surfaces[0], point.id, policy.version)
            fields = frozenset(f.name for f in point.fields)
            question = Question("troth.probe.undeclared", fields, recipient="troth.probe.nobody")
            if decide(system.versions.history, terms, UNKNOWN, question, frozenset(), policy.version).allowed:
                return "a recipient and a purpose that no clause declares are permitted"
        return ""

    def undeclared_recipient() -> str:
        return refused(
            lambda: system.disclosures.release(
                "troth.probe.nobody", "troth.probe.undeclared", system.config.tenant, NOBODY, frozenset({"email"})
            ),
            "a recipient that no clause declares",
        )

    def telling_cookie() -> str:
        value = "YW5uQGV4YW1wbGUub3Jn"  # an address in base64
        through = [
            name
            for name in system.policy.cookies
            if not cookies.refused(f"{name}={value}; Path=/; HttpOnly; SameSite=lax", system.policy, set(), tls=False)
        ]
        return "a cookie that holds an address is let through" if through else ""

    return {
        "intake.declared": undeclared_field,
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
        )

    def now(self) -> Board:
        """The board, computed anew."""
        with self._lock:
            self._board = compute(self.inspection())
            return self._board

    async def recent(self) -> Board:
        """The board as of the last minute."""
        known = self._board
        if known is not None and 0 <= self.system.store.now() - known.at_ms < FRESH_MS:
            return known
        return await run_in_threadpool(self.now)
