"""A browser at the collector, for tests: says what a page would, with the headers that a browser sends."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.web.visitor import Visitor
from troth.policy.choices import choices
from troth.web.running import Running

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Door:
    """One browser on the example's website."""

    def __init__(self, system: Running, address: str = "203.0.113.7", *, agent: str = BROWSER) -> None:
        self.system = system
        self.agent = agent
        self.cookies: dict[str, str] = {}
        self.http = Visitor(system.app, address=address, base="http://localhost")

    def choose(self, *granted: str) -> None:
        """What the banner leaves behind."""
        found = choices(self.system.policy)
        self.cookies[found.cookie] = found.value(granted)

    def say(self, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
        """Tell of a visit."""
        return self.send(json.dumps(members).encode(), headers)

    def send(self, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send bytes."""
        sent = {"origin": "http://localhost", "content-type": "text/plain", "user-agent": self.agent}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.http.client.cookies.clear()
        answer = self.http.request("POST", "/c", content=body, headers={**sent, **(headers or {})})
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        return answer

    @property
    def sid(self) -> bytes:
        """The subject behind this browser's cookie."""
        return self.system.visits.sid_of(self.cookies["troth_visitor"])

    def close(self) -> None:
        """Leave."""
        self.http.close()
