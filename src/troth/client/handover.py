"""Handing over a person who is signed in at the product: what its backend signs, for Troth's privacy centre.

The form of the token stands in ``troth.rights.handover``, which reads it. Needs the package ``cryptography``.
"""

from __future__ import annotations

import secrets
import time

from troth.client.signing import sign

SIGNED = b"troth-handover-1."
SECONDS = 50  # of the sixty that are taken: the clocks may differ


def handover_token(
    url: str,
    key: str,
    product: str,
    reference: str,
    *,
    address: str | None = None,
    now: float | None = None,
    nonce: str | None = None,
) -> str:
    """Sign that the person under ``reference`` is signed in here now. Send them to ``url`` + /privacy/handover/TOKEN.

    - ``url``: the address of Troth exactly as people reach it; the token is good nowhere else.
    - ``key``: the product's Ed25519 private key in PEM; ``product``: its id, as ``troth handover`` told it.
    - ``reference``: under which the account was registered (``Troth.register``).
    - ``address``: if given, it must be the one on file for this account. The token can be read by whoever holds it:
      give an address only where the token travels in a form, never in a link.
    - ``now`` and ``nonce`` (22 to 86 of A-Z a-z 0-9 - _, never the same twice) are made here unless given.

    ``ValueError`` where ``key`` is no such key.
    """
    claim: dict[str, str | int] = {
        "audience": url.rstrip("/"),
        "expires": int(time.time() if now is None else now) + SECONDS,
        "nonce": secrets.token_urlsafe(24) if nonce is None else nonce,
        "product": product,
        "reference": reference,
    }
    if address is not None:
        claim["address"] = address
    return sign(SIGNED, claim, key)
