"""Cookies: only those the policy declares leave here, and only with values that say nothing.

Mechanisms ``cookie.declared`` and ``cookie.random`` (clauses ``collect.cookies``, ``cookies.no-personal``). A
random value counts as random only if it was minted here during this very request: an address, its base64 or its
hash looks like a token to any pattern, but was not minted.
"""

from __future__ import annotations

import base64
import logging
from http.cookies import CookieError, SimpleCookie
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from troth.errors import Undeclared
from troth.policy.model import CompiledPolicy, CookieRule
from troth.world import Randomness

COOKIE_DECLARED = "cookie.declared"
COOKIE_RANDOM = "cookie.random"
HOST_PREFIX = "__Host-"  # RFC 6265bis 4.1.3.2: Secure, Path=/, no Domain

log = logging.getLogger("troth.web")


def mint(request: Request, randomness: Randomness, bits: int = 256) -> str:
    """A fresh random value for a cookie of this answer, which the filter will let pass."""
    fresh = token(randomness, bits)
    minted(request).add(fresh)
    return fresh


def token(randomness: Randomness, bits: int = 256) -> str:
    """A fresh random value: base64url of at least 128 bits, without padding."""
    return base64.urlsafe_b64encode(randomness.bytes((max(bits, 128) + 7) // 8)).rstrip(b"=").decode()


def minted(request: Request) -> set[str]:
    """The tokens minted during this request."""
    state: dict[str, Any] = request.scope.setdefault("state", {})
    found: set[str] = state.setdefault("minted", set())
    return found


def wire_name(name: str, *, tls: bool) -> str:
    """The name as sent: prefixed over TLS, so that no sibling host and no plain answer can plant it."""
    return HOST_PREFIX + name if tls else name


def read(request: Request, name: str, *, tls: bool) -> str | None:
    """The value that came back under a declared name, or None."""
    return request.cookies.get(wire_name(name, tls=tls))


def put(
    response: Response,
    policy: CompiledPolicy,
    name: str,
    value: str,
    *,
    tls: bool,
    seconds: int | None = None,
    same_site: Literal["lax", "strict"] = "lax",
) -> None:
    """Set a declared cookie; ``Undeclared`` names the clause that would be needed. The filter checks it again.

    ``seconds`` is cut to the declared life; None means until the browser closes.
    """
    rule = policy.cookies.get(name)
    if rule is None:
        raise Undeclared(
            f"the policy declares no cookie {name!r}; declare it in a clause before it can be set",
            clause="collect.cookies",
            gaps=(name,),
        )
    most = life_seconds(rule)
    if seconds is not None and most is not None:
        seconds = min(seconds, most)
    response.set_cookie(
        wire_name(name, tls=tls), value, max_age=seconds, path="/", secure=tls, httponly=True, samesite=same_site
    )


def drop(response: Response, name: str, *, tls: bool) -> None:
    """Ask the browser to forget a cookie."""
    response.delete_cookie(wire_name(name, tls=tls), path="/", secure=tls, httponly=True, samesite="lax")


def life_seconds(rule: CookieRule) -> int | None:
    """The longest declared life in seconds (from 1970-01-01: months count as they do there); None: the session."""
    return None if rule.lasts is None else rule.lasts.after(0) // 1000


def filter_cookies(response: Response, policy: CompiledPolicy, fresh: set[str], *, tls: bool) -> int:
    """Strip every Set-Cookie that the policy does not carry; returns how many. The last word on every answer."""
    if not any(name == b"set-cookie" for name, _ in response.raw_headers):
        return 0
    kept, stripped = [], 0
    for name, value in response.raw_headers:
        if name == b"set-cookie":
            fault = refused(value.decode("latin-1"), policy, fresh, tls=tls)
            if fault:
                stripped += 1
                log.error("a cookie was stripped from an answer: %s", fault)  # never its name or value
                continue
        kept.append((name, value))
    response.raw_headers[:] = kept
    return stripped


def refused(header: str, policy: CompiledPolicy, fresh: set[str], *, tls: bool) -> str:
    """Why this Set-Cookie may not leave, as a mechanism's name; "" if it may."""
    try:
        jar = SimpleCookie(header)
    except CookieError:
        return COOKIE_DECLARED
    if len(jar) != 1:
        return COOKIE_DECLARED
    sent, morsel = next(iter(jar.items()))
    if morsel["max-age"] == "0" and not morsel.value:
        return ""  # forgetting is always allowed
    name = sent.removeprefix(HOST_PREFIX)
    rule = policy.cookies.get(name)
    if rule is None or morsel["domain"] or sent != wire_name(name, tls=tls):
        return COOKIE_DECLARED
    if not morsel["httponly"] or (tls and not morsel["secure"]) or morsel["expires"]:
        return COOKIE_DECLARED
    most, asked = life_seconds(rule), str(morsel["max-age"])
    if asked and (not asked.isdigit() or most is None or int(asked) > most):
        return COOKIE_DECLARED
    if rule.value == "choice":
        return "" if morsel.value in rule.choices else COOKIE_RANDOM
    enough = len(morsel.value) * 6 >= rule.bits
    return "" if morsel.value in fresh and enough else COOKIE_RANDOM
