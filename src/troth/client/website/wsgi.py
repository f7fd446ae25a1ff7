"""The front for WSGI applications: Django, Flask, Pyramid. Pages stream through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from troth.client.website.front import Asking, Front, Reply, Source, Visit, plain_request
from troth.client.website.weaving import Weaver

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, Start], Iterable[bytes]]


class WSGI:
    """An application behind the front; ``options`` are those of ``Front``."""

    def __init__(self, application: Application, source: Source | Front, **options: Any) -> None:
        self.application = application
        self.front = source if isinstance(source, Front) else Front(source, **options)

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """One request of the server's."""
        visit = self.front.visit(asking_of(environ))
        body = b""
        if visit.mine():
            length = environ.get("CONTENT_LENGTH") or "0"
            body = environ["wsgi.input"].read(min(int(length), visit.most + 1)) if length.isdigit() else b""
        reply = visit.own(body)
        if reply is not None:
            return _answered(reply, start_response)
        found = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
        for name in plain_request(found):
            environ.pop("HTTP_" + name.replace("-", "_").upper(), None)
        return _Passing(visit, self.application, environ, start_response)


def asking_of(environ: Environ) -> Asking:
    """What the front must know of a WSGI request."""
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")
    return Asking(
        method=environ["REQUEST_METHOD"],
        path=path,
        query=environ.get("QUERY_STRING", ""),
        host=environ.get("HTTP_HOST", ""),
        tls=environ.get("wsgi.url_scheme") == "https",
        header=lambda name: str(environ.get("HTTP_" + name.replace("-", "_").upper(), "")),
    )


class _Passing:
    """The application's answer going by; closed as the server closes it."""

    def __init__(self, visit: Visit, application: Application, environ: Environ, start_response: Start) -> None:
        self._visit, self._start = visit, start_response
        self._weaver: Weaver | None = None
        self._head = environ["REQUEST_METHOD"] == "HEAD"
        self._answer = application(environ, self._begin)

    def _begin(self, status: str, given: list[tuple[str, str]], trouble: Any = None) -> Callable[[bytes], object]:
        headers, page = self._visit.headers(given)
        if page and not self._head and not status.startswith(("204", "304")):
            self._weaver = self._visit.weaver()
        if page:
            headers = [(n, v) for n, v in headers if n.lower() not in ("content-length", "accept-ranges")]
        write = self._start(status, headers, trouble) if trouble else self._start(status, headers)
        return lambda piece: write(self._weaver.feed(piece) if self._weaver else piece)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._answer:
            out = self._weaver.feed(piece) if self._weaver else piece
            if out:
                yield out
        if self._weaver is not None:
            yield self._weaver.finish()

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()


def _answered(reply: Reply, start_response: Start) -> list[bytes]:
    start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", reply.headers)
    return [reply.body]
