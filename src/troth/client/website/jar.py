"""Cookies at the front: what may be set passes, what was not declared or not agreed to does not.

Mechanisms ``cookie.declared``, ``cookie.random`` and ``cookie.consent``. The application behind mints its own values,
so all that can be said of a random one here is that it looks like one: letters and digits enough for its declared
chance, and nothing that reads as an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

from troth.policy.choices import Choice
from troth.policy.model import CookieRule
from troth.policy.site import Site

PREFIXES: Final = ("__Host-", "__Secure-")
LOOKS_RANDOM: Final = re.compile(r"[A-Za-z0-9_\-]{1,512}(?:[.:][A-Za-z0-9_\-]{1,512}){0,3}")  # signed values have parts
BITS_A_CHARACTER: Final = 6  # base64; fewer in hexadecimal, which only makes the demand milder

Fault = Literal["", "undeclared", "not agreed to", "tells something"]


def bare(name: str) -> str:
    """A cookie's name without the prefixes of RFC 6265bis."""
    return next((name.removeprefix(p) for p in PREFIXES if name.startswith(p)), name)


def sent_value(header: str, name: str, *, tls: bool) -> str | None:
    """The value in a Cookie header: over TLS only under the ``__Host-`` name, which no sibling host can plant."""
    wanted = f"__Host-{name}" if tls else name
    for pair in header.split(";"):
        key, found, value = pair.strip().partition("=")
        if found and key == wanted:
            return value.strip('"')
    return None


def sent_names(header: str) -> frozenset[str]:
    """The names in a Cookie header."""
    return frozenset(pair.strip().partition("=")[0] for pair in header.split(";") if "=" in pair)


def fault(header: str, site: Site, choice: Choice) -> Fault:
    """Why this Set-Cookie may not pass; "" if it may."""
    name, value, attributes = parts(header)
    if not value or attributes.get("max-age") == "0":
        return ""  # forgetting is always allowed
    rule = site.cookies.get(bare(name))
    if rule is None:
        return "undeclared"
    if not rule.essential and rule.purpose not in choice.granted:
        return "not agreed to"
    return "" if tells_nothing(value, rule) else "tells something"


def parts(header: str) -> tuple[str, str, dict[str, str]]:
    """Name, value and attributes of a Set-Cookie, read as browsers do (RFC 6265, 5.2)."""
    pair, *rest = header.split(";")
    name, found, value = pair.partition("=")
    if not found:
        name, value = "", name
    attributes = {}
    for each in rest:
        key, _, text = each.partition("=")
        attributes[key.strip().lower()] = text.strip()
    return name.strip(), value.strip().strip('"'), attributes


def tells_nothing(value: str, rule: CookieRule) -> bool:
    """Whether a value is one of the declared words, or looks as random as declared."""
    if rule.value == "choice":
        return value in rule.choices
    return LOOKS_RANDOM.fullmatch(value) is not None and len(value) * BITS_A_CHARACTER >= rule.bits


def cut(header: str, site: Site) -> str:
    """The Set-Cookie with its life cut to the declared one; without one it ends with the browser's session."""
    name, value, attributes = parts(header)
    rule = site.cookies.get(bare(name))
    asked = attributes.get("max-age", "")
    if rule is None or not value or asked == "0" or not attributes.keys() & {"max-age", "expires"}:
        return header
    most = None if rule.lasts is None else rule.lasts.after(0) // 1000
    kept = [each.strip() for each in header.split(";")]
    kept = [each for each in kept if each.partition("=")[0].strip().lower() not in ("max-age", "expires")]
    if most is not None:
        kept.append(f"Max-Age={min(int(asked), most) if asked.isdigit() and len(asked) < 12 else most}")
    return "; ".join(kept)


def make(name: str, value: str, *, seconds: int | None, tls: bool) -> str:
    """A Set-Cookie of the front's own."""
    life = "" if seconds is None else f"; Max-Age={seconds}"
    prefix, secure = ("__Host-", "; Secure") if tls else ("", "")
    return f"{prefix}{name}={value}; Path=/{life}{secure}; HttpOnly; SameSite=Lax"


def forget(name: str, host: str, *, tls: bool) -> Iterator[str]:
    """Set-Cookies that make a browser forget, HttpOnly or not. ``name`` is as the browser sent it, to ``host``."""
    end = f"{name}=; Path=/; Max-Age=0{'; Secure' if tls else ''}; HttpOnly; SameSite=Lax"
    yield end
    labels = host.split(".")
    if not name.startswith("__Host-") and not labels[-1].isdigit():
        yield from (f"{end}; Domain={'.'.join(labels[n:])}" for n in range(len(labels) - 1))
