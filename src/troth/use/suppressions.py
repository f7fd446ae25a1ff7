"""May this address be written to: what a newsletter tool that is kept asks before it sends.

An address may not be where somebody objected to the purpose or one above it, wherever they are now and however it is
spelled, or where a person here has set their data aside. A tool's own subscribers are not ours to know: of an address
that nobody here has, nothing is said but that it may. Nothing is opened, stored or logged; only keyed hashes are
looked up. Clause: ``rights.object-marketing``. Mechanism: ``suppress.keyed``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from troth.collect.forms import is_email
from troth.errors import Invalid, NotFound
from troth.notice.versions import Versions
from troth.policy.model import CompiledPolicy
from troth.store import Store
from troth.vault import Vault

CLAUSE = "rights.object-marketing"
MOST_ADDRESSES = 500
MOST_ADDRESS = 254  # RFC 5321: a path has 256 octets with its brackets


class SuppressionsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """May these addresses be written to for this purpose?"""

    purpose: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    addresses: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=MOST_ADDRESS)], ...],
        msgspec.Meta(min_length=1, max_length=MOST_ADDRESSES),
    ]


class SuppressionsTold(msgspec.Struct, frozen=True):
    """For each address, in the order they were asked in: whether it may be written to."""

    may: tuple[bool, ...]


class Suppressions:
    """Answers for one controller at a time. Safe from any thread."""

    def __init__(self, store: Store, vault: Vault, versions: Versions) -> None:
        self.store = store
        self.vault = vault
        self.versions = versions

    def check(self, tenant: str, asked: SuppressionsAsked) -> SuppressionsTold:
        """What may be written to. ``Invalid`` where no clause declares the purpose."""
        policy = self.versions.current(tenant)
        if asked.purpose not in policy.purposes:
            raise Invalid("no clause declares this purpose", clause=CLAUSE, gaps=("/purpose: undeclared",))
        return SuppressionsTold(tuple(self._may(policy, tenant, asked.purpose, asked.addresses)))

    def _may(self, policy: CompiledPolicy, tenant: str, purpose: str, addresses: Sequence[str]) -> list[bool]:
        over = frozenset(policy.ancestors(purpose))
        return [
            is_email(address) and not over & self._spared(tenant, address) and not self._set_aside(tenant, address)
            for address in map(str.strip, addresses)
        ]

    def _spared(self, tenant: str, address: str) -> frozenset[str]:
        return self.vault.spared(tenant, "email", self.vault.hashed(tenant, "email", address)[1])

    def _set_aside(self, tenant: str, address: str) -> bool:
        sid = self.vault.find(tenant, "email", address)
        if sid is None:
            return False
        try:
            return self.store.read(lambda connection: self.vault.state_of(connection, tenant, sid)[1]) == "restricted"
        except NotFound:  # erased just now
            return False
