"""What a product signs: one claim in JSON, with a number used once, an end, and an Ed25519 signature over all of it.

    token     = base64url(claim) "." base64url(signature)      both without padding
    signature = Ed25519 over a prefix that names what it is for, and base64url(claim)

The prefix keeps a signature made for one thing from counting for another.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, ClassVar, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from troth.collect.json_once import READ_ONCE

T = TypeVar("T")
NONCE = r"\A[A-Za-z0-9_-]{22,86}\Z"  # 128 bits or more
SKEW_MS = 5_000  # by so much the product's clock may differ from ours, either way
_PART = re.compile(r"[A-Za-z0-9_-]+")


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every claim says, whatever else: for which address, until when (seconds since 1970, UTC), by which product.

    A kind of claim gives ``used``, the kind of link that remembers a used number until it would have expired anyway,
    and ``life_ms``, for how long it may be made to be good.
    """

    used: ClassVar[str]
    life_ms: ClassVar[int]

    audience: Annotated[str, msgspec.Meta(max_length=300)]
    expires: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    nonce: Annotated[str, msgspec.Meta(pattern=NONCE)]
    product: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]  # its id in hex

    @property
    def expires_ms(self) -> int:
        """When it ends here, with the clocks' difference allowed for."""
        return self.expires * 1000 + SKEW_MS

    @property
    def mark(self) -> str:
        """The number under the product that made it: what is good once."""
        return f"{self.used}.{self.product}.{self.nonce}"

    def timely(self, now_ms: int) -> bool:
        """Whether it is good now: not over, and not made to last."""
        return now_ms < self.expires_ms and self.expires * 1000 <= now_ms + self.life_ms + SKEW_MS


def read(token: str, prefix: bytes, claim: type[T], most: int) -> tuple[T, bytes, bytes]:
    """The claim of a token, what was signed, and the signature; ``ValueError`` unless each has exactly its form."""
    if len(token) > most:
        raise ValueError("too long")
    body, _, signature = token.partition(".")
    content = plain(body)
    told = msgspec.json.decode(content, type=claim)
    READ_ONCE.decode(content.decode())
    return told, prefix + body.encode(), plain(signature)


def plain(part: str) -> bytes:
    """base64url without padding, in its one spelling; ``ValueError`` for anything else."""
    if not _PART.fullmatch(part) or len(part) % 4 == 1:
        raise ValueError("no base64url")
    content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != part:
        raise ValueError("another spelling")
    return content


def signed_by(public: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether this key made the signature."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except InvalidSignature:
        return False
    return True
