"""Signing what a product says to Troth. The form of a token stands in ``troth.use.signed``, which reads it."""

from __future__ import annotations

import base64
import json
from typing import Any


def sign(prefix: bytes, claim: dict[str, Any], key: str) -> str:
    """The token of a claim. ``ValueError`` where ``key`` is no Ed25519 private key in PEM."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(key.encode(), None)
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError("the key is no Ed25519 private key in PEM")
    body = text(json.dumps(claim, separators=(",", ":"), sort_keys=True).encode())
    return f"{body}.{text(private.sign(prefix + body.encode()))}"


def text(content: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
