"""A person who signs in at the vendor's own OpenID provider comes to their privacy centre without a mail.

Nothing is stored when it begins: number, verifier and the browser's cookie travel sealed in the state, which is marked
used in the transaction that opens the centre. Who the token names maps to a person as a hand-over does: by the
account's reference, or by an address that the provider has verified. Clause: ``rights.proof``. Mechanism:
``right.proof``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import msgspec

from troth.errors import Damaged, Invalid, NotFound
from troth.rights.requests import begin
from troth.store import Lane, Store, Write, links
from troth.store.writer import DataTx
from troth.use.openid_provider import Provider, refused
from troth.use.passkeys import SecretBox
from troth.use.person_sessions import Session
from troth.use.products import Products
from troth.vault import Vault

LIFE_MS = 10 * 60_000
USED = "openid"
ABOUT = b"openid"


class Asked(msgspec.Struct, frozen=True):
    """What is remembered between the question to the provider and its answer."""

    nonce: str
    verifier: str
    browser: bytes  # SHA-256 of the cookie of the browser that asked
    expires_ms: int


@dataclass(frozen=True)
class OpenIdSignIn:
    """From a provider's answer to an open centre."""

    store: Store
    vault: Vault
    products: Products
    provider: Provider
    box: SecretBox
    tenant: str

    def ask(self, cookie: str) -> str:
        """Where the browser that holds ``cookie`` (a fresh random value) is sent to sign in."""
        nonce, verifier = self._word(), self._word()
        asked = Asked(nonce, verifier, digest(cookie), self.store.now() + LIFE_MS)
        state = plain(self.box.seal(msgspec.msgpack.encode(asked), ABOUT))
        return self.provider.address(state=state, nonce=nonce, challenge=plain(digest(verifier)))

    def open(self, state: str, code: str, issuer: str, before: str, cookie: str) -> Session:
        """Take the provider's answer, once: the session behind it, known by ``cookie`` from here on.

        ``before`` is the cookie that this browser came with. ``Unproven``, always in the same words, for whatever does
        not fit: another browser's answer, another provider's, one that was used, somebody who is not known here.
        """
        asked = self._asked(state)
        if not hmac.compare_digest(asked.browser, digest(before)) or not self._answered_by(issuer):
            raise refused()
        sid = self._whose(self.provider.claims(code, asked.verifier, asked.nonce))
        try:
            opening = self.vault.opening(self.tenant, sid)
        except NotFound:
            raise refused() from None
        csrf = self.store.randomness.bytes(32)

        def body(tx: DataTx) -> Session:
            if not self.vault.exists(tx.connection, self.tenant, sid) or not links.use_up(
                tx, f"{USED}.{asked.nonce}", USED, tenant=self.tenant, expires_ms=asked.expires_ms
            ):
                raise refused()
            return begin(tx, self.tenant, sid, opening, cookie, csrf, {"by": "openid"}, method="openid")

        return self.store.write(Write(body=body, lane=Lane.RIGHTS))

    def _asked(self, state: str) -> Asked:
        try:
            sealed = base64.urlsafe_b64decode(state + "=" * (-len(state) % 4))
            asked = msgspec.msgpack.decode(self.box.open(sealed, ABOUT), type=Asked)
        except (ValueError, Damaged, msgspec.DecodeError):
            raise refused() from None
        if asked.expires_ms <= self.store.now():
            raise refused()
        return asked

    def _answered_by(self, issuer: str) -> bool:
        """RFC 9207: who says that they answered is who was asked, and says so where they promise to."""
        says = self.provider.metadata().authorization_response_iss_parameter_supported
        return issuer == self.provider.settings.issuer if issuer or says else True

    def _whose(self, claims: dict[str, Any]) -> bytes:
        """The person that a token names, live and known here."""
        settings, sid = self.provider.settings, None
        if settings.reference:
            said = claims.get(settings.reference)
            sid = self.products.find(self.tenant, said) if isinstance(said, str) else None
        elif claims.get("email_verified") is True and isinstance(claims.get("email"), str):
            try:
                sid = self.vault.find(self.tenant, "email", claims["email"])
            except Invalid:
                sid = None
        if sid is None:
            raise refused()
        return sid

    def _word(self) -> str:
        return plain(self.store.randomness.bytes(32))


def digest(text: str) -> bytes:
    """SHA-256."""
    return hashlib.sha256(text.encode()).digest()


def plain(content: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
