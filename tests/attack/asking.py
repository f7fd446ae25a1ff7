"""One request to an application in this process, from any address, with nothing remembered from the one before."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from starlette.types import ASGIApp, Message, Scope

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def problem(self) -> str:
        """The kind of refusal, "" where it is none."""
        if not self.headers.get("content-type", "").startswith("application/problem+json"):
            return ""
        return str(msgspec.json.decode(self.body)["type"]).removeprefix("/problems/")

    @property
    def place(self) -> str:
        """Where it leads."""
        return self.headers.get("location", "")


class Asking:
    """Asks one application. Every request comes from an address of its own, so that no limit hides what lies behind."""

    def __init__(self, application: ASGIApp) -> None:
        self.application = application
        self.runner = asyncio.Runner()
        self.number = itertools.count(1)

    def close(self) -> None:
        """End the loop."""
        self.runner.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        host: str = "localhost",
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        json: Any = None,
        accept: str = JSON,
    ) -> Answer:
        """The answer to one request."""
        number = next(self.number)
        body = b"" if json is None else msgspec.json.encode(json)
        told = {"host": host, "accept": accept, "accept-language": "en", **(headers or {})}
        if form is not None:
            body = urlencode(form).encode()
            told.setdefault("content-type", FORM)
        elif json is not None:
            told.setdefault("content-type", JSON)
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in told.items()],
            "client": (f"198.{18 + number // 62500}.{number // 250 % 250}.{number % 250}", 50_000),
            "server": (host, 80),
        }
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        async def once() -> None:
            await self.application(scope, receive, send)

        self.runner.run(once())
        start = next(m for m in sent if m["type"] == "http.response.start")
        found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
        content = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
        return Answer(start["status"], found, content.decode("utf-8", "replace"))
