"""What a careless or hostile operator does: rows edited behind the system's back, pages swapped on their way out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from troth.web.running import Running

Edit = Callable[[str, bytes], bytes]


class Proxy:
    """Something between the application and the visitor that edits what it lets through."""

    def __init__(
        self,
        system: Running,
        edit: Edit = lambda path, body: body,
        *,
        headers: Callable[[list[tuple[bytes, bytes]]], list[tuple[bytes, bytes]]] = lambda found: found,
        status: Callable[[str, int], int] = lambda path, found: found,
    ) -> None:
        self.application = system.hosting
        self.edit, self.headers, self.status = edit, headers, status
        system.inspector.application = lambda: self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")

        async def tampered(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = self.headers(list(message["headers"]))
                message = {**message, "headers": kept, "status": self.status(path, message["status"])}
            elif message["type"] == "http.response.body":
                message = {**message, "body": self.edit(path, message.get("body", b""))}
            await send(message)

        await self.application(scope, receive, tampered)


def swap(old: str, new: str, *, where: str = "") -> Edit:
    """Replace words on pages whose path begins with ``where``."""

    def edit(path: str, body: bytes) -> bytes:
        return body.replace(old.encode(), new.encode()) if path.startswith(where) else body

    return edit


def behind(folder: Path, statement: str, *values: Any, keys: bool = False) -> int:
    """A statement run on the database file itself, as anybody with a shell could; how many rows it changed."""
    file = folder / "keys" / "keys.db" if keys else folder / "data" / "data.db"
    connection = sqlite3.connect(file, timeout=10)
    try:
        changed = connection.execute(statement, values).rowcount
        connection.commit()
        return changed
    finally:
        connection.close()
