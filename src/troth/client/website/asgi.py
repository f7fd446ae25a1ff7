"""The front for ASGI applications: Starlette, FastAPI, Django, Quart. Pages stream through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from troth.client.website.front import Asking, Front, Reply, Source, plain_request
from troth.client.website.weaving import Weaver

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]


class ASGI:
    """An application behind the front; ``options`` are those of ``Front``. WebSocket passes untouched."""

    def __init__(self, application: Application, source: Source | Front, **options: Any) -> None:
        self.application = application
        self.front = source if isinstance(source, Front) else Front(source, **options)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One scope of the server's."""
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        found: dict[str, str] = {}
        for raw, value in scope["headers"]:
            name = raw.decode("latin-1").lower()
            joiner = "; " if name == "cookie" else ", "  # HTTP/2 parts the Cookie header
            text = value.decode("latin-1")
            found[name] = f"{found[name]}{joiner}{text}" if name in found else text
        asking = Asking(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            host=found.get("host", ""),
            tls=scope.get("scheme") == "https",
            header=lambda name: found.get(name, ""),
        )
        visit = self.front.visit(asking)
        reply = visit.own(await _body(receive, visit.most) if visit.mine() else b"")
        if reply is not None:
            await _send(await self.answered(asking, reply), send)
            return
        hidden = plain_request(found)
        if hidden:
            kept = [(n, v) for n, v in scope["headers"] if n.decode("latin-1").lower() not in hidden]
            scope = {**scope, "headers": kept}
        weaver: Weaver | None = None

        async def pass_on(message: Message) -> None:
            nonlocal weaver
            if message["type"] == "http.response.start":
                given = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in message.get("headers", ())]
                headers, page = visit.headers(given)
                if page and asking.method != "HEAD" and message["status"] not in (204, 304):
                    weaver = visit.weaver()
                if page:
                    headers = [(n, v) for n, v in headers if n.lower() not in ("content-length", "accept-ranges")]
                raw = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]
                message = {**message, "headers": raw}
            elif message["type"] == "http.response.body" and weaver is not None:
                more = message.get("more_body", False)
                body = weaver.feed(message.get("body", b"")) + (b"" if more else weaver.finish())
                message = {**message, "body": body}
            await send(message)

        await self.application(scope, receive, pass_on)

    async def answered(self, asking: Asking, reply: Reply) -> Reply:
        """The front's own answer as it is sent: for whoever must do what it says."""
        return reply


async def _body(receive: Receive, most: int) -> bytes:
    """The body, up to a little more than is taken."""
    body = b""
    while len(body) <= most:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    return body


async def _send(reply: Reply, send: Send) -> None:
    raw = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": reply.body})
