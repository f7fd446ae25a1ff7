"""The second factor of a password: time-based one-time codes (RFC 6238), each of which works once.

SHA-1, six digits and thirty seconds are what every authenticator app knows; HMAC does not need its hash to be
free of collisions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote, urlencode

from troth.errors import Damaged, Invalid
from troth.use.passkeys import SecretBox
from troth.world import Randomness

SECRET_BYTES = 20  # RFC 4226 4, R6: as long as the hash
STEP_MS = 30_000  # RFC 6238 5.2
DIGITS = 6
DRIFT = 1  # steps that a clock may be off, either way


def step_at(now_ms: int) -> int:
    """The time step of a moment."""
    return now_ms // STEP_MS


def code(secret: bytes, step: int) -> str:
    """The code of one step (RFC 4226 5.3: dynamic truncation)."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def matching_step(secret: bytes, given: str, now_ms: int, last_step: int | None) -> int | None:
    """The step whose code was given, or None. Steps up to ``last_step`` are used up.

    Every step is compared, in constant time, whether an earlier one fitted or not.
    """
    given = "".join(given.split())
    now, found = step_at(now_ms), None
    for step in range(now - DRIFT, now + DRIFT + 1):
        fits = hmac.compare_digest(code(secret, step).encode(), given.encode())
        if fits and (last_step is None or step > last_step):
            found = step
    return found


def new_secret(box: SecretBox, randomness: Randomness, about: bytes) -> tuple[bytes, str]:
    """A secret for an app: as it is shown, and as it travels sealed in the form until the first code proves it."""
    secret = randomness.bytes(SECRET_BYTES)
    return secret, box.seal(secret, about).hex()


def secret_of(box: SecretBox, sealed: str, about: bytes) -> bytes:
    """The secret that travelled in the form; ``Invalid`` where it is not what we sent, or another's."""
    try:
        return box.open(bytes.fromhex(sealed), about)
    except (ValueError, Damaged) as fault:
        raise Invalid("the form is not as we sent it", gaps=("code: stale",)) from fault


def spoken(secret: bytes) -> str:
    """The secret as people type it into an app: base32 in groups of four."""
    text = base64.b32encode(secret).decode().rstrip("=")
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))


def address(secret: bytes, issuer: str, name: str) -> str:
    """The ``otpauth:`` address that opens an authenticator app on the same device."""
    label = quote(f"{issuer}:{name}")
    query = urlencode({"secret": base64.b32encode(secret).decode().rstrip("="), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{label}?{query}"
