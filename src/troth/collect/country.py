"""The country that a network address belongs to, from a file that the operator supplies; nothing finer is looked at.

The file is a MaxMind database (GeoLite2, DB-IP, IPinfo and others offer one); none is shipped. Without one every
country is unknown. An address lives for this one question: it is neither kept nor logged, and no error repeats it.
Clause: ``collect.ip-location``.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any, Protocol, cast

from troth.errors import StartRefused

UNKNOWN = ""
CODE = re.compile(r"[A-Z]{2}")  # ISO 3166-1 alpha-2
MEMBERS = ("country", "registered_country")  # where someone is, else where the network is registered


class Locations(Protocol):
    """An open file of locations; ``maxminddb.Reader`` is one."""

    def get(self, ip_address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Any:
        """What the file says of the network that this address lies in; None where it says nothing."""
        ...


def open_locations(path: Path) -> Locations:
    """The operator's file, opened once for the life of the process; ``StartRefused`` where it cannot be read."""
    try:
        import maxminddb
    except ImportError as fault:
        raise StartRefused("a location file is configured: install troth[country], which can read it") from fault
    try:
        return cast(Locations, maxminddb.open_database(path))
    except OSError as fault:
        raise StartRefused(f"the location file cannot be read: {path.name}: {fault.strerror}") from fault
    except (maxminddb.InvalidDatabaseError, ValueError) as fault:
        raise StartRefused(f"the location file is no MaxMind database: {path.name}") from fault


def country_of(locations: Locations | None, address: str) -> str:
    """Two capital letters (ISO 3166-1), or "" where the country is not known. Never raises."""
    asked = public(address)
    if locations is None or asked is None:
        return UNKNOWN
    try:
        found = locations.get(asked)
    except Exception:  # a damaged file, or an IPv6 address in one that knows IPv4 alone: the country is unknown
        return UNKNOWN
    return told(found)


def public(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address as the file is asked for it: IPv4 where it is one in IPv6's clothes; None for none at all."""
    try:
        asked = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(asked, "ipv4_mapped", None) or asked


def told(found: Any) -> str:
    """The country in what a file said: a code of its own, or the member ``iso_code`` of one."""
    if not isinstance(found, dict):
        return UNKNOWN
    said = [found.get("country_code")]
    for name in MEMBERS:
        member = found.get(name)
        said.append(member.get("iso_code") if isinstance(member, dict) else member)
    return next((code for code in said if isinstance(code, str) and CODE.fullmatch(code)), UNKNOWN)
