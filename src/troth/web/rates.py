"""Rate limits in memory, without keeping anybody's address.

What is counted under is a keyed hash of the address; the key is random, lives for one hour and is then forgotten,
so that nothing here can be turned back into an address or joined over time. A limit longer than an hour counts what no
address is, a person's opaque id, and each of its counts is forgotten when it slows nobody down any more. The clock is a
parameter, which is why this is written here (some fifty lines) and not taken from a library that reads the machine's
clock by itself.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import socket

from troth.errors import TooMany
from troth.web.routes import Limit
from troth.world import Clock, Randomness

HOUR_MS = 3_600_000
MOST_KEYS = 100_000  # about 10 MB; beyond it the oldest half is forgotten: a flood must not fill the memory


def network(address: str) -> str:
    """The unit that is counted: an IPv4 address, or the /64 that one IPv6 customer owns. "" if unreadable."""
    try:  # an IPv4 address as almost all are written, in a tenth of the time
        return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, address))
    except (OSError, ValueError):
        pass
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


class Rates:
    """Counts by the generic cell rate algorithm: one number a key, no bursts at the edge of a window."""

    def __init__(self, clock: Clock, randomness: Randomness) -> None:
        self.clock = clock
        self.randomness = randomness
        self.hour = -1
        self.salt = b""
        self.arrivals: dict[bytes, float] = {}  # key -> theoretical arrival time, ms
        self.lasting_salt = randomness.bytes(32)
        self.lasting: dict[bytes, float] = {}  # the same of limits longer than an hour

    def key(self, what: str, who: str) -> bytes:
        """The key that ``who`` is counted under for ``what``, unlinkable after this hour."""
        now = self.clock.now()
        if now // HOUR_MS != self.hour:
            self.hour, self.salt = now // HOUR_MS, self.randomness.bytes(32)
            self.arrivals.clear()
            self.lasting = {key: arrival for key, arrival in self.lasting.items() if arrival > now}
        return hashed(self.salt, what, who)

    def hit(self, what: str, who: str, limit: Limit) -> None:
        """Count one request; raises ``TooMany`` with the seconds to wait where the limit is reached."""
        key, arrivals = self.key(what, who), self.arrivals
        if limit.seconds * 1000 > HOUR_MS:
            key, arrivals = hashed(self.lasting_salt, what, who), self.lasting
        now = self.clock.now()
        interval = limit.seconds * 1000 / limit.count
        arrival = max(arrivals.get(key, 0.0), now)
        wait = arrival - (now + limit.seconds * 1000 - interval)
        if wait > 0:
            raise TooMany(
                "too many requests came from your address: please wait a moment",
                retry_after=max(1, math.ceil(wait / 1000)),
            )
        if len(arrivals) >= MOST_KEYS:
            for old in list(arrivals)[: MOST_KEYS // 2]:
                del arrivals[old]
        arrivals[key] = arrival + interval


def hashed(salt: bytes, what: str, who: str) -> bytes:
    """The keyed hash that is counted under."""
    return hashlib.blake2b(f"{what}\0{who}".encode(), key=salt, digest_size=16).digest()
