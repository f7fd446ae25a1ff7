"""What a page's content policies stop, read as browsers read them (CSP Level 3): for ``troth doctor URL``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from troth.cli.markup import Load
from troth.policy.content import BASE

WIDE: Final = frozenset({"*", "https:", "http:", "wss:", "ws:", "https://*", "http://*", "'strict-dynamic'"})
RULING: Final = (
    BASE.keys() | {f"{kind}-src-{of}" for kind in ("script", "style") for of in ("elem", "attr")} | {"child-src"}
)
ALONE: Final = frozenset({"form-action", "base-uri", "frame-ancestors"})  # default-src does not stand in for these
ANY, KNOWN, MARKED = 2, 3, 4  # which inline scripts run: all, those with a known hash, those with this answer's mark
PORTS: Final = {"http": 80, "https": 443}

Policy = dict[str, list[str]]


def policies(headers: Iterable[str]) -> list[Policy]:
    """The policies in these headers: directive -> sources. Of a directive that is said twice the first counts."""
    found = []
    for text in ",".join(headers).split(","):
        policy: Policy = {}
        for words in map(str.split, text.split(";")):
            if words:
                policy.setdefault(words[0].lower(), words[1:])
        if policy:
            found.append(policy)
    return found


def closes(policy: Policy) -> bool:
    """Whether a policy names the places for every kind of load, and none that is every place."""
    if "default-src" not in policy or not {"object-src", "base-uri", "form-action"} <= policy.keys():
        return False
    return not any(WIDE & {each.lower() for each in sources} for name, sources in policy.items() if name in RULING)


def inline(policy: Policy) -> int:
    """Which inline scripts a policy lets run; handlers in attributes count as scripts."""
    scripts = sources_for(policy, "script-src-elem", "script-src", "default-src")
    handlers = sources_for(policy, "script-src-attr", "script-src", "default-src")
    return min(_runs(scripts), MARKED if _runs(handlers) == KNOWN else _runs(handlers))


def _runs(sources: list[str] | None) -> int:
    if sources is None:
        return ANY
    sources = [each.lower() for each in sources]
    if any(each.startswith(("'sha256-", "'sha384-", "'sha512-")) for each in sources):
        return KNOWN
    marked = any(each.startswith("'nonce-") for each in sources)
    return ANY if "'unsafe-inline'" in sources and not marked else MARKED


def nonces(found: Iterable[Policy]) -> frozenset[str]:
    """The marks that these policies name."""
    return frozenset(
        source for policy in found for sources in policy.values() for source in sources if source.startswith("'nonce-")
    )


def lets(found: Iterable[Policy], load: Load, page: str) -> bool:
    """Whether all these policies let a page at the address ``page`` load something."""
    names = {"script-src": ("script-src-elem",), "style-src": ("style-src-elem",)}.get(load.directive, ())
    more = ("child-src",) if load.directive == "frame-src" else ()
    rest = () if load.directive in ALONE else ("default-src",)
    return all(
        sources is None or any(_fits(source, load, urlsplit(page)) for source in sources)
        for sources in (sources_for(policy, *names, load.directive, *more, *rest) for policy in found)
    )


def sources_for(policy: Policy, *names: str) -> list[str] | None:
    """The sources of the first of these directives that is there; None where nothing is said."""
    return next((policy[name] for name in names if name in policy), None)


def _fits(source: str, load: Load, page: SplitResult) -> bool:
    """Whether one source lets this in."""
    if source == f"'nonce-{load.nonce}'":
        return bool(load.nonce)
    there = load.address
    if source.lower() == "'self'":
        return (there.hostname, _port(there)) == (page.hostname, _port(page))
    if source.startswith("'"):
        return False
    if source == "*" or source.lower() in (f"{there.scheme}:", "http:"):
        return True
    scheme, separated, rest = source.partition("://")
    if not separated:
        scheme, rest = page.scheme, source
    place, slash, path = rest.partition("/")
    host, _, port = place.partition(":")
    if there.scheme not in (scheme.lower(), "https"):
        return False
    name = there.hostname or ""
    named = name.endswith(host[1:].lower()) if host.startswith("*.") else host in ("*", name) or host.lower() == name
    right = port == "*" or (int(port) if port.isdigit() else PORTS.get(there.scheme)) == _port(there)
    whole = f"{slash}{path}"
    fits = whole in ("", "/") or (there.path.startswith(whole) if whole.endswith("/") else there.path == whole)
    return named and right and fits


def _port(address: SplitResult) -> int | None:
    return address.port or PORTS.get(address.scheme)
