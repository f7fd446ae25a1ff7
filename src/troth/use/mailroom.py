"""Mail that comes in: which addresses there are, and who takes what is written to each.

An address is a local part; what stands after ``+`` is handed on (RFC 5233). Nothing is stored here, and an address
that nobody registered is refused while the sender still listens, so that no letter is lost without its sender knowing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

LONGEST = 64 * 1024  # bytes of a letter that a taker looks at
MOST_PARTS = 40  # and parts of a report

Taker: TypeAlias = Callable[[str, bytes], object]
"""(what stands after "+", the whole message) -> anything; it may raise ``TrothError``: the sender tries again later."""


class MailRoom:
    """The addresses of one domain's mail that this system takes."""

    def __init__(self) -> None:
        self._takers: dict[str, Taker] = {}

    def on(self, local: str, taker: Taker) -> None:
        """What comes for ``local`` is taken by ``taker``, on a thread of its own. ``ValueError`` if it has one."""
        local = local.lower()
        if local in self._takers:
            raise ValueError(f"mail for {local} is taken already")
        self._takers[local] = taker

    def find(self, address: str) -> tuple[Taker, str] | None:
        """Who takes mail to this address, and the part after ``+``; None where nobody does."""
        local, at, _ = address.rpartition("@")
        name, _, extension = (local if at else address).partition("+")
        taker = self._takers.get(name.lower())
        return (taker, extension) if taker is not None else None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The local parts that are taken."""
        return tuple(sorted(self._takers))
