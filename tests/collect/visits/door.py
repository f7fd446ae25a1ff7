"""A browser at the collector, for tests: says what a page would, with the headers that a browser sends."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.web.visitor import Visitor
from troth.web.running import Running

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Door:
    """One browser on the example's website."""

    def __init__(self, system: Running, address: str = "203.0.113.7", *, agent: str = BROWSER) -> None:
        self.system = system
        self.agent = agent
        self.cookies: dict[str, str] = {}
        self.http = Visitor(system.app, address=address, base="http://localhost")

    def choose(self, *granted: str) -> httpx.Response:
        """Answer the question of the site: yes to these purposes, no to the others."""
        form = {"answer": "these" if granted else "none", "granted": list(granted)}
        return self._ask("/troth/choices", {"sec-fetch-site": "same-origin"}, data=form)

    def say(self, headers: dict[str, str] | None = None, **members: Any) -> httpx.Response:
        """Tell of a visit."""
        return self.send(json.dumps(members).encode(), headers)

    def send(self, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send bytes."""
        return self._ask("/c", {"content-type": "text/plain", **(headers or {})}, content=body)

    def _ask(self, path: str, headers: dict[str, str], **about: Any) -> httpx.Response:
        """Send something to the site, with this browser's cookies, and keep those that come back."""
        sent = {"origin": "http://localhost", "user-agent": self.agent}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.http.client.cookies.clear()
        answer = self.http.request("POST", path, headers={**sent, **headers}, **about)
        for told in answer.headers.get_list("set-cookie"):
            name, _, value = told.partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        return answer

    @property
    def sid(self) -> bytes:
        """The subject behind this browser's cookie."""
        return self.system.visits.sid_of(self.cookies["troth_visitor"])

    def close(self) -> None:
        """Leave."""
        self.http.close()
