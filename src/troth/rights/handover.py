"""A person who is signed in at one of the vendor's products comes to their privacy centre without a mail.

The product's backend signs who it is, for whom, until when, and a number used once; whoever brings that within the
minute is let in, once, into the same session that a link in a mail opens. Whatever does not fit is refused in the
same words. Clause: ``rights.proof``. Mechanism: ``right.proof``. ``troth.client`` makes such a token.

    token     = base64url(claim) "." base64url(signature)      both without padding
    claim     = {"address"?, "audience", "expires", "nonce", "product", "reference"}   JSON, nothing else in it
    signature = Ed25519 over "troth-handover-1." base64url(claim)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
from sqlalchemy import Connection

from troth.errors import Invalid, NotFound, Unproven
from troth.rights.requests import begin
from troth.store import Lane, Store, Write, links
from troth.store.writer import DataTx
from troth.use import signed
from troth.use.handover_keys import HandoverKey, key_of
from troth.use.person_sessions import Session
from troth.use.products import MOST_REFERENCE, Products
from troth.vault import Vault
from troth.world import Clock, Randomness

SIGNED = b"troth-handover-1."  # so that no signature made for something else counts here
MOST_TOKEN = 4096


class Claim(signed.Claim, frozen=True, forbid_unknown_fields=True):
    """What a product signs: who comes. ``address`` is one on file for this person, where the product knows it."""

    used = "handover"
    life_ms = 60_000  # a minute at most

    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_REFERENCE)]
    address: Annotated[str, msgspec.Meta(min_length=1, max_length=254)] | None = None


@dataclass(frozen=True)
class Handed:
    """Whom a good hand-over is for."""

    claim: Claim
    key: HandoverKey
    sid: bytes


class Handovers:
    """From a signed hand-over to an open centre. ``audiences`` are the addresses that each tenant's people come to."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        products: Products,
        clock: Clock,
        chance: Randomness,
        *,
        audiences: Mapping[str, str],
    ) -> None:
        self.store = store
        self.vault = vault
        self.products = products
        self.clock = clock
        self.chance = chance
        self.audiences = audiences

    def look(self, token: str, tenant: str | None = None) -> None:
        """``Unproven`` unless this hand-over would be taken now (at this tenant's place). Changes nothing."""
        self._check(token, tenant)

    def open(self, token: str, cookie: str, tenant: str | None = None) -> Session:
        """Take the hand-over, once: the session behind it, known by ``cookie`` (a fresh random value) from here on.

        ``Unproven``, always in the same words, for whatever does not fit.
        """
        handed = self._check(token, tenant)
        claim, key, sid = handed.claim, handed.key, handed.sid
        try:
            opening = self.vault.opening(key.tenant, sid)
        except NotFound:  # erased just now
            raise refused() from None
        csrf = self.chance.bytes(32)

        def body(tx: DataTx) -> Session:
            if not claim.timely(tx.now) or key_of(tx.connection, key.product) != key:
                raise refused()  # over, or the product was stopped meanwhile
            if not self.vault.exists(tx.connection, key.tenant, sid) or not links.use_up(
                tx, claim.mark, claim.used, tenant=key.tenant, expires_ms=claim.expires_ms
            ):
                raise refused()  # being erased, or used before
            facts = {"by": "handover", "product": claim.product}
            return begin(tx, key.tenant, sid, opening, cookie, csrf, facts, method="handover")

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def _check(self, token: str, tenant: str | None = None) -> Handed:
        claim, content, signature = read(token)
        key = self.store.read(lambda connection: self._key(connection, claim))
        if key is None or tenant not in (None, key.tenant) or claim.audience != self.audiences.get(key.tenant):
            raise refused()
        if not signed.signed_by(key.public, signature, content) or not claim.timely(self.clock.now()):
            raise refused()
        sid = self.products.find(key.tenant, claim.reference)
        if sid is None or not self._here(key.tenant, sid) or not self._has(key.tenant, sid, claim.address):
            raise refused()
        return Handed(claim, key, sid)

    def _key(self, connection: Connection, claim: Claim) -> HandoverKey | None:
        """The product's key; None too where the number was used before."""
        if links.used_up(connection, claim.mark):
            return None
        return key_of(connection, bytes.fromhex(claim.product))

    def _here(self, tenant: str, sid: bytes) -> bool:
        return self.store.read(lambda connection: self.vault.exists(connection, tenant, sid))

    def _has(self, tenant: str, sid: bytes, address: str | None) -> bool:
        """Whether the address, where one is given, is the one on file for this very person."""
        try:
            return address is None or self.vault.find(tenant, "email", address) == sid
        except Invalid:
            return False


def read(token: str) -> tuple[Claim, bytes, bytes]:
    """The claim of a token, what was signed, and the signature; ``Unproven`` unless each has exactly its form."""
    try:
        return signed.read(token, SIGNED, Claim, MOST_TOKEN)
    except ValueError:
        raise refused() from None


def refused() -> Unproven:
    """The one answer to whatever does not fit."""
    return Unproven(
        "this hand-over is not valid, or no longer: go back to where you are signed in and try again",
        clause="rights.proof",
    )
