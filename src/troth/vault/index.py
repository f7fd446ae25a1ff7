"""The blind index: finding a person by an identifier that is stored nowhere in plain.

inner = first 16 bytes of HMAC-SHA256(key derived for tenant, kind and version, normalised value)
tag   = AES-256 of inner as one block, under the bucket key of inner's first byte

The block cipher is a permutation: an epoch's roll re-keys every tag without knowing one value, so that an old copy
of K confirms nobody. The derived key is per tenant: one value in two tenants shares no byte in K (invariant 17).
Suppressions are derived apart from identifiers, so that one cannot be matched with the other.
"""

from __future__ import annotations

import hmac
import unicodedata
from functools import lru_cache
from typing import Literal

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from troth.errors import Invalid
from troth.vault.wrapping import derive

VERSION = 1  # of the index key; a second one is probed beside it while the index is re-keyed
BLOCK = 16
MAX_VALUE = 1024  # characters

Use = Literal["identifier", "suppression"]


def normalise(kind: str, value: str) -> str:
    """The one spelling under which a value is looked up. Raises ``Invalid`` (never with the value) if it has none.

    Always NFC without surrounding space. ``email``: lower case, the domain in its ASCII form. Other kinds (a vendor's
    own ``reference``) keep their case: they are somebody else's identifiers.
    """
    if len(value) > MAX_VALUE:
        raise Invalid(f"the {kind} is too long to be looked up", gaps=(f"/{kind}: at most {MAX_VALUE} characters",))
    plain = unicodedata.normalize("NFC", value).strip()
    if kind == "email":
        local, at, domain = plain.rpartition("@")
        if not at or not local or not domain:
            raise Invalid("this is no e-mail address", gaps=(f"/{kind}: no e-mail address",))
        plain = f"{_lower(local)}@{_ascii(_lower(domain))}"
    if not plain:
        raise Invalid(f"the {kind} is empty", gaps=(f"/{kind}: empty",))
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise Invalid(f"the {kind} is no valid text", gaps=(f"/{kind}: no valid text",)) from None
    return plain


def normalise_suppression(kind: str, value: str) -> str:
    """As ``normalise``, and wider: an objection covers an e-mail address with and without its ``+label``."""
    plain = normalise(kind, value)
    if kind == "email":
        local, _, domain = plain.rpartition("@")
        base = local.partition("+")[0]
        plain = f"{base or local}@{domain}"
    return plain


def inner(index_key: bytes, use: Use, tenant: str, kind: str, value: str, version: int = VERSION) -> bytes:
    """The keyed hash of a value, 16 bytes, before the bucket's permutation. ``value`` may be as typed."""
    plain = normalise(kind, value) if use == "identifier" else normalise_suppression(kind, value)
    return hmac.digest(_derived(index_key, use, tenant, kind, version), plain.encode(), "sha256")[:BLOCK]


def bucket_of(inner: bytes) -> int:
    """The tag bucket of a keyed hash: one of 256, by its first byte."""
    return inner[0]


def permute(bucket_key: bytes, inner: bytes) -> bytes:
    """The tag as it is stored: one AES-256 block, so every tag has exactly one keyed hash and the other way round."""
    encryptor = Cipher(AES256(bucket_key), ECB()).encryptor()  # noqa: S305 - one block, as a permutation: no mode at all
    return encryptor.update(inner) + encryptor.finalize()


def restore(bucket_key: bytes, tag: bytes) -> bytes:
    """The keyed hash behind a tag: what a roll, and an objection, re-key without knowing the value."""
    decryptor = Cipher(AES256(bucket_key), ECB()).decryptor()  # noqa: S305 - see permute
    return decryptor.update(tag) + decryptor.finalize()


@lru_cache(maxsize=256)
def _derived(index_key: bytes, use: Use, tenant: str, kind: str, version: int) -> bytes:
    return derive(index_key, "troth.index", use, tenant, kind, version)


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


def _ascii(domain: str) -> str:
    """The domain as DNS has it; as it stands where IDNA has no form for it."""
    if domain.isascii():
        return domain
    import idna  # 10 ms, and needed for few

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return domain
