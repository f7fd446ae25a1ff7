"""A visitor for tests: speaks HTTP to an application in this process, keeps cookies, follows nothing by itself."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import httpx


class Visitor:
    """A browser without pictures. ``address`` is where it seems to come from."""

    def __init__(self, app: Any, *, address: str = "127.0.0.1", base: str = "http://testserver") -> None:
        self.runner = asyncio.Runner()
        transport = httpx.ASGITransport(app=app, client=(address, 50_000))
        self.client = httpx.AsyncClient(transport=transport, base_url=base)

    def request(self, method: str, path: str, **about: Any) -> httpx.Response:
        """One request; ``about`` as httpx takes it."""
        return self.runner.run(self.client.request(method, path, **about))

    def get(self, path: str, **about: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **about)

    def page(self, path: str, **headers: str) -> httpx.Response:
        """GET as a person's browser does."""
        return self.get(path, headers={"accept": "text/html,application/xhtml+xml", **headers})

    def post(self, path: str, form: dict[str, str] | None = None, **about: Any) -> httpx.Response:
        """POST a form."""
        return self.request("POST", path, data=form or {}, **about)

    def close(self) -> None:
        """Leave."""
        self.runner.run(self.client.aclose())
        self.runner.close()

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()
