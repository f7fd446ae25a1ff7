"""Asking Troth: one small request, answered by what the policy and the person say now."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from troth.client.activity import Use, activity_token

SECONDS = 5.0
LARGEST = 1024 * 1024


class Unreachable(Exception):
    """Troth gave no answer that could be understood. Whoever asked must behave as if the answer had been no."""


@dataclass(frozen=True)
class Answer:
    """A decision. Truthy only where it is a yes; ``clauses`` and ``gaps`` explain it, ``entry`` is its ledger entry."""

    allowed: bool
    clauses: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    entry: str = ""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True)
class Waiting:
    """A request that was filed for a user: its number, how it stands, and the day it is answered by (2026-03-31)."""

    request: str
    state: str
    by: str


class Troth:
    """A connection to one installation. Safe to share between threads: each keeps a connection of its own.

    ``url`` begins with https, or with http where the host is loopback; ``key`` is the product's key; ``seconds`` is
    how long each step of a question may take; ``ca_file`` names authorities to trust instead of the system's.
    """

    def __init__(self, url: str, key: str, *, seconds: float = SECONDS, ca_file: str | None = None) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
            raise ValueError("the address of Troth begins with https:// (or leads to this machine)")
        if parts.username or parts.query or parts.fragment or not host:
            raise ValueError("the address of Troth is a scheme, a host, perhaps a port and a path")
        if not key or not key.isascii() or not key.isprintable():
            raise ValueError("the key is missing or is none")
        self._host, self._port, self._path = host, parts.port, parts.path.rstrip("/")
        self._url = url.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._seconds = seconds
        self._local = threading.local()

    def allowed(self, reference: str, purpose: str, fields: Iterable[str], *, channel: str | None = None) -> bool:
        """May these fields of this account be used for this purpose (over this channel)? Anything but a yes is False.

        Fails closed: also False where Troth cannot be reached, is too slow or does not understand the question.
        """
        try:
            return self.ask(reference, purpose, fields, channel=channel).allowed
        except Unreachable:
            return False

    def ask(self, reference: str, purpose: str, fields: Iterable[str], *, channel: str | None = None) -> Answer:
        """As ``allowed``, with the reasons. Raises ``Unreachable`` where there is no answer."""
        question = {"reference": reference, "purpose": purpose, "fields": list(fields), "channel": channel}
        told = self._send("POST", "/api/v1/decisions", question)
        yes, entry = told.get("allowed"), told.get("entry")
        if not isinstance(yes, bool) or not isinstance(entry, str) or not entry:
            raise Unreachable("what came back is no decision")  # a yes without its entry is no yes
        return Answer(yes, _names(told.get("clauses")), _names(told.get("gaps")), entry)

    def register(self, reference: str, *, active: bool = True) -> None:
        """Say that this account exists and is in use; with ``active`` False, that it has ended. May be repeated.

        Raises ``Unreachable`` where that was not taken down.
        """
        self._send("PUT", f"/api/v1/subjects/{quote(reference, safe='')}", {"active": active})

    def report(self, uses: Iterable[Use], *, product: str, key: str, now: float | None = None) -> int:
        """Tell of up to 500 uses of accounts, signed (see ``activity_token``); how many are new to Troth.

        Raises ``Unreachable`` where the report was not taken: nothing of it counts then, and it may be told again.
        """
        told = self._send(
            "POST", "/api/v1/activity", {"signed": activity_token(self._url, key, product, uses, now=now)}
        )
        recorded = told.get("recorded")
        if not isinstance(recorded, int):
            raise Unreachable("what came back is no answer to a report")
        return recorded

    def file(self, reference: str, kind: str, *, once: str, language: str = "en") -> Waiting:
        """File a request for the user of this account (``access``, ``erasure``, …). ``once``: your own number of it.

        It may be told again under the same number. Raises ``Unreachable`` where it was not taken down.
        """
        asked = {"reference": reference, "kind": kind, "language": language}
        return _waiting(self._send("POST", "/api/v1/rights/requests", asked, {"Idempotency-Key": once}))

    def follow(self, request: str) -> Waiting:
        """How a request stands that you filed. Raises ``Unreachable``, also once its person is erased (status 404)."""
        return _waiting(self._send("GET", f"/api/v1/rights/requests/{quote(request, safe='')}", None))

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            content = b"" if body is None else json.dumps(body).encode()
            status, answer = self._exchange(method, self._path + path, content, self._headers | (headers or {}))
            told = json.loads(answer) if 200 <= status < 300 else None
        except (OSError, http.client.HTTPException, ValueError, TypeError) as fault:
            raise Unreachable(f"no answer ({type(fault).__name__})") from fault
        if told is None:
            raise Unreachable(f"no answer (status {status})")
        if not isinstance(told, dict):
            raise Unreachable("what came back is no answer")
        return told

    def _exchange(self, method: str, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """One request over this thread's connection; a kept one that has gone stale is opened anew, once."""
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            try:
                return self._once(kept, method, path, content, headers)
            except (OSError, http.client.HTTPException):
                kept.close()
                self._local.connection = None
        fresh = self._connect()
        try:
            answer = self._once(fresh, method, path, content, headers)
        except BaseException:
            fresh.close()
            raise
        self._local.connection = fresh
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._seconds, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)

    def _once(
        self, connection: http.client.HTTPConnection, method: str, path: str, content: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection.request(method, path, content or None, headers)
        response = connection.getresponse()
        answer = response.read(LARGEST + 1)
        if len(answer) > LARGEST:
            connection.close()
            raise http.client.HTTPException("an answer too large to be one")
        return response.status, answer

    def __enter__(self) -> Troth:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close this thread's connection."""
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            kept.close()
            self._local.connection = None


def allowed(
    reference: str, purpose: str, fields: Iterable[str], *, url: str, key: str, channel: str | None = None
) -> bool:
    """One question without keeping a connection; see ``Troth.allowed``. Whatever goes wrong on the way is a no."""
    with Troth(url, key) as troth:
        return troth.allowed(reference, purpose, fields, channel=channel)


def _waiting(told: dict[str, Any]) -> Waiting:
    found = (told.get("request"), told.get("state"), told.get("by"))
    if not all(isinstance(each, str) and each for each in found):
        raise Unreachable("what came back is no request")
    return Waiting(*map(str, found))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
