"""A visitor without a browser: opens pages, fills in the forms it finds there, follows redirects, keeps cookies.

What it can do is what a person can do with scripts turned off. Used by the demonstration over real HTTP.
"""

from __future__ import annotations

import json
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

from troth.evidence.inspection import Fetched, Page

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Visitor:
    """One visitor to a system on loopback, coming under the name of one of its hosts."""

    def __init__(self, port: int, host: str) -> None:
        self.port = port
        self.host = host
        self.cookies: dict[str, str] = {}
        self.address = "/"
        self.answer = Fetched(0, (), b"")

    @property
    def page(self) -> Page:
        """The page the visitor is looking at."""
        return self.answer.page

    def open(self, path: str) -> Fetched:
        """Open a page of the system (a path, or a link from a mail)."""
        parts = urlsplit(path)
        return self._ask("GET", parts.path + (f"?{parts.query}" if parts.query else ""), b"")

    def send(self, path: str = "", **values: str) -> Fetched:
        """Send the form of the page one looks at: its hidden fields, and ``values`` for the others."""
        hidden = {c.name: c.attributes.get("value", "") for c in self.page.controls if not c.shown and c.name}
        body = urlencode({**hidden, **values}).encode()
        return self._ask("POST", path or self.address, body)

    def say(self, **members: str) -> int:
        """Tell the collector of a visit, as the tag does; the status."""
        headers = {
            "Host": self.host,
            "Origin": f"http://{self.host}",
            "Content-Type": "text/plain",
            "User-Agent": BROWSER,
        }
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/c", json.dumps(members).encode(), headers)
            response = connection.getresponse()
            response.read()
            self.answer = Fetched(response.status, tuple((k.lower(), v) for k, v in response.getheaders()), b"")
        finally:
            connection.close()
        self._keep_cookies()
        return response.status

    def _ask(self, method: str, path: str, body: bytes, hops: int = 5) -> Fetched:
        headers = {"Host": self.host, "Accept": "text/html", "Accept-Language": "en"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            found = tuple((name.lower(), value) for name, value in response.getheaders())
            self.answer = Fetched(response.status, found, response.read())
        finally:
            connection.close()
        self.address = path
        self._keep_cookies()
        if response.status in (302, 303) and hops:
            return self._ask("GET", self.answer.header("location"), b"", hops - 1)
        return self.answer

    def _keep_cookies(self) -> None:
        for cookie in self.answer.cookies:
            pair, *attributes = cookie.split(";")
            name, _, value = pair.partition("=")
            if any(a.strip().lower() == "max-age=0" for a in attributes) or not value.strip('"'):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
